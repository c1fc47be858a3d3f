"""Plain reads beside the scripts: what they do not find is not there, or nobody knows (F55)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from engine import keys, porter, reads
from engine.commands import Join, Order
from engine.door import Reign
from engine.engine import Engine
from engine.errors import EventRecovering, ShardRecovering, ShardUnavailable
from engine.ids import new_id
from engine.outcomes import Applied, Booked, Held
from engine.porter import OtherServer
from engine.redis_client import connect
from engine.sweeper import Sweeper
from evently.embedded import ValkeyServer
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.engine.conftest import order, publish

ANY = Reign(shard=0, epoch=1, script_shas={})


async def hold(engine: Engine, shard: int, event: str, user: str = "usr_a") -> str:
    """Hold a place; return the hold's id."""
    made = Order(event, new_id("hold"), user, "f1", b"{}", ((1, 1),), ttl_ms=600_000)
    assert isinstance(await engine.hold(shard, made), Held)
    return made.id


async def join(engine: Engine, shard: int, event: str) -> str:
    """Wait for a place of which none is left; return the entry's id."""
    made = Join(
        event_id=event,
        id=new_id("wl"),
        user_id="usr_b",
        fingerprint="f1",
        tier_no=1,
        quantity=1,
        policy="strict",
        patience_ms=0,
        offer_ttl_ms=60_000,
        waiting_max=100,
        after_hold="",
    )
    assert isinstance(await engine.join(shard, made), Applied)
    return made.id


async def wipe(redis: Redis, shard: int) -> None:
    """Lose all that a shard has, as FLUSHALL does."""
    for name in await ask(redis, "KEYS", f"{keys.tag(shard)}:*"):
        await ask(redis, "DEL", name)


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Note each round trip of a plain read."""
    trips: list[Any] = []
    sent = reads.ask

    async def counting(client: Redis, *commands: Any, reign: Reign | None = None) -> list[Any]:
        trips.append(commands)
        return await sent(client, *commands, reign=reign)

    with monkeypatch.context() as patch:
        patch.setattr(reads, "ask", counting)
        yield trips


async def test_what_is_found_costs_one_trip(
    engine: Engine, shard: int, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is told after one round trip; what is not, after a second that is sure."""
    await publish(engine, shard, event, 2)
    held, bought = await hold(engine, shard, event), order(event, "usr_c")
    assert isinstance(await engine.book(shard, bought), Booked)
    waiting = await join(engine, shard, event)
    with counted(monkeypatch) as trips:
        assert await engine.read_hold(shard, event, held)
        assert await engine.read_booking(shard, event, bought.id)
        assert [1, 1] == [len(commands) for commands in trips]
        found = await engine.read_entries(shard, event, [waiting])
        assert [waiting] == list(found)
        trips.clear()
        assert None is await engine.read_hold(shard, event, new_id("hold"))
        assert None is await engine.read_booking(shard, event, new_id("bk"))
        assert {} == await engine.read_entries(shard, event, [new_id("wl")])
        assert [1, 5] * 3 == [len(commands) for commands in trips]
    assert engine.reign(shard)


@pytest.mark.parametrize("kind", ["hold", "booking", "entry", "last", "overdue"])
async def test_f55_emptied_redis_denies_nothing(
    engine: Engine, redis: Redis, shard: int, event: str, kind: str
) -> None:
    """F55: a Redis that has lost all denies nothing, and the first read that sees it shuts."""
    await publish(engine, shard, event, 2)
    held, bought = await hold(engine, shard, event), order(event, "usr_c")
    assert isinstance(await engine.book(shard, bought), Booked)
    waiting = await join(engine, shard, event)
    await wipe(redis, shard)
    sweeper = Sweeper(engine.shards[shard])
    questions: dict[str, Callable[[], Awaitable[Any]]] = {
        "hold": lambda: engine.read_hold(shard, event, held),
        "booking": lambda: engine.read_booking(shard, event, bought.id),
        "entry": lambda: engine.read_entries(shard, event, [waiting]),
        "last": lambda: engine.last(shard),
        "overdue": sweeper.sweep,
    }
    with pytest.raises(ShardRecovering):
        await questions[kind]()
    with pytest.raises(ShardRecovering):
        engine.reign(shard)


