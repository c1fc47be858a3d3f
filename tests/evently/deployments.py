"""
Whole Evently services for tests of operators: as `evently up` runs it, and as Compose would.

There is no engine for containers here. So the services of docker-compose.yml run as processes, each
by its own command line and in its own environment and no other; the servers come from packages,
with the users, passwords and settings that the file gives theirs. What is another is where things
listen.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine import acl
from evently.embedded import PostgresServer, ValkeyServer
from evently.embedded.process import spawn
from evently.ports import free_port
from evently.ready import wait_until_ready
from evently.settings import ENV_FILE
from loadtests.server import LOOPBACK, running
from tests.evently.test_cli import run

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
#: What Compose fills in: `${NAME}`, `${NAME:-otherwise}`, `${NAME:?what to say}`.
_VARIABLE = re.compile(r"\$\{(\w+)(?::[-?][^}]*)?\}")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A service that runs, and how an operator gets at it."""

    base_url: str
    #: Where the owner of the tables finds the database.
    owner_url: str
    #: Where commands leave what they do not print.
    data_path: Path
    #: The environment of a command, by the container that it runs in; with one key: in a terminal.
    environs: Mapping[str, Mapping[str, str]]
    cwd: Path

    async def command(self, place: str, *words: str) -> tuple[int, str, str]:
        """Run a command in a container; return its exit code and what it said."""
        env = self.environs[place if place in self.environs else ""]
        return await run(*words, env=env, cwd=self.cwd)


@contextlib.asynccontextmanager
async def under_up(folder: Path) -> AsyncIterator[Deployment]:
    """Run `evently up`; commands are typed in another terminal, and need to know its folder."""
    async with running(folder, environment="test", reconciler_watch_s="0") as server:
        plain = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name}
        own = {"EVENTLY_DATA_DIR": str(server.data_path), ENV_FILE: os.devnull}
        yield Deployment(
            base_url=server.base_url,
            owner_url=server.settings.database_url,
            data_path=server.data_path,
            environs={"": plain | own},
            cwd=ROOT,
        )


@contextlib.asynccontextmanager
async def under_compose(folder: Path) -> AsyncIterator[Deployment]:
    """Run the services of docker-compose.yml."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    values = _secrets(content)
    users = _filled(content["configs"]["redis_users"]["content"], values)
    passwords = {role: values[f"EVENTLY_REDIS_{role.upper()}_PASSWORD"] for role in acl.ROLES}
    valkey = ValkeyServer(folder / "redis", passwords=passwords, users=users)
    postgres = PostgresServer(folder, password=values["POSTGRES_PASSWORD"])
    with contextlib.ExitStack() as stack:
        for server in (valkey, postgres):
            server.start()
            stack.callback(server.stop)
        port = free_port()
        environs = {
            name: _environ(service, values, valkey, postgres, port)
            for name, service in content["services"].items()
            if "build" in service
        }
        argv = {
            name: [sys.executable, *content["services"][name]["command"][1:]] for name in environs
        }
        code, text, log = await run(*argv["migrate"][2:], env=environs["migrate"], cwd=folder)
        assert 0 == code, text + log
        log_path = folder / "services.log"
        for name in environs.keys() - {"migrate"}:
            child = spawn(
                argv[name],
                death_signal=signal.SIGTERM,
                env=environs[name],
                log_path=log_path,
                cwd=folder,
            )
            stack.callback(_stop, child)
        base_url = f"http://{LOOPBACK}:{port}"
        is_ready = await wait_until_ready(base_url, processes=1, timeout_s=READY_TIMEOUT_S)
        assert is_ready, log_path.read_text()[-4000:]
        yield Deployment(
            base_url=base_url,
            owner_url=postgres.url,
            data_path=folder / ".evently",
            environs=environs,
            cwd=folder,
        )


def _secrets(content: Mapping[str, Any]) -> dict[str, str]:
    """Draw a value for each variable without which Compose would not start."""
    needed = set(re.findall(r"\$\{(\w+):\?", str(content)))
    # The longest that is asked for: 32 bytes in base64url.
    return {name: secrets.token_urlsafe(32) for name in needed}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Fill in variables as Compose does; what has no value is empty."""
    return _VARIABLE.sub(lambda found: values.get(found[1], ""), text).replace("$$", "$")


def _environ(
    service: Mapping[str, Any],
    values: Mapping[str, str],
    valkey: ValkeyServer,
    postgres: PostgresServer,
    port: int,
) -> dict[str, str]:
    """Return a container's environment, but for the addresses of what runs here elsewhere."""
    given = {
        name: _filled(str(value), values)
        for name, value in service["environment"].items()
        if value is not None  # Passed on from a shell in which nothing is set.
    }
    login = given["EVENTLY_DATABASE_URL"].partition("://")[2].rpartition("postgres:5432/evently")[0]
    place = postgres.url.partition("@")[2]
    given["EVENTLY_DATABASE_URL"] = f"postgresql://{login}{place}"
    given["EVENTLY_REDIS_URL"] = valkey.url
    given |= {"EVENTLY_HTTP_HOST": LOOPBACK, "EVENTLY_HTTP_PORT": str(port)}
    # Of the image.
    return given | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), ENV_FILE: os.devnull}


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
