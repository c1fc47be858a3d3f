"""What persister, coordinator and workers use of redis-py and of the wire, over links."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine import guard, porter
from engine.durability import Durability
from engine.guard import Facts
from tests.determinism.network import Link, Reply
from tests.determinism.redis_server import RedisServer, seq_of


class RedisClient:
    """A client; its connection is opened again when it broke, to whoever has the name then."""

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._link: Link | None = None
        self._replies: deque[Any] = deque()
        #: Judges the server of a new connection, and refuses it by an error; None: nobody does.
        self.greet: porter.Look | None = None

    async def open(self) -> Link:
        """Open a connection, which is greeted before it carries a command."""
        link = self._connect()
        if self.greet is not None:
            facts = await link.call("INFO", lambda reply: reply(_server(link).facts))
            try:
                self.greet(facts)
            except porter.ServerRefused:
                link.cut()
                raise
            link.facts = facts
        return link

    async def ask(self, *words: Any) -> Any:
        """Send one command, once."""
        what = " ".join(str(word) for word in words[:1] + words[3:6] if isinstance(word, str))
        return await self.do(what, lambda server, reply: server.serve(words, reply))

    async def do(self, what: str, serve: Callable[[RedisServer, Reply], None]) -> Any:
        """Have *serve* done at the server, at one moment."""
        link = await self.connect()
        return await link.call(what, lambda reply: serve(_server(link), reply))

    async def facts(self) -> Facts:
        """Ask the server who it is."""
        found: Facts = await self.do("INFO", lambda server, reply: reply(server.facts))
        return found

    async def ping(self) -> bool:
        """See redis-py."""
        return bool(await self.ask("PING"))

    async def aclose(self) -> None:
        """See redis-py."""

    @property
    def connection_pool(self) -> RedisClient:
        """See redis-py; the client is its own, of one connection."""
        return self

    async def get_connection(self) -> RedisClient:
        """See redis-py; the pool is its connection as well, which is open then."""
        await self.connect()
        return self

    async def release(self, _connection: RedisClient) -> None:
        """See redis-py."""

    async def connect(self) -> Link:
        """See redis-py; open it unless it is."""
        if self._link is None or self._link.is_cut:
            self._link = await self.open()
        return self._link

    async def disconnect(self, *, nowait: bool = False) -> None:
        """See redis-py."""
        assert nowait in {True, False}
        if self._link is not None:
            self._link.cut()

    @property
    def found(self) -> Facts | None:
        """What was found behind the connection when it was opened."""
        return None if self._link is None else self._link.facts

    def pack_commands(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """See redis-py."""
        return commands

    async def send_packed_command(self, commands: Sequence[tuple[Any, ...]]) -> None:
        """See redis-py; each at its own moment, but for a transaction, or what is waited for."""
        self._replies.clear()
        rest = list(commands)
        while rest:
            count = 1
            if rest[-1][0] == "WAIT":
                count = len(rest)
            elif rest[0] == ("MULTI",):
                count = rest.index(("EXEC",)) + 1
            self._replies += await self.ask("PIPELINE", *rest[:count])
            rest = rest[count:]

    async def read_response(self) -> Any:
        """See redis-py."""
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def hget(self, key: str, name: str) -> bytes | None:
        """See redis-py."""
        found: list[bytes | None] = await self.hmget(key, [name])
        return found[0]

    async def hmget(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """See redis-py."""
        found: list[bytes | None] = await self.ask("HMGET", key, names)
        return found

    async def hset(self, key: str, name: str, value: str) -> int:
        """See redis-py."""
        return int(await self.ask("HSET", key, name, value))

    async def exists(self, key: str) -> int:
        """See redis-py."""
        return int(await self.ask("EXISTS", key))

    async def unlink(self, *names: str) -> int:
        """See redis-py; for journals."""
        return int(await self.ask("UNLINK", *names))

    async def script_load(self, text: str) -> str:
        """See redis-py."""
        return str(await self.ask("SCRIPT LOAD", text))

    async def script_exists(self, *shas: str) -> list[bool]:
        """See redis-py."""
        found: list[bool] = await self.ask("SCRIPT EXISTS", *shas)
        return found

    async def eval(self, script: str, *words: Any) -> list[bytes]:
        """See redis-py; for `lua/recovery/claim.lua`."""
        found: list[bytes] = await self.ask("EVAL", "claim", *words)
        return found

    async def execute_command(self, *words: Any) -> Any:
        """See redis-py; for EVALSHA."""
        return await self.ask(*words)

    async def xrange(self, name: str, after: str, *, count: int) -> list[Any]:
        """See redis-py; *after* is an exclusive bound."""
        found: list[Any] = await self.ask("XRANGE", name, seq_of(after), count)
        return found

    async def xread(
        self, streams: Mapping[str, str], *, count: int, block: int | None
    ) -> list[Any]:
        """See redis-py; of one stream."""
        ((name, after),) = streams.items()
        found: list[Any] = await self.ask("XREAD", name, seq_of(after), count, block)
        return found

    def pipeline(self, *, transaction: bool) -> _Pipeline:
        """See redis-py; for reads, and for scripts to be loaded."""
        return _Pipeline(self)


class _Pipeline:
    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._calls: list[tuple[Any, ...]] = []
        self._texts: list[str] = []

    async def __aenter__(self) -> _Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def script_load(self, text: str) -> None:
        """See redis-py."""
        self._texts.append(text)

    def hmget(self, key: str, names: Sequence[str]) -> None:
        """See redis-py."""
        self._calls.append(("HMGET", key, names))

    def time(self) -> None:
        """See redis-py."""
        self._calls.append(("TIME",))

    async def execute(self) -> list[Any]:
        """See redis-py; reads at one moment, scripts one by one: a fault may strike in between."""
        for text in self._texts:
            await self._client.script_load(text)
        if not self._calls:
            return []
        found: list[Any] = await self._client.ask("PIPELINE", *self._calls)
        return found


class SimulatedWire:
    """
    The wire of a worker: one connection, which its callers open together.

    A call whose reply does not come ends the connection, and all that is under way on it.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None

    async def open(self) -> Link:
        """Open the connection unless it is, as `engine.wire.Wire.open` does."""
        if self._link is not None and not self._link.is_cut:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._client.open())
        self._link = await asyncio.shield(self._opening)
        return self._link

    def leave(self, is_home: Callable[[str, str], bool]) -> None:
        """Close the connection to another server, as `engine.wire.Wire.leave` does."""
        facts = None if self._link is None else self._link.facts
        if self._link is not None and facts and not is_home(facts.run_id, facts.replid):
            self._link.cut()

    def close(self) -> None:
        """See `engine.wire.Wire.close`."""
        if self._link is not None:
            self._link.cut()

    async def call(self, *words: Any) -> Any:
        """Send one command, once, as `engine.wire.Wire.call` does."""
        link = await self.open()
        return await link.call("EVALSHA", lambda reply: _server(link).serve(words, reply))


def post(client: RedisClient, *, level: Durability, look: porter.Look | None = None) -> None:
    """Put a porter before a client, as `engine.porter.post` does."""

    def greet(facts: Facts) -> None:
        porter.refuse(guard.judge(facts, level))
        if look is not None:
            look(facts)

    client.greet = greet


def found_behind(client: RedisClient) -> Facts | None:
    """Return what was found behind a connection, as `engine.porter.found_behind` does."""
    return client.found


def _server(link: Link) -> RedisServer:
    assert isinstance(link.server, RedisServer)
    return link.server
