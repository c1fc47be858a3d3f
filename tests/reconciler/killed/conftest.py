"""A Valkey of each test's own, which it may kill, and a shard that is open on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from evently.embedded import PostgresServer, ValkeyServer
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.recovering import opened, start_own


@pytest.fixture
def valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey that the test may kill."""
    with start_own(server_dir) as server:
        yield server


@pytest.fixture
async def office(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Open a shard on the test's own Valkey."""
    async with opened(shard, valkey, postgres, database) as office:
        yield office
