"""
What is not served: requests that are no good HTTP, or ask for what no route does.

One place says which answer each gets, on every way a request can take. Nothing of the request is
told or logged: what cannot be understood may be a password.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from http import HTTPStatus

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    LineTooLong,
)
from multidict import istr

from api.problems import Problem, rate_limit_headers
from usecases.memory import remember

#: Longest target of a request, and longest header; by the number the parser tells which it was.
URL_BYTES_MAX = 8_190
HEADER_BYTES_MAX = 8_191
HEADERS_MAX = 100
#: What may wait of a head that is not whole.
HEAD_BYTES_MAX = 65_536
HOSTS_MAX = 256

_CONTENT_ENCODING = istr("Content-Encoding")
_TRANSFER_ENCODING = istr("Transfer-Encoding")
_HOST = istr("Host")
_TOO_MANY = "Too many headers received"
_HTTP_2 = "Pause on PRI"
#: How the parser shows the line in which it met a method that it does not know.
_METHOD_LINE = re.compile(r"[^\n]*\n\n  b[\"'][A-Za-z-]{1,32} [/*]")
#: A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_HOST_FORM = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
#: Hosts that were found to be well-formed.
_good_hosts: OrderedDict[str, None] = OrderedDict()


def is_host(host: str | None) -> bool:
    """Tell whether a host is well-formed, at the price of one look-up if it was seen before."""
    if host in _good_hosts:
        return True
    if host is None or _HOST_FORM.fullmatch(host) is None:
        return False
    remember(_good_hosts, host, None, most=HOSTS_MAX)
    return True


def of_parser(error: BaseException) -> Problem:
    """Return the answer to what the parser could not read; it ends the connection."""
    match error:
        case LineTooLong(args=(_, limit, *_)) if limit == URL_BYTES_MAX:
            return uri_too_long()
        case LineTooLong():
            return headers_too_large()
        case HttpProcessingError(message=message) if message == _TOO_MANY:
            return headers_too_large()
        case BadHttpMethod(message=message) if _METHOD_LINE.match(message):
            return _not_implemented("There is no such method.")
        case BadStatusLine(message=message) if "HTTP version" in message:
            return _version_not_supported()
        case BadHttpMessage(message=message) if message.startswith(_HTTP_2):
            return _version_not_supported()
        case _:
            return not_http("is not good HTTP")


def objection(request: web.Request, body_bytes_max: int) -> Problem | None:
    """Return why a request is not served whatever it is for; None if there is no reason."""
    headers = request.headers
    if request.version not in {HttpVersion10, HttpVersion11}:
        return _version_not_supported()
    codings = ",".join(headers.getall(_TRANSFER_ENCODING, ()))
    if codings and codings.strip().lower() != "chunked":
        return _not_implemented("Bodies come as they are or chunked, and not otherwise encoded.")
    if not _is_good_host(headers.get(_HOST), request):
        return not_http("names no host that could be one", "/headers/Host")
    length = request.content_length
    if length is not None and length > body_bytes_max:
        return too_large()
    encodings = ",".join(headers.getall(_CONTENT_ENCODING, ()))
    if encodings.strip().lower() not in {"", "identity"}:
        return _encoded(closes=request.can_read_body)
    if request.version == HttpVersion11 and not expects_nothing_else(request):
        title = "What the request expects is not done here."
        return Problem(HTTPStatus.EXPECTATION_FAILED, "http_error", title, closes=True)
    return None


def expects_nothing_else(request: web.Request) -> bool:
    """Tell whether the request expects nothing but that it may go on."""
    return request.headers.get(hdrs.EXPECT, "100-continue").lower() == "100-continue"


def not_http(detail: str, pointer: str = "") -> Problem:
    """Return the answer to what is no request at all, or a bad one."""
    title = "The request cannot be served."
    return Problem(400, "http_error", title, errors=[(pointer, detail)], closes=True)


def too_large() -> Problem:
    """Return the answer to a body above the limit; the rest of it is not waited for."""
    errors = [("", "is larger than the server takes")]
    return Problem(413, "too_large", "The body is too large.", errors=errors, closes=True)


def uri_too_long() -> Problem:
    """Return the answer to a target above the limit."""
    return Problem(414, "uri_too_long", "The address is too long.", closes=True)


def headers_too_large() -> Problem:
    """Return the answer to a head above the limits."""
    return Problem(431, "headers_too_large", "The headers are too large.", closes=True)


def too_slow(what: str) -> Problem:
    """Return the answer to a request that did not arrive in time."""
    return Problem(
        408, "request_timeout", "The request did not arrive in time.", detail=what, closes=True
    )


def too_many_connections(most: int) -> Problem:
    """Return the answer to one more connection than the *most* that an address may have."""
    return Problem(
        429,
        "too_many_connections",
        "There are too many connections from this address.",
        headers=rate_limit_headers(most, more_after_ms=5_000, name="connections"),
        closes=True,
    )


def _encoded(*, closes: bool) -> Problem:
    return Problem(
        415,
        "unsupported_encoding",
        "The body is compressed, which no request here may be.",
        errors=[("/headers/Content-Encoding", "must not be given")],
        headers={"Accept-Encoding": "identity"},
        closes=closes,
    )


def _not_implemented(detail: str) -> Problem:
    title = "The server does not do this."
    return Problem(501, "not_implemented", title, detail=detail, closes=True)


def _version_not_supported() -> Problem:
    title = "The server speaks HTTP/1.1 and HTTP/1.0 alone."
    return Problem(505, "version_not_supported", title, closes=True)


def _is_good_host(host: str | None, request: web.Request) -> bool:
    return request.version == HttpVersion10 if host is None else is_host(host)
