"""
API keys: what integrations come with, made and revoked by those they act for.

A key acts for one organizer, in its scopes, and only while the account that made it may act for
that organizer as well (S40); `usecases.bearers` asks that anew every second.
"""

from __future__ import annotations

import datetime as dt

from engine.ids import is_id, new_id
from store import api_keys, tenants
from store.organizers import Standing
from usecases import acts, bearers, rights, told
from usecases.asked import NewApiKey
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.moments import in_utc
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

#: Keys of an organizer that are not revoked.
KEYS_MAX = 100


@as_value
async def make(services: Services, person: Principal, asked: NewApiKey) -> told.ApiKeyMade:
    """
    Make a key; what is secret of it is told this once and kept nowhere.

    Whether the person may is asked of the account as it is now, not of the token.
    """
    organizer_id = await _whose(services, person, asked.organizer_id)
    expires_at = None if asked.expires_at is None else in_utc("expires_at", asked.expires_at)
    if expires_at is not None and expires_at <= dt.datetime.now(dt.UTC):
        raise invalid("/expires_at", "is over")
    secret = bearers.make("api_key")
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        if await api_keys.count(connection, organizer_id) >= KEYS_MAX:
            raise Denied(Why.KEYS_FULL, fields={"keys_max": KEYS_MAX})
        row = await api_keys.add(
            connection,
            own_id=new_id("key"),
            organizer_id=organizer_id,
            made_by=person.user_id,
            name=asked.name,
            scopes=sorted(set(asked.scopes)),
            prefix=secret.prefix,
            digest=secret.digest,
            expires_at=expires_at,
        )
        if row is None:
            raise Denied(Why.FORBIDDEN)
        after = {"organizer_id": organizer_id, "scopes": row.scopes, "expires_at": row.expires_at}
        await acts.note(connection, person, "api_key.make", row.id, after=after)
    return told.ApiKeyMade(key=secret.text, api_key=_view(row))


@as_value
async def listing(
    services: Services,
    person: Principal,
    organizer_id: str | None,
    *,
    before: tuple[dt.datetime, str],
    limit: int,
) -> told.Page[told.ApiKey]:
    """Return a page of an organizer's keys, newest first: of the one named, or led."""
    whose = await _whose(services, person, organizer_id)
    async with tenants.rows_of(services.pools.organizers, whose) as connection:
        found = await api_keys.of_organizer(connection, whose, before=before, limit=limit + 1)
    page = found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page([_view(row) for row in page], last)


@as_value
async def revoke(services: Services, person: Principal, own_id: str) -> None:
    """End a key for good, within a second in every process. May be repeated."""
    pool = services.pools.organizers
    standing = await services.standings.of(person)
    whose = await api_keys.whose(pool, own_id) if is_id("key", own_id) else None
    if whose is None or not (standing.is_admin or whose in _led(standing)):
        raise not_found()
    async with tenants.rows_of(pool, whose) as connection:
        prefix = await api_keys.revoke(connection, own_id)
        if prefix is None:
            raise not_found()
        after = {"organizer_id": whose}
        await acts.note(connection, person, "api_key.revoke", own_id, after=after)
    services.bearers.forget(prefix)


async def _whose(services: Services, person: Principal, wanted: str | None) -> str:
    """Return the organizer whose keys these are: the one named, or the one that is led."""
    standing = await services.standings.of(person)
    if wanted is not None:
        rights.judge(standing, Act.LEAD_TEAM, wanted)
        return wanted
    led = _led(standing)
    if len(led) != 1:
        raise invalid("/organizer_id", "must be said by who leads no team, or several")
    return led[0]


def _led(standing: Standing) -> list[str]:
    """Return the organizers for which somebody may make keys, that act as a manager does."""
    return [own for own in standing.places if rights.may(standing, Act.LEAD_TEAM, own)]


def _view(row: api_keys.ApiKey) -> told.ApiKey:
    fields = row._asdict() | {"prefix": bearers.shown_prefix("api_key", row.prefix)}
    return told.ApiKey(**fields)