@pytest.mark.parametrize(
    "change", [{"state": "recovering"}, {"epoch": 2}, {"seq": 1}], ids=["state", "epoch", "lost"]
)
async def test_f55_another_reign_denies_nothing(
    engine: Engine, redis: Redis, shard: int, event: str, change: dict[str, Any]
) -> None:
    """F55: nor does one under recovery, of a later reign, or that has lost what was seen."""
    await publish(engine, shard, event, 2)
    await hold(engine, shard, event)
    assert (1, 2) == await engine.last(shard)
    flat = [word for pair in change.items() for word in pair]
    await ask(redis, "HSET", keys.meta(shard), *flat)
    with pytest.raises(ShardRecovering):
        await engine.read_hold(shard, event, new_id("hold"))
    assert not engine.shards[shard].door.is_open


async def test_f55_event_that_is_gone_denies_nothing(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F55: of an event that has lost everything, or is being rebuilt, nobody knows."""
    await publish(engine, shard, event, 2)
    for name in keys.event(shard, event):
        await ask(redis, "DEL", name)
    with pytest.raises(EventRecovering):
        await engine.read_hold(shard, event, new_id("hold"))
    with pytest.raises(EventRecovering):
        await engine.read_entries(shard, event, [new_id("wl")])
    assert engine.reign(shard)


async def test_f55_entry_that_goes_while_it_is_read(
    engine: Engine, redis: Redis, shard: int, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F55: what was lost between the reads of an entry and of its position is no error of ours."""
    await publish(engine, shard, event, 1)
    assert isinstance(await engine.book(shard, order(event, "usr_c")), Booked)
    waiting, sent = await join(engine, shard, event), reads.ask

    async def losing(client: Redis, *commands: Any, reign: Reign | None = None) -> list[Any]:
        found = await sent(client, *commands, reign=reign)
        await wipe(redis, shard)
        return found

    monkeypatch.setattr(reads, "ask", losing)
    with pytest.raises(ShardUnavailable):
        await engine.read_entries(shard, event, [waiting])


async def test_f55_connection_to_another_server_carries_no_read(valkey: ValkeyServer) -> None:
    """F55: also one that was let through while the door was shut, or in an earlier reign."""
    client = connect(valkey.url, timeout_ms=TIMEOUT_MS, connections_max=1)
    porter.post(client, level="fsync")
    facts = await porter.examine_server(client)
    own = replace(ANY, redis_run_id=facts.run_id, redis_replid=facts.replid)
    assert [b"PONG"] == await reads.ask(client, ("PING",), reign=own)
    for other in (replace(own, redis_run_id="x"), replace(own, redis_replid="x")):
        with pytest.raises(OtherServer):
            await reads.ask(client, ("PING",), reign=other)
    assert [b"PONG", b"PONG"] == await reads.ask(client, ("PING",), ("PING",), reign=own)
    await client.aclose()


async def test_f55_read_under_a_door_that_was_shut(engine: Engine, shard: int, event: str) -> None:
    """F55: the first new connection shuts the door; the second is refused to who began before."""
    await publish(engine, shard, event, 1)
    one = engine.shards[shard]
    began = replace(one.door.reign(), redis_run_id="that of another server")
    one.door.shut(one.door.reign(), "a connection has led to another server")
    with pytest.raises(ShardRecovering):
        await one._ask(began, [("HGET", keys.event(shard, event).holds, "hold")])


async def test_f55_door_opens_with_no_way_to_another_server(
    engine: Engine, shard: int, event: str
) -> None:
    """F55: a connection that is open to an earlier server does not refuse the next reign."""
    await publish(engine, shard, event, 1)
    one, reign = engine.shards[shard], engine.reign(shard)
    before = await one.wire.open()
    assert "" == one._why_not(reign)
    assert before is await one.wire.open()
    assert "" == one._why_not(replace(reign, redis_run_id="that of another server"))
    assert before is not await one.wire.open()
    assert isinstance(await engine.book(shard, order(event, "usr_a")), Booked)
    assert "names no b" in one._why_not(replace(reign, home="b"))
