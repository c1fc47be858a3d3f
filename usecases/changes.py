"""What organizers do to an event that is being sold: change, close, reopen, cancel."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.commands import Amend, Reopen, SetCapacity
from engine.emptier import Emptier
from engine.engine import ALL_TIERS
from engine.outcomes import Applied, Refused
from engine.pools import parse, write
from engine.status import Status
from store import amendments as written_amendments
from store import changes, events, outbox, seats, tenants
from usecases import acts, amendments, event_times, told
from usecases.asked import EventChange, Postponement
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
    Change an event, also while it is sold: then for orders from now on (`usecases.amendments`).

    All of it or nothing, but for a fault between the two stores. The script decides first, in one
    call, and PostgreSQL takes the texts afterwards; whoever asks again finds another edition and
    what stands. Capacities are never below what is sold, held and blocked.

    Args:
        edition: What the person has seen of it (`told.edition`), or "*" for whatever it is.
    """
    return await _change(services, person, event_id, edition, asked, "event.change")


@as_value
async def postpone(
    services: Services, person: Principal, event_id: str, asked: Postponement
) -> told.Event:
    """
    Put a published event off to a later start; `postponed_from` tells the first one from then on.

    With the start move the end, the doors, and the end of a sale that ended with it. Places that
    are booked stay so. May be repeated.
    """
    event = await own(services, person, event_id, Act.EDIT)
    if is_untouched(event):
        raise Denied(Status.NOT_ON_SALE, detail="A draft has no start yet that anybody was told.")
    if in_utc("starts_at", asked.starts_at) < event.starts_at:
        raise invalid("/starts_at", "is before the start that was told")
    change = EventChange(
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
        doors_at=msgspec.UNSET if asked.doors_at is None else asked.doors_at,
    )
    return await _change(services, person, event_id, "*", change, "event.postpone")


async def _change(
    services: Services,
    person: Principal,
    event_id: str,
    edition: str | None,
    asked: EventChange,
    what: str,
) -> told.Event:
    closes_at = (
        None if asked.sale_closes_at is None else in_utc("sale_closes_at", asked.sale_closes_at)
    )
    # Of a stranger's wish nothing is noted.
    event = await own(services, person, event_id, Act.EDIT)
    if edition is None:
        raise Denied(Why.VERSION_WANTED)
    wish = _wish(asked)
    pool = services.pools.organizers
    async with acts.intended(pool, person, what, event.id, after=wish) as act:
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
        promos = await events.promos_of(connection, event.id)
        sold = events.Draft(event, tiers, (), promos)
        act.before = _before(now, sold, _wish(asked))
        seated = seats_of_tiers(map(as_loaded, await seats.of_event(connection, event.id)))
        capacities = _capacities(rows, seated, asked)
        pools = _pools(now, tiers, asked, capacities)
        opens_at = asked.sale_opens_at or event.sale_opens_at
        if closes_at is not None and ms_of(closes_at) <= ms_of(in_utc("sale_opens_at", opens_at)):
            raise invalid("/sale_closes_at", "is not after sale_opens_at")
        is_draft = is_untouched(event)
        times = event_times.changed(now, tiers, asked) if event_times.are_asked(asked) else None
        if closes_at is not None and is_draft and times is None:
            _require_within(event, rows, closes_at)
        texts, doors = _texts(asked), None if times else _doors(event, asked)
        # A seated tier has the capacity that it was asked to have.
        free = {no: places for no, places in capacities.items() if no not in seated}
        command = amendments.wanted(now, sold, asked, free, pools, times)
        if not is_draft:
            outcome = await _change_sale(services, event, command, free, closes_at)
        elif amendments.needs_script(command):
            record = amendments.as_record(command, rows)
            await written_amendments.write(connection, [record])
        if times is not None and is_draft:
            await changes.move_draft(connection, event.organizer_id, event.id, times)
        elif times is not None:
            await changes.move(connection, event.organizer_id, event.id, times)
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
        if not is_draft:
            await _tell(connection, event, times, texts)
        await act.done(connection)
    return outcome


async def _tell(
    connection: tenants.Connection,
    before: events.Event,
    times: changes.Times | None,
    texts: Mapping[str, str | None],
) -> None:
    """Tell all who have places, if the event starts, or is, elsewhere than they were told."""
    start = (before.timezone, before.starts_at)
    is_moved = times is not None and start != times[:2]
    is_elsewhere = any(
        texts[name] not in {None, getattr(before, name)} for name in ("venue", "address")
    )
    if is_moved or is_elsewhere:
        old = {
            "old_starts_at": before.starts_at.isoformat(),
            "old_timezone": before.timezone,
            "old_venue": before.venue,
            "old_address": before.address,
        }
        await outbox.event_changed(connection, before.id, old)


