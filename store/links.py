"""
Links: what a letter carries that opens something once, for a while.

Kept as a hash; the token itself stands in the letter's row of the outbox, until it is used or over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from store import outbox
from store.sql import InTransaction, query

#: Time within which the same letter is not written again, in seconds.
AGAIN_AFTER_S = 60
#: Kinds of messages that carry a token, by the purpose of it.
KINDS = {"verify": "account.verify", "email": "account.email", "reset": "account.reset"}


class Link(NamedTuple):
    """A token that is to be sent."""

    #: `verify`: proves the account's address; `email`: another one, which becomes the account's;
    #: `reset`: lets in who has forgotten the password.
    purpose: str
    token: str
    #: The address that it is sent to.
    email: str
    life_s: int


class Taken(NamedTuple):
    """A token that was good."""

    user_id: str
    purpose: str
    email: str


def digest(token: str) -> bytes:
    """Return what is kept of a token: it is random, so a plain hash says nothing of it."""
    return sha256(token.encode()).digest()


async def ask_for_proof(connection: InTransaction, user_id: str, link: Link) -> None:
    """
    Write the letter that proves an address to whoever opens it.

    If somebody has proved the address already, the letter says that instead, and opens nothing.

    Atomicity: within the caller's transaction.
    """
    expires_at = await _put(connection, user_id, link)
    if expires_at is None:
        return
    if await connection.fetchval(query("email_is_proved"), link.email, user_id):
        await outbox.account_message(connection, "account.exists", user_id, {"to": link.email})
    else:
        await _tell(connection, user_id, link, expires_at)


async def send_reset(connection: InTransaction, user_id: str | None, link: Link) -> None:
    """
    Write the letter that lets somebody choose a new password.

    For an address that nobody has, a token is kept that nobody knows: the same work (S7).

    Atomicity: within the caller's transaction.
    """
    expires_at = await _put(connection, user_id, link)
    if expires_at is not None and user_id is not None:
        await _tell(connection, user_id, link, expires_at)


async def take(
    connection: InTransaction, token: str, purposes: Sequence[str], *, user_id: str | None = None
) -> Taken | None:
    """
    Use a token up; None if it is not good, or no longer.

    Args:
        purposes: Those that it may have.

        user_id: Whose it must be; None for anybody's.

    Atomicity: within the caller's transaction: if that fails, the token is good still.
    """
    row = await connection.fetchrow(
        query("take_account_token"), digest(token), list(purposes), user_id
    )
    if row is None:
        return None
    taken = Taken(**row)
    kinds = [KINDS[taken.purpose]]
    await connection.execute(query("forget_outbox_secrets"), taken.user_id, kinds)
    return taken


async def drop_all(connection: InTransaction, user_id: str) -> None:
    """End all tokens of an account; within the caller's transaction."""
    await connection.execute(query("drop_account_tokens"), user_id)
    await connection.execute(query("forget_outbox_secrets"), user_id, list(KINDS.values()))


async def _put(connection: InTransaction, user_id: str | None, link: Link) -> dt.datetime | None:
    """Keep a token; return its end, or None if its like was sent just now."""
    expires_at: dt.datetime | None = await connection.fetchval(
        query("put_account_token"),
        digest(link.token),
        user_id,
        link.purpose,
        link.email,
        link.life_s,
        AGAIN_AFTER_S,
    )
    return expires_at


async def _tell(
    connection: InTransaction, user_id: str, link: Link, expires_at: dt.datetime
) -> None:
    payload = {"to": link.email, "token": link.token}
    kind = KINDS[link.purpose]
    await outbox.account_message(connection, kind, user_id, payload, secret_until=expires_at)
