"""The first admin: made at the first start, with a password that is shown once."""

from __future__ import annotations

import secrets

from evently.settings import Settings
from store import users
from store.pool import connect
from usecases.passwords import hash_now
from usecases.text import email_forms

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
