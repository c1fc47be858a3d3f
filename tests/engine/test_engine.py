"""The engine against a real server: races, replays, cancelled callers, lost replies, the fence."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from engine import door as door_module
from engine import keys, scripts
from engine.commands import Order, Own, Publish, TierStock
from engine.door import Reign
from engine.engine import Engine
from engine.errors import (
    BadCommand,
    EngineError,
    OutcomeUnknown,
    Overloaded,
    ShardRecovering,
    ShardUnavailable,
)
from engine.ids import new_id
from engine.outcomes import Applied, Availability, Booked, Held, Refused
from engine.records import Item
from engine.redis_client import connect
from engine.status import Status
from engine.sweeper import Sweeper
from evently.embedded import ValkeyServer
from tests.checks import FAR_MS, Tier, ask, check_consistent, journal, snapshot, stock, users
from tests.conftest import TIMEOUT_MS, OpenShard
from tests.engine.conftest import Proxy, Start, memory_full, order, publish

#: Short enough for a test that waits for it, and far above one call.
SHORT_TIMEOUT_MS = 300


def outcome(reply: object) -> str:
    """Name a reply for counting."""
    return reply.status.value if isinstance(reply, Refused) else type(reply).__name__


@pytest.fixture
async def behind_proxy(proxy: Proxy, start: Start) -> Engine:
    """Return an engine that reaches Redis through the proxy and waits little."""
    return await start(proxy.url, timeout_ms=SHORT_TIMEOUT_MS)


async def test_book_cancel_availability(engine: Engine, shard: int, event: str) -> None:
    """Each verb replies in its own words, and a repeated one with the first reply."""
    command = Publish(event, "p", 0, FAR_MS, 9, (TierStock(10, 250, 4), TierStock(5, 990, 4)))
    published = await engine.publish(shard, command)
    assert isinstance(published, Applied)
    assert published._replace(is_replay=True) == await engine.publish(shard, command)
    [user] = users(1)
    buy = order(event, user, (2, 1), (1, 3))
    booked = await engine.book(shard, buy)
    assert isinstance(booked, Booked)
    assert (1, 2, False) == (booked.epoch, booked.seq, booked.is_replay)
    assert (Item(2, 1, 990), Item(1, 3, 250)) == booked.items
    again = await engine.book(shard, buy)
    assert isinstance(again, Booked)
    assert booked._replace(is_replay=True, batch=None) == again._replace(batch=None)
    told = await engine.availability(shard, event)
    assert isinstance(told, Availability)
    assert (2, "7", "1") == (told.seq, told.stock["1.available"], told.stock["2.sold"])
    cancel = Own(event, buy.id, user)
    cancelled = await engine.cancel(shard, cancel)
    assert isinstance(cancelled, Applied)
    assert (1, 3, False) == cancelled[:2] + cancelled[3:]
    assert cancelled._replace(is_replay=True) == await engine.cancel(shard, cancel)


async def test_refusals_have_their_fields(engine: Engine, shard: int, event: str) -> None:
    """A refusal names its figures as the Lua header does."""
    one, two = users(2)
    gone = Refused(Status.NOT_ON_SALE, {})
    assert gone == await engine.book(shard, order(event, one))
    assert gone == await engine.availability(shard, event)
    assert Refused(Status.NOT_FOUND, {}) == await engine.cancel(shard, Own(event, "bk", one))
    await publish(engine, shard, event, 2, person_max=3)
    assert Refused(Status.UNKNOWN_TIER, {"line": 1}) == await engine.book(
        shard, order(event, one, (7, 1))
    )
    assert Refused(
        Status.LIMIT_REACHED, {"scope": "person", "max": 3, "taken": 0}
    ) == await engine.book(shard, order(event, one, (1, 4)))
    assert Refused(Status.SOLD_OUT, {"line": 1, "available": 2}) == await engine.book(
        shard, order(event, two, (1, 3))
    )
    other = Publish(event, "other", 0, FAR_MS, 9, (TierStock(1, 1, 1),))
    assert Refused(Status.IDEMPOTENCY_KEY_REUSED, {}) == await engine.publish(shard, other)
    later = new_id("evt")
    await engine.publish(shard, other._replace(event_id=later, opens_at_ms=FAR_MS - 1))
    assert Refused(Status.SALE_NOT_OPEN, {"opens_at_ms": FAR_MS - 1}) == await engine.book(
        shard, order(later, one)
    )


@pytest.mark.parametrize(
    "items",
    [
        (),
        ((1, 0),),
        ((1, -1),),
        ((0, 1),),
        ((1, 1), (1, 1)),
        ((1, 6), (2, 5)),
        ((1, 11),),
        tuple((n, 1) for n in range(1, 12)),
    ],
)
async def test_f21_bad_orders_are_not_sent(
    engine: Engine, redis: Redis, shard: int, event: str, items: tuple[tuple[int, int], ...]
) -> None:
    """F21: an order outside the bounds is a bug of the caller and never reaches Redis."""
    await publish(engine, shard, event, 100, 100)
    before = await snapshot(redis, shard)
    with pytest.raises(BadCommand):
        await engine.book(shard, order(event, "usr")._replace(lines=items))
    assert before == await snapshot(redis, shard)


@pytest.mark.parametrize(
    ("tasks", "capacity", "quantity", "wins"),
    [(400, 100, 1, 100), (300, 1, 1, 1), (200, 50, 3, 16), (40, 100, 2, 40), (500, 499, 1, 499)],
)
async def test_i1_race(
    engine: Engine,
    redis: Redis,
    shard: int,
    event: str,
    tasks: int,
    capacity: int,
    quantity: int,
    wins: int,
) -> None:
    """I1: of many tasks that race for the places of a tier, exactly as many win as fit."""
    await publish(engine, shard, event, capacity)
    replies = await asyncio.gather(
        *(engine.book(shard, order(event, user, (1, quantity))) for user in users(tasks))
    )
    expected = Counter({"Booked": wins, "SOLD_OUT": tasks - wins})
    assert +expected == Counter(map(outcome, replies))
    sold = quantity * wins
    assert {1: Tier(capacity - sold, 0, sold)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)


async def test_i1_race_of_two_processes(
    engine: Engine, start: Start, redis: Redis, shard: int, event: str
) -> None:
    """I1: engines that know nothing of each other sell no place twice, in carts of two tiers."""
    await publish(engine, shard, event, 60, 25)
    other = await start(commands_max=3, in_flight_max=5)
    replies = await asyncio.gather(
        *(
            (engine, other)[n % 2].book(shard, order(event, user, (1, 2), (2, 1)))
            for n, user in enumerate(users(200))
        )
    )
    assert Counter({"Booked": 25, "SOLD_OUT": 175}) == Counter(map(outcome, replies))
    assert {1: Tier(10, 0, 50), 2: Tier(0, 0, 25)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)


async def test_i12_race_of_one_person(engine: Engine, redis: Redis, shard: int, event: str) -> None:
    """I12: one person with many keys at once gets no more than the limit."""
    await publish(engine, shard, event, 1000, person_max=7)
    [user] = users(1)
    replies = await asyncio.gather(
        *(engine.book(shard, order(event, user, (1, 2), key=str(n))) for n in range(50))
    )
    assert Counter({"Booked": 3, "LIMIT_REACHED": 47}) == Counter(map(outcome, replies))
    await check_consistent(redis, shard)


async def test_f37_idem_storm(engine: Engine, redis: Redis, shard: int, event: str) -> None:
    """F37: 100 parallel requests with one key make one booking and get one reply."""
    await publish(engine, shard, event, 1000)
    [user] = users(1)
    replies = await asyncio.gather(
        *(engine.book(shard, order(event, user, (1, 2))) for _ in range(100))
    )
    booked = [reply for reply in replies if isinstance(reply, Booked)]
    assert [False] + [True] * 99 == sorted(reply.is_replay for reply in booked)
    assert 1 == len({reply._replace(is_replay=False, batch=None) for reply in booked})
    altered = order(event, user, (1, 3), fingerprint="f2")
    assert Refused(Status.IDEMPOTENCY_KEY_REUSED, {}) == await engine.book(shard, altered)
    assert {1: Tier(998, 0, 2)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)


async def test_i10_book_and_cancel_race(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """I1, I10: buyers who cancel at once among others who buy leave figures that agree."""
    await publish(engine, shard, event, 20)

    async def buyer(number: int, user: str) -> None:
        reply = await engine.book(shard, order(event, user, (1, 1 + number % 3)))
        if number % 2 and isinstance(reply, Booked):
            cancel = Own(event, order(event, user).id, user)
            await asyncio.gather(*(engine.cancel(shard, cancel) for _ in range(3)))

    await asyncio.gather(*(buyer(n, user) for n, user in enumerate(users(300))))
    await check_consistent(redis, shard)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_f3_cancel_storm(
    proxy: Proxy, start: Start, redis: Redis, shard: int, event: str, seed: int
) -> None:
    """F3: of callers cancelled at random awaits, no other gets a reply that is not its own."""
    rng = random.Random(seed)
    engine = await start(proxy.url, commands_max=9, in_flight_max=4)
    proxy.delay(0.005)
    await publish(engine, shard, event, 100_000, 100_000, 100_000)

    async def caller(number: int, user: str) -> tuple[int, Any]:
        await asyncio.sleep(rng.random() / 20)
        tier_no, quantity = 1 + number % 3, 1 + number % 10
        command = order(event, user, (tier_no, quantity))
        booked = await engine.book(shard, command)
        assert isinstance(booked, Booked)
        assert (Item(tier_no, quantity, 100),) == booked.items
        other = new_id("evt")
        published = Publish(other, "p", 0, FAR_MS, number + 1, (TierStock(number, 1, 1),))
        assert isinstance(await engine.publish(shard, published), Applied)
        told = await engine.availability(shard, other)
        assert isinstance(told, Availability)
        assert str(number) == told.stock["1.capacity"]
        return number, (booked.seq, command.id)

    tasks = [asyncio.create_task(caller(n, user)) for n, user in enumerate(users(500))]
    loop = asyncio.get_running_loop()
    for task in rng.sample(tasks, 250):
        loop.call_later(rng.random() / 10, task.cancel)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [r for r in results if isinstance(r, Exception)]
    assert [] == errors
    entries = {entry.seq: entry.record for entry in await journal(redis, shard)}
    stayed = [result[1] for result in results if isinstance(result, tuple)]
    assert len(stayed) >= 250
    for seq, booking in stayed:
        assert booking == getattr(entries[seq], "booking_id", None)
    await check_consistent(redis, shard)


async def test_f15_script_flush_shuts_the_door(
    valkey: ValkeyServer,
    redis: Redis,
    open_shard: OpenShard,
    shard: int,
    event: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F15, I17: NOSCRIPT shuts the door; the scripts coming back do not open it, a reign does."""
    monkeypatch.setattr(door_module, "LOOK_INTERVAL_S", 0)
    published: list[Reign] = [await open_shard()]
    looked = asyncio.Event()

    async def read_reign(number: int) -> Reign | None:
        if number != shard:
            await asyncio.Event().wait()
        looked.set()
        return published[-1]

    engine = Engine({"0": connect(valkey.url, timeout_ms=TIMEOUT_MS)}, read_reign, shards=[shard])
    engine.start()
    await until_open(engine, shard)
    await publish(engine, shard, event, 100)
    await ask(redis, "SCRIPT FLUSH")
    before = await snapshot(redis, shard)
    replies = await asyncio.gather(
        *(engine.book(shard, order(event, user)) for user in users(5)), return_exceptions=True
    )
    assert [ShardRecovering] * 5 == [type(reply) for reply in replies]
    for name in scripts.NAMES:  # Somebody loads the very same scripts again.
        await ask(redis, "SCRIPT LOAD", scripts.render(name, f"test-{shard}-1"))
    for _ in range(5):
        looked.clear()
        await looked.wait()
        with pytest.raises(ShardRecovering):
            await engine.book(shard, order(event, "usr"))
    assert before == await snapshot(redis, shard)
    published.append(await open_shard(epoch=2))
    await until_open(engine, shard)
    booked = await engine.book(shard, order(event, "usr"))
    assert isinstance(booked, Booked)
    assert 2 == booked.epoch
    await engine.stop(timeout_s=5)


