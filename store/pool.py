"""
Connections to PostgreSQL: bounded pools, bounded waits, bounded statements, commits on disk.

Every new connection is looked at by the config guard before it is used. What must not wait for
each other has pools of its own (bulkheads): `usecases.services.Pools`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg

from engine.tasks import end
from store import guard
from store.sql import Executor

APPLICATION_NAME = "evently"
Pool = asyncpg.Pool
#: What some reads are asked of: a pool, or a connection in its transaction.
Database = Executor
#: How it shows that PostgreSQL does not answer.
UNANSWERED = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
#: Who may wait for a connection of one pool; one more is told at once that it is busy.
WAITING_MAX = 1_000
#: How long it is believed that the server lets people in, in seconds.
FRESH_S = 1.0


#: The same of a server that is away, in contrast to one that says no.
AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


class Busy(TimeoutError):
    """All connections of this pool are in use, and none came free in time; nothing was done."""


class _Bounded(asyncpg.Pool):
    """
    A pool of which nobody waits for a connection longer than a statement may take.

    Args:
        knock: Opens a connection beside the pool's, and closes it.
    """

    def __init__(
        self,
        *args: Any,
        wait_max_s: float,
        knock: Callable[[], Coroutine[Any, Any, None]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._wait_max_s = wait_max_s
        self._waiting = 0
        self._open_another = knock
        self._knocking: asyncio.Task[None] | None = None
        self._knocked_s = 0.0

    async def knock(self) -> None:
        """
        Ask whether the server lets anybody in; raises whatever it shows instead.

        Cost: a connection a second at most, whoever asks: who comes meanwhile hears the same.
        """
        task, now_s = self._knocking, asyncio.get_running_loop().time()
        if task is None or (task.done() and (_failed(task) or now_s >= self._knocked_s + FRESH_S)):
            task = self._knocking = asyncio.create_task(self._open_another())
            self._knocked_s = now_s
            task.add_done_callback(_failed)
        await asyncio.shield(task)

    async def close(self) -> None:
        """See asyncpg."""
        await end(self._knocking)
        try:
            async with asyncio.timeout(self._wait_max_s):
                await super().close()
        except TimeoutError:  # Somebody keeps a connection, or the server is silent.
            self.terminate()

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's own word
        # All ways to a connection lead through here: `acquire`, `fetch`, `execute` and the rest.
        if self._waiting >= WAITING_MAX:
            raise Busy("too many wait for a connection")
        self._waiting += 1
        try:
            return await super()._acquire(  # type: ignore[misc]  # The stubs hide it.
                self._wait_max_s if timeout is None else timeout
            )
        except TimeoutError as error:
            raise Busy("no connection came free in time") from error
        finally:
            self._waiting -= 1


def server_settings(timeout_ms: int) -> dict[str, str]:
    """Return the session settings that every connection of ours has."""
    return {
        "application_name": APPLICATION_NAME,
        "statement_timeout": str(timeout_ms),
        "lock_timeout": str(timeout_ms),
        "idle_in_transaction_session_timeout": str(3 * timeout_ms),
        # A deployment may have turned it off globally; our commits promise durability.
        "synchronous_commit": "on",
        "timezone": "UTC",
        # Statements here are short; compiling them costs more than it gives.
        "jit": "off",
    }


async def connect(url: str, *, timeout_ms: int) -> asyncpg.Connection:
    """
    Open one connection, for work that must stay on it (session locks, the persister).

    Raises:
        guard.UnsafeDatabase: the server may lose what it commits.
    """
    connection = await asyncpg.connect(
        url,
        timeout=timeout_ms / 1000,
        command_timeout=2 * timeout_ms / 1000,
        server_settings=server_settings(timeout_ms),
    )
    try:
        await guard.require_safe(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _failed(task: asyncio.Task[None]) -> bool:
    """Whether a task that is done has failed; asked in any case, so that nobody misses it."""
    return task.cancelled() or task.exception() is not None


async def create_pool(
    url: str,
    *,
    connections_max: int,
    timeout_ms: int,
    plans_anew: bool = False,
    is_standby: bool = False,
) -> Pool:
    """
    Make a pool that opens its connections when first needed.

    Nothing is opened here, so that a service starts (and says it is not ready) while PostgreSQL
    is away. Taking a connection raises `guard.UnsafeDatabase` if the server may lose commits, and
    `Busy` if none is to be had.

    Args:
        timeout_ms: Longest time of a statement, and of the wait for a connection, in ms.

        plans_anew: Plan each statement for the values it has: one plan for all searches is none
            of them's best. And by an index, in one process: a page is short, whatever PostgreSQL
            believes of how many fit.

        is_standby: Nothing is committed there, so its settings keep nothing; `store.standby` judges
            whether it is read from.
    """
    settings = server_settings(timeout_ms)
    if plans_anew:
        settings |= {
            "plan_cache_mode": "force_custom_plan",
            "enable_seqscan": "off",
            "max_parallel_workers_per_gather": "0",
        }

    async def knock() -> None:
        connection = await connect(url, timeout_ms=timeout_ms)
        await connection.close(timeout=timeout_ms / 1000)

    return await _Bounded(
        url,
        knock=knock,
        min_size=0,
        max_size=connections_max,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        init=None if is_standby else guard.require_safe,
        wait_max_s=timeout_ms / 1000,
        timeout=timeout_ms / 1000,
        command_timeout=2 * timeout_ms / 1000,
        server_settings=settings,
    )


async def ping(pool: Pool) -> None:
    """
    Ask PostgreSQL for nothing, also over a new connection; raises whatever keeps it from answering.

    Old connections alone say too little: a server that is told to end when its clients have gone
    ("smart") answers them for ever and lets nobody in any more.
    """
    await pool.fetchval("SELECT 1")
    assert isinstance(pool, _Bounded), "see `create_pool`"
    await pool.knock()
