"""
Fault proxy (rig R4): stands between a client and a server and makes the network misbehave.

Owns the links that pass through it and the troubles of each direction, switchable while they run:
delay, throttle, split, black hole, cut after so many bytes, cut around a word, swallowed replies,
resets, refused connections. Guarantees: bytes keep their order, none is made up, and what is held
is bounded; a link that has lost bytes is never used again. Unix sockets and loopback alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Bytes read at once; a direction holds one such piece and what the kernel and asyncio buffer.
CHUNK_BYTES_MAX = 65_536
CONNECT_TIMEOUT_S = 5.0
#: How often a held piece looks whether it may go on, in seconds.
LOOK_INTERVAL_S = 0.01
_PEER = struct.Struct("3i")

#: A path of a unix socket, or host and port.
Address = Path | tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What befalls one direction of the links that it is meant for."""

    #: Part of the name of whoever opened the link, such as `-m api`; empty for all.
    who: str = ""
    #: Time that every piece waits, in seconds.
    delay_s: float = 0.0
    #: Speed; 0 for no limit.
    bytes_per_s: int = 0
    #: Size of the pieces that are passed on; 0 for as they come.
    split_bytes: int = 0
    #: Nothing passes, not even the end of the stream, until this trouble is over.
    is_black_hole: bool = False
    #: Bytes vanish, and the link with them when this trouble is over: a reply that is lost.
    is_swallowing: bool = False
    #: Bytes of each link that still pass; then it is reset.
    cut_after_bytes: int | None = None
    #: A word in the stream that resets the link; empty for none.
    cut_at: bytes = b""
    #: Whether the piece with the word is still delivered before the reset.
    cut_delivers: bool = False


CALM = Trouble()


