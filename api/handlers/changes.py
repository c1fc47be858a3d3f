"""What organizers do to an event that is being sold: change, close, reopen, cancel."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import web

from api.handlers.events import _find, _load, _own_event
from api.http import answer, read_body
from api.moments import moment_of, ms_of
from api.problems import Problem, invalid, not_found, refusal
from api.schemas import Cancellation, EventChange, Reopening
from api.services import SERVICES, Services
from engine.commands import Reopen, SetCapacity
from engine.emptier import Emptier
from engine.engine import ALL_TIERS
from engine.outcomes import Applied, Refused
from store import changes, events

_CHANGE = msgspec.json.Decoder(EventChange)
_REOPENING = msgspec.json.Decoder(Reopening)
_TEXTS = ("name", "description", "category", "venue")


async def change(request: web.Request) -> web.StreamResponse:
    """
    Change an event: texts at any time; capacities and the sale's end also while it is sold.

    Needs `If-Match` with the event's ETag, so that nobody overwrites what they have not seen.
    Capacities change all or none, and never below what is sold, held and blocked.
    """
    services = request.app[SERVICES]
    event = await _own_event(request)
    body = await read_body(request, _CHANGE)
    _match(request, event)
    capacities = await _capacities(services, event, body)
    closes_at = None if body.sale_closes_at is None else _utc(body.sale_closes_at)
    for name in _TEXTS:
        if "\0" in (getattr(body, name) or ""):
            raise invalid(f"/{name}", "must not contain NUL")
    if closes_at is not None and closes_at <= event.sale_opens_at:
        raise invalid("/sale_closes_at", "is not after sale_opens_at")
    is_draft = event.status == "draft"
    claimed = await changes.claim(
        services.pool,
        event.id,
        version=event.version,
        texts={name: getattr(body, name) for name in _TEXTS},
        draft_closes_at=closes_at if is_draft else None,
        draft_capacities=capacities if is_draft else {},
    )
    if not claimed:
        raise _stale()
    if not is_draft:
        if capacities:
            command = SetCapacity(event.id, tuple(capacities.items()))
            outcome = await services.engine.set_capacity(event.shard, command)
            await _settle(services, event, outcome, "/tiers/{}/capacity")
        if closes_at is not None:
            again = Reopen(event.id, ms_of(closes_at))
            await _settle(services, event, await services.engine.reopen(event.shard, again))
    return await _answer(services, event.id)


async def close(request: web.Request) -> web.StreamResponse:
    """End the sale now; live holds may still be confirmed. May be repeated."""
    services = request.app[SERVICES]
    event = await _own_event(request)
    await _settle(services, event, await services.engine.close(event.shard, event.id))
    return await _answer(services, event.id)


async def reopen(request: web.Request) -> web.StreamResponse:
    """Sell on until a later time. May be repeated."""
    services = request.app[SERVICES]
    event = await _own_event(request)
    body = await read_body(request, _REOPENING)
    command = Reopen(event.id, max(0, ms_of(_utc(body.sale_closes_at))))
    await _settle(services, event, await services.engine.reopen(event.shard, command))
    return await _answer(services, event.id)


async def cancel(request: web.Request) -> web.StreamResponse:
    """
    Call the event off, for good. Nobody gets a place from now on.

    All holds and bookings end in bounded steps: those of a small event before the answer, the
    others afterwards, even if this process ends. May be repeated.
    """
    services = request.app[SERVICES]
    event = await _own_event(request)
    outcome = await services.engine.cancel_event(event.shard, event.id)
    await _settle(services, event, outcome)
    await Emptier(services.engine.shards[event.shard]).empty(event.id)
    return await _progress(services, event, status=202)


async def cancellation(request: web.Request) -> web.StreamResponse:
    """Tell how many places of a cancelled event are still to be given back."""
    services = request.app[SERVICES]
    event = await _own_event(request)
    if event.status != "cancelled":
        raise not_found()
    return await _progress(services, event, status=200)


async def _progress(services: Services, event: events.Event, *, status: int) -> web.StreamResponse:
    outcome = await services.engine.availability(event.shard, event.id, promo_code=ALL_TIERS)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    left = sum(
        int(value) for name, value in outcome.stock.items() if name.endswith((".held", ".sold"))
    )
    body = Cancellation(
        event_id=event.id,
        status="cancelling" if left else "cancelled",
        places_left=left,
        as_of=moment_of(outcome.at_ms),
    )
    return answer(body, status=status, headers={"Cache-Control": "no-store"})


async def _settle(
    services: Services, event: events.Event, outcome: Applied | Refused, pointer: str = ""
) -> None:
    """Wait until PostgreSQL has the change, so that the answer shows it; raise a refusal."""
    if isinstance(outcome, Refused):
        problem = refusal(outcome)
        if pointer and problem.errors:
            line = int(problem.members.pop("line"))
            problem.errors = [(pointer.format(line), problem.title)]
        raise problem
    await services.watermark.reach(
        shard=event.shard,
        epoch=outcome.epoch,
        seq=outcome.seq,
        timeout_ms=services.catch_up_timeout_ms,
    )


async def _capacities(services: Services, event: events.Event, body: EventChange) -> dict[int, int]:
    """Return the wanted capacities by tier_no, in the order of the request."""
    if not body.tiers:
        return {}
    rows = (await events.tiers_of(services.pool, [event.id]))[event.id]
    numbers = {tier.id: tier.tier_no for tier in rows}
    found: dict[int, int] = {}
    for index, tier in enumerate(body.tiers):
        tier_no = numbers.get(tier.id)
        if tier_no is None or tier_no in found:
            why = "is not a tier of this event" if tier_no is None else "stands there already"
            raise invalid(f"/tiers/{index}/id", why)
        found[tier_no] = tier.capacity
    return found


def _match(request: web.Request, event: events.Event) -> None:
    given = request.headers.get("If-Match")
    if given is None:
        raise Problem(
            428,
            "precondition_required",
            "The request must say which version it changes.",
            errors=[("/headers/If-Match", "must be the event's ETag")],
        )
    if given.strip() not in {"*", _etag(event)}:
        raise _stale()


def _stale() -> Problem:
    return Problem(
        412,
        "precondition_failed",
        "The event has changed since; read it again.",
        errors=[("/headers/If-Match", "is not the event's ETag")],
    )


def _etag(event: events.Event) -> str:
    return f'"{event.version}-{event.status}"'


def _utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise invalid("/sale_closes_at", "is out of range") from error


async def _answer(services: Services, event_id: str) -> web.StreamResponse:
    event = await _find(services, event_id)
    return answer(await _load(services, event_id), headers={"ETag": _etag(event)})
