"""
Jumps of a clock: Redis's, by which holds end, held against our own, which only ever goes on (F34).

Where Redis's clock is set forward, what it then calls overdue has been held for less than was
said; where it is set back, what was made before lasts for longer. Neither is for ever: who looks
from turn to turn sees by how much.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: How far the clocks may part between two looks before it is taken for a jump, in seconds.
JUMP_S_MIN = 5.0
#: How long what seems overdue is left alone after a jump forward: as long as the jump was, and no
#: longer than this. In seconds.
PAUSE_S_MAX = 600.0
#: How long a jump back is remembered: as long as it was, for then the clock has caught up, and no
#: longer than anything made before it may last, which is an offer's week. In seconds.
BEHIND_S_MAX = 8 * 86_400.0


class Jumps:
    """What two clocks tell of each other."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        #: Redis's clock and ours when they were last looked at, in seconds.
        self._last_s: tuple[float, float] | None = None
        self._pause_until_s = 0.0
        self._behind_s = self._behind_until_s = 0.0

    def hear(self, redis_s: float) -> float:
        """Take in what Redis's clock says; return by how many seconds it was set, 0 if not."""
        own_s = self._monotonic_s()
        last_s, self._last_s = self._last_s, (redis_s, own_s)
        if last_s is None:
            return 0.0
        jump_s = (redis_s - last_s[0]) - (own_s - last_s[1])
        if abs(jump_s) <= JUMP_S_MIN:
            return 0.0
        self._pause_until_s = own_s + max(0.0, min(jump_s, PAUSE_S_MAX))
        self._behind_s = max(0.0, self.behind_ms / 1000 - jump_s)
        self._behind_until_s = own_s + min(self._behind_s, BEHIND_S_MAX)
        return jump_s

    @property
    def must_wait(self) -> bool:
        """Tell whether what seems overdue may not be: the clock was set forward lately."""
        return self._monotonic_s() < self._pause_until_s

    @property
    def behind_ms(self) -> int:
        """By how much it was ahead when what seems to be made later than now was made, in ms."""
        return int(self._behind_s * 1000) if self._monotonic_s() < self._behind_until_s else 0