async def until_open(engine: Engine, shard: int) -> None:
    """Wait until the door of *shard* is open."""
    while True:
        try:
            engine.reign(shard)
        except ShardRecovering:
            await asyncio.sleep(0)
        else:
            return


@pytest.mark.parametrize("change", [{"state": "recovering"}, {"epoch": 2}, None], ids=str)
async def test_f13_fence_shuts_the_door(
    engine: Engine, redis: Redis, shard: int, event: str, change: dict[str, Any] | None
) -> None:
    """F13, I17: a shard that is not what the reign says is not sold from, now or later."""
    await publish(engine, shard, event, 100)
    if change is None:
        await ask(redis, "DEL", keys.meta(shard))
    else:
        flat = [word for pair in change.items() for word in pair]
        await ask(redis, "HSET", keys.meta(shard), *flat)
    before = await snapshot(redis, shard)
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(event, "usr"))
    with pytest.raises(ShardRecovering):
        engine.reign(shard)
    for verb in (
        engine.cancel(shard, Own(event, "bk", "usr")),
        engine.availability(shard, event),
        engine.publish(shard, Publish(event, "p", 0, FAR_MS, 1, (TierStock(1, 1, 1),))),
    ):
        with pytest.raises(ShardRecovering):
            await verb
    assert before == await snapshot(redis, shard)


