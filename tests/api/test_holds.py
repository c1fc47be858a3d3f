"""A hold's life over HTTP: set aside, read, extended, confirmed or released; nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from api.http import SERVICES
from engine import keys
from engine.sweeper import Sweeper
from tests.api.world import SHARD, Event, World, check_problem
from tests.checks import Tier, ask, stock


async def counters(world: World, event: Event) -> Tier:
    """Return the counters of the first tier."""
    return (await stock(world.redis, SHARD, event["id"]))[1]


async def let_pass(world: World, event_id: str, hold_id: str) -> None:
    """Let a hold's deadline have passed, as the scripts know it."""
    names = keys.event(SHARD, event_id)
    row = (await ask(world.redis, "HGET", names.holds, hold_id)).split(b" ")
    row[8] = b"1"
    await ask(world.redis, "HSET", names.holds, hold_id, b" ".join(row))
    await ask(world.redis, "ZADD", names.deadlines, 1, hold_id)
    await ask(world.redis, "ZADD", keys.due(SHARD), 1, event_id)


async def test_hold_then_confirm(world: World, event: Event, user: str) -> None:
    """A hold is read, becomes the booking it names, and keeps what the buyer wrote."""
    made = await world.hold(event, user, (1, 2), special_requests="aisle", metadata={"a": 1})
    path = made.headers["Location"]
    read = await world.call("GET", path, token=user)
    confirmed = await world.call("POST", f"{path}/confirm", token=user)
    again = await world.call("POST", f"{path}/confirm", token=user)
    after = await world.call("GET", path, token=user)

    assert (201, 200, 201, 201) == (made.status, read.status, confirmed.status, again.status)
    assert "fsync" == made.body["durability"]
    assert made.body | {"durability": None} == read.body
    assert ("held", None) == (made.body["status"], made.body["booking_id"])
    assert confirmed.body == again.body
    assert "true" == again.headers["Idempotent-Replayed"]
    assert ("aisle", {"a": 1}) == (confirmed.body["special_requests"], confirmed.body["metadata"])
    assert ("confirmed", confirmed.body["id"]) == (after.body["status"], after.body["booking_id"])
    booking = await world.call("GET", f"/v1/bookings/{confirmed.body['id']}", token=user)
    assert "database" == booking.body.pop("durability")
    assert 2 == len(booking.body.pop("tickets"))
    assert booking.body.pop("receipt") is None
    unlike = {"durability", "tickets", "receipt"}
    assert {k: v for k, v in confirmed.body.items() if k not in unlike} == booking.body


async def test_hold_is_replayed(world: World, event: Event, user: str) -> None:
    """I6: the same key gives the same hold; another body under it is refused."""
    first = await world.hold(event, user, (1, 2))
    again = await world.hold(event, user, (1, 2))
    other = await world.hold(event, user, (1, 1))

    assert first.body == again.body
    assert "true" == again.headers["Idempotent-Replayed"]
    check_problem(other, 422, "idempotency_key_reused")
    assert 2 == (await counters(world, event)).held


async def test_release(world: World, event: Event, user: str) -> None:
    """A released hold gives its places back, may be released again, and is not confirmed."""
    path = (await world.hold(event, user, (1, 2))).headers["Location"]
    first = await world.call("DELETE", path, token=user)
    again = await world.call("DELETE", path, token=user)

    assert (204, 204) == (first.status, again.status)
    assert 0 == (await counters(world, event)).held
    check_problem(await world.call("POST", f"{path}/confirm", token=user), 410, "hold_released")
    check_problem(await world.call("POST", f"{path}/extend", token=user), 410, "hold_released")
    assert "released" == (await world.call("GET", path, token=user)).body["status"]


async def test_extend(world: World, event: Event, user: str) -> None:
    """A deadline moves forward until the hold has the longest life."""
    made = await world.hold(event, user)
    path = made.headers["Location"]
    later = await world.call("POST", f"{path}/extend", token=user)

    assert 200 == later.status
    assert made.body["expires_at"] < later.body["expires_at"]
    assert later.body == (await world.call("GET", path, token=user)).body


async def test_f35_expired_hold(world: World, event: Event, user: str) -> None:
    """F35: a hold whose places went to another ends as 410 `hold_expired`, with its time."""
    made = await world.hold(event, user, (1, 2))
    names = keys.event(SHARD, event["id"])
    own_id = made.body["id"]
    await let_pass(world, event["id"], own_id)
    sweeper = Sweeper(world.client.app[SERVICES].engine.shards[SHARD])

    assert 1 <= await sweeper.sweep()  # Those of earlier tests may have run out as well.
    left = (await counters(world, event)).available
    await ask(world.redis, "HSET", names.stock, "1.available", 0, "1.sold", left)
    answer = await world.call("POST", f"/v1/holds/{own_id}/confirm", token=user)
    await ask(world.redis, "HSET", names.stock, "1.available", left, "1.sold", 0)

    check_problem(answer, 410, "hold_expired")
    assert "1970-01-01T00:00:00.001000Z" == answer.body["expired_at"]
    check_problem(
        await world.call("POST", f"/v1/holds/{own_id}/extend", token=user), 410, "hold_expired"
    )
    late = await world.call("POST", f"/v1/holds/{own_id}/confirm", token=user)
    assert 201 == late.status


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/confirm"), ("POST", "/extend")]
)
async def test_hold_of_another(
    world: World, event: Event, user: str, method: str, tail: str
) -> None:
    """S8: user B on every route of A's hold gets 404, and nothing changes."""
    path = (await world.hold(event, user)).headers["Location"]
    before = await world.state()
    for token in (world.token(), world.token(role="admin")):
        check_problem(await world.call(method, path + tail, token=token), 404, "not_found")
    for own_id in ("hold_x", "bk_" + "0" * 26, "hold_" + "0" * 26, "hold_{s0}"):
        answer = await world.call(method, f"/v1/holds/{own_id}{tail}", token=user)
        check_problem(answer, 404, "not_found")
    assert before == await world.state()


async def test_complaint_14_held_and_sold_are_two_kinds_of_no(world: World) -> None:
    """Complaint 14: places in holds are `all_held` with the earliest return, sold ones are not."""
    event = await world.event(2)
    user, other = world.token(), world.token()
    path = (await world.hold(event, user, (1, 2))).headers["Location"]
    held = await world.book(event, other, (1, 1))
    await world.call("POST", f"{path}/confirm", token=user)
    sold = await world.book(event, other, (1, 1), key="again")

    check_problem(held, 409, "all_held", "/items/0")
    assert 0 < held.body["retry_after_ms"] <= 60_000
    assert 0 < int(held.headers["Retry-After"]) <= 60
    check_problem(sold, 409, "sold_out", "/items/0")
    availability = await world.call("GET", f"/v1/events/{event['id']}/availability")
    assert "sold_out" == availability.body["tiers"][0]["status"]


async def test_race_of_holds_and_bookings(world: World) -> None:
    """N buyers hold or book K places at once: exactly K places are taken."""
    event = await world.event(7)
    answers = await asyncio.gather(
        *(
            world.hold(event, world.token()) if n % 2 else world.book(event, world.token(), (1, 1))
            for n in range(40)
        )
    )

    assert 7 == [answer.status for answer in answers].count(201)
    tier = await counters(world, event)
    assert (0, 7) == (tier.available, tier.held + tier.sold)
    assert {"all_held", "sold_out"} >= {a.body["code"] for a in answers if a.status != 201}
