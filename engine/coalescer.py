"""
The coalescer: commands that arrive while a call is under way leave together in the next one.

Under light load a command leaves at once and alone; under heavy load one script call carries up
to `commands_max`, which pays Redis's per-call cost, and its fsync, once for all of them; a second
call leaves beside it only if it carries enough to be worth that. Nothing waits for a timer.
Order is kept within a batch, and batches leave in order of arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from engine.errors import Overloaded

Command = TypeVar("Command")
Reply = TypeVar("Reply")

Send = Callable[[Sequence[Command]], Awaitable[Sequence[Reply]]]


class Coalescer(Generic[Command, Reply]):
    """
    Gathers commands of one kind for one shard into bounded batches.

    A caller that is cancelled stops waiting, no more: its command still runs, since a booking
    that Redis has made cannot be taken back by a closed connection (F3).
    """

    def __init__(
        self,
        send: Send[Command, Reply],
        *,
        commands_max: int,
        in_flight_max: int,
        further_min: int = 1,
        waiting_max: int,
    ) -> None:
        """
        Args:
            send: Sends one batch; returns one reply per command, in order: what its caller gets,
                or is raised to its caller if it is an exception.

            commands_max: Commands in one batch at most.

            in_flight_max: Batches under way at once at most.

            further_min: Commands that must wait before a batch leaves while another is under way.

            waiting_max: Commands that may wait; one more raises `Overloaded`.
        """
        self._send = send
        self._commands_max = commands_max
        self._in_flight_max = in_flight_max
        self._further_min = further_min
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Command, asyncio.Future[Reply]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._pump_is_due = False

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """
        Queue *command*; the future gets its reply, or the exception of its batch.

        Raises:
            Overloaded: `waiting_max` commands wait already.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((command, future))
        if not self._pump_is_due and self._may_leave():
            # Once per turn of the loop, so that all requests read in this turn leave together.
            self._pump_is_due = True
            loop.call_soon(self._pump)
        return future

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        while self._waiting or self._in_flight:
            await asyncio.wait(self._in_flight) if self._in_flight else await asyncio.sleep(0)

    def _pump(self) -> None:
        self._pump_is_due = False
        while self._waiting and self._may_leave():
            count = min(len(self._waiting), self._commands_max)
            batch = [self._waiting.popleft() for _ in range(count)]
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._landed)

    def _may_leave(self) -> bool:
        """Tell whether a batch may leave: the first at once, a further one if it is worth it."""
        under_way = len(self._in_flight)
        return not under_way or (
            under_way < self._in_flight_max and len(self._waiting) >= self._further_min
        )

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._pump()

    async def _run(self, batch: list[tuple[Command, asyncio.Future[Reply]]]) -> None:
        try:
            replies = await self._send([command for command, _ in batch])
            if len(replies) != len(batch):
                raise ValueError(f"{len(replies)} replies to {len(batch)} commands")
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    # The caller may be gone; an unread exception is then no news.
                    future.exception()
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)
