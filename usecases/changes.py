"""What organizers do to an event that is being sold: change, close, reopen, cancel."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.commands import Reopen, SetCapacity
from engine.emptier import Emptier
from engine.engine import ALL_TIERS
from engine.outcomes import Applied, Refused
from engine.pools import parse, write
from engine.status import Status
from store import changes, events, seats, tenants
from usecases import acts, draft_times, told
from usecases.asked import EventChange
from usecases.denials import Denied, Why, as_value, granted, invalid, not_found
from usecases.drafts import ABOVE_POOL, doors_before, tags
from usecases.events import again, as_loaded, not_its_seats, own, seats_of_tiers, view, view_of
from usecases.moments import in_utc, moment_of, ms_of, over_at
from usecases.present import as_sold, is_untouched
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

_AFTER_END = "is after the event's end"
_HALF_PUBLISHED = "Its publishing has begun and is not through: publish it again, then change it."


@as_value
async def change(
    services: Services, person: Principal, event_id: str, edition: str | None, asked: EventChange
) -> told.Event:
    """
    Change an event: texts at any time; capacities and the sale's end also while it is sold.

    All of it or nothing, but for a fault between the two stores. The script decides first, in one
    call, and PostgreSQL takes the texts afterwards; whoever asks again finds another edition and
    what stands. Capacities are never below what is sold, held and blocked.

    Args:
        edition: What the person has seen of it (`told.edition`), or "*" for whatever it is.
    """
    closes_at = (
        None if asked.sale_closes_at is None else in_utc("sale_closes_at", asked.sale_closes_at)
    )
    # Of a stranger's wish nothing is noted.
    event = await own(services, person, event_id, Act.EDIT)
    if edition is None:
        raise Denied(Why.VERSION_WANTED)
    wish = _wish(asked, closes_at)
    pool = services.pools.organizers
    async with acts.intended(pool, person, "event.change", event.id, after=wish) as act:
        outcome = await _changed(services, event, edition, asked, closes_at, act)
    if outcome is not None:
        await services.settle(event.shard, outcome)
    return await view_of(services, event)


async def _changed(
    services: Services,
    event: events.Event,
    edition: str,
    asked: EventChange,
    closes_at: dt.datetime | None,
    act: acts.Intent,
) -> Applied | None:
    """Do what is asked for, and note it in the same transaction; return what the script did."""
    outcome = None
    async with tenants.rows_of(services.pools.organizers, event.organizer_id) as connection:
        await changes.alone(connection, event.id)
        event = await again(connection, event)
        rows = (await events.tiers_of(connection, [event.id]))[event.id]
        now, tiers = await as_sold(services.engine, event, rows)
        if edition != "*" and not told.shows(edition, view(now, tiers)):
            raise Denied(Why.VERSION_PASSED)
        act.before = _before(now, tiers, asked)
        seated = seats_of_tiers(map(as_loaded, await seats.of_event(connection, event.id)))
        capacities = _capacities(rows, seated, asked)
        pools = _pools(now, tiers, asked, capacities)
        opens_at = asked.sale_opens_at or event.sale_opens_at
        if closes_at is not None and ms_of(closes_at) <= ms_of(in_utc("sale_opens_at", opens_at)):
            raise invalid("/sale_closes_at", "is not after sale_opens_at")
        is_draft = is_untouched(event)
        times = _draft_times(event, rows, asked, is_draft=is_draft)
        if closes_at is not None and is_draft and times is None:
            _require_within(event, rows, closes_at)
        texts, doors = _texts(asked), None if times else _doors(event, asked)
        if not is_draft:
            # A seated tier has the capacity that it was asked to have.
            free = {no: places for no, places in capacities.items() if no not in seated}
            outcome = await _change_sale(services, event, free, pools, closes_at)
        if times is not None:
            await changes.move_draft(connection, event.organizer_id, event.id, times)
        if is_draft or doors or any(text is not None for text in texts.values()):
            is_changed = await changes.change(
                connection,
                event.organizer_id,
                event.id,
                texts=texts,
                doors=doors,
                is_draft=is_draft,
                draft_closes_at=closes_at if is_draft else None,
                draft_capacities=capacities if is_draft else None,
                draft_pools=_draft_pools(event, pools) if is_draft else "",
            )
            if not is_changed:  # Its publishing has begun meanwhile.
                raise Denied(Why.VERSION_PASSED)
        await act.done(connection)
    return outcome


def _wish(asked: EventChange, closes_at: dt.datetime | None) -> dict[str, Any]:
    """Return what is to change, by name."""
    wish: dict[str, Any] = {
        name: getattr(asked, name) for name in changes.TEXTS if getattr(asked, name) is not None
    }
    if closes_at is not None:
        wish["sale_closes_at"] = closes_at
    if asked.tiers:
        wish["capacities"] = {tier.id: tier.capacity for tier in asked.tiers}
    if asked.pools:
        wish["pools"] = {pool.name: pool.capacity for pool in asked.pools}
    return wish


def _before(now: events.Event, tiers: Sequence[events.Tier], asked: EventChange) -> dict[str, Any]:
    """Return what stands now where something is to change."""
    before = {
        name: getattr(now, name) for name in changes.TEXTS if getattr(asked, name) is not None
    }
    if asked.sale_closes_at is not None:
        before["sale_closes_at"] = now.sale_closes_at
    if asked.tiers:
        wanted = {tier.id for tier in asked.tiers}
        before["capacities"] = {tier.id: tier.capacity for tier in tiers if tier.id in wanted}
    if asked.pools:
        wanted = {pool.name for pool in asked.pools}
        pairs = zip(now.pool_names.split("\n"), parse(now.pools), strict=False)
        before["pools"] = {name: pool.capacity for name, pool in pairs if name in wanted}
    return before


def _draft_times(
    event: events.Event, rows: list[events.Tier], asked: EventChange, *, is_draft: bool
) -> changes.Times | None:
    """Return the times that a draft is to have; None if they stay; deny others than drafts."""
    name = draft_times.first_of_drafts(asked)
    if name is None:
        return None
    if not is_draft:
        raise invalid(f"/{name}", "is that of a sale that has begun: only a draft's can be changed")
    return draft_times.changed(event, rows, asked)


def _texts(asked: EventChange) -> dict[str, str | None]:
    """Return the texts that are to change; None for those that stay."""
    texts = {name: getattr(asked, name) for name in changes.TEXTS}
    return texts | {"languages": None if asked.languages is None else tags(asked.languages)}


def _doors(event: events.Event, asked: EventChange) -> changes.Doors | None:
    """Return when the doors are to open from now on; None leaves them as they are."""
    if isinstance(asked.doors_at, msgspec.UnsetType):
        return None
    return changes.Doors(doors_before(event.starts_at, asked.doors_at))


async def _change_sale(
    services: Services,
    event: events.Event,
    capacities: dict[int, int],
    pools: dict[int, int],
    closes_at: dt.datetime | None,
) -> Applied | None:
    """Have the script change capacities and the sale's end together; deny what it refuses."""
    closes_at_ms = 0 if closes_at is None else ms_of(closes_at)
    outcome: Applied | Refused
    if capacities or pools:
        command = SetCapacity(
            event.id, tuple(capacities.items()), closes_at_ms, tuple(pools.items())
        )
        outcome = await services.engine.set_capacity(event.shard, command)
    elif closes_at_ms:
        outcome = await services.engine.reopen(event.shard, Reopen(event.id, closes_at_ms))
    else:
        return None
    if isinstance(outcome, Refused) and outcome.status is Status.NOT_ON_SALE:
        raise Denied(outcome.status, detail=_HALF_PUBLISHED)
    return granted(_named(outcome), _line_at(outcome, len(pools)))


