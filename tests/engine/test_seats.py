"""Seat ids, wishes, sections as loaded, and items and records that carry seats."""

from __future__ import annotations

from hashlib import sha1
from itertools import pairwise

import pytest

from engine.calls import call_of
from engine.commands import Order, ShiftSeats
from engine.errors import BadCommand, CorruptRecord
from engine.records import Blocked, Item, Seats, decode
from engine.seats import (
    BLOCK_SEATS_MAX,
    Section,
    best,
    is_wish,
    letters,
    named,
    parse_seat_id,
    seat_id,
)
from engine.values import parse_items
from engine.verbs import BOOK

NO_SEATS = "|s1|s1-|s0-1|s1-0|s01-1|s1-01|S1-1|s1-1\n|s1-1+s1-2|s1000-1|s1-10000|s١-1| s1-1"


@pytest.mark.parametrize("numbers", [(1, 1), (200, 2499), (12, 345)])
def test_seat_id_round_trip(numbers: tuple[int, int]) -> None:
    """An id stands for its section and seat."""
    assert numbers == parse_seat_id(seat_id(*numbers))


@pytest.mark.parametrize("text", NO_SEATS.split("|"))
def test_s23_bad_seat_id(text: str) -> None:
    """S23: nothing but a plain id is one, so that nothing else reaches a script or a record."""
    assert parse_seat_id(text) is None


@pytest.mark.parametrize(
    ("text", "quantity", "expected"),
    [
        (best(), 3, True),
        (best(split=True), 3, True),
        (best(split=True, accessible=True), 3, True),
        (best(accessible=True), 10, True),
        (named(["s1-1", "s2-2"]), 2, True),
        (named(["s1-1", "s2-2"]), 1, False),
        (named(["s1-1", "s1-1"]), 2, False),
        ("best,accessible,split", 1, False),
        ("best,", 1, False),
        ("", 0, False),
    ],
)
def test_wishes(text: str, quantity: int, expected: bool) -> None:
    """A wish is for the best, or names as many distinct seats as are wanted."""
    assert expected == is_wish(text, quantity)


def test_section_numbers() -> None:
    """A row's first number follows the slash of the row before; letters skip the slashes."""
    section = Section(3, 2, (4, 1, 2), "0000/1/24")
    assert [1, 6, 8] == section.first_seats
    assert 7 == section.seats
    assert [3, 2, "4,1,2", "0000/1/24"] == section.words()
    found = list(letters(3, "ffhs/b/ff"))
    assert [("s3-1", "f"), ("s3-6", "b"), ("s3-9", "f")] == [found[0], found[4], found[-1]]
    numbers = [parse_seat_id(seat) or (0, 0) for seat, _ in found]
    assert all(before < after for before, after in pairwise(numbers))


def test_items_with_seats() -> None:
    """Items read as they are kept, with seats where the tier has them."""
    assert (Item(1, 2, 500, ("s1-1", "s1-2")), Item(2, 1, 0)) == parse_items(
        "1:2:500:s1-1+s1-2,2:1:0"
    )


def test_order_words() -> None:
    """A wish travels behind its quantity; a general line is its tier and quantity."""
    order = Order("evt", "bk", "usr", "f", b"{}", ((1, 2, "s1-1+s1-2"), (2, 3)))
    order.check()
    words = ["1 1 3 0 0", b"0", "1 0 ~ 1:2:s1-1+s1-2;2:3", "bk", "usr", "f", "0\tbk\tusr\tf"]
    assert words == call_of(BOOK, 0, 1, [order]).words[1:]


def test_f21_block_bounds() -> None:
    """F21: one block names at most 500 seats; one more, or a double, never leaves the process."""
    ids = tuple(seat_id(1, n) for n in range(1, BLOCK_SEATS_MAX + 2))
    ShiftSeats("evt", ids[:-1]).check()
    for seat_ids in (ids, (), ("s1-1", "s1-1"), ("x",)):
        with pytest.raises(BadCommand):
            ShiftSeats("evt", seat_ids).check()


def test_blocked_record() -> None:
    """The record of a block decodes strictly."""
    body = b'{"kind":"blocked","version":1,"at_ms":1,"event_id":"e","seats":[[1,["s1-1","s1-2"]]]}'
    check = sha1(body).hexdigest()[:8].encode()  # noqa: S324 - a checksum
    expected = Blocked(version=1, at_ms=1, event_id="e", seats=[Seats(1, ("s1-1", "s1-2"))])
    assert expected == decode(check + body)
    broken = body.replace(b'"seats"', b'"seat"')
    with pytest.raises(CorruptRecord):
        decode(sha1(broken).hexdigest()[:8].encode() + broken)  # noqa: S324
