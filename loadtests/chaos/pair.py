"""
Two Valkeys beside an Evently, kept running as an operator's own would be: for shards that move.

Owns their folders, passwords and restarts, and the clock that each of them sees. They are named
`0` and `b`, and `evently up` is told where they are. A server that dies is started again after a
moment, unless the rig wants it down. Their clocks are moved by a small library that is compiled
here and preloaded; where there is no compiler, clocks stay as they are, and that is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine import acl
from engine.homes import ONLY_SERVER
from evently.embedded import ServerError, ValkeyServer
from evently.settings import REDIS_PASSWORDS, REDIS_ROLES
from loadtests.server import POLL_INTERVAL_S

SECOND_SERVER = "b"
NAMES = (ONLY_SERVER, SECOND_SERVER)
#: Shards that such an Evently begins with: one on each server.
SHARDS = 2
#: Pause between the death of a server and its start.
RESTART_PAUSE_S = 0.1
STARTED_TIMEOUT_S = 60.0
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
COMPILE_TIMEOUT_S = 60.0
_OFFSET = struct.Struct("q")


class Clock:
    """How far one server's clock is from ours: a number in a file that the server has mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(_OFFSET.pack(0))

    def set(self, by_s: float) -> None:
        """Let the server's time be *by_s* ahead of ours, from this moment on."""
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), _OFFSET.size) as offset:
            offset[:] = _OFFSET.pack(round(by_s * 1_000_000))


class MovedValkey(ValkeyServer):
    """A Valkey whose clock can be moved while it runs."""

    def __init__(
        self, folder: Path, *, passwords: Mapping[str, str], library: Path | None, port: int = 0
    ) -> None:
        super().__init__(folder, passwords=passwords, port=port)
        self._library = library
        self.clock = Clock(folder.with_name(f"{folder.name}.clock")) if library else None

    def _prepare(self) -> list[str]:
        words = super()._prepare()
        if self.clock is None:
            return words
        preload = f"LD_PRELOAD={self._library}"
        return ["/usr/bin/env", preload, f"EVT_CLOCK_FILE={self.clock.path}", *words]


class Pair:
    """The two servers."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: Of their data, made if missing; not below the one of Evently.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.passwords = {role: secrets.token_urlsafe(16) for role in acl.ROLES}
        self.library = compile_clock(folder)
        self.servers = {
            name: MovedValkey(
                folder / f"redis-{name}", passwords=self.passwords, library=self.library
            )
            for name in NAMES
        }
        self._wanted_down: dict[str, int] = dict.fromkeys(NAMES, 0)
        self._keeping: list[asyncio.Task[None]] = []
        self._is_stopped = False

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the Evently beside them."""
        urls = ",".join(f"{name}={server.url}" for name, server in self.servers.items())
        words = dict(zip(REDIS_PASSWORDS, (self.passwords[r] for r in REDIS_ROLES), strict=True))
        return {"redis_url": urls, "shards": SHARDS} | words

    def start(self) -> None:
        """Start both, and keep them running; from the main thread, within a loop."""
        for server in self.servers.values():
            server.start(ready_timeout_s=STARTED_TIMEOUT_S)
        self._keeping = [asyncio.create_task(self._keep(name)) for name in NAMES]

    async def stop(self) -> None:
        """Stop both."""
        self._is_stopped = True
        await asyncio.gather(*self._keeping)
        for server in self.servers.values():
            server.stop()

    @contextlib.contextmanager
    def left_down(self, name: str) -> Iterator[None]:
        """Do not start a server meanwhile, should it die."""
        self._wanted_down[name] += 1
        try:
            yield
        finally:
            self._wanted_down[name] -= 1

    def pids(self, name: str = "") -> list[int]:
        """Return the processes of one server, or of both."""
        found = [server.pid for own, server in self.servers.items() if name in {"", own}]
        return [pid for pid in found if pid is not None]

    async def _keep(self, name: str) -> None:
        server = self.servers[name]
        while not self._is_stopped:
            await asyncio.sleep(POLL_INTERVAL_S)
            if server.is_running and not server.has_data:
                server.kill()  # What it acknowledges now is on no disk.
            if server.is_running or self._wanted_down[name]:
                continue
            await asyncio.sleep(RESTART_PAUSE_S)
            if not self._wanted_down[name]:
                with contextlib.suppress(ServerError, OSError):
                    server.launch()


def compile_clock(folder: Path) -> Path | None:
    """Make the library that moves clocks; None if this machine has no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK_SOURCE), "-ldl"]
    done = subprocess.run(words, check=False, timeout=COMPILE_TIMEOUT_S, env={"PATH": os.defpath})
    return library if done.returncode == 0 else None
