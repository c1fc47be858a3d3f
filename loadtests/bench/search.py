"""
P15: what a search of a million events takes of PostgreSQL, on page 1 and on page 50.

`python -m loadtests.bench search` fills a database of its own with published events and asks for
pages of 20 as the API does: ids, rows and tiers, over one connection. Words follow Zipf's law.
Beside the usual searches stand two that are there to be slow: common words that never meet, and a
word that only the last weeks have.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from rich.console import Console
from rich.table import Table

from engine.ids import new_id
from evently.embedded import PostgresServer
from loadtests.bench.cpu import load_average
from loadtests.bench.words import EVEN, LATE, ODD, Author
from loadtests.server import open_folder
from store import events, search
from store.migrate import migrate
from store.pool import Database, Pool, connect, create_pool
from store.tenants import Connection

EVENTS = 1_000_000
EVENTS_QUICK = 20_000
#: Of each kind of search.
QUERIES, QUERIES_QUICK = 60, 10
PAGE = 20
PAGES = (1, 50)
P95_MAX_MS, P99_MAX_MS = 20.0, 40.0
SEED = 15
DAYS = 365
COPY_ROWS = 10_000
#: Events that go through their triggers, to see what that costs.
SAMPLE_ROWS = 1_000
TIMEOUT_MS = 1_800_000
COLUMNS = (
    "id",
    "organizer_id",
    "shard",
    "status",
    "name",
    "description",
    "category",
    "place",
    "timezone",
    "currency",
    "starts_at",
    "ends_at",
    "sale_opens_at",
    "sale_closes_at",
    "person_max",
)
_ORGANIZER = "INSERT INTO organizers (id, name) VALUES ($1, 'House')"
#: No trigger for each row, and the indexes at the end: as a restore does it.
_BARE = (
    "SET session_replication_role = replica",
    "SET synchronous_commit = off",
    "DROP INDEX event_search_by_words",
    "DROP INDEX event_search_by_start",
)
_LIST = """
INSERT INTO event_search (event_id, starts_at, over_at, words)
SELECT id, starts_at, over_at(events), search_vector(events) FROM events
"""
_TIERS = """
INSERT INTO tiers (event_id, organizer_id, tier_no, id, name, price_minor, capacity, order_max)
SELECT id, organizer_id, 1, 'tier_' || right(id, 26), 'Standing', 4500, 1000, 10 FROM events
"""
#: The same events again, some minutes later, under other ids: those begin with 0.
_AGAIN = (
    """
    INSERT INTO events (id, organizer_id, shard, status, name, description, category, place,
                        timezone, currency, starts_at, ends_at, sale_opens_at, sale_closes_at,
                        person_max)
    SELECT 'evt_' || $1 || substr(id, 6), organizer_id, shard, status, name, description, category,
           place, timezone, currency, starts_at + $2, ends_at + $2, sale_opens_at,
           sale_closes_at + $2, person_max
    FROM events WHERE id < 'evt_1'
    """,
    """
    INSERT INTO event_search (event_id, starts_at, over_at, words)
    SELECT 'evt_' || $1 || substr(event_id, 6), starts_at + $2, over_at + $2,
           ts_delete(words, search_days(starts_at))
           || array_to_tsvector(ARRAY[search_days(starts_at + $2)])
    FROM event_search WHERE event_id < 'evt_1'
    """,
    """
    INSERT INTO tiers (event_id, organizer_id, tier_no, id, name, price_minor, capacity,
                       order_max)
    SELECT 'evt_' || $1 || substr(event_id, 6), organizer_id, tier_no,
           'tier_' || $1 || substr(id, 7), name, price_minor, capacity, order_max
    FROM tiers WHERE event_id < 'evt_1' AND $2::interval IS NOT NULL
    """,
)
_INDEXES = (
    "SET maintenance_work_mem = '512MB'",
    "CREATE INDEX event_search_by_words ON event_search USING gin (words) WITH (fastupdate = off)",
    "CREATE UNIQUE INDEX event_search_by_start ON event_search (starts_at, event_id)",
)
_SETTLE = tuple(f"VACUUM ANALYZE {table}" for table in ("events", "tiers", "event_search"))
_SIZES = """
SELECT pg_table_size('event_search') AS heap, pg_relation_size('event_search_by_start') AS by_start,
       pg_relation_size('event_search_by_words') AS by_words
