"""Events as iCalendar files (RFC 5545), to be taken into a calendar and out of it again."""

from __future__ import annotations

import datetime as dt

from icalendar import Calendar, Event, vCalAddress, vText

from papers.values import CalendarEntry

#: No address of an organizer is told to strangers; a method asks for one (RFC 5546), and calendars
#: know this for none.
NO_ADDRESS = "invalid:nomail"


def written(entry: CalendarEntry) -> bytes:
    """
    Return an entry as a file of one event, in UTC, so that no calendar must know the venue's zone.

    A cancelled one takes away what an earlier file with the same UID has put into a calendar.
    """
    occasion = entry.occasion
    calendar = Calendar()
    calendar.add("prodid", "-//Evently//Tickets//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "CANCEL" if entry.is_cancelled else "PUBLISH")
    event = Event()
    event.add("uid", entry.uid)
    event.add("sequence", entry.sequence)
    event.add("dtstamp", _utc(entry.changed_at))
    event.add("dtstart", _utc(occasion.starts_at))
    if occasion.ends_at is not None:
        event.add("dtend", _utc(occasion.ends_at))
    event.add("summary", occasion.name)
    place = ", ".join(filter(None, (occasion.venue, occasion.address_line)))
    if place:
        event.add("location", place)
    if entry.notes:
        event.add("description", "\n".join(entry.notes))
    organizer = vCalAddress(NO_ADDRESS)
    organizer.params["CN"] = vText(occasion.organizer)
    event.add("organizer", organizer)
    event.add("status", "CANCELLED" if entry.is_cancelled else "CONFIRMED")
    event.add("transp", "OPAQUE")
    calendar.add_component(event)
    text: bytes = calendar.to_ical()
    return text


def _utc(moment: dt.datetime) -> dt.datetime:
    """Calendars count whole seconds."""
    return moment.astimezone(dt.UTC).replace(microsecond=0)
