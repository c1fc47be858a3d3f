"""
Load from outside: wrk where it is installed, else the built-in client; each its own process.

Both send the very same bytes. The built-in client waits for every answer, so that what was
acknowledged is known exactly; wrk drops the requests that are under way when its time is up.
Reports the generator's own CPU time, which shows that it was not the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from loadtests.bench.http_client import PERCENTILES, Job, Report, Request
from loadtests.server import LOOPBACK

#: Time a generator may take beyond its run: preparing, connecting, last answers.
EXTRA_TIMEOUT_S = 90.0
#: More than any server here answers: how many requests are made ready for a second.
REQUESTS_PER_S_MAX = 45_000
_WRK = """\
local tokens = {{}}
{read_tokens}
local n, before, middle, after = {first}, {before}, {middle}, {after}
local format = string.format
function request()
  if #tokens == 0 then return before end
  n = n + 1
  return before .. tokens[(n - 1) % #tokens + 1] .. middle .. format('%012d', n - 1) .. after
end
function done(summary, latency)
  local e = summary.errors
  io.stderr:write(format(
    '{{"requests":%d,"us":%d,"refused":%d,"errors":%d,'
      .. '"p50":%f,"p90":%f,"p99":%f,"p999":%f,"max":%f}}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency:percentile(99.9), latency.max))
end
"""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a generator saw."""

    tool: str
    #: Requests that were answered.
    answered: int
    seconds: float
    #: Answers with a 2xx status.
    succeeded: int
    #: Requests without an answer, broken connections.
    errors: int
    #: CPU time of the generator, in seconds.
    cpu_s: float
    #: Answers by status; empty where the generator does not tell.
    statuses: dict[int, int]
    latency_ms: dict[str, float]
    #: Whether every request that was sent is counted.
    is_exact: bool
    waiting_max: int = 0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    def facts(self) -> dict[str, Any]:
        """Return what belongs into a result's detail."""
        return {
            "per_s": round(self.per_s, 1),
            "latency_ms": self.latency_ms,
            "generator": self.tool,
            "generator_cpu_us": round(1e6 * self.cpu_s / max(1, self.answered), 2),
            "generator_cpu_share": round(self.cpu_s / self.seconds, 3),
        }


def tools() -> list[str]:
    """Return the generators that are there, the one that is used by default first."""
    return (["wrk"] if shutil.which("wrk") else []) + ["built-in"]


async def saturate(request: Request, *, connections: int, seconds: float, tool: str = "") -> Load:
    """Send as fast as the server answers: the closed loop."""
    if (tool or tools()[0]) == "wrk":
        return await _wrk(request, connections=connections, seconds=seconds)
    requests_max = int(REQUESTS_PER_S_MAX * seconds)
    return await _built_in(Job(connections, request, requests_max, seconds))


async def send_each_once(request: Request, *, count: int, connections: int = 64) -> Load:
    """Send exactly *count* requests."""
    return await _built_in(Job(connections, request, count, EXTRA_TIMEOUT_S))


async def follow_schedule(
    request: Request, *, connections: int, seconds: float, rate: float, seed: int
) -> Load:
    """Send *rate* requests a second on a Poisson schedule, whatever the answers do: open loop."""
    requests_max = int(1.2 * rate * seconds) + 100
    return await _built_in(Job(connections, request, requests_max, seconds, rate, seed))


async def _built_in(job: Job) -> Load:
    output, _ = await _run(
        [sys.executable, "-m", "loadtests.bench.http_client"], msgspec.json.encode(job), job.seconds
    )
    report = msgspec.json.decode(output, type=Report)
    answered = sum(report.statuses.values())
    return Load(
        tool="built-in",
        answered=answered,
        seconds=report.seconds,
        succeeded=sum(count for status, count in report.statuses.items() if status < 300),
        errors=report.errors,
        cpu_s=report.cpu_s,
        statuses=report.statuses,
        latency_ms=report.latency_ms,
        is_exact=True,
        waiting_max=report.waiting_max,
    )


async def _wrk(request: Request, *, connections: int, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_wrk_script(request))
        script.flush()
        used_s = _children_cpu_s()
        words = f"wrk -t1 -c{connections} -d{max(1, round(seconds))}s --timeout 10s -s".split()
        _, complaints = await _run(
            [*words, script.name, f"http://{LOOPBACK}:{request.port}"], b"", seconds
        )
        used_s = _children_cpu_s() - used_s
    found = json.loads(complaints[complaints.index(b"{") :])
    return Load(
        tool="wrk",
        answered=found["requests"],
        seconds=found["us"] / 1e6,
        succeeded=found["requests"] - found["refused"],
        errors=found["errors"],
        cpu_s=used_s,
        statuses={},
        latency_ms={name: round(found[name] / 1000, 3) for name in PERCENTILES},
        is_exact=False,
    )


def _wrk_script(request: Request) -> str:
    if not request.tokens_path:
        return _WRK.format(
            read_tokens="",
            first=0,
            before=_quoted(request.before + request.after),
            middle="''",
            after="''",
        )
    return _WRK.format(
        read_tokens=f"for line in io.lines({_quoted(request.tokens_path)}) do "
        "tokens[#tokens + 1] = line end",
        first=request.first,
        before=_quoted(request.before),
        middle=_quoted(request.between + request.key_prefix),
        after=_quoted(request.after),
    )


def _quoted(text: str) -> str:
    """Return *text* as a Lua string."""
    return "'" + "".join(f"\\{byte:03d}" for byte in text.encode()) + "'"


async def _run(command: list[str], stdin: bytes, seconds: float) -> tuple[bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        output, complaints = await asyncio.wait_for(
            process.communicate(stdin), seconds + EXTRA_TIMEOUT_S
        )
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {complaints.decode()[-2000:]}")
    return output, complaints


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