class Link:
    """One connection through the proxy."""

    def __init__(self, who: str, client: asyncio.StreamWriter) -> None:
        self.who = who
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        #: Directions that have lost bytes: they must not carry any more.
        self.torn: set[str] = set()
        #: Bytes passed since a trouble that counts them began, by direction.
        self.passed_bytes = {"request": 0, "reply": 0}

    def reset(self) -> None:
        """Break it off at once, with RST where the transport has such a thing."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            with contextlib.suppress(OSError):
                own = writer.get_extra_info("socket")
                if own is not None and own.family != socket.AF_UNIX:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Listens at one address and connects to another, in calm or in trouble."""

    def __init__(
        self, listen: Address, target: Address, *, name_of: Callable[[int], str] | None = None
    ) -> None:
        """
        Args:
            listen: Where clients come to; a port of 0 picks a free one.

            target: Where the server is.

            name_of: Turns the process id of a client on a unix socket into a name for `who`.
        """
        self.listen = listen
        self.target = target
        self.links: set[Link] = set()
        #: Cuts at a word that are still to be made; each link may make several.
        self.cuts_left = 0
        self.is_refusing = False
        self._name_of = name_of or command_of
        self._troubles = {"request": CALM, "reply": CALM}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; again, if the address was taken over by another meanwhile."""
        if self._server is not None:
            self._server.close()
        if isinstance(self.listen, Path):
            # Bound beside and moved into place: whoever looks finds a socket that listens.
            beside = self.listen.with_name(self.listen.name + "~")
            beside.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, path=str(beside))
            beside.rename(self.listen)
            return
        host, port = self.listen
        self._server = await asyncio.start_server(self._accept, host, port)
        self.listen = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Stop listening and break off every link."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def trouble(self, *, request: Trouble = CALM, reply: Trouble = CALM, cuts: int = 0) -> None:
        """
        Switch to these troubles, for links there are and links to come.

        Args:
            request: What befalls bytes on their way to the server.

            reply: What befalls bytes on their way back.

            cuts: How often `cut_at` may strike.
        """
        self._troubles = {"request": request, "reply": reply}
        self.cuts_left = cuts
        for link in self.links:
            link.passed_bytes = dict.fromkeys(link.passed_bytes, 0)

    def heal(self) -> None:
        """Be calm again; links that have lost bytes are broken off."""
        self.trouble()
        self.is_refusing = False
        for link in list(self.links):
            if link.torn:
                link.reset()

    def reset(self, who: str = "") -> int:
        """Break off the links of those whose name has *who* in it; return how many."""
        found = [link for link in self.links if who in link.who]
        for link in found:
            link.reset()
        return len(found)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self._who(writer), writer)
        self.links.add(link)
        try:
            await self._carry(link, reader)
        except (OSError, TimeoutError):
            pass  # Either side is gone: so is the link.
        finally:
            link.reset()
            self.links.discard(link)

    async def _carry(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self.is_refusing:
            return
        if isinstance(self.target, Path):
            opening = asyncio.open_unix_connection(str(self.target))
        else:
            opening = asyncio.open_connection(*self.target)
        server_reader, server = await asyncio.wait_for(opening, CONNECT_TIMEOUT_S)
        link.server = server
        for writer in (link.client, server):
            own = writer.get_extra_info("socket")
            if own is not None and own.family != socket.AF_UNIX:
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        request = loop.create_task(self._pump(link, "request", reader, server))
        reply = loop.create_task(self._pump(link, "reply", server_reader, link.client))
        try:
            done, _ = await asyncio.wait({request, reply}, return_when=asyncio.FIRST_COMPLETED)
            if done == {request} and request.exception() is None:
                # A client that has ended its stream still reads; a server that has is gone.
                await reply
        finally:
            for pump in (request, reply):
                pump.cancel()
            await asyncio.gather(request, reply, return_exceptions=True)

    async def _pump(
        self, link: Link, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one direction to its end; an exception ends the link."""
        while True:
            piece = await reader.read(CHUNK_BYTES_MAX)
            trouble = await self._pass_when_allowed(link, direction)
            if trouble.is_swallowing or direction in link.torn:
                link.torn.add(direction)
                if not piece:
                    raise ConnectionResetError
                continue
            if not piece:
                writer.write_eof()
                await _delivered(writer)
                return
            await self._send(link, direction, trouble, piece, writer)

    async def _pass_when_allowed(self, link: Link, direction: str) -> Trouble:
        trouble = self._trouble_of(link, direction)
        while trouble.is_black_hole:
            await asyncio.sleep(LOOK_INTERVAL_S)
            trouble = self._trouble_of(link, direction)
        if trouble.delay_s:
            await asyncio.sleep(trouble.delay_s)
        return trouble

    async def _send(
        self,
        link: Link,
        direction: str,
        trouble: Trouble,
        piece: bytes,
        writer: asyncio.StreamWriter,
    ) -> None:
        if trouble.cut_after_bytes is not None:
            room = max(0, trouble.cut_after_bytes - link.passed_bytes[direction])
            if len(piece) > room:
                await _write(writer, piece[:room], trouble)
                await _delivered(writer)
                raise ConnectionResetError
        if trouble.cut_at and trouble.cut_at in piece and self.cuts_left > 0:
            self.cuts_left -= 1
            if trouble.cut_delivers:
                # From here on nothing comes back: the server acts, and nobody hears of it.
                link.torn.add("reply")
                await _write(writer, piece, trouble)
                await _delivered(writer)
            raise ConnectionResetError
        link.passed_bytes[direction] += len(piece)
        await _write(writer, piece, trouble)

    def _trouble_of(self, link: Link, direction: str) -> Trouble:
        trouble = self._troubles[direction]
        return trouble if trouble.who in link.who else CALM

    def _who(self, writer: asyncio.StreamWriter) -> str:
        own = writer.get_extra_info("socket")
        if own is None or own.family != socket.AF_UNIX:
            return ""
        raw = own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return self._name_of(_PEER.unpack(raw)[0])


def command_of(pid: int) -> str:
    """Return the command line of a process, empty if it is gone; that is a client's name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode(errors="replace")


async def _write(writer: asyncio.StreamWriter, piece: bytes, trouble: Trouble) -> None:
    size = trouble.split_bytes or len(piece)
    if trouble.bytes_per_s:
        size = min(size, max(1, trouble.bytes_per_s // 20))
    for start in range(0, len(piece), max(1, size)):
        part = piece[start : start + size]
        writer.write(part)
        await writer.drain()
        if trouble.bytes_per_s:
            await asyncio.sleep(len(part) / trouble.bytes_per_s)
        elif trouble.split_bytes:
            await asyncio.sleep(0)


async def _delivered(writer: asyncio.StreamWriter) -> None:
    """Wait until the kernel has all that was written, so that a reset does not take it back."""
    transport = writer.transport
    while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0)
    own = writer.get_extra_info("socket")
    if own is not None and own.family != socket.AF_UNIX:
        # TCP's own buffer is thrown away by a reset: let the peer take it first.
        await asyncio.sleep(2 * LOOK_INTERVAL_S)
