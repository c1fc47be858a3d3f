"""
P8, P11: what a confirmed booking and an idle published event cost Redis in bytes.

Measured as the growth of Redis's memory after the persister has written everything and the
journal is trimmed, which the rig does at once (`EVENTLY_JOURNAL_RETENTION_S=0`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.engine import Engine
from engine.ids import new_id
from engine.redis_client import connect
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.rig import Rig
from loadtests.bench.sale import find_drift
from loadtests.bench.script import SHARD, TIMEOUT_MS, book_all, open_engine, order_of, publish
from loadtests.bench.stage import Stage

TIERS = 3
OTHER_TIERS = (1, 10)
#: Entries that may stay in a trimmed journal: a node of the stream is trimmed whole.
JOURNAL_REST_MAX = 200
SETTLE_TIMEOUT_S = 90.0
POLL_S = 0.1


async def measure_p8(stage: Stage) -> Result:
    """Book by distinct persons, one place each; divide what Redis has grown by."""
    count = stage.sizes.bookings
    runs, rows = [], []
    async with _trimming() as (rig, engine):
        redis = connect(rig.redis_url(), timeout_ms=TIMEOUT_MS)
        for _ in range(stage.sizes.pairs):
            event_id = await publish(engine, capacity=count)
            before = await settled_bytes(rig, redis, engine)
            orders = [order_of(event_id, new_id("usr")) for _ in range(count)]
            booked = await book_all(engine, orders)
            after = await settled_bytes(rig, redis, engine)
            fault = "" if booked == count else f"lost: {booked} of {count} booked"
            runs.append(Run((after - before) / count, fault))
            rows.append({"before": before, "after": after, "bookings": booked})
        await redis.aclose()
    return result_of("P8", runs, {"bookings_per_event": count, "persons": count, "rows": rows})


async def measure_p11(stage: Stage) -> Result:
    """Publish many events that nobody buys; divide what Redis has grown by."""
    count = stage.sizes.events_published // 4
    runs: list[Run] = []
    others: dict[int, float] = {}
    async with _trimming() as (rig, engine):
        redis = connect(rig.redis_url(), timeout_ms=TIMEOUT_MS)
        # The first events grow what all of them share.
        await _bytes_per_event(rig, redis, engine, count // 4, tiers=TIERS)
        for _ in range(stage.sizes.pairs):
            bytes_each = await _bytes_per_event(rig, redis, engine, count, tiers=TIERS)
            runs.append(Run(bytes_each))
        for tiers in OTHER_TIERS:
            others[tiers] = round(
                await _bytes_per_event(rig, redis, engine, count // 4, tiers=tiers), 1
            )
        await redis.aclose()
    return result_of("P11", runs, {"events": count, "tiers": TIERS, "bytes_by_tiers": others})


@contextlib.asynccontextmanager
async def _trimming() -> AsyncIterator[tuple[Rig, Engine]]:
    """Run a rig whose persister trims the journal as soon as PostgreSQL has it."""
    async with Rig(journal_retention_s=0) as rig, open_engine(rig) as engine, rig.persisting():
        yield rig, engine


async def _bytes_per_event(
    rig: Rig, redis: Redis, engine: Engine, count: int, *, tiers: int
) -> float:
    before = await settled_bytes(rig, redis, engine)
    for _ in range(count):
        await publish(engine, capacity=1_000, tiers=tiers)
    return (await settled_bytes(rig, redis, engine) - before) / count


async def settled_bytes(rig: Rig, redis: Redis, engine: Engine) -> int:
    """
    Return the bytes that Redis keeps for its data, once nothing is under way.

    Buffers of connections and of the append-only file come and go, and are left out. Keys with a
    deadline are waited for, if there are any: they are not what is kept.
    """
    await find_drift(rig, [])
    journal = keys.journal(SHARD, engine.reign(SHARD).epoch)
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    last = -1
    while time.monotonic() < deadline_s:
        info: dict[str, Any] = await redis.info()
        now = info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"]
        rest: int = await redis.xlen(journal)
        expiring = sum(info[name]["expires"] for name in info if name.startswith("db"))
        if rest <= JOURNAL_REST_MAX and not expiring and abs(now - last) < 1024:
            return int(now)
        last = now
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"Redis did not come to rest: {rest} records, {expiring} expiring keys")
