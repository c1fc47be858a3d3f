"""
What an import of 50 000 events takes, and their coming into the list that visitors search.

`python -m loadtests.bench import` writes a catalogue as objects of schema.org and as a table, and
imports each; then it says of all that their publishing has begun, which is when the triggers make
their rows of the list. The sum is what counts.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import msgspec

from engine.ids import new_id
from evently.embedded import PostgresServer
from evently.operators import operator
from loadtests.bench.words import Author
from loadtests.server import open_folder
from store.migrate import migrate
from store.pool import Pool, create_pool
from usecases import imports
from usecases.candidates import Defaults

EVENTS, EVENTS_QUICK = 50_000, 2_000
SECONDS_MAX = 60.0
SEED = 50
TIMEOUT_MS = 300_000
_ORGANIZER = "INSERT INTO organizers (id, name) VALUES ($1, 'House')"
_BEGIN = "UPDATE events SET publishing_at = now() WHERE organizer_id = $1"
_FOUND = "SELECT count(*) FROM event_search JOIN events ON id = event_id WHERE organizer_id = $1"
DEFAULTS = Defaults(capacity=100)


async def measure(*, is_quick: bool) -> bool:
    """Import in each form, print the figures; return whether all were quick enough."""
    count = EVENTS_QUICK if is_quick else EVENTS
    first_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    author = Author(seed=SEED, first_at=first_at, days=300)
    objects = [_object(author, number) for number in range(count)]
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in objects)
    with open_folder() as path:
        server = PostgresServer(path)
        server.start()
        try:
            await migrate(server.url)
            pool = await create_pool(server.url, connections_max=1, timeout_ms=TIMEOUT_MS)
            try:
                took = [
                    await _import(pool, "jsonl", lines, count),
                    await _import(pool, "csv", _table(objects), count),
                ]
            finally:
                await pool.close()
        finally:
            server.stop()
    is_met = max(took) < SECONDS_MAX
    word = "met" if is_met else "missed"
    print(f"import {word}: {count} events and their list in less than {SECONDS_MAX:.0f} s")
    return is_met


async def _import(pool: Pool, form: imports.Format, content: bytes, count: int) -> float:
    """Import for an organizer of its own, twice, and list; return the seconds of the first."""
    organizer = new_id("org")
    await pool.execute(_ORGANIZER, organizer)
    target = imports.Target(pool, organizer, [0], operator())
    seconds, cpu_s = [], []
    for expected in ((count, 0), (0, count)):
        started_s, before_s = time.monotonic(), time.process_time()
        done = await imports.run(target, form, content, DEFAULTS, is_dry_run=False)
        seconds.append(time.monotonic() - started_s)
        cpu_s.append(time.process_time() - before_s)
        if (done.made, done.unchanged) != expected:
            raise RuntimeError(f"the import is void: {done.made} made, {done.problems[:3]}")
    started_s = time.monotonic()
    await pool.execute(_BEGIN, organizer)
    listing_s = time.monotonic() - started_s
    if await pool.fetchval(_FOUND, organizer) != count:
        raise RuntimeError("the import is void: not all are listed")
    print(
        f"IMPORT form={form} events={count} bytes={len(content)} seconds={seconds[0]:.1f} "
        f"cpu_seconds={cpu_s[0]:.1f} "
        f"list_seconds={listing_s:.1f} again_seconds={seconds[1]:.1f}"
    )
    return seconds[0] + listing_s


def _object(author: Author, number: int) -> dict[str, Any]:
    made = author.event()
    return {
        "@context": "https://schema.org",
        "@type": "Event",
        "identifier": f"source-{number}",
        "name": made.name,
        "description": f"<p>{made.description}</p>",
        "startDate": made.starts_at.isoformat(),
        "keywords": [made.category],
        "location": {"@type": "Place", "name": "Hall", "address": {"addressLocality": made.place}},
        "offers": {"@type": "Offer", "price": "15.00", "priceCurrency": "EUR"},
    }


def _table(objects: list[dict[str, Any]]) -> bytes:
    head = "source_id,name,description,starts_at,category,venue,place,price,currency\r\n"
    rows = [
        f'"t{one["identifier"]}","{one["name"]}","{one["description"]}","{one["startDate"]}",'
        f'"{one["keywords"][0]}","Hall","{one["location"]["address"]["addressLocality"]}",'
        f'"15.00","EUR"\r\n'
        for one in objects
    ]
    return (head + "".join(rows)).encode()
