"""
Cross-origin requests: which other sites' pages may use the API from a browser (the Fetch standard).

An allow-list, empty by default: then nothing is said and browsers refuse. Tokens travel in a
header that pages set themselves, never in cookies, so credentials are not allowed to any site.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web
from multidict import istr

_ORIGIN = istr("Origin")
_EXPOSED = (
    "ETag, Idempotent-Replayed, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, "
    "Retry-After, X-Request-Id"
)
_ALLOWED = (
    "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, "
    "If-None-Match, Last-Event-ID, Prefer, X-Idempotency-Key, X-Request-Id, traceparent"
)
PREFLIGHT_AGE_S = 600


class Cors:
    """Knows the sites whose pages may read answers."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        """
        Args:
            origins: As browsers send them: scheme, host, and port if it is not the usual one.
        """
        self._origins = frozenset(origins)
        #: Whether there is anything to say.
        self.is_on = bool(self._origins)

    def headers(self, request: web.Request) -> dict[str, str]:
        """Return what an answer to *request* says; caches are told even if it has no origin."""
        said = {"Vary": "Origin"}
        origin = request.headers.get(_ORIGIN)
        if origin in self._origins:
            assert origin is not None
            said |= {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Expose-Headers": _EXPOSED,
            }
        return said

    def lets_read(self, request: web.Request) -> bool:
        """
        Tell whether the page that sends *request*, if one does, may read what is answered.

        For answers that do not end: a browser keeps what a page may not read from it, and would
        have it sent all the same. A page of our own host may, whatever the proxy in front speaks.
        """
        origin = request.headers.get(_ORIGIN)
        if origin is None or origin in self._origins:
            return True
        return origin.partition("://")[2] == request.headers.get(hdrs.HOST, "").lower()

    def preflight(self, request: web.Request, methods: str) -> dict[str, str]:
        """Return what a browser is told that asks before it sends; empty if it may not."""
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if asked is None or request.headers.get(_ORIGIN) not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _ALLOWED,
            "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
        }


CORS: web.AppKey[Cors] = web.AppKey("cors", Cors)
