"""
P15: what a search of a million events takes of PostgreSQL, on page 1 and on page 50.

`python -m loadtests.bench search` fills a database of its own with published events and asks for
pages of 20 as the API does: ids, rows and tiers, over one connection. Words follow Zipf's law. Beside
the usual searches stand two that are there to be slow: common words that never meet, and a word that
only the last weeks have.
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from engine.ids import new_id
from evently.embedded import PostgresServer
from loadtests.bench.words import EVEN, LATE, ODD, Author
from loadtests.server import open_folder
from store import events, search
from store.migrate import migrate
from store.pool import Pool, connect, create_pool

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
_TIERS = """
INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max)
SELECT id, 1, 'tier_' || right(id, 26), 'Standing', 4500, 1000, 10 FROM events
"""
_SIZES = """
SELECT pg_table_size('event_search') AS heap, pg_relation_size('event_search_by_start') AS by_start,
       pg_relation_size('event_search_by_words') AS by_words
"""

Draw = Callable[[Author], dict[str, Any]]


class Took(NamedTuple):
    """What the searches of one kind took on one page, in ms."""

    kind: str
    page: int
    ms: list[float]
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
    console = Console()
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
    """Add published events, each through the triggers; return what that took."""
    connection = await connect(url, timeout_ms=TIMEOUT_MS)
    try:
        organizer, now = new_id("org"), dt.datetime.now(dt.UTC)
        await connection.execute(_ORGANIZER, organizer)
        started_s = time.monotonic()
        for start in range(0, count, COPY_ROWS):
            rows = []
            for _ in range(min(COPY_ROWS, count - start)):
                made = author.event()
                moments = (made.starts_at, made.starts_at, now, made.starts_at)
                texts = (made.name, made.description, made.category, made.place, "UTC", "EUR")
                rows.append((new_id("evt"), organizer, 0, "published", *texts, *moments, 10))
            await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
        filled_s = time.monotonic() - started_s
        await connection.execute(_TIERS)
        for table in ("events", "tiers", "event_search"):
            await connection.execute(f"VACUUM ANALYZE {table}")
        sizes = await connection.fetchrow(_SIZES)
        assert sizes is not None
    finally:
        await connection.close()
    mib = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sizes.items())
    each_us = 1e6 * filled_s / count
    return f"filled {count} events in {filled_s:.0f} s, {each_us:.0f} µs each, triggers and all; {mib}"


async def ask(pool: Pool, author: Author, queries: int) -> list[Took]:
    """Ask for pages of each kind of search, in turn, after one round that warms up."""
    took = []
    for kind, draw in (USUAL | HARD).items():
        wanted = [draw(author) for _ in range(queries)]
        for page in PAGES:
            ms = []
            for one in wanted:
                after = await _place(pool, one, page)
                started_s = time.perf_counter()
                ids = await search.find(pool, after=after, limit=PAGE + 1, **one)
                await events.by_ids(pool, ids)
                await events.tiers_of(pool, ids)
                ms.append(1_000 * (time.perf_counter() - started_s))
            took.append(Took(kind, page, ms, kind in USUAL))
    return took


async def _place(pool: Pool, wanted: dict[str, Any], page: int) -> tuple[dt.datetime, str]:
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
    table = Table("search", "page", "p50 ms", "p95 ms", "p99 ms", title=f"{count} events")
    for one in took:
        row = [f"{percentile(one.ms, at):.1f}" for at in (50, 95, 99)]
        table.add_row(one.kind if one.is_usual else f"({one.kind})", str(one.page), *row)
    console.print(table)
    is_met = True
    for page in PAGES:
        ms = [value for one in took if one.is_usual and one.page == page for value in one.ms]
        p95, p99 = percentile(ms, 95), percentile(ms, 99)
        is_met = is_met and p95 < P95_MAX_MS and p99 < P99_MAX_MS
        print(
            f"P15 events={count} page={page} searches={len(ms)} p50_ms={percentile(ms, 50):.1f} "
            f"p95_ms={p95:.1f} p99_ms={p99:.1f} max_ms={max(ms):.1f}"
        )
    print(f"P15 {'met' if is_met else 'missed'}: p95 < {P95_MAX_MS:.0f}, p99 < {P99_MAX_MS:.0f} ms")
    return is_met
