"""Copies of events: another one like it, further dates of it; and drafts that are not wanted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from engine.ids import new_id
from store import events, seats, tenants
from usecases import acts, rights, told
from usecases.asked import Copy, Series
from usecases.denials import Denied, Why, as_value, invalid
from usecases.drafts import add, note_made, shard_of, shards_of
from usecases.events import again, own, view, view_of
from usecases.moments import in_utc, over_at
from usecases.present import as_sold
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def duplicate(
    services: Services, person: Principal, event_id: str, asked: Copy
) -> told.Event:
    """
    Make a draft like an event: tiers as large as they are now, seats, rules and promo codes.

    Its times are as far from its start as those of the event are. It is its organizer's, and sold
    nowhere; the event stays as it is.
    """
    source = await _source(services, person, event_id)
    starts_at = source.event.starts_at if asked.starts_at is None else asked.starts_at
    [copy] = _copies(services, source, [("/starts_at", in_utc("starts_at", starts_at))])
    if asked.name is not None:
        copy = copy._replace(event=copy.event._replace(name=asked.name))
    await add(services, person, copy.event.organizer_id, [copy])
    return await view_of(services, copy.event)


@as_value
async def series(
    services: Services, person: Principal, event_id: str, asked: Series
) -> list[told.Event]:
    """Make a draft like an event for each of some starts, as `duplicate` does: all or none."""
    source = await _source(services, person, event_id)
    starts = [
        (f"/starts/{number}", in_utc(f"starts/{number}", moment))
        for number, moment in enumerate(asked.starts)
    ]
    seen: set[dt.datetime] = set()
    for pointer, moment in starts:
        if moment in seen:
            raise invalid(pointer, "stands there already")
        seen.add(moment)
    copies, whose = _copies(services, source, starts), source.event.organizer_id
    ids = [copy.event.id for copy in copies]
    async with tenants.rows_of(services.pools.organizers, whose) as connection:
        await events.add(connection, copies)
        await note_made(connection, person, copies)
        rows = await events.by_ids(connection, ids, whose)
        tiers = await events.tiers_of(connection, ids)
    return [view(event, tiers[event.id]) for event in rows]


@as_value
async def delete(services: Services, person: Principal, event_id: str) -> None:
    """
    Take a draft away. One that was ever published stays: what is sold of it is called off.

    Idempotency: a draft that is gone is not found any more.
    """
    event = await own(services, person, event_id, Act.EDIT)
    whose = event.organizer_id
    async with tenants.rows_of(services.pools.organizers, whose) as connection:
        is_gone = await events.delete_draft(connection, whose, event.id)
        if is_gone:
            await acts.note(connection, person, "event.delete", event.id)
    if not is_gone:
        raise Denied(Why.NO_DRAFT)


async def _source(services: Services, person: Principal, event_id: str) -> events.Draft:
    """
    Return an event with all of it that is copied, as it is now.

    For who may change it, and make events of its organizer: not for who is confined to some.
    """
    event = await own(services, person, event_id, Act.EDIT)
    whose = event.organizer_id
    await rights.require(services.standings, person, Act.CREATE, whose)
    async with tenants.rows_of(services.pools.organizers, whose) as connection:
        event = await again(connection, event)
        rows = (await events.tiers_of(connection, [event.id]))[event.id]
        sections = await seats.of_event(connection, event.id)
        promos = await events.promos_of(connection, event.id)
    event, tiers = await as_sold(services.engine, event, rows)
    return events.Draft(event, tiers, sections, promos)


def _copies(
    services: Services, source: events.Draft, starts: Sequence[tuple[str, dt.datetime]]
) -> list[events.Draft]:
    shards = shards_of(services)
    return [_copy(source, shards, pointer, starts_at) for pointer, starts_at in starts]


def _copy(
    source: events.Draft, shards: Sequence[int], pointer: str, starts_at: dt.datetime
) -> events.Draft:
    """Return a draft like *source* that begins at *starts_at*, which *pointer* names."""
    event, event_id = source.event, new_id("evt")
    by, now = starts_at - event.starts_at, dt.datetime.now(dt.UTC)
    if starts_at <= now:
        raise invalid(pointer, "is not in the future")

    def moved(moment: dt.datetime) -> dt.datetime:
        try:
            return in_utc(pointer[1:], moment + by)
        except OverflowError as error:
            raise invalid(pointer, "is out of range") from error

    tiers = [
        tier._replace(
            event_id=event_id,
            id=new_id("tier"),
            sale_opens_at=tier.sale_opens_at and moved(tier.sale_opens_at),
            sale_closes_at=tier.sale_closes_at and moved(tier.sale_closes_at),
        )
        for tier in source.tiers
    ]
    ends_at, opens_at = moved(event.ends_at), moved(event.sale_opens_at)
    closes_at = moved(event.sale_closes_at)
    if event.status in {"closed", "cancelled"} or closes_at <= now:
        # Closed before its time for a reason of its own: the copy's sale ends as a draft's does
        # that says nothing, or with the last of its tiers'.
        closes_at = max([starts_at, *(one.sale_closes_at for one in tiers if one.sale_closes_at)])
        closes_at = closes_at if closes_at > opens_at else over_at(starts_at, ends_at)
    copy = event._replace(
        id=event_id,
        shard=shard_of(event_id, shards),
        starts_at=starts_at,
        ends_at=ends_at,
        doors_at=event.doors_at and moved(event.doors_at),
        sale_opens_at=opens_at,
        sale_closes_at=closes_at,
        source_id=None,
        source_print="",
    )
    sections = [section._replace(event_id=event_id) for section in source.sections]
    return events.Draft(copy, tiers, sections, source.promos)
