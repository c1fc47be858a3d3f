"""
What an operator does to accounts from the command line: make one, give it a role, keep it out.

In every deployment where the API's role of PostgreSQL, or the owner, may log in: both may take on
the role that changes accounts. The rules are `store.operators`', the same as over HTTP.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator

import asyncpg
import structlog

from engine.ids import is_id
from evently.embedded import ServerError
from evently.operators import operator
from evently.settings import Settings
from store import acts, operators, users, ways_in
from store.operators import Outcome, Role
from store.pool import connect
from store.sql import Executor
from store.tenants import accounts
from usecases.denials import Denied
from usecases.passwords import hash_now
from usecases.text import email as tidy_address
from usecases.text import email_forms

log = structlog.get_logger()

PASSWORD_BYTES = 18
ORGANIZER_NAME = "House"
LISTED_MAX = 200
#: What an act that was refused says.
_REFUSED = {
    Outcome.NOT_FOUND: "there is no such account",
    Outcome.NO_ORGANIZER: "there is no such organizer: name one by its id, --organizer org_...",
    Outcome.LAST_ADMIN: "it is the last admin: make another first",
    Outcome.LAST_OWNER: "a team would have no owner: give it another first",
}


async def ensure_admin(settings: Settings) -> str | None:
    """
    Make the admin account `settings.admin_email` unless there is an admin.

    The address counts as proved, by the word of who has set it: a stranger who has registered it
    only claims it from then on. If somebody has proved that it is theirs, nothing is made.

    Returns:
        The new account's password, or None if nothing was made.
    """
    async with _opened(settings, settings.database_url) as connection, connection.transaction():
        # Two first starts at once: the second waits here and then finds the first one's.
        await connection.execute("LOCK TABLE organizers IN SHARE ROW EXCLUSIVE MODE")
        if await users.admin_exists(connection):
            return None
        password, email = (
            secrets.token_urlsafe(PASSWORD_BYTES),
            email_forms(settings.admin_email)[0],
        )
        holder = await _of_address(connection, email)
        if holder is not None and holder.email_verified_at is not None:
            log.error(
                "there is no admin, and EVENTLY_ADMIN_EMAIL is somebody's address: make one by "
                "`evently admin add`",
                action="admin_not_made",
            )
            return None
        await users.give_up_email(connection, email)
        user_id = await users.add(
            connection,
            email=email,
            name="Admin",
            password_hash=hash_now(password),
            role="admin",
            organizer_id=await users.add_organizer(connection, ORGANIZER_NAME),
        )
        if user_id is None or not await users.prove_email(connection, user_id, email):
            raise ServerError("somebody is registering EVENTLY_ADMIN_EMAIL: start again")
        after = {"role": "admin"}
        await acts.add(connection, operator(), "account.create", user_id, after=after)
        return password


async def reset_admin(settings: Settings, email: str) -> str:
    """
    Give an admin a new password, which ends the old one, all sessions and all access tokens.

    Args:
        email: The admin's address.

    Returns:
        The password.

    Raises:
        ServerError: no admin has this address.
    """
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    async with _connected(settings) as own, accounts(own) as connection:
        user_id = await users.set_admin_password(
            connection, email_forms(email), password_hash=hash_now(password)
        )
        if user_id is not None:
            await acts.add(connection, operator(), "admin.reset", user_id)
    if user_id is None:
        raise ServerError(f"no admin has the address {email}: see --email")
    log.warning("admin has a new password", action="admin_reset", user=user_id, by_uid=os.getuid())
    return password


async def forget_passkeys(settings: Settings, email: str) -> int:
    """
    Delete all passkeys of an admin, who has lost the devices that they are on.

    Where admins must have a passkey, the first is made anew after the password: reset it first if
    somebody else may know it. All sessions and access tokens are over: who has the devices may
    have those.

    Args:
        email: The admin's address.

    Returns:
        How many there were.

    Raises:
        ServerError: no admin of this address has any.
    """
    async with _connected(settings) as connection, connection.transaction():
        count = await ways_in.forget_passkeys(connection, email_forms(email), operator())
    if not count:
        raise ServerError(f"no admin of the address {email} has a passkey: see --email")
    log.warning("admin's passkeys are gone", action="passkeys_forgotten", by_uid=os.getuid())
    return count


async def add_account(
    settings: Settings, email: str, *, name: str, role: Role, organizer_id: str, anew: bool = False
) -> tuple[str, str | None]:
    """
    Give an address an account of a role; an account that has proved the address gets the role.

    Of a new account the address counts as proved: the operator's word is as good as a letter.

    Args:
        anew: Make a new account if one that is there has not proved the address, which it only
            claims from then on; else that is refused, since anybody may have registered it.

    Returns:
        The account's id, and its password if it is new.

    Raises:
        ServerError: the address is none or not proved, or the role cannot be given; then nothing
            is made.
    """
    try:
        address = tidy_address("EMAIL", email)
    except Denied as denied:
        raise ServerError(f"{email}: {denied.errors[0][1]}") from denied
    password = None
    async with _connected(settings) as connection, connection.transaction():
        account = await _of_address(connection, address)
        if account is not None and account.email_verified_at is None and anew:
            await users.give_up_email(connection, account.email)
            account = None
        if account is not None:
            user_id = _proved(account)
        else:
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            async with accounts(connection):
                user_id = await operators.add_account(
                    connection,
                    operator(),
                    email=address,
                    name=name,
                    password_hash=hash_now(password),
                )
        await _set_role(connection, user_id, role, organizer_id)
    log.warning("account added", action="admin_add", user=user_id, role=role, by_uid=os.getuid())
    return user_id, password


async def set_role(settings: Settings, who: str, *, role: Role, organizer_id: str) -> str:
    """
    Give an account, by its id or the address that it has proved, another role; return its id.

    Raises:
        ServerError: there is no such account or organizer, or it is the last admin or owner.
    """
    async with _connected(settings) as connection:
        user_id = await account_id(connection, who, may_claim=role == "user")
        await _set_role(connection, user_id, role, organizer_id)
    log.warning("role changed", action="admin_role", user=user_id, role=role, by_uid=os.getuid())
    return user_id


async def set_disabled(settings: Settings, who: str, *, is_disabled: bool) -> str:
    """Keep an account out, or let it in again; return its id. Raises as `set_role` does."""
    async with _connected(settings) as connection:
        user_id = await account_id(connection, who, may_claim=True)
        _require(
            await operators.set_disabled(connection, operator(), user_id, is_disabled=is_disabled)
        )
    act = "admin_disable" if is_disabled else "admin_enable"
    log.warning("account kept out or let in", action=act, user=user_id, by_uid=os.getuid())
    return user_id


async def add_organizer(settings: Settings, name: str, owner: str) -> str:
    """
    Add an organizer; return its id.

    Args:
        owner: Id of the account that owns it, or the address that it has proved; empty: none.
    """
    async with _connected(settings) as connection:
        owner_id = await account_id(connection, owner) if owner else None
        made = await operators.add_organizer(connection, operator(), name, owner_id)
    assert made is not None, "the owner was found"
    log.warning("organizer added", action="admin_organizer", organizer=made.id, by_uid=os.getuid())
    return made.id


async def listed(settings: Settings, text: str, role: Role | None) -> list[operators.Account]:
    """Return the first accounts whose address, name or id matches, in order of their making."""
    async with _connected(settings) as connection:
        return await operators.search(
            connection, after="", text=text or None, role=role, limit=LISTED_MAX
        )


def _connected(settings: Settings) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
    return _opened(settings, settings.database_url_as("api"))


@contextlib.asynccontextmanager
async def _opened(settings: Settings, url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(url, timeout_ms=settings.database_timeout_ms)
    try:
        yield connection
    finally:
        await connection.close()


async def account_id(database: Executor, who: str, *, may_claim: bool = False) -> str:
    """
    Return the id of the account that an operator means: by its id, or by an address.

    Args:
        may_claim: Whether an account will do that has not proved its address. Anybody may have
            registered it, so it must not be taken for its owner's by the address alone.

    Raises:
        ServerError: there is none, or it has not proved the address.
    """
    if "@" not in who:
        if not is_id("usr", who):
            raise ServerError(f"{who}: {_REFUSED[Outcome.NOT_FOUND]}")
        return who
    account = await _of_address(database, who)
    if account is None:
        raise ServerError("there is no account with this address")
    return account.id if may_claim else _proved(account)


async def _of_address(database: Executor, address: str) -> operators.Account | None:
    user_id = await operators.of_address(database, email_forms(address))
    return None if user_id is None else await operators.by_id(database, user_id)


def _proved(account: operators.Account) -> str:
    if account.email_verified_at is None:
        raise ServerError(
            f"{account.id} has not proved this address, and may be anybody's: let them open their "
            "letter; or name the account by its id, if you know whose it is; or give the address "
            "to a new one, `evently admin add ADDRESS --new`"
        )
    return account.id


async def _set_role(
    connection: asyncpg.Connection, user_id: str, role: Role, organizer_id: str
) -> None:
    outcome = await operators.set_role(connection, operator(), user_id, role, organizer_id or None)
    _require(outcome)


def _require(outcome: Outcome) -> None:
    if outcome is not Outcome.DONE:
        raise ServerError(_REFUSED[outcome])
