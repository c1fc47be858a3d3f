"""
The benchmark's contract: what is measured, what each figure must reach, and the form of a result.

`loadtests/results/latest.json` is one document: a `Result` for each measure, the machine and
the commit. A figure is the median of at least three runs, each a pair taken side by side; a run
whose invariants failed is void and not among them.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

Sense = Literal["min", "max"]
ROOT = Path(__file__).parents[2]
RESULTS_PATH = ROOT / "loadtests" / "results"
RUNS_MIN = 3
#: Points at which P1, P2 and P5 are measured: each side at its peak, and with so many connections.
PEAK, AT = "peak", (256, 64)


class Target(NamedTuple):
    """What a measure must reach."""

    title: str
    target: float
    #: `min`: at least the target; `max`: at most.
    sense: Sense
    #: Empty for a ratio.
    unit: str = ""


TARGETS = {
    "P1": Target("booking over HTTP / bare handler, peak against peak", 0.85, "min"),
    "P2": Target("the same while the persister keeps up", 0.55, "min"),
    "P3": Target("booking over HTTP / best of the seed's approaches", 20, "min"),
    "P4": Target("server CPU per booking / per raw XADD, both fsync", 2.0, "max"),
    "P5": Target("sold-out refusals and availability / bare handler", 0.95, "min"),
    "P6": Target("persister rows / raw COPY of the same rows", 0.50, "min"),
    "P7": Target("p99 with 10 000 connections at half of saturation", 100, "max", "ms"),
    "P8": Target("Redis bytes per confirmed booking, persisted", 300, "max", "B"),
    "P9": Target("cost per booking, a million events / one event", 1.10, "max"),
    "P10": Target("rebuild of a shard / raw COPY out of the same rows", 4, "max"),
    "P11": Target("Redis bytes per idle published event", 2_000, "max", "B"),
    "P12": Target("confirmations a second / aiosmtplib alone, the same bytes", 0.7, "min"),
    "P13": Target("CPU time of a ticket as PDF, drawn for the first time", 12, "max", "ms"),
}


#: What the CPU time of the bare handler over that of the API must reach, per request at the peaks.
CPU_TARGETS = {"P1": 0.85}


class Run(NamedTuple):
    """One run of a measure."""

    value: float
    #: Why the run does not count; empty if it does.
    void: str = ""


class Result(msgspec.Struct, kw_only=True):
    """One measure's result, as it stands in the document."""

    #: Median of the valid runs; None if there are fewer than three.
    value: float | None
    target: float
    sense: Sense
    met: bool
    #: Values of the valid runs, in order.
    runs: list[float]
    #: Whatever explains the value; `void` lists the reasons of void runs.
    detail: dict[str, Any]


class Machine(msgspec.Struct, frozen=True):
    """Where a document was made."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    #: Load average of the last minute before the first run: what else was going on.
    load_before: float


def result_of(
    name: str,
    runs: Sequence[Run],
    detail: dict[str, Any],
    *,
    conditions: dict[str, bool] | None = None,
    runs_min: int = RUNS_MIN,
) -> Result:
    """
    Judge the runs of measure *name*.

    Args:
        conditions: What must hold besides the value, such as "no errors", by name.

        runs_min: Valid runs that a value needs.
    """
    target = TARGETS[name]
    valid = [run.value for run in runs if not run.void]
    value = statistics.median(valid) if len(valid) >= runs_min else None
    reached = value is not None and (
        value >= target.target if target.sense == "min" else value <= target.target
    )
    conditions = conditions or {}
    void = [run.void for run in runs if run.void]
    return Result(
        value=value,
        target=target.target,
        sense=target.sense,
        met=reached and all(conditions.values()),
        runs=valid,
        detail=detail
        | ({"conditions": conditions} if conditions else {})
        | ({"void": void} if void else {}),
    )


class Figure(NamedTuple):
    """One line of a report: a measure, or what is told beside it."""

    #: The measure's name, and what is told of it.
    label: str
    title: str
    value: float | None
    runs: Sequence[float]
    sense: Sense
    unit: str = ""
    #: What it must reach; None if it is told and not judged.
    target: float | None = None
    #: "met", "missed", "void" or "missing"; empty if it is not judged.
    verdict: str = ""


def figures(results: dict[str, Result]) -> list[Figure]:
    """Return the lines of all *results*, those of one measure one below the other."""
    found = []
    for name, result in results.items():
        target, points = TARGETS[name], result.detail.get("points", {})
        word = "met" if result.met else "missed"
        if result.value is None:
            word = "void" if "void" in result.detail else "missing"
        line = Figure(name, target.title, result.value, result.runs, result.sense, target.unit)
        found.append(line._replace(target=result.target, verdict=word))
        if points:
            peak, least = points[PEAK], CPU_TARGETS.get(name)
            cpu = Figure(
                f"{name} CPU", "CPU time a request", peak["cpu_ratio"], peak["cpu_ratios"], "min"
            )
            if least is not None and cpu.value is not None:
                cpu = cpu._replace(target=least, verdict="met" if cpu.value >= least else "missed")
            found.append(cpu)
        for connections in AT if points else ():
            point = points[str(connections)]
            title = f"with {connections} connections each"
            found.append(
                Figure(f"{name} at {connections}", title, point["value"], point["runs"], "min")
            )
    return found


def missing(name: str, reason: str) -> Result:
    """Return the result of a measure that could not be made."""
    return result_of(name, [], {"missing": reason})


def document(
    results: dict[str, Result], *, machine: Machine, extra: dict[str, Any]
) -> dict[str, Any]:
    """Put results together: what is written as `latest.json`."""
    ordered = {name: results[name] for name in TARGETS if name in results}
    plain: dict[str, Any] = msgspec.to_builtins(ordered)
    return plain | {"machine": msgspec.to_builtins(machine), "commit": commit()} | extra


def results_in(found: dict[str, Any]) -> dict[str, Result]:
    """
    Read the results of a document.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    return {
        name: msgspec.convert(found[name], Result, strict=True) for name in TARGETS if name in found
    }


def this_machine() -> Machine:
    """Describe the machine."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return Machine(
        cpu=cpus[0] if cpus else platform.machine(),
        cores=len(cpus),
        memory_mib=memory_kib // 1024,
        kernel=platform.release(),
        python=platform.python_version(),
        load_before=float(Path("/proc/loadavg").read_text().split()[0]),
    )


def commit() -> str:
    """Return the commit that was measured, with `-dirty` behind it if files were changed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
