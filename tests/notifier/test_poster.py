"""Posts to servers that people named: none of them reaches ours (S16), and all is bounded."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from engine.outward import Outside, networks
from evently.ports import free_port
from notifier.poster import ANSWER_BYTES_MAX, RETRY_AFTER_MS_MAX, Poster, Reply, retry_after_ms
from tests.notifier import authority

OWN = Outside(also=networks("127.0.0.0/8"))
#: Nobody has it: only its being asked counts.
PUBLIC = "93.184.216.34"


class Names(AbstractResolver):
    """A name server whose answers change: each look-up takes the next, and the last goes on."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Say what a name leads to now."""
        del family
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in found
        ]

    async def close(self) -> None:
        """Do nothing."""


class Canary:
    """A server within, which nobody may reach; it can be told what to answer."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.seen: list[web.BaseRequest] = []
        self.answer: dict[str, Any] = {}
        self.pause_s = 0.0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Note who came."""
        self.hits.append(request.path)
        self.seen.append(request)
        await request.read()
        await asyncio.sleep(self.pause_s)
        return web.Response(**({"status": 201} | self.answer))


@pytest.fixture
def canary() -> Canary:
    """Make what counts."""
    return Canary()


@pytest.fixture
async def inner(canary: Canary) -> AsyncIterator[TestServer]:
    """Run it."""
    server = _application(canary)
    await server.start_server()
    yield server
    await server.close()


def _application(canary: Canary) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", canary.handle)
    return TestServer(app, host="127.0.0.1")


async def ask(
    url: str,
    outside: Outside = OWN,
    *,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 20,
) -> Reply:
    """Post to a URL."""
    async with Poster(
        outside, timeout_s=timeout_s, at_once_max=2, resolver=resolver, tls=tls
    ) as poster:
        return await poster.post(url, b"hello", {"TTL": "60"})


async def test_posted(inner: TestServer, canary: Canary) -> None:
    """What may be asked is posted to as it is written, with our headers and no others' cookies."""
    canary.answer = {"status": 201, "headers": {"Retry-After": "7", "Set-Cookie": "a=b"}}
    async with Poster(OWN, timeout_s=20, at_once_max=2) as poster:
        for _ in range(2):
            reply = await poster.post(f"http://127.0.0.1:{inner.port}/a%2Fb?c", b"x", {"TTL": "60"})
            assert (201, "HTTP 201", 7_000) == reply[:3]
    first, second = canary.seen
    assert ["/a%2Fb?c"] * 2 == [one.raw_path for one in (first, second)]
    assert ("60", "identity") == (second.headers["TTL"], second.headers["Accept-Encoding"])
    assert "Cookie" not in second.headers


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{}/",
        "https://127.0.0.1:{}/",
        "http://localhost:{}/",
        "http://2130706433:{}/",
    ],
)
async def test_s16_inner_urls(inner: TestServer, canary: Canary, url: str) -> None:
    """A URL that leads inside is not asked, even if it stands in the table already."""
    reply = await ask(url.format(inner.port), Outside())
    assert (0, True, []) == (reply.status, reply.is_inside, canary.hits)


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
)
async def test_s16_names_that_lead_inside(found: list[str]) -> None:
    """A name that leads inside is not connected to, nor if another of its addresses does not."""
    names = Names(found)
    reply = await ask("https://receiver.example/", Outside(), resolver=names)
    assert (True, 1) == (reply.is_inside, names.asked)


async def test_s16_names_that_change(tmp_path: Path, canary: Canary) -> None:
    """
    The address that was judged is the one that is connected to: there is no second look-up.

    A name that was public when it was named and leads inside afterwards is not connected to.
    """
    names = Names([PUBLIC], ["127.0.0.1"])
    outside = Outside()
    outside.check("https://receiver.example/")
    await names.resolve("receiver.example")
    assert (await ask("https://receiver.example/", outside, resolver=names)).is_inside
    # And the other way round: what is looked up once is not looked up again to connect.
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    made = authority.make(tmp_path, "receiver.example")
    server = _application(canary)
    await server.start_server(ssl=made.served)
    outside = Outside(also=networks("127.0.0.0/8,10.0.0.0/8"))
    async with Poster(
        outside,
        timeout_s=20,
        at_once_max=2,
        resolver=_At(names, server.port or 0),
        tls=made.believed,
    ) as poster:
        assert 201 == (await poster.post("https://receiver.example/", b"", {})).status
    assert 1 == names.asked
    # TLS proves the name of the URL, whatever address it led to.
    other = _At(Names(["127.0.0.1"]), server.port or 0)
    reply = await ask("https://other.example/", outside, resolver=other, tls=made.believed)
    assert (0, "its certificate is not good") == reply[:2]
    await server.close()


