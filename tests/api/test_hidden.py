"""Hidden tiers over HTTP: shown, held and sold only to who sends a code that names them."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.api.world import Answer, Event, World, check_problem, new_event

CODES = [
    {"code": "KEY", "tiers": ["Tier 2"], "uses_max": 1},
    {"code": "SALE", "percent_off": 10, "uses_max": 9},
]


def hidden_event(**fields: Any) -> dict[str, Any]:
    """Make the request for an event whose second tier is hidden."""
    body = new_event(9, 9) | {"promo_codes": CODES}
    body["tiers"][1]["is_hidden"] = True
    return body | fields


@pytest.fixture
async def event(world: World, organizer: str) -> Event:
    """Publish an event whose second tier is hidden; its organizer sees both."""
    made = await world.event(token=organizer, **hidden_event(category=secrets.token_hex(8)))
    assert [False, True] == [tier["is_hidden"] for tier in made["tiers"]]
    return made


async def order(
    world: World, event: Event, what: str = "bookings", code: str | None = "key", tier_id: str = ""
) -> Answer:
    """Ask for a place of the hidden tier, as somebody new."""
    item = {"tier_id": tier_id or event["tiers"][1]["id"], "quantity": 1}
    fields = {"promo_code": code} if code else {}
    return await world.book(event, None, item, what=what, **fields)


async def test_shown_to_who_may(world: World, organizer: str, event: Event) -> None:
    """Listing, event and availability show it to its organizer and by code, and to nobody else."""
    path = f"/v1/events/{event['id']}"
    both = [tier["id"] for tier in event["tiers"]]
    stranger = await world.organizer()

    async def shown(query: str = "", token: str | None = None) -> list[list[str]]:
        one = await world.call("GET", path + query, token=token)
        left = await world.call("GET", f"{path}/availability{query}", token=token)
        assert 200 == one.status == left.status
        is_private = "private" in one.headers["Cache-Control"]
        assert is_private == ("private" in left.headers["Cache-Control"])
        assert is_private == bool(query or token == organizer)
        return [
            [tier["id"] for tier in one.body["tiers"]],
            [tier["tier_id"] for tier in left.body["tiers"]],
        ]

    for query, token in (
        ("", None),
        ("", stranger),
        ("?promo_code=sale", None),
        ("?promo_code=none", world.token()),
    ):
        assert [both[:1]] * 2 == await shown(query, token)
    assert [both] * 2 == await shown("?promo_code=key")
    assert [both] * 2 == await shown("", organizer)
    listed = await world.call("GET", f"/v1/events?category={event['category']}", token=organizer)
    [own] = listed.body["data"]
    assert both[:1] == [tier["id"] for tier in own["tiers"]]
    answer = await world.call("GET", f"{path}/availability?promo_code=a%2Bb")
    check_problem(answer, 422, "invalid", "/query/promo_code")


@pytest.mark.parametrize("what", ["bookings", "holds"])
async def test_ordered_with_its_code_alone(world: World, event: Event, what: str) -> None:
    """Without a code that names it, it is answered as a tier that does not exist."""
    unknown = await order(world, event, what, tier_id="tier_" + 26 * "0")
    check_problem(unknown, 422, "invalid", "/items/0/tier_id")
    for code in (None, "NONE", "SALE"):
        answer = await order(world, event, what, code)
        check_problem(answer, 422, "invalid", "/items/0/tier_id")
        assert unknown.body["errors"] == answer.body["errors"]
        assert unknown.body.keys() == answer.body.keys()
    assert 201 == (await order(world, event, what)).status
    check_problem(await order(world, event, what), 409, "promo_exhausted")


async def test_no_waitlist(world: World, event: Event) -> None:
    """Nobody can wait for it."""
    path, body = f"/v1/events/{event['id']}/waitlist", {"quantity": 1}
    for tier_id in (event["tiers"][1]["id"], "tier_" + 26 * "0"):
        answer = await world.call(
            "POST", path, token=world.token(), key="k", json=body | {"tier_id": tier_id}
        )
        check_problem(answer, 422, "invalid", "/tier_id")


async def test_seats_of_a_hidden_tier(world: World, organizer: str) -> None:
    """Its sections are on no map without the code, and its seats are answered as no seats."""
    sections = [
        {"name": name, "tier": tier, "rows": [{"name": "A", "seats": 3}]}
        for name, tier in (("Front", 0), ("Box", 1))
    ]
    body = hidden_event(sections=sections)
    for tier in body["tiers"]:
        del tier["capacity"]
    made = await world.call("POST", "/v1/events", token=organizer, json=body)
    await world.publish(made.body["id"], organizer)
    path = f"/v1/events/{made.body['id']}"

    async def names(query: str = "", token: str | None = None) -> list[str]:
        found = await world.call("GET", f"{path}/seats{query}", token=token)
        return [section["name"] for section in found.body["sections"]]

    assert ["Front"] == await names()
    assert ["Front", "Box"] == await names("?promo_code=KEY") == await names(token=organizer)
    for seat_id in ("s2-1", "s3-1"):
        answer = await world.call(
            "POST",
            f"{path}/bookings",
            token=world.token(),
            key="k",
            json={"items": [{"seat_ids": [seat_id]}]},
        )
        check_problem(answer, 422, "invalid", "/items/0/seat_ids/0")
    answer = await world.call(
        "POST",
        f"{path}/bookings",
        token=world.token(),
        key="k",
        json={"items": [{"seat_ids": ["s2-1", "s1-1"]}], "promo_code": "KEY"},
    )
    assert 201 == answer.status
    changes = (await world.call("GET", f"{path}/seats?since=0")).body["changes"]
    assert [["s1-1"]] == [change["seat_ids"] for change in changes]


async def test_view_is_in_the_tag(world: World, organizer: str) -> None:
    """Visitor, holder of a code and organizer: none is told that nothing changed since another."""
    sections = [
        {"name": name, "tier": n, "rows": [{"name": "1", "seats": 5}]}
        for n, name in enumerate(("Left", "Right"))
    ]
    body = hidden_event() | {"sections": sections}
    for tier in body["tiers"]:
        tier.pop("capacity", None)
    event = await world.event(token=organizer, **body)
    code = body["promo_codes"][0]["code"]
    path = f"/v1/events/{event['id']}"
    for end in ("", "/seats"):
        at = f"{path}{end}"
        views = [(at, ""), (f"{at}?promo_code={code}", ""), (at, organizer)]
        tags = [
            (await world.call("GET", at, token=who or None)).headers["ETag"] for at, who in views
        ]
        assert 2 <= len(set(tags))
        assert tags[0] not in tags[1:]
        for (at, who), own in zip(views, tags, strict=True):
            for tag in tags:
                seen = {"If-None-Match": tag}
                answer = await world.call("GET", at, token=who or None, headers=seen)
                assert (304 if tag == own else 200) == answer.status
                assert "Authorization" in answer.headers["Vary"]
                assert (own != tags[0]) == answer.headers["Cache-Control"].startswith("private")
                assert own == answer.headers["ETag"]
    answer = await world.call("GET", f"{path}/availability")
    assert "Authorization" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("codes", "pointer"),
    [
        ([], "/tiers/1/is_hidden"),
        ([{"code": "A", "percent_off": 5, "uses_max": 1}], "/tiers/1/is_hidden"),
        ([{"code": "A", "uses_max": 1, "tiers": [0]}], "/promo_codes/0"),
        ([{"code": "A", "uses_max": 1}], "/promo_codes/0"),
    ],
)
async def test_bad_codes(world: World, organizer: str, codes: Any, pointer: str) -> None:
    """A hidden tier needs a code that names it; one that takes nothing off has to unlock some."""
    body = hidden_event(promo_codes=codes)
    answer = await world.call("POST", "/v1/events", token=organizer, json=body)
    check_problem(answer, 422, "invalid", pointer)


async def test_cancelled_event_counts_them(world: World, organizer: str, event: Event) -> None:
    """What is left of a cancelled event counts hidden tiers as well."""
    assert 201 == (await order(world, event)).status
    path = f"/v1/events/{event['id']}/cancel"
    answer = await world.call("POST", path, token=organizer)
    assert (202, 0) == (answer.status, answer.body["places_left"])
