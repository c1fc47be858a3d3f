"""
What tests ask a shard: raw commands, its whole content, and whether its figures agree.

Reads Redis directly, never through the engine, so that a test does not believe what it tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from engine import keys
from engine.ids import booking_id, new_id
from engine.records import (
    Booked,
    Cancelled,
    Confirmed,
    Entry,
    Expired,
    Extended,
    Held,
    Published,
    Released,
    read_entries,
)
from reconciler.servers import Servers

#: A moment that no test reaches, Unix ms.
FAR_MS = 9_000_000_000_000
#: Less than `loadtests.chaos.sabotage` gives a test, so that what never comes fails there.
WAIT_MAX_S = 45.0


class Tier(NamedTuple):
    """A tier's counters as Redis keeps them."""

    available: int
    held: int
    sold: int


async def ask(redis: Redis, *words: Any) -> Any:
    """Send one command and return its reply."""
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for what other processes do and tell nobody; bounded, so that a failure ends."""
    deadline_s = time.monotonic() + WAIT_MAX_S
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return condition()


@contextlib.contextmanager
def about(case: object) -> Iterator[None]:
    """Name the case of a test that tries many in one world, where it fails."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"Case: {case}")
        raise


def make_booking_id(event_id: str, user_id: str, key: str) -> str:
    """Derive a booking's id as the API does."""
    return booking_id(event_id=event_id, user_id=user_id, idempotency_key=key)


def users(count: int) -> list[str]:
    """Draw *count* different users."""
    return [new_id("usr") for _ in range(count)]


async def rows_of(redis: Redis, key: str) -> dict[bytes, bytes]:
    """Return a hash of an event without its mark."""
    rows: dict[bytes, bytes] = await ask(redis, "HGETALL", key)
    rows.pop(keys.MARK.encode(), None)
    return rows


async def members_of(redis: Redis, key: str) -> list[str]:
    """Return the members of a sorted set of an event, in order, without its mark."""
    members = [name.decode() for name in await ask(redis, "ZRANGE", key, 0, -1)]
    return [name for name in members if name != keys.MARK]


#: Of a stream that nobody may trim or edit, its length and last record tell whether it changed.
DIGESTS = """
local found = {}
local function pairs_of(flat)
  local joined = {}
  for i = 1, #flat, 2 do
    joined[#joined + 1] = #flat[i] .. ':' .. flat[i] .. flat[i + 1]
  end
  return joined
end
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind = redis.call('TYPE', key).ok
  local content
  if kind == 'hash' then content = pairs_of(redis.call('HGETALL', key)); table.sort(content)
  elseif kind == 'set' then content = redis.call('SMEMBERS', key); table.sort(content)
  elseif kind == 'string' then content = {redis.call('GET', key)}
  elseif kind == 'zset' then content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'stream' then
    local info = redis.call('XINFO', 'STREAM', key)
    content = {}
    for i = 1, #info, 2 do
      if type(info[i + 1]) ~= 'table' then
        content[#content + 1] = info[i] .. '=' .. tostring(info[i + 1])
      end
    end
  else return redis.error_reply('unknown kind of key: ' .. kind) end
  found[#found + 1] = key
  found[#found + 1] = kind .. ' ' .. redis.sha1hex(cmsgpack.pack(content))
end
return found
"""


async def snapshot(redis: Redis, shard: int) -> dict[bytes, tuple[bytes, Any]]:
    """Return type and content of every key of *shard*; equal means that nothing was changed."""
    found_keys = await ask(redis, "KEYS", f"{keys.tag(shard)}:*")
    reads: dict[bytes, tuple[Any, ...]] = {
        b"hash": ("HGETALL",),
        b"set": ("SMEMBERS",),
        b"string": ("GET",),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        b"stream": ("XRANGE", "-", "+"),
    }
    # A few trips for all keys: a shard that many tests share has some thousands.
    async with redis.pipeline(transaction=False) as pipe:
        for key in found_keys:
            pipe.execute_command("TYPE", key)
        kinds = await pipe.execute()
        for key, kind in zip(found_keys, kinds, strict=True):
            verb, *rest = reads[kind]
            pipe.execute_command(verb, key, *rest)
        contents = await pipe.execute()
    streams = [key for key, kind in zip(found_keys, kinds, strict=True) if kind == b"stream"]
    infos = {key: await ask(redis, "XINFO STREAM", key) for key in streams}
    return {
        key: (kind, (infos[key]["last-generated-id"], content) if kind == b"stream" else content)
        for key, kind, content in zip(found_keys, kinds, contents, strict=True)
    }


async def digests(redis: Redis, shard: int) -> dict[bytes, bytes]:
    """
    Return a digest of every key of *shard*; equal means that nothing was changed.

    As `snapshot`, where a shard that many tests share has thousands of keys: one trip, by Redis.
    """
    found = await ask(redis, "EVAL", DIGESTS, 0, f"{keys.tag(shard)}:*")
    return dict(zip(found[::2], found[1::2], strict=True))


def lines_of(reply: bytes, words: Sequence[Any]) -> list[bytes]:
    """Return what `book` replied to each order of a call of *words*, also where it tells of all."""
    if not reply.startswith(b"ALL "):
        return reply.split(b"\n")
    _, booked, epoch, last_seq, at_ms, *items = reply.split(b" ")
    kinds = next(word for word in words if isinstance(word, bytes))
    first_seq = int(last_seq) - len(kinds) + 1
    return [
        b" ".join((booked, epoch, b"%d" % seq, at_ms, items[kind - ord("0")]))
        for seq, kind in enumerate(kinds, start=first_seq)
    ]


