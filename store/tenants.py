"""
Transactions in a role that is taken on for them: on the rows of one organizer, or on accounts.

The role and the organizer's id are settings of the transaction (`SET LOCAL`), so that they end with
it, whichever pooler stands between. What PostgreSQL then shows and takes, its row security says
(`store.roles`): a query that forgets to ask for the organizer finds no other's rows all the same.

Cost: three short round trips beside what is asked: BEGIN, the settings, COMMIT.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from store.roles import user
from store.sql import Executor, query

Connection = asyncpg.Connection | PoolConnectionProxy
PoolOrConnection = asyncpg.Pool | asyncpg.Connection


@contextlib.asynccontextmanager
async def rows_of(database: Executor, organizer_id: str) -> AsyncIterator[Connection]:
    """
    Begin a transaction in which the rows of one organizer are there, and no other's.

    Where the database has no roles of ours, the owner's rights go on, and queries alone guard.
    """
    async with _connection(database) as connection, connection.transaction():
        await connection.execute(query("assume"), user("organizer"), organizer_id)
        yield connection


@contextlib.asynccontextmanager
async def accounts(database: PoolOrConnection) -> AsyncIterator[Connection]:
    """Begin a transaction that may change what accounts are, and nothing else."""
    async with _connection(database) as connection, connection.transaction():
        await connection.execute(query("assume"), user("operator"), "")
        yield connection


@contextlib.asynccontextmanager
async def _connection(database: Executor) -> AsyncIterator[Connection]:
    """Take a connection of a pool; one that is taken goes on."""
    if isinstance(database, asyncpg.Pool):
        async with database.acquire() as connection:
            yield connection
    else:
        yield database