"""
#: Times that each event is there, and connections that write them.
COPIES, WRITERS = 10, 3

Draw = Callable[[Author], dict[str, Any]]


class Took(NamedTuple):
    """What searches of one kind took on one page, in ms: by the clock, and of CPU."""

    kind: str
    page: int
    ms: list[float]
    cpu_ms: list[float]
    is_usual: bool


USUAL: dict[str, Draw] = {
    "nothing asked": lambda _: {},
    "common word": lambda one: {"text": one.word(0, 30)},
    "middling word": lambda one: {"text": one.word(200, 2_000)},
    "rare word": lambda one: {"text": one.word(10_000, 30_000)},
    "two words": lambda one: {"text": f"{one.word(0, 100)} {one.word(0, 1_000)}"},
    "beginning of a word": lambda one: {"text": one.word(0, 30_000)[:4]},
    "no such word": lambda one: {"text": f"{one.word(0, 100)} nowhere"},
    "category": lambda one: {"category": one.category()},
    "category and place": lambda one: {"category": one.category(), "place": one.place()},
    "word, place, month": lambda one: {
        "text": one.word(0, 1_000),
        "place": one.place(),
        "starts_before": dt.datetime.now(dt.UTC) + dt.timedelta(days=30),
    },
}
HARD: dict[str, Draw] = {
    "words that never meet": lambda _: {"text": f"{EVEN} {ODD}"},
    "word of the last weeks": lambda _: {"text": LATE},
}


async def measure(*, is_quick: bool) -> bool:
    """Fill, ask, print the figures; return whether they reach what is promised."""
    count = EVENTS_QUICK if is_quick else EVENTS
    queries = QUERIES_QUICK if is_quick else QUERIES
    console = Console(width=120)
    with open_folder() as path:
        server = PostgresServer(path)
        server.start()
        try:
            await migrate(server.url)
            author = Author(seed=SEED, first_at=dt.datetime.now(dt.UTC), days=DAYS)
            facts = await fill(server.url, author, count)
            console.print(facts, highlight=False)
            pool = await create_pool(
                server.url, connections_max=1, timeout_ms=TIMEOUT_MS, plans_anew=True
            )
            try:
                took = await ask(pool, author, queries)
            finally:
                await pool.close()
        finally:
            server.stop()
    return _show(console, took, count)


async def fill(url: str, author: Author, count: int) -> str:
    """Add published events and their list; return what that took."""
    connection = await connect(url, timeout_ms=TIMEOUT_MS)
    started_s = time.monotonic()
    try:
        organizer = new_id("org")
        await connection.execute(_ORGANIZER, organizer)
        for statement in _BARE:
            await connection.execute(statement)
        base = count // COPIES
        for start in range(0, base, COPY_ROWS):
            rows = [_row(author, organizer) for _ in range(min(COPY_ROWS, base - start))]
            await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
        await connection.execute(_LIST)
        await connection.execute(_TIERS)
        copies = range(1, COPIES)
        await asyncio.gather(*(_again(url, copies[n::WRITERS]) for n in range(WRITERS)))
        for statement in (*_INDEXES, *_SETTLE):
            await connection.execute(statement)
        filled_s = time.monotonic() - started_s
        sizes = await connection.fetchrow(_SIZES)
        assert sizes is not None
        each_us = await _trigger_us(connection, author, organizer)
    finally:
        await connection.close()
    mib = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sizes.items())
    return (
        f"filled {count} events in {filled_s:.0f} s; {mib}; one event through its trigger: "
        f"{each_us:.0f} µs of CPU; load average {load_average()}"
    )


def _row(author: Author, organizer: str) -> tuple[Any, ...]:
    made, now = author.event(), dt.datetime.now(dt.UTC)
    moments = (made.starts_at, made.starts_at, now, made.starts_at)
    texts = (made.name, made.description, made.category, made.place, "UTC", "EUR")
    return (new_id("evt"), organizer, 0, "published", *texts, *moments, 10)


async def _again(url: str, copies: Sequence[int]) -> None:
    """Write the events again, so many times."""
    connection = await connect(url, timeout_ms=TIMEOUT_MS)
    try:
        for statement in _BARE[:2]:
            await connection.execute(statement)
        for number in copies:
            later = dt.timedelta(minutes=7 * number)
            for statement in _AGAIN:
                await connection.execute(statement, str(number), later)
    finally:
        await connection.close()


async def _trigger_us(connection: asyncpg.Connection, author: Author, organizer: str) -> float:
    """Return what one event more costs PostgreSQL, triggers and indexes and all, in µs of CPU."""
    await connection.execute("SET session_replication_role = origin")
    rows = [_row(author, organizer) for _ in range(SAMPLE_ROWS)]
    before_ms = _cpu_ms(connection)
    await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
    return 1_000 * (_cpu_ms(connection) - before_ms) / SAMPLE_ROWS


def _cpu_ms(connection: Connection) -> float:
    """Return the CPU time of the process of PostgreSQL that serves a connection, in ms."""
    text = Path(f"/proc/{connection.get_server_pid()}/schedstat").read_text()
    return int(text.split()[0]) / 1e6


async def ask(pool: Pool, author: Author, queries: int) -> list[Took]:
    """Ask for pages of each kind of search, in turn, after one round that warms up."""
    took = []
    for kind, draw in (USUAL | HARD).items():
        wanted = [draw(author) for _ in range(queries)]
        for page in PAGES:
            ms, cpu_ms = [], []
            for one in wanted:
                async with pool.acquire() as connection:
                    after = await _place(connection, one, page)
                    before_ms, started_s = _cpu_ms(connection), time.perf_counter()
                    ids = await search.find(connection, after=after, limit=PAGE + 1, **one)
                    await events.by_ids(connection, ids)
                    await events.tiers_of(connection, ids)
                    ms.append(1_000 * (time.perf_counter() - started_s))
                    cpu_ms.append(_cpu_ms(connection) - before_ms)
            took.append(Took(kind, page, ms, cpu_ms, kind in USUAL))
    return took


async def _place(pool: Database, wanted: dict[str, Any], page: int) -> tuple[dt.datetime, str]:
    """Return the place at which a page begins: the last one, if there are not so many."""
    after = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")
    if page > 1:
        ids = await search.find(pool, after=after, limit=PAGE * (page - 1), **wanted)
        if ids:
            [last] = await events.by_ids(pool, ids[-1:])
            after = (last.starts_at, last.id)
    return after


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile of some values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _show(console: Console, took: list[Took], count: int) -> bool:
    heads = [f"{what} {name}" for what in ("ms", "CPU ms") for name in ("p50", "p95", "p99")]
    table = Table("search", "page", *heads, title=f"{count} events")
    for one in took:
        row = [f"{percentile(of, at):.1f}" for of in (one.ms, one.cpu_ms) for at in (50, 95, 99)]
        table.add_row(one.kind if one.is_usual else f"({one.kind})", str(one.page), *row)
    console.print(table)
    is_met = True
    for page in PAGES:
        usual = [one for one in took if one.is_usual and one.page == page]
        figures = []
        for name in ("ms", "cpu_ms"):
            of = [value for one in usual for value in getattr(one, name)]
            figures += [f"p{at}_{name}={percentile(of, at):.1f}" for at in (50, 95, 99)]
        ms = [value for one in usual for value in one.ms]
        is_met = is_met and percentile(ms, 95) < P95_MAX_MS and percentile(ms, 99) < P99_MAX_MS
        print(f"P15 events={count} page={page} searches={len(ms)} {' '.join(figures)}")
    word = "met" if is_met else "missed"
    print(
        f"P15 {word}: p95 < {P95_MAX_MS:.0f} ms, p99 < {P99_MAX_MS:.0f} ms by the clock; "
        f"load average {load_average()}"
    )
    return is_met
