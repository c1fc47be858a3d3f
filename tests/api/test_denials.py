"""Nobody is denied what nobody knows: a Redis that lost all, one shard of several, a replica."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis

from api.http import SERVICES
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import booking_of_hold, new_id
from loadtests.chaos.proxy import Proxy
from tests.api.test_waitlist import full, join
from tests.api.world import Answer, Event, Serve, World, check_problem
from tests.checks import ask
from tests.engine.conftest import memory_full
from usecases.catalog import Catalog, Known
from usecases.wiring import Options

#: The number of a shard that nobody opens.
SHUT = 99


def engine_of(world: World) -> Engine:
    """Return the engine of the served application."""
    return world.client.app[SERVICES].engine


@contextlib.contextmanager
def one_shut(world: World) -> Iterator[None]:
    """Let there be one shard more, whose server is dead."""
    engine = engine_of(world)
    engine._shards[SHUT] = engine._make_shard(SHUT)
    try:
        yield
    finally:
        del engine._shards[SHUT]


async def test_f55_flushed_redis_denies_nothing(world: World, event: Event, user: str) -> None:
    """F55: after FLUSHALL holds, entries, offers and confirms are 503, until they are back."""
    held = await world.hold(event, user, (1, 1))
    place, _, _ = await full(world, 2)
    waiting = await join(world, place, user, 2)
    offered, _, _ = await full(world, 1)
    other = await join(world, offered, user)
    await world.settle()
    for query in ("FLUSHALL", "FLUSHALL"):
        await ask(world.redis, query)
        offer = other.body["id"].replace("wl_", "offer_")
        asked = [
            await world.call("GET", held.headers["Location"], token=user),
            await world.call("POST", f"{held.headers['Location']}/confirm", token=user),
            await world.call("POST", f"{held.headers['Location']}/extend", token=user),
            await world.call("GET", waiting.headers["Location"], token=user),
            await world.call("DELETE", waiting.headers["Location"], token=user),
            await world.call("POST", f"/v1/offers/{offer}/accept", token=user),
            await world.call("GET", f"/v1/bookings/{booking_of_hold(held.body['id'])}", token=user),
        ]
        for answer in asked[:-1]:
            check_problem(answer, 503, "shard_recovering")
        check_problem(asked[-1], 503, "catching_up")
    await world.recover()
    assert 200 == (await world.call("GET", held.headers["Location"], token=user)).status
    assert 200 == (await world.call("GET", waiting.headers["Location"], token=user)).status
    assert 201 == (await world.book(event, user)).status


async def test_f56_one_dead_server_is_not_everybodys(world: World, event: Event, user: str) -> None:
    """F56: an unknown id waits for the shard that its event is on, and for no other."""
    made = await world.book(event, user)
    await world.settle()
    unknown = f"bk_{event['id'][4:14]}{'0' * 16}"
    never = "bk_" + "0" * 26
    with one_shut(world):
        for own_id in (unknown, never):
            for path in (f"/v1/bookings/{own_id}", f"/v1/tickets/tkt_{own_id[3:]}_1/transfer"):
                is_read = path.startswith("/v1/b")
                body = None if is_read else {"user_id": new_id("usr")}
                verb = "GET" if is_read else "POST"
                answer = await world.call(verb, path, token=user, json=body)
                check_problem(answer, 404, "not_found")
        listed = await world.call("GET", "/v1/bookings", token=user)
        assert ([made.body["id"]], False) == (
            [row["id"] for row in listed.body["data"]],
            listed.body["up_to_date"],
        )
        for path in ("/v1/tickets", "/v1/waitlist"):
            answer = await world.call("GET", path, token=user)
            assert (200, False) == (answer.status, answer.body["up_to_date"])
        ready = await world.call("GET", "/readyz")
        assert (200, "degraded") == (ready.status, ready.body["status"])
    check_problem(await world.call("GET", f"/v1/bookings/{unknown}", token=user), 404, "not_found")


async def test_f56_unknown_booking_of_a_shut_shard(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F56: of the shard that cannot tell, nothing is denied."""

    async def shut(_: int) -> None:
        raise ShardRecovering

    monkeypatch.setattr(engine_of(world), "last", shut)
    unknown = f"bk_{event['id'][4:14]}{'0' * 16}"
    answer = await world.call("GET", f"/v1/bookings/{unknown}", token=user)
    check_problem(answer, 503, "catching_up")


