"""A section's seats as a page shows them: in rows, each with its label, what it is, and if free."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from engine.seats import ACCESSIBLE, FREE, ROW_END, parse_seat_id, seat_id
from usecases import told


class SeatNow(NamedTuple):
    """A seat of a row."""

    id: str
    label: str
    #: What it is, added up: `engine.seats`.
    kind: int
    is_free: bool
    is_chosen: bool = False


class RowNow(NamedTuple):
    """A row of seats."""

    #: From 1, by which it is found on the page.
    number: int
    name: str
    seats: Sequence[SeatNow]


class SectionNow(NamedTuple):
    """A section by what can be had of it."""

    section: told.SeatSection
    free: int
    #: Seats that can be reached without steps.
    accessible: int
    total: int


def summed(section: told.SeatSection) -> SectionNow:
    """Return how many seats of a section can be had."""
    kinds = section.kinds
    free = section.status.count(FREE)
    accessible = sum(
        letter == FREE and bool(_kind(kinds, number) & ACCESSIBLE)
        for number, letter in enumerate(section.status if kinds else "")
    )
    total = len(section.status) - section.status.count(ROW_END)
    return SectionNow(section, free, accessible, total)


def rows_of(section: told.SeatSection, chosen: Collection[str] = ()) -> list[RowNow]:
    """
    Return the rows of a section.

    Args:
        chosen: Ids of seats that somebody would like; of those, free ones are shown as chosen.
    """
    return [
        RowNow(number, row.name, [_seat(section, row, nth, chosen) for nth in range(row.seats)])
        for number, row in enumerate(section.rows, start=1)
    ]


def _seat(
    section: told.SeatSection, row: told.SeatRow, nth: int, chosen: Collection[str]
) -> SeatNow:
    number = row.first_seat + nth
    own_id = seat_id(section.section_no, number)
    is_free = section.status[number - 1] == FREE
    label = row.labels[nth] if row.labels else str(nth + 1)
    kind = _kind(section.kinds, number - 1)
    return SeatNow(own_id, label, kind, is_free, is_free and own_id in chosen)


def _kind(kinds: str, index: int) -> int:
    return int(kinds[index]) if kinds else 0


def beside(rows: Sequence[RowNow], own_id: str) -> SeatNow | None:
    """Return the free seat that is nearest to another in its row; None if its row has none."""
    for row in rows:
        at = next((nth for nth, seat in enumerate(row.seats) if seat.id == own_id), None)
        if at is not None:
            free = [nth for nth, seat in enumerate(row.seats) if seat.is_free]
            nearest = min(free, key=lambda nth: abs(nth - at), default=None)
            return None if nearest is None else row.seats[nearest]
    return None


def section_of(seat_map: told.SeatMap, section_no: int) -> told.SeatSection | None:
    """Return a section of a map by its number."""
    return next((one for one in seat_map.sections or () if one.section_no == section_no), None)


def is_of(own_id: str, section: told.SeatSection) -> bool:
    """Tell whether an id is that of a seat of a section."""
    place = parse_seat_id(own_id)
    if place is None or place[0] != section.section_no or place[1] > len(section.status):
        return False
    return section.status[place[1] - 1] != ROW_END
