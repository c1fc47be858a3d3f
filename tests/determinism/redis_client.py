"""What persister, coordinator and workers use of redis-py and of the wire, over links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.guard import Facts
from tests.determinism.network import Link, Reply
from tests.determinism.redis_server import RedisServer, seq_of


class RedisClient:
    """A client; its connection is opened again when it broke."""

    def __init__(self, connect: Callable[[], Link], server: RedisServer) -> None:
        self._connect, self._server = connect, server
        self._link: Link | None = None

    async def ask(self, *words: Any) -> Any:
        """Send one command, once."""
        what = " ".join(str(word) for word in words[:1] + words[3:6] if isinstance(word, str))
        return await self.do(what, lambda server, reply: server.serve(words, reply))

    async def do(self, what: str, serve: Callable[[RedisServer, Reply], None]) -> Any:
        """Have *serve* done at the server, at one moment."""
        if self._link is None or self._link.is_cut:
            self._link = self._connect()
        return await self._link.call(what, lambda reply: serve(self._server, reply))

    async def facts(self) -> Facts:
        """Ask the server who it is."""
        found: Facts = await self.do("INFO", lambda server, reply: reply(server.facts))
        return found

    async def aclose(self) -> None:
        """See redis-py."""

    @property
    def connection_pool(self) -> RedisClient:
        """See redis-py; the client is its own, of one connection."""
        return self

    async def disconnect(self) -> None:
        """See redis-py."""
        if self._link is not None:
            self._link.cut()

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
    The wire of a worker: a connection that is greeted before it carries a command.

    A call whose reply does not come ends the connection, and all that is under way on it.
    """

    def __init__(self, connect: Callable[[], Link], server: RedisServer) -> None:
        self._connect, self._server = connect, server
        self._link: Link | None = None
        #: Shows the server to the shard; set once that is there.
        self.look: Callable[[Facts], Exception | None] = lambda _facts: None

    def leave(self, is_home: Callable[[str, str], bool]) -> None:
        """Close the connection to another server, as `engine.wire.Wire.leave` does."""
        facts = self._server.facts
        if self._link is not None and not is_home(facts.run_id, facts.replid):
            self._link.cut()

    async def open(self) -> None:
        """Do nothing: `call` opens; what it raises is taken for unknown then, which is no worse."""

    async def call(self, *words: Any) -> Any:
        """Send one command, once, as `engine.wire.Wire.call` does."""
        if self._link is None or self._link.is_cut:
            link = self._connect()
            facts = await link.call("INFO", lambda reply: reply(self._server.facts))
            refusal = self.look(facts)
            if refusal is not None:
                link.cut()
                raise refusal
            self._link = link
        return await self._link.call("EVALSHA", lambda reply: self._server.serve(words, reply))
