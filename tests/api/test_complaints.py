"""What people complained of elsewhere (the fifteen complaints), tried over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from engine import keys
from tests.api.test_ops import outcomes
from tests.api.world import SHARD, Event, World, check_problem
from tests.checks import ask, check_consistent, stock


@pytest.mark.parametrize("way", ["bookings", "holds"])
async def test_complaint_3_success_means_tickets(
    world: World, event: Event, boss: str, way: str
) -> None:
    """Complaint 3: who saw success has all tickets at once, and each of them opens the gate."""
    token = world.token()
    made = await world.book(event, token, (1, 3), what=way)
    if way == "holds":
        made = await world.call("POST", f"/v1/holds/{made.body['id']}/confirm", token=token)
    assert 201 == made.status
    read = await world.call("GET", f"/v1/bookings/{made.body['id']}", token=token)
    codes = [ticket["code"] for ticket in read.body["tickets"]]
    assert 3 == len(set(codes))
    for code in codes:
        at = {"event_id": event["id"]}
        scanned = await world.call("POST", f"/v1/tickets/{code}/check-in", token=boss, json=at)
        assert (200, "checked_in") == (scanned.status, scanned.body["status"])


async def test_complaint_5_four_clicks_are_one_booking(world: World, event: Event) -> None:
    """Complaint 5: however often a button is pressed, one booking is made; each answer says so."""
    token = world.token()
    answers = await asyncio.gather(*(world.book(event, token, key="click") for _ in range(4)))
    assert {201} == {answer.status for answer in answers}
    assert 1 == len({answer.text for answer in answers})
    replays = Counter(answer.headers.get("Idempotent-Replayed") for answer in answers)
    assert Counter({"true": 3, None: 1}) == replays
    check_problem(await world.book(event, token, key=None), 400, "idempotency_key_missing")
    assert 1 == (await stock(world.redis, SHARD, event["id"]))[1].sold


async def test_complaint_13_carts_of_several_tiers(world: World) -> None:
    """Complaint 13: buyers of several tiers get all or nothing, however many come at once."""
    event = await world.event(5, 8)
    carts = itertools.cycle([(1, 2), (2, 1), (2,)])
    answers = await asyncio.gather(
        *(world.book(event, None, *((tier_no, 1) for tier_no in next(carts))) for _ in range(60))
    )
    assert {201, 409} == {answer.status for answer in answers}
    sold = Counter(
        event["tiers"].index(tier) + 1
        for answer in answers
        if answer.status == 201
        for item in answer.body["items"]
        for tier in event["tiers"]
        if tier["id"] == item["tier_id"]
    )
    tiers = await stock(world.redis, SHARD, event["id"])
    assert {n: tier.sold for n, tier in tiers.items()} == {1: sold[1], 2: sold[2]}
    # No cart has taken the last of one tier in vain: what it was refused, it did not get.
    assert 8 == tiers[2].sold
    for answer in answers:
        if answer.status == 201:
            assert len(answer.body["items"]) in (1, 2)
        else:
            assert "sold_out" == answer.body["code"]
    # Tests before may have had the shard recovered.
    epoch = int(await ask(world.redis, "HGET", keys.meta(SHARD), "epoch"))
    await check_consistent(world.redis, SHARD, epoch, event_id=event["id"])


async def test_complaint_14_metrics_tell_the_two_apart(world: World) -> None:
    """Complaint 14: operators see as well which no is final and which is not."""
    event, buyer = await world.event(1), world.token()
    made = await world.hold(event, buyer)
    before = await outcomes(world)
    check_problem(await world.book(event, None), 409, "all_held")
    await world.call("POST", f"/v1/holds/{made.body['id']}/confirm", token=buyer)
    check_problem(await world.book(event, None), 409, "sold_out")
    grown = Counter(await outcomes(world))
    grown.subtract(before)
    assert (1, 1) == (grown["all_held"], grown["sold_out"])


async def test_complaint_6_an_overdue_hold_is_seen_without_the_sweeper(world: World) -> None:
    """Complaint 6: how long the oldest hold is overdue is measured where metrics are read."""
    event = await world.event(1)

    async def overdue_ms() -> float:
        text = (await world.call("GET", "/metrics")).text
        prefix = f'evently_oldest_overdue_hold_ms{{shard="{SHARD}"}} '
        [line] = [line for line in text.splitlines() if line.startswith(prefix)]
        return float(line.removeprefix(prefix))

    due = keys.due(SHARD)
    await ask(world.redis, "ZADD", due, 1, event["id"])
    assert await overdue_ms() > 1_000_000
    await ask(world.redis, "DEL", due)
    assert 0 == await overdue_ms()
