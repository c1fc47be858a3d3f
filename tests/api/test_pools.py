"""Places that tiers share, over HTTP: from the draft to another capacity while they are sold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_changes import patch, tiers
from tests.api.world import Event, World, check_problem, from_now

PRICE = {"amount": 100, "currency": "EUR"}


def room(**given: Any) -> dict[str, Any]:
    """Make the request for an event whose adults and children share a room."""
    wanted = {
        "name": "Ballet",
        "starts_at": from_now(days=9),
        "max_per_user": 100,
        "tiers": [
            {"name": "Adult", "price": PRICE},
            {"name": "Child", "price": PRICE, "capacity": 4},
            {"name": "Balcony", "price": PRICE, "capacity": 3},
        ],
        "pools": [{"name": "Room", "capacity": 10, "tiers": ["Adult", 1]}],
    }
    return wanted | given


async def left(world: World, event: Event) -> list[tuple[int, str]]:
    """Return what can be had of each tier, and its status."""
    found = await world.call("GET", f"/v1/events/{event['id']}/availability")
    return [(tier["available"], tier["status"]) for tier in found.body["tiers"]]


async def opened(world: World, boss: str, **given: Any) -> Event:
    made = await world.call("POST", "/v1/events", token=boss, json=room(**given))
    assert 201 == made.status, made.text
    answer = await world.publish(made.body["id"], boss)
    assert 200 == answer.status, answer.text
    event: Event = answer.body
    return event


async def test_sold_as_one_room(world: World, organizer: str) -> None:
    """I1: what is booked of one tier is gone for the other; a tier may have less by itself."""
    event = await opened(world, organizer)
    ids = [tier["id"] for tier in event["tiers"]]
    assert [{"name": "Room", "capacity": 10, "tier_ids": ids[:2]}] == event["pools"]
    assert [10, 4, 3] == [tier["capacity"] for tier in event["tiers"]]
    assert 201 == (await world.book(event, world.token(), (1, 5), (2, 3))).status
    assert [(2, "available"), (1, "available"), (3, "available")] == await left(world, event)
    answer = await world.book(event, world.token(), (1, 2), (2, 1))
    check_problem(answer, 409, "sold_out")
    assert 201 == (await world.book(event, world.token(), (1, 2))).status
    assert [(0, "sold_out"), (0, "sold_out"), (3, "available")] == await left(world, event)
    check_problem(await world.book(event, world.token(), (2, 1)), 409, "sold_out")


@pytest.mark.parametrize(
    ("pools", "more", "pointer"),
    [
        ([{"name": "R", "capacity": 9, "tiers": ["Adult", "Nobody"]}], {}, "/pools/0/tiers/1"),
        ([{"name": "R", "capacity": 9, "tiers": ["Adult", 0]}], {}, "/pools/0/tiers/1"),
        ([{"name": "R", "capacity": 9, "tiers": ["Adult"]}], {}, "/pools/0/tiers"),
        ([{"name": "R", "capacity": -1, "tiers": [0, 1]}], {}, "/pools/0/capacity"),
        ([{"name": "R", "capacity": 3, "tiers": [0, 1]}], {}, "/tiers/1/capacity"),
        (
            [{"name": "R", "capacity": 9, "tiers": [0, 1]}, {"name": "r", "capacity": 9}],
            {},
            "/pools/1/tiers",
        ),
        (
            [
                {"name": "R", "capacity": 9, "tiers": [0, 1]},
                {"name": "S", "capacity": 9, "tiers": [2, 1]},
            ],
            {},
            "/pools/1/tiers/1",
        ),
        (
            [{"name": "R", "capacity": 9, "tiers": [0, 1]}],
            {"sections": [{"name": "S", "tier": 0, "rows": [{"name": "A", "seats": 4}]}]},
            "/pools/0/tiers/0",
        ),
    ],
)
async def test_bad_pools(
    world: World, organizer: str, pools: Any, more: dict[str, Any], pointer: str
) -> None:
    """What cannot be is named, and nothing is made."""
    wanted = room(pools=pools) | more
    before = await world.state()
    answer = await world.call("POST", "/v1/events", token=organizer, json=wanted)
    check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


@pytest.mark.parametrize("is_published", [False, True])
async def test_another_capacity(world: World, organizer: str, is_published: bool) -> None:
    """The pool's moves the tiers that have none of their own; none is larger than its pool."""
    if is_published:
        event = await opened(world, organizer)
    else:
        event = (await world.call("POST", "/v1/events", token=organizer, json=room())).body

    async def change(**wish: Any) -> Any:
        return await patch(world, event, organizer, wish)

    answer = await change(pools=[{"name": "Room", "capacity": 12}])
    assert 200 == answer.status, answer.text
    assert [12, 4, 3] == [tier["capacity"] for tier in answer.body["tiers"]]
    assert 12 == answer.body["pools"][0]["capacity"]
    answer = await change(pools=[{"name": "Room", "capacity": 3}])
    assert [3, 3, 3] == [tier["capacity"] for tier in answer.body["tiers"]]
    for wish, pointer in (
        ({"pools": [{"name": "Hall", "capacity": 3}]}, "/pools/0/name"),
        ({"pools": [{"name": "Room", "capacity": 3}] * 2}, "/pools/1/name"),
        (tiers(event, 3, 4), "/tiers/1/capacity"),
        ({"pools": [{"name": "Room", "capacity": 2}], **tiers(event, 3)}, "/tiers/0/capacity"),
    ):
        check_problem(await change(**wish), 422, "invalid", pointer)
    answer = await change(pools=[{"name": "Room", "capacity": 9}], **tiers(event, 8, 2))
    assert [8, 2, 3] == [tier["capacity"] for tier in answer.body["tiers"]]
    if not is_published:
        event = (await world.publish(event["id"], organizer)).body
    assert 201 == (await world.book(event, world.token(), (1, 6), (2, 2))).status
    assert [(1, "available"), (0, "sold_out"), (3, "available")] == await left(world, event)
    refused = await change(pools=[{"name": "Room", "capacity": 7}])
    check_problem(refused, 409, "capacity_below_taken", "/pools/0/capacity")
    assert 8 == refused.body["minimum"]
    refused = await change(pools=[{"name": "Room", "capacity": 9}], **tiers(event, 8, 1))
    check_problem(refused, 409, "capacity_below_taken", "/tiers/1/capacity")
    await world.settle()
    row = await world.database.fetchval("SELECT pools FROM events WHERE id = $1", event["id"])
    assert "p9t1t2t" == row


