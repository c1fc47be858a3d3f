"""What organizers do while they sell, over HTTP: capacity, end of sale, cancelled events."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from engine.engine import Engine
from engine.ids import new_id
from tests.api.test_seats import seated_event
from tests.api.world import Event, World, check_problem, from_now


async def patch(world: World, event: Event, token: str, body: Any, etag: str = "") -> Any:
    """Change an event as it is now, or as *etag* says it was."""
    path = f"/v1/events/{event['id']}"
    seen = etag or (await world.call("GET", path, token=token)).headers["ETag"]
    return await world.call("PATCH", path, token=token, json=body, headers={"If-Match": seen})


async def left(world: World, event: Event) -> list[tuple[int, int]]:
    """Return capacity and available of each tier."""
    found = await world.call("GET", f"/v1/events/{event['id']}/availability")
    return [(tier["capacity"], tier["available"]) for tier in found.body["tiers"]]


def tiers(event: Event, *capacities: int) -> dict[str, Any]:
    """Make the request for other capacities."""
    pairs = zip(event["tiers"], capacities, strict=False)
    return {"tiers": [{"id": tier["id"], "capacity": capacity} for tier, capacity in pairs]}


async def test_capacity(world: World, event: Event, user: str, boss: str) -> None:
    """Capacity goes up, and down to what is taken; below that nothing at all is changed."""
    await world.book(event, user, (1, 3))
    answer = await patch(world, event, boss, tiers(event, 120, 50))
    assert 200 == answer.status, answer.text
    assert [120, 50] == [tier["capacity"] for tier in answer.body["tiers"]]
    assert [(120, 117), (50, 50)] == await left(world, event)
    refused = await patch(world, event, boss, tiers(event, 2, 60))
    check_problem(refused, 409, "capacity_below_taken", "/tiers/0/capacity")
    assert 3 == refused.body["minimum"]
    assert [(120, 117), (50, 50)] == await left(world, event)
    assert 200 == (await patch(world, event, boss, tiers(event, 3))).status
    check_problem(await world.book(event, world.token()), 409, "sold_out")
    assert 200 == (await world.publish(event["id"], boss)).status


async def test_all_or_nothing(world: World, user: str) -> None:
    """Of texts, capacities and an end in one request, a refusal of any leaves all as it was."""
    boss = await world.organizer()
    event = await world.event(100, 100, token=boss, sale_opens_at=from_now(days=-9))
    await world.book(event, user, (1, 3))
    await world.settle()
    path = f"/v1/events/{event['id']}"
    before, etag = await world.state(), (await world.call("GET", path)).headers["ETag"]
    soon, past = from_now(days=2), from_now(days=-2)
    for change, code in (
        ({"name": "Other"} | tiers(event, 2), "capacity_below_taken"),
        ({"name": "Other", "sale_closes_at": soon} | tiers(event, 2, 50), "capacity_below_taken"),
        ({"name": "Other", "sale_closes_at": past} | tiers(event, 50), "sale_closed"),
        ({"name": "Other", "sale_closes_at": past}, "sale_closed"),
    ):
        answer = await patch(world, event, boss, change)
        check_problem(answer, 409, code)
        assert before == await world.state()
        assert etag == (await world.call("GET", path)).headers["ETag"]
    change = {"name": "Other", "sale_closes_at": soon} | tiers(event, 50, 60)
    answer = await patch(world, event, boss, change)
    assert (200, "Other", [50, 60], soon[:19]) == (
        answer.status,
        answer.body["name"],
        [tier["capacity"] for tier in answer.body["tiers"]],
        answer.body["sale_closes_at"][:19],
    )
    assert [(50, 47), (60, 60)] == await left(world, event)
    # The same again changes nothing in Redis.
    seq = (await world.state()).redis
    assert 200 == (await patch(world, event, boss, change)).status
    assert seq == (await world.state()).redis


async def test_of_two_changes_at_once_one_is_made(world: World, event: Event, boss: str) -> None:
    """Both saw the same event: one changes all it asked for, the other nothing."""
    path = f"/v1/events/{event['id']}"
    for number in range(8):
        etag = (await world.call("GET", path)).headers["ETag"]
        changes = [{"name": f"{n}-{number}"} | tiers(event, 10 + 2 * number + n) for n in range(2)]
        answers = await asyncio.gather(
            *(patch(world, event, boss, change, etag) for change in changes)
        )
        assert [200, 412] == sorted(answer.status for answer in answers)
        made = changes[[answer.status for answer in answers].index(200)]
        seen = (await world.call("GET", path)).body
        assert made["name"] == seen["name"]
        assert made["tiers"][0]["capacity"] == seen["tiers"][0]["capacity"]


async def test_fault_between_the_stores(
    world: World, event: Event, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If PostgreSQL fails behind the script, the numbers stand, and asking again shows it."""
    path = f"/v1/events/{event['id']}"
    etag = (await world.call("GET", path)).headers["ETag"]
    change = {"name": "Other"} | tiers(event, 50)

    async def fail(*_: Any, **__: Any) -> bool:
        raise asyncpg.InterfaceError("away")

    with monkeypatch.context() as broken:
        broken.setattr("store.changes.change", fail)
        assert 503 == (await patch(world, event, boss, change, etag)).status
    check_problem(await patch(world, event, boss, change, etag), 412, "precondition_failed")
    seen = (await world.call("GET", path)).body
    assert ("Concert", 50) == (seen["name"], seen["tiers"][0]["capacity"])
    answer = await patch(world, event, boss, change)
    assert (200, "Other") == (answer.status, answer.body["name"])


