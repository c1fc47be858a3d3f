"""Holds: places set aside until a deadline, then confirmed, released, or over."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from aiohttp import web

from api import metrics
from api.catalog import Known
from api.handlers.bookings import answer_booking
from api.http import PERSONAL, PRINCIPAL, answer
from api.moments import moment_of
from api.orders import detail_of, find_event, items_of, receive, total_of
from api.problems import Problem, not_found, refusal
from api.schemas import Hold
from api.services import SERVICES
from engine import commands, values
from engine.commands import Own
from engine.ids import booking_of_hold, event_id_range, hold_id, is_id
from engine.outcomes import Refused
from engine.status import Status
from store import events


async def create(request: web.Request) -> web.StreamResponse | Problem:
    """
    Set places aside.

    They are yours until `expires_at`; confirm before. Repeating the request with the same
    Idempotency-Key gives the same hold, with the deadline it has then.
    """
    services = request.app[SERVICES]
    received = await receive(request, hold_id, ttl_ms=services.hold_ttl_ms)
    promise = services.acks.promise(request, received.known.shard)
    outcome = await services.engine.hold(received.known.shard, received.command)
    if isinstance(outcome, Refused):
        metrics.count(metrics.holds_of(outcome.status.value.lower()))
        return received.refusal(outcome)
    metrics.count(metrics.holds_of("replayed" if outcome.is_replay else "held"))
    command, known = received.command, received.known
    await services.acks.keep(promise, known.shard, outcome)
    body = Hold(
        id=command.id,
        event_id=command.event_id,
        status="held",
        items=items_of(known, outcome.items),
        total=total_of(known, outcome.items),
        created_at=moment_of(outcome.at_ms),
        expires_at=moment_of(outcome.expires_at_ms),
        booking_id=None,
        seq=outcome.seq,
        durability=promise.level,
    )
    headers = {"Location": f"/v1/holds/{command.id}", **PERSONAL, **promise.headers}
    if outcome.is_replay:
        # It may have ended since: tell what it is now.
        now = _answer(await _find(request, command.id))
        body = msgspec.structs.replace(now, durability=promise.level)
        headers["Idempotent-Replayed"] = "true"
    return answer(body, status=201, headers=headers)


async def read(request: web.Request) -> web.StreamResponse:
    """Read a hold of one's own; what became of it is remembered for a day."""
    return answer(_answer(await _own(request)), headers=PERSONAL)


async def confirm(request: web.Request) -> web.StreamResponse:
    """
    Turn a hold of one's own into a booking.

    Late is not too late while the places are still there. May be repeated: the booking is the
    answer to every further confirmation.
    """
    services = request.app[SERVICES]
    found = await _own(request)
    promise = services.acks.promise(request, found.known.shard)
    outcome = await services.engine.confirm(found.known.shard, found.own)
    if isinstance(outcome, Refused):
        metrics.count(metrics.bookings_of(outcome.status.value.lower()))
        problem = refusal(outcome)
        if outcome.status is Status.HOLD_EXPIRED:
            # Who came too late may wait in the first place, once: `waitlist` takes this.
            problem.members["after_hold"] = found.own.id
        raise problem
    metrics.count(metrics.bookings_of("replayed" if outcome.is_replay else "confirmed"))
    made = found.own._replace(id=booking_of_hold(found.own.id))
    return await answer_booking(
        services, found.known, made, promise, outcome, detail_of(found.hold.detail)
    )


async def extend(request: web.Request) -> web.StreamResponse:
    """Move the deadline of a hold of one's own, up to the longest life of a hold."""
    services = request.app[SERVICES]
    found = await _own(request)
    command = commands.Extend(*found.own, services.hold_ttl_ms, services.hold_life_max_ms)
    outcome = await services.engine.extend(found.known.shard, command)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    hold = found.hold._replace(expires_at_ms=outcome.expires_at_ms)
    return answer(_answer(found._replace(hold=hold)), headers=PERSONAL)


async def release(request: web.Request) -> web.StreamResponse:
    """Give a hold of one's own back. May be repeated; a hold that is over stays over."""
    found = await _own(request)
    outcome = await request.app[SERVICES].engine.release(found.known.shard, found.own)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    return web.Response(status=204, headers=PERSONAL)


class Found(NamedTuple):
    """A hold, its name, and the event it belongs to."""

    own: Own
    known: Known
    hold: values.Hold


async def _own(request: web.Request) -> Found:
    """Return the hold of the path if it is the caller's; else 404, whatever it is (S8)."""
    own_id = request.match_info["hold_id"]
    if not is_id("hold", own_id):
        raise not_found()
    return await _find(request, own_id)


async def _find(request: web.Request, own_id: str) -> Found:
    """
    Look a hold up by its id alone.

    The id begins with the time its event was made, to the ms, which leads to the event; where
    several were made in the same ms, each is asked.
    """
    services = request.app[SERVICES]
    user_id = request[PRINCIPAL].user_id
    for event_id in await events.ids_between(services.pool, *event_id_range(own_id)):
        known = await find_event(services, event_id)
        hold = await services.engine.read_hold(known.shard, event_id, own_id)
        if hold is not None and hold.user_id == user_id:
            return Found(Own(event_id, own_id, user_id), known, hold)
    raise not_found()


def _answer(found: Found) -> Hold:
    own, known, hold = found
    return Hold(
        id=own.id,
        event_id=own.event_id,
        status=hold.status,  # type: ignore[arg-type]  # The scripts know the same words.
        items=items_of(known, hold.items),
        total=total_of(known, hold.items),
        created_at=moment_of(hold.at_ms),
        expires_at=moment_of(hold.expires_at_ms),
        booking_id=booking_of_hold(own.id) if hold.status == "confirmed" else None,
        seq=hold.seq,
    )
