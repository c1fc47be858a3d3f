"""S25. Roles of PostgreSQL: each may do what is its work, and nothing that is not."""

from __future__ import annotations

import ast
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from evently.embedded import PostgresServer
from store import roles
from store.migrate import MigrationError, migrate
from store.personal import asked_of_persons
from store.sql import query
from tests.store.databases import create_database, migrated_database

ROOT = Path(__file__).parents[2]
#: Where the code of a role begins; `reader` has none.
CODE = {
    "api": "api.",
    "persister": "persister.",
    "sweeper": "evently.sweep.",
    "coordinator": "reconciler.",
    "notifier": "notifier.",
}

#: What is no work of a role: the statement, and who may do it all the same.
WORK = {
    "SELECT password_hash FROM users": {"api"},
    "SELECT id, email FROM users": {"api", "operator", "notifier", "reader"},
    "SELECT id FROM bookings": {"api", "persister", "coordinator", "notifier", "reader"},
    "INSERT INTO users (id) SELECT id FROM users WHERE false": {"api", "operator"},
    "UPDATE users SET role = 'admin'": {"operator"},
    "UPDATE users SET name = name": {"api"},
    "UPDATE users SET password_hash = ''": {"api", "operator"},
    "UPDATE users SET has_password = false": {"api"},
    "SELECT subject FROM identities": {"api", "reader"},
    "SELECT public_key FROM passkeys": {"api", "reader"},
    "DELETE FROM passkeys": {"api"},
    "UPDATE passkeys SET user_id = user_id": set(),
    "UPDATE identities SET user_id = user_id": set(),
    "SELECT token_hash FROM sessions": {"api"},
    "DELETE FROM sessions": {"api", "operator"},
    "SELECT token_hash FROM account_tokens": {"api"},
    "SELECT payload FROM outbox": {"api", "notifier"},
    "UPDATE outbox SET payload = '{}'": {"api"},
    "UPDATE outbox SET sent_at = now()": {"notifier"},
    "SELECT target FROM deliveries": {"api", "notifier", "reader"},
    "INSERT INTO deliveries (fact) SELECT fact FROM deliveries WHERE false": {"notifier"},
    "DELETE FROM deliveries": set(),
    "SELECT language FROM users": {"api", "notifier"},
    "INSERT INTO revocations (subject) SELECT id FROM users WHERE false": set(),
    "INSERT INTO organizers (id) SELECT id FROM organizers WHERE false": {"operator"},
    "UPDATE organizers SET name = name": {"organizer", "operator"},
    "UPDATE organizers SET id = id": set(),
    "INSERT INTO team_members SELECT * FROM team_members WHERE false": {"organizer", "operator"},
    "SELECT id, email FROM team_invitations": {"api", "organizer"},
    # The API's own right is for code of the version before.
    "INSERT INTO events (id) SELECT id FROM events WHERE false": {
        *("api", "organizer", "coordinator")
    },
    "UPDATE events SET name = name": {"api", "organizer", "persister", "coordinator"},
    "UPDATE events SET organizer_id = organizer_id": {"api", "persister", "coordinator"},
    "UPDATE tiers SET price_minor = 0": {"api", "organizer", "persister", "coordinator"},
    "DELETE FROM events": {"coordinator"},
    "DELETE FROM event_search": {"sweeper", "coordinator"},
    "UPDATE event_search SET words = ''": {"coordinator"},
    "SELECT delete_draft('x', 'y')": {"organizer"},
    "SELECT mend_event_search('', 1)": {"sweeper"},
    "UPDATE bookings SET total_minor = 0": {"persister", "coordinator"},
    "DELETE FROM items": {"persister", "coordinator"},
    "DELETE FROM bookings": {"coordinator"},
    "DELETE FROM tickets": {"coordinator"},
    "DELETE FROM scans": {"coordinator"},
    "DELETE FROM journal": {"coordinator"},
    "INSERT INTO journal SELECT * FROM journal WHERE false": {"persister", "coordinator"},
    "INSERT INTO outbox (kind) SELECT kind FROM outbox WHERE false": {
        *("api", "coordinator", "notifier")
    },
    "SELECT sealed FROM webhook_endpoints": {"api", "organizer", "notifier"},
    "SELECT url FROM webhook_endpoints": {"api", "organizer", "notifier"},
    "UPDATE webhook_endpoints SET url = ''": {"organizer"},
    "UPDATE webhook_endpoints SET sealed = ''": {"organizer"},
    "UPDATE webhook_endpoints SET organizer_id = ''": set(),
    "DELETE FROM webhook_endpoints": {"organizer"},
    "SELECT ping_webhook('whk_x')": {"organizer"},
    "SELECT redeliver_webhook('whk_x', 'msg_x')": {"organizer"},
    "UPDATE shard_checkpoint SET last_seq = 0": {"persister", "coordinator"},
    "UPDATE shard_epoch SET nonce = ''": {"coordinator"},
    "UPDATE shard_epoch SET reason = reason": {"api", "persister", "sweeper", "coordinator"},
    "INSERT INTO redo SELECT * FROM redo WHERE false": {"api", "coordinator"},
    "SELECT sealed FROM signing_keys": {"api", "notifier"},
    "SELECT receipt_key FROM signing_keys": {"api", "coordinator"},
    "UPDATE signing_keys SET retires_at = now()": {"api"},
    "DELETE FROM signing_keys": set(),
    "SELECT hash FROM api_keys": {"api"},
    "SELECT hash FROM devices": {"api"},
    "DELETE FROM api_keys": set(),
    "INSERT INTO api_keys (id) SELECT id FROM api_keys WHERE false": {"organizer"},
    "UPDATE api_keys SET scopes = '{}'": set(),
    "UPDATE api_keys SET revoked_at = now()": {"api", "organizer"},
    "UPDATE devices SET event_id = ''": set(),
    "UPDATE users SET name = '', email = '', erased_at = now()": {"api"},
    "INSERT INTO acts (actor, act, subject) VALUES ('a', 'a.b', 'c')": {
        *("api", "organizer", "operator", "persister", "coordinator")
    },
    "SELECT before FROM acts": {"api", "persister", "coordinator", "reader"},
    "UPDATE acts SET why = ''": set(),
    "DELETE FROM acts": set(),
    "TRUNCATE acts": set(),
    "INSERT INTO act_days SELECT * FROM act_days WHERE false": {"api"},
    "UPDATE act_days SET rows = 0": set(),
    "DELETE FROM act_days": set(),
    "UPDATE erasures SET done_at = now()": set(),
    "DELETE FROM migrations": set(),
    "TRUNCATE bookings": set(),
    "CREATE TABLE mine (n int)": set(),
    "CREATE ROLE other": set(),
    "COPY organizers TO PROGRAM 'true'": set(),
    "SET ROLE evently": set(),
    "SET ROLE evently_organizer": {"api", "organizer"},
    "SET ROLE evently_operator": {"api", "operator"},
}
#: Roles in which the code of another asks for some things: `store.tenants`.
ASSUMED = {"api": roles.ASSUMED}


