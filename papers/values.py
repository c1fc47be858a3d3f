"""What a paper says, as plain values; they come with every text already allowed and bounded."""

from __future__ import annotations

import datetime as dt

import msgspec


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as papers say it."""

    name: str
    venue: str
    address: str
    organizer: str
    starts_at: dt.datetime
    #: None where nobody told it.
    ends_at: dt.datetime | None
    doors_at: dt.datetime | None
    #: Of the venue, by its name in the tz database.
    timezone: str

    @property
    def address_line(self) -> str:
        """The address on one line, as far as it goes."""
        return ", ".join(filter(None, self.address.replace(",\n", "\n").split("\n")))


class TicketSheet(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket: lets one person in."""

    #: As a gate reads it.
    code: str
    tier: str
    #: Empty where the tier has no seats.
    section: str
    row: str
    seat: str
    #: Empty where nobody's name is known.
    holder: str
    booking_id: str
    #: Within its booking, from 1, and of how many.
    number: int
    count: int


class TicketSheets(msgspec.Struct, frozen=True, kw_only=True, tag="tickets"):
    """Tickets of one event to be drawn, one page each."""

    occasion: Occasion
    sheets: tuple[TicketSheet, ...]
    #: One of `papers.words.LANGUAGES`.
    language: str


class CalendarEntry(msgspec.Struct, frozen=True, kw_only=True, tag="entry"):
    """An event as a calendar takes it."""

    #: The same for as long as what it is of exists.
    uid: str
    #: Grows with each change of what the entry says.
    sequence: int
    #: When it was last known to have changed.
    changed_at: dt.datetime
    is_cancelled: bool
    occasion: Occasion
    #: What is said beside it, a line each.
    notes: tuple[str, ...]


class CalendarFeed(msgspec.Struct, frozen=True, kw_only=True, tag="feed"):
    """Events to come as a calendar that is subscribed to."""

    name: str
    entries: tuple[CalendarEntry, ...]


class ShareCard(msgspec.Struct, frozen=True, kw_only=True, tag="card"):
    """What is shown of an event where its address is shared."""

    occasion: Occasion
    #: One of `papers.words.LANGUAGES`.
    language: str


class CodeImage(msgspec.Struct, frozen=True, kw_only=True, tag="code"):
    """A text as a QR code."""

    text: str
    #: For mail, whose readers show no SVG.
    is_png: bool = False


#: Whatever can be drawn.
Paper = TicketSheets | CalendarEntry | CalendarFeed | ShareCard | CodeImage
