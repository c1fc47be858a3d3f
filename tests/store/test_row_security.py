"""S25. Row security: in an organizer's transaction no other's rows are there, whatever is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.ids import new_id
from store import organizers, roles, tenants, users
from store.pool import create_pool
from store.roles import TENANT_TABLES
from tests.conftest import TIMEOUT_MS
from tests.store.databases import let_roles_in


@pytest.fixture
async def pool(database_url: str, database: asyncpg.Pool) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the API does."""
    await let_roles_in(database_url)
    url = database_url.replace("://", f"://{roles.user('api')}@", 1)
    if "@" in database_url:
        scheme, _, rest = database_url.partition("://")
        url = f"{scheme}://{roles.user('api')}@{rest.rpartition('@')[2]}"
    made = await create_pool(url, connections_max=2, timeout_ms=TIMEOUT_MS)
    yield made
    await made.close()


async def organizer(database: asyncpg.Pool) -> tuple[str, str]:
    """Make an organizer with a row in every table; return its id and its event's."""
    organizer_id = await users.add_organizer(database, "House")
    event_id, user_id = new_id("evt"), new_id("usr")
    await database.execute(
        "INSERT INTO users (id, email, name, password_hash, role, organizer_id)"
        " VALUES ($1, $1 || '@example.org', 'N', 'x', 'organizer', $2)",
        user_id,
        organizer_id,
    )
    await database.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
        " ends_at, sale_opens_at, sale_closes_at, person_max)"
        " VALUES ($1, $2, 0, 'E', 'UTC', 'EUR', now(), now(), now(),"
        " now() + interval '1 day', 9)",
        event_id,
        organizer_id,
    )
    await database.execute(
        "INSERT INTO tiers VALUES ($1, 1, $2, 'Floor', 100, 5, 10)", event_id, new_id("tier")
    )
    await database.execute(
        "INSERT INTO sections (event_id, section_no, tier_no, name, row_seats, kinds, rows)"
        " VALUES ($1, 1, 1, 'S', '5', '', '[]')",
        event_id,
    )
    await database.execute(
        "INSERT INTO promos (event_id, code, uses_max, percent, amount_minor, tier_nos)"
        " VALUES ($1, 'KEY', 1, 10, 0, '{}')",
        event_id,
    )
    await database.execute(
        "INSERT INTO api_keys (id, organizer_id, made_by, name, scopes, prefix, hash)"
        " VALUES ($1, $2, $3, 'K', '{}', $4, sha256($5))",
        new_id("key"),
        organizer_id,
        user_id,
        user_id[-12:],
        user_id.encode(),
    )
    await database.execute(
        "INSERT INTO devices (id, event_id, organizer_id, gate, made_by, code_expires_at)"
        " VALUES ($1, $2, $3, 'North', $4, now())",
        new_id("dev"),
        event_id,
        organizer_id,
        user_id,
    )
    await database.execute(
        "INSERT INTO order_notes (id, organizer_id, event_id, booking_id, user_id, written_by,"
        " text) VALUES ($1, $2, $3, 'bk', $4, $4, 'N')",
        new_id("note"),
        organizer_id,
        event_id,
        user_id,
    )
    await add_webhook(database, organizer_id)
    async with tenants.rows_of(database, organizer_id) as connection:
        await organizers.invite(
            connection,
            organizer_id,
            email=f"{new_id('usr')}@example.org",
            role="gate",
            event_ids=None,
            life_s=60,
        )
    return organizer_id, event_id


async def add_webhook(database: asyncpg.Pool, organizer_id: str) -> None:
    """Tell an organizer what happens."""
    await database.execute(
        "INSERT INTO webhook_endpoints (id, organizer_id, url, kinds, sealed, made_by)"
        " VALUES ($1, $2, 'https://hooks.example/', '{event.closed}', '', 'usr')",
        new_id("whk"),
        organizer_id,
    )


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_s25_each_organizer_sees_its_own_rows_alone(
    database: asyncpg.Pool, pool: asyncpg.Pool, table: str
) -> None:
    """S25: a query that asks for everything gets the rows of the organizer, and no other's."""
    own, _ = await organizer(database)
    await organizer(database)
    column = TENANT_TABLES[table]
    every = f"SELECT {column} AS own FROM {table}"  # noqa: S608
    async with tenants.rows_of(pool, own) as connection:
        seen = {row["own"] for row in await connection.fetch(every)}
    assert {own} == seen
    async with tenants.rows_of(pool, "") as connection:
        assert [] == await connection.fetch(every)


async def test_s25_role_ends_with_its_transaction(
    database: asyncpg.Pool, pool: asyncpg.Pool
) -> None:
    """S25: a connection that goes back to the pool is nobody's again, after a failure as well."""
    own, _ = await organizer(database)

    async def fail() -> None:
        async with tenants.rows_of(pool, own) as connection:
            assert roles.user("organizer") == await connection.fetchval("SELECT current_user")
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await fail()
    said = "SELECT current_user || coalesce(current_setting('evently.organizer', true), '')"
    async with pool.acquire() as connection, connection.transaction():
        assert roles.user("api") == await connection.fetchval(said)


