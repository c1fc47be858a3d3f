"""`evently doctor` and its canary, on real servers that are well and that are not (F7)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import acl
from engine.redis_client import connect
from evently import canary, doctor
from evently.canary import Song
from evently.embedded import PostgresServer, ValkeyServer
from evently.settings import Settings
from tests.store.databases import migrated_database

PASSWORDS = {role: f"password-of-{role}" for role in acl.ROLES}
GOOD = {
    "appendonly": "yes",
    "appendfsync": "always",
    "propagation-error-behavior": "panic",
    "maxmemory-policy": "noeviction",
}
BARE = ["user default off nopass sanitize-payload resetchannels -@all"]
SAFE = [acl.DEFAULT_USER]


@pytest.fixture
def guarded(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey with users, as `evently up` does."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), passwords=PASSWORDS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """Make a database in which no shard was ever opened."""
    return migrated_database(postgres.url)


def settings_of(server: ValkeyServer, database_url: str) -> Settings:
    """Point the settings at the servers."""
    logins = {f"redis_{role}_password": password for role, password in PASSWORDS.items()}
    return Settings.from_env(
        {f"EVENTLY_{name.upper()}": value for name, value in logins.items()}
        | {"EVENTLY_REDIS_URL": server.url, "EVENTLY_DATABASE_URL": database_url}
        | {"EVENTLY_DATA_DIR": str(server.directory)}
    )


def run(settings: Settings, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the command as an operator does; return exit code and document."""
    done = subprocess.run(
        [sys.executable, "-m", "evently", "doctor", "--json", *words],
        env=dict(os.environ) | settings.to_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def test_f7_canary_sings() -> None:
    """F7: with the generated users and the shared settings a script's writes come back."""
    assert Song.KEPT is canary.sing(GOOD, SAFE)


def test_f7_canary_falls_silent() -> None:
    """F7: the canary notices a configuration that loses what was acknowledged."""
    assert Song.LOST is canary.sing(GOOD | {"appendonly": "no"}, SAFE)


def test_f7_canary_on_a_default_user_without_rights() -> None:
    """F7: a bare `user default off` loses every script, or stops the start, or is known safe."""
    songs = {
        policy: canary.sing(GOOD | {"propagation-error-behavior": policy}, BARE)
        for policy in ("ignore", "panic")
    }
    assert songs in (
        {"ignore": Song.KEPT, "panic": Song.KEPT},
        {"ignore": Song.LOST, "panic": Song.STOPPED},
    )


def test_healthy(guarded: ValkeyServer, database_url: str) -> None:
    """On servers with the shared settings nothing is bad but that no coordinator has run."""
    code, document = run(settings_of(guarded, database_url))

    by_what = {(row["subject"], row["what"]): row for row in document["rows"]}
    bad = [row["what"] for row in document["rows"] if row["grade"] == "bad"]
    assert (1, ["shards"], []) == (code, bad, document["errors"])
    assert "no coordinator has run yet" == by_what["PostgreSQL", "shards"]["why"]
    assert by_what["Redis 0", "canary"]["value"].startswith("kept, on ")
    assert "may do what they need" == by_what["Redis 0", "users"]["value"]
    for what in ("version", "settings", "clock"):
        assert "good" == by_what["Redis 0", what]["grade"]
    assert {"version", "settings", "shards", "erasures", "log of acts"} == {
        what for who, what in by_what if who == "PostgreSQL"
    }
    assert ("disk", str(guarded.directory)) in by_what


def test_f17_f23_unsafe_setting_is_told(guarded: ValkeyServer, database_url: str) -> None:
    """F17, F23: a bad setting and a lost right are rows with reason and remedy, and exit code 1."""
    settings = settings_of(guarded, database_url)
    url = settings.redis_servers_as("coordinator")["0"]

    async def spoil() -> None:
        client = connect(url, timeout_ms=10_000)
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.execute_command("ACL SETUSER", "api", "-xadd")  # type: ignore[no-untyped-call]
        await client.aclose()

    asyncio.run(spoil())
    code, document = run(settings, "--no-canary")

    bad = {row["what"]: row for row in document["rows"] if row["grade"] == "bad"}
    assert 1 == code
    assert {"maxmemory-policy", "user api", "shards"} == set(bad)
    assert "set `maxmemory-policy noeviction`" in bad["maxmemory-policy"]["fix"]
    assert "+xadd" in bad["user api"]["must_be"]


def test_unreachable_is_an_error(database_url: str, tmp_path: Path) -> None:
    """A server that does not answer makes exit code 2, and the others are told all the same."""
    settings = Settings(
        redis_url=f"unix://{tmp_path}/nobody.sock",
        database_url=database_url,
        data_dir=str(tmp_path),
    )
    code, document = run(settings)
    assert 2 == code
    assert ["Redis 0"] == [error.partition(":")[0] for error in document["errors"]]
    assert any(row["subject"] == "PostgreSQL" for row in document["rows"])


def test_table(guarded: ValkeyServer, database_url: str) -> None:
    """Without --json the same is a table."""
    done = subprocess.run(
        [sys.executable, "-m", "evently", "doctor", "--no-canary"],
        env=dict(os.environ) | settings_of(guarded, database_url).to_env() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 1 == done.returncode
    assert "keep level fsync" in done.stdout
    assert "password" not in done.stdout


def test_tells_how_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many files a process may open is told, and that it is few if it is."""
    for files_max, grade in ((1_024, "advice"), (524_288, "good")):
        report = doctor.Report()
        monkeypatch.setattr("evently.doctor.raise_file_limit", lambda n=files_max: n)
        doctor._look_at_files(report)
        [row] = report.rows
        assert ("open files", grade) == (row.what, row.grade)
        assert str(files_max) in row.value
