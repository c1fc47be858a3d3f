"""
Seats: their ids, what a buyer may wish of them, and a section as it is loaded.

A section's status in Redis is a string with one letter for each seat and a slash after each row
but the last. A seat's number is its place in that string, from 1, so that its id alone leads to
it: `s<section_no>-<seat_no>`. Clients take ids from the seat map and never make them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

SECTIONS_MAX = 200
SECTION_SEATS_MAX = 2_000
#: Seats that one `block` or `unblock` may name.
BLOCK_SEATS_MAX = 500

FREE, HELD, SOLD, BLOCKED = "f", "h", "s", "b"
ROW_END = "/"
#: What a seat is, added up.
ACCESSIBLE, RESTRICTED_VIEW, AISLE = 1, 2, 4

_SEAT_ID = re.compile(r"s([1-9][0-9]{0,2})-([1-9][0-9]{0,3})")
_WISH = re.compile(r"best(,split)?(,accessible)?")


class Section(NamedTuple):
    """A section as `seat` loads it; `rows` are numbers of seats."""

    section_no: int
    tier_no: int
    rows: tuple[int, ...]
    #: Empty, or a digit for each seat with a slash between rows.
    kinds: str = ""

    @property
    def seats(self) -> int:
        """Number of its seats."""
        return sum(self.rows)

    @property
    def first_seats(self) -> list[int]:
        """The number of each row's first seat."""
        first, numbers = 1, []
        for count in self.rows:
            numbers.append(first)
            first += count + 1
        return numbers

    def words(self) -> list[int | str]:
        """Return the words of the script that follow the epoch."""
        return [self.section_no, self.tier_no, ",".join(map(str, self.rows)), self.kinds]


class SeatName(NamedTuple):
    """What stands on a seat, beside its section."""

    row: str
    label: str


def section_of(section_no: int, tier_no: int, row_seats: str, kinds: str) -> Section:
    """Return a section from its layout: the numbers of its rows' seats, joined by commas."""
    return Section(section_no, tier_no, tuple(map(int, row_seats.split(","))), kinds)


def name_of(section: Section, rows: Iterable[Mapping[str, Any]], seat_no: int) -> SeatName | None:
    """
    Return what stands on a seat of a section; None if it has no such seat.

    Args:
        rows: `name` of each row, and perhaps `labels` of its seats; those of none are 1, 2, 3, ...
    """
    for row, first, count in zip(rows, section.first_seats, section.rows, strict=True):
        nth = seat_no - first
        if 0 <= nth < count:
            label = (row.get("labels") or [])[nth : nth + 1] or [str(nth + 1)]
            return SeatName(row["name"], label[0])
    return None


def seat_id(section_no: int, seat_no: int) -> str:
    """Return a seat's id."""
    return f"s{section_no}-{seat_no}"


def parse_seat_id(text: str) -> tuple[int, int] | None:
    """Return the numbers of section and seat that an id stands for; None if it is no id (S23)."""
    match = _SEAT_ID.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2]))


def named(seat_ids: Iterable[str]) -> str:
    """Wish for these seats."""
    return "+".join(seat_ids)


def best(*, split: bool = False, accessible: bool = False) -> str:
    """Wish for the best available; `split` allows pieces, `accessible` asks for such a seat."""
    return f"best{',split' if split else ''}{',accessible' if accessible else ''}"


def is_wish(text: str, quantity: int) -> bool:
    """Tell whether *text* is a wish for *quantity* places."""
    if _WISH.fullmatch(text):
        return True
    seat_ids = text.split("+")
    return len(set(seat_ids)) == len(seat_ids) == quantity and all(map(parse_seat_id, seat_ids))


def letters(section_no: int, status: str) -> Iterator[tuple[str, str]]:
    """Yield (seat id, letter) of each seat of a section's status."""
    for number, letter in enumerate(status, start=1):
        if letter != ROW_END:
            yield seat_id(section_no, number), letter
