"""
Attempts, as PostgreSQL counts them over all processes: buckets that fill at a steady rate (GCRA).

Of a bucket there is one figure, when it is full again, by PostgreSQL's clock. What is counted
exactly is taken here, bucket by bucket under a lock; what is counted by each process for itself is
added here once it is taken, so that each learns what the others have let pass.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from store.sql import Executor, columns, query

#: How long a place from where somebody has signed in stays familiar.
FAMILIAR = dt.timedelta(days=30)
#: Such places of one account that are kept.
ORIGINS_MAX = 20


class Counted(NamedTuple):
    """A bucket: what it counts and for whom, and its size."""

    name: str
    #: Attempts that it holds, 1..
    attempts_max: int
    #: Time in which an empty one is full again, in ms.
    window_ms: int


async def take(database: Executor, buckets: Sequence[Counted], *, wholly: bool) -> list[int]:
    """
    Take an attempt from each bucket that has one.

    Atomicity: exact, whoever else takes; no bucket gives more than it holds.

    Args:
        buckets: Of distinct names.

        wholly: From all of them or from none.

    Returns:
        For each bucket 0, or after how many ms it has an attempt; what waits has given none.
    """
    waits_ms: list[int] = await database.fetchval(
        query("take_attempts"), *columns(buckets, 3), wholly
    )
    return waits_ms


async def look(database: Executor, buckets: Sequence[Counted]) -> list[int]:
    """Return for each bucket 0, or after how many ms it has an attempt; nothing is taken."""
    rows = await database.fetch(query("look_at_buckets"), *columns(buckets, 3))
    return [row["wait_ms"] for row in rows]


async def add(
    database: Executor, taken: Sequence[tuple[str, int]], *, attempts_max: int, window_ms: int
) -> dict[str, float]:
    """
    Add attempts that were taken elsewhere.

    Args:
        taken: Names of buckets of one size, and how many attempts were taken from each.

    Returns:
        In how many ms each is full again, with what all others have added.
    """
    names, numbers = columns(taken, 2)
    rows = await database.fetch(
        query("add_attempts"), names, numbers, window_ms / attempts_max, window_ms
    )
    return {row["name"]: row["full_in_ms"] for row in rows}


async def forget(database: Executor, *, most: int) -> None:
    """Delete what is not worth knowing: full buckets, at most so many, and old familiar places."""
    await database.execute(query("forget_full_buckets"), most)
    await database.execute(query("forget_old_origins"), FAMILIAR)


async def fill(database: Executor, names: Sequence[str]) -> int:
    """
    Give buckets all their attempts again.

    Args:
        names: Whole names, or what others begin with up to a colon.

    Returns:
        How many were not full.
    """
    return int(await database.fetchval(query("fill_buckets"), list(names)))


async def account_word(database: Executor, email: str) -> str:
    """Return what stands for the address of an account, alike for all that are one account."""
    word: str = await database.fetchval(query("account_word"), email)
    return word


async def forget_account(database: Executor, email: str) -> None:
    """Forget from where an account was signed in to; its buckets are gone within their window."""
    await database.execute(query("forget_account"), email)


async def knows(database: Executor, account: str, origin: str) -> bool:
    """Tell whether the person of an account has signed in from an origin lately."""
    return bool(await database.fetchval(query("knows_origin"), account, origin, FAMILIAR))


async def note(database: Executor, account: str, origin: str) -> None:
    """Note that the person of an account has signed in from an origin."""
    if await database.fetchval(query("note_origin"), account, origin) is not None:
        await database.execute(query("forget_origins"), account, FAMILIAR, ORIGINS_MAX)
