"""
Seats on their way between requests and the engine: sections of a draft, seats of an order.

An order's items become lines, one for each tier: an item may name seats of several tiers, and a
refusal of a line is told of the item that it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from api.catalog import Known
from api.problems import Problem, invalid, refusal
from api.schemas import NewEvent, NewRow, NewSeat, NewSection, Order, OrderItem
from engine import seats as engine_seats
from engine.commands import ORDER_LINES_MAX, ORDER_PLACES_MAX, Line
from engine.outcomes import Refused
from engine.seats import ACCESSIBLE, AISLE, RESTRICTED_VIEW, SECTION_SEATS_MAX, parse_seat_id
from engine.status import Status
from store.seats import Section

#: Said alike of tiers that are not there and of hidden ones that nothing unlocks.
NO_TIER = "is not a tier of this event"


def lines_of(known: Known, order: Order) -> tuple[tuple[Line, ...], tuple[int, ...]]:
    """
    Turn the order's items into lines; check what the schema cannot say.

    Returns:
        The lines, and for each the number of the item that it came from.
    """
    if len(order.items) == 1 and order.items[0].seat_ids is None:
        # What most orders are.
        return (_line(known, 0, order.items[0])[1],), (0,)
    lines: dict[int, Line] = {}
    origins: dict[int, int] = {}
    named: dict[int, list[str]] = {}
    for number, item in enumerate(order.items):
        if item.seat_ids is not None:
            for tier_no, seat_ids in _seats_by_tier(known, number, item, named).items():
                named.setdefault(tier_no, []).extend(seat_ids)
                origins.setdefault(tier_no, number)
            continue
        tier_no, line = _line(known, number, item)
        if tier_no in origins:
            raise invalid(f"/items/{number}/tier_id", "stands on another line already")
        lines[tier_no], origins[tier_no] = line, number
    for tier_no, seat_ids in named.items():
        if tier_no in lines:
            number = origins[tier_no]
            raise invalid(f"/items/{number}", "has seats of a tier that stands on another line")
        lines[tier_no] = (tier_no, len(seat_ids), engine_seats.named(seat_ids))
    if sum(line[1] for line in lines.values()) > ORDER_PLACES_MAX:
        raise invalid("/items", f"has more than {ORDER_PLACES_MAX} places in all")
    assert len(lines) <= ORDER_LINES_MAX
    ordered = sorted(lines, key=origins.__getitem__)
    return tuple(lines[tier] for tier in ordered), tuple(origins[tier] for tier in ordered)


def refusal_of(
    known: Known, order: Order, tier_nos: Sequence[int], origins: Sequence[int], refused: Refused
) -> Problem:
    """
    Turn the refusal of an order into the answer, about the items as the client sent them.

    Args:
        tier_nos, origins: For each line of the order its tier, and the item that it came from.
    """
    line = refused.fields.get("line")
    if line is None:
        return refusal(refused)
    number = origins[int(line) - 1]
    if refused.status is Status.UNKNOWN_TIER:
        return _unknown(known, number, order.items[number].seat_ids, tier_nos[int(line) - 1])
    if "seat_id" in refused.fields:
        for at, item in enumerate(order.items):
            seat_ids = item.seat_ids or []
            if refused.fields["seat_id"] in seat_ids:
                number = at
                if refused.status is Status.UNKNOWN_SEAT:
                    place = seat_ids.index(str(refused.fields["seat_id"]))
                    return _unknown_seat(at, place)
    return refusal(Refused(refused.status, refused.fields | {"line": number + 1}))


def _unknown(known: Known, number: int, seat_ids: Sequence[str] | None, tier_no: int) -> Problem:
    """Answer as for a tier that is not there: it is hidden, or Redis does not have it."""
    for place, seat_id in enumerate(seat_ids or ()):
        numbers = parse_seat_id(seat_id)
        if numbers and known.section_tiers.get(numbers[0]) == tier_no:
            return _unknown_seat(number, place)
    return invalid(f"/items/{number}/tier_id", NO_TIER)


def _unknown_seat(number: int, place: int) -> Problem:
    return invalid(f"/items/{number}/seat_ids/{place}", "is not a seat of this event")


def draft_sections(body: NewEvent) -> list[Section]:
    """Turn a draft's sections into rows that still lack their event; raise the first problem."""
    tier_nos: dict[str | int, int] = {}
    for number, tier in enumerate(body.tiers):
        tier_nos[number] = number + 1
        tier_nos.setdefault(tier.name, number + 1)
    sections = []
    for number, section in enumerate(body.sections):
        pointer = f"/sections/{number}"
        tier_no = tier_nos.get(section.tier)
        if tier_no is None:
            raise invalid(f"{pointer}/tier", "is neither the name nor the index of a tier")
        sections.append(_section(pointer, number + 1, tier_no, section))
    return sections


