"""
P6: how many rows a second the persister writes, against a raw COPY of the same rows.

One pair: the real persister empties a journal of bookings in Valkey into PostgreSQL, and the rows
it made are then copied into the same emptied tables, in transactions of the same size. Both have
the same indexes, the same disk and the same machine, so that the ratio says what the persister
adds: reading, checking, decoding, the journal's archive, the outbox, and exactly-once.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine import framing, keys, scripts
from engine.homes import ONLY_SERVER
from engine.ids import booking_id, new_id
from engine.records import CHECK_CHARS, FIELD, Booked, Item, encode
from engine.redis_client import connect as connect_redis
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.rig import servers
from loadtests.bench.stage import QUICK, Stage
from persister.persister import Options, Persister, calm_collector
from store import reigns
from store.migrate import migrate
from store.pool import connect

#: Bookings in one run; each is one line of two places: four rows, and an outbox row.
BOOKINGS, QUICK_BOOKINGS = 60_000, 10_000
PLACES = 2
RECORDS_MAX = 4_000
TIMEOUT_MS = 60_000
#: Bookings that one script call makes: one entry of the journal, of one moment.
BOOKINGS_PER_CALL = 20
AT_MS = 1_800_000_000_000
#: Tables whose rows count, in the order in which both sides write them, and how they are read.
TABLES = {
    "bookings": "SELECT * FROM bookings",
    "items": "SELECT * FROM items",
    "tickets": "SELECT * FROM tickets",
}
PIPELINE_COMMANDS = 250


async def measure_p6(stage: Stage) -> Result:
    """Let the persister empty a journal, and COPY the rows that it made."""
    bookings = QUICK_BOOKINGS if stage.sizes == QUICK else BOOKINGS
    thresholds = gc.get_threshold()
    calm_collector()  # As the persister's own process does.
    try:
        with servers() as (redis_url, database_url):
            await migrate(database_url)
            pairs = await _measure(redis_url, database_url, bookings, stage.sizes.pairs)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    return result_of(
        "P6",
        [Run(pair["ratio"]) for pair in pairs],
        {"bookings": bookings, "records_max": RECORDS_MAX, "pairs": pairs},
    )


async def _measure(
    redis_url: str, database_url: str, bookings: int, pairs: int
) -> list[dict[str, float]]:
    runs = []
    async with _clients(redis_url, database_url) as (redis, database):
        for number in range(pairs):
            await _fill_journal(redis, database, number, bookings)
            await _empty(database)
            persist_s = await _persist(redis, database_url, database, number, bookings)
            rows = {table: await _read(database, table) for table in TABLES}
            count = sum(len(records) for _, records in rows.values())
            expected = bookings * (2 + PLACES)
            if count != expected:
                raise AssertionError(f"the persister wrote {count} rows, not {expected}")
            await _empty(database)
            copy_s = await _copy(database, rows, bookings)
            await redis.delete(keys.journal(number, 1))
            runs.append(
                {
                    "ratio": copy_s / persist_s,
                    "persister_rows_per_s": count / persist_s,
                    "copy_rows_per_s": count / copy_s,
                }
            )
    return runs


@asynccontextmanager
async def _clients(
    redis_url: str, database_url: str
) -> AsyncIterator[tuple[Redis, asyncpg.Connection]]:
    redis = connect_redis(redis_url, timeout_ms=None, connections_max=4)
    database = await connect(database_url, timeout_ms=TIMEOUT_MS)
    try:
        yield redis, database
    finally:
        await database.close()
        await redis.aclose()


async def _fill_journal(
    redis: Redis, database: asyncpg.Connection, shard: int, bookings: int
) -> None:
    """Open the shard as a coordinator would, and append the records of many bookings."""
    nonce = f"bench{shard}"
    assert await reigns.claim(database, shard, seen=None, holder="bench", nonce=nonce)
    await reigns.publish_open(
        database, shard, epoch=1, holder="bench", redis_run_id="", redis_replid=""
    )
    for name in scripts.NAMES:
        await redis.script_load(scripts.render(name, nonce))
    meta: dict[Any, Any] = {
        "epoch": 1,
        "state": "open",
        "seq": bookings,
        "persisted_seq": 0,
        "trimmed_seq": 0,
        "backlog_max": 10 * bookings,
        "layout": keys.LAYOUT_VERSION,
    }
    await redis.hset(keys.meta(shard), mapping=meta)
    event = new_id("evt")
    pipeline = redis.pipeline(transaction=False)
    for last in range(BOOKINGS_PER_CALL, bookings + 1, BOOKINGS_PER_CALL):
        calls = range(last - BOOKINGS_PER_CALL + 1, last + 1)
        text = _entry(event, calls)
        pipeline.xadd(keys.journal(shard, 1), {FIELD: text}, id=f"{last}-1")
        if len(pipeline.command_stack) == PIPELINE_COMMANDS:
            await pipeline.execute()
    await pipeline.execute()


def _entry(event: str, seqs: range) -> bytes:
    """Return a journal entry as `book` writes it of plain orders: a template, and lines."""
    template = Booked(
        version=1,
        at_ms=AT_MS + seqs[0] // BOOKINGS_PER_CALL,
        event_id=event,
        booking_id="BLANK",
        user_id="BLANK",
        fingerprint="BLANK",
        items=[Item(1, PLACES, 5_000)],
    )
    lines = [b"=" + encode(template)[CHECK_CHARS:].replace(b"BLANK", b"\t")]
    for seq in seqs:
        user = new_id("usr")
        own_id = booking_id(event_id=event, user_id=user, idempotency_key=str(seq))
        lines.append(f"0\t{own_id}\t{user}\t{seq:032x}".encode())
    return framing.add_check(b"\n".join(lines))


async def _persist(
    redis: Redis, database_url: str, database: asyncpg.Connection, shard: int, bookings: int
) -> float:
    """Run the persister over the whole journal; return its seconds."""
    persister = Persister(
        {ONLY_SERVER: redis},
        database_url,
        Options(
            shard=shard, records_max=RECORDS_MAX, retention_s=600, database_timeout_ms=TIMEOUT_MS
        ),
    )
    begun = time.perf_counter()
    task = asyncio.create_task(persister.run())
    while int(await redis.hget(keys.meta(shard), "persisted_seq") or 0) < bookings:
        if task.done():
            raise AssertionError("the persister ended")
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - begun
    persister.stop()
    await task
    return seconds


async def _empty(database: asyncpg.Connection) -> None:
    await database.execute("TRUNCATE bookings, items, tickets, journal, outbox")
    await database.execute("CHECKPOINT")


async def _read(
    database: asyncpg.Connection, table: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns of *table* that may be written, and its rows."""
    columns = [
        row["column_name"]
        for row in await database.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            " AND is_generated = 'NEVER' ORDER BY ordinal_position",
            table,
        )
    ]
    rows = await database.fetch(TABLES[table])
    return columns, [tuple(row[column] for column in columns) for row in rows]


async def _copy(
    database: asyncpg.Connection,
    rows: dict[str, tuple[list[str], list[tuple[Any, ...]]]],
    bookings: int,
) -> float:
    """Copy the rows in as many transactions as the persister had; return the seconds."""
    batches = -(-bookings // RECORDS_MAX)
    begun = time.perf_counter()
    for number in range(batches):
        async with database.transaction():
            for table, (columns, records) in rows.items():
                size = -(-len(records) // batches)
                await database.copy_records_to_table(
                    table, columns=columns, records=records[number * size : (number + 1) * size]
                )
    return time.perf_counter() - begun
