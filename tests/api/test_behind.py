"""One view of an event while PostgreSQL is behind: the script that owns the stock has the say."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.http import SERVICES
from engine import keys
from engine.errors import ShardRecovering
from tests.api.test_changes import left, patch, tiers
from tests.api.world import SHARD, Event, Serve, World, check_problem, from_now
from tests.checks import ask


@contextlib.asynccontextmanager
async def behind(world: World) -> AsyncIterator[None]:
    """Keep the persister waiting, as a slow or locked PostgreSQL does."""
    async with world.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT FROM shard_epoch WHERE shard = $1 FOR UPDATE", SHARD)
        try:
            yield
        finally:
            await transaction.rollback()


async def drift(world: World, event: Event) -> set[str]:
    """Return what a check of the stores names, of this event, once all is quiet."""
    await world.settle()
    rows = await world.database.fetch(
        "SELECT tier_no, capacity FROM tiers WHERE event_id = $1 ORDER BY tier_no", event["id"]
    )
    name = keys.event(SHARD, event["id"]).stock
    stock = [int(await ask(world.redis, "HGET", name, f"{r['tier_no']}.capacity")) for r in rows]
    closes = await world.database.fetchval(
        "SELECT (extract(epoch FROM sale_closes_at) * 1000)::bigint FROM events WHERE id = $1",
        event["id"],
    )
    ends = int(await ask(world.redis, "HGET", name, "closes_at_ms"))
    found = set() if [row["capacity"] for row in rows] == stock else {"capacity"}
    return found | (set() if abs(closes - ends) <= 1 else {"closes_at"})


async def test_published_is_seen_at_once(world: World, serve: Serve) -> None:
    """While PostgreSQL takes it for a draft, everybody sees the event that is being sold."""
    boss, category = await world.organizer(), secrets.token_hex(8)
    draft = await world.draft(boss, 10, category=category)
    path = f"/v1/events/{draft['id']}"
    async with serve(catch_up_timeout_ms=50) as other:
        check_problem(await other.book(draft, other.token()), 404, "not_found")
        async with behind(world):
            published = await other.publish(draft["id"], boss)
            assert (200, "published") == (published.status, published.body["status"])
            assert published.body["published_at"]
            seen = await other.call("GET", path)
            assert (200, published.body) == (seen.status, seen.body)
            listed = await other.call("GET", f"/v1/events?category={category}")
            assert [published.body] == listed.body["data"]
            assert 200 == (await other.call("GET", f"{path}/availability")).status
            assert 201 == (await other.book(draft, other.token())).status
            again = await other.publish(draft["id"], boss)
            assert (200, published.body) == (again.status, again.body)
        await world.settle()
        now = await other.call("GET", path)
        assert published.body == now.body
        assert seen.headers["ETag"] == now.headers["ETag"]


async def test_changes_reach_the_stock(world: World, serve: Serve) -> None:
    """What PostgreSQL takes for a draft is changed where it is sold, and shown so; no drift."""
    boss = await world.organizer()
    draft = await world.draft(boss, 10, 10)
    path, closes = f"/v1/events/{draft['id']}", from_now(days=3)
    async with serve(catch_up_timeout_ms=50) as other:
        async with behind(world):
            await other.publish(draft["id"], boss)
            await other.book(draft, other.token(), (1, 4))
            change = tiers(draft, 7) | {"sale_closes_at": closes, "name": "Other"}
            answer = await patch(other, draft, boss, change)
            assert 200 == answer.status, answer.text
            assert [7, 10] == [tier["capacity"] for tier in answer.body["tiers"]]
            assert (closes[:19], "Other") == (
                answer.body["sale_closes_at"][:19],
                answer.body["name"],
            )
            assert answer.body == (await other.call("GET", path)).body
            assert [(7, 3), (10, 10)] == await left(other, draft)
            refused = await patch(other, draft, boss, tiers(draft, 3))
            check_problem(refused, 409, "capacity_below_taken", "/tiers/0/capacity")
        assert set() == await drift(world, draft)
        rest = await other.call("GET", path)
        assert answer.body | {"version": rest.body["version"]} == rest.body


async def test_sale_acts_show_at_once(world: World, event: Event, boss: str, serve: Serve) -> None:
    """Close, reopen and cancel tell what is so, and everybody reads the same."""
    path = f"/v1/events/{event['id']}"
    later = {"sale_closes_at": from_now(days=2)}
    async with serve(catch_up_timeout_ms=50) as other, behind(world):
        for verb, status in (("close", "closed"), ("reopen", "published"), ("close", "closed")):
            answer = await other.call("POST", f"{path}/{verb}", token=boss, json=later)
            assert (200, status) == (answer.status, answer.body["status"])
            seen = await other.call("GET", path)
            assert answer.body == seen.body
            assert answer.headers["ETag"] == seen.headers["ETag"]
        check_problem(await other.call("GET", f"{path}/cancel", token=boss), 404, "not_found")
        assert 202 == (await other.call("POST", f"{path}/cancel", token=boss)).status
        assert 200 == (await other.call("GET", f"{path}/cancel", token=boss)).status
        assert "cancelled" == (await other.call("GET", path)).body["status"]
    await world.settle()
    assert "cancelled" == (await world.call("GET", path)).body["status"]


async def test_draft_that_is_being_published_is_not_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its publishing has begun, a draft is what will be loaded, however long that takes."""
    boss = await world.organizer()
    draft = await world.draft(boss, 10)
    engine, path = world.client.app[SERVICES].engine, f"/v1/events/{draft['id']}"

    async def shut(*_: Any) -> Any:
        raise ShardRecovering

    with monkeypatch.context() as broken:
        broken.setattr(engine, "publish", shut)
        check_problem(await world.publish(draft["id"], boss), 503, "shard_recovering")
    for change in (tiers(draft, 5), {"sale_closes_at": from_now(days=3)}):
        refused = await patch(world, draft, boss, change)
        check_problem(refused, 409, "not_on_sale")
        assert "publish it again" in refused.body["detail"]
    assert 200 == (await patch(world, draft, boss, {"name": "Other"})).status
    check_problem(await world.call("GET", path), 404, "not_found")
    check_problem(await world.call("GET", f"{path}/availability"), 404, "not_found")
    assert 200 == (await world.publish(draft["id"], boss)).status
    assert 200 == (await patch(world, draft, boss, tiers(draft, 5))).status
    assert set() == await drift(world, draft)


async def test_publishing_while_it_is_changed(world: World) -> None:
    """Of a change and a publishing at once, what is loaded is what PostgreSQL has."""
    boss = await world.organizer()
    for number in range(12):
        draft = await world.draft(boss, 10)
        acts = [patch(world, draft, boss, tiers(draft, 20)), world.publish(draft["id"], boss)]
        changed, published = await asyncio.gather(*(acts if number % 2 else acts[::-1]))
        if not number % 2:
            changed, published = published, changed
        assert 200 == published.status, published.text
        assert changed.status in {200, 409, 412}, changed.text
        assert set() == await drift(world, draft)
        seen = (await world.call("GET", f"/v1/events/{draft['id']}")).body["tiers"][0]["capacity"]
        assert (20 if changed.status == 200 else 10) == seen
