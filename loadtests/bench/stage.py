"""
What the measures over HTTP share: one rig with its buyers, the bare handler, and a timed run.

The rig is started when a measure first needs it and serves all of them, as one service would.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from loadtests.bench.cpu import cpu_s
from loadtests.bench.http_client import Request
from loadtests.bench.load import Load, saturate
from loadtests.bench.rig import Rig, Served, serving
from loadtests.bench.sale import Buyers, Sale, booking_request, make_sale, warm_up

CONNECTIONS = 64


class Sizes(NamedTuple):
    """How much is done; `--quick` does less, for trying."""

    #: Paired runs of a measure.
    pairs: int = 3
    #: The same where a pair is two rates at their peak: they move most with who else is there.
    peak_pairs: int = 4
    #: Length in s of a saturating run, of one of many (P1, P2, P5), of one that looks for the peak.
    run_s: float = 4.0
    pair_s: float = 2.5
    probe_s: float = 1.5
    buyers: int = 60_000
    #: Bookings of a measure that counts bytes, or fills a journal.
    bookings: int = 50_000
    #: Open connections of P7.
    crowd: int = 10_000
    #: Events in PostgreSQL, and published, of P9.
    events: int = 1_000_000
    events_published: int = 10_000


FULL = Sizes()
QUICK = Sizes(
    peak_pairs=3,
    run_s=1.0,
    pair_s=1.0,
    probe_s=1.0,
    buyers=10_000,
    bookings=10_000,
    crowd=2_000,
    events=20_000,
    events_published=1_000,
)


class Driven(NamedTuple):
    """A run of load with the CPU time that the servers used for it."""

    load: Load
    #: Seconds by part: api, valkey, persister, postgres; or bare.
    cpu: dict[str, float]

    def us_per_answer(self, *names: str) -> float:
        """Return the CPU time per answer of some parts, in µs."""
        return 1e6 * sum(self.cpu[name] for name in names) / max(1, self.load.answered)

    def facts(self) -> dict[str, Any]:
        """Return what belongs into a result's detail."""
        return self.load.facts() | {
            "cpu_us": {name: round(self.us_per_answer(name), 2) for name in self.cpu},
            # Near 1: the server's process, and not the generator, was the bottleneck.
            "server_cpu_share": round(
                self.cpu.get("bare", self.cpu.get("api", 0.0)) / self.load.seconds, 3
            ),
        }


class Stage:
    """One rig, its buyers and the bare handler, for as long as the benchmark runs."""

    def __init__(self, sizes: Sizes, stack: contextlib.AsyncExitStack) -> None:
        self.sizes = sizes
        #: The number of connections at which a side was found to be at its best, by its name.
        self.best: dict[str, int] = {}
        self._stack = stack
        self._rig: Rig | None = None
        self._buyers: Buyers | None = None
        self._bare: Served | None = None

    async def rig(self) -> tuple[Rig, Buyers]:
        """Return the rig, with every buyer's token known to its API."""
        if self._rig is None or self._buyers is None:
            self._rig = await self._stack.enter_async_context(Rig())
            self._buyers = await Buyers.make(self._rig, self.sizes.buyers)
            await warm_up(self._rig, await make_sale(self._rig), self._buyers)
        return self._rig, self._buyers

    async def bare(self) -> Served:
        """Return the bare handler."""
        if self._bare is None:
            self._bare = await self._stack.enter_async_context(serving("loadtests.bench.bare"))
        return self._bare


async def drive_process(
    served: Served, request: Request, *, seconds: float, connections: int, tool: str = ""
) -> Driven:
    """Saturate a process that serves by itself."""
    before_s = cpu_s(served.pid)
    load = await saturate(request, connections=connections, seconds=seconds, tool=tool)
    return Driven(load, {"bare": cpu_s(served.pid) - before_s})


async def drive(
    rig: Rig, request: Request, *, seconds: float, connections: int = CONNECTIONS
) -> Driven:
    """Saturate the rig's API."""
    before = rig.cpu()
    load = await saturate(request, connections=connections, seconds=seconds)
    after = rig.cpu()
    return Driven(load, {name: after[name] - before[name] for name in after})


async def drive_bookings(
    rig: Rig, sale: Sale, buyers: Buyers, *, seconds: float, connections: int = CONNECTIONS
) -> Driven:
    """Saturate the rig's API with bookings of one place by distinct buyers in turn."""
    first = buyers.take(0)
    request = booking_request(rig, sale, buyers, first=first)
    driven = await drive(rig, request, seconds=seconds, connections=connections)
    buyers.give_back(first + driven.load.answered + driven.load.errors + connections)
    return driven
