"""A database of the package's own, organizers in it, and what they do to their events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from evently.embedded import PostgresServer
from evently.operators import operator
from store import changes, events, tenants, users
from store.pool import create_pool
from tests.conftest import TIMEOUT_MS
from tests.store.databases import migrated_database
from usecases.imports import Target


@pytest.fixture(scope="package")
def database_url(postgres: PostgresServer) -> str:
    """Make the package's database."""
    return migrated_database(postgres.url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the API searches."""
    pool = await create_pool(
        database_url, connections_max=4, timeout_ms=TIMEOUT_MS, plans_anew=True
    )
    yield pool
    await pool.close()


@pytest.fixture
async def target(database: asyncpg.Pool) -> Target:
    """Return a new organizer as whose the events become."""
    return Target(database, await users.add_organizer(database, "House"), [0, 1], operator())


async def add(target: Target, *drafts: events.Draft) -> None:
    """Add drafts of an organizer."""
    async with tenants.rows_of(target.pool, target.organizer_id) as connection:
        await events.add(connection, drafts)


async def begin(target: Target, event_id: str) -> None:
    """Begin the publishing of an organizer's event."""
    async with tenants.rows_of(target.pool, target.organizer_id) as connection:
        await changes.begin_publishing(connection, target.organizer_id, event_id)
