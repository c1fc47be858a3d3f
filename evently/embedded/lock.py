"""
One data folder, one run at a time.

Owns the file `lock` of a data folder. The lock is a `flock`, so the kernel frees it when the last
process that holds the descriptor is gone: servers inherit it, and a supervisor killed by `kill -9`
leaves it held until its servers have really ended. Leaves deciding what to lock to the callers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from evently.embedded.errors import ServerError

POLL_S = 0.02
#: The servers of a killed run may still be shutting down; they are given this long.
ACQUIRE_TIMEOUT_S = 10.0


class DataLock:
    """An exclusive lock on a data folder, inherited by the servers that use the folder."""

    def __init__(self, data_dir: Path, *, name: str = "lock") -> None:
        self.path = data_dir.absolute() / name
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The descriptor to hand to the servers (`lock_fd`)."""
        if self._fd is None:
            raise ServerError(f"{self.path} is not locked")
        return self._fd

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self, *, timeout_s: float = ACQUIRE_TIMEOUT_S) -> None:
        """
        Take the lock; make the folder if there is none.

        Raises:
            ServerError: another run still holds it after *timeout_s*; names that run's process.
        """
        if self._fd is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ServerError(f"cannot open {self.path}: {error.strerror}") from error
        try:
            _wait(fd, self.path, timeout_s)
        except BaseException:
            os.close(fd)  # Left open, it would keep the lock from ourselves.
            raise
        # For people alone: the lock holds without it, also where the disk is full.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go. Servers that inherited the descriptor keep the folder locked until they end."""
        if self._fd is None:
            return
        # No LOCK_UN: that would take the lock from the servers too. Closing drops our share only.
        os.close(self._fd)
        self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _wait(fd: int, path: Path, timeout_s: float) -> None:
    """Take the lock on *fd*; raises as `DataLock.acquire` does."""
    deadline = time.monotonic() + timeout_s
    while not _try_lock(fd):
        if time.monotonic() >= deadline:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ServerError(
                f"{path.parent} is in use by process {holder} "
                "(or by servers that it left behind and that are still stopping)"
            )
        time.sleep(POLL_S)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
