"""S11, S12. The quota of requests: whose a request is, and how many there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from api.http import SERVICES
from engine.lasting import Seldom
from engine.outward import networks
from tests.api.test_bulkheads import SHORT_MS, locked
from tests.api.test_sign_in_limit import some_origin
from tests.api.world import Answer, Event, Serve, World, check_problem
from usecases.buckets import UNTOLD_MAX, Buckets, Rate

LOOPBACK = networks("127.0.0.0/8,::1/128")
NEVER_MS = 86_400_000
LIMIT: dict[str, Any] = {
    "trusted_proxies": LOOPBACK,
    "request_limit_attempts": 30,
    "request_limit_staff_attempts": 60,
    "request_limit_window_ms": NEVER_MS,
}


async def read(world: World, origin: str, path: str = "/v1/receipt-key", **given: Any) -> Answer:
    """Ask for something as a stranger, by way of the proxy."""
    return await world.call("GET", path, headers={"X-Forwarded-For": origin}, **given)


async def test_s12_eleven_hundred_reads(serve: Serve) -> None:
    """As it is by default: a thousand are answered, and what is over is told when to come back."""
    origin = some_origin()
    limit = LIMIT | {"request_limit_attempts": 1_000}
    async with serve(**limit) as other:
        answers = [await read(other, origin) for _ in range(1_100)]
    assert [200] * 1_000 + [429] * 100 == [answer.status for answer in answers]
    check_problem(answers[-1], 429, "rate_limited")
    assert '"requests";q=1000;w=86400' == answers[-1].headers["RateLimit-Policy"]


async def test_s11_a_forged_hop_changes_nothing(serve: Serve) -> None:
    """What callers write themselves, in one line or two, gives them no new bucket; a /64 is one."""
    origin = some_origin()
    async with serve(**LIMIT) as other:
        statuses = []
        for n in range(40):
            forged = f"203.0.113.{n}"
            own = origin.removesuffix("1") + f"{n:x}"
            lines = [("X-Forwarded-For", forged), ("X-Forwarded-For", own)]
            if n % 2:
                lines = [("X-Forwarded-For", f"{forged}, {own}")]
            async with other.client.get("/v1/receipt-key", headers=lines) as response:
                statuses.append(response.status)
        assert [200] * 30 + [429] * 10 == statuses
        assert 200 == (await read(other, some_origin())).status


async def test_s11_who_is_no_proxy_is_not_believed(serve: Serve) -> None:
    """Without trust all that comes from one peer is one caller's, whatever it says."""
    async with serve(**LIMIT | {"trusted_proxies": (), "request_limit_attempts": 10}) as other:
        statuses = [(await read(other, some_origin())).status for _ in range(20)]
    # The probes that waited until it was ready are not among them.
    assert [200] * 10 + [429] * 10 == statuses


async def test_s12_whatever_it_is_it_counts(serve: Serve, event: Event) -> None:
    """Bad tokens, what is not there, methods, HEAD and bad requests: one quota for all doors."""
    origin = some_origin()
    own = {"X-Forwarded-For": origin}
    hot = f"/v1/events/{event['id']}/availability"
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/v1/me", {}),
        ("GET", "/v1/me", {"Authorization": "Bearer nonsense"}),
        ("GET", "/v1/me", {"Authorization": "Basic eA=="}),
        ("GET", "/nowhere", {}),
        ("PUT", "/v1/events", {}),
        ("OPTIONS", "/v1/events", {}),
        ("HEAD", "/v1/events", {}),
        ("GET", hot, {}),
        ("POST", f"/v1/events/{event['id']}/bookings", {}),
        ("POST", "/v1/auth/login", {}),
    ]
    async with serve(**LIMIT) as other:
        for method, path, headers in asked * 3:
            answer = await other.call(method, path, headers=own | headers)
            assert 429 != answer.status, (method, path)
        for method, path, headers in asked:
            answer = await other.call(method, path, headers=own | headers)
            assert 429 == answer.status, (method, path)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert 200 == (await other.call("GET", path, headers=own)).status


async def test_s12_who_has_a_token_counts_alone(serve: Serve, event: Event) -> None:
    """Buyers behind one address have a quota each; whoever works for an organizer has a larger."""
    origin = some_origin()
    async with serve(**LIMIT) as other:
        while 429 != (await read(other, origin)).status:
            pass
        for token, most in (
            (other.token(), 30),
            (other.token(), 30),
            (other.token(role="staff", organizer_id=event["organizer_id"]), 60),
        ):
            answers = [await read(other, origin, "/v1/bookings", token=token) for _ in range(70)]
            assert [200] * most + [429] * (70 - most) == [answer.status for answer in answers]
            # Also where places are sold.
            check_problem(await other.book(event, token), 429, "rate_limited")


