"""S7. Passwords that are missed: counted by account, by address and all together, exactly."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.http import SERVICES
from engine.outward import networks
from store import limits
from store.limits import Counted
from tests.api.test_accounts import PASSWORD, account
from tests.api.test_bulkheads import SHORT_MS, locked, wait_for_waiting
from tests.api.world import Answer, Event, Serve, World, check_problem
from usecases import passwords
from usecases.passwords import Match

LOOPBACK = networks("127.0.0.0/8,::1/128")
WRONG = "wrong"
#: As it is by default, but for a window in which nothing comes back while a test runs.
LIMIT: dict[str, Any] = {
    "trusted_proxies": LOOPBACK,
    "sign_in_limit_failures": 5,
    "sign_in_limit_failures_of_all": 0,
    "sign_in_limit_window_ms": 86_400_000,
}


@pytest.fixture
async def limited(serve: Serve) -> AsyncIterator[World]:
    """Serve with the limit."""
    async with serve(**LIMIT) as other:
        yield other


@pytest.fixture
async def email(world: World) -> str:
    """Register somebody."""
    body = account()
    assert 201 == (await world.call("POST", "/v1/auth/register", json=body)).status
    return str(body["email"])


def nobody() -> str:
    """Return an address that has no account."""
    return f"{secrets.token_hex(8)}@example.org"


async def login(world: World, email: str, origin: str, password: str = WRONG) -> Answer:
    """Sign in by way of the proxy."""
    return await world.call(
        "POST",
        "/v1/auth/login",
        json={"email": email, "password": password},
        headers={"X-Forwarded-For": origin},
    )


def some_origin() -> str:
    """Return an address from which nobody has called before."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def unlike(answer: Answer) -> dict[str, Any]:
    """Return all of a problem that callers can compare."""
    members = dict(answer.body)
    wait_ms = members.pop("retry_after_ms", None)
    members.pop("request_id")
    return members | {"waits": wait_ms is not None}


async def test_s7_sixty_wrong_passwords_of_one_account(limited: World, email: str) -> None:
    """From sixty addresses: five are told that they are wrong, and no more."""
    answers = [await login(limited, email, some_origin()) for _ in range(60)]
    assert [401] * 5 + [429] * 55 == [answer.status for answer in answers]
    check_problem(answers[-1], 429, "rate_limited")
    assert '"sign-in";q=5;w=86400' == answers[-1].headers["RateLimit-Policy"]


async def test_s7_sixty_wrong_passwords_from_one_address(limited: World) -> None:
    """Of sixty accounts, that there are or not; another address is not bound, its /64 is."""
    origin = some_origin()
    same = origin.removesuffix("1") + "abcd"
    answers = [await login(limited, nobody(), (origin, same)[n % 2]) for n in range(60)]
    assert [401] * 5 + [429] * 55 == [answer.status for answer in answers]
    assert 401 == (await login(limited, nobody(), some_origin())).status


async def test_s7_the_right_password_is_refused_too(limited: World, email: str) -> None:
    """Once too many were missed the answer says nothing about the next one, from a new place."""
    for _ in range(5):
        await login(limited, email, some_origin())
    wrong = await login(limited, email, some_origin())
    # Also at a process that has refused nobody yet.
    limited.client.app[SERVICES].attempts._empty_until_s.clear()
    right = await login(limited, email, some_origin(), PASSWORD)
    check_problem(right, 429, "rate_limited")
    assert unlike(wrong) == unlike(right)
    origin = some_origin()
    for _ in range(5):
        await login(limited, nobody(), origin)
    check_problem(await login(limited, email, origin, PASSWORD), 429, "rate_limited")


async def test_s7_strangers_lock_nobody_out(limited: World, email: str) -> None:
    """Where the person has signed in before, strangers' misses do not count, nor do neighbours'."""
    home = some_origin()
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    for _ in range(7):
        await login(limited, email, some_origin())
        await login(limited, nobody(), home)
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    check_problem(await login(limited, email, some_origin(), PASSWORD), 429, "rate_limited")
    # But their own do: who sits there has no more guesses than anybody.
    for _ in range(5):
        await login(limited, email, home)
    check_problem(await login(limited, email, home, PASSWORD), 429, "rate_limited")


async def test_s7_a_place_does_not_tell_who_lives_there(limited: World, email: str) -> None:
    """From a place that is bound, an account that is at home there is answered like any other."""
    home = some_origin()
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    for _ in range(5):
        await login(limited, nobody(), home)
    answers = [await login(limited, one, home) for one in (email, nobody(), "a\0b@c")]
    assert unlike(answers[0]) == unlike(answers[1]) == unlike(answers[2])
    check_problem(answers[0], 429, "rate_limited")


