"""
Sessions: who is signed in where, and the refresh tokens that keep them so.

A refresh token has two parts, each kept as a hash. The first is the family's, the same for all
tokens of a session; the second is this token's own. A family whose second part is not the good one
has been copied, for the good one is known to who exchanged the last: then the session ends (S5).
The next second part is made of the one before and a random salt in the row, so that the same
request sent again gets the same answer, and neither the row alone nor an old token alone makes it.
"""

from __future__ import annotations

import datetime as dt
from hashlib import sha256
from typing import NamedTuple

import asyncpg

from engine.ids import new_id
from store import outbox, users
from store.sql import Executor, InTransaction, query

#: Sessions that an account may have; one more ends the one that is unused for longest.
SESSIONS_MAX = 50
PART_BYTES = 16


class Secrets(NamedTuple):
    """What a refresh token, or a browser's cookie, is made of; neither part is kept."""

    family: bytes
    own: bytes
    #: Before what is hashed, so that what was given out for one use is no good for the other.
    face: bytes = b""

    @property
    def family_hash(self) -> bytes:
        """What is kept of the first part."""
        return digest(self.face + self.family)

    @property
    def own_hash(self) -> bytes:
        """What is kept of the second part."""
        return digest(self.face + self.own)


class Session(NamedTuple):
    """A session, and what its account is now."""

    id: str
    user_id: str
    expires_at: dt.datetime
    role: str
    organizer_id: str | None
    token_version: int
    #: How, and when, its owner proved who they are.
    method: str
    opened_at: dt.datetime


class SignIn(NamedTuple):
    """A session as its owner sees it."""

    id: str
    method: str
    device: str
    opened_at: dt.datetime
    used_at: dt.datetime
    expires_at: dt.datetime


class Life(NamedTuple):
    """How long a session lasts, in seconds: unused, and at all."""

    idle_s: int
    most_s: int


def digest(part: bytes) -> bytes:
    """Return what is kept of a part of a token."""
    return sha256(part).digest()


class New(NamedTuple):
    """A session that is to be opened."""

    user_id: str
    secrets: Secrets
    method: str
    device: str
    life: Life


async def add(pool: asyncpg.Pool, new: New, *, version: int | None = None) -> Session | None:
    """
    Open a session; None if the account is not there.

    A device that the account has no session of, while it has others, is told to its owner.

    Args:
        version: Of the account's tokens when it was proved whose it is; if it has grown since,
            the proof is over, and so there is no session.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        user = await users.locked(connection, new.user_id)
        if user is None or (version is not None and version != user.token_version):
            return None
        return await _add(connection, new)


async def renew(
    pool: asyncpg.Pool, new: New, *, version: int, password_hash: str
) -> Session | None:
    """
    Give an account a new password, which ends all its sessions, and open one as `add` does.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        user = await users.locked(connection, new.user_id)
        if user is None or version != user.token_version:
            return None
        await users.set_password(connection, new.user_id, password_hash)
        return await _add(connection, new)


async def _add(connection: InTransaction, new: New) -> Session | None:
    user_id, secrets, method, device, life = new
    is_new = await connection.fetchval(query("is_new_device"), user_id, device)
    row = await connection.fetchrow(
        query("open_session"),
        new_id("ses"),
        user_id,
        method,
        device,
        secrets.family_hash,
        secrets.own_hash,
        b"",  # Made of nothing before it.
        min(life),
        SESSIONS_MAX - 1,
    )
    if row is None:
        return None
    if is_new:
        payload = {"method": method, "device": device}
        await outbox.account_message(connection, "account.signed_in", user_id, payload)
    return Session(**row)


async def exchange(
    database: Executor, before: Secrets, after: Secrets, *, salt: bytes, key: str | None, life: Life
) -> Session | None:
    """
    Exchange the good token of a session for the next; None if *before* is not the good one.

    Args:
        salt: That *after* was made with.

        key: Names the request, if it is to be known again.

    Atomicity: one statement: of two who ask at once, one is told None.
    """
    row = await database.fetchrow(
        query("exchange_token"),
        before.family_hash,
        before.own_hash,
        after.own_hash,
        salt,
        None if key is None else digest(key.encode()),
        life.idle_s,
        life.most_s,
    )
    return None if row is None else Session(**row)


async def exchanged_by(
    database: Executor, before: Secrets, key: str | None
) -> tuple[Session, bytes] | None:
    """
    Return the session and the salt of an exchange that the same request has made before.

    None if another did, or if the next token was exchanged as well.
    """
    row = await database.fetchrow(query("session_of_family"), before.family_hash)
    if row is None or key is None or row["last_hash"] != before.own_hash:
        return None
    if row["last_key_hash"] != digest(key.encode()):
        return None
    *own, salt, _, _ = row
    return Session(*own), salt


async def put_in_cookie(database: Executor, before: Secrets, cookie: Secrets) -> Session | None:
    """
    Give a session to a browser: its refresh token is over, and a cookie opens it from now on.

    None if *before* is not the session's good token.

    Atomicity: one statement.
    """
    row = await database.fetchrow(
        query("put_in_cookie"),
        before.family_hash,
        before.own_hash,
        cookie.family_hash,
        cookie.own_hash,
    )
    return None if row is None else Session(**row)


async def use_cookie(database: Executor, cookie: Secrets, *, life: Life) -> Session | None:
    """
    Return the session that a cookie opens, which lasts longer by that; None if it opens none.

    Atomicity: one statement.
    """
    row = await database.fetchrow(
        query("use_cookie"), cookie.family_hash, cookie.own_hash, life.idle_s, life.most_s
    )
    return None if row is None else Session(**row)


class Ended(NamedTuple):
    """A session that is over."""

    id: str
    user_id: str


async def end_family(pool: asyncpg.Pool, secrets: Secrets, *, is_copied: bool) -> Ended | None:
    """
    End the session of a family; return it, None if there is none.

    Args:
        is_copied: Whether a token of it was used twice, which its owner is told.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(query("end_session_of_family"), secrets.family_hash)
        if row is None:
            return None
        ended = Ended(**row)
        if is_copied:
            kind, payload = "account.session_copied", {"session_id": ended.id}
            await outbox.account_message(connection, kind, ended.user_id, payload)
        return ended


async def of_user(database: Executor, user_id: str) -> list[SignIn]:
    """Return the sessions of an account, the last used first; `SESSIONS_MAX` at most."""
    return [SignIn(**row) for row in await database.fetch(query("sessions_of"), user_id)]


async def end(database: Executor, user_id: str, session_id: str) -> bool:
    """End a session of an account; False if it has no such."""
    return await database.fetchval(query("end_session_of"), user_id, session_id) is not None


async def end_others(database: Executor, user_id: str, session_id: str | None) -> list[str]:
    """End all sessions of an account but one, or all; return their ids."""
    rows = await database.fetch(query("end_sessions_of"), user_id, session_id)
    return [row["id"] for row in rows]
