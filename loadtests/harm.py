"""
Harm done to Redis in mid-sale: its log loses its tail, or its folder is deleted.

What a disk that lied, or a hand that slipped, does to a running Evently. Nobody helps it
afterwards: the supervisor starts Redis again, the coordinator recovers the shard.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evently.embedded.valkey import LOG_FOLDER
from loadtests.server import Server, living, send

#: Bytes that a log loses: some dozens of bookings.
TAIL_BYTES = 40_000
DEATH_TIMEOUT_S = 10.0
DEATH_POLL_S = 0.002


def cut_tail(folder: Path, tail_bytes: int = TAIL_BYTES) -> str:
    """Cut the end off Redis's newest log in *folder*, half of it at most; say what was done."""
    log = newest_log(folder)
    size = log.stat().st_size
    cut = min(tail_bytes, size // 2)
    os.truncate(log, size - cut)
    return f"cut {cut} of {size} bytes off {log.name}"


def delete_data(folder: Path) -> str:
    """Delete all that Redis has on disk, its settings and its socket as well."""
    shutil.rmtree(folder)
    return f"deleted {folder}"


#: By the name that `make demo FAULT=...` takes.
HARMS: dict[str, Callable[[Path], str]] = {"redis_tail": cut_tail, "redis_deleted": delete_data}


def newest_log(folder: Path) -> Path:
    """Return the file of Redis's append-only log that is written to."""
    logs = folder.glob(f"{LOG_FOLDER}/*.incr.aof")
    return max(logs, key=lambda path: int(path.name.split(".")[2]))


@contextlib.contextmanager
def redis_down(server: Server, pids: Sequence[int] = ()) -> Iterator[Path]:
    """
    Kill Redis, let nobody start it meanwhile, and yield its folder.

    Args:
        pids: Its processes, where the moment counts: looking for them takes a while.
    """
    killed = pids or server.pids("redis")
    with server.supervisor_stopped():
        send(killed, signal.SIGKILL)
        deadline_s = time.monotonic() + DEATH_TIMEOUT_S
        while living() & set(killed):  # It may still be writing.
            assert time.monotonic() < deadline_s, "Redis outlived SIGKILL"
            time.sleep(DEATH_POLL_S)
        yield server.data_path / "redis"
