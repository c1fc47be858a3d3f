"""Events as iCalendar files (RFC 5545), to be taken into a calendar and out of it again."""

from __future__ import annotations

import datetime as dt

from icalendar import Calendar, Event, vCalAddress, vText

from papers.values import CalendarEntry, CalendarFeed

#: No address of an organizer is told to strangers; a method asks for one (RFC 5546), and calendars
#: know this for none.
NO_ADDRESS = "invalid:nomail"


#: How often a calendar that is subscribed to is to be asked for.
FEED_EVERY = dt.timedelta(hours=4)


def written(entry: CalendarEntry) -> bytes:
    """
    Return an entry as a file of one event, in UTC, so that no calendar must know the venue's zone.

    A cancelled one takes away what an earlier file with the same UID has put into a calendar.
    """
    calendar = _calendar("CANCEL" if entry.is_cancelled else "PUBLISH")
    calendar.add_component(_event(entry))
    text: bytes = calendar.to_ical()
    return text


def feed(asked: CalendarFeed) -> bytes:
    """Return a calendar of several events, to be subscribed to; each goes on under its UID."""
    calendar = _calendar("PUBLISH")
    calendar.add("name", asked.name)
    calendar.add("x-wr-calname", asked.name)
    calendar.add("refresh-interval", FEED_EVERY, parameters={"VALUE": "DURATION"})
    for entry in asked.entries:
        calendar.add_component(_event(entry))
    text: bytes = calendar.to_ical()
    return text


def _calendar(method: str) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", "-//Evently//Tickets//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    return calendar


def _event(entry: CalendarEntry) -> Event:
    occasion = entry.occasion
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
    if occasion.organizer:
        organizer = vCalAddress(NO_ADDRESS)
        organizer.params["CN"] = vText(occasion.organizer)
        event.add("organizer", organizer)
    event.add("status", "CANCELLED" if entry.is_cancelled else "CONFIRMED")
    event.add("transp", "OPAQUE")
    return event


def _utc(moment: dt.datetime) -> dt.datetime:
    """Calendars count whole seconds."""
    return moment.astimezone(dt.UTC).replace(microsecond=0)
