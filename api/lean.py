"""
The lean answer: JSON and its head as bytes, written to the connection in one piece.

aiohttp's own response builds and encodes a dictionary of headers for every answer, which costs a
third of what serving a bare request costs. Here the headers that all answers share are text that
is put together once a second, and a route's own are text that its handler wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

JSON = "application/json"
#: What every answer says: who answers, without a version, that it is no page to be run, and to come
#: by TLS from now on, which browsers heed only where they came by it (RFC 6797, section 8.1).
COMMON = {
    "Server": "Evently",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
}


def lines_of(headers: Mapping[str, str]) -> str:
    """Return headers as text; names and values must be safe to write as they are."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


_COMMON_LINES = lines_of(COMMON)


class LeanAnswer(web.StreamResponse):
    """An answer whose head and body are bytes already."""

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: str = "",
        *,
        content_type: str = JSON,
        common: str = _COMMON_LINES,
    ) -> None:
        """
        Args:
            status: A status that has a body.

            body: JSON, or a file.

            headers: Further header lines, each with its line end.

            content_type: What it is.

            common: Header lines in the place of those of all answers.
        """
        # Not `super().__init__`: what it sets up is what this class is there to avoid.
        self._status = status
        self._json = body
        self._lines = headers
        self._json_type = content_type
        self._common = common
        self._asked_by: web.BaseRequest | None = None
        #: Whether the connection ends with this answer, whatever else was sent on it.
        self.closes = False

    @property
    def headers(self) -> CIMultiDict[str]:
        """No headers by name: they are text, see `add_header`."""
        raise AttributeError("a lean answer has its headers as text")

    def add_header(self, name: str, value: str) -> None:
        """Add a header; name and value must be safe to write as they are."""
        self._lines += f"{name}: {value}\r\n"

    def parts(self) -> tuple[int, str, bytes]:
        """Return status, header lines and body."""
        return self._status, self._lines, self._json

    def text(self, connection: str = "") -> bytes:
        """
        Return the answer as it is sent.

        Args:
            connection: Header line about the connection, with its line end.
        """
        head = head_of(self._status, self._json_type, self._common)
        lines = f"{head}{self._lines}{connection}Content-Length: {len(self._json)}\r\n\r\n"
        return lines.encode("latin-1") + self._json

    async def prepare(self, request: web.BaseRequest) -> None:
        """Take the connection; everything is written by `write_eof`."""
        self._asked_by = request
        self._keep_alive = request.keep_alive and not self.closes
        if self.closes:
            # What still comes is thrown away as it comes.
            request.protocol.close()

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
        connection = ""
        if not self._keep_alive:
            connection = "Connection: close\r\n"
        elif request.version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        text = self.text(connection)
        is_head = request.method == hdrs.METH_HEAD
        transport.write(text[: len(text) - len(self._json)] if is_head else text)
        await writer.drain()


_heads: dict[tuple[int, str, str], tuple[str, str]] = {}


def head_of(status: int, content_type: str, common: str = _COMMON_LINES) -> str:
    """Return status line and the headers that all lean answers have; made anew once a second."""
    date = rfc822_formatted_time()
    known = _heads.get((status, content_type, common))
    if known is not None and known[0] == date:
        return known[1]
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
        f"Date: {date}\r\n{common}"
    )
    _heads[status, content_type, common] = (date, head)
    return head
