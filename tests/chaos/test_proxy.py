"""`loadtests/chaos/proxy.py`: each trouble does what it says, and calm passes everything."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from loadtests.chaos.proxy import CALM, Proxy, Trouble

#: Generous: the machine may be loaded.
PATIENCE_S = 20.0
#: How long nothing must happen to count as nothing.
SILENCE_S = 0.3

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Proxy], Awaitable[Stream]]


class Echo:
    """A server that answers every line with itself, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client is gone."""
        try:
            while line := await reader.readline():
                self.heard.append(line)
                self.news.set()
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def hears(self, line: bytes) -> None:
        """Wait until it has heard *line*."""
        async with asyncio.timeout(PATIENCE_S):
            while line not in self.heard:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
def echo() -> Echo:
    """Return what the server behind the proxy heard."""
    return Echo()


@pytest.fixture(params=["unix", "tcp"])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path, echo: Echo) -> AsyncIterator[Proxy]:
    """Put a proxy before an echo, over either kind of socket."""
    if request.param == "unix":
        server = await asyncio.start_unix_server(echo.serve, path=str(tmp_path / "s"))
        proxy = Proxy(tmp_path / "p", tmp_path / "s")
    else:
        server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
        proxy = Proxy(("127.0.0.1", 0), server.sockets[0].getsockname()[:2])
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return what connects to a proxy as a client does."""
    writers = []

    async def connect(proxy: Proxy) -> Stream:
        if isinstance(proxy.listen, Path):
            stream = await asyncio.open_unix_connection(str(proxy.listen))
        else:
            stream = await asyncio.open_connection(*proxy.listen)
        writers.append(stream[1])
        return stream

    yield connect
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


async def ask(stream: Stream, line: bytes = b"hello\n") -> bytes:
    """Send a line and return the answer, empty if the link is broken."""
    stream[1].write(line)
    return await answer(stream)


async def answer(stream: Stream) -> bytes:
    """Return the next line that comes back, empty at the end."""
    try:
        return await asyncio.wait_for(stream[0].readline(), PATIENCE_S)
    except ConnectionError:
        return b""


async def is_silent(stream: Stream) -> bool:
    """Tell whether nothing comes back for a while."""
    try:
        await asyncio.wait_for(stream[0].read(1), SILENCE_S)
    except TimeoutError:
        return True
    return False


async def test_calm_passes_everything(connect: Connect, proxy: Proxy) -> None:
    """In calm, half a megabyte comes back as it was sent, and so does the end of the stream."""
    reader, writer = await connect(proxy)
    lines = [os.urandom(50_000).replace(b"\n", b"x") + b"\n" for _ in range(10)]
    sent = b"".join(lines)

    async def send() -> None:
        for line in lines:
            writer.write(line)
            await writer.drain()

    sending = asyncio.create_task(send())
    got = await asyncio.wait_for(reader.readexactly(len(sent)), PATIENCE_S)
    await sending
    writer.write_eof()
    rest = await asyncio.wait_for(reader.read(), PATIENCE_S)

    assert sent == got
    assert b"" == rest


async def test_delay_is_felt_in_its_direction(connect: Connect, proxy: Proxy) -> None:
    """A delayed answer is late by that much; in calm it comes again at once."""
    stream = await connect(proxy)
    proxy.trouble(reply=Trouble(delay_s=0.2))
    started_s = time.monotonic()
    got = await ask(stream)

    assert b"hello\n" == got
    assert time.monotonic() - started_s >= 0.2
    proxy.heal()
    assert b"again\n" == await ask(stream, b"again\n")


async def test_throttle_takes_its_time(connect: Connect, proxy: Proxy) -> None:
    """At 20 kB a second, 10 kB take at least half a second less one piece."""
    stream = await connect(proxy)
    proxy.trouble(request=Trouble(bytes_per_s=20_000))
    line = b"x" * 10_000 + b"\n"
    started_s = time.monotonic()

    assert line == await ask(stream, line)
    assert time.monotonic() - started_s >= 0.4


async def test_split_changes_nothing_but_the_pieces(connect: Connect, proxy: Proxy) -> None:
    """Cut into single bytes, a line arrives whole."""
    stream = await connect(proxy)
    proxy.trouble(request=Trouble(split_bytes=1), reply=Trouble(split_bytes=3))
    line = b"abcdefghij" * 20 + b"\n"

    assert line == await ask(stream, line)


