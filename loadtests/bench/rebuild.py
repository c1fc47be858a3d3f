"""
How long a lost shard stays shut: its rebuild against a raw COPY out of the same rows (P10).

    python -m loadtests.bench.rebuild --bookings 1000000

Starts servers of its own, writes bookings straight into PostgreSQL, and runs the recovery that a
coordinator runs. `copy_s` is what PostgreSQL needs to say bookings, items and tickets at all;
`load_s` is the rebuild, `verify_s` the proof before the door opens.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import asyncpg
import uvloop
from redis.asyncio import Redis

from engine.ids import new_id
from engine.records import Published, Tier, encode
from engine.redis_client import connect as connect_redis
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.rig import servers
from loadtests.bench.stage import QUICK, Stage
from reconciler.recover.coordinator import Coordinator
from store.migrate import migrate
from store.pool import connect

#: Enough that seconds, not starts, are compared.
BOOKINGS, QUICK_BOOKINGS = 200_000, 10_000
EVENTS = 10
BACKLOG_MAX = 1_000_000
TIMEOUT_MS = 600_000
AT_MS = 1_800_000_000_000
ROWS = ("SELECT * FROM bookings", "SELECT * FROM items", "SELECT * FROM tickets")
#: Persons have two bookings each, and every second booking has two places.
TIERS = 3


async def measure_p10(stage: Stage) -> Result:
    """
    Rebuild a shard from PostgreSQL, and COPY the rows that it takes out.

    The proof that follows every rebuild is not part of the ratio; the detail has its seconds.
    """
    bookings = QUICK_BOOKINGS if stage.sizes == QUICK else BOOKINGS
    rounds = [await measure(bookings=bookings) for _ in range(stage.sizes.pairs)]
    return result_of("P10", [Run(float(one["ratio"])) for one in rounds], {"rounds": rounds})


async def measure(*, bookings: int, events: int = EVENTS) -> dict[str, Any]:
    """
    Seed, wipe, recover; return seconds and their ratio.

    Args:
        bookings: How many, shared out evenly.

        events: Events that have them.
    """
    with servers() as (redis_url, database_url):
        await migrate(database_url)
        database = await connect(database_url, timeout_ms=TIMEOUT_MS)
        redis = connect_redis(redis_url, timeout_ms=TIMEOUT_MS)
        await _seed(database, bookings, events)
        copy_s = await _copy_s(database)
        figures = await _rebuild(redis, database, database_url)
        await redis.aclose()
        await database.close()
    ratio = round(figures["load_s"] / copy_s, 2)
    return (
        {"bookings": bookings, "events": events, "copy_s": round(copy_s, 2)}
        | figures
        | {"ratio": ratio}
    )


async def _seed(database: asyncpg.Connection, bookings: int, events: int) -> None:
    organizer = new_id("org")
    await database.execute("INSERT INTO organizers (id, name) VALUES ($1, 'Hall')", organizer)
    records = []
    each = bookings // events
    for _ in range(events):
        event_id = new_id("evt")
        await database.execute(
            "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
            " ends_at, sale_opens_at, sale_closes_at, person_max, status, published_at)"
            " VALUES ($1, $2, 0, 'Show', 'UTC', 'EUR', now(), now(), to_timestamp(0),"
            " to_timestamp(9000000000), 10, 'published', now())",
            event_id,
            organizer,
        )
        for tier_no in range(1, TIERS + 1):
            await database.execute(
                "INSERT INTO tiers VALUES ($1, $2, $3, 'Floor', 2500, $4, 10)",
                event_id,
                tier_no,
                new_id("tier"),
                each,
            )
        tiers = [Tier(number, each, 2500, 10) for number in range(1, TIERS + 1)]
        records.append(
            Published(
                version=1,
                at_ms=AT_MS,
                event_id=event_id,
                fingerprint="f",
                opens_at_ms=0,
                closes_at_ms=9_000_000_000_000,
                person_max=10,
                tiers=tiers,
            )
        )
        await _seed_bookings(database, event_id, each)
    text = b"\n".join(encode(record) for record in records).decode()
    await database.execute(
        "INSERT INTO journal VALUES (0, 1, 1, $1, now(), $2)", len(records), text
    )
    await database.execute("INSERT INTO shard_checkpoint VALUES (0, 1, $1)", len(records))
    await database.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home)"
        " VALUES (0, 1, 'open', 'bench', now(), 'n', '0')"
    )
    await database.execute("VACUUM ANALYZE")


async def _seed_bookings(database: asyncpg.Connection, event_id: str, count: int) -> None:
    own = f"{event_id[4:14]}"
    await database.execute(
        "INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard, epoch,"
        " seq, created_at, fingerprint)"
        " SELECT 'bk_' || $2 || lpad(to_hex(g), 16, '0'), $1, 'usr_' || lpad(to_hex(g / 2), 26,"
        " '0'), 'confirmed', 1, 2500 * (1 + g % 2), 0, 1, g,"
        " to_timestamp(1800000000 + g / 1000.0), 'b5bb9d8014a0f9b1d61e21e796d78dcc'"
        " FROM generate_series(1, $3::int) AS g",
        event_id,
        own,
        count,
    )
    await database.execute(
        "INSERT INTO items (event_id, booking_id, line, tier_no, quantity, unit_price_minor)"
        " SELECT $1, 'bk_' || $2 || lpad(to_hex(g), 16, '0'), 1, 1 + g % 3, 1 + g % 2, 2500"
        " FROM generate_series(1, $3::int) AS g",
        event_id,
        own,
        count,
    )
    await database.execute(
        "INSERT INTO tickets (event_id, id, booking_id, tier_no)"
        " SELECT $1, 'tkt_' || $2 || lpad(to_hex(g), 16, '0') || '_' || n,"
        " 'bk_' || $2 || lpad(to_hex(g), 16, '0'), 1 + g % 3"
        " FROM generate_series(1, $3::int) AS g, generate_series(1, 1 + g % 2) AS n",
        event_id,
        own,
        count,
    )


async def _copy_s(database: asyncpg.Connection) -> float:
    """Time a raw COPY of the tables, the second time, when all is in memory."""

    async def forget(_: bytes) -> None:
        return

    for _ in range(2):
        began_s = time.perf_counter()
        for rows in ROWS:
            await database.copy_from_query(rows, output=forget)
        taken_s = time.perf_counter() - began_s
    return taken_s


async def _rebuild(redis: Redis, database: asyncpg.Connection, url: str) -> dict[str, Any]:
    coordinator = Coordinator(
        0,
        redis,
        database,
        backlog_records_max=BACKLOG_MAX,
        database_url=url,
        database_timeout_ms=TIMEOUT_MS,
    )
    await coordinator.recover()
    recovered = coordinator.recovered
    assert recovered is not None
    assert recovered.rebuilt is not None
    return {
        "load_s": round(recovered.load_seconds, 2),
        "verify_s": round(recovered.verify_seconds, 2),
        "shut_s": round(recovered.seconds, 2),
        "loaded": recovered.rebuilt.bookings,
    }


def main() -> None:
    """Measure once and print it as JSON."""
    parser = argparse.ArgumentParser(prog="rebuild", description=__doc__)
    parser.add_argument("--bookings", type=int, default=BOOKINGS)
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    print(json.dumps(uvloop.run(measure(bookings=arguments.bookings, events=arguments.events))))


if __name__ == "__main__":
    main()
