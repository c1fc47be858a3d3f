"""Faults of the machine below everything: a disk that is full, files that cannot be opened."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtests.chaos.nemesis import Fault, Nemesis


async def fill_volume(nemesis: Nemesis, fault: Fault) -> None:
    """Fill the disk that all data lies on, and have room again (F18)."""
    site = nemesis.site
    assert site.volume is not None, "the site of this fault has a disk of its own"
    nemesis.note(site.volume.fill(site.everybody()))
    try:
        if fault.number % 2:  # As the first to start again while there is no room.
            site.send("redis", signal.SIGKILL)
        await asyncio.sleep(fault.duration_s)
    finally:
        site.volume.free(site.everybody())


async def starve_supervisor(nemesis: Nemesis, fault: Fault) -> None:
    """Let the supervisor open no more files, and end something that it has to start again."""
    supervisor = nemesis.site.server.process
    if supervisor is None or supervisor.poll() is not None:
        return
    pid = supervisor.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_files = _open_files(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files, hard))
    nemesis.note(f"the supervisor may open no file beside its {open_files}")
    try:
        victim = ("redis", "persister", "coordinator")[fault.number % 3]
        nemesis.site.send(victim, signal.SIGKILL, index=fault.number)
        await asyncio.sleep(fault.duration_s)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
