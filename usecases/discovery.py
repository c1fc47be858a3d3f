"""Events as they are found: by visitors, and by the organizers whose they are."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from functools import partial

from engine.errors import OutcomeUnknown, ShardUnavailable
from store import events, organizers, search, tenants
from store.pool import Database
from usecases import rights, told
from usecases.catalog import ListRows
from usecases.denials import as_value, not_found
from usecases.events import leads, shown, view
from usecases.present import as_sold
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

_Row = tuple[events.Event, Sequence[events.Tier]]


async def published(
    services: Services,
    person: Principal | None = None,
    *,
    after: tuple[dt.datetime, str],
    limit: int,
    text: str | None,
    category: str | None,
    place: str | None,
    starts_from: dt.datetime | None,
    starts_before: dt.datetime | None,
) -> told.Page[told.Event]:
    """
    Return a page of events that are not over, by start, of those that match.

    Args:
        person: Who asks. Who may have published some is shown them at once; to visitors the list
            may be some seconds old.

        text: Words in any script, case and with or without accents; all of them must be there,
            the last may be the beginning of one. Nothing has words like "%" alone.
    """
    if starts_from is not None:
        after = max(after, (starts_from, ""))

    async def look(database: Database) -> ListRows:
        ids = await search.find(
            database,
            after=after,
            starts_before=starts_before,
            text=text,
            category=category,
            place=place,
            limit=limit + 1,
        )
        page = (await events.by_ids(database, ids))[:limit]
        tiers = await events.tiers_of(database, [event.id for event in page])
        # By the ids: an event that is gone between the two reads does not end the list.
        return ListRows(page, tiers, len(ids) > limit)

    if leads(person):
        found = await services.near("search", look, as_now=True)
    else:
        wanted = (after, limit, text, category, place, starts_before)
        found = await services.catalog.listed(wanted, partial(services.near, "search", look))
    page = found.events
    shown_to_all = (_on_sale(services, one, found.tiers.get(one.id, [])) for one in page)
    rows = await asyncio.gather(*shown_to_all)
    views = [view(event, shown(tiers)) for event, tiers in rows if event.status != "draft"]
    last = (page[-1].starts_at, page[-1].id) if page and found.has_more else None
    return told.Page(views, last)


@as_value
async def of_organizer(
    services: Services,
    person: Principal,
    organizer_id: str,
    *,
    before_id: str,
    limit: int,
    status: str | None = None,
) -> told.Page[told.Event]:
    """
    Return a page of an organizer's events, drafts as well, those made last first.

    Args:
        status: What those are that are shown, as PostgreSQL has it; None for all.
    """
    standing = await services.standings.of(person)
    place = standing.places.get(organizer_id)
    only = place.event_ids if place is not None and not standing.is_admin else None
    # Who is confined to some events sees those.
    rights.judge(standing, Act.SEE, organizer_id, next(iter(only)) if only else None)

    async def look(database: Database) -> ListRows:
        async with tenants.rows_of(database, organizer_id) as connection:
            found = await organizers.events_of(
                connection,
                organizer_id,
                before_id=before_id,
                limit=limit + 1,
                only=only,
                status=status,
            )
            if not found and await organizers.by_id(connection, organizer_id) is None:
                raise not_found()
            tiers = await events.tiers_of(connection, [event.id for event in found[:limit]])
            return ListRows(found[:limit], tiers, len(found) > limit)

    rows_of = await services.near("organizers", look, as_now=True)
    page = rows_of.events
    rows = await asyncio.gather(
        *(_as_known(services, event, rows_of.tiers.get(event.id, [])) for event in page)
    )
    last = (page[-1].created_at, page[-1].id) if rows_of.has_more else None
    return told.Page([view(*row) for row in rows], last)


async def _as_known(services: Services, event: events.Event, tiers: Sequence[events.Tier]) -> _Row:
    """Return an event of its organizer's list as Redis has it, or as PostgreSQL if it is away."""
    try:
        return await as_sold(services.engine, event, tiers)
    except (ShardUnavailable, OutcomeUnknown):
        return event, tiers


async def _on_sale(services: Services, event: events.Event, tiers: Sequence[events.Tier]) -> _Row:
    """Return an event of a list; one that PostgreSQL takes for a draft as Redis has it."""
    # Where nobody can tell, it stays a draft, and the list goes on without it.
    return await _as_known(services, event, tiers) if event.status == "draft" else (event, tiers)