@pytest.mark.parametrize("is_published", [False, True])
async def test_capacity_of_a_seated_tier(world: World, organizer: str, is_published: bool) -> None:
    """It is the number of its seats, before and after publishing; no more and no fewer."""
    draft = await world.draft(organizer, **seated_event())
    if is_published:
        assert 200 == (await world.publish(draft["id"], organizer)).status
    before = await world.state()
    for capacity in (6, 9):
        change = tiers(draft, 8, 3, 60)
        change["tiers"][0]["capacity"] = capacity
        answer = await patch(world, draft, organizer, change)
        check_problem(answer, 422, "invalid", "/tiers/0/capacity")
        assert before == await world.state()
    answer = await patch(world, draft, organizer, tiers(draft, 8, 3, 60))
    assert (200, [8, 3, 60]) == (answer.status, [tier["capacity"] for tier in answer.body["tiers"]])
    assert 200 == (await world.publish(draft["id"], organizer)).status


async def test_old_draft_with_another_capacity(world: World, organizer: str) -> None:
    """A draft of older code whose seats do not add up is refused by name, and can be mended."""
    draft = await world.draft(organizer, **seated_event())
    path = f"/v1/events/{draft['id']}"
    await world.database.execute(
        "UPDATE tiers SET capacity = 6 WHERE event_id = $1 AND tier_no = 1", draft["id"]
    )
    answer = await world.publish(draft["id"], organizer)
    check_problem(answer, 422, "invalid", "/tiers/0/capacity")
    check_problem(await world.call("GET", path), 404, "not_found")
    assert 200 == (await patch(world, draft, organizer, tiers(draft, 8))).status
    assert 200 == (await world.publish(draft["id"], organizer)).status


async def test_if_match(world: World, event: Event, boss: str) -> None:
    """Nobody overwrites what they have not seen."""
    path = f"/v1/events/{event['id']}"
    seen = (await world.call("GET", path)).headers["ETag"]
    body = {"name": "Other"}
    answer = await world.call("PATCH", path, token=boss, json=body)
    check_problem(answer, 428, "precondition_required", "/headers/If-Match")
    changed = await patch(world, event, boss, body, seen)
    assert (200, "Other") == (changed.status, changed.body["name"])
    assert seen != changed.headers["ETag"]
    check_problem(await patch(world, event, boss, body, seen), 412, "precondition_failed")
    now = (await world.call("GET", path)).headers["ETag"]
    assert changed.headers["ETag"] == now


async def test_draft(world: World) -> None:
    """A draft is changed in PostgreSQL alone, and published as it then is."""
    boss = await world.organizer()
    event = await world.draft(boss, 10, 10)
    closes = from_now(days=3)
    answer = await patch(world, event, boss, tiers(event, 7) | {"sale_closes_at": closes})
    assert (200, [7, 10]) == (answer.status, [tier["capacity"] for tier in answer.body["tiers"]])
    assert 200 == (await world.publish(event["id"], boss)).status
    assert [(7, 7), (10, 10)] == await left(world, event)


async def test_bad_changes(world: World, event: Event, boss: str) -> None:
    """Bad values name their field and change nothing; strangers find nothing."""
    before = await world.state()
    for body, pointer in (
        ({"tiers": [{"id": new_id("tier"), "capacity": 1}]}, "/tiers/0/id"),
        ({"tiers": tiers(event, 1)["tiers"] * 2}, "/tiers/1/id"),
        (tiers(event, -1), "/tiers/0/capacity"),
        ({"name": "a\0"}, "/name"),
        ({"price": 1}, "/price"),
        ({"name": ""}, "/name"),
        ({"sale_closes_at": "2001-01-01T00:00:00Z"}, "/sale_closes_at"),
        ({"sale_closes_at": "9999-12-31T23:59:59-14:00"}, "/sale_closes_at"),
        ({"sale_closes_at": "9999-12-31T00:00:00Z"}, "/sale_closes_at"),
        ({"sale_closes_at": "3000-01-01T00:00:00Z"}, "/sale_closes_at"),
    ):
        check_problem(await patch(world, event, boss, body), 422, "invalid", pointer)
        if "9999" in str(body):
            path = f"/v1/events/{event['id']}/reopen"
            answer = await world.call("POST", path, token=boss, json=body)
            check_problem(answer, 422, "invalid", pointer)
    stranger = world.token(role="organizer", organizer_id=new_id("org"))
    body = {"sale_closes_at": from_now(days=2)}
    path = f"/v1/events/{event['id']}"
    for method, end in (
        ("PATCH", ""),
        ("POST", "/close"),
        ("POST", "/reopen"),
        ("POST", "/cancel"),
        ("GET", "/cancel"),
    ):
        answer = await world.call(method, path + end, token=stranger, json=body)
        check_problem(answer, 404, "not_found")
        user = await world.call(method, path + end, token=world.token(), json={})
        check_problem(user, 403, "forbidden")
    assert before == await world.state()


