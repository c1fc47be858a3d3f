"""The waitlist: wait for places that return, see where one stands, accept or decline an offer."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import NamedTuple

import msgspec

from engine import commands
from engine.commands import Own
from engine.durability import Durability
from engine.errors import OutcomeUnknown, ShardUnavailable
from engine.ids import booking_of_offer, entry_id, entry_of_offer, is_id, offer_of_entry
from engine.outcomes import Refused
from engine.status import Status
from engine.values import WaitEntry
from engine.waitlist import Position
from store import bookings
from store import waitlist as store
from usecases import metrics, told
from usecases.asked import Join
from usecases.bookings import Made, made
from usecases.catalog import Known
from usecases.denials import Done, as_value, granted, invalid, not_found
from usecases.moments import moment_of
from usecases.orders import NO_TIER, fingerprint_of, items_of
from usecases.services import Services
from usecases.tokens import Principal

#: Statuses that say why an entry ended, and those of them that are told as `left`.
_WHY = {"limit", "too_large", "event_cancelled"}
_LEFT = _WHY - {"event_cancelled"}


class Waiting(NamedTuple):
    """An entry as it is now, its name, and the event it belongs to."""

    own: Own
    known: Known
    entry: WaitEntry
    position: Position | None


@as_value
async def join(
    services: Services, person: Principal, event_id: str, key: str, asked: Join
) -> Done[told.WaitlistEntry]:
    """
    Wait for places of a tier, for the whole party or none.

    Idempotency: the same key gives the same entry, as it is then.
    """
    known = await services.catalog.need(event_id, frozenset({asked.tier_id}), person=person)
    tier_no = known.tier_nos.get(asked.tier_id)
    if tier_no is None:
        raise invalid("/tier_id", NO_TIER)
    if asked.after_hold is not None and not is_id("hold", asked.after_hold):
        raise invalid("/after_hold", "is not a hold")
    own_id = entry_id(event_id=event_id, user_id=person.user_id, idempotency_key=key)
    command = commands.Join(
        event_id=event_id,
        id=own_id,
        user_id=person.user_id,
        fingerprint=fingerprint_of(asked),
        tier_no=tier_no,
        quantity=asked.quantity,
        policy=known.waitlist_policy,
        patience_ms=known.waitlist_patience_ms,
        offer_ttl_ms=services.offer_ttl_ms,
        waiting_max=services.waitlist_entries_max,
        after_hold=asked.after_hold or "",
    )
    outcome = await services.engine.join(known.shard, command)
    metrics.count_outcome(metrics.waitlist_of, outcome, "joined")
    if isinstance(outcome, Refused) and outcome.status is Status.UNKNOWN_TIER:
        raise invalid("/tier_id", NO_TIER)
    done = granted(outcome)
    [found] = await _read(services, known, event_id, person.user_id, [own_id])
    return Done(await _view(services, found), done.is_replay)


@as_value
async def mine(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Page[told.WaitlistEntry]:
    """
    Return a page of the person's entries, newest first, each as it is now.

    Of an event whose shard is shut, each as PostgreSQL has it: the page is not up to date.
    """
    up_to_date = await services.catch_up()
    rows = await store.of_user(services.pools.own, person.user_id, before=before, limit=limit + 1)
    page = rows[:limit]
    by_event: dict[str, list[store.Listed]] = {}
    for row in page:
        by_event.setdefault(row.event_id, []).append(row)
    views: dict[str, told.WaitlistEntry] = {}
    for event_id, listed in by_event.items():
        known = await services.catalog.need(event_id)
        try:
            ids = [row.id for row in listed]
            found = await _read(services, known, event_id, person.user_id, ids)
            now = await asyncio.gather(*(_view(services, one) for one in found))
        except (ShardUnavailable, OutcomeUnknown):
            up_to_date, now = False, []
        views |= {view.id: view for view in now}
        for row in listed:
            if row.id not in views:
                views[row.id] = await _view_of_row(services, known, row)
    last = (page[-1].joined_at, page[-1].id) if len(rows) > limit else None
    return told.Page([views[row.id] for row in page], last, up_to_date)


@as_value
async def read(services: Services, person: Principal, own_id: str) -> told.WaitlistEntry:
    """Return an entry of the person's own: where it stands, or what it was offered."""
    return await _view(services, await _own(services, person, "wl", own_id))


@as_value
async def offered(services: Services, person: Principal, own_id: str) -> list[told.BookingItem]:
    """Return the places that an entry of the person's own is offered; none without an offer."""
    found = await _own(services, person, "wl", own_id)
    if found.entry.status != "offered":
        return []
    shard, event_id = found.known.shard, found.own.event_id
    hold = await services.engine.read_hold(shard, event_id, offer_of_entry(own_id))
    return items_of(found.known, hold.items) if hold is not None else []


@as_value
async def leave(services: Services, person: Principal, own_id: str) -> None:
    """Leave the waitlist; an offer is declined by it. May be repeated."""
    found = await _own(services, person, "wl", own_id)
    granted(await services.engine.leave(found.known.shard, found.own))


