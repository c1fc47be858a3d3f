"""Seats: the live map, and taking seats out of sale."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engine import outcomes
from engine.commands import ShiftSeats
from engine.seats import name_of, parse_seat_id
from store.seats import Section
from usecases import acts, events, told
from usecases.denials import Denied, Done, as_value, granted, invalid
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def read(
    services: Services, person: Principal | None, event_id: str, since: int, promo_code: str
) -> told.Seen[told.SeatMap]:
    """
    Return the seat map, or what changed after version *since* (-1: all).

    Sections of hidden tiers are shown to the event's organizer, and those that *promo_code*
    unlocks.
    """
    known = services.catalog.get(event_id) or await services.catalog.need(event_id, person=person)
    if not known.section_tiers:
        return told.Seen(told.SeatMap(event_id=event_id, version=0, sections=[]))
    code = promo_code
    if events.leads(person):
        code = await events.unlocking(services, person, known, event_id, promo_code)
    found = await services.engine.seats(known.shard, event_id, since=since, promo_code=code)
    if isinstance(found, outcomes.Refused):
        raise Denied(found.status, fields=found.fields)
    if isinstance(found, outcomes.SeatChanges):
        changes = [
            told.SeatChange(version=version, status=letter, seat_ids=list(seat_ids))
            for version, letter, seat_ids in found.changes
        ]
        view = told.SeatMap(event_id=event_id, version=found.version, changes=changes)
    else:
        rows = zip(await services.catalog.sections(event_id), found.statuses, strict=True)
        sections = [
            _section(section, known.tier_ids[section.tier_no], status)
            for section, status in rows
            if status
        ]
        view = told.SeatMap(event_id=event_id, version=found.version, sections=sections)
    return told.Seen(view, bool(code))


async def is_seated(services: Services, event: told.Event) -> bool:
    """Tell whether an event that is on sale has reserved seats."""
    if event.status == "draft":
        return False
    known = await services.catalog.find(event.id)
    return known is not None and bool(known.section_tiers)


@as_value
async def shift(
    services: Services,
    person: Principal,
    event_id: str,
    status: Literal["blocked", "free"],
    seat_ids: list[str],
) -> Done[told.SeatsShifted]:
    """Take free seats out of sale, or put blocked ones back: all or none. May be repeated."""
    event = await events.own(services, person, event_id, Act.DESK)
    for number, seat_id in enumerate(seat_ids):
        if parse_seat_id(seat_id) is None:
            raise invalid(f"/seat_ids/{number}", "is not a seat of this event")
        if seat_id in seat_ids[:number]:
            raise invalid(f"/seat_ids/{number}", "is named twice")
    verb = services.engine.block if status == "blocked" else services.engine.unblock
    what = "seats.block" if status == "blocked" else "seats.unblock"
    wish = {"seat_ids": seat_ids, "status": status}
    async with acts.intended(services.pools.organizers, person, what, event.id, after=wish) as act:
        outcome = await verb(event.shard, ShiftSeats(event.id, tuple(seat_ids)))
        done = granted(outcome, "/seat_ids/{}")
        act.before = {"status": "free" if status == "blocked" else "blocked"}
    view = told.SeatsShifted(event_id=event.id, status=status, seat_ids=seat_ids, seq=done.seq)
    return Done(view, done.is_replay)


def seat_of(section: Section, seat_id: str) -> told.TicketSeat | None:
    """Return a seat of a section by what stands on it; None if it is none of it."""
    place = parse_seat_id(seat_id)
    if place is None or place[0] != section.section_no:
        return None
    found = name_of(events.as_loaded(section), msgspec.json.decode(section.rows), place[1])
    if found is None:
        return None
    return told.TicketSeat(id=seat_id, section=section.name, row=found.row, label=found.label)


def _section(section: Section, tier_id: str, status: str) -> told.SeatSection:
    loaded = events.as_loaded(section)
    rows: list[dict[str, Any]] = msgspec.json.decode(section.rows)
    return told.SeatSection(
        section_no=section.section_no,
        name=section.name,
        tier_id=tier_id,
        rows=[
            told.SeatRow(name=row["name"], first_seat=first, seats=count, labels=row.get("labels"))
            for row, first, count in zip(rows, loaded.first_seats, loaded.rows, strict=True)
        ],
        kinds=section.kinds,
        status=status,
    )
