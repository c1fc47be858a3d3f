"""
What operators do to accounts and organizers, as rows; each act within a transaction of its own,
which notes it (`store.acts`).

The rules that must hold whoever asks (a route or `evently admin`) stand here, since they need the
locks: there is always an admin who can log in, and every team keeps an owner.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from engine.ids import new_id
from store import acts, organizers
from store.acts import Actor
from store.organizers import Organizer, TeamRole
from store.roles import user
from store.sql import Executor, query
from store.tenants import Connection, PoolOrConnection, accounts

Role = Literal["user", "staff", "organizer", "admin"]


class Account(NamedTuple):
    """An account as an operator sees it."""

    id: str
    email: str
    name: str
    role: Role
    organizer_id: str | None
    created_at: dt.datetime
    disabled_at: dt.datetime | None
    email_verified_at: dt.datetime | None


class Membership(NamedTuple):
    """One team that an account is on."""

    organizer_id: str
    role: TeamRole
    event_ids: list[str] | None


class Outcome(StrEnum):
    """What became of an act."""

    DONE = "done"
    NOT_FOUND = "not_found"
    NO_ORGANIZER = "no_organizer"
    LAST_ADMIN = "last_admin"
    LAST_OWNER = "last_owner"


async def search(
    database: Executor, *, after: str, text: str | None, role: str | None, limit: int
) -> list[Account]:
    """Return a page of accounts by id: of those whose address, name or id matches *text*."""
    rows = await database.fetch(query("accounts_found"), after, limit, text, role)
    return [Account(**row) for row in rows]


async def by_id(database: Executor, user_id: str) -> Account | None:
    """Find an account by its id."""
    row = await database.fetchrow(query("account_by_id"), user_id)
    return None if row is None else Account(**row)


async def of_address(database: Executor, forms: Sequence[str]) -> str | None:
    """Return the id of the account of an address in any of its forms."""
    user_id: str | None = await database.fetchval(query("account_of_address"), list(forms))
    return user_id


async def memberships(database: Executor, user_id: str) -> list[Membership]:
    """Return the teams that an account is on."""
    return [Membership(**row) for row in await database.fetch(query("memberships_of"), user_id)]


async def find_organizers(
    database: Executor, *, after: str, text: str | None, limit: int
) -> list[Organizer]:
    """Return a page of organizers by id: of those whose name or id matches *text*."""
    rows = await database.fetch(query("organizers_found"), after, limit, text)
    return [Organizer(**row) for row in rows]


async def add_account(
    connection: Connection, actor: Actor, *, email: str, name: str, password_hash: str
) -> str:
    """Add an account whose address counts as proved, within a transaction of `accounts`."""
    user_id = new_id("usr")
    await connection.execute(query("insert_account"), user_id, email, name, password_hash)
    await acts.add(connection, actor, "account.create", user_id, after={"role": "user"})
    return user_id


async def set_role(
    database: PoolOrConnection, actor: Actor, user_id: str, role: Role, organizer_id: str | None
) -> Outcome:
    """
    Make an account a user, staff or organizer of an organizer, or an admin.

    Staff of an organizer are on its team for the gate, an organizer owns it; finer places are the
    team's to give. A user leaves all teams. May be repeated.
    """
    async with accounts(database) as connection:
        account = await _locked(connection, user_id, organizer_id)
        if account is None:
            return Outcome.NOT_FOUND
        if organizer_id is not None and await organizers.by_id(connection, organizer_id) is None:
            return Outcome.NO_ORGANIZER
        if role in {"staff", "organizer"} and organizer_id is None:
            return Outcome.NO_ORGANIZER
        if (
            account.role == "admin"
            and role != "admin"
            and await _is_last_admin(connection, user_id)
        ):
            return Outcome.LAST_ADMIN
        leaves = {"user": None, "staff": organizer_id}
        if role in leaves and await connection.fetch(query("teams_without"), user_id, leaves[role]):
            return Outcome.LAST_OWNER
        await connection.execute(query("set_role"), user_id, role, organizer_id)
        before = {"role": account.role, "organizer_id": account.organizer_id}
        after = {"role": role, "organizer_id": organizer_id}
        await acts.add(connection, actor, "account.role", user_id, before=before, after=after)
        return Outcome.DONE


async def set_disabled(
    database: PoolOrConnection, actor: Actor, user_id: str, *, is_disabled: bool
) -> Outcome:
    """Keep an account out, with its sessions and tokens, or let it in again. May be repeated."""
    async with accounts(database) as connection:
        account = await _locked(connection, user_id, None)
        if account is None:
            return Outcome.NOT_FOUND
        if is_disabled and account.role == "admin" and await _is_last_admin(connection, user_id):
            return Outcome.LAST_ADMIN
        await connection.execute(query("set_disabled"), user_id, is_disabled)
        if is_disabled:
            await connection.execute(query("end_sessions_of"), user_id, None)
        act = "account.disable" if is_disabled else "account.enable"
        before = {"disabled_at": account.disabled_at}
        await acts.add(connection, actor, act, user_id, before=before)
        return Outcome.DONE


async def may_go(connection: Connection, user_id: str) -> Outcome:
    """
    Tell whether an account may be erased: neither as the last admin nor as a team's last owner.

    Until the transaction ends nobody else changes roles, nor the teams that it is on. The role that
    this takes on is given back.
    """
    await connection.execute(query("assume"), user("operator"), "")
    account = await _locked(connection, user_id, None)
    outcome = Outcome.DONE
    if account is None:
        outcome = Outcome.NOT_FOUND
    elif account.role == "admin" and await _is_last_admin(connection, user_id):
        outcome = Outcome.LAST_ADMIN
    elif await connection.fetch(query("teams_without"), user_id, None):
        outcome = Outcome.LAST_OWNER
    await connection.execute(query("resume"))
    return outcome


async def add_organizer(
    database: PoolOrConnection, actor: Actor, name: str, owner_id: str | None
) -> Organizer | None:
    """Add an organizer, with an owner if one is named; None if there is no such account."""
    async with accounts(database) as connection:
        if owner_id is not None and await by_id(connection, owner_id) is None:
            return None
        organizer_id = new_id("org")
        await connection.execute(query("insert_organizer"), organizer_id, name)
        if owner_id is not None:
            await organizers.set_member(connection, organizer_id, owner_id, "owner", None)
        after = {"name": name, "owner_id": owner_id}
        await acts.add(connection, actor, "organizer.create", organizer_id, after=after)
        return await organizers.by_id(connection, organizer_id)


async def _locked(connection: Connection, user_id: str, organizer_id: str | None) -> Account | None:
    """Return an account of which nobody else changes the role, nor the teams it is on."""
    await connection.execute(query("lock_roles"))
    await connection.execute(query("lock_teams_of"), user_id, organizer_id)
    return await by_id(connection, user_id)


async def _is_last_admin(connection: Connection, user_id: str) -> bool:
    return not await connection.fetchval(query("other_admins"), user_id)
