"""`evently keys` as an operator types it: beside `evently up`, and in a container of the API."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest
import yaml

from engine.ticket_codes import ticket_key_id
from evently.embedded import PostgresServer
from evently.settings import ENV_FILE, RUNNING_FILE
from store import keys as rows
from store.migrate import migrate
from tests.evently.test_cli import SECRET, run
from tests.store.databases import create_database, let_roles_in
from usecases.tokens import Principal, Tokens, setting_key_id

ROOT = Path(__file__).parents[2]
TICKET_KEY = "k" * 43

Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def url(postgres: PostgresServer) -> str:
    """Make a database whose roles may log in."""
    made = await create_database(postgres.url)
    await migrate(made)
    await let_roles_in(made)
    return made


@pytest.fixture(params=["evently up", "compose"])
def command(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Command:
    """Return what runs `evently keys` as in one of the deployments."""
    if request.param == "evently up":  # In another terminal: all is in the note that it wrote.
        noted = {"database_url": url, "jwt_secret": SECRET, "ticket_signing_key": TICKET_KEY}
        note = {**noted, "database_api_password": "x", "pid": 1}
        (tmp_path / RUNNING_FILE).write_bytes(msgspec.json.encode(note))
        env = {"EVENTLY_DATA_DIR": str(tmp_path)}
    else:  # `docker compose exec api python -m evently keys ...`
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        given = compose["services"]["api"]["environment"]
        env = {
            name: re.sub(r"\$\{[^}]*\}", "x" * 43, str(value or ""))
            for name, value in given.items()
        }
        env |= {
            "EVENTLY_DATABASE_URL": url,
            "EVENTLY_JWT_SECRET": SECRET,
            "EVENTLY_TICKET_SIGNING_KEY": TICKET_KEY,
        }

    async def call(*words: str) -> tuple[int, str, str]:
        return await run("evently", "keys", *words, env=os.environ | env | {ENV_FILE: os.devnull})

    return call


def states(text: str) -> dict[str, str]:
    """Return the state of each key that a list names."""
    found = re.findall(r"^ *([0-9a-v]{8,16}) +(?:tokens|tickets) +(.*?)  ", text, re.MULTILINE)
    return dict(found)


async def test_rotate_and_retire(command: Command, url: str) -> None:
    """A new key verifies, then signs; the old one is retired; each by one command."""
    own, of_tickets = setting_key_id(SECRET), ticket_key_id(TICKET_KEY)
    code, text, _ = await command("list")
    assert (0, "signs (of the setting)") == (code, states(text)[own])
    assert "signs (of the setting)" == states(text)[of_tickets]
    code, text, log = await command("rotate")
    new = text.partition(":")[0]
    assert (0, "key_made" in log) == (code, True)
    code, text, log = await command("retire", own)
    assert (2, 1) == (code, len(log.splitlines()))
    assert "rotate first" in log
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE signing_keys SET signs_at = now() WHERE kid = $1", new)
    code, text, _ = await command("list")
    assert {own: "verifies", new: "signs"}.items() <= states(text).items()
    code, text, log = await command("retire", own)
    assert (0, "key_retired" in log) == (code, True)
    assert own in text
    assert "retired" == states((await command("list"))[1])[own]
    code, text, _ = await command("rotate", "tickets")
    assert 0 == code
    assert "tickets" in text
    assert 2 == len({row.kid for row in await rows.read(connection) if row.purpose == "tickets"})
    assert 2 == (await command("rotate", "sessions"))[0]
    stored = str(await connection.fetch("SELECT * FROM signing_keys"))
    await connection.close()
    for secret in (SECRET, TICKET_KEY):
        assert secret not in stored


async def test_says_no_secret(command: Command) -> None:
    """No secret of a key is in what the commands say."""
    said = ""
    for words in (("rotate",), ("rotate", "tickets"), ("list",)):
        code, text, log = await command(*words)
        assert 0 == code
        said += text + log
    assert SECRET not in said
    assert TICKET_KEY not in said
    assert not re.search(r"[A-Za-z0-9_-]{40}", said)


async def test_two_at_a_time(command: Command, url: str) -> None:
    """Two rotations at once are one after the other: the earlier key has its end."""
    await asyncio.gather(command("rotate"), command("rotate"))
    connection = await asyncpg.connect(url)
    made = [row for row in await rows.read(connection) if row.purpose == "tokens"]
    await connection.close()
    assert 3 == len(made)
    assert [False, False, True] == [row.retires_at is None for row in made]


async def test_seed_signs_as_the_api_does(url: str, tmp_path: Path, command: Command) -> None:
    """Tokens of `evently seed` are of the key that signs, also when the setting's is retired."""
    _, text, _ = await command("rotate")
    new = text.partition(":")[0]
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE signing_keys SET signs_at = now() WHERE kid = $1", new)
    await connection.close()
    assert 0 == (await command("retire", setting_key_id(SECRET)))[0]
    env = {"EVENTLY_DATABASE_URL": url, "EVENTLY_JWT_SECRET": SECRET}
    words = ("evently", "seed", "--users", "1", "--tokens", str(tmp_path / "tokens"))
    assert 0 == (await run(*words, env=os.environ | env))[0]
    [token] = (tmp_path / "tokens").read_text().split()
    of_setting = Tokens(SECRET, ttl_s=60)
    assert of_setting.check(of_setting.issue(Principal("usr_x", "user", None)))
    with pytest.raises(Exception, match="no key of ours"):
        of_setting.check(token)
