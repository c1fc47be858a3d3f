"""The public proof of a sale: the check's own words, red within one round of a sabotage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine import keys
from evently.embedded import ValkeyServer
from reconciler.judge.check import check
from reconciler.judge.watch import ShardWatch
from store.pool import connect
from tests.api.world import SHARD, World
from tests.checks import ask, servers_of
from tests.conftest import TIMEOUT_MS, role_url
from tests.web.reading import elements, page, words


@pytest.fixture
async def watch(world: World) -> AsyncIterator[ShardWatch]:
    """Watch the shard that everything is sold on."""
    connection = await connect(world.database_url, timeout_ms=TIMEOUT_MS)
    yield ShardWatch(SHARD, world.redis, connection)
    await connection.close()


async def whole_round(watch: ShardWatch) -> None:
    """Let every event have its turn."""
    passes = watch.passes
    while watch.passes == passes:
        await watch.step()


async def verdict(world: World, path: str) -> tuple[str | None, str]:
    """Return what the page says in a word, and all its words; made anew, not the one just kept."""
    found = await page(world, f"{path}?{keys_of_pages.pop()}")
    [notice] = [one for one in elements(found.text, "div") if "data-verdict" in one.attributes]
    return notice.attributes["data-verdict"], words(found.text)


#: Pages are kept for a second by their address.
keys_of_pages = [f"n={number}" for number in range(100)]


async def test_proved_and_red_within_one_round(
    world: World, watch: ShardWatch, valkey: ValkeyServer
) -> None:
    """What the page says is what `check --event` says; a sabotaged counter is red in a round."""
    event = await world.event(5, 3, name="A")
    path = f"/e/a-{event['id']}/proof"
    await world.book(event, None, (1, 2))
    await world.hold(event, None, (2, 1))
    await world.settle()
    assert "unknown" == (await verdict(world, path))[0]
    await whole_round(watch)
    said, text = await verdict(world, path)
    assert "proved" == said
    for figure in (
        "Capacity 8",
        "Sold 2",
        "Held 1",
        "Oversold 0",
        "Differences between the stores 0",
    ):
        assert figure in text
    servers = servers_of(role_url(valkey, "coordinator"), world.database_url)
    result = await check(servers, event_id=event["id"])
    assert ("clean", 1, []) == (result.verdict, result.bookings, result.violations)
    [shard] = result.shards
    assert f"Last record proved {shard.epoch}.{shard.checkpoint_seq}" in text

    stock = keys.event(SHARD, event["id"]).stock
    await ask(world.redis, "HINCRBY", stock, "1.available", 1)
    await whole_round(watch)
    said, text = await verdict(world, path)
    result = await check(servers, event_id=event["id"])
    assert ("wrong", "drift") == (said, result.verdict)
    assert f"Differences between the stores {len(result.violations)}" in text
    await ask(world.redis, "HINCRBY", stock, "1.available", -1)
    await whole_round(watch)
    assert "proved" == (await verdict(world, path))[0]


async def test_what_is_not_of_now_says_so(world: World, watch: ShardWatch) -> None:
    """A check that nobody does any more proves nothing of now; drafts have no proof."""
    organizer = await world.organizer()
    event = await world.event(5, name="A", token=organizer)
    await world.settle()
    await whole_round(watch)
    await world.database.execute("UPDATE watches SET looked_at = now() - interval '1 hour'")
    german = words((await page(world, f"/e/a-{event['id']}/proof", "de")).text)
    assert "Der Nachweis ist nicht von jetzt" in german
    assert "vor 3.600 Sekunden" in german or "vor 3600 Sekunden" in german
    moved = await page(world, f"/e/{event['id']}/proof")
    assert "Last record proved" in moved.text
    draft = await world.draft(organizer, 5)
    for name in (f"a-{draft['id']}", "a", "evt_00000000000000000000000000"):
        assert 404 == (await page(world, f"/e/{name}/proof")).status
