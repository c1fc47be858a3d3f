"""The waitlist: wait for places that return, see where one stands, accept or decline an offer."""

from __future__ import annotations

import asyncio
import datetime as dt
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from aiohttp import web

from api import metrics
from api.catalog import Known
from api.handlers.bookings import answer_booking, catch_up
from api.http import (
    PERSONAL,
    PRINCIPAL,
    answer,
    decode_cursor,
    encode_cursor,
    idempotency_key,
    page_limit,
    read_body,
)
from api.moments import moment_of
from api.orders import FINGERPRINT_BYTES, find_event
from api.problems import invalid, not_found, refusal
from api.schemas import Join, Offer, WaitlistEntry, WaitlistPage
from api.seating import NO_TIER
from api.services import SERVICES, Services
from engine import commands, keys
from engine.commands import Own
from engine.ids import (
    booking_of_offer,
    entry_id,
    entry_of_offer,
    event_id_range,
    is_id,
    offer_of_entry,
)
from engine.outcomes import Refused
from engine.status import Status
from engine.values import WaitEntry
from engine.waitlist import Position, read_entries
from store import events
from store import waitlist as store

_JOIN = msgspec.json.Decoder(Join)
_CANONICAL = msgspec.json.Encoder(order="sorted")
_FAR_AHEAD = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)


class Found(NamedTuple):
    """An entry as it is now, its name, and the event it belongs to."""

    own: Own
    known: Known
    entry: WaitEntry
    position: Position | None


async def join(request: web.Request) -> web.StreamResponse:
    """
    Wait for places of a tier, for the whole party or none.

    Places that return are offered in the order of joining, by the event's policy. Repeating the
    request with the same Idempotency-Key gives the same entry, as it is then.
    """
    services = request.app[SERVICES]
    event_id, user_id = request.match_info["event_id"], request[PRINCIPAL].user_id
    key = idempotency_key(request)
    body = await read_body(request, _JOIN)
    known = await find_event(services, event_id, frozenset({body.tier_id}))
    tier_no = known.tier_nos.get(body.tier_id)
    if tier_no is None:
        raise invalid("/tier_id", NO_TIER)
    if body.after_hold is not None and not is_id("hold", body.after_hold):
        raise invalid("/after_hold", "is not a hold")
    command = commands.Join(
        event_id=event_id,
        id=entry_id(event_id=event_id, user_id=user_id, idempotency_key=key),
        user_id=user_id,
        fingerprint=blake2b(_CANONICAL.encode(body), digest_size=FINGERPRINT_BYTES).hexdigest(),
        tier_no=tier_no,
        quantity=body.quantity,
        policy=known.waitlist_policy,
        patience_ms=known.waitlist_patience_ms,
        offer_ttl_ms=services.offer_ttl_ms,
        waiting_max=services.waitlist_entries_max,
        after_hold=body.after_hold or "",
    )
    outcome = await services.engine.join(known.shard, command)
    if isinstance(outcome, Refused):
        metrics.count(metrics.waitlist_of(outcome.status.value.lower()))
        if outcome.status is Status.UNKNOWN_TIER:
            raise invalid("/tier_id", NO_TIER)
        raise refusal(outcome)
    metrics.count(metrics.waitlist_of("replayed" if outcome.is_replay else "joined"))
    [found] = await _read(services, known, event_id, user_id, [command.id])
    headers = {"Location": f"/v1/waitlist/{command.id}", **PERSONAL}
    if outcome.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return answer(await _answer(services, found), status=201, headers=headers)


async def listing(request: web.Request) -> web.StreamResponse:
    """List one's entries, newest first, each as it is now."""
    services = request.app[SERVICES]
    limit, user_id = page_limit(request), request[PRINCIPAL].user_id
    before = decode_cursor(request, (_FAR_AHEAD, ""))
    up_to_date = await catch_up(services)
    rows = await store.of_user(services.pool, user_id, before=before, limit=limit + 1)
    page = rows[:limit]
    has_more = len(rows) > limit
    by_event: dict[str, list[str]] = {}
    for row in page:
        by_event.setdefault(row.event_id, []).append(row.id)
    found: dict[str, Found] = {}
    for event_id, ids in by_event.items():
        known = await find_event(services, event_id)
        for one in await _read(services, known, event_id, user_id, ids):
            found[one.own.id] = one
    answers = [_answer(services, found[row.id]) for row in page if row.id in found]
    body = WaitlistPage(
        data=list(await asyncio.gather(*answers)),
        has_more=has_more,
        next_cursor=encode_cursor(page[-1].joined_at, page[-1].id) if has_more else None,
        up_to_date=up_to_date,
    )
    return answer(body, headers=PERSONAL)


