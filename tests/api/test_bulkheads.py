"""
Bulkheads: what is slow makes its own kind wait and nobody else.

The slow thing is held for as long as the others are asked: a table is locked, or a search sleeps in
PostgreSQL. That they answer while it is held is all that is asserted; no clock is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.errors import Overloaded
from engine.ids import new_id
from store.pool import Busy, create_pool
from tests.api.test_accounts import PASSWORD, account
from tests.api.world import Answer, Event, Serve, World, check_problem
from usecases.passwords import Passwords

#: More than the pools of the served application have connections together.
MANY = 20
SHORT_MS = 300
#: Longer than any test waits.
LONG_MS = 100_000


@contextlib.asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    """Hold a table as a migration or a careless operator would."""
    connection = await asyncpg.connect(world.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def wait_for_waiting(world: World, *, event_type: str, least: int = 1) -> None:
    """Wait until statements of the API wait in PostgreSQL."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = $1 "
        "AND datname = current_database() AND application_name = 'evently'"
    )
    while await world.database.fetchval(query, event_type) < least:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def answers_of_the_others(world: World, event: Event) -> list[Answer]:
    """Ask all that must go on: sign-in, oneself, an event, what is left, a sale by either way."""
    body = account()
    made = await world.call("POST", "/v1/auth/register", json=body)
    login = {"email": body["email"], "password": PASSWORD}
    token = made.body["access_token"]
    held = await world.hold(event, token)
    confirm = f"/v1/holds/{held.body['id']}/confirm"
    return [
        made,
        await world.call("POST", "/v1/auth/login", json=login),
        await world.call("GET", "/v1/me", token=token),
        await world.call("GET", f"/v1/events/{event['id']}"),
        await world.call("GET", f"/v1/events/{event['id']}/availability"),
        await world.book(event, token),
        held,
        await world.call("POST", confirm, token=token),
    ]


async def test_locked_bookings(world: World, serve: Serve, event: Event) -> None:
    """While the table of bookings is locked, only who asks for bookings waits."""
    async with serve(
        catch_up_timeout_ms=0, database_own_pool_max=2, database_own_timeout_ms=LONG_MS
    ) as other:
        token = other.token()
        async with locked(world, "bookings"):
            slow = [
                asyncio.create_task(other.call("GET", "/v1/bookings", token=token))
                for _ in range(MANY)
            ]
            await wait_for_waiting(world, event_type="Lock", least=2)
            others = await answers_of_the_others(other, event)
            others.append(await other.call("GET", "/v1/events"))
            assert {200, 201} == {one.status for one in others}
            assert not any(task.done() for task in slow), "they were read, though they are locked"
        # And it passes by itself.
        assert {200} == {answer.status for answer in await asyncio.gather(*slow)}


async def test_bookings_say_that_they_wait_too_long(world: World, serve: Serve) -> None:
    """Who waits for locked bookings is told so: those with a connection, and those without."""
    async with serve(
        catch_up_timeout_ms=0, database_own_pool_max=1, database_own_timeout_ms=SHORT_MS
    ) as other:
        token = other.token()
        async with locked(world, "bookings"):
            paths = ["/v1/bookings", "/v1/tickets", f"/v1/bookings/{new_id('bk')}"]
            asked = [other.call("GET", path, token=token) for path in paths * 3]
            for answer in await asyncio.gather(*asked):
                check_problem(answer, 503, "database_busy")
                assert "1" == answer.headers["Retry-After"]


async def test_locked_users(world: World, serve: Serve, event: Event) -> None:
    """While accounts are locked, buying and reading go on."""
    async with serve(database_sign_in_timeout_ms=SHORT_MS) as other, locked(world, "users"):
        answer = await other.call("GET", "/v1/me", token=other.token())
        check_problem(answer, 503, "database_busy")
        assert "1" == answer.headers["Retry-After"]
        assert 201 == (await other.book(event, other.token())).status
        assert 200 == (await other.call("GET", f"/v1/events/{event['id']}")).status


@pytest.fixture
async def slow_search(world: World) -> AsyncIterator[None]:
    """Make every search sleep in PostgreSQL; what writes events does not call this function."""
    text = await world.database.fetchval(
        "SELECT pg_get_functiondef('search_query(text, text, text)'::regprocedure)"
    )
    await world.database.execute(
        "CREATE OR REPLACE FUNCTION search_query(given text, category text, place text) "
        "RETURNS tsquery IMMUTABLE LANGUAGE plpgsql "
        "AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$"
    )
    yield
    await world.database.execute(text)


@pytest.mark.usefixtures("slow_search")
async def test_slow_searches(world: World, serve: Serve, event: Event) -> None:
    """Twenty bad searches of strangers make nobody else wait."""
    async with serve(database_search_timeout_ms=LONG_MS) as other:
        # Each for something else: equal ones would share one search.
        paths = [f"/v1/events?q=x{number}" for number in range(MANY)]
        slow = [asyncio.create_task(other.call("GET", path)) for path in paths]
        await wait_for_waiting(world, event_type="Timeout", least=2)
        others = await answers_of_the_others(other, event)
        token = others[0].body["access_token"]
        mine = await other.call("GET", "/v1/bookings", token=token)
        assert {200, 201} == {one.status for one in [*others, mine]}
        assert not any(task.done() for task in slow)
        while not all(task.done() for task in slow):
            await world.database.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            )
        assert {503} == {task.result().status for task in slow}


@pytest.mark.usefixtures("slow_search")
async def test_searches_say_that_they_take_too_long(serve: Serve) -> None:
    """Each ends by its own limit, with a connection or without, and is told so."""
    async with serve(database_search_pool_max=1, database_search_timeout_ms=SHORT_MS) as other:
        asked = [other.call("GET", f"/v1/events?q=x{number}") for number in range(3)]
        for answer in await asyncio.gather(*asked):
            check_problem(answer, 503, "database_busy")
            assert "1" == answer.headers["Retry-After"]


async def test_nobody_waits_for_a_connection_for_ever(database_url: str) -> None:
    """A pool whose connections are all in use says so, at once if too many wait."""
    pool = await create_pool(database_url, connections_max=1, timeout_ms=SHORT_MS)
    async with pool.acquire():
        with pytest.raises(Busy):
            await pool.fetchval("SELECT 1")
    assert 1 == await pool.fetchval("SELECT 1")
    await pool.close()


async def test_passwords_wait_up_to_a_bound() -> None:
    """Hashes that wait are bounded; the next is refused, and room comes back."""
    passwords = Passwords(at_once_max=1, waiting_max=2)
    first = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await passwords.verify(["correct horse"], None)
    hashes = await asyncio.gather(*first)
    assert await passwords.verify(["correct horse"], hashes[0])
    passwords.close()


async def test_full_queue_of_passwords(world: World, serve: Serve) -> None:
    """Over HTTP that is a 503 that says when to come back, and never a login that hangs."""
    async with serve(password_hashes_max=1, passwords_waiting_max=0) as other:
        tasks = [
            asyncio.create_task(
                other.call("POST", "/v1/auth/login", json={"email": "a@b.org", "password": "x"})
            )
            for _ in range(MANY)
        ]
        answers = await asyncio.gather(*tasks)
        assert {401, 503} == {one.status for one in answers}
        refused = next(one for one in answers if one.status == 503)
        check_problem(refused, 503, "backpressure")
        assert "1" == refused.headers["Retry-After"]
