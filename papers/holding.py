"""What a holder has in hand, as papers say it: the same by whichever way it reaches them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from papers.values import CalendarEntry, Occasion, TicketSheet, TicketSheets
from papers.words import LANGUAGES


class TicketPlace(NamedTuple):
    """Where a ticket lets somebody in; without seats, its tier alone."""

    tier: str
    section: str = ""
    row: str = ""
    seat: str = ""


class HeldTickets(NamedTuple):
    """Tickets of one booking that somebody has, each with its number within the booking."""

    booking_id: str
    occasion: Occasion
    places: tuple[tuple[int, TicketPlace], ...]
    #: Of how many tickets the booking was made.
    of_count: int
    #: Whose they are; empty where nobody's name is known.
    holder: str
    #: One of `papers.words.LANGUAGES`.
    language: str


def occasion_of(
    *,
    name: str,
    venue: str,
    address: str,
    organizer: str,
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    doors_at: dt.datetime | None,
    timezone: str,
) -> Occasion:
    """Return an event as papers say it."""
    return Occasion(
        name=name,
        venue=venue,
        address=address,
        organizer=organizer,
        starts_at=starts_at,
        # One that does not end after its start is one whose end nobody told.
        ends_at=ends_at if ends_at > starts_at else None,
        doors_at=doors_at,
        timezone=timezone,
    )


def sheets_of(held: HeldTickets, codes: Iterable[str]) -> TicketSheets:
    """Return tickets to be drawn; *codes* are theirs, in order."""
    return TicketSheets(
        occasion=held.occasion,
        sheets=tuple(
            TicketSheet(
                code=code,
                **place._asdict(),
                holder=held.holder,
                booking_id=held.booking_id,
                number=number,
                count=held.of_count,
            )
            for code, (number, place) in zip(codes, held.places, strict=True)
        ),
        language=held.language,
    )


def entry_of(
    held: HeldTickets, own_id: str, *, sequence: int, changed_at: dt.datetime, is_cancelled: bool
) -> CalendarEntry:
    """
    Return a booking or a ticket for a calendar.

    Args:
        own_id: Of the booking or ticket.

        sequence: Grows with each change of the booking, the ticket or the event.

        changed_at: When it was last known to have changed.

        is_cancelled: It takes itself out.
    """
    words = LANGUAGES[held.language]
    places = Counter(
        f"{place.tier}, {words.place(place.section, place.row, place.seat)}"
        if place.section
        else place.tier
        for _, place in held.places
    )
    return CalendarEntry(
        uid=f"{own_id}@evently",
        sequence=sequence,
        changed_at=changed_at,
        is_cancelled=is_cancelled,
        occasion=held.occasion,
        notes=(
            *(f"{count} × {place}" for place, count in places.items()),
            f"{words.booking}: {held.booking_id}",
            f"{words.organizer}: {held.occasion.organizer}",
        ),
    )
