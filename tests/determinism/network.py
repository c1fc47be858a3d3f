"""
What lies between processes and servers: links that carry calls in order, late, or not at all.

Every call to a server passes `Network.call`; there a fault may strike, so that every effect of
every process is a place to crash at. A call has its effect at one moment between being sent and
being answered. Who is cut off cannot tell whether it had.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from tests.determinism.loop import Process, VirtualLoop

#: How long a call is under way in one direction, in virtual seconds.
TRIP_S = 0.002
#: How late a call may have its effect after its caller was cut off.
LATE_S = 1.5

Reply = Callable[[Any], None]


class Server(Protocol):
    """Something at the other end."""

    is_up: bool
    #: Which life it is in: a call that was sent in an earlier one has no effect.
    life: int
    links: dict[Link, None]

    def lost(self, what: str) -> Exception:
        """Return what a client gets whose connection broke or did not come about."""

    def hang_up(self, link: Link) -> None:
        """Take note that a client is gone."""


class Link:
    """One connection of one process; calls on it are served in order."""

    def __init__(self, network: Network, process: Process, server: Server) -> None:
        self.network, self.process, self.server = network, process, server
        self.life = server.life
        self.is_cut = False
        #: What its caller has found behind it.
        self.facts: Any = None
        self._pending: dict[asyncio.Future[Any], None] = {}
        self.served_until_s = 0.0
        self.answered_until_s = 0.0
        server.links[self] = None
        network.links_of.setdefault(process, {})[self] = None

    async def call(self, what: str, serve: Callable[[Reply], None]) -> Any:
        """
        Have *serve* executed by the server; return what it replies, raise it if it is an error.

        Raises:
            CancelledError: the process was killed.
        """
        return await self.network.call(self, what, serve)

    def cut(self, *, hangs_up_after_s: float = 0.0) -> None:
        """End it: all calls under way fail, though some may yet have their effect."""
        if self.is_cut:
            return
        self.is_cut = True
        for future in list(self._pending):
            if not future.done():
                future.set_exception(self.server.lost("the connection broke"))
        self.server.links.pop(self, None)
        self.network.links_of[self.process].pop(self, None)
        loop = self.network.loop
        moment_s = max(loop.time(), self.served_until_s) + hangs_up_after_s
        loop.call_at(moment_s, self.server.hang_up, self, context=Context())


class Network:
    """Carries all calls of one history."""

    def __init__(
        self, loop: VirtualLoop, rng: random.Random, strike: Callable[[Link, str], str]
    ) -> None:
        """
        Args:
            rng: Says how long things take.

            strike: Called before each call with its link and its name; returns what becomes of
                it: empty, `drop request`, `drop reply` or `late`. May kill and restart things.
        """
        self.loop, self.rng, self._strike = loop, rng, strike
        self.links_of: dict[Process, dict[Link, None]] = {}
        #: (a process or all of a role, server) -> until when they do not reach each other.
        self._apart: dict[tuple[str, Server], float] = {}

    def kill(self, process: Process) -> None:
        """Kill a process; servers notice when what it had sent is served."""
        process.kill()
        for link in list(self.links_of.get(process, ())):
            link.cut()

    def part(self, who: str, server: Server, until_s: float) -> None:
        """Let a process, or all of a role, not reach a server until then."""
        self._apart[who, server] = max(until_s, self._apart.get((who, server), 0.0))
        for process, links in list(self.links_of.items()):
            for link in list(links):
                if link.server is server and self.is_apart(process, server):
                    link.cut()

    def is_apart(self, process: Process, server: Server) -> bool:
        """Tell whether a process does not reach a server."""
        names = (process.name, process.role)
        return any(self._apart.get((who, server), 0.0) > self.loop.time() for who in names)

    def join(self) -> None:
        """Let everybody reach everything again."""
        self._apart.clear()

    async def call(self, link: Link, what: str, serve: Callable[[Reply], None]) -> Any:
        """See `Link.call`."""
        process, server, loop = link.process, link.server, self.loop
        if not process.is_alive:
            raise asyncio.CancelledError
        if link.is_cut or not server.is_up or self.is_apart(process, server):
            await asyncio.sleep(TRIP_S)
            raise server.lost("no connection")
        fate = self._strike(link, what)
        if not process.is_alive:
            raise asyncio.CancelledError
        if link.is_cut or fate == "drop request":
            link.cut(hangs_up_after_s=self.rng.random() * LATE_S)
            raise server.lost("the connection broke")
        future: asyncio.Future[Any] = loop.create_future()
        link._pending[future] = None
        trip_s = self.rng.random() * (LATE_S if fate == "late" else TRIP_S)
        link.served_until_s = max(link.served_until_s, loop.time() + trip_s)

        def reply(value: Any) -> None:
            if fate == "drop reply":
                link.cut(hangs_up_after_s=self.rng.random() * LATE_S)
                return
            link.answered_until_s = max(
                link.answered_until_s, loop.time() + self.rng.random() * TRIP_S
            )
            loop.call_at(link.answered_until_s, _settle, future, value, context=Context())

        loop.call_at(link.served_until_s, self._serve, link, serve, reply, context=Context())
        if fate == "late":
            loop.call_later(TRIP_S / 2, link.cut, context=Context())
        try:
            return await future
        finally:
            link._pending.pop(future, None)

    @staticmethod
    def _serve(link: Link, serve: Callable[[Reply], None], reply: Reply) -> None:
        if link.server.is_up and link.server.life == link.life:
            serve(reply)


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if future.done():
        return
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)
