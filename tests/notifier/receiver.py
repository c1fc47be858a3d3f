"""
A receiver of webhooks as a process: it verifies with the library, and answers as it is told.

What came to a path stands in a file beside it, and how it is to be answered as well. Nothing is
taken whose signature is not good; what comes a second time is counted, and has no effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from evently.ports import free_port

START_TIMEOUT_S = 20
STALL_S = 60
OWN_HOST = "127.0.0.1"


class Process:
    """The receiver as a process, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(OWN_HOST)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        argv = [sys.executable, "-m", "tests.notifier.receiver", str(self.port), str(self.folder)]
        self._child = subprocess.Popen(argv)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (self.folder / "listens").exists():
            assert time.monotonic() < deadline_s, "it does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, whatever it does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        (self.folder / "listens").unlink(missing_ok=True)

    def url(self, name: str) -> str:
        """Return where an endpoint of a name is."""
        return f"http://{OWN_HOST}:{self.port}/{name}"

    def know(self, name: str, secret: str) -> None:
        """Say by which secret messages to an endpoint are signed."""
        (self.folder / f"{name}.secret").write_text(secret)

    def answer(self, name: str, **how: Any) -> None:
        """Say how messages to an endpoint are answered: `status`, `headers`, `stalls`, `body`."""
        (self.folder / f"{name}.answer").write_text(json.dumps(how))

    def taken(self, name: str) -> list[dict[str, Any]]:
        """Return what came to an endpoint and was verified, each message once, in order."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.tried(name):
            found.setdefault(one["id"], one["said"])
        return list(found.values())

    def tried(self, name: str) -> list[dict[str, Any]]:
        """Return each attempt that was verified: its id, its signatures and what it says."""
        path = self.folder / f"{name}.taken"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def doubles(self, name: str) -> int:
        """Return how many attempts said what had come before."""
        times = Counter(one["id"] for one in self.tried(name))
        return sum(times.values()) - len(times)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Process]:
    """Run a receiver."""
    process = Process(folder)
    process.start()
    try:
        yield process
    finally:
        process.kill()


async def _receive(folder: Path, request: web.Request) -> web.Response:
    name, body = request.match_info["name"], await request.read()
    try:
        said = Webhook((folder / f"{name}.secret").read_text()).verify(body, dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=400)
    attempt = {
        "id": request.headers["webhook-id"],
        "signatures": request.headers["webhook-signature"].split(" "),
        "said": said,
    }
    with (folder / f"{name}.taken").open("a") as file:
        file.write(f"{json.dumps(attempt)}\n")
    path = folder / f"{name}.answer"
    how = json.loads(path.read_text()) if path.exists() else {}
    if how.pop("stalls", False):
        await asyncio.sleep(STALL_S)
    return web.Response(**({"status": 204} | how))


async def _serve(port: int, folder: Path) -> None:
    app = web.Application()

    async def receive(request: web.Request) -> web.Response:
        return await _receive(folder, request)

    app.router.add_post("/{name}", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, OWN_HOST, port).start()
    (folder / "listens").touch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
