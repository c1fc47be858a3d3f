"""
An asyncio loop without sockets, threads or real time: what is due next runs next.

Owns the virtual clock and the processes. What runs belongs to the process that started it (a
context variable says which), so that a process can be killed, all of it at once, or stand still
and go on late, as after SIGSTOP. Callbacks due at the same moment run in the order in which they
were made: nothing depends on anything but the seed of whoever uses it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

#: The process that runs; None for the world around them.
CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


class Stuck(Exception):
    """The history came to no end: a process runs on without ever waiting, or waits for nobody."""


class Process:
    """What dies and stands still together."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        #: A role and, behind a dash, a number.
        self.name = name
        self.is_alive = True
        #: Stands still until then.
        self.frozen_until_s = 0.0
        self._loop = loop
        #: In order of their making; a set would be walked by address.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def role(self) -> str:
        """What it is one of."""
        return self.name.rpartition("-")[0]

    @property
    def is_busy(self) -> bool:
        """Whether anything of it is left to do."""
        return bool(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start *work* as part of this process."""
        context = copy_context()
        context.run(CURRENT.set, self)
        return self._loop.create_task(work, context=context)

    def own(self, task: asyncio.Task[Any]) -> None:
        """Take a task that runs in this process."""
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def kill(self) -> None:
        """End it as `kill -9` does: nothing of it has any effect from here on."""
        self.is_alive = False
        self.frozen_until_s = 0.0
        for task in list(self._tasks):
            task.cancel()


class VirtualLoop:
    """Runs callbacks by virtual time; has what asyncio asks of a loop here, and no more."""

    def __init__(self) -> None:
        #: This, as what asyncio takes for a loop.
        self._asyncio: Any = self
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.Handle]] = []
        self._numbers = itertools.count()
        #: Exceptions that no one has taken.
        self.unforeseen: list[BaseException] = []

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now_s

    def run_while(self, goes_on: Callable[[], bool], *, until_s: float) -> None:
        """
        Run as long as *goes_on* says so, until the virtual time *until_s* at most.

        Raises:
            Stuck: a callback follows the other and time stands still.
        """
        asyncio._set_running_loop(self._asyncio)
        try:
            steps_left = 200_000
            while goes_on():
                if not self._ready and not self._step_time(until_s):
                    return
                for _ in range(len(self._ready)):
                    self._run(self._ready.popleft())
                steps_left -= 1
                if not steps_left:
                    raise Stuck("too many steps")
        finally:
            asyncio._set_running_loop(None)

    def _step_time(self, until_s: float) -> bool:
        """Move on to the next moment at which something is due."""
        later = self._later
        while later and later[0][2].cancelled():
            heapq.heappop(later)
        if not later or later[0][0] > until_s:
            return False
        self._now_s = max(self._now_s, later[0][0])
        while later and later[0][0] <= self._now_s:
            self._ready.append(heapq.heappop(later)[2])
        return True

    def _run(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        process = handle._context.get(CURRENT)  # type: ignore[attr-defined]
        if process is not None and process.frozen_until_s > self._now_s:
            self._push(process.frozen_until_s, handle)
            return
        handle._run()

    def _push(self, when_s: float, handle: asyncio.Handle) -> None:
        heapq.heappush(self._later, (when_s, next(self._numbers), handle))

    # What asyncio's tasks, futures, timeouts and sleeps ask of a loop.

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        handle = asyncio.Handle(callback, args, self._asyncio, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        handle = asyncio.TimerHandle(when, callback, args, self._asyncio, context)
        self._push(when, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        return asyncio.Future(loop=self._asyncio)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """See asyncio; the task belongs to the process that runs."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._asyncio, name=name, context=context)
        process = (context or copy_context()).get(CURRENT)
        if process is not None:
            process.own(task)
        return task

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when it is due."""

    def get_debug(self) -> bool:
        """See asyncio."""
        return False

    def is_running(self) -> bool:
        """See asyncio."""
        return True

    def is_closed(self) -> bool:
        """See asyncio."""
        return False

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Nobody sends signals here."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See asyncio: what nobody took is kept for the judge; the end of who is killed is not."""
        error = context.get("exception")
        if not isinstance(error, asyncio.CancelledError):
            self.unforeseen.append(error or RuntimeError(str(context.get("message"))))
