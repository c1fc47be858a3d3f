"""
The watch over connections: nobody keeps one for ever by sending or reading slowly.

Once a second it looks at every connection and asks what that waits for: the head of a request, a
body, the next request, or a reader who takes an answer. Who began to be waited for is noted by
the watch, so that requests cost nothing for it; times are therefore kept to a second or two. The
looks are spread over the second: ten thousand in one go would keep requests waiting.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import structlog

from api.http import BodyTimeout
from api.malformed import too_slow

if TYPE_CHECKING:
    from api.lane import Lane, LaneServer

log = structlog.get_logger()

WATCH_INTERVAL_S = 1.0
#: Parts of a second in each of which as many connections are looked at, and how many at least.
TURNS = 50
LOOKED_AT_ONCE_MIN = 20
NEVER_S = float("inf")


class Limits(NamedTuple):
    """How long callers are waited for."""

    #: From the begin of a connection, or of a later request, to the end of the head, in s.
    head_s: float = 5.0
    #: From there to the end of the body, in s.
    body_s: float = 10.0
    #: From an answer to the next request, in s.
    idle_s: float = 15.0
    #: What a reader must take of an answer on the average, after `READER_GRACE_S`, in bytes/s; 0:
    #: nothing.
    reader_bytes_per_s: int = 4_096


#: What a reader may stop for, in s.
READER_GRACE_S = 10.0


class Phase(Enum):
    """What a connection waits for."""

    HEAD = "head"
    BODY = "body"
    NEXT = "next"
    READER = "reader"
    #: Us.
    ANSWER = "answer"


class Watched:
    """What the watch notes of a connection."""

    __slots__ = ("phase", "requests_count", "since_s", "unsent_bytes_max")

    def __init__(self, now_s: float) -> None:
        self.phase = Phase.HEAD
        self.since_s = now_s
        self.requests_count = 0
        self.unsent_bytes_max = 0


async def keep_watching(server: LaneServer, limits: Limits) -> None:
    """Look at all connections of *server* once a second until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        there = server.transports
        at_once = max(LOOKED_AT_ONCE_MIN, math.ceil(len(there) / TURNS))
        turns = max(1, math.ceil(len(there) / at_once))
        for turn in range(turns):
            await asyncio.sleep(WATCH_INTERVAL_S / turns)
            now_s = loop.time()
            for lane, transport in there[turn * at_once : (turn + 1) * at_once]:
                try:
                    look(lane, transport, limits, now_s)
                except Exception as error:
                    log.error("watch failed", action="watch_failed", exc_info=error)


def _still_waits(lane: Lane, limits: Limits, now_s: float) -> bool:
    """Tell at a glance that a connection waits as it did, and may go on: most of a crowd."""
    watched = lane.watched
    if watched.requests_count != lane.requests_count:
        return False
    waited_s = now_s - watched.since_s
    if watched.phase is Phase.NEXT:
        return waited_s < limits.idle_s and not lane.has_part_of_head
    return watched.phase is Phase.HEAD and waited_s < limits.head_s


def look(lane: Lane, transport: asyncio.Transport, limits: Limits, now_s: float) -> None:
    """Look at one connection, and end what has been waited for too long."""
    if lane.is_stream:
        if not transport.get_write_buffer_size():
            lane.watched.phase = Phase.ANSWER  # Which does not end, and has been read so far.
            return
    elif _still_waits(lane, limits, now_s):
        return
    watched, unsent_bytes = lane.watched, transport.get_write_buffer_size()
    phase = _phase(lane, transport, unsent_bytes)
    is_new = phase is not watched.phase or (
        phase is not Phase.READER and watched.requests_count != lane.requests_count
    )
    if is_new:
        watched.phase, watched.since_s = phase, now_s
        watched.requests_count, watched.unsent_bytes_max = lane.requests_count, 0
    waited_s = now_s - watched.since_s
    match phase:
        case Phase.READER:
            watched.unsent_bytes_max = max(watched.unsent_bytes_max, unsent_bytes)
            rate = limits.reader_bytes_per_s
            if rate and waited_s > READER_GRACE_S + watched.unsent_bytes_max / rate:
                transport.abort()
        case Phase.HEAD if waited_s >= limits.head_s:
            if lane.has_part_of_head:
                lane.dismiss(too_slow("The head did not arrive in time."))
            else:
                lane.force_close()
        case Phase.NEXT if waited_s >= limits.idle_s:
            lane.force_close()
        case Phase.BODY if waited_s >= limits.body_s:
            lane.end_body(BodyTimeout())
            watched.since_s = NEVER_S


def _phase(lane: Lane, transport: asyncio.Transport, unsent_bytes: int) -> Phase:
    if unsent_bytes:
        return Phase.READER
    if transport.is_closing():
        return Phase.ANSWER
    if lane.is_waiting:
        is_head = lane.requests_count == 0 or lane.has_part_of_head
        return Phase.HEAD if is_head else Phase.NEXT
    return Phase.BODY if lane.lacks_body else Phase.ANSWER
