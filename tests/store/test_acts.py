"""S42. The log of acts: append-only by grants, sealed by days, and proved against every change."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import asyncpg
import pytest

from evently.embedded import PostgresServer
from store import acts, roles
from store.migrate import migrate
from store.pool import connect
from tests.conftest import TIMEOUT_MS
from tests.store.databases import create_database

WHO = acts.Actor("usr_00000000000000000000000000", "organizer", None, "192.0.2.0/24", "r-1")
#: Makes rows of another day: what nobody but the owner of the table can do.
BACKDATE = """
ALTER TABLE acts DISABLE TRIGGER ALL;
UPDATE acts SET at = at - interval '{days} days', day = day - {days};
ALTER TABLE acts ENABLE TRIGGER ALL;
"""


@pytest.fixture
async def url(postgres: PostgresServer) -> str:
    """Make a database of the test's own."""
    made = await create_database(postgres.url)
    await migrate(made)
    return made


@pytest.fixture
async def fresh(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to it as its owner."""
    connection = await connect(url, timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


async def days_back(owner: asyncpg.Connection, days: int) -> None:
    """Let all acts so far be so many days older."""
    await owner.execute(BACKDATE.format(days=days))


async def three_days(owner: asyncpg.Connection) -> list[acts.Sealed]:
    """Make acts of three days in a row, with an empty day among them, and seal them."""
    for days in (2, 1, 1):
        for number in range(3):
            await acts.add(owner, WHO, "event.close", f"evt_{days}{number}", after={"n": number})
        await days_back(owner, days)
    return await acts.seal(owner)


@pytest.mark.parametrize("table", ["acts", "act_days"])
@pytest.mark.parametrize("role", [*roles.ROLES, None])
async def test_s42_nobody_changes_a_row(
    fresh: asyncpg.Connection, role: str | None, table: str
) -> None:
    """S42: no role may change, delete or empty; not even the owner may change or empty."""
    await three_days(fresh)
    before = await fresh.fetch(f"SELECT * FROM {table}")  # noqa: S608
    what = "why = ''" if table == "acts" else "rows = 0"
    statements = [f"UPDATE {table} SET {what}", f"TRUNCATE {table}"]  # noqa: S608
    statements += [f"DELETE FROM {table}"] * (role is not None)  # noqa: S608
    if role is not None:
        await fresh.execute(f"SET SESSION AUTHORIZATION {roles.user(role)}")
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fresh.execute(statement)
    await fresh.execute("RESET SESSION AUTHORIZATION")
    assert before == await fresh.fetch(f"SELECT * FROM {table}")  # noqa: S608
    assert before


async def test_s42_who_notes_cannot_choose_the_time(fresh: asyncpg.Connection) -> None:
    """S42: an act has the time at which it is written, whatever its writer says."""
    await fresh.execute(f"SET SESSION AUTHORIZATION {roles.user('api')}")
    await fresh.execute(
        "INSERT INTO acts (at, day, actor, act, subject)"
        " VALUES ('2001-01-01', '2001-01-01', 'usr', 'event.close', 'evt')"
    )
    await fresh.execute("RESET SESSION AUTHORIZATION")
    [row] = await fresh.fetch("SELECT at, day, now() AS now FROM acts")
    assert abs((row["now"] - row["at"]).total_seconds()) < 60
    assert row["at"].date() == row["day"]


async def test_s42_days_are_chained(fresh: asyncpg.Connection) -> None:
    """S42: each day over has a hash, made of its rows and the day before; today has none yet."""
    assert [] == await acts.seal(fresh)
    sealed = await three_days(fresh)
    await acts.add(fresh, WHO, "event.close", "evt_today")
    assert [] == await acts.seal(fresh)
    assert [3, 0, 3, 3] == [one.rows for one in sealed]
    assert ["", *(one.hash for one in sealed[:-1])] == [one.before for one in sealed]
    assert 4 == len({one.hash for one in sealed})
    verdict = await acts.verify(fresh, {one.day: one.hash for one in sealed})
    assert (4, 9, [], sealed[-1]) == (verdict.days, verdict.rows, verdict.faults, verdict.last)


TAMPERING = {
    "changed": "UPDATE acts SET subject = 'evt_other' WHERE subject = 'evt_20'",
    "what was changed": """UPDATE acts SET after = '{"n": 7}' WHERE subject = 'evt_20'""",
    "taken out": "DELETE FROM acts WHERE subject = 'evt_12'",
    "all taken out": "DELETE FROM acts",
    "put in": "INSERT INTO acts (at, day, actor, act, subject) SELECT at, day, actor, act, subject"
    " FROM acts WHERE subject = 'evt_20'",
    "moved": "UPDATE acts SET day = day + 1 WHERE subject = 'evt_20'",
    "hash made anew": "UPDATE act_days SET hash = repeat('0', 64)"
    " WHERE day = (SELECT min(day) FROM act_days)",
    "day taken out": "DELETE FROM act_days WHERE rows = 0",
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_s42_tampering_is_noticed(fresh: asyncpg.Connection, how: str) -> None:
    """S42: a row or a hash that its owner changed, added or took out is noticed."""
    await three_days(fresh)
    await fresh.execute(
        "ALTER TABLE acts DISABLE TRIGGER ALL; ALTER TABLE act_days DISABLE TRIGGER ALL"
    )
    await fresh.execute(TAMPERING[how])
    assert (await acts.verify(fresh)).faults


async def test_s42_all_made_anew_is_noticed_by_the_log(fresh: asyncpg.Connection) -> None:
    """S42: who makes rows and all hashes anew has other hashes than those that were logged."""
    sealed = await three_days(fresh)
    await fresh.execute(
        "ALTER TABLE acts DISABLE TRIGGER ALL; ALTER TABLE act_days DISABLE TRIGGER ALL;"
        " DELETE FROM acts WHERE subject = 'evt_20'; DELETE FROM act_days"
    )
    await acts.seal(fresh)
    assert [] == (await acts.verify(fresh)).faults
    kept = {sealed[-1].day: sealed[-1].hash}
    [fault] = (await acts.verify(fresh, kept)).faults
    assert str(sealed[-1].day) in fault
    unknown = (await acts.verify(fresh, {dt.date(2020, 1, 1): "0" * 64})).faults
    assert ["2020-01-01: has no hash, and one was kept elsewhere"] == unknown


async def test_s42_sealing_waits_for_acts_under_way(url: str, fresh: asyncpg.Connection) -> None:
    """S42: an act that has its time and is not committed keeps the day from being sealed."""
    await acts.add(fresh, WHO, "event.close", "evt_first")
    await days_back(fresh, 1)
    other = await connect(url, timeout_ms=TIMEOUT_MS)
    try:
        transaction = other.transaction()
        await transaction.start()
        await acts.add(other, WHO, "event.close", "evt_late")
        sealing = asyncio.create_task(acts.seal(fresh))
        done, _ = await asyncio.wait({sealing}, timeout=0.5)
        assert not done
        await transaction.commit()
        assert [1] == [one.rows for one in await sealing]
    finally:
        await other.close()


async def test_s42_sealing_twice(fresh: asyncpg.Connection) -> None:
    """S42: whoever seals second changes nothing."""
    await three_days(fresh)
    before = await fresh.fetch("SELECT * FROM act_days ORDER BY day")
    assert [] == await acts.seal(fresh)
    assert before == await fresh.fetch("SELECT * FROM act_days ORDER BY day")


async def test_s42_long_and_odd_values(fresh: asyncpg.Connection) -> None:
    """S42: what is too long or cannot be kept is left out of the note, which is made."""
    wishes = [{"text": "x" * 100_000}, {"text": "a\0b"}, {"text": "\ud800"}, ["\u202e", 1.5, None]]
    for wish in wishes:
        await acts.add(fresh, WHO, "event.change", "evt", after=wish, why="y" * 5_000 + "\0")
    rows = await acts.page(fresh, before_id=acts.ID_MAX, limit=10)
    assert 4 == len(rows)
    assert {1_000} == {len(row.why) for row in rows}
