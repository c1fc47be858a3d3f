"""
`evently keys`: which keys sign tokens and tickets; a new one, and the end of an old one.

Needs the settings that the API has, since new keys are sealed with them, and writes as the API
does. What a key is, and how processes learn of it: `usecases.keyring`.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import structlog

from engine.ids import key_name
from engine.receipts import derive_key
from engine.ticket_codes import ticket_key_id, ticket_public_key
from evently.embedded.errors import ServerError
from evently.operators import operator
from evently.settings import Settings
from store import acts, keys
from store.keys import NewKey, SigningKey
from store.pool import connect
from store.sealed import seal
from store.sealed_keys import Purpose, Settled
from usecases.flows import TTL_S as FLOW_TTL_S
from usecases.keyring import LEAD_S, PURPOSES, settled_by
from usecases.tokens import LEEWAY_S

log = structlog.get_logger()

SECRET_BYTES = 32
#: Keys of a purpose that may verify at a time.
KEYS_MAX = 8
TRIES_MAX = 10
#: How long a key verifies after the last token that it can have signed has ended, in seconds.
SLACK_S = 60.0


class ListedKey(NamedTuple):
    """A key as operators see it."""

    kid: str
    purpose: str
    state: str
    made_at: dt.datetime | None
    signs_at: dt.datetime | None
    retires_at: dt.datetime | None


async def listed(settings: Settings) -> list[ListedKey]:
    """Return the keys that count; those of the settings in any case."""
    settled = _settled(settings)
    async with _changing(settings) as connection:
        rows = await keys.read(connection)
    found: list[ListedKey] = []
    for purpose in PURPOSES:
        signing, there = settled.signing(rows, purpose), settled.secrets_of(rows, purpose)
        own = settled.setting_kids[purpose]
        ours = [row for row in rows if row.purpose == purpose]
        if own not in {row.kid for row in ours}:
            state = "signs" if own == signing else "verifies"
            found.append(ListedKey(own, purpose, f"{state} (of the setting)", None, None, None))
        for row in ours:
            state = _state(row, signing, is_open=row.kid in there)
            times = (row.made_at, None if row.is_setting else row.signs_at, row.retires_at)
            found.append(ListedKey(row.kid, purpose, state, *times))
    return found


async def rotate(settings: Settings, purpose: Purpose) -> ListedKey:
    """
    Make a new key, which verifies at once and signs after `LEAD_S`.

    The keys before it end by themselves when the last token that they signed has ended; those of
    tickets stay, since tickets are good until their events, and are retired by hand.

    Raises:
        ServerError: as many keys as may be verify already.
    """
    settled = _settled(settings)
    async with _changing(settings) as connection:
        rows = await keys.read(connection)
        if len(settled.secrets_of(rows, purpose)) >= KEYS_MAX:
            raise ServerError(
                f"{KEYS_MAX} keys of {purpose} count already: wait until one has ended, or retire "
                "one (`evently keys list`)"
            )
        await keys.note_setting(connection, _setting_key(settings, purpose))
        kid = await _add(connection, settings, purpose)
        if purpose == "tokens":
            # So that no sign-in under way has to be begun anew either.
            lives_s = max(settings.access_token_ttl_s, FLOW_TTL_S)
            after_s = lives_s + LEEWAY_S + SLACK_S
            await keys.end_others(connection, purpose, kid, after_s=after_s)
        await keys.forget_retired(connection)
        after = {"purpose": purpose}
        await acts.add(connection, operator(), "key.rotate", kid, after=after)
        [row] = [row for row in await keys.read(connection) if row.kid == kid]
    log.warning("key made", action="key_made", purpose=purpose, kid=kid, by_uid=os.getuid())
    return ListedKey(kid, purpose, "verifies", row.made_at, row.signs_at, None)


async def retire(settings: Settings, kid: str) -> Purpose:
    """
    End a key now: what it signed lets nobody in, within a second, in every process.

    Returns:
        What it signed.

    Raises:
        ServerError: there is none, or it signs.
    """
    async with _changing(settings) as connection:
        rows = await keys.read(connection)
        for purpose in PURPOSES:
            counting = _counting(settings, rows, purpose)
            if kid not in counting:
                continue
            is_needed = not any(lasts for other, lasts in counting.items() if other != kid)
            if is_needed or _settled(settings).signing(rows, purpose) == kid:
                raise ServerError(
                    f"{kid} signs {purpose}, or is the next to: rotate first, and retire it when "
                    "the new key signs"
                )
            await keys.note_setting(connection, _setting_key(settings, purpose))
            await keys.retire(connection, purpose, kid)
            await keys.forget_retired(connection)
            after = {"purpose": purpose}
            await acts.add(connection, operator(), "key.retire", kid, after=after)
            log.warning("key retired", action="key_retired", kid=kid, by_uid=os.getuid())
            return purpose
    raise ServerError(f"no key {kid} counts: see `evently keys list`")


def _counting(settings: Settings, rows: Sequence[SigningKey], purpose: Purpose) -> dict[str, bool]:
    """Return the keys that count, and whether each may sign for good: it is open, with no end."""
    settled = _settled(settings)
    there = settled.secrets_of(rows, purpose)
    found = dict.fromkeys(there, True)
    for row in rows:
        if row.purpose == purpose and not row.is_over:
            found[row.kid] = row.kid in there and row.retires_at is None
    return found


async def _add(connection: asyncpg.Connection, settings: Settings, purpose: Purpose) -> str:
    for _ in range(TRIES_MAX):
        key = _new_token_key(settings) if purpose == "tokens" else _new_ticket_key(settings)
        if await keys.add(connection, key, signs_in_s=LEAD_S[purpose]):
            return key.kid
    raise ServerError("no name is free for a key")


def _new_token_key(settings: Settings) -> NewKey:
    kid, secret = key_name(secrets.token_bytes(SECRET_BYTES)), secrets.token_bytes(SECRET_BYTES)
    sealed = seal(settings.jwt_secret, "tokens", kid, secret)
    return NewKey(kid, "tokens", sealed, None, None)


def _new_ticket_key(settings: Settings) -> NewKey:
    text = secrets.token_urlsafe(SECRET_BYTES)
    key = _public(text)
    return key._replace(sealed=seal(settings.ticket_signing_key, "tickets", key.kid, text.encode()))


def _setting_key(settings: Settings, purpose: Purpose) -> NewKey:
    """Return the key of a setting, which has its secret in the setting alone."""
    if purpose == "tickets":
        return _public(settings.ticket_signing_key)
    return NewKey(_settled(settings).setting_kids["tokens"], "tokens", None, None, None)


def _public(ticket_signing_key: str) -> NewKey:
    receipts = derive_key(ticket_signing_key).public_key().public_bytes_raw()
    kid, public = ticket_key_id(ticket_signing_key), ticket_public_key(ticket_signing_key)
    return NewKey(kid, "tickets", None, public, receipts)


def _settled(settings: Settings) -> Settled:
    return settled_by({"tokens": settings.jwt_secret, "tickets": settings.ticket_signing_key})


def _state(row: SigningKey, signing: str | None, *, is_open: bool) -> str:
    if row.is_over:
        return "retired"
    if not is_open:
        return "sealed with another setting"
    return "signs" if row.kid == signing else "verifies"


@asynccontextmanager
async def _changing(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection in a transaction beside which nobody changes keys."""
    timeout_ms = settings.database_timeout_ms
    connection = await connect(settings.database_url_as("api"), timeout_ms=timeout_ms)
    try:
        async with connection.transaction():
            await keys.alone(connection)
            yield connection
    finally:
        await connection.close(timeout=timeout_ms / 1000)
