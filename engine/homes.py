"""
Homes: the Redis servers by name, and which of them a shard lives on (I20).

PostgreSQL says where a shard lives, under the coordinator's claim, and a reign carries it. A
process whose settings lack the name keeps that shard's door shut: it never guesses a server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from redis.asyncio import ConnectionPool, Redis

from engine.wire import Wire

#: Name of a server that was given none, and home of the shards of who has one server alone.
ONLY_SERVER = "0"


@dataclass(slots=True)
class Home:
    """One server, as a process reaches it."""

    #: For plain reads.
    client: Redis
    #: Carries the scripts' calls.
    wire: Wire
    #: Further clients of it.
    others: list[Redis] = field(default_factory=list)
    #: The process that the last reign was opened at; empty if none was.
    _run_id: str = ""
    _closing: asyncio.Task[object] | None = None

    def lead_to(self, run_id: str) -> None:
        """
        Hear which process a reign was opened at. If that is another one than before, connections
        end: who had the name may live on, say as a replica, and would be asked for ever.
        """
        before, self._run_id = self._run_id, run_id
        if before in {"", run_id} or not run_id:
            return
        self.wire.hang_up()
        pools = [client.connection_pool for client in (self.client, *self.others)]
        self._closing = asyncio.get_running_loop().create_task(_disconnect(pools))


async def _disconnect(pools: list[ConnectionPool]) -> None:
    for pool in pools:
        await pool.disconnect()


class Published(NamedTuple):
    """What PostgreSQL says of one of the shards that there are."""

    shard: int
    #: 0 while nobody has opened it.
    epoch: int
    is_open: bool
    home: str
    #: Whether it takes only events that are put there by hand.
    is_reserved: bool
