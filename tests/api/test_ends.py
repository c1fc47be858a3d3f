"""An event's end over HTTP: drafts that cannot be, and what is sold, held and reopened by then."""

from __future__ import annotations

from typing import Any

import pytest

from engine import keys
from tests.api.test_holds import let_pass
from tests.api.test_seats import seated_event
from tests.api.world import SHARD, Event, World, check_problem, from_now, new_event
from tests.checks import ask

TIER: dict[str, Any] = {"name": "T", "price": {"amount": 100, "currency": "EUR"}, "capacity": 9}


async def end(world: World, event: Event, at_ms: int = 1) -> None:
    """Let an event be over, as the scripts know it."""
    await ask(world.redis, "HSET", keys.event(SHARD, event["id"]).stock, "ends_at_ms", at_ms)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"starts_at": from_now(hours=-1)}, "/starts_at"),
        ({"starts_at": from_now(hours=-1), "ends_at": from_now(hours=1)}, "/starts_at"),
        ({"starts_at": from_now(hours=-1), "sale_closes_at": from_now(hours=1)}, "/starts_at"),
        ({"starts_at": "2001-01-01T00:00:00Z"}, "/starts_at"),
        ({"ends_at": from_now(days=29)}, "/ends_at"),
        ({"sale_opens_at": from_now(days=40)}, "/sale_opens_at"),
        ({"ends_at": from_now(days=31), "sale_opens_at": from_now(days=40)}, "/sale_opens_at"),
        ({"sale_closes_at": from_now(days=-1)}, "/sale_closes_at"),
        ({"ends_at": from_now(days=31), "sale_closes_at": from_now(days=32)}, "/sale_closes_at"),
        ({"sale_closes_at": from_now(days=32)}, "/sale_closes_at"),
        (
            {
                "ends_at": from_now(days=31),
                "sale_closes_at": from_now(days=40),
                "tiers": [
                    TIER | {"sells_after_end": True},
                    TIER | {"name": "U", "sale_closes_at": from_now(days=39)},
                ],
            },
            "/tiers/1/sale_closes_at",
        ),
    ],
)
async def test_drafts_that_cannot_be(world: World, change: dict[str, Any], pointer: str) -> None:
    """An event begins in the future, its sale ends no later than it; what is named was sent."""
    body = new_event() | change
    answer = await world.call("POST", "/v1/events", token=await world.organizer(), json=body)
    check_problem(answer, 422, "invalid", pointer)
    assert pointer.split("/")[1] in change


async def test_defaults(world: World) -> None:
    """Without more a sale ends at the start; one that opens later ends with the event."""
    boss = await world.organizer()
    starts, ends = from_now(days=30), from_now(days=33)
    plain = await world.draft(boss, 5, starts_at=starts, ends_at=ends)
    assert plain["starts_at"] == plain["sale_closes_at"]
    late = await world.draft(
        boss, 5, starts_at=starts, ends_at=ends, sale_opens_at=from_now(days=31)
    )
    assert late["ends_at"] == late["sale_closes_at"]


async def test_nothing_is_sold_after_the_end(world: World, user: str, boss: str) -> None:
    """The end has a code of its own at every door; a hold in time is no way around it."""
    organizer = await world.organizer()
    event = await world.event(9, token=organizer)
    held = await world.hold(event, user, key="h")
    await end(world, event)
    check_problem(await world.book(event, user), 409, "event_ended")
    check_problem(await world.hold(event, user, key="i"), 409, "event_ended")
    path = held.headers["Location"]
    for what in ("confirm", "extend"):
        answer = await world.call("POST", f"{path}/{what}", token=user)
        check_problem(answer, 409, "event_ended")
        assert answer.body["ends_at"].startswith("1970-01-01T00:00:00.001")
    waits = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    answer = await world.call(
        "POST", f"/v1/events/{event['id']}/waitlist", token=user, key="w", json=waits
    )
    check_problem(answer, 409, "event_ended")
    later = {"sale_closes_at": from_now(days=2)}
    answer = await world.call(
        "POST", f"/v1/events/{event['id']}/reopen", token=organizer, json=later
    )
    check_problem(answer, 409, "event_ended", "/sale_closes_at")


