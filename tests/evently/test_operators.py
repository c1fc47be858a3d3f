"""S42. Commands: each is known to read, run or act, and who acts leaves a row, or does not act."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer

from evently import cli, operators, retention
from evently.embedded import PostgresServer, ServerError
from evently.settings import Settings
from notifier import __main__ as notifier
from reconciler import __main__ as reconciler
from store import acts, users, ways_in
from store.migrate import migrate
from tests.evently.test_cli import evently
from tests.store.databases import create_database
from usecases.passwords import hash_now

SECRET = "a secret that is long enough for HS256 to take it"


def leaves(command: Any, name: str) -> list[str]:
    """Return the names of all commands below *command*."""
    below = getattr(command, "commands", None)
    if not below:
        return [name]
    return [leaf for word, one in below.items() for leaf in leaves(one, f"{name} {word}")]


@pytest.fixture
async def owner(postgres: PostgresServer) -> Any:
    """Return the URL of a database of the test's own, and a connection to it."""
    url = await create_database(postgres.url)
    await migrate(url)
    connection = await asyncpg.connect(url)
    yield url, connection
    await connection.close()


def test_s42_every_command_is_known() -> None:
    """S42: the table of commands is complete: whoever adds one says whether it acts."""
    found = leaves(typer.main.get_command(cli.app), "evently")
    found += leaves(typer.main.get_command(reconciler.app), "reconciler")
    found += leaves(typer.main.get_command(notifier.app), "notifier")
    assert sorted(operators.COMMANDS) == sorted(found)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("shards add 2", "reconciler"),
        ("quarantine replay 0 1 2 file --by ann", "reconciler quarantine replay"),
        ("repair --apply", "reconciler repair"),
        ("explain bk_1", "reconciler explain story"),
        ("explain waitlist evt_1", "reconciler explain waitlist"),
        ("", ""),
    ],
)
def test_command_of_words(words: str, name: str) -> None:
    """A command is known by its first words, whatever follows."""
    expected = "" if name == "reconciler" else name
    assert expected == operators.command_of("reconciler", words.split())


async def test_s42_commands_that_act_leave_rows(owner: Any, tmp_path: Path) -> None:
    """S42: what an operator does is noted with who, and how it ended; what only reads is not."""
    url, database = owner
    settings = {"database_url": url, "jwt_secret": SECRET, "data_dir": str(tmp_path)}
    email = "boss@example.org"
    await users.add(database, email=email, name="Boss", password_hash=hash_now("x"), role="admin")
    assert 0 == (await evently("admin", "reset", "--email", email, **settings))[0]
    tokens = str(tmp_path / "tokens")
    assert 0 == (await evently("seed", "--users", "1", "--tokens", tokens, **settings))[0]
    assert 2 == (await evently("seed", "--users", "0", "--tokens", tokens, **settings))[0]
    assert 0 == (await evently("audit", "show", **settings))[0]
    assert 0 == (await evently("seed", "--help", **settings))[0]
    rows = await acts.page(database, before_id=acts.ID_MAX, limit=20)
    said = [(row.act, row.outcome, row.actor, row.origin.partition(" ")[0]) for row in rows]
    who, where = f"operator:{operators.own_name()}", "host"
    assert [
        ("operator.seed", "refused", who, where),
        ("operator.seed", "intended", who, where),
        ("operator.seed", "done", who, where),
        ("operator.seed", "intended", who, where),
        ("admin.reset", "done", who, where),
    ] == said
    assert email not in str(rows)
    intent = json.loads(rows[3].after or "")
    assert ["seed", "--users", "1", "--tokens", tokens] == intent["words"]


async def _give_passkey(database: asyncpg.Connection, email: str) -> None:
    user = await users.by_email(database, [email])
    assert user is not None
    made = await ways_in.add_passkey(
        database,
        user_id=user.id,
        credential_id=b"x",
        public_key=b"x",
        sign_count=0,
        transports=[],
        is_synced=False,
        name="Key",
        version=user.token_version,
    )
    assert made