#: What of a change acts have by name, beside the texts.
_NOTED = ("timezone", "starts_at", "ends_at", "sale_opens_at", "sale_closes_at", "max_per_user")


def _wish(asked: EventChange) -> dict[str, Any]:
    """Return what is to change, by name."""
    named = {*changes.TEXTS, *_NOTED}
    wish: dict[str, Any] = {
        name: getattr(asked, name) for name in sorted(named) if getattr(asked, name) is not None
    }
    if not isinstance(asked.offer_ttl_s, msgspec.UnsetType):
        wish["offer_ttl_s"] = asked.offer_ttl_s
    if capacities := {one.id: one.capacity for one in asked.tiers if one.capacity is not None}:
        wish["capacities"] = capacities
    if prices := {one.id: one.price.amount for one in asked.tiers if one.price is not None}:
        wish["prices"] = prices
    if asked.add_tiers:
        wish["add_tiers"] = {one.name: one.price.amount for one in asked.add_tiers}
    if asked.promo_codes:
        wish["promo_codes"] = {one.code: one.uses_max for one in asked.promo_codes}
    if asked.pools:
        wish["pools"] = {pool.name: pool.capacity for pool in asked.pools}
    return wish


def _before(now: events.Event, sold: events.Draft, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands now where something is to change."""
    before = {name: getattr(now, name) for name in wish if name in now._fields}
    if "max_per_user" in wish:
        before["max_per_user"] = now.person_max
    if "offer_ttl_s" in wish:
        before["offer_ttl_s"] = now.offer_ttl_ms // 1000 or None
    for name, figure in (("capacities", "capacity"), ("prices", "price_minor")):
        if name in wish:
            before[name] = {
                tier.id: getattr(tier, figure) for tier in sold.tiers if tier.id in wish[name]
            }
    if "promo_codes" in wish:
        codes = wish["promo_codes"]
        before["promo_codes"] = {one.code: one.uses_max for one in sold.promos if one.code in codes}
    if "pools" in wish:
        pairs = zip(now.pool_names.split("\n"), parse(now.pools), strict=False)
        before["pools"] = {name: pool.capacity for name, pool in pairs if name in wish["pools"]}
    return before


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
    command: Amend,
    capacities: dict[int, int],
    closes_at: dt.datetime | None,
) -> Applied | None:
    """
    Have the script change all of the sale together; deny what it refuses.

    Capacities and the sale's end go as they went before there were amendments, which a shard of
    older records does not take.
    """
    closes_at_ms = 0 if closes_at is None else ms_of(closes_at)
    outcome: Applied | Refused
    if amendments.needs_script(command):
        outcome = await services.engine.amend(event.shard, command)
    elif capacities or command.pools:
        sizes = tuple(capacities.items())
        resize = SetCapacity(event.id, sizes, closes_at_ms, command.pools)
        outcome = await services.engine.set_capacity(event.shard, resize)
    elif closes_at_ms:
        outcome = await services.engine.reopen(event.shard, Reopen(event.id, closes_at_ms))
    else:
        return None
    if isinstance(outcome, Refused) and outcome.status is Status.NOT_ON_SALE:
        raise Denied(outcome.status, detail=_HALF_PUBLISHED)
    return granted(_named(outcome), _line_at(outcome, len(command.pools)))


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
    services.catalog.drop(event.id)
    await Emptier(services.engine.shards[event.shard]).empty(event.id)
    return await _progress(services, event)


@as_value
async def cancellation(services: Services, person: Principal, event_id: str) -> told.Cancellation:
    """Tell how many places of a cancelled event are still to be given back."""
    event = await own(services, person, event_id, Act.SEE)
    return await _progress(services, event)


@as_value
async def withdraw(services: Services, person: Principal, event_id: str) -> bool:
    """
    Take a cancelled event off view: it is in no list any more, and has no page.

    Bookings of it stay with those whose they were, and its journal is what it was. No face offers
    it yet; `evently sample remove` ends what it has made by it.
    Idempotency: by state; False if the event is not cancelled, or was taken off view before.
    """
    event = await own(services, person, event_id, Act.CANCEL)
    async with tenants.rows_of(services.pools.organizers, event.organizer_id) as connection:
        is_done = await changes.withdraw(connection, event.organizer_id, event.id)
        if is_done:
            await acts.note(connection, person, "event.withdraw", event.id)
    services.catalog.drop(event.id)
    return is_done


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
    taken: set[int] = set()
    for index, tier in enumerate(asked.tiers):
        tier_no = numbers.get(tier.id)
        if tier_no is None:
            raise invalid(f"/tiers/{index}/id", "is not a tier of this event")
        if tier_no in taken:
            raise invalid(f"/tiers/{index}/id", "stands there already")
        taken.add(tier_no)
        if tier.capacity is None:
            continue
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
