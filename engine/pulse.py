"""
The pulse of a shard: what somebody who looks on wants to know beside what is left.

Read beside the scripts, in one round trip however many events there are, and only believed in
the epoch that the shard's `meta` names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from engine import keys
from engine.reads import Ask

_ROOM = (
    *("epoch", "seq", "persisted_seq", "backlog_max", "bytes", "bytes_end"),
    *("oldest_at_ms", "backlog_age_ms_max"),
)


class Pulse(NamedTuple):
    """What of a shard is so beside its stocks."""

    epoch: int
    #: Whether so much waits for PostgreSQL that nothing is sold.
    is_full: bool
    #: event id -> version of its seat map; 0 of what has none.
    versions: dict[str, int]


async def feel(ask: Ask, shard: int, event_ids: Sequence[str], *, now_ms: int) -> Pulse:
    """
    Read the pulse of a shard. Cost: one round trip.

    Args:
        ask: `Shard.ask`, whose errors this raises.

        event_ids: Whose seat maps are asked for.

        now_ms: The time by Redis, for what waits too long; 0 where that is not of interest.
    """
    seats = [("HMGET", keys.event(shard, event_id).seats, "version") for event_id in event_ids]
    room, *rows = await ask(("HMGET", keys.meta(shard), *_ROOM), *seats)
    versions = {own: int(row[0] or 0) for own, row in zip(event_ids, rows, strict=True)}
    return Pulse(int(room[0] or 0), _is_full(room[1:], now_ms), versions)


def _is_full(words: Sequence[bytes | None], now_ms: int) -> bool:
    """Tell what `enter` in lua/lib finds out for every script: whether there is no room (F24)."""
    seq, persisted_seq, most, size, size_end, oldest_at_ms, age_ms_max = [
        None if word is None else int(word) for word in words
    ]
    waiting = (seq or 0) - (persisted_seq or 0)
    age_ms = now_ms - (oldest_at_ms or now_ms) if waiting > 0 else 0
    return (
        (most is not None and waiting >= most)
        or (size or 0) >= (math.inf if size_end is None else size_end)
        or (age_ms_max is not None and age_ms >= age_ms_max)
    )
