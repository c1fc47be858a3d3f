"""
Ways into an account beside its password, as rows: identities at OpenID providers, and passkeys.

Whoever takes one away locks the account's row first: of two who take the last two away at once, the
second finds that it would be the last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import asyncpg

from engine.ids import new_id
from store import acts, outbox, users
from store.acts import Actor
from store.sql import Executor, InTransaction, query

#: Identities, and passkeys, that one account may have.
IDENTITIES_MAX = 20
PASSKEYS_MAX = 20


class Removal(Enum):
    """What became of the wish to take a way in away."""

    DONE = "done"
    #: The account has no such one.
    UNKNOWN = "unknown"
    #: It would be the last.
    LAST = "last"


class Identity(NamedTuple):
    """Who somebody is at a provider."""

    id: str
    user_id: str
    issuer: str
    subject: str
    #: As the provider told it; empty if it did not.
    email: str
    created_at: dt.datetime
    used_at: dt.datetime


class Passkey(NamedTuple):
    """A credential of WebAuthn."""

    id: str
    user_id: str
    credential_id: bytes
    #: In the form of COSE.
    public_key: bytes
    sign_count: int
    transports: list[str]
    #: Whether its maker keeps copies of it elsewhere.
    is_synced: bool
    name: str
    created_at: dt.datetime
    used_at: dt.datetime | None


async def spend(database: Executor, flow_id: bytes, expires_at: dt.datetime) -> bool:
    """Note that a flow came to its end; False if it had before. One statement."""
    return await database.fetchval(query("spend_flow"), flow_id, expires_at) is not None


async def identity(database: Executor, issuer: str, subject: str) -> Identity | None:
    """Find an identity, and note that it is used; None if it is nobody's here."""
    row = await database.fetchrow(query("identity_by_subject"), issuer, subject)
    return None if row is None else Identity(*row)


async def identities(database: Executor, user_id: str) -> list[Identity]:
    """Return an account's identities, the oldest first."""
    return [Identity(*row) for row in await database.fetch(query("identities_of_user"), user_id)]


async def add_identity(
    database: Executor,
    *,
    user_id: str,
    issuer: str,
    subject: str,
    email: str,
    version: int = 0,
    by_address: bool = False,
) -> Identity | None:
    """
    Join an identity to an account; None if it is anybody's, or the account cannot have it.

    Args:
        version: Of the account's tokens when its owner was known to ask; if it has grown since,
            nothing is joined.

        by_address: Whether nobody of the account asks, but both sides have verified its address:
            then it must be so, and a buyer's.
    """
    row = await database.fetchrow(
        query("insert_identity"),
        new_id("idn"),
        user_id,
        issuer,
        subject,
        email,
        IDENTITIES_MAX,
        version,
        by_address,
    )
    return None if row is None else Identity(*row)


async def join(pool: asyncpg.Pool, by: Actor | None, **new: Any) -> Identity | None:
    """
    Join an identity to an account as `add_identity` does, and tell its owner, at once.

    Args:
        by: Whose act it is to be noted as; None if it is not to be noted.
    """
    async with pool.acquire() as connection, connection.transaction():
        made = await add_identity(connection, **new)
        if made is not None:
            payload = {"issuer": made.issuer}
            await _note(connection, by, "account.identity_added", made.id, after=payload)
            await outbox.account_message(
                connection, "account.identity_added", made.user_id, payload
            )
        return made


async def make_account(
    pool: asyncpg.Pool, *, email: str, name: str, password_hash: str, issuer: str, subject: str
) -> str | None:
    """
    Make an account whose way in is an identity, in one transaction; its address is verified.

    Args:
        password_hash: Of a password that nobody knows.

    Returns:
        The account's id, or None if the address or the identity is somebody's by now.
    """
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        made = None
        try:
            user_id = await users.add(
                connection, email=email, name=name, password_hash=password_hash
            )
            if user_id is not None:
                await connection.execute(query("note_made_by_identity"), user_id)
                made = await add_identity(
                    connection, user_id=user_id, issuer=issuer, subject=subject, email=email
                )
        finally:
            await (transaction.rollback() if made is None else transaction.commit())
    return None if made is None else made.user_id


async def remove_identity(
    pool: asyncpg.Pool, user_id: str, identity_id: str, *, by: Actor | None = None
) -> Removal:
    """
    Take an identity away from its account, unless it is the last way in. One transaction.

    Args:
        by: As for `join`.
    """
    kind, statement = "account.identity_removed", query("delete_identity")
    return await _remove(pool, user_id, identity_id, kind, statement, keeps_one=False, by=by)


async def passkey(database: Executor, credential_id: bytes) -> Passkey | None:
    """Find a passkey by the id that its maker gave it."""
    row = await database.fetchrow(query("passkey_by_credential"), credential_id)
    return None if row is None else Passkey(*row)


async def passkeys(database: Executor, user_id: str) -> list[Passkey]:
    """Return an account's passkeys, the oldest first."""
    return [Passkey(*row) for row in await database.fetch(query("passkeys_of_user"), user_id)]