async def test_f2_swallowed_reply_is_unknown_and_ran_once(
    behind_proxy: Engine, proxy: Proxy, redis: Redis, shard: int, event: str
) -> None:
    """F2: a reply that never comes is an unknown outcome; the script ran once, a repeat tells."""
    await publish(behind_proxy, shard, event, 10)
    [user] = users(1)
    proxy.swallows_next = True
    sent = proxy.calls
    with pytest.raises(OutcomeUnknown):
        await behind_proxy.book(shard, order(event, user))
    assert sent + 1 == proxy.calls
    assert proxy.has_swallowed.is_set()
    assert {1: Tier(9, 0, 1)} == await stock(redis, shard, event)
    reply = await behind_proxy.book(shard, order(event, user))
    assert isinstance(reply, Booked)
    assert (True, 2) == (reply.is_replay, reply.seq)
    assert {1: Tier(9, 0, 1)} == await stock(redis, shard, event)
    await check_consistent(redis, shard)


async def test_complaint_1_buyers_of_one_event_do_not_queue(
    start: Start, proxy: Proxy, redis: Redis, shard: int, event: str
) -> None:
    """Complaint 1: 600 buyers of one event are decided in a few calls, not one after the other."""
    engine = await start(proxy.url)
    await publish(engine, shard, event, 600)
    proxy.delay(0.02)
    before = proxy.calls
    replies = await asyncio.gather(*(engine.book(shard, order(event, user)) for user in users(600)))
    assert {Booked} == {type(reply) for reply in replies}
    # Five calls would carry them all; a lock on the event would need 600.
    assert proxy.calls - before <= 20
    await check_consistent(redis, shard)


