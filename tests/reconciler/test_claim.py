"""Claims of a shard: of any number of coordinators at most one gets on, in either store (F41)."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from reconciler.recover import lease as leases
from reconciler.recover.loader import ClaimLost, change_door
from store import reigns
from tests.checks import ask

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
