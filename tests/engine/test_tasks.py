"""Tasks that are ended have ended, whatever swallows the cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

from engine.tasks import end


async def test_a_task_that_swallows_it_ends() -> None:
    """Cancelling that comes when a wait is just over is lost with it; it is sent again."""
    times = 0

    async def goes_on() -> None:
        nonlocal times
        while times < 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3_600)
            times += 1
        await asyncio.sleep(3_600)

    task = asyncio.create_task(goes_on())
    await asyncio.sleep(0)
    await end(task)
    assert (True, 2) == (task.cancelled(), times)


async def test_a_wait_that_is_just_over_keeps_no_task_going() -> None:
    """As in the loops that look again when there is news: both come in one turn of the loop."""
    news = asyncio.Event()

    async def look() -> None:
        while True:
            news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), 3_600)

    task = asyncio.create_task(look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    news.set()
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_what_has_ended_or_never_began_is_fine() -> None:
    """And what a task raised is not raised here, nor told of by asyncio when it is gone."""

    async def fails() -> None:
        raise ValueError

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    await end(None, task)
    del task
    gc.collect()
    assert [] == complaints
