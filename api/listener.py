"""
The door of a process: takes connections while it can hold them, and so many from each address.

A process may have only so many open files, and needs some for Redis, PostgreSQL and itself. Above
the rest nothing is accepted: callers wait in the kernel's queue, or with another process, until
a connection ends. An address that has as many connections as one may have is told so and let go,
but for proxies that speak for many, and for sockets that have no address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial

import structlog
from aiohttp import web

from api.lane import CLOSE, LaneRunner, LaneServer
from api.malformed import too_many_connections
from api.middleware import refuse
from engine.lasting import Lasting
from engine.outward import Network

log = structlog.get_logger()

#: The machine's own: a proxy beside the service, or who has the machine anyway.
LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
#: Connections taken in one go, so that those that are there are served meanwhile: while ten
#: thousand came, a request waited up to 280 ms with 64, and 100 ms with 8 (`make bench ONLY=P7`).
ACCEPTED_AT_ONCE = 8
#: How long those who are there may still say something when the process stops.
LAST_WORDS_S = 0.25
#: How long nothing is taken after the system had no room for one more.
PAUSE_S = 1.0
#: Of an IPv6 address, the part that is one customer's.
CUSTOMER_BITS = 64
#: Addresses whose form is remembered.
ADDRESSES_MAX = 16_384


def listening(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen on each address of *host*; other processes may do so as well."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return [
        socket.create_server(address[:2], family=family, backlog=backlog, reuse_port=True)
        for family, address in addresses
    ]


class Listener(web.BaseSite):
    """Takes connections for a runner."""

    def __init__(
        self,
        runner: LaneRunner,
        sockets: Sequence[socket.socket],
        *,
        connections_max: int,
        per_address_max: int = 0,
        apart: Iterable[Network] = (),
    ) -> None:
        """
        Args:
            connections_max: Connections that the process may have.

            per_address_max: Those that one address may have, and no more than half of all; 0: any
                number.

            apart: Networks that this does not bind.
        """
        super().__init__(runner)
        self.sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._connections_max = connections_max
        self._per_address_max = min(per_address_max, connections_max // 2)
        self._is_bound = per_address_max > 0
        self._apart = tuple(apart)
        self._open = 0
        self._by_address: dict[str, int] = {}
        self._is_taking = False
        self._trouble = Lasting()
        self._beginning: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Where it listens."""
        return ", ".join(str(one.getsockname()) for one in self.sockets)

    async def start(self) -> None:
        """Begin to take connections."""
        await super().start()
        for one in self.sockets:
            one.setblocking(False)
        self._resume()

    async def stop(self) -> None:
        """
        Take no more; what the kernel has taken for us already is served first.

        Who has connected a moment ago, or is about to send on a connection that was kept, is heard
        and answered.
        """
        for one in self.sockets:
            while self._is_taking and self._take(one):  # noqa: ASYNC110
                await asyncio.sleep(0)
        self._pause()
        for one in self.sockets:
            one.close()
        end_s = self._loop.time() + LAST_WORDS_S
        while self._open and self._loop.time() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(LAST_WORDS_S / 10)
        await super().stop()

    def _resume(self) -> None:
        if self._is_taking or any(one.fileno() < 0 for one in self.sockets):
            return
        self._is_taking = True
        for one in self.sockets:
            self._loop.add_reader(one, self._take, one)

    def _pause(self) -> None:
        if not self._is_taking:
            return
        self._is_taking = False
        for one in self.sockets:
            self._loop.remove_reader(one)

    def _take(self, listener: socket.socket) -> bool:
        """Take what waits, as far as there is room; tell whether more may wait."""
        for _ in range(ACCEPTED_AT_ONCE):
            if self._open >= self._connections_max:
                self._pause()  # Until one ends.
                return False
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:  # The system has no file or memory left.
                if self._trouble.is_news(repr(error)):
                    log.warning("accepting pauses", action="accept_paused", error=repr(error))
                self._pause()
                self._loop.call_later(PAUSE_S, self._resume)
                return False
            if self._trouble.end():
                log.info("accepting goes on", action="accept_goes_on")
            self._begin(connection, peer)
        return True

    def _begin(self, connection: socket.socket, peer: object) -> None:
        """Serve a connection, or let it go if its address has enough of them."""
        address = _address(peer[0]) if self._is_bound and isinstance(peer, tuple) else None
        key = ""
        if address is not None and not any(address in network for network in self._apart):
            key = _customer(address)
            number = self._by_address.get(key, 0)
            if number >= self._per_address_max:
                _let_go(connection, self._per_address_max)
                return
            self._by_address[key] = number + 1
        self._open += 1
        task = self._loop.create_task(self._serve(connection, partial(self._ended, key)))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _serve(self, connection: socket.socket, on_end: Callable[[], None]) -> None:
        server = self._runner.server
        try:
            if not isinstance(server, LaneServer):
                raise ConnectionAbortedError("stopped")
            lane = server()
            await self._loop.connect_accepted_socket(lambda: lane, connection)
        except Exception as error:  # noqa: BLE001  Whatever it is, the connection is not served.
            log.debug("connection ended", action="connection_ended", error=type(error).__name__)
            connection.close()
            on_end()
        else:
            lane.on_end(on_end)

    def _ended(self, key: str) -> None:
        """Forget a connection; there is room for one more."""
        self._open -= 1
        number = self._by_address.get(key, 0)
        if number > 1:
            self._by_address[key] = number - 1
        elif number:
            del self._by_address[key]
        if not self._is_taking and self._open < self._connections_max:
            self._resume()


@lru_cache(maxsize=ADDRESSES_MAX)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    # The same caller, at a socket that speaks both.
    return getattr(address, "ipv4_mapped", None) or address


def _customer(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return what stands for all addresses that one customer has."""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, CUSTOMER_BITS), strict=False))


def _let_go(connection: socket.socket, most: int) -> None:
    """Say why, if it can be said at once, and hang up."""
    connection.setblocking(False)
    try:
        connection.send(refuse(too_many_connections(most)).text(CLOSE))
    except OSError:
        pass
    finally:
        connection.close()
