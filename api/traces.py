"""Traces that callers bring, by the header `traceparent` of W3C Trace Context; spans in them."""

from __future__ import annotations

import re

from aiohttp import hdrs, web
from multidict import istr

from engine.spans import Span, SpanTeller, ended_now

_TRACEPARENT = istr("traceparent")
#: Version, trace, parent, flags; what later versions add is not ours to read.
_FORM = re.compile(
    "(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)
#: Who wants spans; not there if nobody does.
SPANS: web.AppKey[SpanTeller] = web.AppKey("spans")
#: What is asked every few seconds, by machines.
_NOT_TOLD = frozenset({"/healthz", "/readyz", "/metrics"})


def trace_of(request: web.Request) -> dict[str, str]:
    """
    Return what log lines of *request* say of its trace: `trace_id`, or nothing.

    Read only where a line is written, so that the hot lane does nothing for it. One that is not
    well-formed, or stands twice, is as good as none, as the specification wants it.
    """
    found = _given(request)
    return {} if found is None else {"trace_id": found[2]}


def span_of(
    request: web.Request, route: str, status: int, seconds: float, *, request_id: str, is_hot: bool
) -> Span | None:
    """
    Return the span of a request that was answered just now; None if it is not worth one.

    It names the route and never the path, in which a ticket's code may stand.
    """
    if route in _NOT_TOLD:
        return None
    method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
    started_ns, ended_ns = ended_now(seconds)
    found = _given(request)
    return Span(
        f"{'HTTP' if method == '_OTHER' else method} {route}",
        started_ns,
        ended_ns,
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "evently.request_id": request_id,
        },
        parent="" if found is None else found[0],
        error=str(status) if status >= 500 else "",
        is_served=True,
        is_frequent=is_hot,
    )


def _given(request: web.Request) -> re.Match[str] | None:
    """Return the `traceparent` of a request; None if there is none that is well-formed."""
    given = request.headers.getall(_TRACEPARENT, [])
    found = _FORM.fullmatch(given[0]) if len(given) == 1 else None
    return None if found is None or (found[1] == "00" and found[3] is not None) else found
