"""S15. Work is bounded before it is begun: by kind, so that none crowds out another."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.admission import ADMISSION, Admission, Work, work_of
from api.policy import Policy
from api.problems import Problem
from api.routes import ROUTES
from engine.shard import Shard
from evently.settings import Settings
from tests.api.test_bulkheads import LONG_MS, MANY, locked, wait_for_waiting
from tests.api.world import Event, Serve, World, check_problem
from tests.checks import WAIT_MAX_S


def test_every_route_has_its_work() -> None:
    """All but what watches the service; sales are what takes places and gives them back."""
    found = {route: work_of(route.method, route.path, route.policy) for route in ROUTES}
    assert {Policy.OPS} == {route.policy for route, work in found.items() if work is None}
    sales = [route for route, work in found.items() if work is Work.SALES]
    assert {Policy.USER} == {route.policy for route in sales}
    assert {route for route in ROUTES if route.is_hot} <= {
        *sales,
        *(route for route, work in found.items() if work is Work.LOOKS),
    }
    of_paths = {route.path: work for route, work in found.items() if route.method == "POST"}
    assert Work.SIGN_INS is of_paths["/v1/auth/login"]
    assert Work.CHANGES is of_paths["/v1/events"]
    assert Work.CHANGES is of_paths["/v1/tickets/{code}/check-in"]
    assert Work.SALES is of_paths["/v1/offers/{offer_id}/accept"]


async def test_room_comes_back() -> None:
    """Whatever ends a request, its room is free again: an answer, an error, a caller who goes."""
    admission = Admission({Work.SALES: 2})
    may_end = asyncio.Event()

    async def handle(request: web.Request) -> Problem:
        await may_end.wait()
        if request.path == "/bad":
            raise RuntimeError
        return Problem(418, "x", "x")

    admitted = admission.admit(Work.SALES, handle)
    for path in ("/good", "/bad", "/gone"):
        may_end.clear()
        asked = [make_mocked_request("GET", path) for _ in range(3)]
        tasks = [asyncio.ensure_future(admitted(one)) for one in asked[:2]]
        await asyncio.sleep(0)
        refused = await admitted(asked[2])
        assert isinstance(refused, Problem)
        assert (503, "backpressure", "1") == (
            refused.status,
            refused.code,
            refused.headers["Retry-After"],
        )
        assert 2 == admission.rooms[Work.SALES].under_way
        if path == "/gone":
            for task in tasks:
                task.cancel()
        may_end.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert 0 == admission.rooms[Work.SALES].under_way
    # What has no bound is let in as it is.
    assert admission.admit(Work.LISTS, handle) is handle


async def test_f75_more_than_there_is_room_for(world: World, serve: Serve, event: Event) -> None:
    """
    Lists of bookings that hang fill their own room alone: what comes then is told at once to come
    back, and sales, sign-in, events and organizers have theirs.
    """
    room = dict.fromkeys(Work, 3)
    async with serve(
        under_way_max=room,
        catch_up_timeout_ms=0,
        database_own_timeout_ms=LONG_MS,
        database_own_pool_max=3,
    ) as other:
        token = other.token()
        async with locked(world, "bookings"):
            slow = [
                asyncio.create_task(other.call("GET", "/v1/bookings", token=token))
                for _ in range(3)
            ]
            await wait_for_waiting(world, event_type="Lock", least=3)
            for path in ("/v1/bookings", "/v1/waitlist", "/v1/tickets"):
                async with asyncio.timeout(WAIT_MAX_S / 2):  # With room it would hang as well.
                    answer = await other.call("GET", path, token=token)
                check_problem(answer, 503, "backpressure")
                assert "1" == answer.headers["Retry-After"]
            assert 201 == (await other.book(event, token)).status
            for path in ("/v1/events", f"/v1/events/{event['id']}"):
                assert 200 == (await other.call("GET", path)).status
            assert 404 == (await other.call("GET", "/v1/me", token=token)).status
            boss = other.token(role="organizer", organizer_id=event["organizer_id"])
            closed = await other.call("POST", f"/v1/events/{event['id']}/close", token=boss)
            assert 200 == closed.status
            assert 200 == (await other.call("GET", "/healthz")).status
        assert {200} == {answer.status for answer in await asyncio.gather(*slow)}
        assert 200 == (await other.call("GET", "/v1/bookings", token=token)).status


async def test_f75_a_rush_beyond_the_room(serve: Serve, event: Event) -> None:
    """Of many orders at once some are sold, the others told to come back; then they are sold."""
    async with serve(under_way_max=dict.fromkeys(Work, 4)) as other:
        people = [(other.token(), f"k-{n}") for n in range(MANY)]
        left = dict(people)
        refused = 0
        async with asyncio.timeout(60):
            while left:
                asked = [other.book(event, token, key=key) for token, key in left.items()]
                answers = dict(zip(left, await asyncio.gather(*asked), strict=True))
                for token, answer in answers.items():
                    if answer.status == 201:
                        del left[token]
                    else:
                        check_problem(answer, 503, "backpressure")
                        refused += 1
        rooms = other.client.app[ADMISSION].rooms
        assert {0} == {room.under_way for room in rooms.values()}
        left_over = await other.call("GET", f"/v1/events/{event['id']}/availability")
        assert MANY == left_over.body["tiers"][0]["sold"]
    assert refused


async def test_f75_who_sends_slowly_takes_no_room(serve: Serve) -> None:
    """Bodies that do not come are waited for outside: who sends one finds room."""
    async with serve(under_way_max=dict.fromkeys(Work, 2)) as other:
        server = other.client.server
        head = b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        slow = [await asyncio.open_connection(server.host, server.port) for _ in range(5)]
        for _, writer in slow:
            writer.write(head)
            await writer.drain()
        for _ in range(3):
            answer = await other.call(
                "POST", "/v1/auth/login", json={"email": "a@example.org", "password": "x"}
            )
            check_problem(answer, 401, "wrong_credentials")
        for _, writer in slow:
            writer.transport.abort()


@pytest.mark.parametrize("work", Work)
def test_every_work_has_its_setting(work: Work) -> None:
    """The settings name a bound for each."""
    assert getattr(Settings(), f"{work.value}_under_way_max") > 0


async def test_f75_readiness_is_asked_once_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What machines ask has no quota, and asks the servers once, however many ask at a time."""
    asked = 0
    is_heard, may_answer = Shard.is_heard, asyncio.Event()

    async def counted(shard: Shard) -> bool:
        nonlocal asked
        asked += 1
        await may_answer.wait()
        return await is_heard(shard)

    monkeypatch.setattr(Shard, "is_heard", counted)
    tasks = [asyncio.create_task(world.call("GET", "/readyz")) for _ in range(MANY)]
    while not asked:  # noqa: ASYNC110
        await asyncio.sleep(0)
    # One of them goes away: the others are told all the same.
    tasks[0].cancel()
    await asyncio.sleep(0.1)
    may_answer.set()
    answers = await asyncio.gather(*tasks[1:])
    assert {200} == {answer.status for answer in answers}
    assert asked < MANY
    before = asked
    assert 200 == (await world.call("GET", "/readyz")).status
    assert before + 1 == asked
