"""Entries for calendars: as RFC 5545 has them, and as a library reads them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import icalendar

from papers import calendar
from papers.values import CalendarEntry
from tests.papers.looks import occasion

WRITTEN = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Evently//Tickets//EN
METHOD:PUBLISH
BEGIN:VEVENT
SUMMARY:Night\\, with \\; and \\\\
DTSTART:20270621T173000Z
DTEND:20270621T210000Z
DTSTAMP:20270101T120000Z
UID:bk_1@evently
SEQUENCE:3
DESCRIPTION:2 × Standard\\nBooking: bk_1
LOCATION:Old Harbour Hall\\, Quay Street 12\\, 20459 Hamburg
ORGANIZER;CN="River Concerts":invalid:nomail
STATUS:CONFIRMED
TRANSP:OPAQUE
END:VEVENT
END:VCALENDAR
"""


def entry(name: str = "Night, with ; and \\", *, is_cancelled: bool = False, **fields: Any) -> str:
    """Write an entry of an event."""
    own = CalendarEntry(
        uid="bk_1@evently",
        sequence=3,
        changed_at=dt.datetime(2027, 1, 1, 12, 0, 0, 999_999, tzinfo=dt.UTC),
        is_cancelled=is_cancelled,
        occasion=occasion(name=name, **fields),
        notes=("2 × Standard", "Booking: bk_1"),
    )
    return calendar.written(own).decode()


def test_written_as_it_should_be() -> None:
    """Each line is as the standard has it: UTC, escaped, ended by CR LF."""
    assert WRITTEN.replace("\n", "\r\n") == entry()


def test_cancelled_takes_itself_out() -> None:
    """A cancelled one has the same UID, and says so in both places that calendars look at."""
    cancelled = entry(is_cancelled=True).splitlines()
    assert {"METHOD:CANCEL", "STATUS:CANCELLED", "UID:bk_1@evently"} <= set(cancelled)


def test_read_by_a_library() -> None:
    """What was written is what is read, whatever stands in it; lines are folded within 75 bytes."""
    name = 'Ende; 日本語 🎉, \\n "q" ' * 9
    text = entry(name, venue="A\r\nATTENDEE:mailto:x@example.org", ends_at=None, organizer='A"B')
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    [event] = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert name == str(event["SUMMARY"])
    assert dt.datetime(2027, 6, 21, 17, 30, tzinfo=dt.UTC) == event.decoded("DTSTART")
    assert 3 == event["SEQUENCE"]
    # No line of its own can be written by who names a venue, and no end was told.
    assert not {"ATTENDEE", "DTEND"} & set(event)