async def test_s12_over_all_processes(serve: Serve) -> None:
    """Two processes learn of each other what they let pass."""
    origin = some_origin()
    async with serve(**LIMIT) as one, serve(**LIMIT) as two:
        for world in (one, two):
            await quotas(world).close()  # They tell each other when they are asked to, here.
        for world, number in ((one, UNTOLD_MAX), (two, 2 * UNTOLD_MAX)):
            for _ in range(number):
                assert 200 == (await read(world, origin)).status
            await quotas(world).share()
        # The first has let 10 pass of 30; it hears of the others when it has 10 more to tell.
        assert 429 == (await read(two, origin)).status
        assert {200} == {(await read(one, origin)).status for _ in range(UNTOLD_MAX)}
        await quotas(one).share()
        assert 429 == (await read(one, origin)).status


def quotas(world: World) -> Any:
    """Return what counts."""
    return world.client.app[SERVICES].quotas


@asynccontextmanager
async def counted_apart(serve: Serve) -> AsyncIterator[World]:
    """Serve while the processes cannot tell each other anything."""
    async with serve(**LIMIT, database_sign_in_timeout_ms=SHORT_MS) as other:
        await quotas(other).close()
        async with locked(other, "buckets"):
            yield other


async def test_f74_reads_go_on_uncounted_by_others(serve: Serve) -> None:
    """S12: where counts cannot be shared each process counts alone, and nobody waits for it."""
    origin = some_origin()
    async with counted_apart(serve) as other:
        answers = [await read(other, origin) for _ in range(40)]
        with pytest.raises(asyncpg.PostgresError):
            await quotas(other).share()
        assert [200] * 30 + [429] * 10 == [answer.status for answer in answers]
    # What could not be told is told later.
    buckets = quotas(other).people
    assert [30] == [number for _, number in buckets.due(10)]


async def test_who_cannot_be_told_apart_is_let_in(serve: Serve) -> None:
    """A limit of 0 is none."""
    async with serve(**LIMIT | {"request_limit_attempts": 0}) as other:
        assert {200} == {(await read(other, "192.0.2.1")).status for _ in range(40)}


def test_s12_what_others_let_pass() -> None:
    """A bucket learns of others, and never forgets what was taken here."""
    now = [50.0]
    buckets = Buckets(Rate("x", 20, 20_000), now_s=lambda: now[0])
    assert {0} == {buckets.take("a") for _ in range(UNTOLD_MAX)}
    assert [("a", UNTOLD_MAX)] == buckets.due(5)
    assert [] == buckets.due(5)
    assert 0 == buckets.take("a")
    # 15 were taken by all until it was asked, and one here since.
    buckets.learn({"a": 15_000.0, "b": 1.0})
    assert [0, 0, 0, 0, 1_000] == [buckets.take("a") for _ in range(5)]
    # Who knows of less than what is known here is not believed.
    buckets.learn({"a": 0.0})
    assert 1_000 == buckets.take("a")


def test_s12_what_could_not_be_told() -> None:
    """Is told the next time, with what was taken since."""
    buckets = Buckets(Rate("x", 100, 1_000_000), now_s=lambda: 0.0)
    for _ in range(UNTOLD_MAX):
        buckets.take("a")
    taken = buckets.due(5)
    buckets.take("a")
    buckets.untold(taken)
    assert [("a", UNTOLD_MAX + 1)] == buckets.due(5)


def test_s12_memory_is_bounded() -> None:
    """Who is in use is spared while others are full; then the oldest goes."""
    now = [0.0]
    buckets = Buckets(Rate("x", 2, 2_000), most=3, now_s=lambda: now[0])
    assert [0, 0, 1_000] == [buckets.take("hog") for _ in range(3)]
    for name in "abcdefgh":
        now[0] += 0.1
        buckets.take(name)
        assert len(buckets._buckets) <= 3
    now[0] += 5
    assert [0, 0, 1_000] == [buckets.take("hog") for _ in range(3)]
    for n in range(100):
        now[0] += 0.02
        buckets.take(f"quick {n}")
    assert len(buckets._buckets) <= 3


async def test_a_proxy_that_nobody_named(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose callers are all taken for one is said in the log, without any of their addresses."""
    monkeypatch.setattr("api.quota._SELDOM", Seldom())  # Other tests may have said it just now.
    limit = LIMIT | {"trusted_proxies": (), "request_limit_attempts": 1}
    async with serve(**limit) as other:
        with capture_logs() as said:
            statuses = [(await read(other, "203.0.113.99")).status for _ in range(3)]
    assert [200, 429, 429] == statuses
    named = [line for line in said if line.get("action") == "proxy_unnamed"]
    assert named
    assert "203.0.113.99" not in str(said)