def _line_at(outcome: Applied | Refused, pools: int) -> str:
    """Return where a refused line stands in what was asked: the script is told the pools first."""
    line = int(outcome.fields.get("line", 0)) if isinstance(outcome, Refused) else 0
    return "/pools/{}/capacity" if line <= pools else f"/tiers/{line - 1 - pools}/capacity"


@as_value
async def close(services: Services, person: Principal, event_id: str) -> told.Event:
    """End the sale now; live holds may still be confirmed. May be repeated."""
    event = await own(services, person, event_id, Act.CLOSE)
    async with _noted(services, person, "event.close", event) as act:
        await _settle(services, event, await services.engine.close(event.shard, event.id))
        act.after = {"status": "closed"}
    return await view_of(services, event)


@as_value
async def reopen(
    services: Services, person: Principal, event_id: str, closes_at: dt.datetime
) -> told.Event:
    """Sell on until a later time. May be repeated."""
    event = await own(services, person, event_id, Act.CLOSE)
    closes_at = in_utc("sale_closes_at", closes_at)
    command = Reopen(event.id, ms_of(closes_at))
    async with _noted(services, person, "event.reopen", event) as act:
        act.after = {"status": "published", "sale_closes_at": closes_at}
        await _settle(services, event, _named(await services.engine.reopen(event.shard, command)))
    return await view_of(services, event)


@as_value
async def cancel(services: Services, person: Principal, event_id: str) -> told.Cancellation:
    """
    Call the event off, for good. Nobody gets a place from now on.

    All holds and bookings end in bounded steps: those of a small event before this returns, the
    others afterwards, even if this process ends. May be repeated.
    """
    event = await own(services, person, event_id, Act.CANCEL)
    async with _noted(services, person, "event.cancel", event) as act:
        await _settle(services, event, await services.engine.cancel_event(event.shard, event.id))
        act.after = {"status": "cancelled"}
    await Emptier(services.engine.shards[event.shard]).empty(event.id)
    return await _progress(services, event)


