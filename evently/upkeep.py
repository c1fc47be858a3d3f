"""What `evently doctor` says of the log of acts and of erasures: whether their upkeep is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import TypeVar

import asyncpg

from store import acts, redaction

Made = TypeVar("Made")

#: How long an erasure may wait for `evently retention`, and a day of acts for its hash.
ERASURE_WAIT_MAX = dt.timedelta(days=7)
SEAL_WAIT_MAX = dt.timedelta(days=2)


async def rows(database: asyncpg.Connection, row: Callable[..., Made]) -> Iterable[Made]:
    """
    Look, and return what is to be told.

    Args:
        row: Makes a row of the doctor's report.
    """
    now = dt.datetime.now(dt.UTC)
    waiting = await redaction.open_erasures(database)
    late = [user for user, asked_at in waiting.items() if now - asked_at > ERASURE_WAIT_MAX]
    unsealed = [day for day in await acts.unsealed(database) if now.date() - day > SEAL_WAIT_MAX]
    return [
        row(
            "PostgreSQL",
            "erasures",
            f"{len(late)} wait for more than {ERASURE_WAIT_MAX.days} days",
            unless=not late,
            grade="advice",
            must_be="done within days",
            why="what these persons wrote is still there",
            fix="run `evently retention` once a day; a record in quarantine may hold one up",
        ),
        row(
            "PostgreSQL",
            "log of acts",
            f"{len(unsealed)} days have no hash",
            unless=not unsealed,
            grade="advice",
            must_be="a hash for each day that is over",
            why="nobody would notice if a row of them were changed",
            fix="API processes make it by themselves; or `evently audit seal`",
        ),
    ]
