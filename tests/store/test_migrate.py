"""Migrations: applied once, by any number of runners, never with changed content."""

from __future__ import annotations

import asyncio
import datetime as dt

import asyncpg
import pytest

from engine.ids import new_id
from engine.records import Record
from evently.embedded import PostgresServer
from store import ledger, migrate, roles
from store.migrate import MigrationError
from tests.store.databases import create_database
from tests.store.records import booked, entries, published

YEAR = dt.datetime.now(dt.UTC).year


async def test_three_runners_at_once_apply_each_file_once(postgres: PostgresServer) -> None:
    """One runner applies everything, the others wait and find nothing to do."""
    url = await create_database(postgres.url)
    applied = await asyncio.gather(*(migrate.migrate(url) for _ in range(3)))
    names = [name for name, _ in migrate.migrations()]
    assert [[], [], names] == sorted(applied)


async def test_second_run_applies_nothing(database_url: str) -> None:
    """A database that is up to date stays as it is."""
    assert [] == await migrate.migrate(database_url)


async def test_changed_file_is_refused(
    database_url: str, database: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An applied file whose text changed stops the run before anything later is applied."""
    (name, text), *rest = migrate.migrations()
    changed = [(name, text + "-- edited\n"), *rest, ("9999_later.sql", "CREATE TABLE later ();")]
    monkeypatch.setattr(migrate, "migrations", lambda: changed)
    with pytest.raises(MigrationError, match=f"{name} was applied with other content"):
        await migrate.migrate(database_url)
    assert await database.fetchval("SELECT to_regclass('later')") is None


async def test_failing_file_leaves_nothing_behind(
    database_url: str, database: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is applied whole or not at all, and is not noted as applied when it failed."""
    broken = ("9999_broken.sql", "CREATE TABLE half (); SELECT 1 / 0;")
    files = [*migrate.migrations(), broken]
    monkeypatch.setattr(migrate, "migrations", lambda: files)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(database_url)
    assert await database.fetchval("SELECT to_regclass('half')") is None
    known = await database.fetch("SELECT name FROM migrations ORDER BY name")
    assert [name for name, _ in files[:-1]] == [row["name"] for row in known]


async def test_accounts_of_before_have_sessions(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filled database gets sessions and proofs; code of before goes on writing beside."""
    url = await create_database(postgres.url)
    files = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [one for one in files if one[0] < "0029"])

    async def no_grants(*_: object) -> bool:
        return True

    monkeypatch.setattr(roles, "grant", no_grants)  # Those of today name new columns.
    await migrate.migrate(url)
    connection = await asyncpg.connect(url)
    # As that code does it.
    add = (
        "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, 'N', 'x') "
        "ON CONFLICT DO NOTHING RETURNING id"
    )
    tell = (
        "INSERT INTO outbox (kind, event_id, user_id, subject_id, shard, epoch, seq) "
        "VALUES ('booking.confirmed', 'evt_1', 'usr_1', 'bk_1', 0, 1, $1)"
    )
    try:
        first, second = new_id("usr"), new_id("usr")
        await connection.fetchval(add, first, "ann@example.org")
        await connection.execute(tell, 1)
        monkeypatch.undo()
        assert "0029_sessions.sql" in await migrate.migrate(url)
        rows = await connection.fetch(
            "SELECT token_version, email_verified_at, is_claim, language, account_key FROM users"
        )
        assert [(0, None, False, None, "ann@example.org")] == [tuple(row) for row in rows]
        assert None is await connection.fetchval(add, second, "Ann@Example.org")
        assert second == await connection.fetchval(add, second, "bob@example.org")
        await connection.execute(tell, 2)
        assert 2 == await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE payload = '{}' AND secret_until IS NULL"
        )
        assert [] == await connection.fetch("SELECT id FROM revocations")
    finally:
        await connection.close()


async def test_partitions_exist_for_this_year_and_the_next_ones(database: asyncpg.Pool) -> None:
    """Every partitioned table has a partition per year, and one for the rest."""
    rows = await database.fetch(
        "SELECT inhparent::regclass::text AS parent, inhrelid::regclass::text AS child "
        "FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relkind = 'r'"
    )
    suffixes = ["rest", *(f"y{YEAR + n}" for n in range(migrate.PARTITION_YEARS_AHEAD + 1))]
    parents = {row["parent"] for row in rows}
    assert {"bookings", "items", "tickets", "scans", "journal"} == parents
    for parent in parents:
        expected = {f"{parent}_{suffix}" for suffix in suffixes}
        assert expected == {row["child"] for row in rows if row["parent"] == parent}


async def test_rows_land_in_the_partition_of_their_event(
    database: asyncpg.Pool, connection: asyncpg.Connection, shard: int, open_row: None
) -> None:
    """A booking of an event made this year is in this year's partition, an ancient one in rest."""
    recent, ancient = new_id("evt"), new_id("evt", at_ms=1)
    records: list[Record] = [published(recent, 5), booked(recent), booked(ancient)]
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    await ledger.write(connection, shard=shard, epoch=1, last_seq=0, entries=entries(*records))
    for parent in ("bookings", "items", "tickets"):
        places = {
            row["event_id"]: row["place"]
            for row in await database.fetch(
                f"SELECT event_id, tableoid::regclass::text AS place FROM {parent} "  # noqa: S608
                "WHERE event_id = ANY ($1)",
                [recent, ancient],
            )
        }
        assert {recent: f"{parent}_y{YEAR}", ancient: f"{parent}_rest"} == places
