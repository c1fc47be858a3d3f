"""What operators and machines see: health, metrics, logs without secrets."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog
from multidict import CIMultiDict

from api import metrics
from api.http import SERVICES
from store import pool
from tests.api.world import JWT_SECRET, World
from tests.checks import about
from usecases import metrics as counted

PASSWORD = "correct-horse-battery-staple"


async def test_healthz(world: World) -> None:
    """The process says that it answers, and nothing more."""
    answer = await world.call("GET", "/healthz")
    assert (200, "ok") == (answer.status, answer.body["status"])
    assert "no-store" == answer.headers["Cache-Control"]


@pytest.fixture
async def told(world: World) -> None:
    """Let somebody seem to send what tests before have left to tell."""
    await world.database.execute("DELETE FROM notifier_beat")
    await world.database.execute("INSERT INTO notifier_beat (at) VALUES (now() + interval '1 min')")


@pytest.mark.usefixtures("told")
async def test_readyz(world: World) -> None:
    """Ready means that shards and database are there."""
    async with asyncio.timeout(20):
        while True:  # The persister may be behind for a moment.
            answer = await world.call("GET", "/readyz")
            assert 200 == answer.status
            if answer.body["overall"] == "healthy":
                break
            await asyncio.sleep(0.05)
    assert {"shards": "ok", "database": "ok"} == answer.body["checks"]
    found = answer.body["dependencies"]
    assert ["postgresql", "redis-0", "persister-0", "notifier"] == [one["name"] for one in found]
    assert {"healthy"} == {one["state"] for one in found}
    assert all(one["response_ms"] >= 0 for one in found)


@pytest.mark.usefixtures("told")
async def test_readyz_tells_what_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not as it should be has a state of its own, of which the whole is made."""
    services = world.client.app[SERVICES]

    async def behind(*_: object) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(type(services), "catch_up", behind)
        told = (await world.call("GET", "/readyz")).body
    assert ("ok", "degraded") == (told["status"], told["overall"])
    assert {"name": "persister-0", "state": "unhealthy"}.items() <= told["dependencies"][2].items()
    monkeypatch.setattr("engine.shard.Shard.is_heard", behind)
    answer = await world.call("GET", "/readyz")
    assert (503, "unavailable", "unhealthy", "shut") == (
        answer.status,
        answer.body["status"],
        answer.body["overall"],
        answer.body["checks"]["shards"],
    )
    states = {one["name"]: one["state"] for one in answer.body["dependencies"]}
    states.pop("notifier")
    assert {"postgresql": "healthy", "redis-0": "unhealthy", "persister-0": "unknown"} == states


async def test_readyz_says_that_nobody_sends(world: World) -> None:
    """Where a notifier works no more, a process is degraded, and ready all the same."""
    beat = "INSERT INTO notifier_beat (at) VALUES (now() - $1::interval)"
    for age, checked in ((dt.timedelta(), None), (dt.timedelta(minutes=2), "off")):
        await world.database.execute("DELETE FROM notifier_beat")
        await world.database.execute(beat, age)
        answer = await world.call("GET", "/readyz")
        assert 200 == answer.status
        assert checked == answer.body["checks"].get("notifier")
        assert ("ok" if checked is None else "degraded") == answer.body["status"]
    await world.database.execute("DELETE FROM notifier_beat")