async def test_f2_f3_late_reply_is_nobody_elses(
    behind_proxy: Engine, proxy: Proxy, redis: Redis, shard: int, event: str
) -> None:
    """F2, F3: a reply that comes after its caller gave up is not given to the next caller."""
    await publish(behind_proxy, shard, event, 10, 10)
    one, two = users(2)
    proxy.delay(2 * SHORT_TIMEOUT_MS / 1000)
    with pytest.raises(OutcomeUnknown):
        await behind_proxy.book(shard, order(event, one, (1, 3)))
    proxy.delay(0)
    reply = None
    for _ in range(20):
        # A busy machine may be slower than so short a timeout: asked again, as a caller would.
        with contextlib.suppress(OutcomeUnknown):
            reply = await behind_proxy.book(shard, order(event, two, (2, 1)))
            break
    assert isinstance(reply, Booked)
    assert (Item(2, 1, 100),) == reply.items
    await check_consistent(redis, shard)


async def test_f2_cut_connection_is_unknown_and_ran_once(
    behind_proxy: Engine, proxy: Proxy, redis: Redis, shard: int, event: str
) -> None:
    """F2: a connection cut before the reply is an unknown outcome, and nothing is sent again."""
    await publish(behind_proxy, shard, event, 10)
    [user] = users(1)
    proxy.swallows_next = True
    sent = proxy.calls
    task = asyncio.create_task(behind_proxy.book(shard, order(event, user)))
    await proxy.has_swallowed.wait()
    proxy.reset()
    with pytest.raises(OutcomeUnknown):
        await task
    assert sent + 1 == proxy.calls
    assert ["published", "booked"] == [
        type(entry.record).__name__.lower() for entry in await journal(redis, shard)
    ]
    await check_consistent(redis, shard)