@pytest.fixture(scope="module")
def url(postgres: object) -> str:
    """Make a database whose roles have their rights."""
    return migrated_database(postgres.url)  # type: ignore[attr-defined]


def named() -> dict[str, set[str]]:
    """Return what each definition of the code names: other definitions, and `query NAME`."""
    found: dict[str, set[str]] = {}
    for package in ("api", "evently", "notifier", "persister", "reconciler", "store", "usecases"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            meant = {
                alias.asname or alias.name: f"{node.module}.{alias.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            for node in tree.body:
                own = getattr(node, "name", "")
                names = found[f"{module}.{own}"] = found.get(f"{module}.{own}", set())
                for part in ast.walk(node):
                    match part:
                        case ast.Call(ast.Name("query"), [ast.Constant(str(name))]):
                            names.add(f"query {name}")
                        case ast.Name(name):
                            names.add(meant.get(name, f"{module}.{name}"))
                        case ast.Attribute(ast.Name(name), attribute) if name in meant:
                            names.add(f"{meant[name]}.{attribute}")
                        case _:
                            pass
    return found


def asked_by(start: str) -> set[str]:
    """Return the queries that the code beginning with *start* may ask, through whatever calls."""
    graph = named()
    reached, todo = set[str](), {name for name in graph if name.startswith(start)}
    while todo:
        reached |= todo
        todo = {name for one in todo for name in graph.get(one, ())} - reached
    return {name.removeprefix("query ") for name in reached if name.startswith("query ")}


@pytest.mark.parametrize("role", CODE)
async def test_a_role_may_ask_what_its_code_asks(url: str, role: str) -> None:
    """Of every query that is to be reached from there; nothing is run."""
    asked = asked_by(CODE[role])
    if role == "notifier":  # A command that acts is noted in the coordinator's role.
        asked -= {"insert_act"}
    own = {"api": "write_redo", "coordinator": "note_damaged", "notifier": "claim_deliveries"}
    assert own.get(role, "read_reign") in asked
    # Which of those are asked, a table says.
    refused = asked | (asked_of_persons() if role == "api" else set())
    for one in (role, *ASSUMED.get(role, ())):
        refused &= await refused_to(url, one, refused)
    assert set() == refused


async def refused_to(url: str, role: str, asked: set[str]) -> set[str]:
    """Return those of some queries that a role may not ask."""
    refused = set()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SET SESSION AUTHORIZATION {roles.user(role)}")
        for name in sorted(asked):
            text = query(name).rstrip().rstrip(";")
            if not re.search(r"^(SELECT|INSERT|UPDATE|DELETE|WITH) ", text, re.MULTILINE):
                continue  # A session's own settings.
            count = max(map(int, re.findall(r"\$(\d+)", text)), default=0)
            values = f"({', '.join(['NULL'] * count)})" if count else ""
            await connection.execute(f"PREPARE {name} AS {text}")
            try:
                await connection.execute(f"EXPLAIN EXECUTE {name} {values}")
            except asyncpg.InsufficientPrivilegeError:
                refused.add(name)
    finally:
        await connection.close()
    return refused


@pytest.mark.parametrize("statement", WORK)
async def test_s36_rights(url: str, statement: str) -> None:
    """Who may do a thing, of all roles."""
    may = set()
    connection = await asyncpg.connect(url)
    try:
        for role in (*roles.ROLES, *roles.ASSUMED):
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


async def test_owner_who_may_not_make_roles(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where roles cannot be made, passwords for them end the migration; without, it goes on."""
    url = await create_database(postgres.url)
    plain = f"plain_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"CREATE ROLE {plain} LOGIN")
    await connection.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} OWNER TO {plain}")
    await connection.close()
    own = urlsplit(url)._replace(netloc=f"{plain}@")
    monkeypatch.setattr(roles, "ROLES", ("not_there",))
    monkeypatch.setattr(roles, "ASSUMED", ())
    with pytest.raises(MigrationError, match="may not make roles"):
        await migrate(own.geturl(), passwords={"not_there": "secret"})
    assert [] == await migrate(own.geturl())