async def read(request: web.Request) -> web.StreamResponse:
    """Read an entry of one's own: where it stands, or what it was offered."""
    found = await _own(request, "wl", request.match_info["entry_id"])
    return answer(await _answer(request.app[SERVICES], found), headers=PERSONAL)


async def leave(request: web.Request) -> web.StreamResponse:
    """Leave the waitlist; an offer is declined by it. May be repeated."""
    found = await _own(request, "wl", request.match_info["entry_id"])
    outcome = await request.app[SERVICES].engine.leave(found.known.shard, found.own)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    return web.Response(status=204, headers=PERSONAL)


async def accept(request: web.Request) -> web.StreamResponse:
    """
    Turn an offer of one's own into a booking.

    An offer is used once: after its deadline the places are the next one's. May be repeated: the
    booking is the answer to every further acceptance.
    """
    offer_id = request.match_info["offer_id"]
    found = await _own(request, "offer", offer_id)
    services = request.app[SERVICES]
    own = found.own._replace(id=offer_id)
    promise = services.acks.promise(request, found.known.shard)
    outcome = await services.engine.confirm(found.known.shard, own)
    if isinstance(outcome, Refused):
        metrics.count(metrics.waitlist_of(outcome.status.value.lower()))
        raise refusal(outcome)
    metrics.count(metrics.waitlist_of("replayed" if outcome.is_replay else "accepted"))
    made = own._replace(id=booking_of_offer(offer_id))
    return await answer_booking(services, found.known, made, promise, outcome, ("", {}))


async def decline(request: web.Request) -> web.StreamResponse:
    """Give an offer of one's own back, for good; the next who waits gets the places."""
    services = request.app[SERVICES]
    offer_id = request.match_info["offer_id"]
    found = await _own(request, "offer", offer_id)
    outcome = await services.engine.release(found.known.shard, found.own._replace(id=offer_id))
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    [now] = await _read(services, found.known, *found.own[::2], [found.own.id])
    return answer(await _answer(services, now), headers=PERSONAL)


async def _own(request: web.Request, prefix: str, own_id: str) -> Found:
    """Return the entry of the path, or of its offer, if it is the caller's; else 404 (S8)."""
    if not is_id(prefix, own_id):
        raise not_found()
    services, user_id = request.app[SERVICES], request[PRINCIPAL].user_id
    wanted = own_id if prefix == "wl" else entry_of_offer(own_id)
    for event_id in await events.ids_between(services.pool, *event_id_range(own_id)):
        known = await find_event(services, event_id)
        found = await _read(services, known, event_id, user_id, [wanted])
        was_offered = found and found[0].entry.status not in {"waiting", "left"}
        if found and (prefix == "wl" or was_offered):
            return found[0]
    raise not_found()


async def _read(
    services: Services, known: Known, event_id: str, user_id: str, ids: list[str]
) -> list[Found]:
    """Return those of the entries that are there and the user's own."""
    services.engine.reign(known.shard)
    rows = await read_entries(
        services.engine.client(known.shard), keys.event(known.shard, event_id), ids
    )
    return [
        Found(Own(event_id, own_id, user_id), known, entry, position)
        for own_id, (entry, position) in rows.items()
        if entry.user_id == user_id
    ]


async def _answer(services: Services, found: Found) -> WaitlistEntry:
    own, known, entry, position = found
    offer, booking = None, None
    if entry.status == "offered":
        offer_id = offer_of_entry(own.id)
        hold = await services.engine.read_hold(known.shard, own.event_id, offer_id)
        if hold is not None:
            offer = Offer(id=offer_id, expires_at=moment_of(hold.expires_at_ms))
    elif entry.status == "accepted":
        booking = booking_of_offer(offer_of_entry(own.id))
    estimate_s = None
    if position is not None and position.ahead_places is not None:
        rate = await store.places_per_s(services.pool, own.event_id, entry.tier_no)
        if rate is not None:
            estimate_s = round((position.ahead_places + entry.quantity) / rate)
    return WaitlistEntry(
        id=own.id,
        event_id=own.event_id,
        tier_id=known.tier_ids[entry.tier_no],
        quantity=entry.quantity,
        status=entry.status,  # type: ignore[arg-type]  # The scripts know the same words.
        policy=known.waitlist_policy,  # type: ignore[arg-type]  # As does the database.
        position=position.position if position else None,
        ahead_places=position.ahead_places if position else None,
        estimate_s=estimate_s,
        joined_at=moment_of(entry.at_ms),
        offer=offer,
        booking_id=booking,
        seq=entry.seq,
    )
