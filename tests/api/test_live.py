"""The stream of an event: what is left, pushed; and an account's own messages beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from api.draining import DRAINING
from api.handlers.live import HUB
from api.http import SERVICES
from api.streams import STREAMS, UNSENT_BYTES_MAX, Stream, StreamBounds
from engine import keys
from engine.ids import new_id
from store import outbox
from store.pool import Pool
from tests.api.ears import TIMEOUT_S, Heard, listening
from tests.api.test_seats import seated_event, seats
from tests.api.world import PROBLEM, SHARD, Event, Serve, World, from_now
from tests.checks import ask
from usecases import news

PASSWORD = "correct horse"


def left(heard: Heard) -> dict[str, int]:
    """Return what an event says is left, by tier."""
    return {tier["tier_id"]: tier["available"] for tier in heard.data["tiers"]}


async def test_state_first_then_what_differs(world: World, event: Event, user: str) -> None:
    """Who comes is told all; then those tiers alone of which something else is left."""
    first, second = (tier["id"] for tier in event["tiers"])
    async with listening(world, event["id"]) as ear:
        headers = ear.response.headers
        assert "text/event-stream" == headers["Content-Type"]
        assert "no-store" == headers["Cache-Control"]
        assert ("no", "close") == (headers["X-Accel-Buffering"], headers["Connection"])
        assert "nosniff" == headers["X-Content-Type-Options"]
        state = await ear.next("state")
        assert 1_000 <= ear.retry_ms <= 5_000
        assert event["id"] == state.data["event_id"]
        assert {first: 100, second: 100} == left(state)
        assert ("open", None) == (state.data["sale"]["status"], state.data["sale"]["reason"])
        assert event["starts_at"] == state.data["sale"]["starts_at"]
        assert state.data["seats_version"] is None
        assert 201 == (await world.book(event, user, (2, 3))).status
        changed = await ear.next("tiers")
        assert {second: 97} == left(changed)
        epoch, seq = map(int, changed.id.split("."))
        assert (epoch, seq) > tuple(map(int, state.id.split(".")))
        # Who comes now is told what is so now.
        async with listening(world, event["id"]) as late:
            assert {first: 100, second: 97} == left(await late.next("state"))


async def test_sale_ends(world: World, organizer: str) -> None:
    """Held, free again, sold out, closed, reopened, called off: each is told with a word for it."""
    event = await world.event(2, token=organizer)
    path = f"/v1/events/{event['id']}"
    token = world.token()
    async with listening(world, event["id"]) as ear:
        await ear.next("state")
        hold = (await world.hold(event, token, (1, 2))).body
        sale = await ear.until("sale")
        assert ("all_held", "all_held") == (sale.data["status"], sale.data["change"])
        await world.call("DELETE", f"/v1/holds/{hold['id']}", token=token)
        sale = await ear.until("sale")
        assert ("open", "available") == (sale.data["status"], sale.data["change"])
        await world.book(event, token, (1, 2), key="k-2")
        assert "sold_out" == (await ear.until("sale")).data["change"]
        await world.call("POST", f"{path}/close", token=organizer)
        sale = await ear.until("sale")
        assert ("closed", "closed") == (sale.data["status"], sale.data["change"])
        reopening = {"sale_closes_at": event["sale_closes_at"]}
        answer = await world.call("POST", f"{path}/reopen", token=organizer, json=reopening)
        assert 200 == answer.status, answer.text
        assert "sold_out" == (await ear.until("sale")).data["status"]
        await world.call("POST", f"{path}/cancel", token=organizer)
        assert "cancelled" == (await ear.until("sale")).data["change"]


async def test_sale_opens_and_moves(world: World, organizer: str) -> None:
    """The opening needs no act of anybody; another start, be it later, is told as postponed."""
    event = await world.event(5, token=organizer, sale_opens_at=from_now(seconds=2))
    async with listening(world, event["id"]) as ear:
        state = await ear.next("state")
        assert "not_open" == state.data["sale"]["status"]
        assert "opened" == (await ear.until("sale")).data["change"]
        await world.database.execute(
            "UPDATE events SET starts_at = starts_at + interval '1 day',"
            " ends_at = ends_at + interval '1 day' WHERE id = $1",
            event["id"],
        )
        sale = await ear.until("sale")
        assert ("open", "postponed") == (sale.data["status"], sale.data["change"])
        assert event["starts_at"] < sale.data["starts_at"]


async def test_pause_has_its_reason(world: World, event: Event) -> None:
    """While the shard is shut, or too much waits for PostgreSQL, the sale is paused, and why."""
    door = world.client.app[SERVICES].engine.shards[SHARD].door
    may_open = asyncio.Event()

    async def probe(_: object) -> bool:
        return may_open.is_set()

    async with listening(world, event["id"]) as ear:
        await ear.next("state")
        door.shut(door.reign(), "a test", probe=probe)
        sale = await ear.next("sale")
        assert ("paused", "paused") == (sale.data["status"], sale.data["change"])
        assert "shard_recovering" == sale.data["reason"]
        async with listening(world, event["id"]) as late:
            state = await late.next("state")
            assert "shard_recovering" == state.data["sale"]["reason"]
            may_open.set()
            assert "resumed" == (await late.next("sale")).data["change"]
        assert "resumed" == (await ear.next("sale")).data["change"]
        most = await ask(world.redis, "HGET", keys.meta(SHARD), "backlog_max")
        await ask(world.redis, "HSET", keys.meta(SHARD), "backlog_max", 0)
        try:
            sale = await ear.next("sale")
            assert ("paused", "backpressure") == (sale.data["status"], sale.data["reason"])
        finally:
            await ask(world.redis, "HSET", keys.meta(SHARD), "backlog_max", most)
        assert "resumed" == (await ear.next("sale")).data["change"]


async def test_begins_in_a_pause(world: World, organizer: str) -> None:
    """A stream begins also while nobody can say what is left, and tells it as soon as one can."""
    event = await world.event(5, token=organizer)
    door = world.client.app[SERVICES].engine.shards[SHARD].door
    may_open = asyncio.Event()

    async def probe(_: object) -> bool:
        return may_open.is_set()

    await world.call("GET", f"/v1/events/{event['id']}/availability")
    door.shut(door.reign(), "a test", probe=probe)
    try:
        async with listening(world, event["id"]) as ear:
            state = await ear.next("state")
            assert ("paused", []) == (state.data["sale"]["status"], state.data["tiers"])
            may_open.set()
            state = await ear.next("state")
            assert ("open", [5]) == (state.data["sale"]["status"], [*left(state).values()])
    finally:
        may_open.set()


async def test_seats_and_resume(world: World, organizer: str) -> None:
    """Seats come by version; who comes again is told those changes that it missed."""
    event = await world.event(token=organizer, **seated_event())
    block = f"/v1/events/{event['id']}/seats/block"

    async def take(*seat_ids: str) -> None:
        answer = await world.call("POST", block, token=organizer, json={"seat_ids": seat_ids})
        assert 200 == answer.status, answer.text

    async with listening(world, event["id"]) as ear:
        state = await ear.next("state")
        version = state.data["seats_version"]
        await take("s1-1", "s1-2")
        heard = await ear.until("seats")
        [change] = heard.data["changes"]
        assert (version + 1, "b", ["s1-1", "s1-2"]) == tuple(change.values())
        seen = heard.id
        await take("s1-3")
        await ear.until("seats")
        await take("s2-1")
        last = await ear.until("seats")
        whole = (await seats(world, event)).body
        assert whole["version"] == last.data["version"]
        async with listening(world, event["id"], Last_Event_ID=seen) as again:
            assert last.data["version"] == (await again.next("state")).data["seats_version"]
            missed = [await again.next("seats") for _ in range(3)]
            # The one that was told last comes once more; its version says so.
            seat_ids = [one["seat_ids"] for heard in missed for one in heard.data["changes"]]
            assert [["s1-1", "s1-2"], ["s1-3"], ["s2-1"]] == seat_ids
        # Of another epoch, or of before anybody listened here: the map is to be read anew.
        epoch, seq = state.id.split(".")
        for old in (f"{int(epoch) - 1}.{seq}", f"{epoch}.0"):
            async with listening(world, event["id"], Last_Event_ID=old) as again:
                await again.next("state")
                assert (await again.next("seats")).data["changes"] is None
        async with listening(world, event["id"], Last_Event_ID="x") as again:
            await again.next("state")
            await take("s1-4")
            assert "s1-4" in (await again.until("seats")).data["changes"][0]["seat_ids"]


async def test_hidden_tiers_stay_hidden(world: World, organizer: str) -> None:
    """What has a code alone is told on no stream, not even to its organizer."""
    event = await world.draft(organizer, 5, 7)
    hidden = event["tiers"][1]["id"]
    await world.database.execute("UPDATE tiers SET is_hidden = true WHERE id = $1", hidden)
    await world.database.execute(
        "INSERT INTO promos (event_id, organizer_id, code, uses_max, percent, amount_minor,"
        " tier_nos) SELECT event_id, organizer_id, 'SECRET', 10, 0, 0, '{2}' FROM tiers"
        " WHERE id = $1",
        hidden,
    )
    assert 200 == (await world.publish(event["id"], organizer)).status
    async with listening(world, event["id"], token=organizer) as ear:
        assert [event["tiers"][0]["id"]] == [*left(await ear.next("state"))]


async def test_many_listeners_of_many_events_are_one_call(world: World, organizer: str) -> None:
    """All events that are watched are asked for in one call of `availability`, once a tick."""
    made = [await world.event(5, token=organizer) for _ in range(3)]
    coalescer = world.client.app[SERVICES].engine.shards[SHARD]._batched["availability"]
    send, calls = coalescer._send, []

    async def counting(commands: Sequence[Any]) -> Sequence[Any]:
        calls.append([command.event_id for command in commands])
        return await send(commands)

    async with contextlib.AsyncExitStack() as stack:
        for event in (*made, *made):
            ear = await stack.enter_async_context(listening(world, event["id"]))
            await ear.next("state")
        coalescer._send = counting
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while len(calls) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            coalescer._send = send
    assert [{event["id"] for event in made}] * 3 == [set(call) for call in calls[:3]]
    assert [3] * 3 == [len(call) for call in calls[:3]]


async def test_what_is_not_there(world: World, organizer: str) -> None:
    """An unknown event is none; a draft is none to others, and not on sale to anybody here."""
    draft = await world.draft(organizer, 5)
    for event_id in (new_id("evt"), "evt_x", draft["id"]):
        answer = await world.call("GET", f"/v1/events/{event_id}/stream")
        assert (404, "not_found") == (answer.status, answer.body["code"])
        assert PROBLEM == answer.headers["Content-Type"]
    answer = await world.call("POST", f"/v1/events/{draft['id']}/stream")
    assert 405 == answer.status


async def test_head_of_a_stream(world: World, event: Event) -> None:
    """HEAD ends at once, and counts for nothing."""
    answer = await world.call("HEAD", f"/v1/events/{event['id']}/stream")
    assert (200, "text/event-stream") == (answer.status, answer.headers["Content-Type"])
    assert not world.client.app[STREAMS]._open


async def test_account_hears_its_own(world: World, event: Event, organizer: str) -> None:
    """Bookings once they are written, offers and letters come beside; nobody hears another's."""
    small = await world.event(1, token=organizer)
    (mine, me), (other, _them) = [(world.token(own), own) for own in (new_id("usr"), new_id("usr"))]
    async with (
        listening(world, event["id"], token=mine) as ear,
        listening(world, event["id"], token=other) as stranger,
    ):
        for one in (ear, stranger):
            await one.next("state")
            await one.until("following")
        booked = (await world.book(event, mine)).body
        heard = await ear.until("message")
        assert {
            "kind": "booking.confirmed",
            "event_id": event["id"],
            "subject_id": booked["id"],
        } == heard.data
        # It is written by then: nobody waits for it.
        found = await world.database.fetchval(
            "SELECT user_id FROM bookings WHERE id = $1", booked["id"]
        )
        assert me == found
        # An offer, of another event than the one that is watched.
        sold = (await world.book(small, other, key="k-3")).body
        body = {"tier_id": small["tiers"][0]["id"], "quantity": 1}
        path = f"/v1/events/{small['id']}/waitlist"
        entry = await world.call("POST", path, token=mine, key="k-4", json=body)
        assert 201 == entry.status, entry.text
        await world.cancel(sold["id"], other)
        heard = await ear.until("message")
        assert ("waitlist.offered", entry.body["id"]) == (
            heard.data["kind"],
            heard.data["subject_id"],
        )
        # A row of the table: what has no record; nothing of the letter.
        await world.database.execute(
            "INSERT INTO outbox (kind, user_id, subject_id, payload)"
            " VALUES ('account.signed_in', $1, $1, '{\"token\": \"secret\"}')",
            me,
        )
        heard = await ear.until("message")
        assert {"kind": "account.signed_in", "event_id": None, "subject_id": me} == heard.data
        kinds = [(await stranger.until("message")).data for _ in range(2)]
        assert ["booking.confirmed", "booking.cancelled"] == [one["kind"] for one in kinds]
        assert {sold["id"]} == {one["subject_id"] for one in kinds}