async def has_passkey(database: Executor, user_id: str) -> bool:
    """Tell whether an account has a passkey."""
    return bool(await database.fetchval(query("count_passkeys"), user_id))


async def add_passkey(
    database: Executor,
    *,
    user_id: str,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    transports: Sequence[str],
    is_synced: bool,
    name: str,
    version: int = 0,
) -> Passkey | None:
    """
    Add a passkey; None if the credential is anybody's, or the account cannot have it.

    Args:
        version: Of the account's tokens, as for `add_identity`.
    """
    row = await database.fetchrow(
        query("insert_passkey"),
        new_id("pky"),
        user_id,
        credential_id,
        public_key,
        sign_count,
        list(transports),
        is_synced,
        name,
        PASSKEYS_MAX,
        version,
    )
    return None if row is None else Passkey(*row)


async def enrol(pool: asyncpg.Pool, by: Actor | None, **new: Any) -> Passkey | None:
    """
    Add a passkey as `add_passkey` does, and tell the account's owner, at once.

    Args:
        by: As for `join`.
    """
    async with pool.acquire() as connection, connection.transaction():
        made = await add_passkey(connection, **new)
        if made is not None:
            await _note(connection, by, "account.passkey_added", made.id)
            payload = {"name": made.name}
            await outbox.account_message(connection, "account.passkey_added", made.user_id, payload)
        return made


async def use_passkey(
    database: Executor, passkey_id: str, *, sign_count: int, is_synced: bool
) -> bool:
    """Note a signature; False if the count has not grown since, or the passkey is gone."""
    found = await database.fetchval(query("use_passkey"), passkey_id, sign_count, is_synced)
    return found is not None


async def rename_passkey(
    database: Executor, user_id: str, passkey_id: str, name: str
) -> Passkey | None:
    """Give a passkey another name; None if the account has no such one."""
    row = await database.fetchrow(query("rename_passkey"), user_id, passkey_id, name)
    return None if row is None else Passkey(*row)


async def remove_passkey(
    pool: asyncpg.Pool, user_id: str, passkey_id: str, *, keeps_one: bool, by: Actor | None = None
) -> Removal:
    """
    Take a passkey away from its account, unless it is the last way in. One transaction.

    Args:
        keeps_one: Whether the account must keep a passkey, whatever else it has.

        by: As for `join`.
    """
    kind, statement = "account.passkey_removed", query("delete_passkey")
    return await _remove(pool, user_id, passkey_id, kind, statement, keeps_one=keeps_one, by=by)


async def forget_passkeys(connection: InTransaction, forms: Sequence[str], by: Actor) -> int:
    """
    Delete all passkeys of the admin of an address in any of its forms; return how many.

    Sessions and access tokens are over with them: who has the device may have those.

    Atomicity: within the caller's transaction.
    """
    rows = await connection.fetch(query("forget_passkeys"), list(forms))
    for user_id in {row["user_id"] for row in rows}:
        await users.end_tokens(connection, user_id)
        await connection.execute(query("end_sessions_of"), user_id, None)
        after = {"passkeys": len(rows)}
        await acts.add(connection, by, "admin.forget_passkeys", user_id, after=after)
    return len(rows)


async def drop_all(connection: InTransaction, user_id: str, *, by: Actor | None = None) -> None:
    """
    Take all identities and passkeys from an account; within the caller's transaction.

    Args:
        by: As for `join`.
    """
    await connection.execute(query("delete_identities_of"), user_id)
    await connection.execute(query("delete_passkeys_of"), user_id)
    await _note(connection, by, "account.ways_in_dropped", user_id)


async def _note(
    connection: InTransaction, by: Actor | None, act: str, subject: str, *, after: object = None
) -> None:
    if by is not None:
        await acts.add(connection, by, act, subject, after=after)


async def _remove(
    pool: asyncpg.Pool,
    user_id: str,
    own_id: str,
    kind: str,
    statement: str,
    *,
    keeps_one: bool,
    by: Actor | None,
) -> Removal:
    """Take a way in away, note it, and tell the account's owner, by a message of a kind."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        outcome = Removal.LAST
        try:
            has_password = await connection.fetchval(query("lock_ways_in"), user_id)
            if await connection.fetchval(statement, user_id, own_id) is None:
                outcome = Removal.UNKNOWN
            elif await _may_go(connection, user_id, bool(has_password), keeps_one=keeps_one):
                await _note(connection, by, kind, own_id)
                await outbox.account_message(connection, kind, user_id, {})
                outcome = Removal.DONE
        finally:
            is_done = outcome is Removal.DONE
            await (transaction.commit() if is_done else transaction.rollback())
    return outcome


async def _may_go(
    connection: Executor, user_id: str, has_password: bool, *, keeps_one: bool
) -> bool:
    """Tell whether what is left, now that one is deleted, is enough."""
    if keeps_one:
        return await has_passkey(connection, user_id)
    return has_password or bool(await connection.fetchval(query("count_ways_in"), user_id))
