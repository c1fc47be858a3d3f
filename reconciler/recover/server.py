"""The server of a shard: which process it is, and whether it can keep a booking."""

from __future__ import annotations

import contextlib
import math
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import acl, guard, keys, porter
from engine.durability import Durability
from reconciler.recover.decide import CannotOpen

#: How often an open shard's server is looked at anew: settings and rights may change under it.
GUARD_INTERVAL_S = 5.0


class Server:
    """A shard's master, as its coordinator judges it."""

    def __init__(self, shard: int, redis: Redis, durability: Durability) -> None:
        self._shard = shard
        self._redis = redis
        self._durability: Durability = durability
        self._looked_at_s = -math.inf

    async def require_safe(self, *, every_s: float = 0) -> None:
        """
        Shut a shard whose Redis cannot keep a booking, or lets a role do less than it must.

        Args:
            every_s: A look that is younger is good enough.

        Raises:
            CannotOpen: so it is; the message says what to set.
        """
        if time.monotonic() - self._looked_at_s < every_s:
            return
        server = await porter.examine_server(self._redis, users=True)
        findings = [*guard.judge(server, self._durability), *await acl.drift(self._redis)]
        wrong = [finding for finding in findings if finding.refuses]
        self._looked_at_s = time.monotonic()
        if not wrong:
            return
        with contextlib.suppress(RedisError):  # A server that takes no writes sells nothing.
            if await self._redis.exists(keys.meta(self._shard)):
                await self._redis.hset(keys.meta(self._shard), "state", "recovering")
        raise CannotOpen(str(porter.UnsafeServer(wrong)))

    async def identity(self) -> tuple[str, str]:
        """Return the run id and the replication history of the server as it is now."""
        server = await porter.examine_server(self._redis)
        return server.run_id, server.replid

    async def require(self, identity: tuple[str, str]) -> None:
        """Make sure that the server is the one that was fenced."""
        if await self.identity() != identity:
            raise CannotOpen("Redis restarted, or changed its history, during recovery")
