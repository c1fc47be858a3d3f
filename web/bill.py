"""What places cost, line by line, as pages show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.seats import parse_seat_id
from usecases import told
from usecases.asked import Money
from usecases.seats import seat_of
from usecases.services import Services


class Line(NamedTuple):
    """So many places of a tier, and what they cost."""

    name: str
    quantity: int
    unit_price: Money
    #: What stands on its seats; none where the tier has no seats, or none is chosen yet.
    seats: tuple[told.TicketSeat, ...] = ()

    @property
    def price(self) -> Money:
        """What they cost together."""
        return Money(self.quantity * self.unit_price.amount, self.unit_price.currency)


def total(lines: list[Line]) -> Money | None:
    """Return what lines cost together; None if there is none."""
    if not lines:
        return None
    return Money(sum(line.price.amount for line in lines), lines[0].unit_price.currency)


async def lines_of(
    services: Services, event_id: str, items: Sequence[told.BookingItem]
) -> list[Line]:
    """Return the items of an order by their names, at the prices that were promised."""
    known = await services.catalog.need(event_id)
    is_seated = any(item.seat_ids for item in items)
    sections = await services.catalog.sections(event_id) if is_seated else []
    named = {section.section_no: section for section in sections}
    lines = []
    for item in items:
        seats = []
        for seat_id in item.seat_ids:
            place = parse_seat_id(seat_id)
            section = named.get(place[0]) if place else None
            seat = seat_of(section, seat_id) if section else None
            seats += [seat] if seat else []
        name = known.tier_names.get(known.tier_nos[item.tier_id], "")
        lines.append(Line(name, item.quantity, item.unit_price, tuple(seats)))
    return lines