class _At(Names):
    """A name server that says the port as well, since nobody in a test may have 443."""

    def __init__(self, names: Names, port: int) -> None:
        super().__init__()
        self._names, self._port = names, port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Say what a name leads to now, and where a test's server listens."""
        found = await self._names.resolve(host, port, family)
        return [ResolveResult(**(one | {"port": self._port})) for one in found]


async def test_s16_the_socket_judges() -> None:
    """Whatever way leads to it, the socket of an inner address is not made."""
    poster = Poster(Outside(), timeout_s=1, at_once_max=1)
    for family, place in (
        (socket.AF_INET, ("127.0.0.1", 6379)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 6379, 0, 0)),
    ):
        with pytest.raises(OSError, match="it leads inside"):
            poster._socket((family, socket.SOCK_STREAM, 6, "", place))
    poster._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 443))).close()


async def test_s16_redirects(inner: TestServer, canary: Canary) -> None:
    """A redirect is an answer like another, and is not followed."""
    for status in (301, 302, 303, 307, 308):
        target = f"http://127.0.0.1:{inner.port}/inside"
        canary.answer = {"status": status, "headers": {"Location": target}}
        assert status == (await ask(f"http://127.0.0.1:{inner.port}/")).status
    assert ["/"] * 5 == canary.hits


async def test_s16_no_proxy(
    inner: TestServer, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is not used: it would look names up for us."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{inner.port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{inner.port}")
    names = Names(["127.0.0.1"])
    assert (await ask("https://receiver.example/", Outside(), resolver=names)).is_inside
    assert [] == canary.hits


async def test_long_answers(inner: TestServer, canary: Canary) -> None:
    """Of an answer that is too long, or packed, the beginning is read; its status counts."""
    canary.answer = {"status": 500, "body": b"x" * (50 * ANSWER_BYTES_MAX)}
    assert 500 == (await ask(f"http://127.0.0.1:{inner.port}/")).status
    canary.answer = {"headers": {"Content-Encoding": "gzip"}, "body": b"no gzip at all"}
    assert 201 == (await ask(f"http://127.0.0.1:{inner.port}/")).status


async def test_no_answer(inner: TestServer, canary: Canary) -> None:
    """What gives no whole answer in time ends all the same, and it is told if it was sent."""
    reply = await ask(f"http://127.0.0.1:{free_port()}/")
    assert (0, "no connection", False) == (reply.status, reply.reason, reply.is_unknown)
    canary.pause_s = 30
    reply = await ask(f"http://127.0.0.1:{inner.port}/", timeout_s=0.2)
    assert (0, "timeout", True) == (reply.status, reply.reason, reply.is_unknown)


async def test_no_http() -> None:
    """A server that speaks something else, or hangs up, gives no whole answer."""
    words = [b"-ERR unknown command\r\n", b""]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"hello")
        writer.write(words.pop(0))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _ in range(2):
        reply = await ask(f"http://127.0.0.1:{port}/")
        assert (0, "no whole answer", True) == (reply.status, reply.reason, reply.is_unknown)
    server.close()


def test_waits() -> None:
    """`Retry-After` is read as seconds and as a date, and is bounded."""
    assert [120_000, 0, None, None] == [retry_after_ms(one) for one in ("120", "0", "", "soon")]
    assert RETRY_AFTER_MS_MAX == retry_after_ms("9" * 30)
    assert None is retry_after_ms("-5")
    assert None is retry_after_ms("²")
    now = dt.datetime.now(dt.UTC)
    assert 0 == retry_after_ms(format_datetime(now - dt.timedelta(hours=1), usegmt=True))
    later = retry_after_ms(format_datetime(now + dt.timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3_000_000 < later <= 3_600_000
