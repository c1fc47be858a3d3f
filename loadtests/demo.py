"""
`make demo`: an event sells out over real HTTP, live, and is then judged.

Scenarios: `rush` (general admission, the default) and `stadium` (seats by best available, then a
waitlist that refills what is cancelled). With a fault, Redis is killed once a quarter is sold, and
its log loses its end (`redis_tail`) or its folder is deleted (`redis_deleted`); nobody helps.

Runs against the Evently that is running, or else starts one of its own in a temporary folder; with
a fault always the latter. The last line is the verdict; the exit code is 0 only if everything in it
holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evently.settings import Settings
from loadtests import harm, stadium
from loadtests.backstage import Backstage, in_a_month
from loadtests.crowd import Crowd, History
from loadtests.server import Server
from loadtests.verdict import Verdict, judge

#: Shares of the capacity, names and prices of the three tiers.
TIERS = ((0.6, "Standing", 4_500), (0.3, "Seated", 6_500), (0.1, "Front row", 12_000))
#: Scenarios with their usual capacity.
SCENARIOS = {"rush": 1_000, "stadium": 20_000}
#: Orders of one buyer where a stadium is to be filled.
STADIUM_ORDERS_MAX = 4
DEADLINE_S = 120.0
REFRESH_INTERVAL_S = 0.1
#: Share of the places that is sold before a fault strikes.
FAULT_AT_SHARE = 0.25
FAULT_POLL_S = 0.002


def main() -> None:
    """Read the arguments, run the demo, end with its verdict."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default="rush", help="which sale (rush)")
    parser.add_argument("--buyers", type=int, default=5_000, help="how many want to buy (5000)")
    parser.add_argument("--capacity", type=int, help="places (rush 1000, stadium 20000)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the buyers' choices")
    parser.add_argument("--fault", choices=harm.HARMS, help="what befalls Redis in mid-sale (none)")
    arguments = parser.parse_args()
    is_stadium = arguments.scenario == "stadium"
    capacity = arguments.capacity or SCENARIOS[arguments.scenario]
    if not 1 <= arguments.buyers <= 15_000 or not 10 <= capacity <= 1_000_000:
        parser.error("--buyers must be 1..15000, --capacity 10..1000000")
    if is_stadium and (capacity % 400 or not 4_000 <= capacity <= 60_000):
        parser.error("--capacity of a stadium must be a multiple of 400, 4000..60000")
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    verdict = uvloop.run(
        demo(
            buyers=arguments.buyers,
            capacity=capacity,
            seed=seed,
            is_stadium=is_stadium,
            fault=arguments.fault,
        )
    )
    print(verdict.line())
    sys.exit(0 if verdict.holds else 1)


async def demo(
    *, buyers: int, capacity: int, seed: int, is_stadium: bool = False, fault: str | None = None
) -> Verdict:
    """Sell out one event of *capacity* places to *buyers* buyers; return the verdict."""
    console = Console(stderr=True)
    async with (
        _running(console, must_be_own=fault is not None) as site,
        Backstage(site.settings) as backstage,
    ):
        base_url = site.base_url
        console.print(f"{buyers} buyers, {capacity} places, seed {seed}, {base_url}")
        waiters = stadium.CANCELLATIONS if is_stadium else 0
        tokens = await backstage.buyer_tokens(buyers + waiters)
        event = await make_event(
            base_url, await backstage.admin_token(), capacity=capacity, is_stadium=is_stadium
        )
        crowd = Crowd(
            base_url,
            event["id"],
            [tier["id"] for tier in event["tiers"]],
            seed=seed,
            deadline_s=DEADLINE_S,
            orders_max=STADIUM_ORDERS_MAX if is_stadium else 1,
        )
        started_s = time.perf_counter()
        with _progress(console) as progress:
            bar = progress.add_task("sold", total=capacity, refused=0, rate=0, p99=0.0)
            watch = asyncio.create_task(_watch(progress, bar, crowd.history))
            try:
                async with _striking(site.server, fault, crowd.history, capacity, console):
                    await crowd.rush(tokens[:buyers])
                if is_stadium:
                    progress.update(bar, description="refilled")
                    refill = stadium.Refill(base_url, event["id"], crowd.history, seed=seed)
                    await refill.run(tokens[buyers:])
            finally:
                watch.cancel()
            _update(progress, bar, crowd.history)
        seconds = time.perf_counter() - started_s
        console.print(_summary(crowd.history, seconds))
        console.print(f"doors shut for {crowd.history.shut_s:.1f} s")
        console.print("draining the journal and asking the reconciler ...")
        return await judge(
            backstage, crowd.history, event["id"], capacity=capacity, seconds=seconds
        )


