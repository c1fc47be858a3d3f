"""
What both embedded servers have in common: start, readiness, health, stop, kill.

Owns the order lock → prepare → spawn → ready, and the lock on the server's own folder, which is
taken even when the caller holds one on the whole data folder. Guarantees: a start on the leftovers
of `kill -9` works; a failed start leaves nothing running and raises with the tail of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from evently.embedded import process
from evently.embedded.errors import ServerError
from evently.embedded.lock import DataLock

#: Time that a server which is starting may say nothing: one that says that it reads its log, or
#: that it recovers, is waited for however long that takes.
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
#: Time that a new connection gets to be answered.
ASK_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 8_192
#: The servers need nothing of ours; PGPORT and friends would change what they do.
SERVER_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

#: What a server says to a new connection: it takes it; not now, but that passes (it reads its log,
#: it recovers, it is full); no more, since it is ending; nothing at all. Or nobody could ask.
Hears = Literal["takes", "busy", "ending", "silent", "unasked"]
#: Why we could not ask: nothing of it is the server's doing.
_NOT_ITS_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


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
        self._is_patient = True
        self._process: subprocess.Popen[bytes] | None = None
        #: When it was launched, or last said that it is still starting.
        self._heard_s = 0.0

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
        return self._process is not None and process.is_running(self._process)

    def start(self, *, ready_timeout_s: float = READY_TIMEOUT_S) -> None:
        """
        Start the server and wait until it answers.

        Raises:
            ServerError: it ended or did not answer in time; with the tail of its log.
        """
        self.launch()
        while not self.is_ready():
            self.require_heard(ready_timeout_s)
            time.sleep(process.POLL_S)

    def require_heard(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """
        Go on waiting for a server that is starting.

        Raises:
            ServerError: it has said nothing for *timeout_s*; it was killed.
        """
        if time.monotonic() - self._heard_s >= timeout_s:
            self.kill()
            raise self._failure(f"did not answer within {timeout_s:g} s")

    def launch(self, *, is_patient: bool = True) -> None:
        """
        Start the server's process without waiting for it: `is_ready()` tells the rest.

        Args:
            is_patient: Wait for the servers of a run that was killed, which may still be stopping.

        Raises:
            ServerError: it cannot be started; nothing is left running. An `OSError` means the same.
        """
        if self.is_running:
            return
        self._release()  # Of a process that died by itself.
        self._is_patient = is_patient
        try:
            self._lock_data()
            argv = self._prepare()
            self._heard_s = time.monotonic()
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
            ServerError: it has ended, with the tail of its log; or it is not ours, and was killed.
        """
        if not self.is_running:
            code = None if self._process is None else self._process.returncode
            self._release()
            raise self._failure(f"ended while starting (code {code})")
        try:
            heard = self._probe()
        except ServerError:
            self.kill()
            raise
        if heard in {"busy", "unasked"}:
            self._heard_s = time.monotonic()
        return heard == "takes"

    async def ask(self) -> Hears:
        """
        Ask a running server by a new connection whether it takes any.

        What old connections are told says nothing of it. Blocks nobody, whatever the server does.
        """
        loop, answer = asyncio.get_running_loop(), b""
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.setblocking(False)
                    await loop.sock_connect(client, str(self._address()))
                    # Who hangs up without listening may have said why.
                    with contextlib.suppress(ConnectionError):
                        await loop.sock_sendall(client, self._question())
                    while not self._is_whole(answer):
                        part = await loop.sock_recv(client, ANSWER_BYTES_MAX)
                        if not part:
                            break
                        answer += part
        except OSError as error:  # A timeout is one.
            if not answer:
                return unheard(error)
        return self._hear(answer)

    async def finish(self, *, at_once: bool) -> None:
        """
        End a server that takes no new connection, without blocking the loop.

        Args:
            at_once: By SIGKILL, as a crash would; else it is asked first.
        """
        child = self._process
        if child is None:
            return
        if not at_once:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(self.stop_signal)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            while process.is_running(child) and time.monotonic() < deadline_s:  # noqa: ASYNC110
                await asyncio.sleep(process.POLL_S)
        process.kill(child)

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
    def _probe(self) -> Hears:
        """
        What the process that is starting says by now.

        Raises:
            ServerError: it is not the server that we started.
        """

    @abstractmethod
    def _address(self) -> Path:
        """The unix socket that clients connect to."""

    @abstractmethod
    def _question(self) -> bytes:
        """What a new connection says first."""

    @abstractmethod
    def _is_whole(self, answer: bytes) -> bool:
        """Whether nothing is missing of an answer to `_question()`."""

    @abstractmethod
    def _hear(self, answer: bytes) -> Hears:
        """What an answer to `_question()` means; it may be cut short, or empty."""

    def _account(self) -> process.Account | None:
        """User that the server runs as, if another."""
        return None

    def _hold(self, lock: DataLock) -> None:
        """Take *lock* for as long as the server runs."""
        # Who comes back soon does not hold up everybody meanwhile.
        lock.acquire(**({} if self._is_patient else {"timeout_s": 0.0}))
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


def unheard(error: OSError) -> Hears:
    """Tell whether a server that could not be asked is silent, or we had no means to ask it."""
    return "unasked" if error.errno in _NOT_ITS_FAULT else "silent"
