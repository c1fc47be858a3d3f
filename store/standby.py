"""
A standby to read from: used while it is one, follows our primary, and is not far behind.

It is judged once a second: how old the newest end of the primary's log is that it has replayed.
Not by its own word of when its last transaction was, whose age grows while nobody writes, and says
nothing once it is cut off. While the primary does not answer, the last end that was seen counts.

What is read of it says how new it must be: by a place in the primary's log, or by checkpoints of
journals; a checkpoint is committed with the rows that it stands for. Both are asked over the very
connection that is read from then, so that a name with several standbys behind it is no danger. What
is not there after `PATIENCE_S` is read from the primary; so is whatever fails in between.

Never for what decides: publishing, reigns, the redo buffer, checkpoints that answers promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeVar

import asyncpg
import structlog

from engine.tasks import end
from store import reigns
from store.pool import UNANSWERED, Pool
from store.sql import Executor, InTransaction, query

Found = TypeVar("Found")
log = structlog.get_logger()

#: How far behind a standby may be that is used, in seconds.
LAG_MAX_S = 10.0
#: Time from one judgement to the next, and the longest after several in vain, in seconds.
JUDGE_INTERVAL_S = 1.0
BACK_OFF_MAX_S = 10.0
#: Time that one question of the judge may take, and how long a judgement holds, in seconds.
QUESTION_TIMEOUT_S = 1.0
HOLDS_S = 5.0
#: How long a reader waits for a connection and for what must be there, in seconds.
PATIENCE_S = 0.05
POLL_INTERVAL_S = 0.005


class Need(NamedTuple):
    """What a standby must have for a read."""

    #: End of the primary's log; see `written`.
    lsn: int = 0
    #: What journals must have come to: shard -> (epoch, seq).
    marks: Mapping[int, tuple[int, int]] = {}


class LogPlace(NamedTuple):
    """Where a server stands in the log of a cluster."""

    cluster: str
    #: Bytes of the log.
    lsn: int


class Standby:
    """Reads what may be read from a standby, or says that the primary must be asked."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        *,
        judged_by: Pool,
        primary: Pool,
        count: Callable[[str], None],
    ) -> None:
        """
        Args:
            pools: Of the standby, by who reads.

            judged_by: Of the standby, for the judge.

            count: Told how each read went: `standby`, or why it did not come from there.
        """
        self._pools = pools
        self._judged_by = judged_by
        self._primary = primary
        self._count = count
        self._verdict = "unjudged"
        self._judged_s = 0.0
        #: Ends of the primary's log, and when they were seen.
        self._ends: deque[tuple[float, int]] = deque(maxlen=int(LAG_MAX_S / JUDGE_INTERVAL_S) + 2)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to judge; the standby may be away."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop, and close the connections."""
        await end(self._task)
        for pool in (*self._pools.values(), self._judged_by):
            await pool.close()

    @property
    def verdict(self) -> str:
        """`used`, or why it is not: `unjudged`, `away`, `lagging`, `no_standby`, `stranger`."""
        is_fresh = time.monotonic() - self._judged_s < HOLDS_S
        return self._verdict if is_fresh or self._verdict == "away" else "unjudged"

    async def read(
        self,
        whose: str,
        work: Callable[[InTransaction], Awaitable[Found]],
        *,
        needs: Callable[[], Awaitable[Need | None]] | None = None,
    ) -> Found | None:
        """
        Return what *work* finds on the standby; None if the primary must be asked.

        Cost: a round trip to the standby beside what is read.

        Args:
            work: Reads alone, of what it is given alone: it may be done again.

            needs: Asked what must be there if the standby is used; None: nobody knows. Left out,
                what it has will do.

        Raises:
            asyncpg.QueryCanceledError: it takes too long, which it would on the primary, too.
        """
        verdict = self.verdict
        if verdict != "used":
            self._count(verdict)
            return None
        need = Need() if needs is None else await needs()
        if need is None:
            self._count("unknown")
            return None
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        entered = self._pools[whose].acquire()
                        connection = await stack.enter_async_context(entered)
                        while not await _has(connection, need):  # noqa: ASYNC110
                            await asyncio.sleep(POLL_INTERVAL_S)
                except TimeoutError:
                    self._count("behind")
                    return None
                found = await work(connection)
        except asyncpg.QueryCanceledError:
            raise
        except UNANSWERED as error:
            log.info("a read of the standby failed", action="standby_failed", error=repr(error))
            self._count("failed")
            return None
        self._count("standby")
        return found

    async def _run(self) -> None:
        pause_s = JUDGE_INTERVAL_S
        while True:
            verdict, why = await self._judge()
            if verdict != self._verdict:
                tell = log.info if verdict == "used" else log.warning
                tell("standby judged", action="standby_judged", verdict=verdict, error=why)
            self._verdict, self._judged_s = verdict, time.monotonic()
            is_there = verdict != "away"
            pause_s = JUDGE_INTERVAL_S if is_there else min(2 * pause_s, BACK_OFF_MAX_S)
            await asyncio.sleep(pause_s)

    async def _judge(self) -> tuple[str, str]:
        """Return the verdict, and what it was seen by if something failed."""
        primary = None
        with contextlib.suppress(*UNANSWERED):
            asked_s = time.monotonic()
            primary = await place_of(self._primary, query("primary_place"))
            self._ends.append((asked_s, primary.lsn))
        try:
            place = await place_of(self._judged_by, query("standby_place"))
        except UNANSWERED as error:
            return "away", repr(error)
        if place.lsn < 0:
            return "no_standby", ""
        if primary is not None and primary.cluster != place.cluster:
            return "stranger", ""
        seen_s = [at_s for at_s, lsn in self._ends if lsn <= place.lsn]
        is_near = bool(seen_s) and self._ends[-1][0] - seen_s[-1] < LAG_MAX_S
        return ("used" if is_near else "lagging"), ""


async def written(primary: Pool) -> Need:
    """Return the need of whatever is committed by now: the end of the primary's log."""
    return Need(await primary.fetchval(query("written")))


async def place_of(database: Executor, statement: str) -> LogPlace:
    """Ask a primary or a standby where it stands; below 0: it is no standby."""
    async with asyncio.timeout(QUESTION_TIMEOUT_S):
        row = await database.fetchrow(statement)
    assert row is not None, "the query always returns one row"
    return LogPlace(row["cluster"], row["lsn"])


async def _has(connection: InTransaction, need: Need) -> bool:
    """Tell whether a standby, that is one still, has what it must have."""
    if await connection.fetchval(query("replayed")) < need.lsn:
        return False
    for shard, (epoch, seq) in need.marks.items():
        if (await reigns.horizon(connection, shard, epoch))[0] < seq:
            return False
    return True
