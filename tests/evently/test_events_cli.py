"""`evently events import` and `export` as an operator types them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import asyncpg
import pytest

from evently.embedded import PostgresServer
from store import users
from store.migrate import migrate
from tests.evently.test_cli import evently
from tests.store.databases import create_database

TORONTO = Path(__file__).parents[1] / "data" / "toronto" / "events.jsonl"


@pytest.fixture
async def servers(postgres: PostgresServer, tmp_path: Path) -> dict[str, str]:
    """Return settings that point at a database of the test's own, with one shard."""
    url = await create_database(postgres.url)
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce) "
        "VALUES (0, 1, 'open', 'test', now(), 'n')"
    )
    await users.add_organizer(connection, "House")
    await connection.close()
    return {"database_url": url, "data_dir": str(tmp_path), "environment": "test"}


async def test_import_and_export(servers: dict[str, str], tmp_path: Path) -> None:
    """Rows that cannot be sold are named, the sum is told, and 1 says that not all were taken."""
    weeks = (dt.datetime.now(dt.UTC) - dt.datetime(2024, 5, 9, tzinfo=dt.UTC)).days // 7 + 2
    words = ["events", "import", str(TORONTO), "--weeks-later", str(weeks), "--capacity", "100"]
    words += ["--currency", "cad", "--timezone", "America/Toronto"]
    tried = await evently(*words, "--dry-run", **servers)
    done = await evently(*words, **servers)
    for code, _, log in (tried, done):
        assert (1, "") == (code, log)
    assert "IMPORT dry-run rows=40 events=40 made=28 changed=0 unchanged=0 refused=12" in tried[1]
    assert "IMPORT rows=40 events=40 made=28 changed=0 unchanged=0 refused=12" in done[1]
    assert "row 37: refused: endDate: is before starts_at" in done[1]
    unpriced = "row 2: refused: offers.price: is missing, and the event is not said to be free"
    assert unpriced in done[1]
    path = tmp_path / "out.csv"
    exported = await evently("events", "export", str(path), **servers)
    assert (0, "EXPORT events=28\n") == (exported[0], exported[2])
    back = await evently("events", "import", str(path), "--dry-run", **servers)
    assert "events=28 made=0" in back[1], back
    assert "refused=0" in back[1]


async def test_what_cannot_be_done(servers: dict[str, str], tmp_path: Path) -> None:
    """A file that is not there, of no known form, or nobody's, ends with 2 and one line."""
    empty = tmp_path / "empty.csv"
    empty.write_text("name,starts_at\n")
    odd = tmp_path / "odd.txt"
    odd.write_text("x")
    nobody = ("--organizer", "org_00000000000000000000000000")
    for words in ((str(tmp_path / "none.csv"),), (str(odd),), (str(empty), *nobody)):
        code, text, log = await evently("events", "import", *words, **servers)
        assert (2, "", 1) == (code, text, len(log.splitlines())), log
        assert "Traceback" not in log
    code, text, _ = await evently("events", "import", str(empty), **servers)
    assert (0, True) == (code, "rows=0 events=0 made=0" in text)
