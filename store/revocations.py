"""Revocations: access tokens that are over before their time, and what else is over by now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from store.sql import Executor, query

#: The version of tokens of what is gone for good: all are of a lower one.
GONE = 2**31 - 1
#: Rows of each kind that `tidy` deletes at a time.
TIDIED_MAX = 1_000


class Over(NamedTuple):
    """Tokens of a user, or of a session, of a lower version are over."""

    subject: str
    version: int


async def since(database: Executor, xmin: int, *, age_s: int) -> tuple[int, Sequence[Over]]:
    """
    Return what may have been committed since a look that found *xmin*, and the xmin of now.

    Some of it may be known already: what was committed after a snapshot was taken has no lower
    transaction id than the oldest that ran then.

    Args:
        xmin: 0 for all there is.

        age_s: How old it may be, in seconds.
    """
    rows = await database.fetch(query("revocations_since"), xmin, age_s)
    found = [Over(row["subject"], row["version"]) for row in rows if row["subject"] is not None]
    return rows[0]["xmin"], found


async def tidy(database: Executor, *, age_s: int) -> None:
    """
    Delete what is over: revocations, sessions, links and gifts; and secrets of sent letters.

    Args:
        age_s: How old revocations get, in seconds.

    Cost: five statements, each of a bounded number of rows.
    """
    await database.execute(query("tidy_revocations"), age_s, TIDIED_MAX)
    await database.execute(query("tidy_sessions"), TIDIED_MAX)
    await database.execute(query("tidy_account_tokens"), TIDIED_MAX)
    await database.execute(query("tidy_outbox_secrets"), TIDIED_MAX)
    await database.execute(query("tidy_gifts"), TIDIED_MAX)
