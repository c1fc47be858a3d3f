"""
The built-in load generator: HTTP/1.1 with keep-alive over asyncio, at the level of protocols.

Runs in a process of its own (`python -m loadtests.bench.http_client`): takes a `Job` as JSON on
stdin and prints a `Report`. Closed loop (each connection sends when it is answered, as fast as
the server allows) or open loop (requests leave on a schedule that does not wait for answers; a
latency counts from the scheduled time, so that a stalled server cannot hide behind its own
silence). All request bytes are made before the first is sent. Leaves what to send to `load.py`.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from loadtests.server import LOOPBACK

CONNECT_AT_ONCE_MAX = 256
CONNECT_TIMEOUT_S = 60.0
#: Time that answers may take after the last request was sent.
LAST_ANSWERS_TIMEOUT_S = 30.0
#: How often the open loop looks at its schedule, in seconds.
TICK_S = 0.0005
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}

_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:")


class BadAnswer(Exception):
    """The server sent what this client does not understand."""


class Request(msgspec.Struct, frozen=True):
    """How request number *n* looks: `before + token + between + key + after`."""

    #: On this machine: load goes nowhere else.
    port: int
    before: str
    after: str = ""
    #: Joins token and key; both are left out where there are no tokens.
    between: str = ""
    #: File with one token a line; empty for requests that are all the same.
    tokens_path: str = ""
    #: The key of request *n* is this and 12 digits.
    key_prefix: str = ""
    #: Number of the first request; number *n* takes token *n* modulo their count.
    first: int = 0


class Job(msgspec.Struct, frozen=True):
    """What to send, over how many connections, and for how long."""

    connections: int
    request: Request
    #: Requests at most.
    requests_max: int
    #: Stop sending after this time.
    seconds: float
    #: Requests a second on a schedule; 0 for the closed loop.
    rate: float = 0.0
    seed: int = 0


class Report(msgspec.Struct):
    """What came back."""

    #: Requests that were sent, all of them, answered or not.
    sent: int
    #: From the first request to the last answer.
    seconds: float
    statuses: dict[int, int]
    #: Requests without an answer.
    errors: int
    #: CPU time of this process while it sent, in seconds.
    cpu_s: float
    #: By name of the percentile.
    latency_ms: dict[str, float]
    #: Largest number of requests that were due and had no free connection (open loop).
    waiting_max: int = 0


def parse(data: bytes | bytearray) -> tuple[int, int] | None:
    """
    Return status and length of the answer that *data* begins with; None if it is not all there.

    Raises:
        BadAnswer: it is not HTTP/1.1 with a Content-Length.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) >= 9 and not data.startswith(b"HTTP/1.1 "):
            raise BadAnswer(bytes(data[:80]))
        return None
    if not data.startswith(b"HTTP/1.1 ") or not data[9:12].isdigit():
        raise BadAnswer(bytes(data[:80]))
    status = int(data[9:12])
    if status in {204, 304}:
        return status, end + 4
    match = _LENGTH.search(data, 0, end + 2)
    if match is None or _CHUNKED.search(data, 0, end + 2):
        raise BadAnswer(bytes(data[:end]))
    total = end + 4 + int(match[1])
    return (status, total) if len(data) >= total else None


def prepare(request: Request, count: int) -> Iterator[bytes]:
    """Yield the bytes of *count* requests."""
    before, after = request.before.encode(), request.after.encode()
    if not request.tokens_path:
        same = before + after
        for _ in range(count):
            yield same
        return
    tokens = Path(request.tokens_path).read_bytes().split()
    middle = request.between.encode() + request.key_prefix.encode()
    for number in range(request.first, request.first + count):
        token = tokens[number % len(tokens)]
        yield b"%b%b%b%012d%b" % (before, token, middle, number, after)


def percentiles_ms(latencies_s: list[float]) -> dict[str, float]:
    """Return the latency that each share of `PERCENTILES` did not exceed; 0 if there is none."""
    ordered = sorted(latencies_s) or [0.0]
    last = len(ordered) - 1
    return {
        name: round(1000 * ordered[min(last, math.ceil(share * len(ordered)) - 1)], 3)
        for name, share in PERCENTILES.items()
    }


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, on_answer: Callable[[_Connection, int], None]) -> None:
        self.transport: asyncio.Transport | None = None
        #: When the request under way was due; 0 while there is none.
        self.due_s = 0.0
        self.is_lost = False
        self._on_answer = on_answer
        self._buffer = bytearray()

    def abort(self) -> None:
        """Close at once; a request under way then counts as lost."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due_s: float) -> None:
        """Send; the answer's latency counts from *due_s*."""
        assert self.transport is not None, "not connected"
        self.due_s = due_s
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        whole = self._buffer + data if self._buffer else data
        try:
            answer = parse(whole)
            if answer is not None and (answer[1] != len(whole) or not self.due_s):
                raise BadAnswer("more bytes than one answer has")
        except BadAnswer as error:
            print(f"bad answer: {error}", file=sys.stderr)
            self.abort()
            return
        if answer is None:
            self._buffer = bytearray(whole)
            return
        self._buffer.clear()
        self._on_answer(self, answer[0])

    def connection_lost(self, _exception: Exception | None) -> None:
        self.is_lost = True
        if self.due_s:
            self._on_answer(self, 0)


