"""Buckets of attempts, one for each who tries: in this process, and in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from engine.status import Status
from usecases.denials import Denied

#: Buckets that are remembered; at about 250 bytes each.
BUCKETS_MAX = 100_000
#: Buckets that are spared for being in use before one is forgotten all the same.
SPARED_MAX = 8
#: Attempts taken here of which nobody else is told yet.
UNTOLD_MAX = 10


class Rate(NamedTuple):
    """How often something may be tried."""

    #: What is limited, as callers are told it.
    name: str
    #: Attempts within the window; 0: any number.
    attempts_max: int
    #: Time in which all attempts come back, at a steady rate, in ms.
    window_ms: int

    def denial(self, wait_ms: int) -> Denied:
        """Return the denial of who has tried too often, and may again after *wait_ms*."""
        fields: dict[str, int | str] = {
            "limit": self.name,
            "attempts_max": self.attempts_max,
            "window_ms": self.window_ms,
            "retry_after_ms": wait_ms,
        }
        return Denied(Status.RATE_LIMITED, fields=fields)


class _Bucket:
    """One bucket."""

    __slots__ = ("full_at_ms", "untold")

    def __init__(self, now_ms: float) -> None:
        #: When it is full again.
        self.full_at_ms = now_ms
        #: Attempts taken since others were told.
        self.untold = 0


class Buckets:
    """
    A bucket holds `attempts_max` attempts, and is filled at a steady rate within `window_ms`.

    What is kept of one is when it is full again (GCRA). What other processes let pass is learnt
    from whoever asks for what is `due` and brings what is `learnt`.
    """

    def __init__(
        self, rate: Rate, *, most: int = BUCKETS_MAX, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            rate: With at least one attempt.

            most: Buckets that are remembered.

            now_s: Tells the time, in seconds from anywhere.
        """
        self.rate = rate
        self._window_ms = rate.window_ms
        self._step_ms = rate.window_ms / rate.attempts_max
        self._most = most
        self._now_s = now_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        #: Those of which enough was taken to tell others.
        self._due: list[str] = []

    def take(self, who: str) -> int:
        """
        Take an attempt; return 0, or after how many ms there will be one.

        Cost: a dictionary look-up, but for the first time.
        """
        now_ms = self._now_s() * 1000
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._begin(who, now_ms)
        full_at_ms = bucket.full_at_ms
        if full_at_ms < now_ms:  # noqa: PLR1730  Calling max() would cost more than the rest.
            full_at_ms = now_ms
        full_at_ms += self._step_ms
        wait_ms = full_at_ms - now_ms - self._window_ms
        if wait_ms > 0.5:  # A hair's breadth is the arithmetic's.
            return max(1, round(wait_ms))
        bucket.full_at_ms = full_at_ms
        bucket.untold += 1
        if bucket.untold == UNTOLD_MAX:
            self._due.append(who)
        return 0

    def due(self, most: int) -> list[tuple[str, int]]:
        """Return of whom others are to be told, and how many attempts; they count as told."""
        now, self._due = self._due[:most], self._due[most:]
        taken = []
        for who in now:
            bucket = self._buckets.get(who)
            if bucket is not None and bucket.untold:
                taken.append((who, bucket.untold))
                bucket.untold = 0
        return taken

    def untold(self, taken: list[tuple[str, int]]) -> None:
        """Take back what is `due`: nobody could be told."""
        for who, number in taken:
            bucket = self._buckets.get(who)
            if bucket is not None:
                bucket.untold += number
                self._due.append(who)

    def learn(self, full_in_ms: Mapping[str, float]) -> None:
        """Take over in how many ms buckets are full again, with what others let pass."""
        now_ms = self._now_s() * 1000
        for who, wait_ms in full_in_ms.items():
            bucket = self._buckets.get(who)
            if bucket is not None:
                known_ms = now_ms + wait_ms + bucket.untold * self._step_ms
                bucket.full_at_ms = max(bucket.full_at_ms, known_ms)

    def _begin(self, who: str, now_ms: float) -> _Bucket:
        """Make a bucket, at the cost of an old one: rather of one that is full again."""
        for _ in range(SPARED_MAX):
            if len(self._buckets) < self._most:
                break
            oldest, bucket = self._buckets.popitem(last=False)
            if bucket.full_at_ms > now_ms:
                self._buckets[oldest] = bucket
        if len(self._buckets) >= self._most:
            self._buckets.popitem(last=False)
        made = self._buckets[who] = _Bucket(now_ms)
        return made
