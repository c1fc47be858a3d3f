"""Teams as rows: what accounts were before there were any, and code of the version before."""

from __future__ import annotations

import asyncpg
import pytest

from engine.ids import new_id
from evently.embedded import PostgresServer
from store import migrate, organizers, roles, users
from store.tenants import Connection
from tests.store.databases import create_database

MEMBER = "SELECT role::text FROM team_members WHERE user_id = $1"


async def add_user(database: Connection, role: str, organizer_id: str | None) -> str:
    """Add an account as the version before did."""
    user_id = new_id("usr")
    await database.execute(
        "INSERT INTO users (id, email, name, password_hash, role, organizer_id)"
        " VALUES ($1, $1 || '@example.org', 'N', 'x', $2::text::user_role, $3)",
        user_id,
        role,
        organizer_id,
    )
    return user_id


async def add_event(database: Connection, organizer_id: str) -> str:
    """Add an event with a tier as the version before does: no tier says whose it is."""
    event_id = new_id("evt")
    await database.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
        " ends_at, sale_opens_at, sale_closes_at, person_max)"
        " VALUES ($1, $2, 0, 'E', 'UTC', 'EUR', now(), now(), now(),"
        " now() + interval '1 day', 9)",
        event_id,
        organizer_id,
    )
    await database.execute(
        "INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max)"
        " VALUES ($1, 1, $2, 'T', 100, 5, 10)",
        event_id,
        new_id("tier"),
    )
    return event_id


async def test_accounts_of_the_version_before_keep_what_they_could(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a filled database organizers own their teams, staff are at the gate, events are theirs."""
    url = await create_database(postgres.url)
    every = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [one for one in every if one[0] < "0030"])

    async def grant(*_: object) -> bool:
        return True  # As the version before did, which knew other tables.

    monkeypatch.setattr(roles, "grant", grant)
    await migrate.migrate(url)
    monkeypatch.undo()
    database = await asyncpg.connect(url)
    try:
        organizer_id = await users.add_organizer(database, "House")
        people = {
            role: await add_user(database, role, organizer_id)
            for role in ("organizer", "staff", "admin")
        }
        plain = await add_user(database, "user", None)
        event_id = await add_event(database, organizer_id)
        await migrate.migrate(url)
        found = {role: await database.fetchval(MEMBER, own) for role, own in people.items()}
        assert {"organizer": "owner", "staff": "gate", "admin": "owner"} == found
        assert await database.fetchval(MEMBER, plain) is None
        kept = "SELECT role::text || coalesce(organizer_id, '') FROM users WHERE id = $1"
        for role, own in people.items():
            assert f"{role}{organizer_id}" == await database.fetchval(kept, own)
        own_row = "SELECT organizer_id FROM tiers WHERE event_id = $1"
        assert organizer_id == await database.fetchval(own_row, event_id)
    finally:
        await database.close()


async def test_version_before_writes_on(postgres: PostgresServer) -> None:
    """Code that knows no teams makes accounts and events beside, in the roles that it knows."""
    url = await create_database(postgres.url)
    await migrate.migrate(url)
    connection = await asyncpg.connect(url)
    try:
        organizer_id = await users.add_organizer(connection, "House")
        boss = await add_user(connection, "organizer", organizer_id)
        assert "owner" == await connection.fetchval(MEMBER, boss)
        await connection.execute(f"SET SESSION AUTHORIZATION {roles.user('api')}")
        await add_user(connection, "user", None)
        event_id = await add_event(connection, organizer_id)
        own_row = "SELECT organizer_id FROM tiers WHERE event_id = $1"
        assert organizer_id == await connection.fetchval(own_row, event_id)
        named = "UPDATE events SET name = 'Other' WHERE id = $1"
        assert "UPDATE 1" == await connection.execute(named, event_id)
    finally:
        await connection.close()


async def test_role_follows_the_teams_and_leads_them(database: asyncpg.Pool) -> None:
    """`users.role` is the highest place that somebody has; set by hand, it changes the places."""
    async with database.acquire() as connection:
        first, second = [await users.add_organizer(connection, "H") for _ in range(2)]
        user_id = await add_user(connection, "user", None)
        said = "SELECT role::text, organizer_id FROM users WHERE id = $1"

        async def check(role: str, organizer_id: str | None) -> None:
            row = await connection.fetchrow(said, user_id)
            assert row is not None
            assert (role, organizer_id) == tuple(row)

        await organizers.set_member(connection, first, user_id, "gate", None)
        await check("staff", first)
        await organizers.set_member(connection, second, user_id, "manager", None)
        await check("organizer", second)
        await organizers.delete_member(connection, second, user_id)
        await check("staff", first)
        by_hand = "UPDATE users SET role = $2::text::user_role WHERE id = $1"
        await connection.execute(by_hand, user_id, "admin")
        await check("admin", first)
        assert "gate" == await connection.fetchval(MEMBER, user_id)
        await connection.execute(by_hand, user_id, "organizer")
        assert "owner" == await connection.fetchval(MEMBER, user_id)
        await connection.execute(by_hand, user_id, "user")
        await check("user", None)
        assert await connection.fetchval(MEMBER, user_id) is None
