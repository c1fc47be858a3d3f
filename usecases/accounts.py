"""Accounts: register, log in, see oneself."""

from __future__ import annotations

from store import users
from usecases import text, told
from usecases.asked import Login, Register
from usecases.denials import Denied, Why, as_value, not_found
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def register(services: Services, asked: Register, origin: str = "") -> Principal:
    """
    Make an account; return who has it.

    Args:
        origin: A word for the address that it is asked from; only so many are made from one.
    """
    await services.attempts.register(origin)
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
    return Principal(user_id, "user", None)


@as_value
async def login(services: Services, asked: Login, origin: str = "") -> Principal:
    """
    Return whose address and password these are.

    Args:
        origin: A word for the network address that it is asked from.
    """
    tried = await services.attempts.begin(asked.email, origin)
    user = await users.by_email(services.pools.sign_in, text.email_forms(asked.email))
    # The second form is that of passwords which older code hashed as they were typed.
    forms = list(dict.fromkeys([text.prepared(asked.password), asked.password]))
    matches = await services.passwords.verify(
        forms, user.password_hash if user is not None else None
    )
    await services.attempts.end(tried, is_right=matches)
    if user is None or not matches:
        raise Denied(Why.WRONG_CREDENTIALS)
    return Principal(user.id, user.role, user.organizer_id)


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
