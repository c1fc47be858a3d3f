"""
What an API process remembers of events: dropped by the change itself, by whoever made it.

An age limit of an hour takes ages out of play: what is seen anew was heard of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest

from api.http import SERVICES
from tests.api.world import Answer, Event, Serve, World
from usecases import catalog
from usecases.catalog import Catalog
from usecases.memory import Recent


@pytest.fixture(autouse=True)
def ageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be forgotten for its age while changes are heard of."""
    monkeypatch.setattr(catalog, "AGE_MAX_S", 3_600.0)


@pytest.fixture
async def other(serve: Serve) -> AsyncIterator[World]:
    """Serve the application a second time, and wait until it listens."""
    async with serve() as other:
        await listening(other)
        yield other


async def listening(world: World) -> None:
    """Wait until a process hears of changes."""
    while catalog_of(world)._is_deaf:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def catalog_of(world: World) -> Catalog:
    """Return what a process remembers."""
    return world.client.app[SERVICES].catalog


async def page(world: World, event: Event) -> Answer:
    """Read an event as a visitor."""
    return await world.call("GET", f"/v1/events/{event['id']}")


async def seen(world: World, event: Event, name: str) -> None:
    """Wait until visitors are shown an event by a name."""
    while (await page(world, event)).body["name"] != name:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def rename(world: World, event: Event, name: str) -> None:
    """Change an event behind the back of all processes."""
    query = "UPDATE events SET name = $2, version = version + 1 WHERE id = $1"
    await world.database.execute(query, event["id"], name)


async def test_pages_cost_postgresql_nothing(
    world: World, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is remembered is shown without asking PostgreSQL, and is what was shown first."""
    await listening(world)
    first = await page(world, event)

    async def away(*_words: Any, **_named: Any) -> Any:
        raise OSError("away")

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        monkeypatch.setattr(asyncpg.Pool, name, away)
    again = await page(world, event)
    assert (200, first.body, first.headers["ETag"]) == (
        again.status,
        again.body,
        again.headers["ETag"],
    )


async def test_a_change_is_seen_by_all(world: World, other: World, event: Event, boss: str) -> None:
    """An organizer's change at one process is shown by it at once, and by others when told."""
    await listening(world)
    for one in (world, other):
        assert event["name"] == (await page(one, event)).body["name"]
    changed = await world.call(
        "PATCH",
        f"/v1/events/{event['id']}",
        token=boss,
        json={"name": "Finale"},
        headers={"If-Match": "*"},
    )
    assert 200 == changed.status
    assert "Finale" == (await page(world, event)).body["name"]
    await seen(other, event, "Finale")
    await rename(world, event, "Encore")  # As a hand in the database does.
    for one in (world, other):
        await seen(one, event, "Encore")
        assert "Encore" == (await catalog_of(one).poster(event["id"])).name


async def test_a_cut_connection_drops_all(world: World, event: Event) -> None:
    """What changes while nothing is heard is shown once the connection is there again."""
    await listening(world)
    remembered = catalog_of(world)
    await page(world, event)
    assert remembered.get(event["id"]) or await remembered.find(event["id"])
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    )
    async with world.database.acquire() as connection, connection.transaction():
        # Nobody is told of what a transaction does before its end: here all are cut before it.
        await connection.execute(
            "UPDATE events SET name = 'Unheard', version = version + 1 WHERE id = $1", event["id"]
        )
        assert await connection.fetch(cut)
        while not remembered._is_deaf:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await listening(world)
    assert remembered.get(event["id"]) is None
    assert "Unheard" == (await page(world, event)).body["name"]


async def test_who_hears_nothing_remembers_little(
    world: World, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is heard, the short age limit holds."""
    await listening(world)
    await page(world, event)
    remembered = catalog_of(world)
    monkeypatch.setattr(remembered, "hear", lambda _: None)
    remembered.__class__.hear(remembered, None)
    monkeypatch.setattr(catalog, "DEAF_AGE_MAX_S", 0.0)
    await rename(world, event, "Later")
    assert "Later" == (await page(world, event)).body["name"]


async def test_the_booking_path_goes_on(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that has changed, and cannot be read, is sold as it was known."""
    await listening(world)
    await world.book(event, user)
    await world.enter()
    catalog_of(world).drop(event["id"])

    async def away(*_words: Any, **_named: Any) -> Any:
        raise OSError("away")

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        monkeypatch.setattr(asyncpg.Pool, name, away)
    assert 201 == (await world.book(event, world.token())).status


async def test_an_overtaken_read_is_not_remembered() -> None:
    """A read during which a change was heard is told to who asked before, and not kept."""
    memory = Recent[str, str](most=2)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def read_old() -> str:
        begun.set()
        await may_end.wait()
        return "old"

    async def read_new() -> str:
        return "new"

    for hear in (partial(memory.drop, "a"), memory.drop_all):
        begun.clear()
        may_end.clear()
        memory.drop_all()
        early = asyncio.create_task(memory.find("a", read_old, age_max_s=60))
        await begun.wait()
        hear()
        assert "new" == await memory.find("a", read_new, age_max_s=60)
        may_end.set()
        assert "old" == await early
        assert "new" == memory.get("a") == await memory.find("a", read_old, age_max_s=60)


async def test_reads_are_shared_and_failures_are_not_kept() -> None:
    """Who asks together shares one read; a failed one is everybody's, and the next reads anew."""
    memory, reads = Recent[str, str](most=2), 0

    async def fail() -> str:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        raise OSError("away")

    finds = [memory.find("a", fail, age_max_s=60) for _ in range(3)]
    assert 3 * ["away"] == [
        str(end) for end in await asyncio.gather(*finds, return_exceptions=True)
    ]
    assert 1 == reads

    async def read() -> str:
        return "there"

    assert "there" == await memory.find("a", read, age_max_s=60)
    memory.drop("a")
    assert (None, "there") == (memory.get("a"), memory.last("a"))
