"""
P4: the CPU time that Valkey spends on a booking, against a raw XADD of the very same record.

Both with `appendfsync always`, 64 commands to a call, one call at a time: what is left is what
the script adds to writing the record down. Time on the wire and in Python does not count.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.commands import Order, Publish, TierStock
from engine.engine import Engine
from engine.ids import booking_id, new_id
from engine.outcomes import Booked
from engine.records import raw_records
from engine.redis_client import connect
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.cpu import cpu_s
from loadtests.bench.rig import Rig
from loadtests.bench.sale import find_drift
from loadtests.bench.stage import Stage
from store.pool import create_pool
from usecases.wiring import reign_reader

CALL_COMMANDS = 64
#: Runs are short and cheap; more of them make the median steadier.
PAIRS = 5
SHARD = 0
TIMEOUT_MS = 30_000
FAR_AHEAD_MS = 4_102_444_800_000


async def measure_p4(stage: Stage) -> Result:
    """Drive the batched script through the engine, then XADD the records it wrote."""
    calls = stage.sizes.bookings // CALL_COMMANDS
    runs, pairs = [], []
    async with Rig() as rig, open_engine(rig) as engine:
        redis = connect(rig.redis_url(), timeout_ms=TIMEOUT_MS)
        # A rewrite would fall to whichever side is at work when the file has doubled.
        await redis.config_set("auto-aof-rewrite-percentage", 0)
        for number in range(PAIRS + 1):
            first_seq = await _last_seq(redis) + 1
            script_us, fault = await _drive_script(rig.valkey_pid, engine, calls)
            records = await _records(redis, engine, first_seq)
            fault = fault or _count_fault(len(records), calls * CALL_COMMANDS)
            xadd_us = await _drive_xadd(rig.valkey_pid, redis, f"raw:{number}", records)
            if not number:
                continue  # The first round warms both up.
            runs.append(Run(script_us / xadd_us, fault))
            pairs.append(
                {
                    "script_us": round(script_us, 3),
                    "xadd_us": round(xadd_us, 3),
                    "record_bytes": round(sum(map(len, records)) / max(1, len(records)), 1),
                }
            )
        await redis.aclose()
        async with rig.persisting():
            await find_drift(rig, [])
    return result_of(
        "P4", runs, {"commands_per_call": CALL_COMMANDS, "calls": calls, "pairs": pairs}
    )


@asynccontextmanager
async def open_engine(rig: Rig, *, commands_max: int = CALL_COMMANDS) -> AsyncIterator[Engine]:
    """Connect to the rig's shard as an API process does, one call at a time."""
    pool = await create_pool(rig.settings.database_url, connections_max=2, timeout_ms=TIMEOUT_MS)
    engine = Engine(
        {"0": connect(rig.redis_url("api"), timeout_ms=TIMEOUT_MS)},
        reign_reader(pool),
        shards=[0],
        commands_max=commands_max,
        in_flight_max=1,
    )
    engine.start()
    try:
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            while not engine.is_open:  # noqa: ASYNC110  Doors open without an event.
                await asyncio.sleep(0.01)
        yield engine
    finally:
        await engine.stop(timeout_s=5)
        await pool.close()


async def publish(engine: Engine, *, capacity: int, tiers: int = 1) -> str:
    """Put an event on sale in Redis alone; PostgreSQL does not know it."""
    event_id = new_id("evt")
    stock = TierStock(capacity=capacity, price_minor=4_500, order_max=10)
    await engine.publish(
        SHARD, Publish(event_id, secrets.token_hex(8), 0, FAR_AHEAD_MS, 1_000, (stock,) * tiers)
    )
    return event_id


def order_of(event_id: str, user_id: str) -> Order:
    """Return an order of one place with a key of its own."""
    own_id = booking_id(event_id=event_id, user_id=user_id, idempotency_key=secrets.token_hex(8))
    return Order(event_id, own_id, user_id, secrets.token_hex(8), b"{}", ((1, 1),))


async def book_all(engine: Engine, orders: list[Order]) -> int:
    """Book *orders* in full batches, one call at a time; return how many were booked."""
    booked = 0
    for start in range(0, len(orders), CALL_COMMANDS):
        outcomes = await asyncio.gather(
            *(engine.book(SHARD, order) for order in orders[start : start + CALL_COMMANDS])
        )
        booked += sum(isinstance(outcome, Booked) for outcome in outcomes)
    return booked


async def _drive_script(valkey_pid: int, engine: Engine, calls: int) -> tuple[float, str]:
    """Return Valkey's CPU time per booking in µs, and what went wrong."""
    count = calls * CALL_COMMANDS
    event_id = await publish(engine, capacity=count)
    orders = [order_of(event_id, new_id("usr")) for _ in range(count)]
    before_s = cpu_s(valkey_pid)
    booked = await book_all(engine, orders)
    used_s = cpu_s(valkey_pid) - before_s
    return 1e6 * used_s / count, "" if booked == count else f"lost: {booked} of {count} booked"


async def _drive_xadd(valkey_pid: int, redis: Redis, stream: str, records: list[bytes]) -> float:
    """Append the same records to a stream of their own; return the CPU time of each in µs."""
    calls = [
        [
            (f"{start + n + 1}-1", record)
            for n, record in enumerate(records[start : start + CALL_COMMANDS])
        ]
        for start in range(0, len(records), CALL_COMMANDS)
    ]
    before_s = cpu_s(valkey_pid)
    for call in calls:
        pipeline = redis.pipeline(transaction=False)
        for own_id, record in call:
            pipeline.xadd(stream, {"record": record}, id=own_id)
        await pipeline.execute()
    used_s = cpu_s(valkey_pid) - before_s
    return 1e6 * used_s / max(1, len(records))


async def _records(redis: Redis, engine: Engine, first_seq: int) -> list[bytes]:
    """Return the raw bookings of the journal from *first_seq* on."""
    journal = keys.journal(SHARD, engine.reign(SHARD).epoch)
    rows: Any = await redis.xrange(journal, f"{first_seq}-1")
    return [record for row in rows for _, record in raw_records(*row) if b'"booked"' in record]


async def _last_seq(redis: Redis) -> int:
    return int(await redis.hget(keys.meta(SHARD), "seq") or 0)


def _count_fault(found: int, expected: int) -> str:
    return "" if found == expected else f"lost: {found} of {expected} bookings in the journal"
