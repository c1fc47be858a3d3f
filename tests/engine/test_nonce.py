"""The first lock of the fence: scripts of another reign are other scripts."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from engine import keys, scripts
from tests.checks import ask, snapshot
from tests.conftest import OpenShard


async def test_f10_f12_redis_of_an_old_reign_does_not_know_the_new_scripts(
    redis: Redis, open_shard: OpenShard, shard: int
) -> None:
    """F10, F12: even where epoch and state look right, a server with old scripts sells nothing."""
    old = await open_shard(epoch=1)
    # What a stale replica may hold: the keys of the new reign, the scripts of the old one.
    await ask(redis, "HSET", keys.meta(shard), "epoch", 2)
    new = scripts.shas(f"never loaded, {shard}")
    before = await snapshot(redis, shard)
    words = (1, keys.meta(shard), 2)

    for name in scripts.NAMES:
        with pytest.raises(NoScriptError):
            await ask(redis, "EVALSHA", new[name], *words)
    assert before == await snapshot(redis, shard)
    assert set(old.script_shas.values()).isdisjoint(new.values())
