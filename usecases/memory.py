"""
Bounded memories: dictionaries that let go of their oldest entry.

A plain dictionary is no such memory: it keeps the places of what was deleted at its front, and
looks at all of them to find its oldest entry, some 40 us at 50 000 entries (`next(iter(...))`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(memory: OrderedDict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Put an entry into *memory*, at the cost of its oldest if it has *most* already."""
    if key not in memory and len(memory) >= most:
        memory.popitem(last=False)
    memory[key] = value


class Recent(Generic[Key, Value]):
    """
    A bounded memory of what was read, for those who hear when it has changed.

    Those who ask for the same thing together share one read. A read that a change has overtaken may
    have seen what was before: it is told to those who had asked by then, and is not remembered; who
    asks later begins another.
    """

    def __init__(self, *, most: int, keeps: Callable[[Value], bool] = lambda _: True) -> None:
        """
        Args:
            keeps: Tells what may be remembered of what was read.
        """
        self._most = most
        self._keeps = keeps
        #: What was read, and when that was begun; 0 if it has changed since.
        self._found: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._reads: dict[Key, asyncio.Task[Value]] = {}
        #: When anything may have changed.
        self._dropped_s = 0.0

    def get(self, key: Key) -> Value | None:
        """Return what is remembered of *key*, however old it is, unless it has changed since."""
        found = self._found.get(key)
        return found[0] if found is not None and found[1] > self._dropped_s else None

    def last(self, key: Key) -> Value | None:
        """Return what was read of *key* last, although it may have changed."""
        found = self._found.get(key)
        return None if found is None else found[0]

    async def find(
        self, key: Key, read: Callable[[], Awaitable[Value]], *, age_max_s: float
    ) -> Value:
        """Return what is remembered of *key* if it is young enough, else what *read* finds."""
        found = self._found.get(key)
        if found is not None and found[1] > max(self._dropped_s, time.monotonic() - age_max_s):
            return found[0]
        task = self._reads.get(key)
        if task is None:
            task = self._reads[key] = asyncio.create_task(self._read(key, read))
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(task)

    def drop(self, key: Key) -> None:
        """Hear that *key* has changed."""
        self._reads.pop(key, None)
        if key in self._found:
            self._found[key] = (self._found[key][0], 0.0)

    def drop_all(self) -> None:
        """Hear that anything may have changed."""
        self._reads.clear()
        self._dropped_s = time.monotonic()

    async def _read(self, key: Key, read: Callable[[], Awaitable[Value]]) -> Value:
        begun_s = time.monotonic()
        value = await read()
        if self._reads.get(key) is asyncio.current_task() and self._keeps(value):
            remember(self._found, key, (value, begun_s), most=self._most)
        return value

    def _end(self, key: Key, task: asyncio.Task[Value]) -> None:
        if self._reads.get(key) is task:
            del self._reads[key]
        if not task.cancelled():
            task.exception()  # Asked in any case, though all who waited may have gone.
