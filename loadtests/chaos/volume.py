"""
A small disk of its own for Evently's data, which can be full and have room again.

A file system in memory is mounted where this machine allows it, and shrunk to what it holds. Where
it does not, the size of files is limited for every process of the site instead: writing fails
alike, with another error.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: Far more than a round needs: only what is written takes memory.
SIZE_BYTES = 2 * 1024**3
COMMAND_TIMEOUT_S = 30.0
TRIES_MAX = 20


class Volume:
    """The disk below one folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_mounted = False
        self._limited: set[int] = set()

    def mount(self) -> None:
        """Put a file system at the folder, if that can be done."""
        self._path.mkdir(parents=True, exist_ok=True)
        options = f"size={SIZE_BYTES},mode=755"
        self._is_mounted = _run(
            ["mount", "-t", "tmpfs", "-o", options, "evt-chaos", str(self._path)]
        )

    def fill(self, pids: Sequence[int]) -> str:
        """Leave no byte free; say how. Without a file system, for the processes *pids*."""
        for _ in range(TRIES_MAX if self._is_mounted else 0):
            found = os.statvfs(self._path)
            # A size of 0 would be no limit.
            used = max(1, found.f_blocks - found.f_bfree) * found.f_frsize
            if self._resize(used):  # Not if more was written meanwhile.
                return f"no room left beside {used} bytes"
        for pid in pids:
            self._limit(pid, 1)
        self._limited |= set(pids)
        return f"{len(pids)} processes may write no file"

    def free(self, pids: Sequence[int] = ()) -> None:
        """Have room again, for those that were started meanwhile as well."""
        if self._is_mounted:
            self._resize(SIZE_BYTES)
        if self._limited:
            for pid in self._limited | set(pids):
                self._limit(pid, resource.RLIM_INFINITY)
            self._limited.clear()

    def unmount(self) -> None:
        """Take it away; the logs below it are kept beside the folder."""
        if not self._is_mounted:
            return
        with contextlib.suppress(OSError):
            shutil.copytree(self._path / "logs", self._path.with_name("logs"), dirs_exist_ok=True)
        _run(["umount", "--lazy", str(self._path)])
        self._is_mounted = False

    def _resize(self, size_bytes: int) -> bool:
        return _run(["mount", "-o", f"remount,size={size_bytes}", str(self._path)])

    def _limit(self, pid: int, soft_bytes: int) -> None:
        with contextlib.suppress(OSError):
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft_bytes, hard))


def _run(words: Sequence[str]) -> bool:
    """Run a command; tell whether it could."""
    try:
        done = subprocess.run(words, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
