"""S25. Roles of PostgreSQL: each may do what is its work, and nothing that is not."""

from __future__ import annotations

import asyncpg
import pytest

from store import roles
from tests.store.databases import migrated_database

#: What is no work of a role: the statement, and who may do it all the same.
WORK = {
    "SELECT password_hash FROM users": {"api"},
    "SELECT id, email FROM users": {"api", "reader"},
    "SELECT id FROM bookings": {"api", "persister", "coordinator", "reader"},
    "INSERT INTO users (id) SELECT id FROM users WHERE false": {"api"},
    "UPDATE users SET role = 'admin'": set(),
    "INSERT INTO organizers (id) SELECT id FROM organizers WHERE false": set(),
    "INSERT INTO events (id) SELECT id FROM events WHERE false": {"api", "coordinator"},
    "UPDATE events SET name = name": {"api", "persister", "coordinator"},
    "DELETE FROM events": {"coordinator"},
    "UPDATE bookings SET total_minor = 0": {"persister", "coordinator"},
    "DELETE FROM bookings": {"persister", "coordinator"},
    "DELETE FROM journal": {"coordinator"},
    "INSERT INTO journal SELECT * FROM journal WHERE false": {"persister", "coordinator"},
    "UPDATE shard_checkpoint SET last_seq = 0": {"persister", "coordinator"},
    "UPDATE shard_epoch SET nonce = ''": {"coordinator"},
    "UPDATE shard_epoch SET reason = reason": {"api", "persister", "sweeper", "coordinator"},
    "INSERT INTO redo SELECT * FROM redo WHERE false": {"api", "coordinator"},
    "DELETE FROM migrations": set(),
    "TRUNCATE bookings": set(),
    "CREATE TABLE mine (n int)": set(),
    "CREATE ROLE other": set(),
    "COPY organizers TO PROGRAM 'true'": set(),
    "SET ROLE evently": set(),
}


@pytest.fixture(scope="module")
def url(postgres: object) -> str:
    """Make a database whose roles have their rights."""
    return migrated_database(postgres.url)  # type: ignore[attr-defined]


@pytest.mark.parametrize("statement", WORK)
async def test_rights(url: str, statement: str) -> None:
    """Who may do a thing, of all roles."""
    may = set()
    connection = await asyncpg.connect(url)
    try:
        for role in roles.ROLES:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(f"SET SESSION AUTHORIZATION {roles.user(role)}")
                await connection.execute(statement)
                may.add(role)
            except asyncpg.InsufficientPrivilegeError:
                pass
            finally:
                await transaction.rollback()
                await connection.execute("RESET SESSION AUTHORIZATION")
    finally:
        await connection.close()
    assert WORK[statement] == may
