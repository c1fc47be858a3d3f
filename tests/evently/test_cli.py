"""The `evently` command as an operator types it: seeding, settings, errors in one line."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from api.addresses import Addresses
from evently.embedded import PostgresServer
from store import limits, users, ways_in
from usecases.passwords import Passwords, hash_now
from usecases.tokens import Tokens

#: Seconds in which any command that a test runs must have ended.
COMMAND_MAX_S = 120.0
SECRET = "a secret that is long enough for HS256 to take it"


async def evently(*words: str, **settings: str) -> tuple[int, str, str]:
    """Run the command with these settings; return its exit code and what it said."""
    env = {f"EVENTLY_{name.upper()}": value for name, value in settings.items()}
    return await run("evently", *words, env=os.environ | env)


async def run(*words: str, env: Mapping[str, str], cwd: Path | None = None) -> tuple[int, str, str]:
    """
    Run `python -m words`; return its exit code and what it said.

    Bounded: a command that does not end is told to abort, and says where it stands.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        *words,
        cwd=cwd,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    talk = asyncio.ensure_future(process.communicate())
    done, _ = await asyncio.wait({talk}, timeout=COMMAND_MAX_S)
    if not done:
        process.send_signal(signal.SIGABRT)
    stdout, stderr = await talk
    assert done, f"{words} did not end: {stdout.decode()}{stderr.decode()}"
    return process.returncode or 0, stdout.decode(), stderr.decode()


@pytest.fixture
def servers(postgres: PostgresServer, tmp_path: Path) -> dict[str, str]:
    """Return settings that point at the test's PostgreSQL."""
    return {
        "database_url": postgres.url,
        "jwt_secret": SECRET,
        "data_dir": str(tmp_path),
        "environment": "test",
    }


async def test_seed_writes_tokens_that_work(
    servers: dict[str, str], tmp_path: Path, database: asyncpg.Pool
) -> None:
    """Each line is a token of an account of its own; seeding again keeps the accounts."""
    file = tmp_path / "tokens"
    first = await evently("seed", "--users", "3", "--tokens", str(file), **servers)
    tokens = file.read_text().split()
    mode = stat.S_IMODE(file.stat().st_mode)
    # One that is there may be for all to read, or open in somebody's hands.
    file.chmod(0o644)
    reader = file.open()
    await evently("seed", "--users", "4", "--tokens", str(file), **servers)
    signer = Tokens(SECRET, ttl_s=60)
    own = [signer.check(token).user_id for token in tokens]
    more = [signer.check(token).user_id for token in file.read_text().split()]
    known = await database.fetchval("SELECT count(*) FROM users WHERE id = ANY ($1)", more)

    assert (0, "") == (first[0], first[2])
    assert 0o600 == mode
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    with reader:
        assert tokens == reader.read().split()
    assert 3 == len(set(own))
    assert own == more[:3]
    assert 4 == known


async def test_seed_is_refused_in_production(servers: dict[str, str], tmp_path: Path) -> None:
    """Nobody makes accounts with known tokens in production, unless forced."""
    file = tmp_path / "tokens"
    words = ("seed", "--users", "1", "--tokens", str(file))
    settings = servers | {"environment": "production"}
    refused = await evently(*words, **settings)
    was_made = file.exists()
    forced = await evently(*words, "--force", **settings)

    assert (2, False) == (refused[0], was_made)
    assert "refused in production" in refused[2]
    assert "Traceback" not in refused[2]
    assert 0 == forced[0]


async def test_admin_forgets_passkeys(servers: dict[str, str], database: asyncpg.Pool) -> None:
    """S39: an admin whose devices are lost gets rid of their passkeys, and nobody else's go."""
    ids = {}
    for role in ("admin", "user"):
        email = f"{role}-{secrets.token_hex(4)}@example.org"
        user_id = await users.add(
            database, email=email, name="X", password_hash=hash_now("x"), role=role
        )
        assert user_id is not None
        ids[role] = email, user_id
        for _ in range(2):
            await ways_in.add_passkey(
                database,
                user_id=user_id,
                credential_id=secrets.token_bytes(16),
                public_key=b"x",
                sign_count=0,
                transports=["usb"],
                is_synced=False,
                name="Key",
            )
    command = ("admin", "forget-passkeys", "--email")
    code, text, log = await evently(*command, ids["admin"][0].upper(), **servers)
    assert (0, True) == (code, "2 passkeys deleted" in text), log
    assert "passkeys_forgotten" in log
    left = [len(await ways_in.passkeys(database, user_id)) for _, user_id in ids.values()]
    assert [0, 2] == left
    # Who has the devices may have open sessions on them.
    versions = "SELECT token_version FROM users WHERE id = ANY ($1) ORDER BY role DESC"
    own = await database.fetch(versions, [user_id for _, user_id in ids.values()])
    assert [1, 0] == [row["token_version"] for row in own]
    noted = "SELECT after ->> 'passkeys' FROM acts WHERE act = $1 AND subject = $2"
    act, who = "admin.forget_passkeys", ids["admin"][1]
    assert "2" == await database.fetchval(noted, act, who)
    for email in (ids["admin"][0], ids["user"][0]):
        code, _, log = await evently(*command, email, **servers)
        assert (2, True) == (code, "has a passkey" in log)


