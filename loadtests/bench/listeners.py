"""
Many listeners of one event's stream, in a process of their own (P16).

Reads from stdin a JSON of `port`, `path` and `number`; connects, prints `ready` once all have been
told the state; at the next line of stdin prints what they heard as JSON, and ends. Moments are of
the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

from api.files import raise_file_limit

#: Connections that are begun in one go.
AT_ONCE = 200
CONNECT_TIMEOUT_S = 120.0
_AVAILABLE = re.compile(rb'"available":([0-9]+)')


class Heard:
    """What all listeners together have heard."""

    def __init__(self) -> None:
        #: By what was left: how many heard it, when the last one did.
        self.by_left: dict[int, tuple[int, float]] = {}
        self.begun = 0
        self.lost = 0


class Listening(asyncio.Protocol):
    """One connection; takes what comes and notes when."""

    def __init__(self, heard: Heard, request: bytes) -> None:
        self._heard = heard
        self._request = request
        self._has_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note what is left, as this says it."""
        now_s = time.monotonic()
        heard = self._heard
        for text in _AVAILABLE.findall(data):
            if not self._has_begun:
                self._has_begun = True
                heard.begun += 1
                continue
            number, _ = heard.by_left.get(int(text), (0, 0.0))
            heard.by_left[int(text)] = (number + 1, now_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that one is gone."""
        self._heard.lost += 1


async def listen() -> None:
    """Connect, wait, tell."""
    loop = asyncio.get_running_loop()
    given = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    heard = Heard()
    head = f"GET {given['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    kept = []
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        for first in range(0, given["number"], AT_ONCE):
            some = range(first, min(first + AT_ONCE, given["number"]))
            kept += await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda: Listening(heard, head), "127.0.0.1", given["port"]
                    )
                    for _ in some
                )
            )
        while heard.begun < given["number"]:
            if heard.lost:
                raise ConnectionError(f"{heard.lost} were not let in, or let go")
            await asyncio.sleep(0.01)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    rows = {str(key): value for key, value in heard.by_left.items()}
    print(json.dumps({"heard": rows, "lost": heard.lost}), flush=True)
    assert kept


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(listen())
