"""The first admin: made at the first start, with a password that is told once; a new one."""

from __future__ import annotations

import os
import secrets

import structlog

from evently.embedded import ServerError
from evently.settings import Settings
from store import users, ways_in
from store.pool import connect
from usecases.passwords import hash_now
from usecases.text import email_forms

log = structlog.get_logger()

PASSWORD_BYTES = 18
ORGANIZER_NAME = "House"


async def ensure_admin(settings: Settings) -> str | None:
    """
    Make the admin account `settings.admin_email` unless there is an admin.

    Returns:
        The new account's password, or None if nothing was made.
    """
    connection = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        async with connection.transaction():
            # Two first starts at once: the second waits here and then finds the first one's.
            await connection.execute("LOCK TABLE organizers IN SHARE ROW EXCLUSIVE MODE")
            if await users.admin_exists(connection):
                return None
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            await users.add(
                connection,
                email=email_forms(settings.admin_email)[0],
                name="Admin",
                password_hash=hash_now(password),
                role="admin",
                organizer_id=await users.add_organizer(connection, ORGANIZER_NAME),
            )
            return password
    finally:
        await connection.close()


async def reset_admin(settings: Settings, email: str) -> str:
    """
    Give an admin a new password, which ends the old one; tokens that are out live to their end.

    Args:
        email: The admin's address.

    Returns:
        The password.

    Raises:
        ServerError: no admin has this address.
    """
    connection = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        user_id = await users.set_admin_password(
            connection, email_forms(email), password_hash=hash_now(password)
        )
    finally:
        await connection.close()
    if user_id is None:
        raise ServerError(f"no admin has the address {email}: see --email")
    log.warning("admin has a new password", action="admin_reset", user=user_id, by_uid=os.getuid())
    return password


async def forget_passkeys(settings: Settings, email: str) -> int:
    """
    Delete all passkeys of an admin, who has lost the devices that they are on.

    Where admins must have a passkey, the first is made anew after the password: reset it first if
    somebody else may know it. Sessions that are open live to their end.

    Args:
        email: The admin's address.

    Returns:
        How many there were.

    Raises:
        ServerError: no admin of this address has any.
    """
    connection = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        count = await ways_in.forget_passkeys(connection, email_forms(email))
    finally:
        await connection.close()
    if not count:
        raise ServerError(f"no admin of the address {email} has a passkey: see --email")
    log.warning("admin's passkeys are gone", action="passkeys_forgotten", by_uid=os.getuid())
    return count
