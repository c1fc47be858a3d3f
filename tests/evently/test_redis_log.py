"""`evently redis-log`: a damaged log is found, cut after a copy was made, and written anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from evently.embedded import ServerError, ValkeyServer
from evently.redis_log import examine, rewrite
from evently.settings import Settings
from loadtests.harm import newest_log


def write(server: ValkeyServer, count: int) -> None:
    """Set so many keys."""
    with redis.Redis.from_url(server.url) as client:
        for number in range(count):
            client.set(f"key-{number}", "value")


def test_f8_a_damaged_log_is_cut(folder: Path) -> None:
    """F8: damage in the middle is found; with `fix` the server starts with what came before it."""
    server = ValkeyServer(folder / "redis")
    server.start()
    write(server, 100)
    server.kill()
    assert examine(folder, fix=False)[0]
    log = newest_log(folder / "redis")
    raw = bytearray(log.read_bytes())
    raw[raw.index(b"\r\n$", len(raw) // 2) + 2] = ord("?")
    log.write_bytes(raw)
    assert not examine(folder, fix=False)[0]
    assert bytes(raw) == log.read_bytes()

    is_whole, text = examine(folder, fix=True)

    assert is_whole, text
    [copy] = (folder / "redis").glob("appendonlydir.before-*")
    assert bytes(raw) == (copy / log.name).read_bytes()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert 0 < client.dbsize() < 100
    server.stop()


def test_a_log_in_use_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server runs on it, or where there is none, nothing is touched."""
    monkeypatch.setattr("evently.embedded.lock.ACQUIRE_TIMEOUT_S", 0.1)
    with pytest.raises(ServerError, match="there is no log"):
        examine(folder, fix=True)
    server = ValkeyServer(folder / "redis")
    server.start()
    try:
        with pytest.raises(ServerError, match="is in use by process"):
            examine(folder, fix=True)
    finally:
        server.stop()


async def test_f8_a_log_cut_while_it_ran_is_written_anew(folder: Path) -> None:
    """F8: after `rewrite` a restart finds everything."""
    server = ValkeyServer(folder / "redis")
    server.start()
    write(server, 100)
    log = newest_log(folder / "redis")
    os.truncate(log, log.stat().st_size - 700)
    assert ["0"] == await rewrite(Settings(redis_url=server.url))
    server.kill()
    assert examine(folder, fix=False)[0]
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert 100 == client.dbsize()
    server.stop()
