"""
What both embedded servers have in common: start, readiness, stop, kill.

Owns the order lock → prepare → spawn → ready, and the lock on the server's own folder, which is
taken even when the caller holds one on the whole data folder. Guarantees: a start on the leftovers
of `kill -9` works; a failed start leaves nothing running and raises with the tail of the log.
"""

from __future__ import annotations

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from evently.embedded import process
from evently.embedded.errors import ServerError
from evently.embedded.lock import DataLock

#: Long, because a server with much data replays its log before it answers.
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
#: The servers need nothing of ours; PGPORT and friends would change what they do.
SERVER_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class Server(ABC):
    """One embedded server. `start()` again after `stop()` or `kill()` finds the same data."""

    #: Name in messages.
    title: ClassVar[str]
    #: Signal of an orderly stop; also what the kernel sends when our process dies.
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, *, lock_fd: int | None, log_path: Path) -> None:
        self.log_path = log_path
        self._outer_lock_fd = lock_fd
        self._locks: list[DataLock] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect to."""

    @property
    @abstractmethod
    def data_path(self) -> Path:
        """Folder that holds the data."""

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def has_data(self) -> bool:
        """Whether the files that it writes to are still there; if not, nothing is kept any more."""
        return True

    @property
    def is_running(self) -> bool:
        """Whether the server's process runs; a zombie does not."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, ready_timeout_s: float = READY_TIMEOUT_S) -> None:
        """
        Start the server and wait until it answers.

        Raises:
            ServerError: it ended or did not answer in time; with the tail of its log.
        """
        self.launch()
        deadline = time.monotonic() + ready_timeout_s
        while not self.is_ready():
            if time.monotonic() >= deadline:
                self.kill()
                raise self._failure(f"did not answer within {ready_timeout_s:g} s")
            time.sleep(process.POLL_S)

    def launch(self) -> None:
        """Start the server's process without waiting for it: `is_ready()` tells the rest."""
        if self.is_running:
            return
        self._release()  # Of a process that died by itself.
        try:
            self._lock_data()
            argv = self._prepare()
            self._process = process.spawn(
                argv,
                death_signal=self.stop_signal,
                env=SERVER_ENV,
                log_path=self.log_path,
                account=self._account(),
                pass_fds=self._lock_fds(),
                cwd=Path("/"),
            )
        except BaseException:
            self._release()
            raise

    def is_ready(self) -> bool:
        """
        Whether the launched server answers.

        Raises:
            ServerError: it has ended; with the tail of its log.
        """
        if not self.is_running:
            code = None if self._process is None else self._process.returncode
            self._release()
            raise self._failure(f"ended while starting (code {code})")
        return self._probe()

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop in order: connections are ended, everything is on disk."""
        if self._process is not None:
            process.stop(self._process, with_signal=self.stop_signal, timeout_s=timeout_s)
        self._release()

    def kill(self) -> None:
        """End at once by SIGKILL, children included, as a crash would."""
        if self._process is not None:
            process.kill(self._process)
        self._release()

    @abstractmethod
    def _lock_data(self) -> None:
        """Take the server's own locks by `_hold`."""

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Make what the server needs and return its command line."""

    @abstractmethod
    def _probe(self) -> bool:
        """Whether the running process answers by now."""

    def _account(self) -> process.Account | None:
        """User that the server runs as, if another."""
        return None

    def _hold(self, lock: DataLock) -> None:
        """Take *lock* for as long as the server runs."""
        lock.acquire()
        self._locks.append(lock)

    def _lock_fds(self) -> list[int]:
        outer = [] if self._outer_lock_fd is None else [self._outer_lock_fd]
        return [*outer, *(lock.fd for lock in self._locks)]

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _failure(self, reason: str) -> ServerError:
        tail = process.log_tail(self.log_path)
        return ServerError(f"{self.title} {reason}; the end of {self.log_path}:\n{tail}")
