"""
A mail server that takes everything, and what its letters say.

`python -m loadtests.mail PORT FOLDER` keeps each letter as a file, or the first (`--forget`). It is
a process of its own, so that it takes no turn from who buys.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pypdfium2
import zxingcpp
from aiosmtpd.smtp import SMTP

from evently.ports import free_port

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0
POLL_S = 0.02
#: The file that says that it listens.
LISTENS = "listens"
#: Pixels a point of a page in which codes are read: 90 dpi.
SCALE = 1.25
_BOOKING = re.compile(rb"bk_[0-9a-v]{20,40}")


class Catcher:
    """A server, by where it is and what it keeps; may be killed and started again."""

    def __init__(self, folder: Path, *, forgets: bool = False) -> None:
        self.host, self.port = HOST, free_port(HOST)
        self.url = f"smtp+plain://{HOST}:{self.port}"
        self._forgets = forgets
        self._process: asyncio.subprocess.Process | None = None
        self.folder = folder
        #: By file, so that each is read once.
        self._bookings: dict[str, str] = {}

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        words = ("-m", "loadtests.mail", str(self.port), str(self.folder))
        more = ("--forget",) if self._forgets else ()
        self._process = await asyncio.create_subprocess_exec(sys.executable, *words, *more)
        async with asyncio.timeout(START_TIMEOUT_S):
            while not (self.folder / LISTENS).exists():  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """Kill it, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        (self.folder / LISTENS).unlink(missing_ok=True)

    def letters(self) -> list[EmailMessage]:
        """Return what it has taken, in order."""
        return [read(path) for path in sorted(self.folder.glob("*.eml"))]

    def confirmed(self) -> dict[str, Path]:
        """Return the bookings whose letters have come, each with one of its letters."""
        for path in self.folder.glob("*.eml"):
            if path.name not in self._bookings:
                found = _BOOKING.search(_text(path))
                self._bookings[path.name] = found[0].decode() if found else ""
        return {own: self.folder / name for name, own in self._bookings.items() if own}


def codes_of(letter: EmailMessage) -> list[str]:
    """Return the codes in a letter's PDF, as a scanner reads them from its pages."""
    codes = []
    for part in letter.iter_attachments():
        if part.get_content_type() == "application/pdf":
            with pypdfium2.PdfDocument(part.get_payload(decode=True)) as document:
                for page in document:
                    image = page.render(scale=SCALE, grayscale=True)
                    picture = memoryview(bytes(image.buffer)).cast(
                        "B", (image.height, image.stride)
                    )
                    codes += [found.text for found in zxingcpp.read_barcodes(picture)]
    return codes


def read(path: Path) -> EmailMessage:
    """Read a letter."""
    return BytesParser(EmailMessage, policy=policy.default).parsebytes(path.read_bytes())


@contextlib.asynccontextmanager
async def catching(folder: Path, *, forgets: bool = False) -> AsyncIterator[Catcher]:
    """Run a server for as long as the block lasts."""
    folder.mkdir()  # noqa: ASYNC240 - before anything else happens
    catcher = Catcher(folder, forgets=forgets)
    try:
        await catcher.start()
        yield catcher
    finally:
        await catcher.kill()


class _Keeper:
    """Keeps letters, or forgets them; of aiosmtpd's form."""

    def __init__(self, folder: Path, *, forgets: bool) -> None:
        self._folder = folder
        self._forgets = forgets
        self._numbers: Iterator[int] = itertools.count(1)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a letter."""
        path = self._folder / f"{time.time_ns():020d}.part"
        if next(self._numbers) == 1 or not self._forgets:
            path.write_bytes(envelope.original_content)
            path.rename(path.with_suffix(".eml"))
        return "250 2.0.0 taken"


def _text(path: Path) -> bytes:
    """Return the text of a letter, which comes first, as far as ids go."""
    with path.open("rb") as file:
        # Lines of quoted-printable may end within an id.
        return file.read(16_384).replace(b"=\r\n", b"")


async def _serve(port: int, folder: Path, *, forgets: bool) -> None:
    loop = asyncio.get_running_loop()
    keeper = _Keeper(folder, forgets=forgets)

    def protocol() -> SMTP:
        return SMTP(keeper, enable_SMTPUTF8=True, hostname="catcher", loop=loop)

    server = await loop.create_server(protocol, HOST, port)
    (folder / LISTENS).touch()
    await server.serve_forever()


def main() -> None:
    """Read the arguments, and serve until killed."""
    parser = argparse.ArgumentParser(prog="mail", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forget", action="store_true")
    arguments = parser.parse_args()
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    asyncio.run(_serve(arguments.port, arguments.folder, forgets=arguments.forget))


if __name__ == "__main__":
    main()
