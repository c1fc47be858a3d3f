"""Promo codes over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import World, check_problem, new_event

PROMOS = [
    {"code": "EARLY", "percent_off": 25, "tiers": [0], "uses_max": 1},
    {"code": "GIFT", "amount_off": 30, "uses_max": 9},
]


async def test_complaint_7_promo_code(world: World) -> None:
    """Complaint 7: a code is worth what it says, as often as it says; case does not matter."""
    event = await world.event(9, 9, promo_codes=PROMOS)
    answer = await world.book(event, None, promo_code="early")
    price = event["tiers"][0]["price"]["amount"]
    assert (201, price - price * 25 // 100) == (answer.status, answer.body["total"]["amount"])
    answer = await world.book(event, None, promo_code="EARLY")
    check_problem(answer, 409, "promo_exhausted")
    assert 1 == answer.body["uses_max"]
    for code, tier in (("NONE", 1), ("EARLY", 2)):
        check_problem(
            await world.book(event, None, (tier, 1), promo_code=code), 422, "invalid", "/promo_code"
        )
    price = event["tiers"][1]["price"]["amount"]
    answer = await world.book(event, None, (2, 1), promo_code="GIFT")
    assert (201, max(0, price - 30)) == (answer.status, answer.body["total"]["amount"])


@pytest.mark.parametrize(
    ("promo", "pointer"),
    [
        ({"code": "sm all"}, "/code"),
        ({"code": "A~B"}, "/code"),
        ({"uses_max": 0}, "/uses_max"),
        ({"percent_off": 101}, "/percent_off"),
        ({"amount_off": 5}, ""),
        ({"tiers": [5]}, "/tiers/0"),
    ],
)
async def test_bad_promo(world: World, promo: dict[str, Any], pointer: str) -> None:
    """A code that makes no sense is told by its pointer."""
    codes = [{"code": "A", "percent_off": 5, "uses_max": 1} | promo]
    body = new_event(5) | {"promo_codes": codes}
    answer = await world.call("POST", "/v1/events", token=await world.organizer(), json=body)
    check_problem(answer, 422, "invalid", f"/promo_codes/0{pointer}")
