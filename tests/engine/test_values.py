"""The texts that Redis keeps: read and written, each way the same, and nothing else read."""

from __future__ import annotations

import pytest

from engine import cuts, values
from engine.records import Item

BOOKING = "1 3 17 1700 usr_1 abc"
CUT = "1:1:500,2:1:900/1x3x500,2x1x900/3-20-1800-1x1x500/3-21-1900-1x1x500"
#: A cut that names tickets, before one of a reign that wrote version 1 again; and one of seats.
NAMED = "1:1:500/1x3x500,2x1x900/3-20-1800-1x1x500,2x1x900#1+4/4-21-1900-1x1x500"
SEATS = "1:2:500:s1-7+s1-9/1x3x500xs1-7+s1-8+s1-9,2x1x900/3-20-1800-1x1x500,2x1x900#2+4"
ENTRY = "waiting 2 3 17 1700 usr_1 abc 4 2 100000000007 1750 3 19 1800"
SCANS = "scan-0001:in:1690:north:3:17:1700,scan-0002:refused:0:-:3:18:1800:1700:north"
TEXTS = [
    (values.parse_booking, values.booking_text, f"confirmed {BOOKING} 1:2:500"),
    (values.parse_booking, values.booking_text, f"confirmed {BOOKING} 1:2:500:s1-7+s1-8,2:1:0"),
    (values.parse_booking, values.booking_text, f"confirmed {BOOKING} {CUT}"),
    (values.parse_booking, values.booking_text, f"cancelled {BOOKING} 1:2:500 3 18 1800"),
    (values.parse_booking, values.booking_text, f"=2 confirmed {BOOKING} {NAMED}"),
    (values.parse_booking, values.booking_text, f"=2 cancelled {BOOKING} {SEATS} 3 30 1900"),
    (values.parse_hold, values.hold_text, f"held {BOOKING} 1:2:5:s1-7+s1-8 99 3 17 {{}}"),
    (values.parse_hold, values.hold_text, f'expired {BOOKING} 1:2:5 99 3 18 {{"a":"b c"}}'),
    (values.parse_entry, values.entry_text, ENTRY),
    (values.parse_ticket, values.ticket_text, "checked_in 2 usr_1 1700 north usr_9 3 17"),
    (values.parse_ticket, values.ticket_text, f"checked_in 2 usr_1 1700 north usr_9 3 17 {SCANS}"),
]


@pytest.mark.parametrize(("read", "write", "text"), TEXTS)
def test_each_way(read, write, text: str) -> None:  # type: ignore[no-untyped-def]
    """What is read is written again to the letter."""
    assert text == write(read(text.encode()))


@pytest.mark.parametrize(("read", "write", "text"), TEXTS)
def test_nothing_else_is_read(read, write, text: str) -> None:  # type: ignore[no-untyped-def]
    """A word too few, or one that is no number, is an error that shows the text."""
    words = text.split(" ")
    for damaged in (" ".join(words[:-2]), " ".join([words[0], "x", *words[2:]]), "\N{SNOWMAN}"):
        with pytest.raises(ValueError, match=r"^not a"):
            read(damaged.encode())


@pytest.mark.parametrize("text", [f"=2 confirmed {BOOKING} {CUT}", f"confirmed {BOOKING} {NAMED}"])
def test_mark_stands_where_tickets_are_named(text: str) -> None:
    """A mark that is too much, or missing, is an error."""
    with pytest.raises(ValueError, match=r"^not a booking"):
        values.parse_booking(text.encode())


def test_items() -> None:
    """Lines with and without seats are read, written, and turned into a record's rows."""
    text = "1:2:500:s1-7+s1-8,2:1:0"
    items = (Item(1, 2, 500, ("s1-7", "s1-8")), Item(2, 1, 0))
    assert (items, text) == (values.parse_items(text), values.items_text(items))
    assert '[[1,2,500,["s1-7","s1-8"]],[2,1,0]]' == values.item_rows(text)
    assert ([(1, 2), (2, 1)], []) == (values.lines_of(text), values.lines_of(""))


@pytest.mark.parametrize("text", [CUT, NAMED, SEATS])
def test_cuts(text: str) -> None:
    """What a booking was made with, what was cut, and what is left, agree."""
    live, _, kept = text.partition("/")
    first, gone = cuts.split_cuts(kept)
    assert kept == cuts.join_cuts(first, gone)
    assert live == cuts.items_left(first, gone)
    assert first == values.items_text(values.parse_items(text))
    assert live == values.items_text(values.parse_live_items(text))
    assert cuts.join_cuts(first, []) is None


def test_tickets_of_cuts() -> None:
    """Tickets that are named went; where none are, the last of each tier that were left."""
    kept = CUT.partition("/")[2]
    assert frozenset({2, 3}) == cuts.tickets_gone(kept)
    assert frozenset({1, 3, 4}) == cuts.tickets_gone(NAMED.partition("/")[2])
    assert frozenset() == cuts.tickets_gone(None)
    [cut] = cuts.split_cuts(SEATS.partition("/")[2])[1]
    assert ("1:1:500:s1-8,2:1:900", (2, 4), True) == (cut.items, cut.tickets, cut.is_named)
