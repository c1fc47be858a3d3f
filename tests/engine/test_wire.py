"""The wire: replies find their calls, and a loss or a silence fails all that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.redis_client import connect
from engine.wire import Wire
from evently.embedded import ValkeyServer

CALLS = 500


@pytest.fixture
async def wire(valkey: ValkeyServer) -> AsyncIterator[Wire]:
    """Return a wire to the tests' server."""
    client = connect(valkey.url, timeout_ms=10_000)
    wire = Wire(client)
    yield wire
    wire.close()
    await client.aclose()


async def test_replies_find_their_calls(wire: Wire) -> None:
    """Many calls at once, errors and nested replies among them, each get their own reply."""

    async def one(number: int) -> object:
        match number % 3:
            case 0:
                return await wire.call("ECHO", number)
            case 1:
                return await wire.call("EVAL", "return {1, {ARGV[1]}}", 0, number)
            case _:
                with pytest.raises(ResponseError, match=f"no {number}$"):
                    await wire.call(
                        "EVAL", "return redis.error_reply('ERR no ' .. ARGV[1])", 0, number
                    )
                return None

    replies = await asyncio.gather(*(one(number) for number in range(CALLS)))

    for number, reply in enumerate(replies):
        text = str(number).encode()
        assert [text, [1, [text]], None][number % 3] == reply


async def test_f15_errors_have_their_classes(wire: Wire) -> None:
    """F15: what the fence must tell apart comes as the class that says it."""
    with pytest.raises(NoScriptError):
        await wire.call("EVALSHA", "0" * 40, 0)


async def test_f3_cancelled_caller_leaves_its_place(wire: Wire) -> None:
    """F3: the reply of a caller that is gone is not taken for the next one's."""
    await wire.call("PING")
    gone = asyncio.create_task(wire.call("ECHO", "gone"))
    kept = asyncio.create_task(wire.call("ECHO", "kept"))
    await asyncio.sleep(0)
    gone.cancel()
    assert b"kept" == await kept


async def test_f2_lost_connection_fails_all_under_way(wire: Wire, redis: Redis) -> None:
    """F2: when the connection ends, every call under way says so, and the next one connects."""
    own = await wire.call("CLIENT", "ID")
    waiting = [asyncio.create_task(wire.call("BLPOP", f"nothing-{own}", 0)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await redis.client_kill_filter(_id=own)
    for one in waiting:
        with pytest.raises(RedisConnectionError):
            await one
    assert b"PONG" == await wire.call("PING")


async def test_f42_silence_fails_all_under_way(valkey: ValkeyServer) -> None:
    """F42: a reply that is late fails its call and those behind it; none is sent again."""
    client = connect(valkey.url, timeout_ms=200)
    wire = Wire(client)
    first = asyncio.create_task(wire.call("BLPOP", "silence-of-a-test", 0))
    second = asyncio.create_task(wire.call("INCR", "silence-of-a-test-2"))
    for one in (first, second):
        with pytest.raises(RedisTimeoutError):
            await one
    assert int(await wire.call("GET", "silence-of-a-test-2") or 0) <= 1
    wire.close()
    await client.aclose()
