"""
Children that do not outlive their parent.

Owns starting a process with a parent-death signal, its own session and an inherited lock, and
ending it within a bound. Guarantees: when the parent dies, however it dies, the kernel signals the
child. Must be used from the main thread: the death signal fires when the *thread* that forked
ends. Leaves what to run and when to restart it to the callers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evently.embedded.errors import ServerError

PR_SET_PDEATHSIG = 1
POLL_S = 0.005
KILL_TIMEOUT_S = 10.0
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8_192
PARENT_GONE_EXIT_CODE = 70

# Looked up before any fork: between fork and exec nothing may import or take a lock.
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The user a server runs as when we are root."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    *,
    death_signal: signal.Signals,
    env: Mapping[str, str],
    log_path: Path | None = None,
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """
    Start a child in a session of its own, so that a Ctrl-C in the terminal reaches only us.

    Args:
        death_signal: What the kernel sends the child when this process dies.

        log_path: File that output is appended to; without it the child shares our output.

        account: User to become; left out, the child stays who we are.

        pass_fds: Descriptors the child keeps, such as the data lock.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children are started from the main thread: see PR_SET_PDEATHSIG")
    output: int | None = None
    try:
        output = None if log_path is None else _open_log(log_path)
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            # Between fork and exec it only makes two system calls, looked up beforehand.
            preexec_fn=_die_with(os.getpid(), death_signal),  # noqa: PLW1509
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"cannot start {argv[0]}: {error}") from error
    finally:
        if output is not None:
            os.close(output)


def stop(
    process: subprocess.Popen[bytes], *, with_signal: signal.Signals, timeout_s: float
) -> bool:
    """Ask *process* to end; kill it after *timeout_s*. Return whether it ended when asked."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(with_signal)
    try:
        process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill(process)
        return False
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """
    End *process* and its children at once, as a power cut would, and wait until all are gone.

    PostgreSQL's backends lead sessions of their own, so a group kill would miss them: the process
    is frozen first, so that it cannot fork, and its children are read from /proc. Where that cannot
    be read (no descriptor is left), they are not waited for: they end with their parent.
    """
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)
    children: list[int] = []
    with contextlib.suppress(OSError):
        children = children_of(process.pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    deadline = time.monotonic() + KILL_TIMEOUT_S
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # It may hang in its disk.
        process.wait(timeout=KILL_TIMEOUT_S)
        while any(is_alive(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def is_running(process: subprocess.Popen[bytes]) -> bool:
    """
    Whether *process* has not ended; if it has, what it left behind in its session is ended too.

    A Valkey that is killed while a child of its writes the log anew leaves that child, which holds
    the lock of the data folder.
    """
    if process.returncode is not None:
        return False
    with contextlib.suppress(ChildProcessError):
        # Looked at before it is reaped: until then its number is nobody else's.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.poll() is None


def is_alive(pid: int) -> bool:
    """Whether *pid* runs. A zombie counts as dead: containers without an init never reap them."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in {"Z", "X"}


def children_of(pid: int) -> list[int]:
    """Return the process ids of the direct children of *pid*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            stat = _stat(int(entry.name))
            if stat is not None and int(stat[1]) == pid:
                found.append(int(entry.name))
    return found


def log_tail(path: Path, *, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented, for an error message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty log)"


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _die_with(parent_pid: int, death_signal: signal.Signals) -> Callable[[], None]:
    def before_exec() -> None:
        if _PRCTL is None:
            return
        _PRCTL(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        # A parent that died before the call above will send no signal any more.
        if os.getppid() != parent_pid:
            os._exit(PARENT_GONE_EXIT_CODE)

    return before_exec


def _open_log(path: Path) -> int:
    """Open a log for appending; a large one is put aside first, replacing the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # A log that cannot be put aside grows on.
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_name(path.name + ".1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
