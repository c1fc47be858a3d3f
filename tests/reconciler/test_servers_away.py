"""Every command with servers away: one line on stderr and exit code 2, never a traceback."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from engine.ids import new_id
from evently.cli import app as evently
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.__main__ import app as reconciler
from store import reigns
from store.pool import connect
from tests.conftest import TIMEOUT_MS
from tests.store.databases import migrated_database

APPS = {"evently": evently, "reconciler": reconciler}
NO_REDIS = "redis://127.0.0.1:1"
NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
SECRET = "a secret that is long enough for HS256 to take it"
EMAIL = "somebody@example.org"
#: They ask no server.
ALONE = {
    "evently acl",
    "evently config show",
    "evently redis-log check",
    "evently redis-log fix",
    "reconciler verify-receipt",
}
#: They go on until they are stopped, and wait for servers; or become another program.
SERVICES = {
    "evently up",
    "evently api",
    "evently persister",
    "evently notifier",
    "evently sweeper",
    "evently shards move",
    "reconciler watch",
}
#: Here they are asked for one turn, or for less.
EXTRA = {
    "reconciler watch": ["--once", "--port", "0", "--json"],
    "evently doctor": ["--no-canary"],
    "evently limits lift": ["--email", EMAIL],
    "evently person erase": ["--yes"],
    "evently events export": ["--format", "csv"],
    "evently events import": ["--format", "csv"],
}
#: What cannot be any word: by the parameter's name.
GIVEN = {"email": EMAIL, "person": EMAIL, "who": EMAIL, "role": "user"}
#: Each server that is away is a line of theirs.
TELL_EACH = {"evently doctor"}


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield all commands with their names."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from leaves(inner, f"{name} {word}")


COMMANDS = {
    name: command
    for program, app in APPS.items()
    for name, command in leaves(typer.main.get_command(app), program)
}
ASKING = sorted(COMMANDS.keys() - ALONE - (SERVICES - EXTRA.keys()))


def words_of(name: str, folder: Path) -> list[str]:
    """Return what the command must be given, made of its own parameters."""
    file = folder / "given"
    file.write_text("{}")
    given: list[str] = []
    for param in COMMANDS[name].params:
        if param.required:
            values = {int: "1", Path: str(file)}
            value = values.get(param.type_descriptor.annotation, new_id("evt"))
            value = GIVEN.get(param.name, value)
            given += [param.opts[0], value] if param.param_type_name == "option" else [value]
    return [*name.split()[1:], *given, *EXTRA.get(name, [])]


def run(name: str, folder: Path, redis_url: str, database_url: str) -> Result:
    """Run a command in this process."""
    env = {
        "EVENTLY_REDIS_URL": redis_url,
        "EVENTLY_DATABASE_URL": database_url,
        "EVENTLY_DATA_DIR": str(folder),
        "EVENTLY_JWT_SECRET": SECRET,
        "EVENTLY_TICKET_SIGNING_KEY": "A" * 43,
        "EVENTLY_ENV_FILE": os.devnull,
        "EVENTLY_ENVIRONMENT": "test",
    }
    words = words_of(name, folder)
    return CliRunner().invoke(APPS[name.partition(" ")[0]], words, env=env)


def test_every_command_is_known() -> None:
    """The lists of exceptions name commands that there are."""
    exceptions = ALONE | SERVICES | TELL_EACH
    assert set() == exceptions - COMMANDS.keys()
    assert len(ASKING) >= 18


@pytest.mark.parametrize("name", ASKING)
def test_all_servers_away(name: str, tmp_path: Path) -> None:
    """Nothing answers: exit code 2, one line on stderr that says who, and no trace."""
    result = run(name, tmp_path, NO_REDIS, NO_POSTGRES)
    lines = result.stderr.strip().splitlines()
    assert 2 == result.exit_code, result.output
    assert (2 if name in TELL_EACH else 1) == len(lines), lines
    assert any(word in lines[0] for word in ("Redis", "PostgreSQL", "the database"))
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ASKING)
def test_postgresql_away(name: str, tmp_path: Path, valkey: ValkeyServer) -> None:
    """Only Redis answers: the same; what an operator does is noted, or is not done (S42)."""
    result = run(name, tmp_path, valkey.url, NO_POSTGRES)
    assert (2, 1) == (result.exit_code, len(result.stderr.strip().splitlines()))


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """Make a database of one's own, with a shard whose server is away."""
    url = migrated_database(postgres.url)

    async def begin() -> None:
        database = await connect(url, timeout_ms=TIMEOUT_MS)
        await reigns.begin(database, 1, ["0"])
        await database.close()

    asyncio.run(begin())
    return url


@pytest.mark.parametrize("name", ASKING)
def test_redis_away(name: str, tmp_path: Path, database_url: str) -> None:
    """Only PostgreSQL answers: done without Redis, or one line and exit code 2; no trace."""
    result = run(name, tmp_path, NO_REDIS, database_url)
    assert result.exit_code in {0, 1, 2}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    if result.exit_code == 2:
        assert 1 == len(result.stderr.strip().splitlines()), result.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    "words",
    [
        "evently up",
        "evently sweeper",
        "api",
        "persister --shard 0",
        "reconciler recover --watch",
        "reconciler watch --port 0",
    ],
)
def test_services_wait_without_a_trace(words: str, tmp_path: Path) -> None:
    """What runs until it is stopped waits for its servers, or says in a line why it ends."""
    env = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name} | {
        "EVENTLY_REDIS_URL": NO_REDIS,
        "EVENTLY_DATABASE_URL": NO_POSTGRES,
        "EVENTLY_DATA_DIR": str(tmp_path),
        "EVENTLY_JWT_SECRET": SECRET,
        "EVENTLY_TICKET_SIGNING_KEY": "A" * 43,
        "EVENTLY_HTTP_PORT": "0" if words == "api" else "18099",
        "EVENTLY_ENV_FILE": os.devnull,
    }
    argv = [sys.executable, "-m", *words.split()]
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=6)
        assert 2 == process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    assert b"Traceback" not in output, output.decode()