class _Run:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = list(prepare(job.request, job.requests_max))
        self._sent = 0
        self._under_way = 0
        self._statuses: Counter[int] = Counter()
        self._latencies_s: list[float] = []
        self._done = asyncio.Event()
        self._last_s = self._start_s = self._end_s = 0.0
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._waiting_max = 0
        #: Whether every request of the schedule was sent, or waits for a connection.
        self._is_planned = not job.rate

    async def run(self) -> Report:
        """Connect, send, wait for the last answers, report."""
        connections = await self._connect()
        used_s = time.process_time()
        self._start_s = time.perf_counter()
        self._end_s = self._start_s + self._job.seconds
        if self._job.rate:
            self._free.extend(connections)
            await self._follow_schedule()
            self._is_planned = True
        else:
            for connection in connections:
                self._next(connection)
        if self._under_way or self._due:
            timeout_s = self._end_s - time.perf_counter() + LAST_ANSWERS_TIMEOUT_S
            try:
                await asyncio.wait_for(self._done.wait(), timeout_s)
            except TimeoutError:
                print(f"{self._under_way} requests have no answer", file=sys.stderr)
        used_s = time.process_time() - used_s
        for connection in connections:
            connection.due_s = 0.0
            connection.abort()
        lost = self._statuses.pop(0, 0)
        return Report(
            sent=self._sent,
            seconds=max(self._last_s - self._start_s, 1e-9),
            statuses=dict(self._statuses),
            errors=lost + self._under_way + len(self._due),
            cpu_s=used_s,
            latency_ms=percentiles_ms(self._latencies_s),
            waiting_max=self._waiting_max,
        )

    async def _connect(self) -> list[_Connection]:
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(CONNECT_AT_ONCE_MAX)

        async def one() -> _Connection:
            async with slots:
                _, protocol = await asyncio.wait_for(
                    loop.create_connection(
                        lambda: _Connection(self._answered), LOOPBACK, self._job.request.port
                    ),
                    CONNECT_TIMEOUT_S,
                )
                return protocol

        return await asyncio.gather(*(one() for _ in range(self._job.connections)))

    def _answered(self, connection: _Connection, status: int) -> None:
        now_s = time.perf_counter()
        self._last_s = now_s
        self._under_way -= 1
        self._statuses[status] += 1
        if status:
            self._latencies_s.append(now_s - connection.due_s)
        connection.due_s = 0.0
        if not connection.is_lost:
            if self._due:
                self._send(connection, self._due.popleft())
            elif self._job.rate:
                self._free.append(connection)
            else:
                self._next(connection)
        if self._is_planned and not self._under_way and not self._due:
            self._done.set()

    def _next(self, connection: _Connection) -> None:
        """Send the next request of the closed loop, if there is one and it is not too late."""
        now_s = time.perf_counter()
        if self._sent < len(self._requests) and now_s < self._end_s:
            self._send(connection, now_s)

    def _send(self, connection: _Connection, due_s: float) -> None:
        request = self._requests[self._sent]
        self._sent += 1
        self._under_way += 1
        connection.send(request, due_s)

    async def _follow_schedule(self) -> None:
        """Send on a Poisson schedule: independent customers, as an on-sale has them."""
        choices = random.Random(self._job.seed)
        due_s = self._start_s
        planned = 0
        while planned < len(self._requests):
            due_s += choices.expovariate(self._job.rate)
            if due_s >= self._end_s:
                return
            while time.perf_counter() < due_s:  # noqa: ASYNC110  A schedule is followed by time.
                await asyncio.sleep(TICK_S)
            planned += 1
            while self._free and self._free[0].is_lost:
                self._free.popleft()
            if self._free:
                self._send(self._free.popleft(), due_s)
            else:
                self._due.append(due_s)
                self._waiting_max = max(self._waiting_max, len(self._due))


def main() -> None:
    """Read the job, run it, print the report."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_run(job))))


async def _run(job: Job) -> Report:
    return await _Run(job).run()


if __name__ == "__main__":
    main()
