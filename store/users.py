"""People and organizers, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from engine.ids import new_id
from store.sql import Executor, query


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
    """Find the account of an address in any of its forms, rather in the last, in any case."""
    row = await database.fetchrow(query("user_by_email"), list(forms))
    return None if row is None else User(**row)


async def by_id(database: Executor, user_id: str) -> User | None:
    """Find an account by its id."""
    row = await database.fetchrow(query("user_by_id"), user_id)
    return None if row is None else User(**row)


async def names(database: Executor, user_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return address and name of some accounts, by id."""
    rows = await database.fetch(query("names_of_users"), list(user_ids))
    return {row["id"]: (row["email"], row["name"]) for row in rows}


async def admin_exists(database: Executor) -> bool:
    """Tell whether there is an admin."""
    return bool(await database.fetchval(query("admin_exists")))


async def set_admin_password(
    database: Executor, forms: Sequence[str], *, password_hash: str
) -> str | None:
    """Set the password of the admin of an address in any of its forms; None if there is none."""
    user_id: str | None = await database.fetchval(
        query("set_admin_password"), list(forms), password_hash
    )
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
