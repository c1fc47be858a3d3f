"""Events as they are found: by visitors, and by the organizers whose they are."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from functools import partial

from engine.errors import OutcomeUnknown, ShardUnavailable
from engine.ids import is_id
from store import events, organizers, search, tenants
from store.pool import UNANSWERED, Database
from usecases import rights, told
from usecases.catalog import ListRows
from usecases.denials import Denied, as_value, not_found
from usecases.events import leads, shown, view
from usecases.links import slug_of
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
    return await _page_of(services, found)


async def sold_by(
    services: Services, organizer_id: str, *, after: tuple[dt.datetime, str], limit: int
) -> told.Page[told.Event]:
    """Return a page of an organizer's events that visitors may see and that are not over."""

    async def look(database: Database) -> ListRows:
        ids = await search.find_of_organizer(database, organizer_id, after=after, limit=limit + 1)
        page = (await events.by_ids(database, ids))[:limit]
        tiers = await events.tiers_of(database, [event.id for event in page])
        return ListRows(page, tiers, len(ids) > limit)

    wanted = (organizer_id, after, limit)
    found = await services.catalog.listed(wanted, partial(services.near, "search", look))
    return await _page_of(services, found)


@as_value
async def seller(services: Services, organizer_id: str) -> str:
    """Return the public name of an organizer; deny one that there is not."""
    if not is_id("org", organizer_id):
        raise not_found()
    found = await services.near("search", partial(_organizer, organizer_id))
    if found is None:
        raise not_found()
    return found.name


async def seller_or_nobody(services: Services, organizer_id: str) -> str:
    """Return the name of who sells; empty while PostgreSQL does not answer."""
    try:
        found = await seller(services, organizer_id)
    except UNANSWERED:
        return ""
    return "" if isinstance(found, Denied) else found


async def _organizer(organizer_id: str, database: Database) -> organizers.Organizer | None:
    return await organizers.by_id(database, organizer_id)


async def parts_of_list(services: Services, size: int) -> list[tuple[dt.datetime, str]]:
    """Return where each part but the first of the list of all events begins: behind what event."""
    return await services.near("search", partial(search.ends_of_parts, size=size))


async def part_of_list(
    services: Services, *, after: tuple[dt.datetime, str], size: int
) -> list[tuple[str, str]]:
    """Return id and slug of the events of a part of the list."""
    rows = await services.near("search", partial(search.part, after=after, size=size))
    return [(event_id, slug or slug_of(name) or "event") for event_id, slug, name in rows]


async def _page_of(services: Services, found: ListRows) -> told.Page[told.Event]:
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