async def test_account_that_fell_behind_is_told(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If more was written than can be looked at, all go on from the end, and know it."""
    monkeypatch.setattr(news, "BEHIND_RECORDS_MAX", -1)
    async with listening(world, event["id"], token=user) as ear:
        await ear.until("following")
        await ear.until("following")
        monkeypatch.undo()
        booked = (await world.book(event, user)).body
        assert booked["id"] == (await ear.until("message")).data["subject_id"]


async def test_account_hears_again_after_postgresql_was_away(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written while it could not be asked is told afterwards."""
    ends, is_away = outbox.ends, asyncio.Event()

    async def away(pool: Pool) -> dict[int, tuple[int, int]]:
        if not is_away.is_set():
            is_away.set()
            raise OSError("away")
        return await ends(pool)

    async with listening(world, event["id"], token=user) as ear:
        await ear.until("following")
        monkeypatch.setattr(outbox, "ends", away)
        booked = (await world.book(event, user)).body
        assert booked["id"] == (await ear.until("message")).data["subject_id"]
        assert is_away.is_set()


@contextlib.asynccontextmanager
async def deaf(world: World, event: Event) -> AsyncIterator[None]:
    """Open a stream and read nothing of it."""
    server = world.client.server
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, (server.host, server.port))
        await loop.sock_sendall(
            one, f"GET /v1/events/{event['id']}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        yield


async def until_open(world: World, number: int) -> None:
    """Wait until so many streams are open."""
    async with asyncio.timeout(TIMEOUT_S):
        while len(world.client.app[STREAMS]._open) != number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_s29_slow_reader_is_let_go(world: World, event: Event) -> None:
    """Who does not read is let go before 64 KiB wait; who does beside it misses nothing."""
    hub, streams = world.client.app[HUB], world.client.app[STREAMS]
    async with listening(world, event["id"]) as ear, deaf(world, event):
        await ear.next("state")
        await until_open(world, 2)
        watch = hub._watches[event["id"]]
        unsent_most, sent_bytes = 0, 0
        pad = b": " + b"x" * 8_000 + b"\n\n"
        async with asyncio.timeout(TIMEOUT_S):
            while len(streams._open) == 2:
                await hub._tell(watch, pad)
                sent_bytes += len(pad)
                open_now = [one._transport for one in streams._open if one._transport is not None]
                unsent = [transport.get_write_buffer_size() for transport in open_now]
                unsent_most = max(unsent_most, *unsent)
                await ear.response.content.readuntil(b"\n\n")
        assert unsent_most <= UNSENT_BYTES_MAX
        # And of the system's own memory no more than that, twice over as Linux counts.
        assert sent_bytes < 8 * UNSENT_BYTES_MAX
        [left_over] = streams._open
        assert left_over.over_by is None
        await world.book(event, None)
        await ear.next("tiers")


async def test_s29_streams_are_bounded(serve: Serve, event: Event, user: str) -> None:
    """So many of an account, so many of an address, so many of all; whoever goes makes room."""
    async with serve(stream_bounds=StreamBounds(most=3, per_address=2, per_account=1)) as world:
        path = f"/v1/events/{event['id']}/stream"
        async with listening(world, event["id"], token=user):
            answer = await world.call("GET", path, token=user)
            assert (429, "too_many_streams") == (answer.status, answer.body["code"])
            assert "5" == answer.headers["Retry-After"]
            async with listening(world, event["id"]):
                answer = await world.call("GET", path)
                assert (429, "too_many_streams") == (answer.status, answer.body["code"])
        await until_open(world, 0)
        streams = world.client.app[STREAMS]
        assert ({}, {}) == (streams._by_address, streams._by_account)
        others = [Stream(f"address {number}") for number in range(3)]
        for other in others:
            streams.enter(other)
        answer = await world.call("GET", path)
        assert (503, "backpressure") == (answer.status, answer.body["code"])
        for other in others:
            streams.leave(other)
        async with listening(world, event["id"]) as ear:
            await ear.next("state")


async def test_s29_pages_of_other_sites(serve: Serve, event: Event) -> None:
    """A browser's page of a site that may not read answers opens no stream."""
    async with serve(cors_origins=["https://shop.example"]) as world:
        path = f"/v1/events/{event['id']}/stream"
        for origin in ("https://evil.example", "null", "https://shop.example.evil.example"):
            answer = await world.call("GET", path, headers={"Origin": origin})
            assert (403, "origin_not_allowed") == (answer.status, answer.body["code"])
        own = f"{world.client.server.host}:{world.client.server.port}"
        for origin in ("https://shop.example", f"http://{own}", f"https://{own}"):
            async with listening(world, event["id"], Origin=origin) as ear:
                await ear.next("state")
                allowed = ear.response.headers.get("Access-Control-Allow-Origin")
                assert (origin if "shop" in origin else None) == allowed


async def test_s29_stream_ends_with_its_token(serve: Serve, event: Event) -> None:
    """Signed out or run out, the stream says so and ends; who has no token goes on."""
    async with serve() as world:
        person = {"email": f"{new_id('usr')}@example.org", "password": PASSWORD}
        await world.call("POST", "/v1/auth/register", json=person | {"name": "Ann"})
        token = (await world.call("POST", "/v1/auth/login", json=person)).body["access_token"]
        async with listening(world, event["id"]) as free:
            async with listening(world, event["id"], token=token) as ear:
                await ear.until("following")
                await world.call("POST", "/v1/auth/logout", token=token)
                bye = await ear.until("bye")
                assert {"reason": "signed_out"} == bye.data
                await ear.end()
            # With a token that is over one is anybody.
            async with listening(world, event["id"], token=token) as ear:
                await ear.next("state")
            await free.next("state")
            await world.book(event, None)
            await free.next("tiers")
    async with (
        serve(access_token_ttl_s=1) as world,
        listening(world, event["id"], token=world.token()) as ear,
    ):
        assert {"reason": "signed_out"} == (await ear.until("bye")).data
        await ear.end()


async def test_f76_streams_end_when_the_process_stops(serve: Serve, event: Event) -> None:
    """Each is told when to come again, and ends; one that comes now likewise."""
    async with serve() as world:
        async with listening(world, event["id"]) as ear:
            await ear.next("state")
            world.client.app[DRAINING].is_on = True
            ear.retry_ms = 0
            assert {"reason": "stopping"} == (await ear.next("bye")).data
            assert 1_000 <= ear.retry_ms <= 5_000
            await ear.end()
        async with listening(world, event["id"]) as ear:
            await ear.until("bye")
            await ear.end()


async def test_quiet_stream_beats(
    world: World, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream on which nothing happens has a comment now and then."""
    monkeypatch.setattr("usecases.live.HEARTBEAT_S", 0.0)
    async with listening(world, event["id"]) as ear:
        await ear.next("state")
        assert await ear.block() is None


async def test_nobody_listens_nobody_asks(
    world: World, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that nobody listens to any more is forgotten."""
    monkeypatch.setattr("usecases.live.LINGER_S", 0.0)
    hub = world.client.app[HUB]
    async with listening(world, event["id"]) as ear:
        await ear.next("state")
        assert [event["id"]] == [*hub._watches]
    async with asyncio.timeout(TIMEOUT_S):
        while hub._watches:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
