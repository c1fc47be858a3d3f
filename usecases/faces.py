"""What a ticket says to people: its event, its tier and its seat by their names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from engine.seats import parse_seat_id
from engine.ticket_codes import TicketCode
from engine.values import parse_items
from store import events, seats
from store.pool import UNANSWERED
from store.tickets import Ticket
from usecases.catalog import Known
from usecases.seats import seat_of
from usecases.services import Services
from usecases.told import TicketSeat


class Face(NamedTuple):
    """What stands on a ticket, beside what it is used for."""

    event_name: str
    starts_at: dt.datetime
    timezone: str
    venue: str
    tier_id: str
    tier_name: str
    seat: TicketSeat | None


async def of_tickets(services: Services, tickets: Sequence[Ticket]) -> list[Face]:
    """Return the face of each ticket; three queries, however many there are."""
    event_ids = list({ticket.event_id for ticket in tickets})
    posters = await events.posters(services.pools.own, event_ids)
    tiers = {
        (tier.event_id, tier.tier_no): tier
        for own in (await events.tiers_of(services.pools.own, event_ids)).values()
        for tier in own
    }
    places = {
        (ticket.event_id, place[0])
        for ticket in tickets
        if ticket.seat_id and (place := parse_seat_id(ticket.seat_id))
    }
    sections = await seats.named(services.pools.own, places)
    faces = []
    for ticket in tickets:
        poster, tier = posters[ticket.event_id], tiers[ticket.event_id, ticket.tier_no]
        place = parse_seat_id(ticket.seat_id or "")
        section = sections.get((ticket.event_id, place[0])) if place else None
        seat = seat_of(section, ticket.seat_id or "") if section else None
        faces.append(Face(*poster, tier.id, tier.name, seat))
    return faces


async def at_gate(services: Services, known: Known, code: TicketCode) -> Face:
    """
    Return the face of a scanned ticket, whether or not PostgreSQL knows of its booking, or answers.

    Cost: one read of Redis; of PostgreSQL, one now and then for all scans of an event.
    """
    poster = await services.catalog.poster(code.event_id)
    seat_id = await _seat_id(services, known, code)
    seat = None
    if seat_id is not None and (place := parse_seat_id(seat_id)):
        try:
            sections = await services.catalog.sections(code.event_id)
        except UNANSWERED:
            sections = []  # The guest comes in nonetheless.
        for section in sections:
            if section.section_no == place[0]:
                seat = seat_of(section, seat_id)
    tier_id = known.tier_ids.get(code.tier_no, "")
    return Face(*poster, tier_id, known.tier_names.get(code.tier_no, ""), seat)


async def _seat_id(services: Services, known: Known, code: TicketCode) -> str | None:
    """Return the seat of a ticket, as its booking was made with it."""
    booking = await services.engine.read_booking(known.shard, code.event_id, code.booking_id)
    if booking is None:
        return None
    made_with = booking.items + (f"/{booking.cuts}" if booking.cuts else "")
    seats_of_all: list[str | None] = []
    for item in parse_items(made_with):
        seats_of_all += item.seat_ids or (None,) * item.quantity
    return seats_of_all[code.number - 1] if code.number <= len(seats_of_all) else None
