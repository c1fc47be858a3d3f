"""The order of the persister's steps: Redis is told what PostgreSQL has, and never before."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from engine.engine import Engine
from persister.persister import Persister
from tests.checks import ask
from tests.persister import faults
from tests.persister.test_persister import running, sell

ATTEMPTS = 3


async def test_f25_f30_nothing_is_noted_before_its_commit(
    persister: Persister, engine: Engine, redis: Redis, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25, F30: as long as no transaction commits, Redis is not told that it may trim."""
    await sell(engine, shard)
    attempts = 0

    async def fail(point: str, _: asyncpg.Connection) -> None:
        nonlocal attempts
        if point == "before commit":
            attempts += 1
            raise ConnectionResetError(point)

    faults.install(monkeypatch, fail)
    monkeypatch.setattr("persister.persister.BACK_OFF_S_MIN", 0.001)
    monkeypatch.setattr("persister.persister.BACK_OFF_S_MAX", 0.002)
    async with running(persister) as task:
        while attempts < ATTEMPTS and not task.done():  # noqa: ASYNC110  A hook tells nobody.
            await asyncio.sleep(0)

    assert b"0" == await ask(redis, "HGET", keys.meta(shard), "persisted_seq")
