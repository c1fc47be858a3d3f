"""Tasks that run beside the rest, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

#: From one cancelling of a task that goes on to the next, in seconds.
AGAIN_S = 0.2


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """
    Cancel tasks and wait until they have ended; None stands for one that never began.

    Once is not enough: a task may swallow it and go on for ever. Before Python 3.12
    `asyncio.wait_for` does where its wait is just over (python/cpython#86296), and redis-py while
    it connects. What a task raises is its own matter: asyncio's log tells of it.
    """
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
