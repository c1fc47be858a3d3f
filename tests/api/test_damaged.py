"""What people are told of an event that has lost a part, and that its sale goes on."""

from __future__ import annotations

import pytest

from engine import keys
from tests.api.test_behind import behind
from tests.api.world import SHARD, Serve, World, check_problem
from tests.checks import ask


@pytest.mark.parametrize("key", ["stock", "bookings", "holds", "seats", "entries"])
async def test_f45_a_lost_key_over_http(world: World, key: str) -> None:
    """F45: 503 `event_recovering` with `Retry-After`, and for this event alone; then it sells."""
    event, other = await world.event(10), await world.event(10)
    token = world.token()
    held = await world.hold(event, token, (1, 2))
    assert 201 == held.status
    booked = await world.book(event, token)
    assert 201 == booked.status
    await world.settle()
    own = keys.event(SHARD, event["id"])
    await ask(world.redis, "DEL", getattr(own, key))

    where = f"/v1/events/{event['id']}"
    told = [
        await world.cancel(booked.body["id"], token),
        await world.call("POST", f"/v1/holds/{held.body['id']}/confirm", token=token),
        await world.hold(event, world.token()),
    ]
    if key in {"stock", "bookings"}:
        told.append(await world.book(event, world.token()))
    if key == "stock":
        told.append(await world.call("GET", f"{where}/availability"))
    if key == "holds":
        told.append(await world.call("GET", f"/v1/holds/{held.body['id']}", token=token))
    for answer in told:
        check_problem(answer, 503, "event_recovering")
        assert int(answer.headers["Retry-After"]) >= 1
    assert 201 == (await world.book(other, token)).status
    assert await world.is_ready()
    await world.settle()

    await world.recover()

    again = await world.book(event, token)
    assert (201, booked.body) == (again.status, again.body)
    confirmed = await world.call("POST", f"/v1/holds/{held.body['id']}/confirm", token=token)
    assert 201 == confirmed.status, confirmed.text
    left = await world.call("GET", f"{where}/availability")
    assert [7] == [tier["available"] for tier in left.body["tiers"]]


async def test_f45_a_lost_key_that_postgresql_does_not_know(world: World, serve: Serve) -> None:
    """F45: nobody is told of a sale that it never was, where PostgreSQL still has a draft."""
    boss = await world.organizer()
    draft = await world.draft(boss, 10)
    where = f"/v1/events/{draft['id']}"
    async with serve(catch_up_timeout_ms=50) as other, behind(world):
        assert 200 == (await other.publish(draft["id"], boss)).status
        await ask(world.redis, "DEL", keys.event(SHARD, draft["id"]).stock)
        for answer in (
            await other.call("GET", where),
            await other.call("GET", f"{where}/availability"),
            await other.book(draft, other.token()),
            await other.call("GET", f"{where}/cancel", token=boss),
        ):
            check_problem(answer, 503, "event_recovering")
        listed = await other.call("GET", "/v1/events?limit=200")
        assert draft["id"] not in {event["id"] for event in listed.body["data"]}
    await world.settle()
    await world.recover()
    assert 201 == (await world.book(draft, world.token())).status