async def test_s7_no_account_is_counted_alike(limited: World, email: str) -> None:
    """However an address is written, that of an account and that of none have one bucket each."""
    for own in (email, nobody()):
        forms = [own, own.upper(), own.title(), f" {own} ", own, own.swapcase()]
        answers = [await login(limited, form, some_origin()) for form in forms]
        assert [401] * 5 + [429] == [answer.status for answer in answers]


@pytest.mark.slow
async def test_s7_s12_many_at_once(serve: Serve, email: str) -> None:
    """Of a hundred at once at two processes no more than five learn anything, the right one too."""
    origin = some_origin()
    async with serve(**LIMIT) as one, serve(**LIMIT) as two:
        for _ in range(4):
            await login(one, email, origin)
        asked = [login((one, two)[n % 2], email, origin) for n in range(100)]
        answers = await asyncio.gather(*asked)
        assert 1 == [answer.status for answer in answers].count(401)
        assert {401, 429, 503} >= {answer.status for answer in answers}
        check_problem(await login(two, email, origin, PASSWORD), 429, "rate_limited")


async def test_s7_right_passwords_count_nothing(limited: World, email: str) -> None:
    """A whole house signs in behind one address."""
    origin = some_origin()
    answers = [await login(limited, email, origin, PASSWORD) for _ in range(20)]
    assert {200} == {answer.status for answer in answers}


async def test_s7_all_together(serve: Serve, email: str) -> None:
    """The misses of all have a bound as well; who is at home passes."""
    home = some_origin()
    limit = LIMIT | {"sign_in_limit_failures": 0, "sign_in_limit_failures_of_all": 3}
    async with serve(**limit) as other:
        await limits.fill(other.database, ["sign-in:all"])
        assert 200 == (await login(other, email, home, PASSWORD)).status
        answers = [await login(other, nobody(), some_origin()) for _ in range(5)]
        assert [401, 401, 401, 429, 429] == [answer.status for answer in answers]
        assert '"sign-in";q=3;w=86400' == answers[-1].headers["RateLimit-Policy"]
        check_problem(await login(other, email, some_origin(), PASSWORD), 429, "rate_limited")
        assert 200 == (await login(other, email, home, PASSWORD)).status
        await limits.fill(other.database, ["sign-in:all"])


