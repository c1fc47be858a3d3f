"""
The press: papers drawn in a process beside this one, a few at a time, and remembered for a while.

Drawing takes ms of a CPU, which a sale under way has no room for: the process gives way to
others, knows no secret, and ends when nobody has wanted a paper for a minute. One that takes too
long is ended with what it was drawing.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from papers.values import Paper

#: How long one paper may take, the start of the process included, in seconds.
TIMEOUT_S: Final = 15.0
#: Papers that may wait for one press, besides the one that is drawn.
WAITING_MAX: Final = 32
#: Papers that are remembered, in bytes altogether.
MEMORY_BYTES_MAX: Final = 16 * 1024 * 1024
#: When a process is ended that nobody needs, in seconds.
IDLE_S: Final = 60.0
#: Papers after which a process makes way for a new one, whatever its library has kept.
PAPERS_MAX: Final = 2_000

#: Before each paper that is asked for: its length.
ASKED: Final = struct.Struct(">I")
#: Before each answer: whether it is a paper (or else what went wrong), and its length.
ANSWERED: Final = struct.Struct(">?I")


class PressBusy(Exception):
    """Too many papers wait, or this one was not drawn in time; later there may be room."""


class PressFailed(Exception):
    """The paper cannot be drawn, as it is; says why."""


class Press:
    """Draws papers, one after another."""

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        waiting_max: int = WAITING_MAX,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        idle_s: float = IDLE_S,
        papers_max: int = PAPERS_MAX,
    ) -> None:
        """The arguments are as the constants of this module say."""
        self._timeout_s = timeout_s
        self._asked_max = waiting_max + 1
        self._memory_bytes_max = memory_bytes_max
        self._idle_s = idle_s
        self._papers_max = papers_max
        self._turn = asyncio.Lock()
        self._asked = 0
        self._process: asyncio.subprocess.Process | None = None
        #: Papers that the process has drawn.
        self._drawn = 0
        self._idle: asyncio.TimerHandle | None = None
        #: By digest of what was asked for.
        self._memory: OrderedDict[bytes, bytes] = OrderedDict()
        self._memory_bytes = 0

    async def draw(self, paper: Paper) -> bytes:
        """
        Return a paper as a file: PDF, iCalendar, SVG or PNG, by its kind.

        Idempotency: the same paper gives the same file, for the most part at once.

        Raises:
            PressBusy: too many wait, or it was not drawn in time.

            PressFailed: it cannot be drawn.
        """
        asked = msgspec.json.encode(paper)
        digest = sha256(asked).digest()
        if (known := self._memory.get(digest)) is not None:
            self._memory.move_to_end(digest)
            return known
        if self._asked >= self._asked_max:
            raise PressBusy("too many papers wait to be drawn")
        self._asked += 1
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                is_drawn, body = await self._exchange(asked)
        except TimeoutError:
            raise PressBusy("the paper was not drawn in time") from None
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise PressBusy("the process that draws is gone") from error
        finally:
            self._asked -= 1
        if not is_drawn:
            raise PressFailed(body.decode(errors="replace"))
        self._remember(digest, body)
        return body

    async def close(self) -> None:
        """End the process, with what it draws: who waits for that is told that it is gone."""
        if self._process is not None:
            _kill(self._process)
        async with self._turn:
            await self._end()

    async def _exchange(self, asked: bytes) -> tuple[bool, bytes]:
        """Let the process draw; whatever comes between ends it, since its answer is nobody's."""
        if self._idle is not None:
            self._idle.cancel()
        if self._process is None or self._drawn >= self._papers_max:
            await self._end()
            self._process = await _started()
            self._drawn = 0
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(ASKED.pack(len(asked)) + asked)
            await process.stdin.drain()
            head = await process.stdout.readexactly(ANSWERED.size)
            is_drawn, size = ANSWERED.unpack(head)
            body = await process.stdout.readexactly(size)
        except BaseException:
            self._process = None
            _kill(process)
            raise
        self._drawn += 1
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._rest)
        return is_drawn, body

    def _rest(self) -> None:
        """End the process if it draws nothing: at the end of what it is told, it ends itself."""
        if self._process is not None and not self._turn.locked():
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    async def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            await process.wait()

    def _remember(self, digest: bytes, body: bytes) -> None:
        if len(body) > self._memory_bytes_max:
            return
        self._memory[digest] = body
        self._memory_bytes += len(body)
        while self._memory_bytes > self._memory_bytes_max:
            self._memory_bytes -= len(self._memory.popitem(last=False)[1])


async def _started() -> asyncio.subprocess.Process:
    """Start a process that draws; it is told nothing of what this one was started with."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "papers"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env={},
        # Ctrl-C is for this process to hear, which then ends the other.
        start_new_session=True,
    )


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
