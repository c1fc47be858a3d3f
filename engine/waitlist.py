"""
The waitlist as Redis keeps it: entries as values, and where in its list one stands.

Plain reads, all of one moment. Who waits, and who is offered what, is decided by the scripts
alone (`lua/join.lua`, `lua/lib/waitlist.lua`); I9 is theirs to keep.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from engine.keys import EventKeys

#: How one event's list is led: the head waits until its party fits, or smaller ones may pass.
POLICIES = ("strict", "skip")
#: Entries ahead whose places are added up; beyond it the sum is not told.
AHEAD_MAX = 200
#: Statuses of an entry that is not over.
LIVE = ("waiting", "offered")

_WORDS = 14
#: `<tier_no>:<join_no>:` before the entry's id.
_MEMBER_HEAD = 17


class Entry(NamedTuple):
    """A waitlist entry; `status` is waiting, offered, accepted, declined, expired or left."""

    status: str
    version: int
    #: Place of its `joined` record.
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    tier_no: int
    quantity: int
    #: Twelve digits that order a tier's list.
    join_no: str
    #: When it first stopped a strict list, Unix ms; 0 for never.
    stalled_at_ms: int
    #: Place and time of its last record.
    changed_epoch: int
    changed_seq: int
    changed_at_ms: int


class Position(NamedTuple):
    """Where a waiting entry stands; 1 is the head of its tier's list."""

    position: int
    #: Places that those before it wait for; None if they are too many to add up.
    ahead_places: int | None


def parse_entry(row: bytes) -> Entry:
    """
    Read an entry as the scripts keep it (`lua/lib/waitlist.lua`).

    Raises:
        ValueError: it has another form.
    """
    words = row.decode().split(" ")
    if len(words) != _WORDS:
        raise ValueError(f"not a waitlist entry: {row[:200]!r}")
    status, version, epoch, seq, at_ms = words[:5]
    user_id, fingerprint, tier_no, quantity, join_no = words[5:10]
    stalled_at_ms, changed_epoch, changed_seq, changed_at_ms = map(int, words[10:])
    return Entry(
        status,
        int(version),
        int(epoch),
        int(seq),
        int(at_ms),
        user_id,
        fingerprint,
        int(tier_no),
        int(quantity),
        join_no,
        stalled_at_ms,
        changed_epoch,
        changed_seq,
        changed_at_ms,
    )


def member(entry_id: str, entry: Entry) -> str:
    """Return how the entry stands in the sorted set of those who wait."""
    return f"{entry.tier_no:03}:{entry.join_no}:{entry_id}"


async def read_entry(
    redis: Redis, names: EventKeys, entry_id: str
) -> tuple[Entry, Position | None] | None:
    """Read an entry and, if it waits, its position; None if there is none. One or two reads."""
    found = await read_entries(redis, names, [entry_id])
    return found.get(entry_id)


async def read_entries(
    redis: Redis, names: EventKeys, entry_ids: list[str]
) -> dict[str, tuple[Entry, Position | None]]:
    """Read some entries of one event and the positions of those that wait."""
    rows: list[Any] = await redis.hmget(names.entries, entry_ids)
    entries = {
        entry_id: parse_entry(row)
        for entry_id, row in zip(entry_ids, rows, strict=True)
        if row is not None
    }
    found: dict[str, tuple[Entry, Position | None]] = {}
    for entry_id, entry in entries.items():
        where = await _position(redis, names, entry_id, entry)
        if where is None and entry.status == "waiting":
            # It was promoted between the two reads.
            row: Any = await redis.hget(names.entries, entry_id)
            entry = parse_entry(row)  # noqa: PLW2901
        found[entry_id] = (entry, where)
    return found


async def _position(redis: Redis, names: EventKeys, entry_id: str, entry: Entry) -> Position | None:
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
        ids = [name[_MEMBER_HEAD:].decode() for name in ahead]
        rows: list[Any] = await redis.hmget(names.entries, ids)
        places = sum(parse_entry(row).quantity for row in rows if row is not None)
    return Position(position, places)
