"""S43. Every table and column says what it holds of people; none is forgotten."""

from __future__ import annotations

import asyncpg

from engine.ids import new_id
from store import organizers, users
from store.personal import HOLDINGS
from store.sql import queries

#: Types that can hold words; numbers, times, truth and our own enums cannot.
WORDS = "text character varying jsonb json bytea ARRAY name"
#: Lists of numbers.
NUMBERS = {("promos", "tier_nos")}

COLUMNS = """
SELECT table_name, column_name, data_type
FROM information_schema.columns JOIN pg_class ON relname = table_name
WHERE table_schema = 'public' AND NOT relispartition AND relkind IN ('r', 'p')
"""


async def columns(database: asyncpg.Pool) -> dict[str, set[str]]:
    """Return the columns of each table that can hold words."""
    found: dict[str, set[str]] = {}
    for table, column, kind in await database.fetch(COLUMNS):
        held = found.setdefault(table, set())
        if kind in WORDS and (table, column) not in NUMBERS:
            held.add(column)
    return found


async def test_s43_every_column_is_told_of(database: asyncpg.Pool) -> None:
    """S43: the catalogue's tables and columns are those that `store.personal` knows, no more."""
    known = {
        table: {*one.names.split(), *one.words.split(), *one.ids.split(), *one.plain.split()}
        for table, one in HOLDINGS.items()
    }
    assert known == await columns(database)


def test_s43_every_table_is_exported_or_says_why() -> None:
    """S43: what has a person's id or words is told to them; what is not told says why."""
    for table, one in HOLDINGS.items():
        assert bool(one.export) != bool(one.why), table
        if one.export:
            assert one.export in queries(), table
        else:
            assert not one.words, table
            assert not one.names, table


def test_s43_names_are_erased_at_once() -> None:
    """S43: what has names, addresses or secrets of people has a query that takes them."""
    with_names = {table for table, one in HOLDINGS.items() if one.names}
    assert with_names == {table for table, one in HOLDINGS.items() if one.erasure}
    assert {HOLDINGS[table].erasure for table in with_names} <= queries().keys()
    assert "users" in with_names


async def test_s43_an_erased_account_is_nobodys(database: asyncpg.Pool) -> None:
    """S43: whoever erases an account, by hand as well, takes its role, places and tokens."""
    house = await users.add_organizer(database, "House")
    boss, other = [
        await users.add(
            database,
            email=f"{new_id('usr')}@example.org",
            name="N",
            password_hash="x",
            role=role,
            organizer_id=house,
        )
        for role in ("admin", "staff")
    ]
    assert boss
    assert other
    async with database.acquire() as connection:
        await organizers.set_member(connection, house, boss, "owner", None)
    await database.execute("UPDATE users SET erased_at = now() WHERE id = $1", boss)
    said = "SELECT role::text, organizer_id, token_version FROM users WHERE id = $1"
    for user_id, left in ((boss, ("user", None, 1)), (other, ("staff", house, 0))):
        [row] = await database.fetch(said, user_id)
        assert left == tuple(row)
    team = await database.fetch("SELECT user_id FROM team_members WHERE organizer_id = $1", house)
    assert [other] == [row["user_id"] for row in team]
    over = "SELECT max(version) FROM revocations WHERE subject = $1"
    assert 1 == await database.fetchval(over, boss)
