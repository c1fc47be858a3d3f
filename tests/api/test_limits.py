"""Limits over HTTP beside the booking limit: open holds, and accounts from one address."""

from __future__ import annotations

import asyncio
import secrets

from engine.outward import networks
from tests.api.world import Answer, Event, Serve, World, check_problem
from usecases.buckets import Buckets, Rate

#: Tests come from there.
LOOPBACK = networks("127.0.0.0/8,::1/128")


async def register(world: World, address: str = "") -> Answer:
    """Make an account, behind a proxy if an address is given."""
    body = {
        "email": f"{secrets.token_hex(8)}@example.org",
        "password": "correct horse",
        "name": "A",
    }
    headers = {"X-Forwarded-For": address} if address else {}
    return await world.call("POST", "/v1/auth/register", json=body, headers=headers)


async def test_s35_registrations_of_an_address(world: World, serve: Serve) -> None:
    """So many accounts are made from one address; another has its own bucket."""
    limit = {"registration_limit_attempts": 2, "registration_limit_window_ms": 3_600_000}
    async with serve(trusted_proxies=LOOPBACK, **limit) as other:
        assert [201, 201] == [(await register(other, "192.0.2.1")).status for _ in range(2)]
        answer = await register(other, "192.0.2.1")
        check_problem(answer, 429, "rate_limited")
        assert 1700 < int(answer.headers["Retry-After"]) <= 1800
        assert '"registrations";q=2;w=3600' == answer.headers["RateLimit-Policy"]
        assert 201 == (await register(other, "192.0.2.2")).status


async def test_s35_sixty_registrations(world: World, serve: Serve) -> None:
    """As it is by default: twenty of sixty are made from one address, at whichever process."""
    limit = {"registration_limit_attempts": 20, "registration_limit_window_ms": 86_400_000}
    origin = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    async with (
        serve(trusted_proxies=LOOPBACK, **limit) as one,
        serve(trusted_proxies=LOOPBACK, **limit) as two,
    ):
        asked = [register((one, two)[n % 2], origin) for n in range(60)]
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert (20, 40) == (statuses.count(201), statuses.count(429))


async def test_s35_thirty_holds_and_confirms_are_thirty(
    world: World, serve: Serve, user: str
) -> None:
    """To hold is an attempt, to confirm is none: thirty of each use up thirty."""
    async with serve(booking_limit_attempts=30, booking_limit_window_ms=86_400_000) as other:
        for _ in range(3):
            event = await world.event(100)
            for n in range(10):
                held = await other.hold(event, user, key=f"h-{n}")
                assert 201 == held.status, held.text
                path = f"/v1/holds/{held.body['id']}/confirm"
                assert 201 == (await other.call("POST", path, token=user)).status
        for what in ("holds", "bookings"):
            answer = await other.book(event, user, what=what, key="more")
            check_problem(answer, 429, "rate_limited")


async def test_s12_a_burst_of_orders(serve: Serve, event: Event, user: str) -> None:
    """Of fifty orders at once ten are tried, none more, by whichever door and process."""
    limit = {"booking_limit_attempts": 10, "booking_limit_window_ms": 86_400_000}
    async with serve(**limit) as one, serve(**limit) as two:
        asked = [
            (one, two)[n % 2].book(event, user, what=("bookings", "holds")[n % 3 == 0], key=f"b{n}")
            for n in range(50)
        ]
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert (10, 40) == (statuses.count(201), statuses.count(429))


async def test_s11_a_header_of_nobody_is_not_believed(serve: Serve) -> None:
    """Who is no trusted proxy cannot say that it comes from elsewhere."""
    limit = {"registration_limit_attempts": 1, "registration_limit_window_ms": 3_600_000}
    async with serve(**limit) as other:
        assert 201 == (await register(other, "192.0.2.1")).status
        check_problem(await register(other, "192.0.2.2"), 429, "rate_limited")


async def test_s13_s35_open_holds_of_a_person(serve: Serve, event: Event, user: str) -> None:
    """The refusal says which bound it is, and when the next hold runs out."""
    async with serve(holds_per_person_max=2) as other:
        for key in ("a", "b"):
            assert 201 == (await other.hold(event, user, key=key)).status
        answer = await other.hold(event, user, key="c")
        check_problem(answer, 429, "too_many_holds")
        assert ("person", 2) == (answer.body["scope"], answer.body["max"])
        assert 0 < int(answer.headers["Retry-After"]) <= 60


async def test_s13_s35_accounts_of_one_address_together(world: World, serve: Serve) -> None:
    """Forty fresh accounts at one address hold what an address may, not the hall."""
    event = await world.event(400)
    async with serve(holds_per_address_max=5) as other:
        answers = [await other.hold(event, world.token(), (1, 10)) for _ in range(40)]
    assert 5 == [answer.status for answer in answers].count(201)
    check_problem(answers[-1], 429, "too_many_holds")
    assert "address" == answers[-1].body["scope"]


async def test_s12_s35_attempts_count_at_every_door(serve: Serve, event: Event, user: str) -> None:
    """Who holds has fewer attempts to book."""
    async with serve(booking_limit_attempts=2, booking_limit_window_ms=86_400_000) as other:
        assert 201 == (await other.hold(event, user, key="a")).status
        assert 201 == (await other.book(event, user, key="b")).status
        check_problem(await other.hold(event, user, key="c"), 429, "rate_limited")
        waits = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
        path = f"/v1/events/{event['id']}/waitlist"
        answer = await other.call("POST", path, token=user, key="w", json=waits)
        check_problem(answer, 429, "rate_limited")


def test_s12_buckets() -> None:
    """A bucket fills at a steady rate, whoever else tries; who came first is forgotten first."""
    now = [1_000.0]
    buckets = Buckets(Rate("x", 2, 10_000), most=2, now_s=lambda: now[0])
    assert [0, 0, 5_000, 5_000] == [buckets.take("a") for _ in range(4)]
    now[0] += 5
    assert [0, 5_000] == [buckets.take("a") for _ in range(2)]
    assert [0, 0] == [buckets.take("b") for _ in range(2)]
    assert 5_000 == buckets.take("a")
    assert 0 == buckets.take("c")
    assert 0 == buckets.take("a")
    now[0] += 100
    assert [0, 0, 5_000] == [buckets.take("c") for _ in range(3)]
