"""
The proof before a rebuilt shard opens: Redis has what PostgreSQL has, and it adds up.

Every event is counted: its bookings, what they and live holds take of each tier and of each
person's limit, and its lists, against its counters (I1, I2, I8, I9, I12). It counts the texts by
itself: neither the fold of the records nor the image nor the codec has a part in it
(docs/decisions/0015). As many events as fit into
`EXAMINED_BOOKINGS_MAX` bookings, the smallest first, are compared value by value with the
invariants of `reconciler.judge.check` besides; `check` and `watch` do that for the rest behind the
open door, since a shut one costs sales.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine import keys
from engine.pools import parse
from engine.values import unmarked
from reconciler.event.journal import Known
from reconciler.event.violation import Violation
from reconciler.judge.check import check_rebuilt
from reconciler.recover.rebuild import Rebuilt

#: Bookings that are compared value by value before the door opens: some seconds' worth.
EXAMINED_BOOKINGS_MAX = 20_000
#: What is wrong with an organizer's rows is no reason to keep a shard shut: what is sold, and to
#: whom, follows from the records.
OF_ORGANIZER = frozenset({"event_row_differs", "event_status_differs", "promo_row_differs"})
#: Words of a booking that is not cancelled.
LIVE_WORDS = 8
#: Fields that one HSCAN asks for.
SCAN_COUNT = 2_000


async def verify(
    shard: int,
    redis: Redis,
    database: asyncpg.Connection,
    rebuilt: Rebuilt,
    checkpoints: dict[int, int],
    *,
    check_claim: Callable[[], None],
    progress: Callable[[str], None],
) -> list[Violation]:
    """
    Return what is wrong with a shard that was just rebuilt; it must still be shut.

    Cost: reads the shard's bookings once from Redis; examined ones from both stores.
    """
    found: list[Violation] = []
    for done, event_id in enumerate(rebuilt.events, start=1):
        names = keys.event(shard, event_id)
        found += await count(shard, redis, names, event_id, rebuilt.counts.get(event_id, 0))
        progress(f"shard {shard}: {done} of {len(rebuilt.events)} events counted")
        check_claim()
    left, examined = EXAMINED_BOOKINGS_MAX, []
    for event_id in sorted(rebuilt.events, key=lambda one: rebuilt.counts.get(one, 0)):
        left -= rebuilt.counts.get(event_id, 0)
        if left < 0:
            break
        examined.append(event_id)
    known = Known(checkpoints, rebuilt.states)
    result = await check_rebuilt(
        shard, redis, database, known, sorted(examined), rebuilt.counts, progress
    )
    return found + [one for one in result.violations if one.code not in OF_ORGANIZER]


async def count(
    shard: int, redis: Redis, names: keys.EventKeys, event_id: str, bookings: int
) -> list[Violation]:
    """Count one event by what its hashes have."""
    stock: Any = await redis.hgetall(names.stock)
    taken: Counter[bytes] = Counter()
    rows = broken = 0
    async for values in _values(redis, names.bookings):
        plain = map(unmarked, values)
        live = [row.split(b" ") for row in plain if row.startswith(b"confirmed ")]
        whole = [words[7] for words in live if len(words) == LIVE_WORDS]
        taken.update(whole)
        rows += len(values)
        broken += len(live) - len(whole)
    kept: Counter[bytes] = Counter()
    async for values in _values(redis, names.holds):
        kept.update(row.split(b" ")[7] for row in values if row.startswith(b"held "))
    waiting: Counter[int] = Counter()
    async for values in _values(redis, names.entries):
        waiting.update(int(row.split(b" ")[7]) for row in values if row.startswith(b"waiting "))
    sold, held = _places(taken), _places(kept)
    persons = 0
    async for fields in _scan(redis, names.persons):
        persons += sum(int(places) for user, places in fields.items() if b"/" not in user)
    figures = {
        "bookings": (bookings, rows),
        "broken bookings": (0, broken),
        "waiting": (waiting.total(), await redis.zlexcount(names.waitlist, "[0", "+")),
        "persons": (sold.total() + held.total(), persons),
    }
    for tier_no in range(1, int(stock.get(b"tier_count", 0)) + 1):
        part = {
            name: int(stock.get(f"{tier_no}.{name}".encode(), -1))
            for name in ("capacity", "available", "held", "sold", "blocked")
        }
        capacity, available, tier_held, tier_sold, blocked = part.values()
        figures[f"{tier_no}.sold"] = (sold[tier_no], tier_sold)
        figures[f"{tier_no}.held"] = (held[tier_no], tier_held)
        figures[f"{tier_no}.waiting"] = (
            waiting[tier_no],
            int(stock.get(f"{tier_no}.waiting".encode(), 0)),
        )
        figures[f"{tier_no}.capacity"] = (available + tier_held + tier_sold + blocked, capacity)
        figures[f"{tier_no}.available"] = (max(0, available), available)
    for pool_no, pool in enumerate(parse(stock.get(b"pools", b"").decode()), start=1):
        left = pool.left(sold + held)
        figures[f"p{pool_no}.left"] = (max(0, left), left)
    return [
        Violation(
            invariant="I2",
            code="rebuilt_differs",
            shard=shard,
            event_id=event_id,
            subject=name,
            expected=expected,
            found=got,
            message=f"{name} of the rebuilt event do not add up",
        )
        for name, (expected, got) in figures.items()
        if expected != got
    ]


def _places(items: Mapping[bytes, int]) -> Counter[int]:
    """Add up items as they are kept, each with how often it occurs."""
    places: Counter[int] = Counter()
    for word, times in items.items():
        for line in filter(None, word.partition(b"/")[0].split(b",")):
            tier_no, quantity = map(int, line.split(b":")[:2])
            places[tier_no] += quantity * times
    return places


async def _values(redis: Redis, key: str) -> Any:
    async for fields in _scan(redis, key):
        yield fields.values()


async def _scan(redis: Redis, key: str) -> Any:
    """Yield the fields of a hash, each once: while Redis resizes it, HSCAN may show some twice."""
    cursor: Any = 0
    seen: set[bytes] = set()
    while True:
        page: Any = await redis.hscan(key, cursor, count=SCAN_COUNT)
        cursor, fields = page
        fields.pop(keys.MARK.encode(), None)
        if not seen.isdisjoint(fields):
            fields = {name: value for name, value in fields.items() if name not in seen}
        seen.update(fields)
        yield fields
        if int(cursor) == 0:
            return
