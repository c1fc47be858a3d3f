"""What earlier code has written is opened, checked clean, and sold on."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.records import VERSIONS
from evently.embedded import ValkeyServer
from reconciler.event.hashes import scan_events
from reconciler.event.snapshot import read_quiet
from reconciler.judge.check import check
from store import damage, reigns
from tests.api.world import SHARD, World
from tests.checks import ask, servers_of
from tests.conftest import role_url
from tests.kept import KINDS_1

#: Of values in Redis.
STATUSES = {
    "bookings": "confirmed cancelled",
    "holds": "held confirmed released expired",
    "entries": "waiting offered accepted declined expired left",
    "tickets": "valid checked_in",
}


async def event_of(world: World, name: str) -> dict[str, Any]:
    """Return a kept event by its name."""
    own = await world.database.fetchval("SELECT id FROM events WHERE name = $1", name)
    return dict((await world.call("GET", f"/v1/events/{own}")).body)


async def person(world: World, name: str) -> str:
    """Return a new token of a kept account."""
    own = await world.database.fetchval("SELECT id FROM users WHERE name = $1", name)
    return world.token(own)


async def status_of(redis: Redis, names: keys.EventKeys, kind: str, status: bytes) -> str:
    """Return the id of the one kept hold or entry of an event that has this status."""
    rows = await ask(redis, "HGETALL", getattr(names, kind))
    [own] = [
        own for own, row in rows.items() if row.startswith(status) and not own.startswith(b"offer")
    ]
    return str(own.decode())


async def require_clean(valkey: ValkeyServer, world: World) -> None:
    """Check as an operator does."""
    await world.settle()
    servers = servers_of(role_url(valkey, "coordinator"), world.database_url)
    result = await check(servers, shard=SHARD)
    assert ([], []) == (result.violations, result.errors)


def test_every_kind_is_kept(kept: Path) -> None:
    """Nothing that can stand in a journal is missing, and all is small."""
    files = [path.read_text("utf-8") for path in kept.iterdir()]
    text = "\n".join(files).replace("\\", "")
    assert set() == {name for name in KINDS_1 if f'"kind":"{name}"' not in text}
    assert sum(map(len, files)) < 1_000_000
    found: dict[str, set[str]] = {name: set() for name in STATUSES}
    for key, (_, _, value) in json.loads((kept / "redis.json").read_text("utf-8")).items():
        name = key.rpartition(":")[2]
        if name in STATUSES:
            found[name] |= {row.partition(" ")[0] for row in value.values() if " " in row}
    assert {name: set(words.split()) for name, words in STATUSES.items()} == found


async def test_kept_shard_is_opened_clean_and_sold_on(world: World, valkey: ValkeyServer) -> None:
    """Book, confirm a kept hold, cancel a kept booking, offer, accept, and let a ticket in."""
    await require_clean(valkey, world)
    event = await event_of(world, "Kept")
    names = keys.event(SHARD, event["id"])
    dan, eve = await person(world, "dan"), await person(world, "eve")
    assert 201 == (await world.book(event, world.token(), (2, 2))).status
    hold = await status_of(world.redis, names, "holds", b"held")
    confirmed = await world.call("POST", f"/v1/holds/{hold}/confirm", token=eve)
    assert 201 == confirmed.status, confirmed.text
    entry = await status_of(world.redis, names, "entries", b"waiting")
    listed = (await world.call("GET", "/v1/bookings", token=dan)).body["data"]
    [booking] = [one["id"] for one in listed if one["items"][0]["quantity"] == 5]
    assert 200 == (await world.cancel(booking, dan)).status
    seen = (await world.call("GET", f"/v1/waitlist/{entry}", token=eve)).body
    accepted = await world.call("POST", f"/v1/offers/{seen['offer']['id']}/accept", token=eve)
    assert 201 == accepted.status, accepted.text
    [ticket] = (await world.call("GET", "/v1/tickets", token=eve)).body["data"]
    hall = await event_of(world, "Hall")
    staff = world.token(role="staff", organizer_id=hall["organizer_id"])
    path, at = f"/v1/tickets/{ticket['code']}/check-in", {"event_id": hall["id"]}
    let_in = await world.call("POST", path, token=staff, json=at)
    assert (200, "checked_in") == (let_in.status, let_in.body["status"])
    await require_clean(valkey, world)


async def test_kept_ledger_makes_redis_anew(world: World, valkey: ValkeyServer) -> None:
    """What PostgreSQL has kept is enough to load Redis again, whose own is gone."""
    await world.settle()
    for name in await ask(world.redis, "KEYS", f"{keys.tag(SHARD)}:*"):
        await ask(world.redis, "DEL", name)
    await world.recover()
    await require_clean(valkey, world)
    event = await event_of(world, "Kept")
    assert 201 == (await world.book(event, world.token(), (2, 2))).status
    await require_clean(valkey, world)


async def test_kept_events_have_lost_nothing(world: World, valkey: ValkeyServer) -> None:
    """No key of them is missed, before they are marked and afterwards."""
    assert await reigns.set_records_version(world.database, SHARD, VERSIONS[-1])
    await world.settle()
    await world.recover()
    assert [] == await damage.lately(world.database, dt.timedelta(days=1))
    for event_id in await scan_events(world.redis, SHARD):
        assert [] == (await read_quiet(world.redis, SHARD, event_id)).lost
        stock = keys.event(SHARD, event_id).stock
        assert await ask(world.redis, "HEXISTS", stock, keys.MARK)
    await require_clean(valkey, world)