async def test_admin_reset(servers: dict[str, str], tmp_path: Path, database: asyncpg.Pool) -> None:
    """The new password is in a file for its owner, and in no output; nobody else gets one."""
    email = f"boss-{tmp_path.name}@example.org"
    old, other = hash_now("old"), hash_now("other")
    await users.add(database, email=email, name="Boss", password_hash=old, role="admin")
    await users.add(database, email=f"not-{email}", name="Nobody", password_hash=other)
    code, text, log = await evently("admin", "reset", "--email", email.upper(), **servers)
    file = tmp_path / "admin.password"
    password = file.read_text().strip()
    user = await users.by_email(database, [email])
    assert user is not None
    assert (0, 0o600) == (code, stat.S_IMODE(file.stat().st_mode))
    assert str(file) in text
    assert password not in text + log
    assert ("admin_reset" in log, user.id in log) == (True, True)
    passwords = Passwords(at_once_max=1, waiting_max=1)
    assert await passwords.verify([password], user.password_hash)
    assert not await passwords.verify(["old"], user.password_hash)
    refused = await evently("admin", "reset", "--email", f"not-{email}", **servers)
    same = await users.by_email(database, [f"not-{email}"])
    assert (2, 1) == (refused[0], len(refused[2].splitlines()))
    assert same is not None
    assert other == same.password_hash


async def test_limits_lift(servers: dict[str, str], tmp_path: Path, database: asyncpg.Pool) -> None:
    """An account, an address or both have all attempts again; others', and counts of all, stay."""
    email, address = f"late-{tmp_path.name}@example.org", "2001:db8:77:1::5"
    account = await limits.account_word(database, email)
    other = await limits.account_word(database, f"x{email}")
    addresses = Addresses(secret=SECRET)
    origin, another = addresses.word("2001:db8:77:1::6"), addresses.word("2001:db8:77:2::5")
    own = [f"sign-in:account:{account}", f"sign-in:home:{account}:{another}"]
    of_address = [f"sign-in:origin:{origin}", f"registrations:{origin}", f"requests:{origin}"]
    others = [f"sign-in:account:{other}", f"sign-in:origin:{another}", f"{own[0]}x", "sign-in:all"]
    everybody = [*own, *of_address, *others]
    await limits.take(
        database, [limits.Counted(name, 1, 86_400_000) for name in everybody], wholly=False
    )

    async def left() -> set[str]:
        rows = await database.fetch("SELECT name FROM buckets WHERE name = ANY ($1)", everybody)
        return {row["name"] for row in rows}

    by_email = await evently("limits", "lift", "--email", email.upper(), **servers)
    assert (0, "2 limits lifted\n") == by_email[:2]
    assert {*of_address, *others} == await left()
    by_address = await evently("limits", "lift", "--address", address, **servers)
    assert (0, "3 limits lifted\n") == by_address[:2]
    assert set(others) == await left()
    assert "limits_lifted" in by_address[2]
    assert email not in by_email[2].lower()
    for words in ((), ("--address", "somewhere")):
        code, _, complaint = await evently("limits", "lift", *words, **servers)
        assert (2, 1) == (code, len(complaint.splitlines()))
    await limits.fill(database, everybody)


async def test_config_show_masks_secrets(servers: dict[str, str]) -> None:
    """Every setting is shown with its origin; no secret is."""
    url = "redis://app:hunter2@127.0.0.1:6379/0"
    code, text, _ = await evently("config", "show", redis_url=url, **servers)

    assert 0 == code
    assert "EVENTLY_JWT_SECRET" in text
    assert "environment" in text
    assert "hunter2" not in text
    assert SECRET not in text


async def test_a_bad_setting_is_one_line() -> None:
    """A bad or unknown setting is named in one line, with exit code 2 and no trace."""
    bad = await evently("config", "show", shards="many")
    unknown = await evently("config", "show", shard="1")

    assert (2, 2) == (bad[0], unknown[0])
    assert "EVENTLY_SHARDS: Expected `int`, got `str`" in bad[2]
    assert "EVENTLY_SHARD is not a setting" in unknown[2]
    assert 1 == len(bad[2].strip().splitlines())


@pytest.mark.parametrize(
    "command",
    [
        "evently up",
        "evently api",
        "evently sweeper",
        "evently doctor",
        "evently acl",
        "evently migrate",
        "evently seed --users 1 --tokens t",
        "evently config show",
        "api",
        "persister",
        "reconciler check",
        "reconciler recover",
        "reconciler explain bk_1",
        "reconciler quarantine list",
        "loadtests.demo",
    ],
)
async def test_every_command_reads_env_file(command: str, tmp_path: Path) -> None:
    """A mistake in `.env` stops each command before it does anything, in words and not a trace."""
    (tmp_path / ".env").write_text("EVENTLY_SHARDS=many\n")
    env = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name}
    code, said, complaint = await run(*command.split(), env=env, cwd=tmp_path)

    assert 2 == code, complaint
    assert "EVENTLY_SHARDS" in said + complaint
    assert "Traceback" not in complaint
    data = tmp_path / ".evently"
    assert not data.exists()


@pytest.mark.parametrize("command", ["api", "persister", "evently sweeper", "evently acl"])
async def test_an_empty_secret_is_named(command: str, tmp_path: Path) -> None:
    """A process that lacks a secret or a server names it in one line."""
    env = {"EVENTLY_DATA_DIR": str(tmp_path)}
    code, _, complaint = await run(*command.split(), env=os.environ | env)

    [line] = complaint.splitlines()
    assert (2, True) == (code, "EVENTLY_REDIS_" in line)
    assert ("EVENTLY_JWT_SECRET, EVENTLY_TICKET_SIGNING_KEY: empty" in line) == (command == "api")
