"""The config guard for PostgreSQL (F19)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evently.embedded import PostgresServer
from store import guard
from store.pool import connect, create_pool
from tests.conftest import TIMEOUT_MS

GOOD = {
    "server_version_num": "180001",
    "pg_is_in_recovery": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_sync_retry": "off",
}


@pytest.fixture
def careless() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that may lose what it commits."""
    folder = Path(tempfile.mkdtemp(prefix="evt-"))
    folder.chmod(0o755)
    server = PostgresServer(
        folder, settings={"fsync": "off", "full_page_writes": "off", "data_sync_retry": "on"}
    )
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def test_good_database() -> None:
    """A database that is configured as it must be has nothing against it."""
    assert [] == guard.judge(GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "local"),
        ("data_sync_retry", "on"),
        ("server_version_num", "140010"),
        ("pg_is_in_recovery", "on"),
    ],
)
def test_f19_each_setting_refuses(name: str, value: str) -> None:
    """F19: each setting that is wrong refuses alone and names itself."""
    [finding] = guard.judge(GOOD | {name: value})
    assert (name, value, True) == (finding.setting, finding.value, finding.refuses)
    assert finding.why
    assert finding.fix


async def test_f19_cfg_guard_refuses_a_careless_database(careless: PostgresServer) -> None:
    """F19: neither a connection nor a pool lets itself be used, and each setting is named."""
    with pytest.raises(guard.UnsafeDatabase) as caught:
        await connect(careless.url, timeout_ms=TIMEOUT_MS)
    named = [finding.setting for finding in caught.value.findings]
    assert ["fsync", "full_page_writes", "data_sync_retry"] == named
    assert "set `fsync = on` in postgresql.conf" in str(caught.value)
    pool = await create_pool(careless.url, connections_max=1, timeout_ms=TIMEOUT_MS)
    with pytest.raises(guard.UnsafeDatabase):
        await pool.fetchval("SELECT 1")
    await pool.close()


async def test_shared_settings_pass(postgres: PostgresServer) -> None:
    """The server that runs with deploy/postgres/postgresql.conf passes."""
    connection = await connect(postgres.url, timeout_ms=TIMEOUT_MS)
    settings = await guard.read_settings(connection)
    await connection.close()
    assert {*GOOD} == {*settings}
    assert [] == guard.judge(settings)