@pytest.mark.slow
async def test_s42_accounts_keys_and_limits(owner: Any, tmp_path: Path) -> None:
    """S42: each command that notes itself is tried: it notes who did what, and no address."""
    url, database = owner
    settings = {"database_url": url, "jwt_secret": SECRET, "data_dir": str(tmp_path)}
    settings["ticket_signing_key"] = "k" * 43
    email = "ann@example.org"
    programme = tmp_path / "programme.csv"
    programme.write_text("name,starts_at,price\nNight,2099-06-01T20:00,0\n")
    await database.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce)"
        " VALUES (0, 1, 'open', 'test', now(), 'n')"
    )
    tried = [
        ("admin", "add", email),
        ("admin", "organizer", "House", "--owner", email),
        ("admin", "add", "bob@example.org", "--role", "admin"),
        ("admin", "role", email, "admin"),
        ("admin", "disable", email),
        ("admin", "enable", email),
        ("admin", "reset", "--email", email),
        ("admin", "forget-passkeys", "--email", email),
        ("limits", "lift", "--email", email, "--address", "192.0.2.7"),
        (
            "events",
            "import",
            str(programme),
            "--timezone",
            "UTC",
            "--capacity",
            "9",
            "--currency",
            "EUR",
        ),
        ("keys", "rotate", "tokens"),
        ("person", "export", email),
        ("retention",),
    ]
    for words in tried:
        if "forget-passkeys" in words:
            await _give_passkey(database, email)
        code, text, log = await evently(*words, **settings)
        assert 0 == code, f"{words}: {text}{log}"
    [setting] = await database.fetch("SELECT kid FROM signing_keys WHERE is_setting")
    # The setting's key signs still: the new one is to sign first.
    await database.execute("UPDATE signing_keys SET signs_at = now() WHERE NOT is_setting")
    retired = await evently("keys", "retire", setting["kid"], **settings)
    assert 0 == retired[0], retired[2]
    names = {operators.command_of("evently", words) for words in (*tried, ("keys", "retire"))}
    itself = {name for name, deed in operators.COMMANDS.items() if deed == "notes itself"}
    # An erasure needs open shards: tests/api/test_privacy.py.
    assert itself - {"evently person erase"} == names
    rows = (await acts.page(database, before_id=acts.ID_MAX, limit=50))[::-1]
    assert [
        *("account.create", "account.role", "organizer.create", "account.create", "account.role"),
        *("account.role", "account.disable", "account.enable", "admin.reset"),
        *("admin.forget_passkeys", "limits.lift", "event.import", "key.rotate"),
        *("person.export", "retention.run", "key.retire"),
    ] == [row.act for row in rows]
    assert {f"operator:{operators.own_name()}"} == {row.actor for row in rows}
    user_id = await database.fetchval("SELECT id FROM users WHERE email = $1", email)
    assert {row.act for row in rows if row.subject == user_id} == {
        *("account.create", "account.role", "account.disable", "account.enable"),
        *("admin.reset", "admin.forget_passkeys", "limits.lift", "person.export"),
    }
    assert not [row for row in rows if "@" in str(row) or "192.0.2.7" in str(row)]


async def test_s42_who_cannot_note_cannot_act(postgres: PostgresServer, tmp_path: Path) -> None:
    """S42: without a log of acts nothing is done, in words; `evently migrate` makes it."""
    url = await create_database(postgres.url)
    file = tmp_path / "tokens"
    settings = {"database_url": url, "jwt_secret": SECRET, "data_dir": str(tmp_path)}
    refused = await evently("seed", "--users", "1", "--tokens", str(file), **settings)
    was_made = file.exists()
    assert 0 == (await evently("migrate", **settings))[0]
    assert 0 == (await evently("seed", "--users", "1", "--tokens", str(file), **settings))[0]
    assert (2, False) == (refused[0], was_made)
    assert "evently migrate" in refused[2]
    assert 1 == len(refused[2].splitlines())


async def test_s42_audit_commands(owner: Any, tmp_path: Path) -> None:
    """S42: an operator reads the log, seals the days that are over, and proves them."""
    url, database = owner
    settings = {"database_url": url, "data_dir": str(tmp_path)}
    who = acts.Actor("usr_00000000000000000000000000", "admin")
    for number in range(3):
        await acts.add(database, who, "event.close", f"evt_{number}", why="\x1b[2J", after={"n": 1})
    await database.execute(
        "ALTER TABLE acts DISABLE TRIGGER ALL;"
        " UPDATE acts SET at = at - interval '1 day', day = day - 1;"
        " ALTER TABLE acts ENABLE TRIGGER ALL"
    )
    shown = await evently("audit", "show", "--subject", "evt_1", **settings)
    assert (0, 1) == (shown[0], shown[1].count("event.close"))
    assert "\x1b" not in shown[1]
    listed = await evently("audit", "show", "--json", "--limit", "2", **settings)
    assert ["evt_2", "evt_1"] == [json.loads(line)["subject"] for line in listed[1].splitlines()]
    sealed = await evently("audit", "seal", **settings)
    [line] = sealed[1].splitlines()
    digest = line.rpartition(" ")[2]
    day = line.partition(":")[0]
    assert f"hash={digest}" in sealed[2].replace("\x1b[0m", "").replace("\x1b[35m", "") or (
        digest in sealed[2]
    )
    good = await evently("audit", "verify", "--hash", f"{day}={digest}", **settings)
    assert (0, True) == (good[0], "0 faults" in good[1])
    bad = await evently("audit", "verify", "--hash", f"{day}={'0' * 64}", **settings)
    assert (1, True) == (bad[0], "not the one that was kept elsewhere" in bad[1])
    await database.execute(
        "ALTER TABLE acts DISABLE TRIGGER ALL; UPDATE acts SET subject = 'evt_x'"
    )
    tampered = await evently("audit", "verify", **settings)
    assert (1, True) == (tampered[0], "1 faults" in tampered[1])
    odd = await evently("audit", "verify", "--hash", "yesterday", **settings)
    assert (2, True) == (odd[0], "is not like" in odd[2])