async def test_f56_waitlists_of_a_shut_shard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """F56: of a shard that is shut the page shows what PostgreSQL has, and says so."""
    token = world.token()
    event, booking, seller = await full(world, 2, waitlist_policy="strict")
    first = await join(world, event, token, 1)
    other, _, _ = await full(world, 1)
    second = await join(world, other, token, 1)
    await world.cancel(booking, seller)
    offer = (await world.call("GET", first.headers["Location"], token=token)).body["offer"]
    accepted = await world.call("POST", f"/v1/offers/{offer['id']}/accept", token=token)
    assert 201 == accepted.status
    await world.settle()
    whole = (await world.call("GET", "/v1/waitlist", token=token)).body

    async def shut(*_: object) -> None:
        raise ShardRecovering

    monkeypatch.setattr(engine_of(world), "read_entries", shut)
    kept = (await world.call("GET", "/v1/waitlist", token=token)).body
    assert (True, False) == (whole["up_to_date"], kept["up_to_date"])
    assert [second.body["id"], first.body["id"]] == [row["id"] for row in kept["data"]]
    unknown = {"position": None, "ahead_places": None, "estimate_s": None}
    assert [row | unknown for row in whole["data"]] == kept["data"]
    assert ("accepted", accepted.body["id"], "confirmed") == tuple(
        kept["data"][1][name] for name in ("status", "booking_id", "booking_status")
    )


async def test_f56_events_of_one_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """F56: an event whose shard is shut keeps nobody from another of the same ms."""
    catalog = world.client.app[SERVICES].catalog
    known = Known(0, "org", "EUR", {}, {}, {})

    async def two(*_: object) -> list[str]:
        return ["evt_1", "evt_2"]

    async def find(_: Catalog, event_id: str) -> Known:
        return known

    async def look(event_id: str, _: Known) -> str | None:
        if event_id == "evt_1":
            raise ShardRecovering
        return found

    monkeypatch.setattr("store.events.ids_between", two)
    monkeypatch.setattr(Catalog, "find", find)
    found: str | None = "it"
    assert "it" == await catalog.look_up(new_id("hold"), look)
    found = None
    with pytest.raises(ShardRecovering):
        await catalog.look_up(new_id("hold"), look)


async def test_f57_a_replica_is_not_ready(world: World, event: Event, user: str) -> None:
    """F57: a process that has written nothing since Redis became a replica is not ready."""
    assert await world.is_ready()
    await ask(world.redis, "REPLICAOF", "127.0.0.1", "1")
    try:
        ready = await world.call("GET", "/readyz")
        assert (503, "shut") == (ready.status, ready.body["checks"]["shards"])
        check_problem(await world.book(event, user), 503, "shard_recovering")
    finally:
        await ask(world.redis, "REPLICAOF", "NO", "ONE")
    await world.recover()
    assert await world.is_ready()
    assert 201 == (await world.book(event, user)).status


async def test_f57_out_of_memory_is_ready(world: World, redis: Redis) -> None:
    """F57: a Redis without memory gives places back and is read: no reason to leave."""
    async with memory_full(redis):
        assert await world.is_ready()
    assert await world.is_ready()


async def test_f59_refused_connection_is_no_unknown_outcome(
    world: World, serve: Serve, options: Options, event: Event, server_dir: Path
) -> None:
    """F59: where nobody listens nothing was sent: 503, and not `outcome_unknown`."""
    url = urlsplit(options.redis_servers["0"])
    path = server_dir / "f59.sock"
    proxy = Proxy(path, Path(url.path))
    await proxy.start()
    behind = {"0": urlunsplit(url._replace(path=str(path)))}
    async with serve(redis_servers=behind, redis_timeout_ms=2_000) as other:
        token = other.token()
        assert 201 == (await other.book(event, token)).status
        await proxy.stop()
        answers: list[Answer] = [
            await other.book(event, token, key="k-2"),
            await other.hold(event, token),
            await other.call("GET", f"/v1/holds/hold_{event['id'][4:14]}{'0' * 16}", token=token),
        ]
        for answer in answers:
            check_problem(answer, 503, "shard_recovering")
        assert 503 == (await other.call("GET", "/readyz")).status
        await proxy.start()
        again = await other.book(event, token, key="k-2")
        assert (201, None) == (again.status, again.headers.get("Idempotent-Replayed"))
    await proxy.stop()
