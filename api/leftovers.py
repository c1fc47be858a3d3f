"""
What is left of events, and their seats, remembered for a moment.

A crowd asks again and again what it was told a moment ago. One answer of Redis serves all who ask
this process within `age_ms_max`; who needs it from Redis itself asks with `Cache-Control: no-cache`
(RFC 9111 section 5.2.1.4). Only what everybody may see is kept, and no refusal: a shard that is
shut is found out within the same time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from aiohttp import web
from multidict import istr

from usecases.memory import remember

_CACHE_CONTROL = istr("Cache-Control")
#: At about 1 KiB each.
EVENTS_MAX = 10_000
#: Of a large hall some 200 KiB each.
MAPS_MAX = 200

Body = TypeVar("Body")


class Mapped(NamedTuple):
    """A seat map as it is told."""

    etag: str
    body: bytes


class Leftovers(Generic[Body]):
    """Bodies of answers by event."""

    def __init__(self, *, age_ms_max: int, most: int = EVENTS_MAX) -> None:
        """
        Args:
            age_ms_max: How old an answer may be, in ms; 0 to remember none.

            most: Events that are remembered.
        """
        self._age_s_max = age_ms_max / 1000
        self._most = most
        self._bodies: OrderedDict[str, tuple[float, Body]] = OrderedDict()

    def get(self, event_id: str) -> Body | None:
        """Return the body of an event if it is young enough."""
        found = self._bodies.get(event_id)
        if found is None or time.monotonic() - found[0] >= self._age_s_max:
            return None
        return found[1]

    def keep(self, event_id: str, asked_at_s: float, body: Body) -> None:
        """
        Remember a body.

        Args:
            asked_at_s: When Redis was asked, by `time.monotonic`.
        """
        if self._age_s_max:
            remember(self._bodies, event_id, (asked_at_s, body), most=self._most)


def wants_news(request: web.Request) -> bool:
    """Tell whether the answer must be Redis's own."""
    # Names of directives have no case.
    return "no-cache" in request.headers.get(_CACHE_CONTROL, "").lower()


LEFTOVERS: web.AppKey[Leftovers[bytes]] = web.AppKey("leftovers", Leftovers)
MAPS: web.AppKey[Leftovers[Mapped]] = web.AppKey("maps", Leftovers)
