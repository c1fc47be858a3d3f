"""
What is left of events, remembered for a moment.

A crowd asks again and again what it was told a moment ago. One answer of Redis serves all who ask
this process within `age_ms_max`; `as_of` in the answer says of when it is, and who needs it from
Redis itself asks with `Cache-Control: no-cache` (RFC 9111 section 5.2.1.4). Only what everybody
may see is kept, and no refusal: a shard that is shut is found out within the same time.
"""

from __future__ import annotations

import time

from aiohttp import web

from usecases.memory import remember

#: At about 1 KiB each.
EVENTS_MAX = 10_000


class Leftovers:
    """Bodies of answers by event."""

    def __init__(self, *, age_ms_max: int) -> None:
        """
        Args:
            age_ms_max: How old an answer may be, in ms; 0 to remember none.
        """
        self._age_s_max = age_ms_max / 1000
        self._bodies: dict[str, tuple[float, bytes]] = {}

    def get(self, event_id: str) -> bytes | None:
        """Return the body of an event if it is young enough."""
        found = self._bodies.get(event_id)
        if found is None or time.monotonic() - found[0] >= self._age_s_max:
            return None
        return found[1]

    def keep(self, event_id: str, asked_at_s: float, body: bytes) -> None:
        """
        Remember a body.

        Args:
            asked_at_s: When Redis was asked, by `time.monotonic`.
        """
        if self._age_s_max:
            remember(self._bodies, event_id, (asked_at_s, body), most=EVENTS_MAX)


LEFTOVERS = web.AppKey("leftovers", Leftovers)
