"""How many files, and with them connections, a process may have open at a time."""

from __future__ import annotations

import resource

#: What a process has open besides callers: servers, logs, its own program.
OWN_FILES = 128


def raise_file_limit() -> int:
    """Raise the soft limit to the hard one, which needs no right; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # A system that gives less than it says.
            return soft
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_max(files_max: int) -> int:
    """Return how many callers a process may serve at a time that may have *files_max* open."""
    return max(files_max - OWN_FILES, files_max // 2)
