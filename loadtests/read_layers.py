"""
What the rows of an event's page, and of a page of the list, cost from each layer.

    python -m loadtests.read_layers

The same bytes come from the process's memory, from Redis (`GET`, and decoding), and from PostgreSQL
as the API reads them; one after the other in turns, in one process, over unix sockets. So what
counts is what one is of another, not the times. Decision 0026 has the figures.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.ids import new_id
from engine.redis_client import connect
from evently.embedded import PostgresServer, ValkeyServer
from loadtests.server import open_folder
from store import events, search, users
from store.migrate import migrate
from store.pool import create_pool
from usecases.memory import Recent

EVENTS = 2_000
#: Reads of each kind in a turn, and turns.
READS, TURNS = 200, 9
PAGE = 21
TIMEOUT_MS = 10_000
AGE_MAX_S = 3_600.0
_INSERT = (
    "INSERT INTO events (id, organizer_id, shard, status, name, description, category, place,"
    " timezone, currency, starts_at, ends_at, sale_opens_at, sale_closes_at, person_max)"
    " SELECT id, $2, 0, 'published', 'An evening ' || right(id, 4), repeat('Some words. ', 100),"
    " 'music', 'Vienna', 'UTC', 'EUR', now() + interval '9 days', now() + interval '10 days',"
    " now(), now() + interval '9 days', 9 FROM unnest($1::text[]) id"
)
_TIERS = (
    "INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max)"
    " SELECT id, no, 'tier_' || left(right(id, 26), 24) || lpad(no::text, 2, '0'), 'Floor', 4500,"
    " 100, 10 FROM unnest($1::text[]) id, generate_series(1, 3) no"
)

Answer = tuple[list[events.Event], dict[str, list[events.Tier]]]
Read = Callable[[], Awaitable[Any]]


async def _fill(pool: asyncpg.Pool) -> list[str]:
    ids = sorted(new_id("evt") for _ in range(EVENTS))
    await pool.execute(_INSERT, ids, await users.add_organizer(pool, "House"))
    await pool.execute(_TIERS, ids)
    await pool.execute("VACUUM ANALYZE events, tiers, event_search")
    return ids


async def _page(pool: asyncpg.Pool, event_id: str) -> Answer:
    return await events.by_ids(pool, [event_id]), await events.tiers_of(pool, [event_id])


async def _list(pool: asyncpg.Pool) -> Answer:
    ids = await search.find(pool, after=(dt.datetime.now(dt.UTC), ""), limit=PAGE)
    return await events.by_ids(pool, ids), await events.tiers_of(pool, ids)


async def _layers(pool: asyncpg.Pool, redis: Redis, name: str, read: Read) -> dict[str, Read]:
    """Return how the same rows are read from each layer."""
    memory = Recent[str, Any](most=10)
    decoder = msgspec.msgpack.Decoder(Answer)
    await redis.set(name, msgspec.msgpack.encode(await read()))

    async def from_memory() -> Any:
        return await memory.find(name, read, age_max_s=AGE_MAX_S)

    async def from_redis() -> Any:
        kept = await redis.get(name)
        assert isinstance(kept, bytes), "it was put there, and nothing ends it"
        return decoder.decode(kept)

    return {"memory": from_memory, "redis": from_redis, "postgresql": read}


async def _took_us(read: Read) -> tuple[float, float]:
    """Return what a read takes, in us: by the clock, and of this process's CPU."""
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(READS):
        await read()
    cpu_s, clock_s = time.process_time() - begun_cpu_s, time.perf_counter() - begun_s
    return clock_s / READS * 1e6, cpu_s / READS * 1e6


async def _measure(layers: dict[str, Read]) -> dict[str, tuple[float, float]]:
    """Return the medians of all turns, by layer."""
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in layers}
    for _ in range(TURNS):
        for name, read in layers.items():
            turns[name].append(await _took_us(read))
    return {
        name: (statistics.median(t[0] for t in took), statistics.median(t[1] for t in took))
        for name, took in turns.items()
    }


async def _run(postgres: PostgresServer, valkey: ValkeyServer) -> list[str]:
    await migrate(postgres.url)
    pool = await create_pool(postgres.url, connections_max=2, timeout_ms=TIMEOUT_MS)
    redis = connect(valkey.url, timeout_ms=TIMEOUT_MS)
    lines = []
    try:
        ids = await _fill(pool)
        reads: dict[str, Read] = {
            "event page": lambda: _page(pool, ids[7]),
            "list page": lambda: _list(pool),
        }
        for what, read in reads.items():
            took = await _measure(await _layers(pool, redis, what, read))
            for layer, (clock_us, cpu_us) in took.items():
                share = cpu_us / took["postgresql"][1]
                lines.append(
                    f"{what:<11} {layer:<11} {clock_us:8.1f} us  {cpu_us:8.1f} us of CPU here"
                    f"  {share:5.2f} of PostgreSQL's"
                )
    finally:
        await redis.aclose()
        await pool.close()
    return lines


def main() -> None:
    """Measure, and print one block."""
    with open_folder() as folder:
        postgres, valkey = PostgresServer(folder), ValkeyServer(folder / "valkey")
        postgres.start()
        try:
            valkey.start()
            try:
                lines = asyncio.run(_run(postgres, valkey))
            finally:
                valkey.stop()
        finally:
            postgres.kill()
    sys.stdout.write("\n".join(["READ LAYERS", *lines]) + "\n")


if __name__ == "__main__":
    main()
