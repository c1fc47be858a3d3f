"""People and organizers, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from engine.ids import new_id
from store import links, outbox
from store.sql import Executor, InTransaction, query


class User(NamedTuple):
    """One account; `role` is user, staff, organizer or admin."""

    id: str
    email: str
    name: str
    password_hash: str
    role: str
    organizer_id: str | None
    created_at: dt.datetime
    #: Since when they are kept out.
    disabled_at: dt.datetime | None = None
    #: Access tokens of a lower one are over.
    token_version: int = 0
    #: When its owner proved that letters to the address come to them.
    email_verified_at: dt.datetime | None = None
    #: Whether another account had the address before it.
    is_claim: bool = False
    #: BCP 47.
    language: str | None = None
    #: Whether anybody knows its password: who came by a provider has none.
    has_password: bool = True


#: How often it is tried to register: the address may become another's at the same moment.
REGISTER_TRIES = 3


async def register(
    pool: asyncpg.Pool,
    *,
    email: str,
    forms: Sequence[str],
    name: str,
    password_hash: str,
    link: links.Link,
) -> str:
    """
    Add an account, whoever else may have its address, and write the letter that asks to prove it.

    The statements are the same whether somebody has the address or not (S7). It is the account's
    if nobody has it; else the account only claims it (`is_claim`).

    Args:
        forms: Of the address, as `by_email` takes them.

    Atomicity: one transaction, letter and all.
    """
    for _ in range(REGISTER_TRIES):
        async with pool.acquire() as connection, connection.transaction():
            user_id: str | None = await connection.fetchval(
                query("register_user"), new_id("usr"), email, name, password_hash, list(forms)
            )
            if user_id is None:
                continue
            await links.ask_for_proof(connection, user_id, link)
            return user_id
    raise TimeoutError("the address became another's each time")


async def add(
    database: Executor,
    *,
    email: str,
    name: str,
    password_hash: str,
    role: str = "user",
    organizer_id: str | None = None,
) -> str | None:
    """Add an account; return its id, or None if the address is taken (in any letter case)."""
    user_id: str | None = await database.fetchval(
        query("insert_user"), new_id("usr"), email, name, password_hash, role, organizer_id
    )
    return user_id


async def by_email(database: Executor, forms: Sequence[str]) -> User | None:
    """
    Find the account of an address in any of its forms, rather in the last, in any case.

    Where nobody has it, the last that claimed it.
    """
    row = await database.fetchrow(query("user_by_email"), list(forms))
    return None if row is None else User(**row)


async def by_claim(database: Executor, email: str) -> User | None:
    """Find the last account that claims an address, in its normal form, which may be another's."""
    row = await database.fetchrow(query("user_by_claim"), email)
    return None if row is None else User(**row)


async def locked(connection: InTransaction, user_id: str) -> User | None:
    """Find an account that nobody else changes until the caller's transaction is over."""
    row = await connection.fetchrow(query("user_for_update"), user_id)
    return None if row is None else User(**row)


async def by_id(database: Executor, user_id: str) -> User | None:
    """Find an account by its id."""
    row = await database.fetchrow(query("user_by_id"), user_id)
    return None if row is None else User(**row)


async def names(database: Executor, user_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return address and name of some accounts, by id."""
    rows = await database.fetch(query("names_of_users"), list(user_ids))
    return {row["id"]: (row["email"], row["name"]) for row in rows}


async def change(
    database: Executor, user_id: str, *, name: str | None, language: str | None
) -> bool:
    """Change what is given of an account; False if it is not there."""
    return await database.fetchval(query("change_user"), user_id, name, language) is not None


async def end_tokens(database: Executor, user_id: str) -> int | None:
    """
    End all access tokens that an account has; return the version of those to come, None if it is
    not there. Its sessions stay, and get such tokens by their refresh tokens.
    """
    version: int | None = await database.fetchval(query("end_tokens"), user_id)
    return version


async def set_password(connection: InTransaction, user_id: str, password_hash: str) -> bool:
    """
    Give an account a password, and tell its owner; its tokens, sessions and links are over.

    Returns:
        False if the account is not there.

    Atomicity: within the caller's transaction.
    """
    if await connection.fetchval(query("set_password"), user_id, password_hash) is None:
        return False
    await connection.execute(query("end_sessions_of"), user_id, None)
    await links.drop_all(connection, user_id)
    await outbox.account_message(connection, "account.password_changed", user_id, {})
    return True


async def hash_anew(database: Executor, user_id: str, *, old: str, new: str) -> None:
    """Keep another hash of the same password, unless it was changed meanwhile."""
    await database.execute(query("hash_password_anew"), user_id, old, new)


async def prove_email(connection: InTransaction, user_id: str, email: str) -> bool:
    """
    Give an address to the account that has proved that it is theirs.

    Who had it without a proof claims it from then on.

    Returns:
        False if another has proved the same.

    Atomicity: within the caller's transaction, which is over if this is False.
    """
    if await connection.fetchval(query("email_is_proved"), email, user_id):
        return False
    try:
        async with connection.transaction():
            await connection.execute(query("give_up_email"), email, user_id)
            await connection.execute(query("prove_email"), user_id, email)
    except asyncpg.UniqueViolationError:  # At the same moment.
        return False
    await links.drop_all(connection, user_id)
    return True


async def give_up_email(connection: InTransaction, email: str) -> None:
    """Let who has an address without a proof only claim it from now on."""
    await connection.execute(query("give_up_email"), email, "")


async def admin_exists(database: Executor) -> bool:
    """Tell whether there is an admin."""
    return bool(await database.fetchval(query("admin_exists")))


async def set_admin_password(
    database: Executor, forms: Sequence[str], *, password_hash: str
) -> str | None:
    """
    Set the password of the admin of an address in any of its forms; None if there is none.

    Access tokens and sessions of before are over.
    """
    user_id: str | None = await database.fetchval(
        query("set_admin_password"), list(forms), password_hash
    )
    if user_id is not None:
        await database.execute(query("end_sessions_of"), user_id, None)
    return user_id


async def add_organizer(database: Executor, name: str) -> str:
    """Add an organizer; return its id."""
    organizer_id = new_id("org")
    await database.execute(query("insert_organizer"), organizer_id, name)
    return organizer_id


async def ensure_many(
    database: Executor, emails: Sequence[str], *, password_hash: str
) -> list[str]:
    """Make sure that all addresses have accounts; return the ids in the order of *emails*."""
    await database.execute(
        query("insert_users"),
        [new_id("usr") for _ in emails],
        list(emails),
        [email.partition("@")[0] for email in emails],
        password_hash,
    )
    rows = await database.fetch(query("users_by_emails"), [email.lower() for email in emails])
    ids = {row["email"].lower(): row["id"] for row in rows}
    return [ids[email.lower()] for email in emails]
