"""
Webhooks: where an organizer wants to be told what happens to its events, for who leads its team.

What signs the messages is told once, when it is made, and stands in PostgreSQL sealed with a
setting (`store.sealed`). What an endpoint was told, and how far that is, it is shown without any
word of what the receiver answered (S16).
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import secrets
from collections.abc import AsyncIterator

from engine.ids import is_id, new_id
from engine.outward import NotOutside
from store import organizers, tenants, webhooks
from store.sealed import seal
from store.tenants import Connection
from store.webhooks import Endpoint
from usecases import acts, rights, told
from usecases.asked import NewWebhook, Redelivery, WebhookChange
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.moments import in_utc
from usecases.rights import Act
from usecases.services import Services, WebhookSite
from usecases.tokens import Principal

#: Endpoints of an organizer.
WEBHOOKS_MAX = 10
#: Messages that are told again at a time.
REDELIVERED_MAX = 1_000
#: How long the secret before signs as well, in seconds.
BOTH_S = 24 * 3_600
SECRET_BYTES = 32
#: Beyond the number of any message.
NUMBER_MAX = 2**63 - 1


@as_value
async def make(
    services: Services, person: Principal, organizer_id: str, asked: NewWebhook
) -> told.WebhookMade:
    """Tell an endpoint from now on, beginning with a ping; what signs is told this once."""
    site = _site(services)
    url = _address(site, asked.url)
    async with _changing(services, person, organizer_id) as connection:
        if await webhooks.count(connection, organizer_id) >= WEBHOOKS_MAX:
            raise Denied(Why.WEBHOOKS_FULL, fields={"webhooks_max": WEBHOOKS_MAX})
        own_id, secret = new_id("whk"), secrets.token_bytes(SECRET_BYTES)
        row = await webhooks.add(
            connection,
            own_id=own_id,
            organizer_id=organizer_id,
            url=url,
            kinds=_in_order(asked.kinds),
            sealed=seal(site.key, webhooks.PURPOSE, own_id, secret),
            made_by=person.user_id,
        )
        if row is None:
            raise not_found()
        await webhooks.ping(connection, own_id)
        await acts.note(connection, person, "webhook.make", own_id, after=_noted(row))
    return told.WebhookMade(secret=_shown(secret), webhook=_view(row))


@as_value
async def listing(services: Services, person: Principal, organizer_id: str) -> told.Webhooks:
    """Return all endpoints of an organizer, the oldest first."""
    _site(services)
    await rights.require(services.standings, person, Act.WEBHOOKS, organizer_id)
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        found = await webhooks.of_organizer(connection, organizer_id)
    return told.Webhooks(data=[_view(row) for row in found])


@as_value
async def read(
    services: Services, person: Principal, organizer_id: str, own_id: str
) -> told.Webhook:
    """Return an endpoint."""
    async with _own(services, person, organizer_id, own_id) as (_, row):
        return _view(row)


@as_value
async def change(
    services: Services, person: Principal, organizer_id: str, own_id: str, asked: WebhookChange
) -> told.Webhook:
    """Tell an endpoint elsewhere, or of other things; or not at all, or again."""
    url = None if asked.url is None else _address(_site(services), asked.url)
    kinds = None if asked.kinds is None else _in_order(asked.kinds)
    is_active = None if asked.state is None else asked.state == "active"
    async with _own(services, person, organizer_id, own_id) as (connection, before):
        row = await webhooks.change(
            connection, organizer_id, own_id, url=url, kinds=kinds, is_active=is_active
        )
        if row is None:
            raise not_found()
        await acts.note(
            *(connection, person, "webhook.change", own_id),
            before=_noted(before),
            after=_noted(row),
        )
    return _view(row)


@as_value
async def delete(services: Services, person: Principal, organizer_id: str, own_id: str) -> None:
    """Tell an endpoint nothing more, and forget it."""
    async with _own(services, person, organizer_id, own_id) as (connection, before):
        await webhooks.delete(connection, organizer_id, own_id)
        await acts.note(connection, person, "webhook.delete", own_id, before=_noted(before))


@as_value
async def rotate(
    services: Services, person: Principal, organizer_id: str, own_id: str
) -> told.WebhookMade:
    """Give an endpoint another secret, told this once; for a day the one before signs as well."""
    site, secret = _site(services), secrets.token_bytes(SECRET_BYTES)
    async with _own(services, person, organizer_id, own_id) as (connection, _):
        sealed = seal(site.key, webhooks.PURPOSE, own_id, secret)
        row = await webhooks.rotate(connection, organizer_id, own_id, sealed, both_s=BOTH_S)
        if row is None:
            raise not_found()
        after = {"organizer_id": organizer_id, "before_until": row.before_until}
        await acts.note(connection, person, "webhook.rotate", own_id, after=after)
    return told.WebhookMade(secret=_shown(secret), webhook=_view(row))


@as_value
async def ping(
    services: Services, person: Principal, organizer_id: str, own_id: str
) -> told.WebhookSent:
    """Tell an endpoint that it is told; what became of that, its log says."""
    async with _own(services, person, organizer_id, own_id) as (connection, row):
        if row.disabled_at is not None:
            raise Denied(Why.WEBHOOK_OFF)
        message_id = await webhooks.ping(connection, own_id)
        after = {"organizer_id": organizer_id}
        await acts.note(connection, person, "webhook.ping", own_id, after=after)
    return told.WebhookSent(id=message_id)


@as_value
async def log(
    services: Services,
    person: Principal,
    organizer_id: str,
    own_id: str,
    *,
    before: tuple[dt.datetime, str],
    limit: int,
) -> told.Page[told.WebhookDelivery]:
    """Return a page of what an endpoint was told, the newest first."""
    cursor = before[1]
    if cursor and not (cursor.isdecimal() and len(cursor) < 19):
        raise invalid("/query/after", "is not a cursor of this list")
    async with _own(services, person, organizer_id, own_id):
        pass
    found = await webhooks.told(
        services.pools.organizers,
        own_id,
        before=int(cursor) if cursor else NUMBER_MAX,
        limit=limit + 1,
    )
    rows = found[:limit]
    last = (rows[-1].made_at, str(rows[-1].number)) if len(found) > limit else None
    return told.Page([_logged(row) for row in rows], last)


@as_value
async def redeliver(
    services: Services, person: Principal, organizer_id: str, own_id: str, message_id: str
) -> told.WebhookSent:
    """Tell an endpoint a message again, under the same name and as it is true now."""
    async with _own(services, person, organizer_id, own_id) as (connection, row):
        if row.disabled_at is not None:
            raise Denied(Why.WEBHOOK_OFF)
        if not await webhooks.redeliver(connection, own_id, message_id):
            raise not_found()
        after = {"organizer_id": organizer_id, "message": message_id}
        await acts.note(connection, person, "webhook.redeliver", own_id, after=after)
    return told.WebhookSent(id=message_id)


@as_value
async def redeliver_span(
    services: Services, person: Principal, organizer_id: str, own_id: str, asked: Redelivery
) -> told.Redelivered:
    """Tell an endpoint again what it was first told in a time, or what of that never arrived."""
    since, until = in_utc("from", asked.since), in_utc("to", asked.until)
    if until <= since:
        raise invalid("/to", "must be later than `from`")
    async with _own(services, person, organizer_id, own_id) as (connection, row):
        if row.disabled_at is not None:
            raise Denied(Why.WEBHOOK_OFF)
        count = await webhooks.redeliver_span(
            *(connection, own_id, since, until), only_failed=asked.only_failed, most=REDELIVERED_MAX
        )
        if count is None:
            raise invalid(
                "/to", f"has more than {REDELIVERED_MAX} messages before it; ask in parts"
            )
        after = {"organizer_id": organizer_id, "from": since, "to": until, "count": count}
        await acts.note(connection, person, "webhook.redeliver", own_id, after=after)
    return told.Redelivered(count=count)


def _site(services: Services) -> WebhookSite:
    if services.webhooks is None:
        raise Denied(Why.WEBHOOKS_OFF)
    return services.webhooks


def _address(site: WebhookSite, url: str) -> str:
    """Return where messages go; deny what leads to no server of the public internet (S16)."""
    try:
        return site.outside.check(url)
    except NotOutside as error:
        raise invalid("/url", f"cannot be sent to: {error}") from error


@contextlib.asynccontextmanager
async def _changing(
    services: Services, person: Principal, organizer_id: str
) -> AsyncIterator[Connection]:
    """Begin a transaction on an organizer's endpoints, alone; deny who may not."""
    await rights.require(services.standings, person, Act.WEBHOOKS, organizer_id)
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        if await organizers.lock(connection, organizer_id) is None:
            raise not_found()
        yield connection