async def test_a_sale_is_not_prolonged_beyond_the_end(world: World) -> None:
    """Neither as a draft nor when it is sold: until the end, and no longer."""
    boss = await world.organizer()
    times = {"starts_at": from_now(days=30), "ends_at": from_now(days=31)}
    draft = await world.draft(boss, 9, **times)
    later, inside = {"sale_closes_at": from_now(days=32)}, {"sale_closes_at": times["ends_at"]}
    path, star = f"/v1/events/{draft['id']}", {"If-Match": "*"}
    answer = await world.call("PATCH", path, token=boss, json=later, headers=star)
    check_problem(answer, 422, "invalid", "/sale_closes_at")
    assert 200 == (await world.publish(draft["id"], boss)).status
    answer = await world.call("PATCH", path, token=boss, json=later, headers=star)
    check_problem(answer, 409, "event_ended", "/sale_closes_at")
    answer = await world.call("POST", f"{path}/reopen", token=boss, json=later)
    check_problem(answer, 409, "event_ended", "/sale_closes_at")
    answer = await world.call("POST", f"{path}/reopen", token=boss, json=inside)
    assert 200 == answer.status, answer.text


async def test_a_tier_that_sells_after_the_end(world: World, user: str) -> None:
    """A tier that says so is sold on, and shows it; the others are not."""
    tiers = [TIER, TIER | {"name": "Recording", "sells_after_end": True}]
    closes = from_now(days=400)
    event = await world.event(tiers=tiers, ends_at=from_now(days=31), sale_closes_at=closes)
    assert [False, True] == [tier["sells_after_end"] for tier in event["tiers"]]
    await end(world, event)
    check_problem(await world.book(event, user, (1, 1)), 409, "event_ended", "/items/0")
    assert 201 == (await world.book(event, user, (2, 1), key="b")).status


async def test_f35_a_late_confirm_is_told_why(world: World, event: Event, user: str) -> None:
    """F35: what stands against a late confirm is named, and points at nothing that was not sent."""
    names = keys.event(SHARD, event["id"])
    path = (await world.hold(event, user)).headers["Location"]
    await let_pass(world, event["id"], path.rpartition("/")[2])
    closes = await ask(world.redis, "HGET", names.stock, "closes_at_ms")
    await ask(world.redis, "HSET", names.stock, "closes_at_ms", 7)
    answer = await world.call("POST", f"{path}/confirm", token=user)
    check_problem(answer, 409, "sale_closed")
    await ask(world.redis, "HSET", names.stock, "closes_at_ms", closes, "1.opens_at_ms", closes)
    answer = await world.call("POST", f"{path}/confirm", token=user)
    check_problem(answer, 409, "sale_not_open")
    assert "errors" not in answer.body
    await ask(world.redis, "HSET", names.stock, "1.opens_at_ms", 0, "1.price_minor", 4000)
    answer = await world.call("POST", f"{path}/confirm", token=user)
    check_problem(answer, 409, "price_changed")
    assert 4000 == answer.body["total_minor"]
    await ask(world.redis, "HSET", names.stock, "1.price_minor", 1000)
    assert 201 == (await world.call("POST", f"{path}/confirm", token=user)).status


async def test_seats_are_not_counted(world: World, user: str) -> None:
    """A number of seats is refused for what it is, where they are given back or resized."""
    boss = await world.organizer()
    event = await world.event(token=boss, **seated_event())
    made = await world.book(event, user, {"seat_ids": ["s1-1", "s1-2"]})
    path = f"/v1/bookings/{made.body['id']}"
    await world.settle()
    body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}], "version": 1}
    answer = await world.call("POST", f"{path}/cancel", token=user, json=body)
    check_problem(answer, 409, "seats_not_named", "/items/0")
    wants = {"tiers": [{"id": event["tiers"][0]["id"], "capacity": 99}]}
    answer = await world.call(
        "PATCH", f"/v1/events/{event['id']}", token=boss, json=wants, headers={"If-Match": "*"}
    )
    check_problem(answer, 422, "invalid", "/tiers/0/capacity")
