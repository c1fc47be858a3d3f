"""Accounts: register, log in, see oneself."""

from __future__ import annotations

import time

from engine.status import Status
from store import users
from usecases import text, told
from usecases.asked import Login, Register
from usecases.denials import Denied, Why, as_value, not_found
from usecases.services import Services
from usecases.tokens import Principal

METHOD = "password"


@as_value
async def register(services: Services, asked: Register, origin: str = "") -> Principal:
    """
    Make an account; return who has it.

    Args:
        origin: A word for the address that it is asked from; only so many are made from one.
    """
    count_registration(services, origin)
    pool, user_id = services.pools.sign_in, None
    # An account of older code may have another form of the address than the one that is kept now.
    if await users.by_email(pool, text.email_forms(asked.email)) is None:
        user_id = await users.add(
            pool,
            email=asked.email,
            name=asked.name,
            password_hash=await services.passwords.hash(asked.password),
        )
    if user_id is None:
        raise Denied(Why.EMAIL_TAKEN, ("/email", "has an account"))
    return Principal(user_id, "user", None, METHOD, int(time.time()))


def count_registration(services: Services, origin: str) -> None:
    """
    Count an account that is about to be made, by whatever way, from an address.

    Raises:
        Denied: as many were made from it as may be within the time.
    """
    limit = services.registrations
    wait_ms = limit.take(origin) if limit is not None and origin else 0
    if limit is None or not wait_ms:
        return
    fields: dict[str, int | str] = {
        "limit": "registrations",
        "attempts_max": limit.attempts_max,
        "window_ms": limit.window_ms,
        "retry_after_ms": wait_ms,
    }
    raise Denied(Status.RATE_LIMITED, fields=fields)


@as_value
async def login(services: Services, asked: Login) -> Principal:
    """Return whose address and password these are."""
    user = await users.by_email(services.pools.sign_in, text.email_forms(asked.email))
    # The second form is that of passwords which older code hashed as they were typed.
    forms = list(dict.fromkeys([text.prepared(asked.password), asked.password]))
    matches = await services.passwords.verify(
        forms, user.password_hash if user is not None else None
    )
    if user is None or not matches:
        raise Denied(Why.WRONG_CREDENTIALS)
    return Principal(user.id, user.role, user.organizer_id, METHOD, int(time.time()))


@as_value
async def me(services: Services, person: Principal) -> told.Me:
    """Return the person's account."""
    user = await users.by_id(services.pools.sign_in, person.user_id)
    if user is None:
        raise not_found()
    return told.Me(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,  # type: ignore[arg-type]  # The database's enum has the same values.
        created_at=user.created_at,
    )
