"""Moving a shard: it leaves its home, which is fenced or declared gone, and opens elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from reconciler.recover.coordinator import coordinator_of, open_again
from reconciler.recover.decide import CannotOpen
from reconciler.servers import Servers
from store import reigns

#: How often a shard that another recovery has is tried for.
LEAVE_TRIES_MAX = 40
LEAVE_PAUSE_S = 0.25


async def move(
    servers: Servers, shard: int, to: str, *, said_gone: str, tell: Callable[[str], None]
) -> int:
    """
    Let a shard live on another server (I20, I21). Its sales pause until it is loaded there.

    Idempotency: a shard that is there already is opened there; so a move that was cut off is ended
    by the same command, or by any coordinator.

    Args:
        to: Name of the new home.

        said_gone: See `Coordinator.leave`.

        tell: Takes what is done.

    Returns:
        The epoch under which it is open at its new home.

    Raises:
        CannotOpen: it could not move, or not be opened; the message says where it stands.
        NoShard, NoServer: there is no such shard or server.
        RedisError, OSError: a server does not answer.
    """
    async with servers.database() as database, servers.server(to) as target:
        # Before anything is shut: what cannot be reached is no place to move to.
        await target.ping()
        home = await reigns.home_of(database, shard, list(servers.redis_servers))
        if home != to:
            async with _source(servers, home, target, said_gone=said_gone) as source:
                coordinator = coordinator_of(servers, shard, source, database, home=home)
                for _ in range(LEAVE_TRIES_MAX):
                    epoch = await coordinator.leave(to, said_gone=said_gone)
                    if epoch is not None:
                        break
                    await asyncio.sleep(LEAVE_PAUSE_S)
                else:
                    raise CannotOpen(f"another recovery has shard {shard}, and it stays on {home}")
            tell(
                f"shard {shard}: shut on {home}, and all it had is in PostgreSQL; it lives on {to}"
            )
        opened = await open_again(servers, shard, target, database)
        if opened is None:
            raise CannotOpen(f"shard {shard} lives on {to} and is not open there yet")
        tell(f"shard {shard}: open on {to} under epoch {opened}")
        return opened


@contextlib.asynccontextmanager
async def _source(
    servers: Servers, home: str, target: Redis, *, said_gone: str
) -> AsyncIterator[Redis]:
    """
    Open a client of the old home; one that is gone is not asked, and the target's stands for it.

    Raises:
        CannotOpen: it was said to be gone, and answers.
    """
    if not said_gone:
        async with servers.server(home) as source:
            yield source
        return
    if home in servers.redis_servers:
        async with servers.server(home) as source:
            with contextlib.suppress(RedisError, OSError):
                await source.ping()
                raise CannotOpen(f"server {home} answers, so it is not gone: it can be fenced")
    yield target
