"""Events as they are found: by visitors, and by the organizers whose they are."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from engine.errors import OutcomeUnknown, ShardUnavailable
from store import events, search
from store.pool import Database
from usecases import told
from usecases.denials import as_value
from usecases.drafts import organizer_of
from usecases.events import shown, view
from usecases.present import as_sold
from usecases.services import Services
from usecases.tokens import Principal

_Row = tuple[events.Event, Sequence[events.Tier]]


async def published(
    services: Services,
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
        text: Words in any script, case and with or without accents; all of them must be there,
            the last may be the beginning of one. Nothing has words like "%" alone.
    """
    pool = services.pools.search
    if starts_from is not None:
        after = max(after, (starts_from, ""))
    ids = await search.find(
        pool,
        after=after,
        starts_before=starts_before,
        text=text,
        category=category,
        place=place,
        limit=limit + 1,
    )
    page = await events.by_ids(pool, ids)
    rows = await _rows(services, pool, page[:limit])
    views = [view(event, shown(tiers)) for event, tiers in rows if event.status != "draft"]
    last = (page[limit - 1].starts_at, page[limit - 1].id) if len(page) > limit else None
    return told.Page(views, last)


@as_value
async def own(
    services: Services, person: Principal, *, before_id: str, limit: int, status: str | None
) -> told.Page[told.Event]:
    """Return a page of the events of the person's organizer, drafts as well, the newest first."""
    pool, organizer_id = services.pools.organizers, organizer_of(person)
    ids = await search.of_organizer(
        pool, organizer_id, before_id=before_id, status=status, limit=limit + 1
    )
    page = await events.by_ids(pool, ids)
    rows = await _rows(services, pool, page[:limit])
    last = (page[limit - 1].created_at, page[limit - 1].id) if len(page) > limit else None
    return told.Page([view(*row) for row in rows], last)


async def _rows(services: Services, pool: Database, page: Sequence[events.Event]) -> list[_Row]:
    tiers = await events.tiers_of(pool, [event.id for event in page])
    told_of = (_on_sale(services, event, tiers.get(event.id, [])) for event in page)
    return list(await asyncio.gather(*told_of))


async def _on_sale(services: Services, event: events.Event, tiers: Sequence[events.Tier]) -> _Row:
    """Return an event of a list; one that PostgreSQL takes for a draft as Redis has it."""
    if event.status == "draft":
        try:
            return await as_sold(services.engine, event, tiers)
        except (ShardUnavailable, OutcomeUnknown):
            pass  # Nobody can tell: the list goes on with what PostgreSQL says.
    return event, tiers