async def test_f51_ready_asks_by_a_new_connection(world: World) -> None:
    """F51: old connections that go on do not make ready what lets nobody in any more."""
    name = await world.database.fetchval("SELECT current_database()")
    # The database itself refuses, so that the door is shut from beside it.
    beside = await asyncpg.connect(world.database_url, database="postgres")
    await beside.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        async with asyncio.timeout(20):
            while await world.is_ready():  # What was heard a moment ago is believed for a second.
                assert 1 == await world.database.fetchval("SELECT 1")
                await asyncio.sleep(0.05)
        answer = await world.call("GET", "/readyz")
        assert (503, "unavailable") == (answer.status, answer.body["status"])
        assert 1 == await world.database.fetchval("SELECT 1")
    finally:
        await beside.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await beside.close()
    while not await world.is_ready():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_f51_many_who_ask_open_one_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F51: whoever asks whether we are ready, as often as it likes, opens a connection a second."""
    opened = []
    connect = pool.connect

    async def counted(url: str, *, timeout_ms: int) -> Any:
        opened.append(url)
        return await connect(url, timeout_ms=timeout_ms)

    monkeypatch.setattr(pool, "connect", counted)
    monkeypatch.setattr(pool, "FRESH_S", 3600.0)
    answers = await asyncio.gather(*(world.call("GET", "/readyz") for _ in range(20)))
    assert {200} == {answer.status for answer in answers}
    assert len(opened) <= 1


async def test_metrics(world: World, event: dict[str, object], user: str) -> None:
    """Counters count requests by route and bookings by outcome, without anybody's ids."""
    before = await outcomes(world)
    for _ in range(2):
        assert 201 == (await world.book(event, user)).status
    assert 409 == (await world.book(event, user, (1, 10), key="k-2")).status
    after = await outcomes(world)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert {"booked": 1, "replayed": 1, "limit_reached": 1} == {
        name: count for name, count in grown.items() if count
    }
    text = (await world.call("GET", "/metrics")).text
    assert (
        'evently_http_requests_total{route="/v1/events/{event_id}/bookings",status="201"}' in text
    )
    assert "evently_http_request_seconds_bucket" in text
    assert str(event["id"]) not in text


async def test_metrics_of_sales(world: World, user: str) -> None:
    """Bookings are told by what became of them and the event's category, with how long it took."""
    event = await world.event(5, category="Opera")
    before = await samples(world)
    booked = await world.book(event, user)
    assert 201 == (await world.book(event, user)).status
    assert 409 == (await world.book(event, user, (1, 10), key="k-2")).status
    for _ in range(2):
        path = f"/v1/bookings/{booked.body['id']}/cancel"
        assert 200 == (await world.call("POST", path, token=user)).status
    after = await samples(world)
    statuses = ("confirmed", "replayed", "refused", "cancelled")
    names = [f'bookings_total{{event_category="Opera",status="{word}"}}' for word in statuses]
    assert [1, 1, 1, 1] == [after[name] - before.get(name, 0) for name in names]
    route = 'route="/v1/events/{event_id}/bookings"'
    sold = f'http_request_duration_seconds_count{{method="POST",{route},status_class="2xx"}}'
    refused = sold.replace("2xx", "4xx")
    assert 2 == after[sold] - before.get(sold, 0)
    assert 1 == after[refused] - before.get(refused, 0)
    for whole in (
        "booking_duration_seconds_count",
        f"evently_http_request_seconds_count{{{route}}}",
    ):
        assert after[sold] + after[refused] <= after[whole]
        assert 3 == after[whole] - before.get(whole, 0)
    assert (
        after["booking_duration_seconds_count"]
        == after['booking_duration_seconds_bucket{le="+Inf"}']
    )
    assert after["booking_duration_seconds_sum"] > before.get("booking_duration_seconds_sum", 0)


async def test_metrics_have_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many categories organizers make up, and methods callers, few have a label."""
    monkeypatch.setattr(counted, "_categories", set())
    for number in range(counted.CATEGORIES_MAX + 3):
        counted.count_cancelled(f"bound-{number}")
    counted.count_cancelled("")
    metrics.count_request("MADE-UP", "/bound", 200, 0.01)
    told = await samples(world)
    known = [name for name in told if 'bookings_total{event_category="bound-' in name]
    assert counted.CATEGORIES_MAX == len(known)
    assert 4 <= told['bookings_total{event_category="other",status="cancelled"}']
    name = 'http_request_duration_seconds_count{method="other",route="/bound",status_class="2xx"}'
    assert 1 == told[name]
    assert not any("MADE-UP" in name for name in told)


async def samples(world: World) -> dict[str, float]:
    """Return all that is told at `/metrics`, by name with labels."""
    answer = await world.call("GET", "/metrics")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def outcomes(world: World) -> dict[str, float]:
    """Return the count of booking attempts by outcome."""
    answer = await world.call("GET", "/metrics")
    assert 200 == answer.status
    assert answer.headers["Content-Type"].startswith("text/plain")
    prefix = 'evently_booking_outcomes_total{outcome="'
    lines = [line for line in answer.text.splitlines() if line.startswith(prefix)]
    return {
        line.removeprefix(prefix).partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
    }


@pytest.fixture
def _json_logs() -> Iterator[None]:
    """Log as in production, to whatever is stdout at the time."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_json_logs")
