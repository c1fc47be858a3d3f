"""Walks through what happens to servers: one is promoted, a shard moves, one is gone for good."""

from __future__ import annotations

import asyncio
from typing import Any

from loadtests.runbooks.scene import Scene


async def failover(scene: Scene) -> None:
    """A replica takes the place of its primary, which is killed."""
    primary, replica = scene.own_servers
    async with scene.redis("b") as redis:
        await redis.replicaof("127.0.0.1", primary.port)

        async def follows() -> bool:
            found: Any = await redis.info("replication")
            return bool(found["master_link_status"] == "up")

        await scene.until("the replica follows", follows)
        await scene.drain()
        await scene.sell(30)
        primary.kill()
        await redis.replicaof("NO", "ONE")
    address = scene.folder / "a.sock"
    address.unlink()
    address.symlink_to(replica.socket_path)
    await scene.judge()


async def move(scene: Scene) -> None:
    """A shard goes to another server while people buy."""
    scene.values["TO"] = "b"
    buying = asyncio.create_task(scene.sell(60))
    await scene.do_all()
    await buying
    await scene.judge()


async def shards_add(scene: Scene) -> None:
    """One more shard; what is sold goes on."""
    await scene.do_all()

    async def is_open() -> bool:
        async with scene.database() as database:
            rows = await database.fetch("SELECT shard FROM shard_epoch WHERE state = 'open'")
        return len(rows) == 2

    await scene.until("the new shard is open", is_open)
    await scene.judge()


async def server_gone(scene: Scene) -> None:
    """The server that a shard lives on is switched off for good."""
    scene.values |= {"TO": "b", "WHY": "its disk was taken out"}
    await scene.sell(20)
    scene.own_servers[0].kill()
    await scene.judge()
