"""
The servers and processes that a measure runs against, each started and stopped by itself.

The same parts, settings and embedded servers as `evently up`, but the persister runs only when a
measure says so. Every figure of CPU time comes from here. Leaves no process and no file behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType

import aiohttp
import msgspec

from evently.admin import ensure_admin
from evently.embedded import PostgresServer, ValkeyServer, process
from evently.settings import REDIS_PASSWORDS, REDIS_ROLES, Settings
from evently.supervisor import Part
from evently.up import keep_secrets, parts
from loadtests.backstage import Backstage
from loadtests.bench.cpu import cpu_s, family_cpu_s
from loadtests.server import LOOPBACK, free_port
from store.migrate import migrate

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05
#: Statements of a measure that copies a million rows take longer than those of a service.
DATABASE_TIMEOUT_MS = 120_000


class Rig:
    """One Evently: Valkey, PostgreSQL, coordinator, API; `async with` starts and stops it."""

    def __init__(self, *, api_processes: int = 1, **settings: object) -> None:
        """
        Args:
            api_processes: How many share the port.

            settings: Settings that differ from their defaults, by field name.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="evt-")
        self.path = Path(self._folder.name)
        # PostgreSQL runs as another user where we are root, and must get in.
        self.path.chmod(0o755)
        given = {
            "api_processes": api_processes,
            "http_port": free_port(),
            "data_dir": str(self.path),
            "database_timeout_ms": DATABASE_TIMEOUT_MS,
            "access_token_ttl_s": 86_400,
        } | settings
        # Redis has the users of production, each with its password and its rights.
        self.settings = keep_secrets(msgspec.structs.replace(Settings.from_env({}), **given))
        passwords = zip(REDIS_ROLES, REDIS_PASSWORDS, strict=True)
        self.valkey = ValkeyServer(
            self.path / "redis",
            passwords={role: getattr(self.settings, field) for role, field in passwords},
        )
        self.postgres = PostgresServer(self.path)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def host(self) -> str:
        """Where the API listens."""
        return LOOPBACK

    @property
    def port(self) -> int:
        """Where the API listens."""
        return self.settings.http_port

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return f"http://{self.host}:{self.port}"

    def redis_url(self, role: str = "coordinator") -> str:
        """Return where *role* finds Redis; the coordinator may do all."""
        return self.settings.redis_urls_as(role)[0]

    def backstage(self) -> Backstage:
        """Return direct access to the servers."""
        return Backstage(self.settings)

    async def __aenter__(self) -> Rig:
        try:
            self.valkey.start()
            self.postgres.start()
            self.settings = msgspec.structs.replace(
                self.settings, redis_url=self.valkey.url, database_url=self.postgres.url
            )
            await migrate(self.settings.database_url)
            await ensure_admin(self.settings)
            self._start(lambda part: not part.name.startswith("persister"))
            await self._wait_until_ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop everything and remove its data; may be called again."""
        for name in list(self._running):
            await self._stop_part(name)
        self.postgres.stop()
        self.valkey.stop()
        self._folder.cleanup()

    @contextlib.asynccontextmanager
    async def persisting(self) -> AsyncIterator[None]:
        """Run the persisters of all shards for as long as the block lasts."""
        self._start(lambda part: part.name.startswith("persister"))
        try:
            yield
        finally:
            for name in [name for name in self._running if name.startswith("persister")]:
                await self._stop_part(name)

    async def restart_api(self, api_processes: int) -> None:
        """Stop the API and start it with another number of processes."""
        for name in [name for name in self._running if name.startswith("api")]:
            await self._stop_part(name)
        self.settings = msgspec.structs.replace(self.settings, api_processes=api_processes)
        self._start(lambda part: part.name.startswith("api"))
        await self._wait_until_ready()

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds used so far: api, valkey, persister, postgres."""
        used = {"api": 0.0, "persister": 0.0}
        for name, child in self._running.items():
            stage = name.partition("-")[0]
            if stage in used:
                used[stage] += cpu_s(child.pid)
        assert self.valkey.pid is not None
        assert self.postgres.pid is not None
        return used | {
            "valkey": cpu_s(self.valkey.pid),
            "postgres": family_cpu_s(self.postgres.pid),
        }

    def _start(self, is_wanted: Callable[[Part], bool]) -> None:
        metrics_path = self.path / "metrics"
        metrics_path.mkdir(exist_ok=True)
        for part in parts(self.settings, _environ(), metrics_path=metrics_path):
            if is_wanted(part) and part.name not in self._running:
                self._running[part.name] = process.spawn(
                    part.argv,
                    death_signal=signal.SIGTERM,
                    env=part.env,
                    log_path=self.path / f"{part.name}.log",
                )

    async def _stop_part(self, name: str) -> None:
        child = self._running.pop(name)
        await asyncio.to_thread(
            process.stop, child, with_signal=signal.SIGTERM, timeout_s=STOP_TIMEOUT_S
        )

    async def _wait_until_ready(self) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline_s:
                try:
                    async with session.get(f"{self.base_url}/readyz") as response:
                        if response.status == 200:
                            return
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(POLL_S)
        raise RuntimeError(f"the rig did not come up:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of every log."""
        return "\n".join(
            f"{log.name}:\n{process.log_tail(log)}" for log in sorted(self.path.glob("*.log"))
        )


def _environ() -> dict[str, str]:
    """Return what parts inherit: enough to find Python, and nothing of the caller's settings."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path))}
