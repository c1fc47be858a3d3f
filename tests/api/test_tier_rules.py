"""Rules of a tier over HTTP: said when the event is made, kept when it is sold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import World, check_problem, from_now, new_event

TIER: dict[str, Any] = {"name": "T", "price": {"amount": 100, "currency": "EUR"}, "capacity": 9}


async def test_rules_are_shown(world: World) -> None:
    """An event tells the rules of its tiers as they were given."""
    opens, closes = "2030-01-01T00:00:00.123Z", "2030-01-02T00:00:00.457Z"
    rules = {
        "min_per_order": 2,
        "max_per_order": 4,
        "max_per_user": 6,
        "sale_opens_at": opens,
        "sale_closes_at": closes,
    }
    event = await world.event(
        tiers=[TIER | rules, TIER | {"name": "U"}], starts_at="2031-01-01T00:00:00Z"
    )
    for name in ("min_per_order", "max_per_order", "max_per_user"):
        assert rules[name] == event["tiers"][0][name]
    for name in ("sale_opens_at", "sale_closes_at"):
        assert str(rules[name])[:23] == event["tiers"][0][name][:23]
    none = {"min_per_order": 1, "max_per_user": None, "sale_opens_at": None, "sale_closes_at": None}
    assert none == {name: event["tiers"][1][name] for name in none}


async def test_limits_of_a_tier(world: World, user: str) -> None:
    """I12: the answer names the item, the rule and its figures."""
    tiers = [TIER, TIER | {"name": "U", "min_per_order": 2, "max_per_user": 3}]
    event = await world.event(tiers=tiers)
    answer = await world.book(event, user, (1, 1), (2, 1))
    check_problem(answer, 409, "limit_reached", "/items/1")
    assert ("order_min", 2, 0) == tuple(answer.body[n] for n in ("scope", "max", "taken"))
    assert 201 == (await world.book(event, user, (2, 2), key="k-2")).status
    answer = await world.book(event, user, (2, 2), key="k-3")
    check_problem(answer, 409, "limit_reached", "/items/0")
    assert ("tier", 3, 2) == tuple(answer.body[n] for n in ("scope", "max", "taken"))


async def test_window_of_a_tier(world: World, user: str) -> None:
    """A tier that is not on sale yet is refused by its item; the others are sold."""
    tiers = [TIER, TIER | {"name": "U", "sale_opens_at": from_now(hours=1)}]
    event = await world.event(tiers=tiers)
    answer = await world.book(event, user, (1, 1), (2, 1))
    check_problem(answer, 409, "sale_not_open", "/items/1")
    assert event["tiers"][1]["sale_opens_at"][:19] == answer.body["opens_at"][:19]
    assert 201 == (await world.book(event, user, (1, 1), key="k-2")).status


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"min_per_order": 0}, "min_per_order"),
        ({"min_per_order": 11}, "min_per_order"),
        ({"min_per_order": 3, "max_per_order": 2}, "min_per_order"),
        ({"max_per_user": 0}, "max_per_user"),
        ({"max_per_user": 1001}, "max_per_user"),
        ({"min_per_order": 3, "max_per_user": 2}, "max_per_user"),
        ({"sale_opens_at": from_now(days=-9)}, "sale_opens_at"),
        ({"sale_opens_at": from_now(days=4000)}, "sale_opens_at"),
        ({"sale_opens_at": "3000-01-01T00:00:00Z"}, "sale_opens_at"),
        ({"sale_closes_at": from_now(days=4000)}, "sale_closes_at"),
        (
            {"sale_opens_at": from_now(hours=2), "sale_closes_at": from_now(hours=1)},
            "sale_closes_at",
        ),
    ],
)
async def test_bad_rules(world: World, rules: dict[str, Any], field: str) -> None:
    """A rule that cannot be kept is told by its pointer."""
    body = new_event() | {"tiers": [TIER | rules]}
    answer = await world.call("POST", "/v1/events", token=await world.organizer(), json=body)
    check_problem(answer, 422, "invalid", f"/tiers/0/{field}")
