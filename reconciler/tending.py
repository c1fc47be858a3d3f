"""Tending all shards that there are, each in a task of its own, also those that are added."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

#: Pause between two looks for shards that were added, in seconds.
FIND_INTERVAL_S = 2.0


async def tend_all(
    find: Callable[[], Awaitable[Sequence[int] | None]],
    tend: Callable[[int], Awaitable[bool]],
    stopping: asyncio.Event,
    *,
    once: bool,
) -> bool:
    """
    Tend shards until *stopping*; with *once*, those that there are now, to their end.

    Args:
        find: Returns their numbers; None if they could not be asked for, which it has told.

        tend: Tends one until *stopping*, or to its end; tells whether it could. What it raises is a
            bug, and ends all: the process is started anew.

    Returns:
        Whether shards were found, and each was tended to its end.
    """
    tended: dict[int, asyncio.Task[bool]] = {}
    while True:
        for shard in await find() or ():
            if shard not in tended:
                tended[shard] = asyncio.create_task(_run(tend, shard))
        if once or stopping.is_set():
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FIND_INTERVAL_S)
        for task in tended.values():
            if task.done():
                task.result()
    done = await asyncio.gather(*tended.values())
    return bool(done) and all(done)


async def _run(tend: Callable[[int], Awaitable[bool]], shard: int) -> bool:
    return await tend(shard)
