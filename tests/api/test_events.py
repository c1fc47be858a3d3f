"""Events over HTTP: made, published once, listed, read, and what is left of them."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any
from urllib.parse import quote

import pytest

from engine.ids import is_id, new_id
from tests.api.world import Event, Serve, World, check_problem, from_now, new_event


async def test_create(world: World, organizer: str) -> None:
    """A new event is a draft with what was asked for, and defaults for the rest."""
    asked = new_event(5, 7) | {
        "description": "d",
        "category": "c",
        "venue": "v",
        "timezone": "Europe/Berlin",
        "max_per_user": 3,
    }
    answer = await world.call("POST", "/v1/events", token=organizer, json=asked)
    assert 201 == answer.status
    body = answer.body
    assert f"/v1/events/{body['id']}" == answer.headers["Location"]
    assert is_id("evt", body["id"])
    assert ("draft", 1, None) == (body["status"], body["version"], body["published_at"])
    for name in ("name", "description", "category", "venue", "timezone", "max_per_user"):
        assert asked[name] == body[name]
    assert body["starts_at"] == body["ends_at"] == body["sale_closes_at"]
    assert body["starts_at"].endswith("Z")
    for tier, wished in zip(body["tiers"], asked["tiers"], strict=True):
        assert is_id("tier", tier["id"])
        rules = {
            "max_per_order": 10,
            "min_per_order": 1,
            "max_per_user": None,
            "sale_opens_at": None,
            "sale_closes_at": None,
            "is_hidden": False,
            "sells_after_end": False,
        }
        assert wished | {"id": tier["id"]} | rules == tier


async def test_s8_draft_is_its_organizers_alone(world: World, organizer: str) -> None:
    """S8: a draft exists for its organizer and for admins, and for nobody else."""
    draft = await world.draft(organizer, 5, category=new_id("evt"))
    path = f"/v1/events/{draft['id']}"
    for token in (organizer, world.token(role="admin")):
        assert draft == (await world.call("GET", path, token=token)).body
    strangers: list[str | None] = [
        None,
        world.token(),
        await world.organizer(),
        world.token(role="staff", organizer_id=draft["organizer_id"]),
    ]
    for stranger in strangers:
        check_problem(await world.call("GET", path, token=stranger), 404, "not_found")
    check_problem(await world.publish(draft["id"], await world.organizer()), 404, "not_found")
    path = f"/v1/events?category={draft['category']}"
    assert [] == (await world.call("GET", path, token=organizer)).body["data"]
    await world.publish(draft["id"], organizer)
    [listed] = (await world.call("GET", path, token=organizer)).body["data"]
    assert draft["id"] == listed["id"]


async def test_publish_again(world: World, organizer: str) -> None:
    """Publishing is idempotent: the stock is loaded once, however often it is asked for."""
    draft = await world.draft(organizer, 5)
    first = await world.publish(draft["id"], organizer)
    assert (200, "published") == (first.status, first.body["status"])
    assert first.body["published_at"]
    assert 201 == (await world.book(first.body, world.token())).status
    before = await world.state()
    again = await world.publish(draft["id"], organizer)
    assert (200, first.body) == (again.status, again.body)
    assert before == await world.state()


async def test_etag(world: World, organizer: str) -> None:
    """An unchanged event is not sent again; publishing it changes the tag."""
    draft = await world.draft(organizer, 5)
    path = f"/v1/events/{draft['id']}"
    first = await world.call("GET", path, token=organizer)
    tag = first.headers["ETag"]
    same = await world.call("GET", path, token=organizer, headers={"If-None-Match": tag})
    assert (304, "", tag) == (same.status, same.text, same.headers["ETag"])
    await world.publish(draft["id"], organizer)
    changed = await world.call("GET", path, headers={"If-None-Match": tag})
    assert 200 == changed.status
    assert tag != changed.headers["ETag"]


@pytest.mark.parametrize("form", ["*", "W/{}", '"other", {}'])
async def test_etag_forms(world: World, event: Event, form: str) -> None:
    """If-None-Match may be weak, a list or a star (RFC 9110, 13.1.2)."""
    path = f"/v1/events/{event['id']}"
    tag = (await world.call("GET", path)).headers["ETag"]
    answer = await world.call("GET", path, headers={"If-None-Match": form.format(tag)})
    assert 304 == answer.status


async def test_availability(world: World) -> None:
    """What is left is told tier by tier, directly after a booking."""
    event = await world.event(3, 0, 5)
    await world.book(event, world.token(), (1, 3), (3, 1))
    answer = await world.call("GET", f"/v1/events/{event['id']}/availability")
    assert 200 == answer.status
    assert answer.headers["Cache-Control"].startswith("public, max-age=1")
    assert event["id"] == answer.body["event_id"]
    figures = ("capacity", "available", "held", "sold", "status")
    assert [(3, 0, 0, 3, "sold_out"), (0, 0, 0, 0, "sold_out"), (5, 4, 0, 1, "available")] == [
        tuple(tier[name] for name in figures) for tier in answer.body["tiers"]
    ]
    assert [tier["id"] for tier in event["tiers"]] == [
        tier["tier_id"] for tier in answer.body["tiers"]
    ]


async def test_availability_is_remembered(world: World, serve: Serve) -> None:
    """What is left may be told from memory while it is young; `no-cache` asks Redis itself."""
    event = await world.event(5)
    path = f"/v1/events/{event['id']}/availability"

    async def left(served: World, **headers: str) -> int:
        answer = await served.call("GET", path, headers=headers)
        assert 200 == answer.status
        found: int = answer.body["tiers"][0]["available"]
        return found

    async with serve(availability_age_ms_max=10_000) as other:
        assert 5 == await left(other)
        await world.book(event, world.token(), (1, 2))
        assert 5 == await left(other)
        assert 3 == await left(other, **{"Cache-Control": "no-cache"})
        assert 3 == await left(other)
    async with serve(availability_age_ms_max=1) as other:
        assert 3 == await left(other)
        await world.book(event, world.token(), (1, 1))
        await asyncio.sleep(0.002)
        assert 2 == await left(other)


async def test_availability_of_a_draft(world: World, organizer: str) -> None:
    """A draft has no stock, which nobody but its organizer learns (S8)."""
    path = f"/v1/events/{(await world.draft(organizer, 5))['id']}/availability"
    check_problem(await world.call("GET", path, token=organizer), 409, "not_on_sale")
    for token in (None, world.token(), await world.organizer()):
        check_problem(await world.call("GET", path, token=token), 404, "not_found")


async def ids(world: World, query: str) -> list[str]:
    """Return the ids that a list holds."""
    answer = await world.call("GET", f"/v1/events?{query}")
    assert 200 == answer.status, answer.text
    return [event["id"] for event in answer.body["data"]]


async def test_list(world: World) -> None:
    """Published events are listed by start; filters narrow, pages add up."""
    category = secrets.token_hex(8)
    starts = [from_now(days=days) for days in (3, 1, 2)]
    third, first, second = [
        (await world.event(1, starts_at=at, category=category, name=name))["id"]
        for at, name in zip(starts, ("100% Ärger", "a_b", "axb"), strict=True)
    ]
    every = f"category={category}"
    assert [first, second, third] == await ids(world, every)
    assert [second, third] == await ids(world, f"{every}&from={quoted(starts[2])}")
    assert [first] == await ids(world, f"{every}&to={quoted(starts[2])}")
    assert [second] == await ids(world, f"{every}&from={quoted(starts[2])}&to={quoted(starts[0])}")
    assert [third] == await ids(world, f"{every}&q=100%25")
    assert [first] == await ids(world, f"{every}&q=A_B")
    assert [] == await ids(world, f"{every}&q=%25%25")
    assert [] == await ids(world, f"{every}&q='%20OR%201=1")
    found: list[str] = []
    query = f"{every}&limit=1"
    while True:
        body = (await world.call("GET", f"/v1/events?{query}")).body
        found += [event["id"] for event in body["data"]]
        if not body["has_more"]:
            break
        query = f"{every}&limit=1&after={body['next_cursor']}"
    assert [first, second, third] == found


async def test_links_lead_through_a_list(world: World) -> None:
    """Each page but the last links to the next one, with the same query, on our own path."""
    kept = "linked &'<>; é"
    made = {(await world.event(1, category=kept))["id"] for _ in range(3)}
    path = f"/v1/events?category={quote(kept)}&limit=1"
    found: list[str] = []
    for is_last in (False, False, True):
        answer = await world.call("GET", path)
        assert 200 == answer.status
        found += [event["id"] for event in answer.body["data"]]
        assert is_last is ("Link" not in answer.headers)
        if not is_last:
            match = re.fullmatch(r'<(/v1/events\?[^<>"\s]+)>; rel="next"', answer.headers["Link"])
            assert match is not None
            path = match[1]
    assert made == set(found)
    assert len(found) == len(made)


def quoted(moment: str) -> str:
    """Write a moment into a query."""
    return moment.replace("+", "%2B")


PRICE = {"amount": 1, "currency": "EUR"}
TIER = {"name": "T", "price": PRICE, "capacity": 1}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "n" * 201}, "/name"),
        ({"name": 1}, "/name"),
        ({"name": "\0"}, "/name"),
        ({"description": "\0"}, "/description"),
        ({"category": "\0"}, "/category"),
        ({"venue": "\0"}, "/venue"),
        ({"description": "d" * 10_001}, "/description"),
        ({"timezone": "Mars"}, "/timezone"),
        ({"timezone": "../UTC"}, "/timezone"),
        ({"timezone": ""}, "/timezone"),
        ({"timezone": "\0"}, "/timezone"),
        ({"timezone": "Europe"}, "/timezone"),
        ({"starts_at": "tomorrow"}, "/starts_at"),
        ({"starts_at": None}, "/starts_at"),
        ({"starts_at": "2030-01-01T00:00:00"}, "/starts_at"),
        ({"starts_at": 1}, "/starts_at"),
        ({"ends_at": from_now(days=1)}, "/ends_at"),
        ({"sale_closes_at": from_now(days=-1)}, "/sale_closes_at"),
        ({"sale_opens_at": from_now(days=31)}, "/sale_opens_at"),
        ({"max_per_user": 0}, "/max_per_user"),
        ({"max_per_user": 1001}, "/max_per_user"),
        ({"tiers": []}, "/tiers"),
        ({"tiers": [TIER] * 101}, "/tiers"),
        ({"tiers": [TIER | {"name": ""}]}, "/tiers/0/name"),
        ({"tiers": [TIER | {"name": "\0"}]}, "/tiers/0/name"),
        ({"tiers": [TIER | {"capacity": -1}]}, "/tiers/0/capacity"),
        ({"tiers": [TIER | {"capacity": 10_000_001}]}, "/tiers/0/capacity"),
        ({"tiers": [TIER | {"max_per_order": 0}]}, "/tiers/0/max_per_order"),
        ({"tiers": [TIER | {"max_per_order": 11}]}, "/tiers/0/max_per_order"),
        ({"tiers": [TIER | {"sold": 0}]}, "/tiers/0/sold"),
        ({"tiers": [TIER | {"price": {"amount": -1, "currency": "EUR"}}]}, "/tiers/0/price/amount"),
        (
            {"tiers": [TIER | {"price": {"amount": 0.1, "currency": "EUR"}}]},
            "/tiers/0/price/amount",
        ),
        (
            {"tiers": [TIER | {"price": {"amount": 1, "currency": "EUX"}}]},
            "/tiers/0/price/currency",
        ),
        (
            {"tiers": [TIER, TIER | {"price": {"amount": 1, "currency": "USD"}}]},
            "/tiers/1/price/currency",
        ),
        ({"tiers": [TIER, TIER | {"name": "t"}]}, "/tiers/1/name"),
        ({"tiers": [TIER, TIER | {"name": f" {TIER['name']}\u200b "}]}, "/tiers/1/name"),
        (
            {"tiers": [TIER | {"name": "Stra\u00dfe"}, TIER | {"name": "\uff33TRASSE"}]},
            "/tiers/1/name",
        ),
        ({"status": "published"}, "/status"),
        ({"organizer_id": "org_1"}, "/organizer_id"),
        ({"id": "evt_1"}, "/id"),
        ({"shard": 7}, "/shard"),
        pytest.param(
            {"tiers": [TIER | {"price": {"amount": 1, "currency": "EU\nR"}}]},
            "/tiers/0/price/currency",
            id="newline in the currency",
        ),
        *(
            pytest.param({name: moment}, f"/{name}", id=f"{name} {moment}")
            for name in ("starts_at", "ends_at", "sale_opens_at", "sale_closes_at")
            for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
        ),
    ],
)
async def test_bad_event(
    world: World, organizer: str, change: dict[str, Any], pointer: str
) -> None:
    """An event that cannot be is refused by its field, and none is made."""
    before = await world.state()
    body = new_event() | change
    answer = await world.call("POST", "/v1/events", token=organizer, json=body)
    check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("q=" + "x" * 201, "/query/q"),
        ("q=%00", "/query/q"),
        ("category=%00", "/query/category"),
        ("from=tomorrow", "/query/from"),
        ("to=", "/query/to"),
        ("from=0001-01-01T00:00:00%2B14:00", "/query/from"),
        pytest.param("from=2030-01-01T00:00:00", "/query/from"),
    ],
)
async def test_bad_filter(world: World, query: str, pointer: str) -> None:
    """A filter that means nothing is a bad request."""
    check_problem(await world.call("GET", f"/v1/events?{query}"), 422, "invalid", pointer)


async def test_unknown_event(world: World) -> None:
    """An event that is not there is not found."""
    path = f"/v1/events/{new_id('evt')}"
    for end in ("", "/availability"):
        check_problem(await world.call("GET", path + end), 404, "not_found")
