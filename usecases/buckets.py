"""Buckets of attempts, one for each who tries: in this process alone, and in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Buckets that are remembered; beyond it who has not tried for longest has a full one again.
BUCKETS_MAX = 10_000


class Buckets:
    """
    A bucket holds `attempts_max` attempts, and is filled at a steady rate within `window_ms`.

    What is kept of one is when it is full again (GCRA).
    """

    def __init__(
        self,
        attempts_max: int,
        window_ms: int,
        *,
        most: int = BUCKETS_MAX,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            attempts_max: 1..

            window_ms: Time in which an empty bucket is full again, in ms.

            most: Buckets that are remembered.

            now_s: Tells the time, in seconds from anywhere.
        """
        self.attempts_max = attempts_max
        self.window_ms = window_ms
        self._most = most
        self._now_s = now_s
        #: When each is full again, in ms; who tried last stands last.
        self._full_at_ms: dict[str, float] = {}

    def take(self, who: str) -> int:
        """Take an attempt; return 0, or after how many ms there will be one."""
        now_ms, step_ms = self._now_s() * 1000, self.window_ms / self.attempts_max
        before = self._full_at_ms.pop(who, now_ms)
        full_at_ms = max(before, now_ms) + step_ms
        wait_ms = full_at_ms - now_ms - self.window_ms
        # A hair's breadth is the arithmetic's.
        is_over = wait_ms > 0.5
        if len(self._full_at_ms) >= self._most:
            del self._full_at_ms[next(iter(self._full_at_ms))]
        self._full_at_ms[who] = before if is_over else full_at_ms
        return max(1, round(wait_ms)) if is_over else 0