def lines(text: str) -> list[list[Any]]:
    """Return the replies of `book`, a line each, in the form that the other scripts reply."""
    return [_words(*line.split(" ")) for line in text.split("\n")]


def _words(status: str, *words: str) -> list[Any]:
    if status == "REPLAYED":
        return [status, *words]
    if status == "BOOKED":
        epoch, seq, at_ms, items = words
        return [status, epoch, seq, int(at_ms), items]
    return [status, *(int(word) if word.isdigit() else word for word in words)]


async def journal(redis: Redis, shard: int, epoch: int = 1) -> list[Entry]:
    """Return the decoded journal."""
    rows = await ask(redis, "XRANGE", keys.journal(shard, epoch), "-", "+")
    return [entry for row in rows for entry in read_entries(*row)]


async def stock(redis: Redis, shard: int, event_id: str) -> dict[int, Tier]:
    """Return an event's counters by tier number."""
    fields = await ask(redis, "HGETALL", keys.event(shard, event_id).stock)
    return {
        number: Tier(*(int(fields[b"%d.%b" % (number, name)]) for name in _COUNTERS))
        for number in range(1, int(fields[b"tier_count"]) + 1)
    }


async def persons(redis: Redis, shard: int, event_id: str) -> dict[str, int]:
    """Return the places of every person who has any."""
    rows = await rows_of(redis, keys.event(shard, event_id).persons)
    return {user.decode(): int(count) for user, count in rows.items() if int(count)}


async def check_consistent(redis: Redis, shard: int, epoch: int = 1, *, event_id: str = "") -> None:
    """
    Fold the journal and compare: I1 conservation, I6, I7 contiguity, I8 log = state, I12.

    Args:
        event_id: Look at this event alone: others may have records that are not folded here.

    Raises:
        AssertionError: the state of some event is not what its records say.
    """
    entries = await journal(redis, shard, epoch)
    assert list(range(1, len(entries) + 1)) == [entry.seq for entry in entries]
    seq = int(await ask(redis, "HGET", keys.meta(shard), "seq"))
    assert len(entries) == seq
    capacity: dict[str, dict[int, int]] = {}
    limited: dict[str, set[int]] = {}
    live: dict[str, Booked | Confirmed] = {}
    holds: dict[str, Held] = {}
    ids: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for entry in entries:
        record = entry.record
        if event_id not in ("", record.event_id):
            continue
        match record:
            case Published():
                capacity[record.event_id] = {tier.tier_no: tier.capacity for tier in record.tiers}
                limited[record.event_id] = {t.tier_no for t in record.tiers if t.person_max}
            case Booked():
                ids[record.booking_id] += 1
                live[record.booking_id] = record
            case Held():
                ids[record.hold_id] += 1
                holds[record.hold_id] = record
            case Extended():
                assert record.hold_id in holds
            case Released() | Expired():
                assert holds.pop(record.hold_id).items == record.items
            case Confirmed():
                ids[record.booking_id] += 1
                live[record.booking_id] = record
                assert record.was_expired == (holds.pop(record.hold_id, None) is None)
            case Cancelled():
                ended[record.booking_id] += 1
                assert live.pop(record.booking_id).items == record.items
    assert {*ids.values()} <= {1}
    assert {*ended.values()} <= {1}
    for one, places in capacity.items():
        await _check_event(redis, shard, one, places, live, ended, holds, limited[one])


async def _check_event(
    redis: Redis,
    shard: int,
    event_id: str,
    capacity: dict[int, int],
    live: dict[str, Booked | Confirmed],
    ended: Counter[str],
    holds: dict[str, Held],
    limited: set[int],
) -> None:
    sold: Counter[int] = Counter()
    held: Counter[int] = Counter()
    taken: Counter[str] = Counter()
    own = [booking for booking in live.values() if booking.event_id == event_id]
    for booking in own:
        for item in booking.items:
            sold[item.tier_no] += item.quantity
            taken[booking.user_id] += item.quantity
            if item.tier_no in limited:
                taken[f"{booking.user_id}/{item.tier_no}"] += item.quantity
    for hold in holds.values():
        if hold.event_id == event_id:
            for item in hold.items:
                held[item.tier_no] += item.quantity
                taken[hold.user_id] += item.quantity
                if item.tier_no in limited:
                    taken[f"{hold.user_id}/{item.tier_no}"] += item.quantity
    tiers = await stock(redis, shard, event_id)
    assert {n: Tier(capacity[n] - sold[n] - held[n], held[n], sold[n]) for n in capacity} == tiers
    assert min(tier.available for tier in tiers.values()) >= 0
    assert dict(taken) == await persons(redis, shard, event_id)
    rows = await rows_of(redis, keys.event(shard, event_id).bookings)
    states = {booking_id.decode(): row.split()[0] for booking_id, row in rows.items()}
    assert {b.booking_id for b in own} == {key for key, s in states.items() if s == b"confirmed"}
    assert {key for key, s in states.items() if s == b"cancelled"} <= set(ended)


_COUNTERS = (b"available", b"held", b"sold")


def servers_of(redis_url: str, database_url: str) -> Servers:
    """Return what commands know of a deployment that has one server of each kind."""
    return Servers(
        redis_servers={"0": redis_url},
        database_url=database_url,
        redis_timeout_ms=10_000,
        database_timeout_ms=10_000,
        journal_backlog_records_max=1_000_000,
        journal_backlog_bytes_max=1 << 30,
        journal_backlog_age_ms_max=3_600_000,
        durability="fsync",
        hold_life_max_ms=1_800_000,
    )
