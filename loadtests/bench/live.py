"""
P16: ten thousand listeners of one event's stream, two changes a second.

`make bench ONLY=P16`: listeners are a process of their own over real sockets; each change is a
booking over HTTP, and its delay counts from before it is sent until the last listener has it.
Printed and not kept, as P15 is. The share of a core is the API process's CPU time over the time by
the clock, and depends less on who else runs than the delays do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from engine.ids import new_id
from loadtests.bench.cpu import cpu_s, load_average
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, make_sale

LISTENERS, LISTENERS_QUICK = 10_000, 1_000
CHANGES, CHANGES_QUICK = 40, 10
CHANGE_INTERVAL_S = 0.5
#: How long the last change may take to come.
LAST_S = 3.0
IDLE_S = 5.0
READY_TIMEOUT_S = 150.0
DELAY_MAX_MS, KIB_MAX, SHARE_MAX = 500.0, 15.0, 0.20


class Measured(NamedTuple):
    """The figures of one run."""

    listeners: int
    changes: int
    #: Changes that came to all.
    complete: int
    worst_ms: float
    median_ms: float
    kib: float
    share: float
    #: The same while nothing changes.
    idle_share: float
    lost: int

    @property
    def is_met(self) -> bool:
        """Whether all that is promised was kept."""
        is_whole = self.complete == self.changes and not self.lost
        is_quick = self.worst_ms <= DELAY_MAX_MS and self.share <= SHARE_MAX
        return is_whole and is_quick and self.kib <= KIB_MAX


async def measure(*, is_quick: bool) -> bool:
    """Let the listeners in, change, print the figures; return whether they are as promised."""
    number = LISTENERS_QUICK if is_quick else LISTENERS
    changes = CHANGES_QUICK if is_quick else CHANGES
    async with Rig(streams_per_address_max=0, streams_max=2 * number) as rig:
        buyers = await Buyers.make(rig, changes + 1)
        sale = await make_sale(rig)
        measured = await _listen(rig, sale, buyers, number=number, changes=changes)
    print(
        f"P16 {'met' if measured.is_met else 'missed'}: listeners={measured.listeners} "
        f"changes={measured.changes} told_to_all={measured.complete} lost={measured.lost} "
        f"worst_ms={measured.worst_ms:.0f} (<= {DELAY_MAX_MS:.0f}) "
        f"median_ms={measured.median_ms:.0f} kib_a_listener={measured.kib:.1f} (<= {KIB_MAX:.0f}) "
        f"share_of_a_core={measured.share:.3f} (<= {SHARE_MAX:.2f}) "
        f"idle_share={measured.idle_share:.3f} load_average={load_average()}"
    )
    return measured.is_met


async def _listen(rig: Rig, sale: Sale, buyers: Buyers, *, number: int, changes: int) -> Measured:
    [pid] = rig.server.pids("api")
    path = f"/v1/events/{sale.event_id}/stream"
    before_kib = _resident_kib(pid)
    listeners = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests.bench.listeners"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        await _say(listeners, {"port": rig.port, "path": path, "number": number})
        assert await _hear(listeners, READY_TIMEOUT_S) == b"ready\n"
        await asyncio.sleep(1)
        kib = (_resident_kib(pid) - before_kib) / number
        tokens = buyers.tokens_path.read_text().split()
        before_s, started_s = cpu_s(pid), time.monotonic()
        await asyncio.sleep(IDLE_S)
        idle_share = (cpu_s(pid) - before_s) / (time.monotonic() - started_s)
        before_s, started_s = cpu_s(pid), time.monotonic()
        asked_s = await _change(sale, tokens, changes)
        share = (cpu_s(pid) - before_s) / (time.monotonic() - started_s)
        await asyncio.sleep(LAST_S)
        await _say(listeners, {})
        told = json.loads(await _hear(listeners, READY_TIMEOUT_S))
    finally:
        if listeners.returncode is None:
            listeners.kill()
        await listeners.wait()
    delays = []
    for left, at_s in asked_s.items():
        count, last_s = told["heard"].get(str(left), (0, 0.0))
        if count == number:
            delays.append(1_000 * (last_s - at_s))
    delays.sort()
    worst_ms = delays[-1] if delays else float("inf")
    median_ms = delays[len(delays) // 2] if delays else float("inf")
    return Measured(
        number, changes, len(delays), worst_ms, median_ms, kib, share, idle_share, told["lost"]
    )


async def _change(sale: Sale, tokens: list[str], changes: int) -> dict[int, float]:
    """Book one place, again and again; return when each was asked for, by what is left then."""
    asked_s: dict[int, float] = {}
    async with aiohttp.ClientSession() as session:
        next_s = time.monotonic()
        for change in range(changes):
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            next_s += CHANGE_INTERVAL_S
            asked_s[sale.capacity - change - 1] = time.monotonic()
            async with session.post(
                sale.base_url + sale.bookings_path,
                data=sale.order,
                headers={
                    "Authorization": f"Bearer {tokens[change]}",
                    "Idempotency-Key": new_id("key"),
                },
            ) as response:
                assert response.status == 201, await response.text()
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    return asked_s


async def _say(process: asyncio.subprocess.Process, what: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(what).encode() + b"\n")
    await process.stdin.drain()


async def _hear(process: asyncio.subprocess.Process, timeout_s: float) -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), timeout_s)


def _resident_kib(pid: int) -> int:
    """Return the memory that a process has in use, in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])