async def test_s7_who_knocks_on_costs_no_hash(
    limited: World, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is refused, and goes on, has no password compared any more."""
    compared = 0
    verify = passwords._verify

    def counting(*words: Any) -> Match | None:
        nonlocal compared
        compared += 1
        return verify(*words)

    monkeypatch.setattr(passwords, "_verify", counting)
    for _ in range(30):
        await login(limited, email, some_origin())
    assert 6 == compared


async def test_s7_right_again_when_the_time_has_come(serve: Serve, email: str) -> None:
    """Attempts come back at a steady rate, in every process."""
    limit = LIMIT | {"sign_in_limit_failures": 2, "sign_in_limit_window_ms": 1_000}
    async with serve(**limit) as other:
        while 429 != (answer := await login(other, email, some_origin())).status:
            assert 401 == answer.status
        status = 0
        async with asyncio.timeout(30):
            while status != 200:
                await asyncio.sleep(0.1)
                status = (await login(other, email, some_origin(), PASSWORD)).status


async def test_f74_nothing_is_signed_in_that_is_not_counted(
    serve: Serve, email: str, event: Event
) -> None:
    """S12: while misses cannot be counted nobody signs in or registers; all read and buy on."""
    async with serve(**LIMIT, database_sign_in_timeout_ms=SHORT_MS) as other:
        async with locked(other, "buckets"):
            for word in (PASSWORD, "wrong"):
                answer = await login(other, email, some_origin(), word)
                check_problem(answer, 503, "database_busy")
            token = other.token()
            assert 201 == (await other.book(event, token)).status
            for path in ("/v1/events", f"/v1/events/{event['id']}", "/v1/bookings"):
                assert 200 == (await other.call("GET", path, token=token)).status
        assert 200 == (await login(other, email, some_origin(), PASSWORD)).status


async def test_f74_no_account_is_made_that_is_not_counted(serve: Serve) -> None:
    """S12: nor is an account made."""
    limit = {"registration_limit_attempts": 2, "database_sign_in_timeout_ms": SHORT_MS}
    async with serve(**limit, trusted_proxies=LOOPBACK) as other:
        headers = {"X-Forwarded-For": some_origin()}
        async with locked(other, "buckets"):
            answer = await other.call("POST", "/v1/auth/register", json=account(), headers=headers)
            check_problem(answer, 503, "database_busy")
        answer = await other.call("POST", "/v1/auth/register", json=account(), headers=headers)
        assert 201 == answer.status


async def test_f77_counts_that_are_lost(limited: World, email: str) -> None:
    """A crash of PostgreSQL empties the counts: all attempts are there again, and nothing else."""
    home = some_origin()
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    for _ in range(5):
        await login(limited, email, home)
    await limited.database.execute("DELETE FROM buckets")
    services = limited.client.app[SERVICES]
    services.attempts._empty_until_s.clear()
    assert 200 == (await login(limited, email, home, PASSWORD)).status


async def test_s12_buckets_are_exact(world: World) -> None:
    """A hundred takers at once get what a bucket has, and of several together all or nothing."""
    name = secrets.token_hex(8)
    bucket, other = Counted(name, 7, 86_400_000), Counted(f"{name}x", 3, 86_400_000)
    waits = await asyncio.gather(
        *(limits.take(world.database, [bucket], wholly=True) for _ in range(100))
    )
    assert 7 == waits.count([0])
    assert {0} != {wait for [wait] in waits if wait} != set()
    assert [0] == await limits.look(world.database, [other])
    [wait, free] = await limits.take(world.database, [bucket, other], wholly=True)
    assert (True, 0) == (wait > 0, free)
    taken = [await limits.take(world.database, [other, bucket], wholly=False) for _ in range(5)]
    assert [0, 0, 0, 1, 1] == [min(1, first) for first, _ in taken]
    assert all(second for _, second in taken)


async def test_s12_buckets_are_taken_from_one_by_one(world: World) -> None:
    """Who takes while another has not ended waits, and sees what was taken."""
    bucket = Counted(secrets.token_hex(8), 2, 86_400_000)
    assert [0] == await limits.take(world.database, [bucket], wholly=True)
    async with world.database.acquire() as connection, connection.transaction():
        assert [0] == await limits.take(connection, [bucket], wholly=True)
        other = asyncio.create_task(limits.take(world.database, [bucket], wholly=True))
        await wait_for_waiting(world, event_type="Lock")
    assert [0] != await other


async def test_s12_a_clock_that_ran_ahead(world: World) -> None:
    """Buckets of a clock that is set back again are empty at worst, and fill as always."""
    bucket = Counted(secrets.token_hex(8), 2, 10_000)
    await world.database.execute(
        "INSERT INTO buckets VALUES ($1, now() + interval '10 years')", bucket.name
    )
    [wait_ms] = await limits.look(world.database, [bucket])
    assert 5_000 == wait_ms


async def test_s12_full_buckets_are_forgotten(world: World) -> None:
    """What nobody needs to know is deleted; what is known is kept."""
    full, empty = secrets.token_hex(8), secrets.token_hex(8)
    await world.database.execute(
        "INSERT INTO buckets VALUES ($1, now()), ($2, now() + interval '1 hour')", full, empty
    )
    await limits.forget(world.database, most=1_000_000)
    names = await world.database.fetch("SELECT name FROM buckets")
    assert {empty} == {row["name"] for row in names} & {full, empty}


async def test_familiar_places_are_few(world: World) -> None:
    """Of an account the newest are kept, and none for ever."""
    name = secrets.token_hex(8)
    await world.database.execute(
        "INSERT INTO familiar_origins SELECT $1, n::text, now() - n * interval '2 days' "
        "FROM generate_series(1, 40) AS n",
        name,
    )
    assert not await limits.knows(world.database, name, "16")
    await limits.note(world.database, name, "new")
    query = "SELECT origin FROM familiar_origins WHERE account = $1"
    rows = await world.database.fetch(query, name)
    assert {"new", *map(str, range(1, 15))} == {row["origin"] for row in rows}
    assert await limits.knows(world.database, name, "new")
    await world.database.execute(
        "UPDATE familiar_origins SET seen_at = now() - interval '31 days' "
        "WHERE account = $1 AND origin = 'new'",
        name,
    )
    await limits.forget(world.database, most=1)
    assert 14 == len(await world.database.fetch(query, name))


async def test_places_of_an_account_are_forgotten(limited: World, email: str) -> None:
    """Whoever is erased is familiar nowhere."""
    home = some_origin()
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    account = await limits.account_word(limited.database, email.upper())
    query = "SELECT count(*) FROM familiar_origins WHERE account = $1"
    assert 1 == await limited.database.fetchval(query, account)
    await limits.forget_account(limited.database, email)
    assert 0 == await limited.database.fetchval(query, account)