async def test_s43_person_export_by_an_operator(owner: Any, tmp_path: Path) -> None:
    """S43: an operator gets the same document, into a file that only its owner reads."""
    url, database = owner
    settings = {"database_url": url, "data_dir": str(tmp_path)}
    own_id = await users.add(
        database, email="ann@example.org", name="Ann", password_hash=hash_now("x")
    )
    await database.execute("UPDATE users SET email_verified_at = now()")
    file = tmp_path / "ann.json"
    done = await evently("person", "export", "Ann@Example.org", "--file", str(file), **settings)
    assert (0, 0o600) == (done[0], file.stat().st_mode & 0o777)
    told = json.loads(file.read_bytes())
    assert (own_id, "Ann") == (told["person_id"], told["tables"]["users"][0]["name"])
    printed = await evently("person", "export", own_id or "", "--why", "letter", **settings)
    assert told["tables"]["users"] == json.loads(printed[1])["tables"]["users"]
    rows = await acts.page(database, before_id=acts.ID_MAX, subject=own_id, limit=5)
    assert ["person.export"] * 2 == [row.act for row in rows]
    assert "letter" == rows[0].why
    nobody = await evently("person", "export", "bob@example.org", **settings)
    assert (2, True) == (nobody[0], "no account" in nobody[2])
    assert "bob@" not in nobody[2]


@pytest.mark.slow
async def test_s43_retention_command(owner: Any, tmp_path: Path) -> None:
    """S43: the command says what would go, then what has gone, and is noted."""
    url, database = owner
    settings = {"database_url": url, "data_dir": str(tmp_path)}
    settings["retention_acts_days"] = "10"
    who = acts.Actor("usr_00000000000000000000000000", "admin")
    await acts.add(database, who, "event.close", "evt_old")
    await database.execute(
        "ALTER TABLE acts DISABLE TRIGGER ALL;"
        " UPDATE acts SET at = at - interval '12 days', day = day - 12;"
        " ALTER TABLE acts ENABLE TRIGGER ALL"
    )
    unsealed = await evently("retention", **settings)
    assert "acts: 0 gone" in unsealed[1]
    await evently("audit", "seal", **settings)
    tried = await evently("retention", "--dry-run", **settings)
    assert (0, True) == (tried[0], "acts: 1 would go" in tried[1])
    assert 1 == await database.fetchval("SELECT count(*) FROM acts WHERE subject = 'evt_old'")
    done = await evently("retention", **settings)
    assert (0, True) == (done[0], "acts: 1 gone" in done[1])
    assert 0 == await database.fetchval("SELECT count(*) FROM acts WHERE subject = 'evt_old'")
    rows = await acts.page(database, before_id=acts.ID_MAX, limit=5)
    assert ["retention.run", "retention.acts", "retention.run"] == [row.act for row in rows]
    assert 0 == (await evently("audit", "verify", **settings))[0]


def test_help_stays_quick() -> None:
    """`evently --help` loads no driver of a database."""
    code = "import evently.cli, sys; print('asyncpg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout


async def test_s43_evently_up_runs_it_every_day(
    owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S43: beside `evently up` it is run once a day, and one that fails is told."""
    url, database = owner
    monkeypatch.setattr(retention, "INTERVAL_S", 0)
    monkeypatch.setattr(retention, "PROGRESS_INTERVAL_S", 0.05)
    settings = Settings(database_url=url, data_dir=str(tmp_path))
    await retention.every_day(settings, os.environ)
    [row] = await acts.page(database, before_id=acts.ID_MAX, limit=5)
    assert "retention.run" == row.act
    gone = Settings(database_url="postgresql:///x?host=/nowhere", data_dir=str(tmp_path))
    with pytest.raises(ServerError, match="ended with 2"):
        await retention.every_day(gone, os.environ)
