"""What somebody may do who has opened a letter to an address: prove it, or choose a password."""

from __future__ import annotations

import asyncpg

from store import links, outbox, users, ways_in
from store.acts import Actor
from store.links import Link


async def ask(pool: asyncpg.Pool, user_id: str, link: Link) -> None:
    """Write the letter that proves an address; one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await links.ask_for_proof(connection, user_id, link)


async def ask_reset(pool: asyncpg.Pool, user_id: str | None, link: Link) -> None:
    """Write the letter that lets somebody choose a password, if the address is anybody's."""
    async with pool.acquire() as connection, connection.transaction():
        await links.send_reset(connection, user_id, link)


async def prove(pool: asyncpg.Pool, user_id: str, token: str) -> bool:
    """
    Take the letter's token from its account: the address that it was sent to is the account's.

    If that is another than before, the one before is told.

    Returns:
        False if the token is not good, or not of this account, or the address is proved another's.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        taken = await links.take(connection, token, ["verify", "email"], user_id=user_id)
        user = await users.locked(connection, user_id) if taken is not None else None
        if taken is None or user is None:
            return False
        if not await users.prove_email(connection, user_id, taken.email):
            return False
        if taken.email != user.email and user.email_verified_at is not None:
            payload = {"to": user.email}
            await outbox.account_message(connection, "account.email_changed", user_id, payload)
        return True


async def reset(
    pool: asyncpg.Pool, token: str, password_hash: str, *, origin: str = "", request_id: str = ""
) -> str | None:
    """
    Give the account of a letter a new password; all that was signed in is over.

    Whoever has the letter has proved the address. If nobody had before, whoever made the account
    may have been another: what else signs in to it, they may have left there, and it goes; of who
    is more than a buyer that is noted.

    Args:
        origin, request_id: What the note is to say of where it is asked from.

    Returns:
        Whose it is; None if the token is not good, or the address is proved another's meanwhile.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        taken = await links.take(connection, token, ["reset"])
        user = await users.locked(connection, taken.user_id) if taken is not None else None
        if taken is None or user is None:
            return None
        if not await users.prove_email(connection, taken.user_id, taken.email):
            return None
        if user.email_verified_at is None:
            by = Actor(user.id, user.role, user.organizer_id, origin, request_id)
            is_buyer = user.role == "user"
            await ways_in.drop_all(connection, user.id, by=None if is_buyer else by)
        await users.set_password(connection, taken.user_id, password_hash)
        return taken.user_id
