"""The client that all but the hot path use sends a command once, whatever comes back."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.redis_client import connect
from evently.embedded import ValkeyServer
from loadtests.chaos.proxy import Proxy, Trouble
from tests.conftest import TIMEOUT_MS

SHORT_TIMEOUT_MS = 300


async def test_f2_a_lost_reply_is_not_asked_for_again(valkey: ValkeyServer, shard: int) -> None:
    """F2: where the reply is swallowed, the command ran once and its sender hears of an error."""
    path = valkey.socket_path.with_name(f"once-{shard}")
    proxy = Proxy(path, valkey.socket_path)
    await proxy.start()
    cut = connect(f"unix://{path}", timeout_ms=SHORT_TIMEOUT_MS)
    direct = connect(valkey.url, timeout_ms=TIMEOUT_MS)
    name = f"once:{shard}"
    await cut.ping()
    # The command arrives, then the link breaks: the next one would get through.
    proxy.trouble(request=Trouble(cut_at=b"INCR", cut_delivers=True), cuts=1)

    with pytest.raises((RedisConnectionError, RedisTimeoutError)):
        await cut.incr(name)
    assert b"1" == await direct.get(name)
    await cut.aclose()
    await direct.aclose()
    await proxy.stop()