def capacities(body: NewEvent, sections: Iterable[Section]) -> list[int]:
    """Return the capacity of each tier: what is given, or its number of seats."""
    seats: dict[int, int] = {}
    for section in sections:
        count = sum(map(int, section.row_seats.split(",")))
        seats[section.tier_no] = seats.get(section.tier_no, 0) + count
    found = []
    for number, tier in enumerate(body.tiers):
        capacity = seats.get(number + 1, tier.capacity)
        if capacity is None:
            raise invalid(f"/tiers/{number}/capacity", "is required where the tier has no seats")
        if tier.capacity not in (None, capacity):
            raise invalid(f"/tiers/{number}/capacity", f"is not its number of seats, {capacity}")
        found.append(capacity)
    return found


def as_loaded(section: Section) -> engine_seats.Section:
    """Return a section as the engine loads it."""
    rows = tuple(map(int, section.row_seats.split(",")))
    return engine_seats.Section(section.section_no, section.tier_no, rows, section.kinds)


def _line(known: Known, number: int, item: OrderItem) -> tuple[int, Line]:
    """Turn an item that names a tier into its line."""
    if item.tier_id is None:
        raise invalid(f"/items/{number}/tier_id", "is required")
    if item.quantity is None:
        raise invalid(f"/items/{number}/quantity", "is required")
    tier_no = known.tier_nos.get(item.tier_id)
    if tier_no is None:
        raise invalid(f"/items/{number}/tier_id", NO_TIER)
    if not item.best_available:
        if item.split or item.accessible:
            name = "split" if item.split else "accessible"
            raise invalid(f"/items/{number}/{name}", "needs best_available")
        return tier_no, (tier_no, item.quantity)
    if tier_no not in known.section_tiers.values():
        raise invalid(f"/items/{number}/best_available", "the tier has no seats")
    wish = engine_seats.best(split=item.split, accessible=item.accessible)
    return tier_no, (tier_no, item.quantity, wish)


def _seats_by_tier(
    known: Known, number: int, item: OrderItem, named: Mapping[int, Sequence[str]]
) -> dict[int, list[str]]:
    """Sort the seats of an item by their tier."""
    for name in ("tier_id", "quantity", "best_available", "split", "accessible"):
        if getattr(item, name):
            raise invalid(f"/items/{number}/{name}", "does not go with seat_ids")
    found: dict[int, list[str]] = {}
    seen = {seat_id for seat_ids in named.values() for seat_id in seat_ids}
    for place, seat_id in enumerate(item.seat_ids or []):
        numbers = parse_seat_id(seat_id)
        tier_no = known.section_tiers.get(numbers[0]) if numbers else None
        if tier_no is None:
            raise _unknown_seat(number, place)
        if seat_id in seen:
            raise invalid(f"/items/{number}/seat_ids/{place}", "is named twice")
        seen.add(seat_id)
        found.setdefault(tier_no, []).append(seat_id)
    return found


def _section(pointer: str, section_no: int, tier_no: int, section: NewSection) -> Section:
    if "\0" in section.name:
        raise invalid(f"{pointer}/name", "must not contain NUL")
    kinds = []
    rows: list[dict[str, Any]] = []
    counts = []
    for number, row in enumerate(section.rows):
        count = row.seats if isinstance(row.seats, int) else len(row.seats)
        counts.append(count)
        kinds.append(_kinds(row))
        rows.append(_row(f"{pointer}/rows/{number}", row))
    if sum(counts) > SECTION_SEATS_MAX:
        raise invalid(f"{pointer}/rows", f"have more than {SECTION_SEATS_MAX} seats")
    has_kinds = any(digit != "0" for text in kinds for digit in text)
    return Section(
        event_id="",
        section_no=section_no,
        tier_no=tier_no,
        name=section.name,
        row_seats=",".join(map(str, counts)),
        kinds="/".join(kinds) if has_kinds else "",
        rows=msgspec.json.encode(rows).decode(),
    )


def _kinds(row: NewRow) -> str:
    if isinstance(row.seats, int):
        return "0" * row.seats
    return "".join(map(str, map(_kind, row.seats)))


def _kind(seat: NewSeat) -> int:
    return (
        ACCESSIBLE * seat.accessible + RESTRICTED_VIEW * seat.restricted_view + AISLE * seat.aisle
    )


def _row(pointer: str, row: NewRow) -> dict[str, Any]:
    """Return what people need of a row: its name, and its labels if they are not 1, 2, 3, ..."""
    if "\0" in row.name:
        raise invalid(f"{pointer}/name", "must not contain NUL")
    if isinstance(row.seats, int):
        return {"name": row.name}
    labels = [seat.label for seat in row.seats]
    for number, label in enumerate(labels):
        if "\0" in label or label in labels[:number]:
            raise invalid(f"{pointer}/seats/{number}/label", "must be its row's own, without NUL")
    return {"name": row.name, "labels": labels}