async def test_s28_no_secret_in_logs(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: neither password nor token nor signing key is logged or told, whatever fails."""
    account = {"email": "secret@example.org", "password": PASSWORD, "name": "S"}
    made = await world.call("POST", "/v1/auth/register", json=account)
    token = made.body["access_token"]
    login = {"email": "secret@example.org", "password": PASSWORD + "x"}

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("bug")

    answers = [
        await world.call("POST", "/v1/auth/login", json=login),
        await world.call("POST", "/v1/auth/login", json=login | {"extra": 1}),
        await world.call("POST", "/v1/auth/register", json=account),
        await world.call("GET", "/v1/me", token=token + "x"),
        await world.call("GET", "/nope%0d%0aX-Forged:1", token=token),
    ]
    monkeypatch.setattr("store.users.by_id", broken)
    monkeypatch.setattr("store.users.register", broken)
    answers += [
        await world.call("GET", "/v1/me", token=token),
        await world.call("POST", "/v1/auth/register", json=account),
    ]
    assert [401, 422, 201, 401, 404, 500, 500] == [answer.status for answer in answers]
    out, err = capsys.readouterr()
    assert 2 == out.count('"action": "request_failed"')
    told = out + err + "".join(answer.text for answer in answers)
    for secret in (PASSWORD, token, token.rpartition(".")[2], JWT_SECRET):
        assert secret not in told


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


TRACEPARENTS = [
    ([f"00-{TRACE}-{PARENT}-01"], True),
    ([f"cc-{TRACE}-{PARENT}-01-later"], True),
    ([], False),
    ([f"00-{TRACE}-{PARENT}-01"] * 2, False),
    ([f"00-{TRACE}-{PARENT}-01-later"], False),
    ([f"ff-{TRACE}-{PARENT}-01"], False),
    ([f"00-{TRACE.upper()}-{PARENT}-01"], False),
    ([f"00-{'0' * 32}-{PARENT}-01"], False),
    ([f"00-{TRACE}-{'0' * 16}-01"], False),
    ([f"00-{TRACE}-{PARENT}-01 x"], False),
]


@pytest.mark.usefixtures("_json_logs")
async def test_traceparent(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log lines of a request name its trace, if it brings one as W3C has it."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("store.users.by_id", broken)
    own = [("X-Request-Id", "traced"), ("Authorization", f"Bearer {world.token()}")]
    for given, is_told in TRACEPARENTS:
        capsys.readouterr()
        headers = CIMultiDict([*own, *(("traceparent", one) for one in given)])
        async with world.client.get("/v1/me", headers=headers) as answer:
            assert 500 == answer.status
            assert "traceparent" not in answer.headers
        lines = capsys.readouterr().out.splitlines()
        [line] = [json.loads(line) for line in lines if '"request_failed"' in line]
        with about(given):
            told = (line["request_id"], line.get("trace_id"))
            assert ("traced", TRACE if is_told else None) == told


TERMINAL = """
import sys, structlog
from evently import logs
sys.stdout.isatty = lambda: True
logs.configure("info", "api")
def fail(password):
    raise RuntimeError("bug")
try:
    fail("correct-horse-" + "battery-staple")
except RuntimeError as error:
    structlog.get_logger().error("request failed", action="request_failed", exc_info=error)
"""


def test_s28_no_secret_in_logs_on_a_terminal() -> None:
    """S28: a traceback on a terminal shows no local variables, since these are bodies."""
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL], capture_output=True, text=True, check=True
    )
    assert "RuntimeError" in done.stdout
    assert PASSWORD not in done.stdout
