"""
Push as rows: the browsers that messages are pushed to, and the keys that those know us by.

A subscription is of one browser, which has one account at a time: who subscribes with its endpoint
last. An endpoint is an address that whoever knows it may push to, so it is told to nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from store.sql import Executor, columns, query


class PushKey(NamedTuple):
    """The public half of one of our keys."""

    id: str
    #: A point of P-256, uncompressed, in base64url: `applicationServerKey`.
    public_key: str


class Subscription(NamedTuple):
    """A browser of an account."""

    id: str
    user_id: str
    endpoint: str
    #: The push service's.
    host: str
    #: What messages are sealed for, in base64url.
    p256dh: str
    auth: str
    #: The key of ours that it was made with.
    key_id: str
    name: str
    since: dt.datetime
    last_delivered_at: dt.datetime | None
    #: Messages that failed since then.
    failures: int


class Reached(NamedTuple):
    """By which service a browser of an account is reached."""

    user_id: str
    id: str
    host: str


async def put_keys(pool: asyncpg.Pool, keys: Sequence[PushKey]) -> None:
    """
    Say which keys the notifier has, the first for new subscriptions; without any, push is off.

    Atomicity: one transaction; what waits for push ends in it where that is off.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(query("drop_push_keys"), [key.id for key in keys])
        await connection.execute(query("put_push_keys"), *columns(keys, width=2))
        if not keys:
            await connection.execute(query("skip_pushes"))


async def first_key(database: Executor) -> PushKey | None:
    """Return the key for new subscriptions; None if push is off."""
    row = await database.fetchrow(query("push_key"))
    return None if row is None else PushKey(**row)


async def has_key(database: Executor, key_id: str) -> bool:
    """Tell whether a key is one that the notifier has."""
    found: bool = await database.fetchval(query("is_push_key"), key_id)
    return found


async def put(
    database: Executor,
    *,
    own_id: str,
    user_id: str,
    endpoint: str,
    host: str,
    p256dh: str,
    auth: str,
    key_id: str,
    name: str,
    browsers_max: int,
) -> Subscription | None:
    """
    Make an endpoint the account's, or say anew what it is; None if the account has too many.

    Idempotency: by the endpoint; it keeps its id.

    Args:
        own_id: Its id, if it is new.
        browsers_max: Browsers that the account may have.
    """
    row = await database.fetchrow(
        query("put_push_subscription"),
        *(own_id, user_id, endpoint, host, p256dh, auth, key_id, name, browsers_max),
    )
    return None if row is None else Subscription(**row)


async def of_user(database: Executor, user_id: str) -> list[Subscription]:
    """Return the browsers of an account, the oldest first."""
    rows = await database.fetch(query("push_subscriptions_of_user"), user_id)
    return [Subscription(**row) for row in rows]


async def by_id(database: Executor, own_id: str) -> Subscription | None:
    """Return a browser."""
    row = await database.fetchrow(query("push_subscription"), own_id)
    return None if row is None else Subscription(**row)


async def remove(database: Executor, user_id: str, own_id: str) -> bool:
    """Take a browser from its account; False if the account has none such."""
    found = await database.fetchval(query("delete_push_subscription"), user_id, own_id)
    return found is not None


async def reached(database: Executor, user_ids: Sequence[str]) -> list[Reached]:
    """Return the browsers of some accounts."""
    return [Reached(**row) for row in await database.fetch(query("push_targets"), list(user_ids))]


async def note_pushed(database: Executor, own_id: str) -> None:
    """Note that a browser's service has taken a message."""
    await database.execute(query("note_pushed"), own_id)


async def note_failed(database: Executor, own_id: str) -> None:
    """Note that it has refused one."""
    await database.execute(query("note_push_failed"), own_id)


async def drop(database: Executor, browser: Subscription) -> None:
    """Forget a browser whose service knows it no more."""
    await database.execute(query("drop_push_subscription"), browser.id, browser.endpoint)