@as_value
async def accept(
    services: Services, person: Principal, offer_id: str, wanted: Durability | None
) -> Made:
    """
    Turn an offer of the person's own into a booking.

    An offer is used once: after its deadline the places are the next one's. May be repeated: the
    booking is the answer to every further acceptance.
    """
    found = await _own(services, person, "offer", offer_id)
    own = found.own._replace(id=offer_id)
    promise = services.acks.promise(wanted, found.known.shard)
    outcome = await services.engine.confirm(found.known.shard, own)
    metrics.count_outcome(metrics.waitlist_of, outcome, "accepted")
    metrics.count_accepted(outcome, found.known.category)
    booking = own._replace(id=booking_of_offer(offer_id))
    return await made(services, found.known, booking, promise, granted(outcome))


@as_value
async def decline(services: Services, person: Principal, offer_id: str) -> told.WaitlistEntry:
    """Give an offer of the person's own back, for good; the next who waits gets the places."""
    found = await _own(services, person, "offer", offer_id)
    granted(await services.engine.release(found.known.shard, found.own._replace(id=offer_id)))
    [now] = await _read(services, found.known, *found.own[::2], [found.own.id])
    return await _view(services, now)


async def _own(services: Services, person: Principal, prefix: str, own_id: str) -> Waiting:
    """Return an entry, or that of an offer, if it is the person's; else it is not there (S8)."""
    if not is_id(prefix, own_id):
        raise not_found()
    wanted = own_id if prefix == "wl" else entry_of_offer(own_id)

    async def look(event_id: str, known: Known) -> Waiting | None:
        found = await _read(services, known, event_id, person.user_id, [wanted])
        was_offered = found and (found[0].entry.status == "offered" or found[0].entry.version > 2)
        return found[0] if found and (prefix == "wl" or was_offered) else None

    found = await services.catalog.look_up(own_id, look)
    if found is None:
        raise not_found()
    return found


async def _read(
    services: Services, known: Known, event_id: str, user_id: str, ids: list[str]
) -> list[Waiting]:
    """Return those of the entries that are there and the user's own."""
    rows = await services.engine.read_entries(known.shard, event_id, ids)
    return [
        Waiting(Own(event_id, own_id, user_id), known, entry, position)
        for own_id, (entry, position) in rows.items()
        if entry.user_id == user_id
    ]


async def _view(services: Services, found: Waiting) -> told.WaitlistEntry:
    own, known, entry, position = found
    offer, booking, booking_status = None, None, None
    if entry.status == "offered":
        offer_id = offer_of_entry(own.id)
        hold = await services.engine.read_hold(known.shard, own.event_id, offer_id)
        if hold is not None:
            offer = told.Offer(id=offer_id, expires_at=moment_of(hold.expires_at_ms))
    elif entry.status == "accepted":
        booking = booking_of_offer(offer_of_entry(own.id))
        kept = await services.engine.read_booking(known.shard, own.event_id, booking)
        booking_status = kept.status if kept else None
    estimate_s = None
    if position is not None and position.ahead_places is not None:
        rate = await store.places_per_s(services.pools.own, own.event_id, entry.tier_no)
        if rate is not None:
            estimate_s = round((position.ahead_places + entry.quantity) / rate)
    view = _told(own.event_id, known, own.id, entry, moment_of(entry.at_ms))
    return msgspec.structs.replace(
        view,
        position=position.position if position else None,
        ahead_places=position.ahead_places if position else None,
        estimate_s=estimate_s,
        offer=offer,
        booking_id=booking,
        booking_status=booking_status,
    )


async def _view_of_row(services: Services, known: Known, row: store.Listed) -> told.WaitlistEntry:
    """Return an entry as PostgreSQL has it: its place in the list, Redis alone can tell."""
    view = _told(row.event_id, known, row.id, row, row.joined_at)
    if row.status != "accepted":
        return view
    own_id = booking_of_offer(offer_of_entry(row.id))
    kept = await bookings.by_id(services.pools.own, own_id)
    return msgspec.structs.replace(
        view, booking_id=own_id, booking_status=kept.status if kept else None
    )


def _told(
    event_id: str,
    known: Known,
    own_id: str,
    entry: WaitEntry | store.Listed,
    joined_at: dt.datetime,
) -> told.WaitlistEntry:
    """Return what an entry says of itself."""
    return told.WaitlistEntry(
        id=own_id,
        event_id=event_id,
        tier_id=known.tier_ids[entry.tier_no],
        quantity=entry.quantity,
        # The scripts know the same words, as does the database.
        status="left" if entry.status in _LEFT else entry.status,  # type: ignore[arg-type]
        why=entry.status if entry.status in _WHY else None,  # type: ignore[arg-type]
        policy=known.waitlist_policy,  # type: ignore[arg-type]
        position=None,
        ahead_places=None,
        estimate_s=None,
        joined_at=joined_at,
        offer=None,
        booking_id=None,
        seq=entry.seq,
    )