@contextlib.asynccontextmanager
async def _striking(
    server: Server | None, fault: str | None, history: History, capacity: int, console: Console
) -> AsyncIterator[None]:
    """Let *fault* strike while the sale within goes on."""
    if server is None or fault is None:
        yield
        return
    striking = asyncio.create_task(strike(server, fault, history, capacity))
    try:
        yield
        if not striking.done():
            raise RuntimeError("the sale was over before the fault could strike: take more buyers")
        console.print(await striking)
    finally:
        striking.cancel()


async def strike(server: Server, fault: str, history: History, capacity: int) -> str:
    """Wait until the sale has begun, then kill Redis and harm its folder; say what was done."""
    pids = harm.redis_pids(server)  # Looked up beforehand: the sale is over in less time.
    while history.places < FAULT_AT_SHARE * capacity:  # noqa: ASYNC110
        await asyncio.sleep(FAULT_POLL_S)
    with harm.redis_down(server, pids) as folder:
        done = harm.HARMS[fault](folder)
    return f"Redis was killed with {history.places} places sold; {done}"


async def make_event(
    base_url: str, token: str, *, capacity: int, is_stadium: bool = False
) -> dict[str, Any]:
    """Make and publish an event of three tiers, or of a seated hall, over HTTP; return it."""
    sizes = [int(share * capacity) for share, _, _ in TIERS]
    sizes[0] += capacity - sum(sizes)
    body = {
        "name": "Demo: the whole town wants in",
        "starts_at": in_a_month(),
        "max_per_user": 10,
        "tiers": [
            {"name": name, "capacity": size, "price": {"amount": price, "currency": "EUR"}}
            for size, (_, name, price) in zip(sizes, TIERS, strict=True)
        ],
    }
    if is_stadium:
        body |= stadium.hall(capacity)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(base_url, headers=headers, raise_for_status=True) as session:
        async with session.post("/v1/events", json=body) as response:
            event: dict[str, Any] = await response.json()
        async with session.post(f"/v1/events/{event['id']}/publish"):
            return event


class Site(NamedTuple):
    """The Evently that sells."""

    base_url: str
    settings: Settings
    #: None if it is somebody else's.
    server: Server | None


@contextlib.asynccontextmanager
async def _running(console: Console, *, must_be_own: bool) -> AsyncIterator[Site]:
    """Use the Evently that is running, or start one for the length of the demo."""
    settings = Settings.load_or_exit("demo")
    base_url = f"http://{settings.http_host}:{settings.http_port}"
    is_known = settings.jwt_secret and settings.database_url
    if not must_be_own and is_known and await _answers(base_url):
        yield Site(base_url, settings, None)
        return
    with tempfile.TemporaryDirectory(prefix="evently-demo-") as folder:
        server = Server(Path(folder) / "data")
        console.print(f"starting an Evently for the demo in {server.data_path} ...")
        try:
            await server.start()
            yield Site(server.base_url, server.settings, server)
        finally:
            await server.stop()


async def _answers(base_url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=2)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base_url}/readyz") as response,
        ):
            return response.status == 200
    return False


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("refused {task.fields[refused]}"),
        TextColumn("{task.fields[rate]}/s"),
        TextColumn("p99 {task.fields[p99]:.0f} ms"),
        TimeElapsedColumn(),
        console=console,
    )


async def _watch(progress: Progress, bar: TaskID, history: History) -> None:
    while True:
        _update(progress, bar, history)
        await asyncio.sleep(REFRESH_INTERVAL_S)


def _update(progress: Progress, bar: TaskID, history: History) -> None:
    elapsed_s = time.perf_counter() - history.started_s
    progress.update(
        bar,
        completed=history.places,
        refused=history.refused.total(),
        rate=int(history.requests / elapsed_s),
        p99=history.percentile_ms(0.99),
    )


def _summary(history: History, seconds: float) -> str:
    refused = ", ".join(f"{code} {count}" for code, count in history.refused.most_common())
    return (
        f"{history.requests} answers in {seconds:.1f} s "
        f"({history.requests / seconds:.0f}/s, p50 {history.percentile_ms(0.5):.0f} ms, "
        f"p99 {history.percentile_ms(0.99):.0f} ms); "
        f"{len(history.confirmed)} bookings, {history.repeated} repetitions; "
        f"refused: {refused or 'nobody'}"
    )


if __name__ == "__main__":
    main()