async def test_f42_paused_server_is_unknown(
    start: Start, redis: Redis, shard: int, event: str
) -> None:
    """F42: a server that stands still is an unknown outcome after the timeout, not a hang."""
    engine = await start(timeout_ms=SHORT_TIMEOUT_MS)
    await publish(engine, shard, event, 10)
    await ask(redis, "CLIENT PAUSE", 60_000, "WRITE")
    try:
        with pytest.raises(OutcomeUnknown):
            await engine.book(shard, order(event, "usr"))
    finally:
        await ask(redis, "CLIENT UNPAUSE")
    reply = await engine.book(shard, order(event, "usr"))
    assert isinstance(reply, Booked)
    assert {1: Tier(9, 0, 1)} == await stock(redis, shard, event)


async def test_overloaded(start: Start, redis: Redis, shard: int, event: str) -> None:
    """When `waiting_max` commands wait, the next is refused at once and changes nothing."""
    engine = await start(waiting_max=20)
    await publish(engine, shard, event, 100)
    replies = await asyncio.gather(
        *(engine.book(shard, order(event, user)) for user in users(30)), return_exceptions=True
    )
    assert Counter({"Booked": 20, "Overloaded": 10}) == Counter(map(outcome, replies))
    assert isinstance(await engine.book(shard, order(event, "usr")), Booked)
    await check_consistent(redis, shard)


