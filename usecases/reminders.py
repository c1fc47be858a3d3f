"""Being told before a sale opens."""

from __future__ import annotations

import datetime as dt

from store import reminders
from usecases.denials import Denied, Why, as_value, not_found
from usecases.services import Services
from usecases.tokens import Principal

#: Sales of which one person may wish to be told; those that opened are forgotten after a while.
REMINDERS_MAX = 500


@as_value
async def ask(services: Services, person: Principal, event_id: str) -> None:
    """
    Have the person told before an event's sale opens.

    Idempotency: by state. When it is told goes by when the sale opens then.
    """
    await services.catalog.need(event_id, person=person)
    page = await services.catalog.page(event_id)
    if page is None:
        raise not_found()
    if page.event.sale_opens_at <= dt.datetime.now(dt.UTC):
        raise Denied(Why.SALE_HAS_OPENED)
    pool = services.pools.own
    if not await reminders.ask(pool, event_id, person.user_id, most=REMINDERS_MAX):
        raise Denied(Why.REMINDERS_FULL, fields={"reminders_max": REMINDERS_MAX})


@as_value
async def is_asked(services: Services, person: Principal, event_id: str) -> bool:
    """Tell whether the person is to be told before an event's sale opens."""
    return await reminders.is_asked(services.pools.own, event_id, person.user_id)


@as_value
async def end(services: Services, person: Principal, event_id: str) -> None:
    """Have the person told no more of an event's sale. May be repeated."""
    await services.catalog.need(event_id, person=person)
    await reminders.end(services.pools.own, event_id, person.user_id)
