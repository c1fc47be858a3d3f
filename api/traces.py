"""Traces that callers bring: the header `traceparent` of W3C Trace Context."""

from __future__ import annotations

import re

from aiohttp import web
from multidict import istr

_TRACEPARENT = istr("traceparent")
#: Version, trace, parent, flags; what later versions add is not ours to read.
_FORM = re.compile(
    "(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)


def trace_of(request: web.Request) -> dict[str, str]:
    """
    Return what log lines of *request* say of its trace: `trace_id`, or nothing.

    Read only where a line is written, so that the hot lane does nothing for it. One that is not
    well-formed, or stands twice, is as good as none, as the specification wants it.
    """
    given = request.headers.getall(_TRACEPARENT, [])
    found = _FORM.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or (found[1] == "00" and found[3] is not None):
        return {}
    return {"trace_id": found[2]}