async def test_f16_out_of_memory_changes_nothing(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F16: with no memory left a booking is refused before it starts; then sales go on."""
    await publish(engine, shard, event, 10)
    before = await snapshot(redis, shard)
    async with memory_full(redis):
        with pytest.raises(Overloaded):
            await engine.book(shard, order(event, "usr"))
    assert before == await snapshot(redis, shard)
    assert isinstance(await engine.book(shard, order(event, "usr")), Booked)


async def test_f16_cancel_works_out_of_memory(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F16: places can be given back while memory is full, which is how it gets better."""
    await publish(engine, shard, event, 10)
    command = order(event, "usr")
    await engine.book(shard, command)
    async with memory_full(redis):
        reply = await engine.cancel(shard, Own(event, command.id, "usr"))
    assert isinstance(reply, Applied)


async def test_f16_oom_fill(engine: Engine, redis: Redis, shard: int, event: str) -> None:
    """F16, I1: full, Redis sells nothing, and all that gives places back works; then it sells."""
    await publish(engine, shard, event, 4)
    held, overdue = (
        Order(event, new_id("hold"), user, "f1", b"{}", ((1, 1),), ttl_ms=ttl_ms)
        for user, ttl_ms in zip(users(2), (60_000, 1), strict=True)
    )
    assert [True, True] == [
        isinstance(await engine.hold(shard, one), Held) for one in (held, overdue)
    ]
    sold = order(event, "usr_a", (1, 2))
    assert isinstance(await engine.book(shard, sold), Booked)
    async with memory_full(redis):
        for refused in (engine.book(shard, order(event, "usr_b")), engine.hold(shard, held)):
            with pytest.raises(Overloaded):
                await refused
        assert isinstance(await engine.release(shard, Own(event, held.id, held.user_id)), Applied)
        assert isinstance(await engine.cancel(shard, Own(event, sold.id, "usr_a")), Applied)
        sweeper = Sweeper(engine.shards[shard])
        while not await sweeper.sweep():  # noqa: ASYNC110  Redis alone knows when it is overdue.
            await asyncio.sleep(0.001)
    assert {1: Tier(4, 0, 0)} == await stock(redis, shard, event)
    assert isinstance(await engine.book(shard, order(event, "usr_b", (1, 4))), Booked)
    await check_consistent(redis, shard)


async def test_f11_noreplicas_shuts_the_door_until_it_has_passed(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F11: a server that lacks its replicas sells nothing until they are back."""
    await publish(engine, shard, event, 10)
    before = await snapshot(redis, shard)
    await ask(redis, "CONFIG SET", "min-replicas-to-write", "1")
    try:
        with pytest.raises(ShardUnavailable, match="NOREPLICAS"):
            await engine.book(shard, order(event, "usr"))
        with pytest.raises(ShardRecovering):
            await engine.book(shard, order(event, "usr"))
        assert before == await snapshot(redis, shard)
    finally:
        await ask(redis, "CONFIG SET", "min-replicas-to-write", "0")
    while not engine.shards[shard].door.is_open:  # noqa: ASYNC110  It tells nobody.
        await asyncio.sleep(0.01)
    booked = await engine.book(shard, order(event, "usr"))
    assert isinstance(booked, Booked)
    assert 1 == booked.epoch


async def test_f22_script_error_is_an_error_and_keeps_the_door_open(
    engine: Engine, redis: Redis, shard: int, event: str
) -> None:
    """F22: a key of the wrong type fails the command with an error that says nothing else."""
    await publish(engine, shard, event, 10)
    persons = keys.event(shard, event).persons
    kept = await ask(redis, "DUMP", persons)
    await ask(redis, "SET", persons, "planted")
    with pytest.raises(EngineError) as caught:
        await engine.book(shard, order(event, "usr"))
    assert EngineError is type(caught.value)
    await ask(redis, "RESTORE", persons, 0, kept, "REPLACE")
    assert isinstance(await engine.book(shard, order(event, "usr")), Booked)


async def test_f43_flush_in_the_middle(start: Start, redis: Redis, shard: int, event: str) -> None:
    """F43: when scripts vanish among many calls, each caller learns its own outcome, rightly."""
    engine = await start(commands_max=4, in_flight_max=3)
    await publish(engine, shard, event, 1000)
    commands: list[Order] = [order(event, user) for user in users(400)]
    flushing = asyncio.Event()

    async def buy(number: int, command: Order) -> Booked | Refused:
        reply = await engine.book(shard, command)
        if number == 100:
            flushing.set()
        return reply

    async def flush() -> None:
        await flushing.wait()
        await ask(redis, "SCRIPT FLUSH")

    results = await asyncio.gather(
        *(buy(n, command) for n, command in enumerate(commands)), flush(), return_exceptions=True
    )
    outcomes = results[:-1]
    acked = {
        command.id
        for command, result in zip(commands, outcomes, strict=True)
        if isinstance(result, Booked)
    }
    counts = Counter(map(outcome, outcomes))
    assert {"Booked", "ShardRecovering"} == set(counts)
    records = [entry.record for entry in (await journal(redis, shard))[1:]]
    assert acked == {getattr(record, "booking_id", None) for record in records}
    await check_consistent(redis, shard)


async def test_stop_finishes_what_is_under_way(
    start: Start, redis: Redis, shard: int, event: str
) -> None:
    """A stopping engine answers the commands that it has taken."""
    engine = await start(commands_max=2)
    await publish(engine, shard, event, 100)
    tasks = [asyncio.create_task(engine.book(shard, order(event, user))) for user in users(20)]
    await asyncio.sleep(0)
    await engine.stop(timeout_s=5)
    assert ["Booked"] * 20 == [outcome(task.result()) for task in tasks]
    await check_consistent(redis, shard)