async def test_close_and_reopen(world: World, event: Event, boss: str) -> None:
    """A closed sale sells nothing until it is reopened; both may be repeated."""
    path = f"/v1/events/{event['id']}"
    closed = await world.call("POST", f"{path}/close", token=boss)
    assert (200, "closed") == (closed.status, closed.body["status"])
    assert closed.body == (await world.call("POST", f"{path}/close", token=boss)).body
    check_problem(await world.book(event, world.token()), 409, "sale_closed")
    later = {"sale_closes_at": from_now(days=2)}
    opened = await world.call("POST", f"{path}/reopen", token=boss, json=later)
    assert (200, "published") == (opened.status, opened.body["status"])
    assert opened.body == (await world.call("POST", f"{path}/reopen", token=boss, json=later)).body
    assert 201 == (await world.book(event, world.token())).status
    past = {"sale_closes_at": from_now(days=-1)}
    answer = await world.call("POST", f"{path}/reopen", token=boss, json=past)
    check_problem(answer, 409, "sale_closed")


async def test_cancel_event(world: World, event: Event, user: str, boss: str) -> None:
    """All bookings end, all places are back, and it is final."""
    own = [(await world.book(event, user, (1, 2), (2, 1), key=f"k{n}")).body["id"] for n in "12"]
    path = f"/v1/events/{event['id']}"
    check_problem(await world.call("GET", f"{path}/cancel", token=boss), 404, "not_found")
    answer = await world.call("POST", f"{path}/cancel", token=boss)
    assert (202, "cancelled", 0) == (
        answer.status,
        answer.body["status"],
        answer.body["places_left"],
    )
    again = await world.call("POST", f"{path}/cancel", token=boss)
    assert (202, "cancelled") == (again.status, again.body["status"])
    assert [(100, 100), (100, 100)] == await left(world, event)
    await world.settle()
    for booking_id in own:
        seen = await world.call("GET", f"/v1/bookings/{booking_id}", token=user)
        assert "cancelled" == seen.body["status"]
    progress = await world.call("GET", f"{path}/cancel", token=boss)
    assert (200, 0) == (progress.status, progress.body["places_left"])
    assert "cancelled" == (await world.call("GET", path)).body["status"]
    check_problem(await world.book(event, world.token()), 409, "event_cancelled")
    later = {"sale_closes_at": from_now(days=2)}
    answer = await world.call("POST", f"{path}/reopen", token=boss, json=later)
    check_problem(answer, 409, "event_cancelled")
    check_problem(await patch(world, event, boss, tiers(event, 5)), 409, "event_cancelled")


async def test_large_event_goes_on_after_the_answer(
    world: World, event: Event, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one answer does not manage is left to the sweeper's next turns."""
    monkeypatch.setattr("engine.emptier.STEPS_MAX", 1)
    monkeypatch.setattr("engine.emptier.BOOKINGS_MAX", 2)
    for n in range(5):
        await world.book(event, world.token(), key=f"k{n}")
    path = f"/v1/events/{event['id']}/cancel"
    seen = [(await world.call("POST", path, token=boss)).body for _ in range(6)]
    assert ["cancelling", "cancelled"] == [seen[0]["status"], seen[-1]["status"]]
    places = [body["places_left"] for body in seen]
    assert sorted(places, reverse=True) == places


async def test_draft_is_not_on_sale(world: World) -> None:
    """A draft can be neither closed nor cancelled."""
    boss = await world.organizer()
    path = f"/v1/events/{(await world.draft(boss))['id']}"
    for verb in ("close", "cancel"):
        answer = await world.call("POST", f"{path}/{verb}", token=boss)
        check_problem(answer, 409, "not_on_sale")


def test_engine_has_the_verbs() -> None:
    """One verb, one thread: each batched script has its method."""
    verbs = (
        "cancel_item",
        "checkin",
        "undo_checkin",
        "transfer",
        "close",
        "reopen",
        "set_capacity",
        "cancel_event",
    )
    assert [] == [verb for verb in verbs if not hasattr(Engine, verb)]