async def test_black_hole_holds_and_delivers_late(
    connect: Connect, proxy: Proxy, echo: Echo
) -> None:
    """Nothing passes a black hole; when it is over, what was sent arrives, even from the dead."""
    stream = await connect(proxy)
    await ask(stream)
    proxy.trouble(request=Trouble(is_black_hole=True))
    stream[1].write(b"late\n")

    assert await is_silent(stream)
    assert b"late\n" not in echo.heard
    stream[1].close()
    proxy.heal()
    await echo.hears(b"late\n")


async def test_reply_is_swallowed(connect: Connect, proxy: Proxy, echo: Echo) -> None:
    """The request arrives and its reply does not; the link is never used again."""
    stream = await connect(proxy)
    proxy.trouble(reply=Trouble(is_swallowing=True))
    stream[1].write(b"lost\n")
    await echo.hears(b"lost\n")

    assert await is_silent(stream)
    proxy.heal()
    assert b"" == await answer(stream)
    assert b"hello\n" == await ask(await connect(proxy))


async def test_cut_after_bytes(connect: Connect, proxy: Proxy, echo: Echo) -> None:
    """The link breaks within the very byte, and new links get as many again."""
    proxy.trouble(request=Trouble(cut_after_bytes=8))
    for _ in range(2):
        stream = await connect(proxy)
        assert b"1234\n" == await ask(stream, b"1234\n")
        assert b"" == await ask(stream, b"5678\n")
    assert [b"1234\n", b"1234\n"] == [line for line in echo.heard if line.endswith(b"\n")][:2]
    assert b"5678\n" not in echo.heard


@pytest.mark.parametrize("delivers", [False, True])
async def test_cut_at_a_word(connect: Connect, proxy: Proxy, echo: Echo, delivers: bool) -> None:
    """The link breaks at the word, which arrives or not as told, as often as told."""
    proxy.trouble(request=Trouble(cut_at=b"COMMIT", cut_delivers=delivers), cuts=1)
    stream = await connect(proxy)

    assert b"BEGIN\n" == await ask(stream, b"BEGIN\n")
    assert b"" == await ask(stream, b"COMMIT 1\n")
    if delivers:
        await echo.hears(b"COMMIT 1\n")
    again = await connect(proxy)
    assert b"COMMIT 2\n" == await ask(again, b"COMMIT 2\n")
    assert delivers == (b"COMMIT 1\n" in echo.heard)


async def test_reset_breaks_links_and_spares_new_ones(connect: Connect, proxy: Proxy) -> None:
    """A reset ends what there is at once; the next connection is calm."""
    stream = await connect(proxy)
    await ask(stream)

    assert 1 == proxy.reset()
    assert b"" == await answer(stream)
    assert b"hello\n" == await ask(await connect(proxy))


async def test_refused(connect: Connect, proxy: Proxy) -> None:
    """A server that is away lets nobody in until it is back."""
    proxy.is_refusing = True
    assert b"" == await ask(await connect(proxy))
    proxy.heal()
    assert b"hello\n" == await ask(await connect(proxy))


async def test_trouble_is_for_those_it_names(connect: Connect, tmp_path: Path, echo: Echo) -> None:
    """Only links of the named process are in trouble."""
    server = await asyncio.start_unix_server(echo.serve, path=str(tmp_path / "s"))
    names = iter(["python -m api", "python -m persister"])
    proxy = Proxy(tmp_path / "p", tmp_path / "s", name_of=lambda _: next(names))
    await proxy.start()
    api = await connect(proxy)
    await ask(api)
    persister = await connect(proxy)
    await ask(persister)
    proxy.trouble(request=Trouble(who="-m api", is_black_hole=True))
    api[1].write(b"held\n")

    assert b"hello\n" == await ask(persister)
    assert await is_silent(api)
    assert 1 == proxy.reset("-m api")
    await proxy.stop()
    server.close()


async def test_held_bytes_are_bounded(connect: Connect, proxy: Proxy) -> None:
    """A black hole does not swallow a sender's megabytes: the sender has to wait."""
    _, writer = await connect(proxy)
    proxy.trouble(request=Trouble(is_black_hole=True))
    writer.write(b"x" * 64_000_000)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), SILENCE_S)


def test_calm_is_calm() -> None:
    """What is called calm changes nothing."""
    assert Trouble() == CALM
