"""The client (`client/`): its values are the API's, and what it repeats is done once."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from evently_client import Client, Item, Patience, Refusal, Request, Unanswered

from engine.ids import new_id
from tests.api.world import World
from tests.test_tidy import ROOT, imports

PASSWORD = "correct horse battery"
QUICK = Patience(total_s=5.0, first_s=0.001, longest_s=0.01)
Middle = Callable[
    [web.Request, Callable[[], Awaitable[web.Response]]], Awaitable[web.StreamResponse]
]


def url_of(world: World) -> str:
    """Return where a world's API is."""
    return str(world.client.make_url("/"))


@asynccontextmanager
async def between(world: World, middle: Middle) -> AsyncIterator[str]:
    """Stand between client and API; *middle* decides what becomes of request and answer."""
    async with aiohttp.ClientSession(url_of(world)) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            data = await request.read()

            async def go_on() -> web.Response:
                path = request.raw_path
                headers = {
                    name: request.headers[name]
                    for name in ("Authorization", "Idempotency-Key", "Content-Type")
                    if name in request.headers
                }
                async with session.request(
                    request.method, path, data=data, headers=headers
                ) as answer:
                    return web.Response(
                        status=answer.status,
                        body=await answer.read(),
                        content_type=answer.content_type,
                    )

            return await middle(request, go_on)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        try:
            yield str(server.make_url("/"))
        finally:
            await server.close()


async def test_a_buyer_s_way(world: World) -> None:
    """Register, find, hold, confirm, book, read, cancel, wait: each answer is its value."""
    event = await world.event(3)
    tier_id = event["tiers"][0]["id"]
    async with Client(url_of(world)) as client:
        session = await client.register(f"{new_id('usr')}@example.org", PASSWORD, "Ann")
        assert not isinstance(session, Refusal)
        assert client.token == session.access_token
        seen = await client.event(event["id"])
        assert not isinstance(seen, Refusal)
        assert [tier_id] == [tier.id for tier in seen.tiers]
        held = await client.hold(event["id"], [Item(tier_id=tier_id, quantity=1)])
        assert not isinstance(held, Refusal)
        assert "held" == held.status
        booked = await client.confirm(held.id)
        assert not isinstance(booked, Refusal)
        second = await client.book(event["id"], [Item(tier_id=tier_id, quantity=2)])
        assert not isinstance(second, Refusal)
        listed = await client.bookings(limit=1)
        assert not isinstance(listed, Refusal)
        assert ([second.id], True) == ([one.id for one in listed.data], listed.has_more)
        left = await client.availability(event["id"])
        assert not isinstance(left, Refusal)
        assert [(0, "sold_out")] == [(one.available, one.status) for one in left.tiers]
        refused = await client.book(event["id"], [Item(tier_id=tier_id, quantity=1)])
        assert isinstance(refused, Refusal)
        assert (409, "sold_out", 0) == (refused.status, refused.code, refused.more["available"])
        entry = await client.join(event["id"], tier_id, 1)
        assert not isinstance(entry, Refusal)
        assert await client.leave(entry.id) is None
        cancelled = await client.cancel(second.id)
        assert not isinstance(cancelled, Refusal)
        assert "cancelled" == cancelled.status
        read = await client.booking(booked.id)
        assert not isinstance(read, Refusal)
        assert (booked.id, "confirmed", 1) == (read.id, read.status, len(read.tickets))


async def test_an_organizer_s_event(world: World) -> None:
    """An event is made and put on sale, and found by who looks for it."""
    token = await world.organizer()
    await world.enter()
    async with Client(url_of(world), token=token) as client:
        body = {
            "name": "Zebra night",
            "starts_at": "2030-06-01T20:00:00Z",
            "tiers": [{"name": "All", "price": {"amount": 0, "currency": "EUR"}, "capacity": 5}],
        }
        draft = await client.make_event(body)
        assert not isinstance(draft, Refusal)
        made = await client.publish(draft.id)
        assert not isinstance(made, Refusal)
        found = await client.events(q="zebra", limit=5)
        assert not isinstance(found, Refusal)
        assert [made.id] == [one.id for one in found.data]
        bad = await client.make_event(body | {"name": ""})
        assert isinstance(bad, Refusal)
        assert "/name" == bad.more["errors"][0]["pointer"]


