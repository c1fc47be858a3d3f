"""Claims of a shard: of any number of coordinators at most one gets on, in either store (F41)."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from evently.embedded import PostgresServer
from reconciler.recover import keeper
from reconciler.recover import lease as leases
from reconciler.recover.loader import ClaimLost, change_door
from store import redo, reigns
from store.pool import connect
from tests.checks import ask, servers_of
from tests.conftest import TIMEOUT_MS
from usecases.wiring import reign_reader

RIVALS = 5


async def test_f41_one_claim_of_what_was_seen(database: asyncpg.Pool, shard: int) -> None:
    """F41: of claims that rest on the same look at the row, one succeeds; under its lease none."""
    first = await reigns.claim(database, shard, seen=None, holder="first", nonce="n")
    seen = await reigns.read(database, shard)

    assert 1 == first
    assert await reigns.claim(database, shard, seen=seen, holder="hasty", nonce="n") is None
    assert await reigns.publish_open(
        database, shard, epoch=1, holder="first", redis_run_id="r", redis_replid="h"
    )
    seen = await reigns.read(database, shard)
    claims = await asyncio.gather(
        *(
            reigns.claim(database, shard, seen=seen, holder=f"rival {number}", nonce="n")
            for number in range(RIVALS)
        )
    )
    assert [2] == [claim for claim in claims if claim is not None]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases last so long that nothing here waits for their end."""
    monkeypatch.setattr(reigns, "CLAIM_LEASE", dt.timedelta(hours=1))


@pytest.mark.parametrize("is_first", [True, False])
async def test_f53_a_claim_ends_with_its_session(
    database: asyncpg.Pool, postgres: PostgresServer, shard: int, endless: None, is_first: bool
) -> None:
    """F53: while the claimant's session lives, nobody has its claim; when it is gone, at once."""
    if not is_first:
        await opened(database, shard)
    seen = await reigns.read(database, shard)
    owner = await connect(postgres.url, timeout_ms=TIMEOUT_MS)
    holder = reigns.make_holder("test")
    assert 1 + (not is_first) == await reigns.claim(
        owner, shard, seen=seen, holder=holder, nonce="n"
    )
    seen = await reigns.read(database, shard)
    assert seen is not None
    for _ in range(3):
        assert await reigns.claim(database, shard, seen=seen, holder="rival", nonce="n") is None
    assert await reigns.renew(database, shard, epoch=seen.epoch, holder=holder)

    owner.terminate()
    rival = await connect(postgres.url, timeout_ms=TIMEOUT_MS)
    heir = reigns.make_holder("test")
    async with asyncio.timeout(20):  # PostgreSQL takes a moment to notice that a client is gone.
        while (  # noqa: ASYNC110
            epoch := await reigns.claim(rival, shard, seen=seen, holder=heir, nonce="m")
        ) is None:
            await asyncio.sleep(0.01)
    assert seen.epoch + 1 == epoch
    # The rival's own claim is held as well, and the dead one's is over for good.
    again = await reigns.read(database, shard)
    assert await reigns.claim(database, shard, seen=again, holder="third", nonce="n") is None
    assert not await reigns.renew(database, shard, epoch=seen.epoch, holder=holder)
    await rival.close()


async def test_f53_a_claim_without_a_session_lasts(
    database: asyncpg.Pool, shard: int, endless: None
) -> None:
    """F53: a claim of older code, which says nothing of its session, is over with its lease."""
    await reigns.claim(database, shard, seen=None, holder="recover-0", nonce="n")
    seen = await reigns.read(database, shard)
    assert await reigns.claim(database, shard, seen=seen, holder="rival", nonce="n") is None
    await database.execute(
        "UPDATE shard_epoch SET lease_until = now() - interval '1 second' WHERE shard = $1", shard
    )
    assert 2 == await reigns.claim(database, shard, seen=seen, holder="rival", nonce="n")


async def test_f53_a_frozen_claimant_keeps_its_session_and_loses_its_claim(
    database: asyncpg.Pool, postgres: PostgresServer, shard: int
) -> None:
    """F41, F53: who lives and does not renew is overtaken when its lease is over, as ever."""
    owner = await connect(postgres.url, timeout_ms=TIMEOUT_MS)
    await reigns.claim(owner, shard, seen=None, holder=reigns.make_holder("test"), nonce="n")
    seen = await reigns.read(database, shard)
    await database.execute(
        "UPDATE shard_epoch SET lease_until = now() - interval '1 second' WHERE shard = $1", shard
    )
    assert 2 == await reigns.claim(database, shard, seen=seen, holder="rival", nonce="n")
    await owner.close()


