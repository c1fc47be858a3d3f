"""
Servers that are of no use, die again and again, or take long to start: all is well again by itself.

Real servers under a real supervisor. Nothing is judged by how long it takes; waits are bounded only
so that a failure ends.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis
from structlog.testing import capture_logs

from evently import keeping
from evently.embedded import PostgresServer, ServerError, ValkeyServer
from evently.embedded import server as servers
from evently.embedded.process import children_of, is_alive
from evently.embedded.server import Server
from evently.patience import BACKOFF_FIRST_S
from tests.checks import eventually
from tests.evently.supervising import actions, is_back, pid_of, supervised


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask servers often, and believe their silence soon."""
    monkeypatch.setattr(keeping, "ASK_INTERVAL_S", 0.05)
    monkeypatch.setattr(keeping, "SILENCES_MAX", 3)
    monkeypatch.setattr(servers, "ASK_TIMEOUT_S", 0.2)


async def test_f51_postgres_that_lets_nobody_in(folder: Path, quick: None) -> None:
    """F51: a PostgreSQL that waits for its clients to go ("smart") is ended and started again."""
    server = PostgresServer(folder, password="secret")
    async with supervised(server):
        old = await asyncpg.connect(server.url)
        first = pid_of(server)
        os.kill(first, signal.SIGTERM)

        assert await is_back(server, before=first)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await old.fetchval("SELECT 1")
        new = await asyncpg.connect(server.url)
        assert 1 == await new.fetchval("SELECT 1")
        await new.close()


@pytest.mark.parametrize("make", [ValkeyServer, PostgresServer])
async def test_f51_server_that_says_nothing(
    make: Callable[[Path], Server], folder: Path, quick: None
) -> None:
    """F51: a server that no new connection hears anything of is killed and started again."""
    server = make(folder)
    async with supervised(server):
        first = pid_of(server)
        os.kill(first, signal.SIGSTOP)
        assert await is_back(server, before=first)


async def test_f51_what_a_postgres_says(folder: Path) -> None:
    """F51: taking and ending are told apart, whatever the old connections hear."""
    server = PostgresServer(folder, password="secret")
    server.start()
    try:
        assert "takes" == await server.ask()
        old = await asyncpg.connect(server.url)
        os.kill(pid_of(server), signal.SIGTERM)
        while (heard := await server.ask()) == "takes":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert ("ending", 1) == (heard, await old.fetchval("SELECT 1"))
        await old.close()
        assert await eventually(lambda: not server.is_running)
        assert "silent" == await server.ask()
    finally:
        server.stop()


FULL = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0"
STARTING = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (PostgresServer, b"E" + (len(FULL) + 4).to_bytes(4, "big") + FULL),
        (PostgresServer, b"E" + (len(STARTING) + 4).to_bytes(4, "big") + STARTING),
        (PostgresServer, b"Ecould not fork new process for connection: no memory\n\0"),
        (ValkeyServer, b"-LOADING Valkey is loading the dataset in memory\r\n"),
        (ValkeyServer, b"-BUSY Valkey is busy running a script.\r\n"),
        (ValkeyServer, b"-ERR max number of clients reached\r\n"),
    ],
    ids=["full", "starting", "no process", "loading", "busy", "as many as it may"],
)
async def test_f51_what_passes_is_no_end(
    make: Callable[[Path], Server], answer: bytes, folder: Path
) -> None:
    """F51: a server that cannot take a connection just now is left alone."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = make(folder)
    listening = await asyncio.start_unix_server(reply, folder / "socket")
    async with listening:
        server._address = lambda: folder / "socket"  # type: ignore[method-assign]
        assert "busy" == await server.ask()


async def test_f51_who_cannot_ask_blames_nobody(folder: Path) -> None:
    """F51: a supervisor without descriptors does not take the server's silence for its end."""
    server = ValkeyServer(folder / "redis")
    server.start()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert "takes" == await server.ask()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        assert ("unasked", True) == (await server.ask(), server.has_data)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        server.stop()


async def test_f52_a_server_is_back_soon_however_often_it_dies(folder: Path) -> None:
    """F52: the fifth death costs no more than the first, of a server that was well in between."""
    server = ValkeyServer(folder / "redis")
    with capture_logs() as lines:
        async with supervised(server):
            for _ in range(5):
                first = pid_of(server)
                await asyncio.sleep(keeping.WELL_AFTER_S)
                os.kill(first, signal.SIGKILL)
                assert await is_back(server, before=first)
                assert await eventually(lambda: actions(lines)[-1] == "server_restarted")
    waits = [line["restart_in_s"] for line in lines if line["action"] == "server_died"]
    assert [BACKOFF_FIRST_S] * 5 == waits


async def test_f52_a_rewrite_of_its_log_holds_nobody_up(folder: Path) -> None:
    """F52: the child of a killed Valkey, which writes its log anew and has its lock, ends too."""
    server = ValkeyServer(folder / "redis")
    async with supervised(server):
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "kept")
            client.config_set("rdb-key-save-delay", 10_000_000)
            first = pid_of(server)
            client.bgrewriteaof()
            assert await eventually(lambda: bool(children_of(first)))
        [child] = children_of(first)
        os.kill(first, signal.SIGKILL)

        assert await is_back(server, before=first)
        assert not is_alive(child)
        with redis.Redis.from_url(server.url) as client:
            assert b"kept" == client.get("key")


class Slow(ValkeyServer):
    """A Valkey that reads its log for a while before it answers, or says nothing."""

    says: servers.Hears = "busy"
    left = 200

    def _probe(self) -> servers.Hears:
        self.left -= 1
        return self.says if self.left > 0 else super()._probe()


def test_f54_a_long_log_is_waited_for(folder: Path) -> None:
    """F54: a server that says that it reads its log is waited for, however long that takes."""
    server = Slow(folder / "redis")
    try:
        server.start(ready_timeout_s=0.5)
        assert server.left <= 0
    finally:
        server.stop()


def test_f54_silence_is_not_waited_for(folder: Path) -> None:
    """F54: a server that says nothing while it starts is killed when its time is over."""
    server = Slow(folder / "redis")
    server.says = "silent"
    server.left = 10**9
    with pytest.raises(ServerError, match="did not answer within"):
        server.start(ready_timeout_s=0.05)
    assert not server.is_running
