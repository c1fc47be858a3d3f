"""
CPU time of processes, read from /proc: what a ratio of throughputs hides on a shared machine.

Throughput on two cores depends on who else runs; CPU time per request hardly does. Linux alone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Fields of /proc/PID/stat behind the name: the parent; user and system time, own and of children
#: that were waited for.
PARENT, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process's living threads have used, in s; 0 if it is gone."""
    total_ns = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # A thread may end while we look.
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def family_cpu_s(pid: int) -> float:
    """Return the CPU time of a process, of its living children, and of those it has reaped."""
    stats = _stats()
    if pid not in stats:
        return 0.0
    own = stats[pid]
    total = cpu_s(pid) + (own[CHILDREN_USER] + own[CHILDREN_SYSTEM]) / TICKS_PER_S
    return total + sum(cpu_s(child) for child, fields in stats.items() if fields[PARENT] == pid)


def load_average() -> str:
    """Return how many processes wanted to run in the last minute."""
    return Path("/proc/loadavg").read_text().split()[0]


def _stats() -> dict[int, list[int]]:
    """Return the numbers of /proc/PID/stat from the state on, by process; the state as 0."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found[int(folder.name)] = [0, *map(int, fields[1:])]
    return found