@as_value
async def cancellation(services: Services, person: Principal, event_id: str) -> told.Cancellation:
    """Tell how many places of a cancelled event are still to be given back."""
    event = await own(services, person, event_id, Act.SEE)
    return await _progress(services, event)


def _noted(
    services: Services, person: Principal, act: str, event: events.Event
) -> contextlib.AbstractAsyncContextManager[acts.Intent]:
    """Note an act on the sale of an event, with what PostgreSQL knows of it before."""
    before = {"status": event.status, "sale_closes_at": event.sale_closes_at}
    return acts.intended(services.pools.organizers, person, act, event.id, before=before)


async def _progress(services: Services, event: events.Event) -> told.Cancellation:
    outcome = await services.engine.availability(event.shard, event.id, promo_code=ALL_TIERS)
    is_unloaded = isinstance(outcome, Refused) and outcome.status is Status.NOT_ON_SALE
    if is_unloaded and event.status != "cancelled":
        raise not_found()
    stock = granted(outcome).stock
    if "cancelled_at_ms" not in stock:
        raise not_found()
    left = sum(int(value) for name, value in stock.items() if name.endswith((".held", ".sold")))
    return told.Cancellation(
        event_id=event.id,
        status="cancelling" if left else "cancelled",
        places_left=left,
        as_of=moment_of(granted(outcome).at_ms),
    )


async def _settle(
    services: Services, event: events.Event, outcome: Applied | Refused, line_at: str = ""
) -> None:
    """Wait until PostgreSQL has the change, so that the answer shows it; deny what is refused."""
    await services.settle(event.shard, granted(outcome, line_at))


def _require_within(event: events.Event, rows: list[events.Tier], closes_at: dt.datetime) -> None:
    """Deny a draft a sale beyond its end, unless a tier sells then; later the script does so."""
    is_late = closes_at > over_at(event.starts_at, event.ends_at)
    if is_late and not any(tier.sells_after_end for tier in rows):
        raise invalid("/sale_closes_at", _AFTER_END)


def _named(outcome: Applied | Refused) -> Applied | Refused:
    """Name the value that is to blame where a sale would go on beyond the event's end."""
    if isinstance(outcome, Refused) and outcome.status is Status.EVENT_ENDED:
        raise Denied(outcome.status, ("/sale_closes_at", _AFTER_END), fields=outcome.fields)
    return outcome


def _capacities(
    rows: list[events.Tier], seated: dict[int, int], asked: EventChange
) -> dict[int, int]:
    """Return the wanted capacities by tier_no, in the order of the request."""
    numbers = {tier.id: tier.tier_no for tier in rows}
    found: dict[int, int] = {}
    for index, tier in enumerate(asked.tiers):
        tier_no = numbers.get(tier.id)
        if tier_no is None or tier_no in found:
            why = "is not a tier of this event" if tier_no is None else "stands there already"
            raise invalid(f"/tiers/{index}/id", why)
        if tier.capacity != seated.get(tier_no, tier.capacity):
            raise invalid(f"/tiers/{index}/capacity", not_its_seats(seated[tier_no]))
        found[tier_no] = tier.capacity
    return found


def _pools(
    now: events.Event, tiers: Sequence[events.Tier], asked: EventChange, capacities: dict[int, int]
) -> dict[int, int]:
    """
    Return the wanted capacities by the number of the pool, in the order of the request.

    Those of its tiers that are not named and have no lower capacity of their own become as large:
    they are added to *capacities*. No tier becomes larger than its pool.
    """
    numbers = {name: number for number, name in enumerate(now.pool_names.split("\n"))}
    pools, found = parse(now.pools), dict[int, int]()
    for index, change in enumerate(asked.pools):
        number = numbers.get(change.name, len(pools))
        if number >= len(pools) or number + 1 in found:
            why = "is not a pool of this event" if number >= len(pools) else "stands there already"
            raise invalid(f"/pools/{index}/name", why)
        found[number + 1] = change.capacity
    named = list(capacities)
    sizes = {tier.tier_no: tier.capacity for tier in tiers}
    for number, pool in enumerate(pools, start=1):
        most = found.get(number, pool.capacity)
        for tier_no in pool.tier_nos:
            if tier_no in named:
                if capacities[tier_no] > most:
                    raise invalid(f"/tiers/{named.index(tier_no)}/capacity", ABOVE_POOL)
            elif number in found and (sizes[tier_no] == pool.capacity or sizes[tier_no] > most):
                capacities[tier_no] = most
    return found


def _draft_pools(event: events.Event, wanted: dict[int, int]) -> str:
    """Return the pools of a draft with their wanted capacities; empty if none changes."""
    if not wanted:
        return ""
    pools = enumerate(parse(event.pools), start=1)
    return write(pool._replace(capacity=wanted.get(no, pool.capacity)) for no, pool in pools)
