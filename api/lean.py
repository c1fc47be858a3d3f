"""
The lean answer: what a hot route answers, written to the connection in one piece.

aiohttp's own response builds and encodes a dictionary of headers for every answer, which costs a
third of what serving a bare request costs. Here the headers of a route's success are text that is
put together once a second. Only for answers with a body, to requests other than HEAD.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict

_REASONS = {200: "OK", 201: "Created", 409: "Conflict"}


class LeanAnswer(web.StreamResponse):
    """An answer whose head and body are bytes already."""

    def __init__(self, status: int, body: bytes, headers: str = "") -> None:
        """
        Args:
            status: One of 200, 201, 409.

            body: JSON.

            headers: Further header lines, each with its line end.
        """
        # Not `super().__init__`: what it sets up is what this class is there to avoid.
        self._status = status
        self._json = body
        self._lines = headers
        self._asked_by: web.BaseRequest | None = None

    @property
    def headers(self) -> CIMultiDict[str]:
        """No headers by name: they are text, see `add_header`."""
        raise AttributeError("a lean answer has its headers as text")

    def add_header(self, name: str, value: str) -> None:
        """Add a header; name and value must be safe to write as they are."""
        self._lines += f"{name}: {value}\r\n"

    async def prepare(self, request: web.BaseRequest) -> None:
        """Take the connection; everything is written by `write_eof`."""
        self._asked_by = request
        self._keep_alive = request.keep_alive

    async def write_eof(self, data: bytes = b"") -> None:
        """Write head and body at once."""
        request = self._asked_by
        assert request is not None, "not prepared"
        if self._eof_sent:
            return
        self._eof_sent = True
        writer = request._payload_writer  # noqa: SLF001  aiohttp's responses do the same.
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("Cannot write to closing transport")
        head = _head(self._status, rfc822_formatted_time())
        if not self._keep_alive:
            head += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            head += "Connection: keep-alive\r\n"
        text = f"{head}{self._lines}Content-Length: {len(self._json)}\r\n\r\n"
        transport.write(text.encode("latin-1") + self._json)
        await writer.drain()


_heads: dict[int, tuple[str, str]] = {}


def _head(status: int, date: str) -> str:
    """Return status line and the headers that all lean answers have; made anew once a second."""
    known = _heads.get(status)
    if known is not None and known[0] == date:
        return known[1]
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Date: {date}\r\nServer: {SERVER_SOFTWARE}\r\n"
    )
    _heads[status] = (date, head)
    return head
