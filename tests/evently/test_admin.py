"""The command `evently admin`, in the environment of each deployment."""

from __future__ import annotations

import re
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from evently import admin
from evently.embedded import PostgresServer, ServerError
from evently.settings import Settings
from store import users
from store.operators import Role
from tests.evently.test_cli import evently, run
from tests.store.databases import let_roles_in, migrated_database
from usecases.passwords import Passwords

ROOT = Path(__file__).resolve().parents[2]
SAID = "SELECT role::text, organizer_id, disabled_at IS NOT NULL FROM users WHERE lower(email) = $1"


@pytest.fixture
def servers(postgres: PostgresServer, tmp_path: Path) -> dict[str, str]:
    """Return settings that point at the test's PostgreSQL."""
    return {"database_url": postgres.url, "data_dir": str(tmp_path), "environment": "test"}


def address() -> str:
    """Make an address that nobody has."""
    return f"{secrets.token_hex(8)}@example.org"


async def registered(
    database: asyncpg.Pool | asyncpg.Connection, email: str = "", *, is_proved: bool = True
) -> str:
    """Make an account as somebody does who registers; return its id."""
    user_id = await users.add(database, email=email or address(), name="N", password_hash="kept")
    assert user_id is not None
    if is_proved:
        await database.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", user_id)
    return user_id


async def said(database: asyncpg.Pool | asyncpg.Connection, email: str) -> tuple[Any, ...]:
    """Return role, organizer and whether it is disabled, of an account."""
    row = await database.fetchrow(SAID, email)
    assert row is not None
    return tuple(row)


async def test_operator_makes_each_kind_of_account(
    servers: dict[str, str], tmp_path: Path, database: asyncpg.Pool
) -> None:
    """An admin with a password told once, an organizer with its owner, staff, and back again."""
    boss, ann = address(), address()
    code, text, log = await evently("admin", "add", boss.upper(), **servers)
    password = (tmp_path / "admin.password").read_text().strip()
    assert (0, True, False) == (code, "admin.password" in text, password in text + log), log
    user = await users.by_email(database, [boss])
    assert user is not None
    passwords = Passwords(at_once_max=1, waiting_max=1)
    assert await passwords.verify([password], user.password_hash)
    passwords.close()
    assert ("admin", None, False) == await said(database, boss)
    code, text, log = await evently("admin", "organizer", "New", "--owner", boss, **servers)
    house = text.strip()
    assert 0 == code, log
    assert ("admin", house, False) == await said(database, boss)
    words = ("add", ann, "--role", "staff", "--organizer", house)
    assert 0 == (await evently("admin", *words, **servers))[0]
    assert ("staff", house, False) == await said(database, ann)
    code, text, _ = await evently("admin", "list", ann[:12], **servers)
    assert (0, True) == (code, ann in text)


async def test_roles_are_given_and_taken(servers: dict[str, str], database: asyncpg.Pool) -> None:
    """Each role, by one command; the last is as if there had been none."""
    settings, email = of(servers), address()
    user_id = await registered(database, email)
    house = await admin.add_organizer(settings, "House", "")
    roles: tuple[tuple[Role, str | None], ...] = (
        ("staff", house),
        ("organizer", house),
        ("admin", house),
        ("user", None),
    )
    other = address()
    await admin.add_account(settings, other, name="N", role="organizer", organizer_id=house)
    for role, expected in roles:
        named = house if role in {"staff", "organizer"} else ""
        assert user_id == await admin.set_role(settings, email, role=role, organizer_id=named)
        assert (role, expected, False) == await said(database, email)


async def test_account_that_is_there_keeps_its_password(
    servers: dict[str, str], tmp_path: Path, database: asyncpg.Pool
) -> None:
    """Whoever has an account becomes admin with it; the command may be repeated."""
    email = address()
    await registered(database, email)
    for _ in range(2):
        assert 0 == (await evently("admin", "add", email, **servers))[0]
    user = await users.by_email(database, [email])
    assert user is not None
    assert ("admin", "kept") == (user.role, user.password_hash)
    assert not (tmp_path / "admin.password").exists()


async def test_disabled(servers: dict[str, str], database: asyncpg.Pool) -> None:
    """An account is kept out and let in again, by its address or its id."""
    email = address()
    user_id = await registered(database, email, is_proved=False)
    assert 0 == (await evently("admin", "disable", email, **servers))[0]
    assert ("user", None, True) == await said(database, email)
    assert 0 == (await evently("admin", "enable", user_id, **servers))[0]
    assert ("user", None, False) == await said(database, email)


