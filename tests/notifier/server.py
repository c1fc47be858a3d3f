"""
A mail server that does as it is told: `python -m tests.notifier.server PORT FOLDER`.

Before each step it looks into a file for what to do at it: `{"step": ["450 later", ...]}`. One word
is taken for each time, from the first on; where there is none, a step is as it should be. Words: an
answer; `stall`: none; `drop`: the connection ends. Steps: connect, sender, recipient, data (the
command), text (all of it is there). What it has taken it keeps in the folder, with the most letters
that came to one domain at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from evently.ports import free_port
from evently.up import OWN_HOST

STALL_S = 30.0
START_TIMEOUT_S = 20.0
#: How long a letter is looked at, so that several are under way at a time.
LOOK_S = 0.005


class Orders:
    """What to do at each step, in a file that a test writes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "orders.json"

    def give(self, **orders: list[str]) -> None:
        """Tell the server what to do."""
        self._path.write_text(json.dumps(orders))

    def take(self, step: str) -> str:
        """Return the next word for a step; empty: as it should be."""
        with contextlib.suppress(FileNotFoundError), self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            orders = json.loads(file.read() or "{}")
            word: str = orders[step].pop(0) if orders.get(step) else ""
            file.seek(0)
            file.truncate()
            file.write(json.dumps(orders))
            return word
        return ""


class Keeper:
    """The steps of a conversation, as aiosmtpd calls them."""

    def __init__(self, folder: Path, orders: Orders, busy: Counter[str]) -> None:
        self._folder = folder
        self._orders = orders
        self._busy = busy

    async def handle_MAIL(  # noqa: N802
        self, server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a sender."""
        answer = await _obey(server, self._orders.take("sender"))
        if not answer:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 2.1.0 fine"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take a recipient."""
        answer = await _obey(server, self._orders.take("recipient"))
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 2.1.5 fine"

    async def handle_DATA(  # noqa: N802
        self, server: Any, _session: Any, envelope: Any
    ) -> str:
        """Take a letter."""
        domain = envelope.rcpt_tos[0].rpartition("@")[2]
        self._busy[domain] += 1
        most = self._folder / "most"
        if self._busy[domain] > int(most.read_text() if most.exists() else 0):
            most.write_text(str(self._busy[domain]))
        await asyncio.sleep(LOOK_S)
        self._busy[domain] -= 1
        word = self._orders.take("text")
        if word in {"", "keep, drop", "keep, stall"}:
            letter = b"X-Sender: %b\r\nX-Recipient: %b\r\n" % (
                envelope.mail_from.encode(),
                envelope.rcpt_tos[0].encode(),
            )
            path = self._folder / f"{time.time_ns()}.part"
            path.write_bytes(letter + envelope.original_content)
            path.rename(path.with_suffix(".eml"))
        return await _obey(server, word.removeprefix("keep, ")) or "250 2.0.0 taken"


class Server(SMTP):
    """aiosmtpd's, with words for the greeting and the command DATA."""

    orders: Orders

    async def _handle_client(self) -> None:
        if answer := await _obey(self, self.orders.take("connect")):
            await self.push(answer)
            if self.transport is not None:
                self.transport.close()
            return
        await super()._handle_client()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Answer the command DATA."""
        if answer := await _obey(self, self.orders.take("data")):
            await self.push(answer)
            return
        await super().smtp_DATA(arg)


async def _obey(server: Any, word: str) -> str:
    """Do what is no answer; return what is one."""
    if word == "stall":
        await asyncio.sleep(STALL_S)
    if word == "drop":
        server.transport.abort()
        await asyncio.sleep(STALL_S)
    return word


def letters(folder: Path) -> list[EmailMessage]:
    """Return what a server has taken, in order."""
    parser = BytesParser(EmailMessage, policy=policy.default)
    return [parser.parsebytes(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]


class Process:
    """The server as a process, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(OWN_HOST)
        self.orders = Orders(folder)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        argv = [sys.executable, "-m", "tests.notifier.server", str(self.port), str(self.folder)]
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

    def letters(self) -> list[EmailMessage]:
        """Return what it has taken."""
        return letters(self.folder)

    def clear(self) -> None:
        """Forget what it has taken and what it was told."""
        for path in [*self.folder.glob("*.eml"), self.folder / "most"]:
            path.unlink(missing_ok=True)
        self.orders.give()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Process]:
    """Run a server."""
    process = Process(folder)
    process.start()
    try:
        yield process
    finally:
        process.kill()


async def _serve(port: int, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    orders, busy = Orders(folder), Counter[str]()
    Server.orders = orders

    def protocol() -> Server:
        return Server(Keeper(folder, orders, busy), enable_SMTPUTF8=True, hostname="m", loop=loop)

    server = await loop.create_server(protocol, OWN_HOST, port)
    (folder / "listens").touch()
    await server.serve_forever()


if __name__ == "__main__":
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
