"""Tasks that run beside the rest, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

log = structlog.get_logger()

#: From one cancelling of a task that goes on to the next, in seconds.
AGAIN_S = 0.2


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """
    Cancel tasks and wait until they have ended; None stands for one that never began.

    Once is not enough: a task may swallow it and go on for ever. Before Python 3.12
    `asyncio.wait_for` does where its wait is just over (python/cpython#86296), and redis-py while
    it connects. A task that had failed is told of in the log, and keeps nothing from closing.
    """
    begun = [task for task in tasks if task is not None]
    while left := [task for task in begun if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_S)
    for task in begun:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("had failed", action="task_failed", task=task.get_name(), error=repr(error))
