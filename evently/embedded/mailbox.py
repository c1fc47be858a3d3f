"""
The mailbox of a development machine: `python -m evently.embedded.mailbox PORT FOLDER`.

Takes all mail that is handed in and keeps it as files, the newest `KEPT_MAX`; nothing leaves. The
API shows them at `/dev/mailbox`. Listens on this machine alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import signal
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from evently.embedded.place import write_atomically

#: In the data folder.
FOLDER = "mailbox"
SUFFIX = ".eml"
KEPT_MAX = 500
LETTER_BYTES_MAX = 26_214_400


class Keeper:
    """Keeps what it is handed in a folder; of aiosmtpd's form."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a letter, and let the oldest go."""
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}{SUFFIX}"
        write_atomically(self._folder / name, bytes(envelope.original_content))
        for old in sorted(self._folder.glob(f"*{SUFFIX}"))[:-KEPT_MAX]:
            old.unlink(missing_ok=True)
        return "250 kept"


async def serve(port: int, folder: Path) -> None:
    """Take mail until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def protocol() -> SMTP:
        return SMTP(
            Keeper(folder),
            enable_SMTPUTF8=True,
            data_size_limit=LETTER_BYTES_MAX,
            hostname="localhost",
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", port)
    try:
        await stopping.wait()
    finally:
        server.close()


def main() -> None:
    """Read the arguments, and serve."""
    parser = argparse.ArgumentParser(prog="mailbox", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.folder))


if __name__ == "__main__":
    main()
