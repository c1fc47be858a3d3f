"""
Connections to PostgreSQL: bounded pool, bounded statements, commits that are on disk.

Every new connection is looked at by the config guard before it is used.
"""

from __future__ import annotations

import asyncpg

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


async def create_pool(url: str, *, connections_max: int, timeout_ms: int) -> asyncpg.Pool:
    """
    Make a pool that opens its connections when first needed.

    Nothing is opened here, so that a service starts (and says it is not ready) while PostgreSQL
    is away. Taking a connection raises `guard.UnsafeDatabase` if the server may lose commits.
    """
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=connections_max,
        init=guard.require_safe,
        timeout=timeout_ms / 1000,
        command_timeout=2 * timeout_ms / 1000,
        server_settings=server_settings(timeout_ms),
    )


async def ping(pool: Pool) -> None:
    """Ask PostgreSQL for nothing; raises whatever keeps it from answering."""
    await pool.fetchval("SELECT 1")
