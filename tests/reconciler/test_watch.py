"""`watch`: the check without an end finds drift while sales run, and says how far behind it is."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import start_http_server

from engine import keys
from evently.doctor import Report, _look_at_drift
from evently.settings import Settings
from evently.up import parts
from reconciler.judge import watch_metrics as metrics
from reconciler.judge.watch import ShardWatch
from store.pool import connect
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import BoxOffice, Sold
from tests.reconciler.test_cli import run
from tests.reconciler.test_live import Pace, buy


@pytest.fixture
async def connection(office: BoxOffice) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for one watch."""
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


@pytest.fixture
def watch(office: BoxOffice, connection: asyncpg.Connection) -> ShardWatch:
    """Watch the office's shard."""
    return ShardWatch(office.shard, office.redis, connection)


async def whole_pass(watch: ShardWatch) -> set[str]:
    """Let every event have its turn; return the codes of what is known then."""
    passes = watch.passes
    while watch.passes == passes:
        await watch.step()
    return {violation.code for violation in watch.known.all()}


def value(gauge: str, shard: int) -> float | None:
    """Return a metric as Prometheus would read it."""
    return metrics.REGISTRY.get_sample_value(gauge, {"shard": str(shard)})


async def test_clean_and_then_drift_and_then_clean(sold: Sold, watch: ShardWatch) -> None:
    """What was found is forgotten when it is put right, event by event."""
    office = sold.office
    stock = keys.event(office.shard, sold.event.event_id).stock
    assert set() == await whole_pass(watch)
    await ask(office.redis, "HINCRBY", stock, "1.available", 1)
    assert {"places_not_conserved", "available_differs"} == await whole_pass(watch)
    await ask(office.redis, "HINCRBY", stock, "1.available", -1)
    assert set() == await whole_pass(watch)


async def test_follows_what_is_persisted(sold: Sold, watch: ShardWatch) -> None:
    """Rows that go wrong after the first pass are found, and named by their booking."""
    office = sold.office
    assert set() == await whole_pass(watch)
    await office.drain()
    assert set() == await whole_pass(watch)
    await office.database.execute("DELETE FROM bookings WHERE id = $1", sold.bookings[3])
    assert "row_missing" in await whole_pass(watch)
    assert sold.bookings[3] in {v.booking_id for v in watch.known.all()}


async def test_i14_f31_checkpoint_that_went_back(sold: Sold, watch: ShardWatch) -> None:
    """I14, F31: a PostgreSQL that was further at an earlier look is drift, whatever it says."""
    assert set() == await whole_pass(watch)
    await sold.office.database.execute(
        "UPDATE shard_checkpoint SET last_seq = 2 WHERE shard = $1", sold.office.shard
    )
    assert "checkpoint_went_back" in await whole_pass(watch)


async def test_lag_and_places(sold: Sold, watch: ShardWatch) -> None:
    """The age of the oldest record that PostgreSQL lacks, by Redis time; none, and it is 0."""
    office = sold.office
    await watch.measure()
    first = value("evently_consistency_lag_seconds", office.shard)
    await watch.measure()
    later = value("evently_consistency_lag_seconds", office.shard)
    assert first is not None
    assert later is not None
    assert 0 <= first <= later
    assert (8, 5) == (
        value("evently_watch_watermark_seq", office.shard),
        value("evently_watch_checkpoint_seq", office.shard),
    )
    await office.drain()
    await watch.measure()
    assert 0 == value("evently_consistency_lag_seconds", office.shard)


async def test_f40_watch_live(office: BoxOffice, watch: ShardWatch) -> None:
    """F40: passes beside a sale that books, cancels, persists and trims never see drift."""
    events = [await office.add_event() for _ in range(3)]
    stop = asyncio.Event()
    people = [f"usr_{number:026}" for number in range(20)]
    bought, pace = [0], Pace()
    tasks = [
        asyncio.create_task(buy(office, events, people, n, stop, bought, pace)) for n in range(8)
    ]
    tasks.append(asyncio.create_task(office.persist(stop)))
    try:
        for _ in range(20):
            assert set() == await whole_pass(watch)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert bought[0] > 0


async def test_command_once(sold: Sold) -> None:
    """`--once` ends after a pass; `--fail` makes drift its exit code, and the line names it."""
    office = sold.office
    words = ("watch", "--once", "--fail", "--json", "--port", "0", "--shard", str(office.shard))
    assert (0, "") == await run(office, *words)
    stock = keys.event(office.shard, sold.event.event_id).stock
    await ask(office.redis, "HINCRBY", stock, "2.sold", 1)
    code, text = await run(office, *words)
    lines = [json.loads(line) for line in text.splitlines()]
    assert 1 == code
    assert {"sold_differs", "sold_without_owner", "places_not_conserved"} == {
        line["code"] for line in lines
    }
    assert {sold.event.event_id} == {line["event_id"] for line in lines}


async def test_f69_the_watch_leaves_a_note(
    sold: Sold, watch: ShardWatch, connection: asyncpg.Connection
) -> None:
    """What is wrong stands in PostgreSQL since when, and until when; and that somebody looks."""
    office = sold.office
    own = keys.event(office.shard, sold.event.event_id).stock

    async def known() -> dict[str, bool]:
        rows = await connection.fetch(
            "SELECT code, gone_at IS NULL AS is_now FROM drift WHERE shard = $1", office.shard
        )
        return {row["code"]: row["is_now"] for row in rows}

    assert set() == await whole_pass(watch)
    assert {} == await known()
    await ask(office.redis, "HINCRBY", own, "2.sold", 1)
    codes = await whole_pass(watch)
    assert dict.fromkeys(codes, True) == await known()
    again = ShardWatch(office.shard, office.redis, connection)
    assert codes == await whole_pass(again)
    await ask(office.redis, "HINCRBY", own, "2.sold", -1)
    assert set() == await whole_pass(again)
    assert dict.fromkeys(codes, False) == await known()
    [row] = await connection.fetch("SELECT * FROM watches WHERE shard = $1", office.shard)
    assert row["passed_at"] is not None


async def test_f69_doctor_tells_drift(
    sold: Sold, watch: ShardWatch, connection: asyncpg.Connection
) -> None:
    """An operator who asks is told of what is wrong, of what was, and of a shard nobody watches."""
    office = sold.office
    own = keys.event(office.shard, sold.event.event_id).stock

    async def told() -> dict[str, str]:
        report = Report()
        await _look_at_drift(report, connection)
        return {
            row.what: row.grade for row in report.rows if row.subject == f"shard {office.shard}"
        }

    assert {"continuous check": "advice"} == await told()
    await ask(office.redis, "HINCRBY", own, "2.sold", 1)
    await whole_pass(watch)
    assert {"continuous check": "good", "I8 sold_differs": "bad"}.items() <= (await told()).items()
    await ask(office.redis, "HINCRBY", own, "2.sold", -1)
    await whole_pass(watch)
    assert "advice" == (await told())["I8 sold_differs"]


def test_f69_watched_by_default() -> None:
    """Whoever sets nothing is told of drift: `evently up` runs the continuous check."""
    settings = Settings()
    assert settings.reconciler_watch_s > 0
    started = parts(settings, {}, metrics_path=Path("metrics"), shards=[0])
    assert "watch" in [part.name for part in started]


def test_metrics_are_served() -> None:
    """The registry is served over HTTP with the drift of every invariant in it."""
    metrics.DRIFT.labels("I1").set(0)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.REGISTRY)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b'evently_drift{invariant="I1"}' in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