async def test_f52_a_shard_is_tried_for_quickly_at_first(
    database: asyncpg.Pool, postgres: PostgresServer, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: a server that died is likely to be back at once; one that stays away is not pestered."""
    await opened(database, shard)
    waits: list[float] = []

    async def fail(*_: Any) -> bool:
        return False

    async def pause(stopping: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > keeper.QUICK_RETRIES_MAX + 1:
            stopping.set()
        await asyncio.sleep(0)

    monkeypatch.setattr(keeper, "_try", fail)
    monkeypatch.setattr(keeper, "_pause", pause)
    servers = servers_of("unix:///nowhere", postgres.url)
    assert 0 == await keeper.run(servers, only=shard, watch=True)
    quick = [keeper.RETRY_FIRST_S] * keeper.QUICK_RETRIES_MAX
    assert [*quick, keeper.RETRY_INTERVAL_S] == waits[: keeper.QUICK_RETRIES_MAX + 1]


async def test_f50_no_shard_is_left_without_anybody(
    database: asyncpg.Pool, postgres: PostgresServer, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F50: a coordinator that meets what nobody foresaw ends, and is started again, loudly."""
    await opened(database, shard)

    async def fail(*_: Any) -> bool:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(keeper, "_try", fail)
    servers = servers_of("unix:///nowhere", postgres.url)
    with pytest.raises(RuntimeError, match="nobody foresaw"):
        async with asyncio.timeout(20):
            await keeper.run(servers, only=shard, watch=True)


async def opened(database: asyncpg.Pool, shard: int) -> None:
    """Open the shard under epoch 1."""
    await reigns.claim(database, shard, seen=None, holder="first", nonce="n")
    await reigns.publish_open(
        database, shard, epoch=1, holder="first", redis_run_id="r", redis_replid="h"
    )


async def test_f41_claims_in_redis_only_grow(redis: Redis, shard: int) -> None:
    """F41: a coordinator that wakes up late changes nothing of what a later one has fenced."""
    meta = keys.meta(shard)
    await ask(redis, "HSET", meta, "epoch", 4, "state", "open", "seq", 0)
    await change_door(redis, shard, 6, "fence", {})
    before = await ask(redis, "HGETALL", meta)

    late: dict[str, Any] = {"state": "open", "epoch": 5}
    for verb, fields in (("fence", {}), ("set", late)):
        with pytest.raises(ClaimLost):
            await change_door(redis, shard, 5, verb, fields)
    assert before == await ask(redis, "HGETALL", meta)
    await change_door(redis, shard, 6, "set", {"state": "open", "epoch": 6})
    assert b"6" == await ask(redis, "HGET", meta, "epoch")


async def test_f13_only_what_still_stands_is_opened(redis: Redis, shard: int) -> None:
    """F5, F13: a Redis that has lost the claim, or rows behind it, is not opened by its owner."""
    opening: dict[str, Any] = {"state": "open", "epoch": 6}
    with pytest.raises(ClaimLost, match="has lost what"):
        await change_door(redis, shard, 6, "open", opening)
    await change_door(redis, shard, 6, "begin", {"state": "rebuilding"})
    with pytest.raises(ClaimLost, match="has lost what"):
        await change_door(redis, shard, 6, "open", opening)
    await change_door(redis, shard, 6, "set", {"loaded": 6})
    await change_door(redis, shard, 6, "open", opening)
    assert b"open" == await ask(redis, "HGET", keys.meta(shard), "state")

    # A fenced shard has nothing to load, but its claim must stand as well.
    await change_door(redis, shard, 7, "fence", {})
    await ask(redis, "DEL", keys.meta(shard))
    for verb in ("set", "open"):
        with pytest.raises(ClaimLost, match="has lost what"):
            await change_door(redis, shard, 7, verb, opening)
    assert not await ask(redis, "EXISTS", keys.meta(shard))


async def test_f41_a_claim_is_renewed_though_postgresql_breaks_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F41: PostgreSQL goes in mid-prepare, for which asyncpg has an error of its own."""
    tries, enough = 0, asyncio.Event()

    async def break_off(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            enough.set()
        raise asyncpg.InternalClientError("cannot switch to state 11")

    monkeypatch.setattr(leases, "RENEW_INTERVAL_S", 0)
    monkeypatch.setattr(leases, "connect", break_off)
    async with leases.Lease(0, 1, "me", database_url="postgresql://", timeout_ms=1) as claim:
        async with asyncio.timeout(10):
            await enough.wait()
        claim.check()


async def test_f70_no_door_while_records_wait(database: asyncpg.Pool, shard: int) -> None:
    """F70: nobody acts under a reign that does not know yet what a worker remembers."""
    await opened(database, shard)
    read = reign_reader(database)
    assert await read(shard) is not None
    row = redo.Row(1, 7, "a record")
    await redo.write(database, shard=shard, worker="w", rows=[row])
    assert await read(shard) is None
    await redo.forget(database, shard, [row])
    assert await read(shard) is not None
