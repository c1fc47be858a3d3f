"""A coordinator without PostgreSQL says so once, in the right words, and once when it is over."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
import structlog
from redis.exceptions import ConnectionError as RedisGone

from engine import keys
from engine.watcher import Watcher
from reconciler import servers as module
from reconciler.recover import keeper
from reconciler.recover.decide import CannotOpen
from store.pool import connect
from tests.checks import ask
from tests.reconciler.conftest import BoxOffice


class Switch:
    """Stands between a coordinator and PostgreSQL, which it can take away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connect = connect
        self._made: list[asyncpg.Connection] = []
        self._is_off = False
        monkeypatch.setattr(module, "connect_database", self.connect)

    async def connect(self, url: str, *, timeout_ms: int) -> asyncpg.Connection:
        """Connect, unless PostgreSQL is away."""
        if self._is_off:
            raise ConnectionRefusedError("nobody listens")
        self._made.append(await self._connect(url, timeout_ms=timeout_ms))
        return self._made[-1]

    def off(self) -> None:
        """Let PostgreSQL be gone, and all connections with it."""
        self._is_off = True
        for connection in self._made:
            connection.terminate()

    def on(self) -> None:
        """Let it be back."""
        self._is_off = False


async def until_logged(logs: list[Any], action: str) -> None:
    """Wait for a line."""
    async with asyncio.timeout(20):
        while not any(line["action"] == action for line in logs):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_f24_postgresql_away_is_said_once(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24: seconds without PostgreSQL are one warning that sales go on, and one word at the end."""
    await ask(office.redis, "HSET", keys.meta(office.shard), "layout", keys.LAYOUT_VERSION)
    await office.add_event()
    await office.drain()
    switch = Switch(monkeypatch)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(keeper.run(office.servers, only=office.shard, watch=True))
        await until_logged(logs, "recover_open")
        await asyncio.sleep(0.5)
        logs.clear()
        switch.off()
        await asyncio.sleep(3)
        assert ["database_away"] == [line["action"] for line in logs]
        assert "warning" == logs[0]["log_level"]
        assert "open shards sell on" in logs[0]["event"]
        switch.on()
        await until_logged(logs, "database_back")
        await asyncio.sleep(1.5)
        assert ["database_away", "database_back"] == [line["action"] for line in logs]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_f24_a_watcher_says_it_once() -> None:
    """F24: refused, then starting up, then silent: one warning that sales go on, one word after."""
    errors: list[Exception | None] = [OSError("x"), TimeoutError(), ValueError("y"), None, None]

    async def read() -> list[Any]:
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error
        return []

    watcher = Watcher(read, lambda *_: None)
    with structlog.testing.capture_logs() as logs:
        watcher.start()
        async with asyncio.timeout(20):
            while errors:
                watcher.wake()
                await asyncio.sleep(0.01)
        await watcher.close()
    assert ["watch_shards", "watch_shards_again"] == [line["action"] for line in logs]


def test_a_shut_shard_is_said_once_for_each_reason() -> None:
    """What keeps one shard shut is told when it begins, becomes another, and ends."""
    voice = keeper._Voice()
    frozen = CannotOpen("shard 3 is frozen: 2 violations are left, such as x: y")
    with structlog.testing.capture_logs() as logs:
        for error in [RedisGone("refused")] * 9 + [frozen] * 9 + [ConnectionRefusedError()] * 9:
            voice.cannot_open(3, error)
        voice.has_found()
        voice.is_well(3)
        voice.has_found()
        voice.is_well(3)
    assert [
        ("recover_failed", "error"),
        ("recover_failed", "error"),
        ("database_away", "warning"),
        ("recover_well", "info"),
        ("database_back", "info"),
    ] == [(line["action"], line["log_level"]) for line in logs]
    assert "repair --apply --shard 3" in logs[1]["do"]