async def test_what_cannot_be_is_one_line(servers: dict[str, str], database: asyncpg.Pool) -> None:
    """A wrong address, organizer or account, and the last owner: said in a line, nothing made."""
    email, other = address(), address()
    await registered(database, email)
    house = (await evently("admin", "organizer", "H", "--owner", email, **servers))[1].strip()
    code, text, log = await evently("admin", "role", email, "user", **servers)
    assert (2, "", 1) == (code, text, len(log.splitlines())), log
    settings, nowhere = of(servers), "org_" + "0" * 26
    add = partial(admin.add_account, settings, name="N", role="staff")
    change = partial(admin.set_role, settings, organizer_id="")
    for refused in (
        add("no address", organizer_id=house),
        add(other, organizer_id=""),
        add(other, organizer_id=nowhere),
        change(other, role="admin"),
        change("usr_x", role="admin"),
        change(email, role="staff"),
        admin.add_organizer(settings, "H", other),
        admin.set_disabled(settings, other, is_disabled=True),
    ):
        with pytest.raises(ServerError):
            await refused
    assert ("organizer", house, False) == await said(database, email)
    assert await users.by_email(database, [other]) is None


async def test_s7_nobody_gets_rights_by_an_address_that_they_have_not_proved(
    servers: dict[str, str], database: asyncpg.Pool
) -> None:
    """S7: who has registered another's address is not taken for them by an operator either."""
    settings, email = of(servers), address()
    squatter = await registered(database, email, is_proved=False)
    house = await admin.add_organizer(settings, "House", "")
    for words in (
        ("admin", "add", email),
        ("admin", "role", email, "staff", "--organizer", house),
        ("admin", "organizer", "New", "--owner", email),
        ("person", "export", email),
    ):
        code, text, log = await evently(*words, **servers)
        assert (2, "", 1) == (code, text, len(log.splitlines())), log
        assert (True, False) == (squatter in log, email in log)
    assert ("user", None, False) == await said(database, email)
    assert "not proved" in (await evently("admin", "list", email, **servers))[1]
    # Rights are taken by it; and who is meant by their id is meant.
    assert squatter == await admin.set_role(settings, email, role="user", organizer_id="")
    assert squatter == await admin.set_role(settings, squatter, role="staff", organizer_id=house)
    await admin.set_role(settings, squatter, role="user", organizer_id="")
    # The operator's word gives the address to a new account; the other only claims it.
    code, text, log = await evently("admin", "add", email, "--new", **servers)
    assert 0 == code, log
    own = await users.by_email(database, [email])
    assert own is not None
    assert ("admin", False, True) == (own.role, own.is_claim, own.email_verified_at is not None)
    claim = await users.by_claim(database, email)
    assert claim is not None
    assert (squatter, "user") == (claim.id, claim.role)
    assert (
        own.id
        == (
            await admin.add_account(
                settings, email, name="N", role="admin", organizer_id="", anew=True
            )
        )[0]
    ), "who has proved it keeps it"


async def test_first_admin_has_its_address(
    postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first admin's address is proved by the settings, unless somebody else has proved it."""
    url, email = migrated_database_of(postgres), address()
    settings = Settings(database_url=url, admin_email=email, environment="test")
    connection = await asyncpg.connect(url)
    squatter = await registered(connection, email)
    assert await admin.ensure_admin(settings) is None
    assert "admin_not_made" in capsys.readouterr().out
    await connection.execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", squatter)
    assert await admin.ensure_admin(settings)
    own = await users.by_email(connection, [email])
    assert own is not None
    assert ("admin", True) == (own.role, own.email_verified_at is not None)
    assert squatter != own.id
    assert await admin.ensure_admin(settings) is None, "there is one"
    await connection.close()


def of(servers: dict[str, str]) -> Settings:
    """Return settings as a command has them."""
    return Settings.from_env({f"EVENTLY_{name.upper()}": one for name, one in servers.items()})


@pytest.mark.parametrize("service", ["migrate", "api"])
async def test_in_the_environment_of_containers(
    postgres: PostgresServer, tmp_path: Path, service: str
) -> None:
    """`docker compose run --rm migrate python -m evently admin add`, or in the API's container."""
    url = migrated_database_of(postgres)
    await let_roles_in(url)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    given = {
        name: re.sub(r"\$\{[^}]*\}", "x" * 43, str(value or ""))
        for name, value in compose["services"][service]["environment"].items()
    }
    given |= {"EVENTLY_DATABASE_URL": url, "EVENTLY_DATA_DIR": str(tmp_path)}
    given |= {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT)}
    email = address()
    code, _, log = await run("evently", "admin", "add", email, env=given, cwd=tmp_path)
    assert 0 == code, log
    connection = await asyncpg.connect(url)
    assert "admin" == (await said(connection, email))[0]
    await connection.close()


def migrated_database_of(postgres: PostgresServer) -> str:
    """Make a database from within a loop, by one of its own in a thread."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(migrated_database, postgres.url).result()
