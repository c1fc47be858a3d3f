"""
Patience: how long to wait before what failed is tried again, and how often it is said.

Owns back-off, and what counts as a refusal of the machine: no room on the disk, no file descriptor,
no memory, no process. Such a refusal passes, mostly when somebody makes room, so that it is waited
for. Guarantees: a failure that repeats is said once, and its end is said as well.
"""

from __future__ import annotations

import errno
import os

import structlog

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0
#: A part that lived this long was well: its next death starts the back-off anew.
WELL_AFTER_S = 5.0
#: Different failures of one thing that are said before it is well again.
SAID_MAX = 8

#: What the machine refuses whoever asks, until somebody has made room.
_REFUSALS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EAGAIN,
    }
)
#: The same from PostgreSQL: class 53, "insufficient resources".
_RESOURCES = "53"


#: How a server that ended for it, or a program such as `initdb`, says so in its last words.
_SAID = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE))


def is_refusal(error: BaseException) -> bool:
    """Tell whether the machine had no room for what was tried, which passes."""
    if any(words in str(error) for words in _SAID):
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return True
        if str(getattr(cause, "sqlstate", "")).startswith(_RESOURCES):
            return True
        cause = cause.__cause__
    return False


class Backoff:
    """
    Seconds to wait before the next start: doubles with every early death.

    Args:
        well_after_s: A life as long as this one was no early death.
    """

    def __init__(self, *, well_after_s: float = WELL_AFTER_S) -> None:
        self._well_after_s = well_after_s
        self._next_s = BACKOFF_FIRST_S

    def after(self, *, alive_s: float) -> float:
        """Return how long to wait after a child died that had lived *alive_s*."""
        if alive_s >= self._well_after_s:
            self._next_s = BACKOFF_FIRST_S
        wait_s = self._next_s
        self._next_s = min(self._next_s * 2, BACKOFF_MAX_S)
        return wait_s


class Trouble:
    """
    What keeps something from being done; said once until it is over.

    Args:
        what: What is being done, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._said: set[tuple[str, int | str]] = set()
        self._backoff = Backoff()

    def note(self, error: Exception) -> float:
        """Say *error* unless its like was said; return how long to wait before the next try."""
        text = str(error) or repr(error)
        # Neither the name of a file that was tried nor the end of a server's log makes it another.
        number = error.errno if isinstance(error, OSError) else None
        kind = (type(error).__name__, number or text.partition("\n")[0])
        if kind not in self._said and len(self._said) < SAID_MAX:
            self._said.add(kind)
            log.error(
                "failed; trying again",
                action="trouble",
                what=self._what,
                error=text,
                kind=type(error).__name__,
            )
        return self._backoff.after(alive_s=0)

    def over(self) -> None:
        """It was done: say so if it had been said that it cannot be."""
        if self._said:
            self._said.clear()
            self._backoff = Backoff()
            log.info("done again", action="trouble_over", what=self._what)
