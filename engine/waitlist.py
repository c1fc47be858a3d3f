"""
The waitlist as Redis keeps it: entries as values, and where in its list one stands.

Plain reads, all of one moment. Who waits, and who is offered what, is decided by the scripts
alone (`lua/join.lua`, `lua/lib/waitlist.lua`); I9 is theirs to keep.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from engine.keys import EventKeys
from engine.values import MEMBER_HEAD_CHARS, WaitEntry, member, parse_entry

#: Entries ahead whose places are added up; beyond it the sum is not told.
AHEAD_MAX = 200


class Position(NamedTuple):
    """Where a waiting entry stands; 1 is the head of its tier's list."""

    position: int
    #: Places that those before it wait for; None if they are too many to add up.
    ahead_places: int | None


async def read_entry(
    redis: Redis, names: EventKeys, entry_id: str
) -> tuple[WaitEntry, Position | None] | None:
    """Read an entry and, if it waits, its position; None if there is none. One or two reads."""
    found = await read_entries(redis, names, [entry_id])
    return found.get(entry_id)


async def read_entries(
    redis: Redis, names: EventKeys, entry_ids: list[str]
) -> dict[str, tuple[WaitEntry, Position | None]]:
    """Read some entries of one event and the positions of those that wait."""
    rows: list[Any] = await redis.hmget(names.entries, entry_ids)
    entries = {
        entry_id: parse_entry(row)
        for entry_id, row in zip(entry_ids, rows, strict=True)
        if row is not None
    }
    found: dict[str, tuple[WaitEntry, Position | None]] = {}
    for entry_id, entry in entries.items():
        where = await _position(redis, names, entry_id, entry)
        if where is None and entry.status == "waiting":
            # It was promoted between the two reads.
            row: Any = await redis.hget(names.entries, entry_id)
            entry = parse_entry(row)  # noqa: PLW2901
        found[entry_id] = (entry, where)
    return found


async def _position(
    redis: Redis, names: EventKeys, entry_id: str, entry: WaitEntry
) -> Position | None:
    if entry.status != "waiting":
        return None
    own, first = member(entry_id, entry), f"[{entry.tier_no:03}:"
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.zscore(names.waitlist, own)
        pipeline.zlexcount(names.waitlist, first, f"[{own}")
        pipeline.zrangebylex(names.waitlist, first, f"({own}", start=0, num=AHEAD_MAX)
        score, position, ahead = await pipeline.execute()
    if score is None:
        return None
    if position - 1 > len(ahead):
        return Position(position, None)
    places = 0
    if ahead:
        ids = [name[MEMBER_HEAD_CHARS:].decode() for name in ahead]
        rows: list[Any] = await redis.hmget(names.entries, ids)
        places = sum(parse_entry(row).quantity for row in rows if row is not None)
    return Position(position, places)
