"""
What people were told by mail, while the notifier and the mail server died at random (F44).

Pure but for `settle`: from letters and rows to violations. Every letter is of a row that committed,
every confirmed booking has its letter, and what came twice is counted as an attempt of which nobody
knew the end.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import asyncpg

from loadtests.chaos.checkers import Violation
from notifier.letter import tag_of

POLL_S = 0.5
_ROWS = """
SELECT fact, target, kind, subject_id, state::text AS state, doubts FROM deliveries
WHERE channel = 'mail'
"""
_CONFIRMED = "SELECT id FROM bookings WHERE status = 'confirmed'"
#: Nobody waits for minutes here. A lease may be of a notifier that works: then it is counted.
_HURRY = """
UPDATE deliveries SET due_at = now()
WHERE state IN ('delayed', 'unknown') OR (state = 'sending' AND $1)
"""
_OPEN = """
SELECT (SELECT count(*) FROM deliveries
        WHERE state IN ('sending', 'delayed', 'unknown')
           OR (state = 'waiting' AND due_at <= now())) -- Later ones are planned.
     + (SELECT count(*) FROM shard_checkpoint AS place LEFT JOIN told USING (shard, epoch)
        WHERE place.last_seq > coalesce(told.last_seq, 0))
"""


class Row(NamedTuple):
    """A delivery by mail, as PostgreSQL has it in the end."""

    fact: str
    target: str
    kind: str
    subject_id: str
    state: str
    doubts: int


class Facts(NamedTuple):
    """What PostgreSQL has, which letters are held against."""

    rows: Sequence[Row]
    #: Bookings that are confirmed.
    confirmed: Collection[str]


async def settle(database: asyncpg.Connection, *, timeout_s: float) -> str:
    """Wait until all is told, as if hours passed; return what is not."""
    deadline_s = time.monotonic() + timeout_s
    await database.execute(_HURRY, True)
    left = 0
    while time.monotonic() < deadline_s:
        left = await database.fetchval(_OPEN)
        if not left:
            return ""
        await asyncio.sleep(POLL_S)
        await database.execute(_HURRY, False)
    return f"{left} letters, or epochs, are not told"


async def facts_of(database: asyncpg.Connection) -> Facts:
    """Read what letters are held against."""
    rows = [Row(*row) for row in await database.fetch(_ROWS)]
    return Facts(rows, {row["id"] for row in await database.fetch(_CONFIRMED)})


def told_wrong(message_ids: Sequence[str], facts: Facts) -> list[Violation]:
    """
    Hold letters against what is true.

    Args:
        message_ids: Of all letters that the mail server has taken.
    """
    rows = {tag_of(row.fact, row.target): row for row in facts.rows}
    came = Counter(one.strip("<>").partition("@")[0] for one in message_ids)
    found = [f"a letter is of no fact: {tag}" for tag in came if tag not in rows]
    confirmed = {
        row.subject_id
        for tag, row in rows.items()
        if row.kind == "booking.confirmed" and row.state == "sent" and came[tag]
    }
    found += [f"{one} has no confirmation" for one in sorted(set(facts.confirmed) - confirmed)]
    found += [
        f"{row.fact} came {came[tag]} times, with {row.doubts} doubts"
        for tag, row in rows.items()
        if came[tag] > 1 + row.doubts
    ]
    return [Violation("other", "I19", text) for text in found]
