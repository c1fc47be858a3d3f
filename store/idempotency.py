"""Requests by their idempotency keys: whose turn it is, whether it was done, and its answer."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from store.pool import Pool
from store.sql import Executor, query

HASH_BYTES = 16


class Attempt(NamedTuple):
    """A turn at a request: no other attempt of it may do it while this is the one."""

    #: Account, API key or device.
    caller: str
    #: Of key, method and path.
    key_hash: bytes
    #: Drawn at random.
    turn: bytes


class Earlier(NamedTuple):
    """What is known of an earlier attempt."""

    request_hash: bytes
    #: Whether it changed what it was to change.
    is_done: bool
    #: Id of what it was done to, if it is known.
    subject: str | None
    #: HTTP status; None if no answer is kept.
    status: int | None
    headers: str | None
    answer: bytes | None


async def begin(
    pool: Pool,
    attempt: Attempt,
    request_hash: bytes,
    *,
    life: dt.timedelta,
    lease: dt.timedelta,
    keys_max: int,
) -> bool:
    """
    Take the turn for a request; False if it is not to be had.

    Args:
        life: How long the key stands for its request.

        lease: How long an attempt that has not ended keeps others away.

        keys_max: How many keys a caller may have at a time.
    """
    values = (attempt.caller, attempt.key_hash, request_hash, attempt.turn, life, lease, keys_max)
    return bool(await pool.fetchval(query("begin_attempt"), *values))


async def earlier(pool: Pool, attempt: Attempt) -> Earlier | None:
    """Return what is known of the attempt that has the turn; None if there is none."""
    row = await pool.fetchrow(query("earlier_attempt"), *attempt[:2])
    return None if row is None else Earlier(**row)


async def use(connection: Executor, attempt: Attempt, subject: str) -> bool:
    """
    Note that a transaction does what was asked for; False if another attempt has the turn.

    Atomicity: it is done if, and only if, the transaction is committed.

    Args:
        connection: The one that has the transaction.

        subject: Id of what it is done to; the first of several stays.
    """
    return bool(await connection.fetchval(query("use_key"), *attempt, subject[:200]))


async def keep(
    pool: Pool, attempt: Attempt, *, status: int | None, headers: str, answer: bytes
) -> None:
    """Note that a request is done, and its answer; without a status none is kept."""
    await pool.execute(query("keep_answer"), *attempt, status, headers, answer)


async def end(pool: Pool, attempt: Attempt) -> None:
    """Give the key of a request free that has changed nothing."""
    await pool.execute(query("end_keyed"), *attempt)
