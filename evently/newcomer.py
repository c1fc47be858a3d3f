"""
A newcomer's first start: how one signs in, and whether a sample of events is added by itself.

Owns the file of sign-ins in the data folder, which is for its owner's eyes, and the process that
adds the sample beside `evently up`. Imports little: the supervisor does. Leaves the sample itself
to `sample.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

import msgspec

from evently.beside import run_beside
from evently.embedded.errors import ServerError
from evently.embedded.place import write_atomically
from evently.operators import operator
from evently.settings import Settings
from store import events, imports, operators
from store.pool import connect
from store.tenants import accounts
from usecases.passwords import hash_now

SAMPLE_DOMAIN = "sample.evently.localhost"
ORGANIZER_EMAIL = f"organizer@{SAMPLE_DOMAIN}"
#: In the data folder: how one signs in as the organizer and as the admin of a fresh start.
SIGN_INS_FILE = "sign-ins.json"
#: From the start on until the sale of one event opens, in seconds.
OPENS_IN_S = 60
PASSWORD_BYTES = 12


class SignIns(msgspec.Struct, kw_only=True):
    """How one signs in to a machine of development, for its owner's eyes."""

    organizer_email: str = ORGANIZER_EMAIL
    organizer_password: str = ""
    #: Empty if the admin was there before, or has another by now.
    admin_password: str = ""
    #: Whether the whole sample was made.
    is_whole: bool = False


def kept(settings: Settings) -> SignIns | None:
    """Return the sign-ins that are kept in the data folder; None if there are none."""
    try:
        content = (settings.data_path / SIGN_INS_FILE).read_bytes()
        return msgspec.json.decode(content, type=SignIns)
    except (OSError, msgspec.DecodeError):
        return None


def keep(settings: Settings, sign_ins: SignIns) -> None:
    """Keep the sign-ins in the data folder, for its owner alone."""
    write_atomically(settings.data_path / SIGN_INS_FILE, msgspec.json.encode(sign_ins))


async def prepare(settings: Settings, admin_password: str | None) -> SignIns | None:
    """
    Make the organizer's account where a sample is to be added by itself: in development, to an
    empty catalogue. Called before anything is served, after the admin was made.

    Returns:
        The sign-ins, where a sample is or is to be; else None.
    """
    if settings.environment != "development" or settings.sample == "off":
        return None
    sign_ins = kept(settings)
    if sign_ins is not None:
        return sign_ins
    database = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        if await events.has_any(database) or not await imports.organizers(database):
            return None
    finally:
        await database.close()
    return await with_organizer(settings, admin_password or "")


async def with_organizer(settings: Settings, admin_password: str = "") -> SignIns:
    """Make the organizer's account, unless it is there; return how one signs in."""
    known = kept(settings)
    if known is not None:
        return known
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    organizer_id = await organizer_of_sample(settings)
    url = settings.database_url_as("api")
    database = await connect(url, timeout_ms=settings.database_timeout_ms)
    try:
        async with database.transaction():
            user_id = await operators.of_address(database, [ORGANIZER_EMAIL])
            if user_id is None:
                async with accounts(database) as connection:
                    user_id = await operators.add_account(
                        connection,
                        operator(),
                        email=ORGANIZER_EMAIL,
                        name="Olivia Ortega",
                        password_hash=hash_now(password),
                    )
            else:  # Its password is gone with the file; who has made it can sign in no more.
                password = ""
            await operators.set_role(database, operator(), user_id, "organizer", organizer_id)
    finally:
        await database.close()
    made = SignIns(organizer_password=password, admin_password=admin_password)
    keep(settings, made)
    return made


async def organizer_of_sample(settings: Settings) -> str:
    """Return whose the events become: the organizer that the first start has made."""
    database = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        found = await imports.organizers(database)
    finally:
        await database.close()
    if not found:
        raise ServerError("there is no organizer yet: `evently up` makes one")
    return found[0]


async def add_beside(settings: Settings, environ: Mapping[str, str]) -> None:
    """
    Add the sample in a process of its own, then wait for ever; for `evently up`.

    Raises:
        ServerError: it did not end well; it is tried again.
    """
    await run_beside(settings, environ, "sample", "add")
    await asyncio.Event().wait()
