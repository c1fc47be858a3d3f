"""
When a message is tried again: by what went wrong, and how often it was tried.

Mail needs longer than three attempts: a server that lists unknown senders grey lets them in after
minutes, and one that is down may be so for hours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
#: The server or the way to it.
TROUBLE_MS = (10_000, 30_000, _MINUTE_MS, 5 * _MINUTE_MS, 15 * _MINUTE_MS)
#: A recipient that is refused for now; then hourly.
LATER_MS = (*(minutes * _MINUTE_MS for minutes in (1, 5, 10, 20, 30)), _HOUR_MS)
#: After that a message is given up: who waits for it has asked elsewhere.
LIFE_MS = 24 * _HOUR_MS
#: Waits scatter about their length, so that what failed together is not tried together again.
SCATTER = 0.25
#: Where a server answers at once, few attempts tell as much as many.
ATTEMPTS_MAX = 3
FIRST_WAIT_MS = 2_000


def jitter_ms(attempts: int) -> int:
    """Return a wait after so many attempts: up to 2 s, twice as long each time, full jitter."""
    return random.randint(0, FIRST_WAIT_MS * 2 ** (max(attempts, 1) - 1))  # noqa: S311 - no secret


def wait_ms(table: Sequence[int], attempts: int) -> int:
    """Return how long to wait after so many attempts, scattered; the last wait repeats."""
    base_ms = table[min(max(attempts, 1), len(table)) - 1]
    return round(base_ms * random.uniform(1 - SCATTER, 1 + SCATTER))  # noqa: S311 - no secret
