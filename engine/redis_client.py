"""
How Evently connects to Redis: no silent retries, bounded waits, plain replies.

redis-py re-sends a timed-out command ten times by default, which would run a booking script
eleven times. Here a command is sent once; whoever sent it decides what a lost answer means.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str, *, timeout_ms: int | None, connections_max: int = 8) -> Redis:
    """
    Make a client; nothing is opened before the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

        timeout_ms: Longest wait for one answer, in ms; None for a client that blocks on purpose.

        connections_max: Connections at most; a further command waits for one.
    """
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s or 5,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "evently",
        "decode_responses": False,
    }
    pool = BlockingConnectionPool.from_url(
        url, max_connections=connections_max, timeout=timeout_s or 5, **options
    )
    return Redis.from_pool(pool)
