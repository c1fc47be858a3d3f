"""What a server says that is not the shard's, or says nothing at all: no false outcome (F59)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

import hiredis
import pytest

from engine.door import Reign
from engine.engine import Engine
from engine.errors import EngineError, OutcomeUnknown, ShardRecovering, ShardUnavailable
from engine.guard import SETTINGS
from engine.redis_client import connect
from engine.scripts import NAMES
from evently.ports import free_port
from tests.checks import users
from tests.conftest import TIMEOUT_MS, start_engine
from tests.engine.conftest import order

SHARD, EVENT = 7, "evt_" + "0" * 26
REIGN = Reign(shard=SHARD, epoch=3, script_shas=dict.fromkeys(NAMES, "0" * 40))
#: What a server has to say for the porter to let it in.
INFO = {
    "server": "server_name:valkey\r\nvalkey_version:9.1.2\r\nrun_id:r\r\n",
    "replication": "role:master\r\nmaster_replid:h\r\n",
}
CONFIG = dict.fromkeys(SETTINGS, "1") | {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    "propagation-error-behavior": "panic",
    "enable-debug-command": "no",
}
CLUSTER = [
    "MOVED 3999 127.0.0.1:6381",
    "ASK 3999 127.0.0.1:6381",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN Hash slot not served",
]


@dataclass
class Server:
    """Speaks RESP as a Redis does, and replies to commands about keys what it is told."""

    error: str = ""
    #: Names of the commands about keys that came.
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen until left."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        try:
            while piece := await reader.read(65_536):
                commands.feed(piece)
                while (words := commands.gets()) is not False:
                    writer.write(self._reply([word.decode() for word in words]))
        finally:
            writer.close()

    def _reply(self, words: list[str]) -> bytes:
        match [word.upper() for word in words[:2]]:
            case ["INFO", _]:
                return bulk(INFO[words[1]])
            case ["CONFIG", _]:
                flat = [word for name in words[2:] for word in (name, CONFIG[name])]
                return f"*{len(flat)}\r\n".encode() + b"".join(map(bulk, flat))
            case ["CLIENT", _]:
                return b"+OK\r\n"
        self.asked.append(words[0].upper())
        return f"-{self.error}\r\n".encode()


def bulk(text: str) -> bytes:
    """Write a bulk string."""
    return f"${len(text)}\r\n{text}\r\n".encode()


@contextlib.asynccontextmanager
async def engine_at(port: int) -> AsyncIterator[Engine]:
    """Run an engine whose door is open, and whose server is at a port."""
    client = connect(f"redis://127.0.0.1:{port}", timeout_ms=TIMEOUT_MS)
    engine = await start_engine(client, REIGN)
    yield engine
    await engine.stop(timeout_s=5)


@pytest.mark.parametrize("error", CLUSTER, ids=lambda text: text.split()[0])
@pytest.mark.parametrize("what", ["script", "read"])
async def test_f59_cluster_errors_shut_the_door(error: str, what: str) -> None:
    """F59, I17: who is told that the slot is elsewhere, on its way or nowhere, sells no more."""
    server = Server(error)
    async with server.serving(), engine_at(server.port) as engine:
        asked: Awaitable[Any] = (
            engine.book(SHARD, order(EVENT, users(1)[0]))
            if what == "script"
            else engine.read_hold(SHARD, EVENT, "hold")
        )
        with pytest.raises(ShardRecovering):
            await asked
        assert ["EVALSHA" if what == "script" else "HMGET"] == server.asked
        assert not engine.is_open
        with pytest.raises(ShardRecovering):
            await engine.book(SHARD, order(EVENT, users(1)[0]))
        assert 1 == len(server.asked)


async def test_f59_refused_connection_is_no_unknown_outcome() -> None:
    """F59: where nobody listens nothing was sent, whatever was asked; later it is."""
    server = Server("ERR not a Redis", port=free_port())
    async with engine_at(server.port) as engine:
        questions: list[Any] = [
            lambda: engine.book(SHARD, order(EVENT, users(1)[0])),
            lambda: engine.availability(SHARD, EVENT),
            lambda: engine.read_hold(SHARD, EVENT, "hold"),
            lambda: engine.last(SHARD),
        ]
        for ask in questions:
            with pytest.raises(ShardUnavailable) as caught:
                await ask()
            assert not isinstance(caught.value, ShardRecovering)
            assert "nothing was" in str(caught.value)
        assert not await engine.shards[SHARD].is_heard()
        assert engine.is_open
        async with server.serving():
            with pytest.raises(EngineError) as failed:
                await engine.book(SHARD, order(EVENT, users(1)[0]))
            assert not isinstance(failed.value, ShardUnavailable | OutcomeUnknown)
            assert ["EVALSHA"] == server.asked
