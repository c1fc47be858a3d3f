"""What stands on seats, for letters and for what they enclose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from engine.seats import name_of, parse_seat_id, section_of
from store import seats
from store.pool import Pool
from store.seats import Section


class SeatShown(NamedTuple):
    """A seat by what stands on it."""

    section: str
    row: str
    label: str


async def seats_of(pool: Pool, event_id: str, seat_ids: Iterable[str]) -> dict[str, SeatShown]:
    """Return seats of an event by their ids, in that order; what is none of it is left out."""
    places = {one: place for one in seat_ids if (place := parse_seat_id(one))}
    sections = await seats.named(pool, {(event_id, number) for number, _ in places.values()})
    return {
        one: seat
        for one, (number, seat_no) in places.items()
        if (section := sections.get((event_id, number))) and (seat := _seat(section, seat_no))
    }


def _seat(section: Section, seat_no: int) -> SeatShown | None:
    loaded = section_of(section.section_no, section.tier_no, section.row_seats, section.kinds)
    found = name_of(loaded, msgspec.json.decode(section.rows), seat_no)
    return SeatShown(section.name, *found) if found else None
