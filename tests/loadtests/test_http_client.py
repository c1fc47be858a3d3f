"""The built-in load generator: what it reads, what it sends, what it calls a latency."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from loadtests.bench.http_client import BadAnswer, Request, parse, percentiles_ms, prepare
from loadtests.bench.load import follow_schedule, saturate, send_each_once, tools
from loadtests.server import LOOPBACK

BODY = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
HEAD = "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
TAIL = "\r\nContent-Length: 2\r\n\r\n{}"

Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (BODY, (201, len(BODY))),
        (BODY + b"HTTP/1.1 200", (201, len(BODY))),
        (BODY[:-1], None),
        (BODY[:40], None),
        (b"HTTP/1.1", None),
        (b"", None),
        (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", (204, 35 - 2)),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", (200, 37)),
    ],
)
def test_answers_are_cut_out(data: bytes, expected: tuple[int, int] | None) -> None:
    """An answer has a status and a length as soon as all of it is there, and not before."""
    assert expected == parse(data)


@pytest.mark.parametrize("cut", range(len(BODY)))
def test_no_answer_ends_early(cut: int) -> None:
    """However an answer is torn, its first part alone is none."""
    assert parse(BODY[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Content-Length: 5\r\n\r\n12345",
    ],
)
def test_what_is_not_understood_is_no_answer(data: bytes) -> None:
    """The client refuses what it cannot cut out, rather than count it."""
    with pytest.raises(BadAnswer):
        parse(data)


def test_requests_take_tokens_in_turn_and_keys_of_their_own(tmp_path: Path) -> None:
    """Number *n* has token *n* modulo their count and the key of its number."""
    (tmp_path / "tokens").write_text("a\nb\n")
    request = Request(
        port=1,
        before="<",
        between="|",
        key_prefix="k",
        after=">",
        first=3,
        tokens_path=str(tmp_path / "tokens"),
    )

    assert list(prepare(request, 3)) == [
        b"<b|k000000000003>",
        b"<a|k000000000004>",
        b"<b|k000000000005>",
    ]


def test_percentiles_are_values_of_their_rank() -> None:
    """Each is the value that its share of all do not exceed; of nothing it is 0."""
    found = percentiles_ms([number / 1000 for number in range(1_000, 0, -1)])

    assert {"p50": 500, "p90": 900, "p99": 990, "p999": 999, "max": 1000} == found
    assert {0.0} == set(percentiles_ms([]).values())


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """Serve *handler* on a port of its own."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def keyed(tmp_path: Path, port: int) -> Request:
    """Return requests with three tokens and keys."""
    (tmp_path / "tokens").write_text("a\nb\nc\n")
    return Request(
        port=port,
        before=HEAD,
        between="\r\nIdempotency-Key: ",
        key_prefix="key-",
        after=TAIL,
        tokens_path=str(tmp_path / "tokens"),
    )


async def test_each_request_is_sent_once(tmp_path: Path) -> None:
    """So many requests arrive as were ordered, each with its own key, and all are counted."""
    keys: list[str] = []
    tokens: set[str] = set()

    async def handler(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        tokens.add(request.headers["Authorization"])
        status = 201 if len(keys) % 2 else 409
        return web.Response(status=status, body=await request.read())

    async with serving(handler) as port:
        load = await send_each_once(keyed(tmp_path, port), count=500, connections=7)

    assert sorted(keys) == [f"key-{number:012d}" for number in range(500)]
    assert tokens == {"a", "b", "c"}
    assert load.statuses == {201: 250, 409: 250}
    assert (load.answered, load.succeeded, load.errors) == (500, 250, 0)


@pytest.mark.parametrize("tool", tools())
async def test_saturation_counts_what_arrives(tool: str, tmp_path: Path) -> None:
    """Neither generator repeats a key, and each counts as many answers as were given."""
    keys: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        return web.Response(status=201, body=await request.read())

    async with serving(handler) as port:
        load = await saturate(keyed(tmp_path, port), connections=4, seconds=1, tool=tool)

    assert load.tool == tool
    assert len(keys) == len(set(keys))
    assert load.answered <= len(keys) <= load.answered + (0 if load.is_exact else 4)
    assert load.succeeded == load.answered > 0
    assert load.cpu_s > 0


async def test_broken_connections_are_errors(tmp_path: Path) -> None:
    """A server that hangs up leaves a request without an answer, and it is counted as such."""

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(handler) as port:
        load = await send_each_once(keyed(tmp_path, port), count=50, connections=3)

    assert (load.answered, load.errors) == (0, 3)


async def test_the_open_loop_does_not_omit(tmp_path: Path) -> None:
    """
    A request that had to wait for a stalled server is late, although it was answered at once.

    One connection, twenty requests due at nearly the same time, 20 ms each: the last one's wait
    is theirs together. A closed loop would report 20 ms for each.
    """

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(body=await request.read())

    async with serving(handler) as port:
        load = await follow_schedule(
            keyed(tmp_path, port), connections=1, seconds=0.05, rate=1_000, seed=1
        )

    assert load.errors == 0
    assert load.answered >= 20
    assert load.latency_ms["max"] >= 20 * load.answered - 55
    assert load.waiting_max > 0
