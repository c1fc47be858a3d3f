"""Who gets what the box office sells or moves: an account by its id, or by an address it proved."""

from __future__ import annotations

from engine.ids import is_id
from store import users
from usecases import text
from usecases.denials import invalid
from usecases.services import Services


async def find(services: Services, user_id: str | None, email: str | None) -> str:
    """
    Return the id of an account, named by its id or by the address that it has proved.

    Whoever works at a box office learns by this who has an account (docs/TEAMS.md); an address that
    somebody only claims is nobody's.
    """
    if (user_id is None) == (email is None):
        raise invalid("", "must have either email or user_id")
    pool = services.pools.sign_in
    if user_id is not None:
        named = await users.by_id(pool, user_id) if is_id("usr", user_id) else None
        if named is None or named.disabled_at is not None:
            raise invalid("/user_id", "has no account")
        return named.id
    address = text.email("/email", email or "")
    found = await users.by_email(pool, text.email_forms(address))
    is_proved = found is not None and found.email_verified_at is not None and not found.is_claim
    if found is None or not is_proved or found.disabled_at is not None:
        raise invalid("/email", "is no address that an account has proved")
    return found.id


def pointer(user_id: str | None) -> str:
    """Return where it stands who was named."""
    return "/email" if user_id is None else "/user_id"