async def test_a_lost_answer_is_one_booking(world: World) -> None:
    """The service sold and its answer is lost, three times; the client hears of one booking."""
    event = await world.event(10)
    item = Item(tier_id=event["tiers"][0]["id"], quantity=1)
    lost = 0

    async def lose(
        request: web.Request, go_on: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        nonlocal lost
        answer = await go_on()
        if request.method == "POST" and lost < 3:
            lost += 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    async with (
        between(world, lose) as url,
        Client(url, token=world.token(), patience=QUICK) as client,
    ):
        booked = await client.book(event["id"], [item])
        assert not isinstance(booked, Refusal)
        listed = await client.bookings()
        assert not isinstance(listed, Refusal)
    assert (3, [booked.id]) == (lost, [one.id for one in listed.data])


async def test_one_s_own_key_is_kept(world: World) -> None:
    """Whoever asks again with their key, in another client even, gets the same booking."""
    event = await world.event(10)
    items, key, token = (
        [Item(tier_id=event["tiers"][0]["id"], quantity=1)],
        str(uuid.uuid4()),
        world.token(),
    )
    found = []
    for _ in range(2):
        async with Client(url_of(world), token=token) as client:
            found.append(await client.book(event["id"], items, key=key))
    first, second = found
    assert not isinstance(first, Refusal)
    assert not isinstance(second, Refusal)
    assert first.id == second.id


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_undecided_is_asked_again(status: int) -> None:
    """Until somebody decides, with one key in all attempts."""
    keys: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 4:
            return web.Response(status=status)
        return web.json_response({"code": "sold_out"}, status=409)

    async with serving(answer) as url, Client(url, patience=QUICK) as client:
        refused = await client.book("evt_1", [])
    assert isinstance(refused, Refusal)
    assert ("sold_out", 4, 1) == (refused.code, len(keys), len(set(keys)))


async def test_nobody_decides() -> None:
    """When the patience is over, that is raised, with what to ask again."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "3600"})

    async with serving(answer) as url, Client(url, patience=QUICK) as client:
        with pytest.raises(Unanswered) as raised:
            await client.book("evt_1", [], key="one")
    assert ("one", 503) == (raised.value.request.key, raised.value.last.status)
    async with Client(url, patience=Patience(total_s=0.2, first_s=0.01)) as client:
        with pytest.raises(Unanswered, match="ClientConnectorError"):
            await client.availability("evt_1")


async def test_what_must_not_be_asked_twice_is_not() -> None:
    """A POST without a key that may have been done is not sent again."""
    count = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=503)

    async with serving(answer) as url, Client(url, patience=QUICK) as client:
        with pytest.raises(Unanswered):
            await client.ask(Request("/v1/strange"))
    assert 1 == count


@pytest.mark.parametrize(("after_s", "times"), [("0", 2), ("3600", 1)])
async def test_limits_are_waited_for_within_the_patience(after_s: str, times: int) -> None:
    """429 is asked again if that makes sense; else it is the answer, and says when it would."""
    count = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        if count == 2:
            return web.json_response({"code": "not_found"}, status=404)
        body, headers = {"code": "rate_limited"}, {"Retry-After": after_s}
        return web.json_response(body, status=429, headers=headers)

    async with serving(answer) as url, Client(url, patience=QUICK) as client:
        refused = await client.event("evt_1")
    assert isinstance(refused, Refusal)
    assert times == count
    assert ("not_found" if times == 2 else "rate_limited") == refused.code
    assert (None if times == 2 else 3600.0) == refused.retry_after_s


async def test_a_token_is_renewed_once(world: World) -> None:
    """Ten requests meet a token that has ended; one renewal serves all."""
    renewals = 0

    async def count(
        request: web.Request, go_on: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        nonlocal renewals
        renewals += request.path == "/v1/auth/refresh"
        return await go_on()

    async with between(world, count) as url, Client(url, patience=QUICK) as client:
        assert not isinstance(
            await client.register(f"{new_id('usr')}@example.org", PASSWORD, "Bea"), Refusal
        )
        client.token += "x"
        seen = await asyncio.gather(*(client.bookings() for _ in range(10)))
        assert not any(isinstance(one, Refusal) for one in seen)
        assert 1 == renewals
        stranger = Client(url, token="no token", patience=QUICK)
        refused = await stranger.bookings()
        await stranger.close()
    assert isinstance(refused, Refusal)
    assert 401 == refused.status


async def test_an_id_is_one_segment() -> None:
    """Whatever stands in an id leads nowhere else."""
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.json_response({}, status=404)

    async with serving(answer) as url, Client(url) as client:
        await client.booking("../admin/users?x=/#")
    assert ["/v1/bookings/..%2Fadmin%2Fusers%3Fx=%2F%23"] == paths


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serve one answer to everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


def test_it_knows_nothing_of_the_service() -> None:
    """It imports no room of the house, and is installed alone."""
    found = {
        name.partition(".")[0]
        for path in (ROOT / "client" / "evently_client").glob("*.py")
        for name in imports(path)
    }
    assert found <= {*sys.stdlib_module_names, "aiohttp", "msgspec", "evently_client"}


def test_it_is_installed_alone(tmp_path: Path) -> None:
    """From its own folder, without the service's."""
    # What builds leaves its traces in the folder.
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(ROOT / "client", source)
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    words = (sys.executable, "-m", *pip, "--target", str(target), str(source))
    subprocess.run(words, check=True, timeout=100)
    program = "import evently_client; print(evently_client.__file__)"
    env = os.environ | {"PYTHONPATH": str(target)}
    told = subprocess.run(
        (sys.executable, "-c", program),
        check=True,
        timeout=60,
        capture_output=True,
        cwd=tmp_path,
        env=env,
    )
    assert told.stdout.decode().startswith(str(target))