async def test_s25_no_row_is_written_for_another(
    database: asyncpg.Pool, pool: asyncpg.Pool
) -> None:
    """S25: neither new rows nor changed ones can be another's, however the statement is meant."""
    own, event_id = await organizer(database)
    other, foreign_id = await organizer(database)
    tier = "INSERT INTO tiers VALUES ($1, 2, $2, 'T', 100, 5, 10)"
    async with tenants.rows_of(pool, own) as connection:
        assert "UPDATE 0" == await connection.execute(
            "UPDATE events SET name = 'x' WHERE id = $1", foreign_id
        )
        assert "DELETE 0" == await connection.execute(
            "DELETE FROM team_members WHERE organizer_id = $1", other
        )
        assert "INSERT 0 1" == await connection.execute(tier, event_id, new_id("tier"))
    refusals = (asyncpg.InsufficientPrivilegeError, asyncpg.NotNullViolationError)
    for statement, values in (
        (tier, (foreign_id, new_id("tier"))),
        (
            "INSERT INTO team_members (organizer_id, user_id, role)"
            " SELECT $1, user_id, 'owner' FROM team_members",
            (other,),
        ),
        ("UPDATE team_members SET organizer_id = $1", (other,)),
        ("UPDATE events SET organizer_id = $1", (other,)),
    ):
        with pytest.raises(refusals):
            async with tenants.rows_of(pool, own) as connection:
                await connection.execute(statement, *values)


async def test_s25_no_draft_of_another_is_taken_away(
    database: asyncpg.Pool, pool: asyncpg.Pool
) -> None:
    """S25: the function that deletes drafts has the owner's rights, and asks whose they are."""
    own, event_id = await organizer(database)
    other, foreign_id = await organizer(database)
    # Drafts have no devices: their gates are announced once they are published.
    await database.execute("DELETE FROM devices WHERE event_id = ANY ($1)", [event_id, foreign_id])
    take = "SELECT delete_draft($1, $2)"
    async with tenants.rows_of(pool, own) as connection:
        for whose in (own, other):
            assert not await connection.fetchval(take, foreign_id, whose)
        assert not await connection.fetchval(take, event_id, other)
        assert await connection.fetchval(take, event_id, own)
    left = "SELECT id FROM events WHERE id = ANY ($1)"
    assert [foreign_id] == [row["id"] for row in await database.fetch(left, [event_id, foreign_id])]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetchval(take, foreign_id, other)


async def test_s25_ledger_and_accounts_are_not_the_organizers(
    database: asyncpg.Pool, pool: asyncpg.Pool
) -> None:
    """S25: an organizer's transaction reads no booking, no account, and nothing of the shards."""
    own, _ = await organizer(database)
    for table in ("users", "bookings", "items", "tickets", "scans", "journal", "shard_epoch"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tenants.rows_of(pool, own) as connection:
                await connection.execute(f"SELECT 1 FROM {table}")  # noqa: S608


async def test_s25_the_api_has_no_right_that_it_may_take_on(
    database: asyncpg.Pool, pool: asyncpg.Pool
) -> None:
    """S25: outside such a transaction the API changes neither teams nor roles nor organizers."""
    own, _ = await organizer(database)
    for statement in (
        "UPDATE users SET role = 'admin'",
        "DELETE FROM team_members",
        "INSERT INTO organizers (id, name) VALUES ('org_' || repeat('0', 26), 'x')",
        "UPDATE events SET name = 'x'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    async with tenants.accounts(pool) as connection:
        assert "UPDATE 1" == await connection.execute(
            "UPDATE organizers SET name = 'Home' WHERE id = $1", own
        )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tenants.accounts(pool) as connection:
            await connection.execute("SELECT password_hash FROM users")


async def test_s25_what_sells_is_planned_without_row_security(database: asyncpg.Pool) -> None:
    """S25: for the API's own reads the policy is a constant: nothing of it is in the plan."""
    async with database.acquire() as connection:
        await connection.execute(f"SET SESSION AUTHORIZATION {roles.user('api')}")
        rows = await connection.fetch("EXPLAIN SELECT name FROM events WHERE id = 'evt_1'")
        plan = "\n".join(row[0] for row in rows)
        await connection.execute("RESET SESSION AUTHORIZATION")
    assert "current_setting" not in plan
    assert "organizer" not in plan


async def test_every_tenant_table_is_guarded(database: asyncpg.Pool) -> None:
    """S25: each table with an organizer's id has row security, and is in the list that says so."""
    # Of an account the id says where it works; of an act, for whom its actor did: neither is shown.
    rows = await database.fetch(
        "SELECT relname, relrowsecurity FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND attname = 'organizer_id' AND relname NOT IN ('users', 'acts')"
    )
    assert {row["relname"]: True for row in rows} == {
        row["relname"]: row["relrowsecurity"] for row in rows
    }
    assert {row["relname"] for row in rows} == TENANT_TABLES.keys() - {"organizers"}