@contextlib.asynccontextmanager
async def _own(
    services: Services, person: Principal, organizer_id: str, own_id: str
) -> AsyncIterator[tuple[Connection, Endpoint]]:
    """Begin a transaction on one endpoint, kept from others until its end."""
    _site(services)
    await rights.require(services.standings, person, Act.WEBHOOKS, organizer_id)
    if not is_id("whk", own_id):
        raise not_found()
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        row = await webhooks.by_id(connection, organizer_id, own_id)
        if row is None:
            raise not_found()
        yield connection, row


def _in_order(kinds: list[webhooks.Kind]) -> list[str]:
    """Return kinds once each, in the order in which they are always told."""
    return [kind for kind in webhooks.KINDS if kind in set(kinds)]


def _shown(secret: bytes) -> str:
    """Return a secret as receivers are given it (Standard Webhooks)."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def _noted(row: Endpoint) -> dict[str, object]:
    """Return what the log of acts says of an endpoint; its address may hold a secret."""
    return {"organizer_id": row.organizer_id, "kinds": row.kinds, "state": _state(row)}


def _state(row: Endpoint) -> told.WebhookState:
    return "active" if row.disabled_at is None else "disabled"


def _view(row: Endpoint) -> told.Webhook:
    return told.Webhook(
        id=row.id,
        organizer_id=row.organizer_id,
        url=row.url,
        kinds=row.kinds,
        state=_state(row),
        disabled_why=row.disabled_why or None,
        disabled_at=row.disabled_at,
        failing_since=row.failing_since,
        old_secret_until=row.before_until,
        made_by=row.made_by,
        created_at=row.created_at,
    )


def _logged(row: webhooks.Logged) -> told.WebhookDelivery:
    return told.WebhookDelivery(
        id=row.id,
        kind=row.kind,
        event_id=row.event_id,
        subject_id=row.subject_id,
        state=row.state,  # type: ignore[arg-type]  # The database's enum has the same values.
        attempts=row.attempts,
        answer=row.reason,
        told_at=row.made_at,
        ended_at=row.ended_at,
        next_attempt_at=row.next_attempt_at,
    )
