"""Members, headers and parts of a query that stand twice: refused, and told which."""

from __future__ import annotations

import orjson
import pytest

from api.twice import twice
from tests.api.world import Event, World, check_problem


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b'{"a":1,"a":2}', "/a"),
        (b'{"a":1,"\\u0061":1}', "/a"),
        (b'{"a":{"b":[{"c":1},{"c":1,"d":[],"c":2}]}}', "/a/b/1/c"),
        (b'{"a~/b":1,"a~/b":1}', "/a~0~1b"),
        (b'[{"":1,"":2}]', "/0/"),
        (b'{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', None),
        (b'{"a":%s}' % (b"9" * 5_000), None),
        (b'{"a":1,"A":2,"a ":3}', None),
        (b"{}", None),
        (b'"a"', None),
    ],
)
def test_names_what_stands_twice(text: bytes, pointer: str | None) -> None:
    """The first member that stands twice is named, however it is written; others are left alone."""
    problem = twice(text)
    assert pointer == (None if problem is None else problem.errors[0][0])


async def test_s10_members_twice_in_orders(world: World, event: Event, user: str) -> None:
    """S10: an order with a member twice is refused each time, and sells nothing."""
    tier = event["tiers"][0]["id"].encode()
    before = await world.state()
    for what in ("bookings", "holds"):
        path = f"/v1/events/{event['id']}/{what}"
        for _ in range(2):
            for body, pointer in (
                (b'{"items":[{"tier_id":"%s","quantity":1}],"items":[]}' % tier, "/items"),
                (
                    b'{"items":[{"tier_id":"%s","quantity":1,"quantity":2}]}' % tier,
                    "/items/0/quantity",
                ),
            ):
                answer = await world.call("POST", path, token=user, key="k-1", data=body)
                check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


async def test_s10_members_twice_in_other_bodies(world: World) -> None:
    """S10: so is every other body."""
    login = b'{"email":"a@example.org","password":"first one","password":"second one"}'
    answer = await world.call("POST", "/v1/auth/login", data=login)
    check_problem(answer, 422, "invalid", "/password")
    assert "second" not in answer.text


async def test_headers_and_queries(world: World, event: Event, user: str) -> None:
    """Two keys, or two of one name in a query, are refused: nobody could say which one counts."""
    body = orjson.dumps({"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]})
    async with world.client.post(
        f"/v1/events/{event['id']}/bookings",
        data=body,
        headers=[
            ("Authorization", f"Bearer {user}"),
            ("Idempotency-Key", "k-1"),
            ("Idempotency-Key", "k-2"),
        ],
    ) as answer:
        assert (400, "idempotency_key_malformed") == (answer.status, (await answer.json())["code"])
    for path, name in (
        ("/v1/bookings?limit=1&limit=2", "limit"),
        ("/v1/tickets?limit=1&limit=2", "limit"),
        ("/v1/events?q=a&q=b", "q"),
        ("/v1/events?from=2030-01-01T00:00:00Z&from=2031-01-01T00:00:00Z", "from"),
        (f"/v1/events/{event['id']}/seats?since=1&since=2", "since"),
        (f"/v1/events/{event['id']}/availability?promo_code=ABCD&promo_code=BCDE", "promo_code"),
    ):
        check_problem(await world.call("GET", path, token=user), 422, "invalid", f"/query/{name}")
