"""
A trouble that lasts: told when it begins and when it becomes another, and once when it is over.

Whatever tries again and again asks here before it writes a line, so that an outage of an hour is
two lines in a log and not seven thousand.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

#: Different troubles that are told before the first is over; what comes then is more of the same.
TOLD_MAX = 16
#: Lines of one kind in one while, where requests may cause them.
LINES_MAX = 10
WHILE_S = 10.0
#: Numbers change from try to try, such as ports, epochs and times, and make no other trouble.
_NUMBER = re.compile(r"\d+")


class Lasting:
    """What one loop has told of its trouble."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def is_news(self, text: str) -> bool:
        """Tell whether *text* says something that was not told since all was last well."""
        text = _NUMBER.sub("0", text)
        if text in self._told or len(self._told) >= TOLD_MAX:
            return False
        self._told.add(text)
        return True

    def end(self) -> bool:
        """Note that all is well; tell whether it was not, which is to be told once."""
        was_told = bool(self._told)
        self._told.clear()
        return was_told


class Seldom:
    """A line that each of many requests may cause: some in a while, and how many were left out."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._begun_s = 0.0
        self._count = 0

    def left_out(self) -> int | None:
        """Return how many lines were left out since the last while, or None to leave this out."""
        now_s, left_out = self._monotonic_s(), 0
        if now_s - self._begun_s >= WHILE_S:
            left_out = max(0, self._count - LINES_MAX)
            self._begun_s, self._count = now_s, 0
        self._count += 1
        return left_out if self._count <= LINES_MAX else None
