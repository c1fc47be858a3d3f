"""Faults of homes: shards that are added and moved while they sell, and lists that differ (I20)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from evently.embedded import process as processes

if TYPE_CHECKING:
    from loadtests.chaos.nemesis import Fault, Nemesis

#: Attempts to bring a shard back, each of which other faults may disturb.
MOVES_MAX = 3
MOVE_PAUSE_S = 1.0
#: Time that Python takes to start; then the processes with another list are at work.
START_S = 3.0


async def add_shard(nemesis: Nemesis, _: Fault) -> None:
    """Add a shard while the others sell."""
    await nemesis.command("evently", "shards", "add")


async def move_shard(nemesis: Nemesis, fault: Fault) -> None:
    """Move a shard to the other server while it sells, and back; a third of the movers die."""
    site = nemesis.site
    homes = sorted((await site.homes()).items())
    shard, home = homes[fault.number % len(homes)]
    other = next(name for name in site.names if name != home)
    dies_after_s = fault.number % 40 / 20 if fault.number % 3 == 0 else 0.0
    await _move(nemesis, shard, other, dies_after_s=dies_after_s)
    await asyncio.sleep(fault.duration_s)
    for _ in range(MOVES_MAX):
        if await _move(nemesis, shard, home):
            return
        await asyncio.sleep(MOVE_PAUSE_S)


async def _move(nemesis: Nemesis, shard: int, to: str, *, dies_after_s: float = 0.0) -> bool:
    words = ("evently", "shards", "move", str(shard), "--to", to)
    return await nemesis.command(*words, dies_after_s=dies_after_s)


async def other_list(nemesis: Nemesis, fault: Fault) -> None:
    """Run a coordinator and an API process whose list lacks a server, or has another order."""
    urls = nemesis.site.settings.redis_servers
    names = list(reversed(urls))
    if fault.target == "without":
        names.remove(names[fault.number % len(names)])
    text = ",".join(f"{name}={urls[name]}" for name in names)
    extras = [
        nemesis.spawn(*words, redis_url=text)
        for words in (("reconciler", "recover", "--watch"), ("api",))
    ]
    await asyncio.sleep(START_S + fault.duration_s)
    for extra in extras:
        processes.kill(extra)