async def test_one_change_of_all(world: World, organizer: str) -> None:
    """A pool changes with a price and a tier that is added in one step, or nothing does."""
    event = await opened(world, organizer)
    assert 201 == (await world.book(event, world.token(), (1, 4), (2, 2))).status
    wish = {
        "tiers": [{"id": event["tiers"][0]["id"], "price": {"amount": 150, "currency": "EUR"}}],
        "add_tiers": [{"name": "Terrace", "price": PRICE, "capacity": 20}],
    }
    refused = await patch(
        world, event, organizer, wish | {"pools": [{"name": "Room", "capacity": 5}]}
    )
    check_problem(refused, 409, "capacity_below_taken", "/pools/0/capacity")
    answer = await patch(
        world, event, organizer, wish | {"pools": [{"name": "Room", "capacity": 12}]}
    )
    assert 200 == answer.status, answer.text
    assert [12, 4, 3, 20] == [tier["capacity"] for tier in answer.body["tiers"]]
    assert [150, 100] == [tier["price"]["amount"] for tier in answer.body["tiers"]][:2]
    assert 12 == answer.body["pools"][0]["capacity"]
    found = await left(world, answer.body)
    assert [6, 2, 3, 20] == [places for places, _ in found]
    wish = {"tiers": [{"id": event["tiers"][0]["id"], "capacity": 13, "max_per_order": 9}]}
    check_problem(await patch(world, event, organizer, wish), 422, "invalid", "/tiers/0/capacity")
    check_problem(await world.book(answer.body, world.token(), (1, 5), (2, 2)), 409, "sold_out")
    await world.settle()
    row = await world.database.fetchval("SELECT pools FROM events WHERE id = $1", event["id"])
    assert "p12t1t2t" == row


async def test_copies_share_as_well(world: World, organizer: str) -> None:
    """A copy of an event has its pools as they are now."""
    event = await opened(world, organizer)
    await patch(world, event, organizer, {"pools": [{"name": "Room", "capacity": 6}]})
    path = f"/v1/events/{event['id']}/duplicate"
    copy = await world.call("POST", path, token=organizer, json={})
    assert 201 == copy.status, copy.text
    [pool] = copy.body["pools"]
    assert ("Room", 6) == (pool["name"], pool["capacity"])
    assert [tier["id"] for tier in copy.body["tiers"]][:2] == pool["tier_ids"]
    assert 200 == (await world.publish(copy.body["id"], organizer)).status
    assert [(6, "available"), (4, "available"), (3, "available")] == await left(world, copy.body)
    check_problem(await world.book(copy.body, world.token(), (1, 3), (2, 4)), 409, "sold_out")


async def test_a_hidden_tier_of_a_pool(world: World, organizer: str) -> None:
    """Who may not see a tier is told of what it leaves, and not that it is there."""
    wanted = room()
    wanted["tiers"][1]["is_hidden"] = True
    promos = [{"code": "KEY", "tiers": ["Child"], "uses_max": 9}]
    event = await opened(world, organizer, tiers=wanted["tiers"], promo_codes=promos)
    answer = await world.book(event, world.token(), (2, 4), promo_code="KEY")
    assert 201 == answer.status, answer.text
    assert [(6, "available"), (3, "available")] == await left(world, event)
    seen = await world.call("GET", f"/v1/events/{event['id']}")
    assert [event["tiers"][0]["id"]] == seen.body["pools"][0]["tier_ids"]
