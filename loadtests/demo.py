"""
`make demo`: an event sells out over real HTTP, live, and is then judged.

Scenarios: `rush` (general admission, the default) and `stadium` (seats by best available, then a
waitlist that refills what is cancelled). With a fault, Redis is killed once a quarter is sold, and
its log loses its end (`redis_tail`) or its folder is deleted (`redis_deleted`); nobody helps.

With mail a notifier tells each buyer, and a mail server takes the letters: each booking must have
its confirmation, and the code in the PDF of one lets in once and not twice.

Runs against the Evently that is running, or else starts one of its own in a temporary folder; with
a fault or with mail always the latter. The last line is the verdict; the exit code is 0 only if
everything in it holds.
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
from typing import NamedTuple

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evently.settings import Settings
from loadtests import harm, letters, stadium
from loadtests.backstage import Backstage
from loadtests.chaos import history
from loadtests.chaos.history import Recorder
from loadtests.crowd import Crowd, Tally
from loadtests.events import make_event
from loadtests.letters import Mailed
from loadtests.mail import catching
from loadtests.server import Server, open_folder, running

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
    parser.add_argument("--mail", action="store_true", help="tell buyers by mail, a rush alone")
    arguments = parser.parse_args()
    is_stadium = arguments.scenario == "stadium"
    capacity = arguments.capacity or SCENARIOS[arguments.scenario]
    if not 1 <= arguments.buyers <= 15_000 or not 10 <= capacity <= 1_000_000:
        parser.error("--buyers must be 1..15000, --capacity 10..1000000")
    if is_stadium and (capacity % 400 or not 4_000 <= capacity <= 60_000):
        parser.error("--capacity of a stadium must be a multiple of 400, 4000..60000")
    if is_stadium and arguments.mail:
        parser.error("--mail is of a rush: who waits and cancels gets other letters as well")
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    is_sold = uvloop.run(
        demo(
            buyers=arguments.buyers,
            capacity=capacity,
            seed=seed,
            is_stadium=is_stadium,
            fault=arguments.fault,
            has_mail=arguments.mail,
        )
    )
    sys.exit(0 if is_sold else 1)


async def demo(
    *,
    buyers: int,
    capacity: int,
    seed: int,
    is_stadium: bool = False,
    fault: str | None = None,
    has_mail: bool = False,
) -> bool:
    """Sell out one event of *capacity* places to *buyers* buyers; say and return how it went."""
    console = Console(stderr=True)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="evt-"))
        catcher = None
        if has_mail:
            catcher = await stack.enter_async_context(catching(Path(folder) / "mail"))
        is_own = fault is not None or has_mail
        site = await stack.enter_async_context(
            _running(console, must_be_own=is_own, smtp_url=catcher.url if catcher else "")
        )
        backstage = await stack.enter_async_context(Backstage(site.settings))
        base_url = site.base_url
        console.print(f"{buyers} buyers, {capacity} places, seed {seed}, {base_url}")
        waiters = stadium.CANCELLATIONS if is_stadium else 0
        people = await backstage.people(buyers + waiters)
        admin = await backstage.admin_token()
        event = await make_event(base_url, admin, capacity=capacity, is_stadium=is_stadium)
        crowd = Crowd(
            base_url,
            event,
            recorder := Recorder(Path(folder) / "history"),
            seed=seed,
            deadline_s=DEADLINE_S,
            orders_max=STADIUM_ORDERS_MAX if is_stadium else 1,
        )
        tally, started_s = crowd.tally, time.perf_counter()
        with _progress(console) as progress:
            bar = progress.add_task("sold", total=capacity, refused=0, rate=0, p99=0.0)
            watch = asyncio.create_task(_watch(progress, bar, tally))
            try:
                async with _striking(site.server, fault, tally, capacity, console):
                    await crowd.rush(people[:buyers])
                if is_stadium:
                    progress.update(bar, description="refilled")
                    refill = stadium.Refill(base_url, crowd, recorder, seed=seed)
                    await refill.run(people[buyers:])
            finally:
                watch.cancel()
            _update(progress, bar, tally)
        seconds = time.perf_counter() - started_s
        console.print(_summary(tally, seconds))
        console.print(f"doors shut for {tally.shut_s:.1f} s")
        console.print("draining the journal and asking the reconciler ...")
        calls = history.calls(history.read(Path(folder) / "history"))
        verdict = await backstage.judge(calls, [event["id"]])
        mailed = Mailed()
        if catcher is not None:
            console.print("waiting for the letters ...")
            mailed = await letters.judge(catcher, backstage, base_url, admin, event["id"])
    for text in verdict.texts:
        console.print(text, markup=False)
    is_sold = verdict.holds and verdict.sold == capacity and mailed.holds
    print(
        f"{'SOLD' if is_sold else 'FAILED'} capacity={capacity} confirmed={verdict.sold} "
        f"{verdict.words()} {mailed.words()}seconds={seconds:.1f}"
    )
    return is_sold


@contextlib.asynccontextmanager
async def _striking(
    server: Server | None, fault: str | None, tally: Tally, capacity: int, console: Console
) -> AsyncIterator[None]:
    """Let *fault* strike while the sale within goes on."""
    if server is None or fault is None:
        yield
        return
    striking = asyncio.create_task(strike(server, fault, tally, capacity))
    try:
        yield
        if not striking.done():
            raise RuntimeError("the sale was over before the fault could strike: take more buyers")
        console.print(await striking)
    finally:
        striking.cancel()


async def strike(server: Server, fault: str, tally: Tally, capacity: int) -> str:
    """Wait until the sale has begun, then kill Redis and harm its folder; say what was done."""
    pids = server.pids("redis")  # Looked up beforehand: the sale is over in less time.
    while tally.places < FAULT_AT_SHARE * capacity:  # noqa: ASYNC110
        await asyncio.sleep(FAULT_POLL_S)
    with harm.redis_down(server, pids) as folder:
        done = harm.HARMS[fault](folder)
    return f"Redis was killed with {tally.places} places sold; {done}"


class Site(NamedTuple):
    """The Evently that sells."""

    base_url: str
    settings: Settings
    #: None if it is somebody else's.
    server: Server | None


@contextlib.asynccontextmanager
async def _running(
    console: Console, *, must_be_own: bool, smtp_url: str = ""
) -> AsyncIterator[Site]:
    """Use the Evently that is running, or start one for the length of the demo."""
    settings = Settings.load_or_exit("demo")
    base_url = f"http://{settings.http_host}:{settings.http_port}"
    is_known = settings.jwt_secret and settings.database_url
    if not must_be_own and is_known and await _answers(base_url):
        yield Site(base_url, settings, None)
        return
    console.print("starting an Evently for the demo ...")
    with open_folder() as folder:
        async with running(folder, smtp_url=smtp_url) as server:
            yield Site(server.base_url, server.settings, server)


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


async def _watch(progress: Progress, bar: TaskID, tally: Tally) -> None:
    while True:
        _update(progress, bar, tally)
        await asyncio.sleep(REFRESH_INTERVAL_S)


def _update(progress: Progress, bar: TaskID, tally: Tally) -> None:
    elapsed_s = time.perf_counter() - tally.started_s
    progress.update(
        bar,
        completed=tally.places,
        refused=tally.refused.total(),
        rate=int(tally.requests / elapsed_s),
        p99=tally.percentile_ms(0.99),
    )


def _summary(tally: Tally, seconds: float) -> str:
    refused = ", ".join(f"{code} {count}" for code, count in tally.refused.most_common())
    return (
        f"{tally.requests} answers in {seconds:.1f} s "
        f"({tally.requests / seconds:.0f}/s, p50 {tally.percentile_ms(0.5):.0f} ms, "
        f"p99 {tally.percentile_ms(0.99):.0f} ms); "
        f"{len(tally.bought)} bookings, {tally.repeated} repetitions; "
        f"refused: {refused or 'nobody'}"
    )


if __name__ == "__main__":
    main()
