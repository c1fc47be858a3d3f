"""
P12: how fast confirmations leave after a sell-out, and what a sale notices of it.

A backlog of bookings is sold first; then a notifier drains it, in turns without and with tickets as
PDF, beside aiosmtplib alone handing in the same bytes over as many connections. A drain is cut
after a while: its rate says how long all takes. The mail server takes all and keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from email import policy
from typing import Any, NamedTuple

import aiosmtplib
import msgspec

from loadtests.backstage import Backstage
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.cpu import family_cpu_s
from loadtests.bench.load import send_each_once
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, booking_request, find_drift, find_fault, make_sale
from loadtests.bench.stage import CONNECTIONS, Stage, drive_bookings
from loadtests.mail import Catcher, catching

#: Letters under way at a time, as by default; the bare side has as many connections.
WORKERS = 8
#: Letters that leave before a notifier is measured: it has started, and the press as well.
WARM_LETTERS = 50
START_TIMEOUT_S = 60.0
POLL_S = 0.05
#: Providers that buyers have: the limit of letters to one at a time is not what is measured.
DOMAINS = 97
#: What a sale keeps of its rate while confirmations leave, at least.
SALES_KEPT = 0.9
#: Of how many confirmations the report says how long they take.
STATED = 50_000
_SPREAD = """
UPDATE users SET email = id || '@d' || abs(hashtext(id)) % $1 || '.example'
WHERE email LIKE '%@seed.evently.localhost'
"""
_SENT = (
    "SELECT count(*) FROM deliveries WHERE channel = 'mail' AND state = 'sent' AND ended_at > $1"
)


class Drained(NamedTuple):
    """What a notifier did while it was looked at."""

    per_s: float
    #: CPU time of a letter in ms, of the notifier and of what draws for it.
    cpu_ms: float
    #: Bookings a second meanwhile.
    sales_per_s: float


async def measure_p12(stage: Stage) -> Result:
    """Drain in turns, bare, without and with tickets; and sell beside it, and alone, in turns."""
    sizes = stage.sizes
    rows: list[dict[str, Any]] = []
    async with Rig() as rig, catching(rig.path / "mail", forgets=True) as catcher:
        buyers = await Buyers.make(rig, sizes.buyers)
        async with rig.backstage() as backstage, rig.persisting():
            await backstage.database.execute(_SPREAD, DOMAINS)
            sale = await make_sale(rig)
            backlog = booking_request(rig, sale, buyers, first=0)
            load = await send_each_once(backlog, count=sizes.bookings)
            fault = await find_fault(rig, sale, load, connections=CONNECTIONS)
            for number in range(sizes.pairs):
                row = await _turn(rig, backstage, catcher, buyers, sizes.run_s, is_odd=number % 2)
                rows.append(row)
            drift = await find_drift(rig, [sale])
    fault = fault or drift.get(sale.event_id, "")
    kept = statistics.median(row["sales_kept"] for row in rows)
    stated = {
        name: round(STATED / statistics.median(row[name]["per_s"] for row in rows))
        for name in ("plain", "tickets")
    }
    return result_of(
        "P12",
        [Run(row["plain"]["per_s"] / row["bare_per_s"], fault) for row in rows],
        {"rows": rows, "workers": WORKERS, f"seconds_for_{STATED}": stated, "sales_kept": kept},
        conditions={"sales at 0.9 of their rate": kept >= SALES_KEPT},
    )


async def _turn(
    rig: Rig, backstage: Backstage, catcher: Catcher, buyers: Buyers, run_s: float, *, is_odd: int
) -> dict[str, Any]:
    """Measure each side once; the two that sell change places from turn to turn."""
    alone_per_s = 0.0 if is_odd else await _sell(rig, buyers, run_s)
    tickets = await _drain(rig, backstage, catcher, "on", run_s, buyers)
    alone_per_s = alone_per_s or await _sell(rig, buyers, run_s)
    plain = await _drain(rig, backstage, catcher, "off", run_s)
    bare_per_s = await _bare(catcher, run_s)
    return {
        "plain": plain._asdict(),
        "tickets": tickets._asdict(),
        "bare_per_s": round(bare_per_s, 1),
        "sales_alone_per_s": round(alone_per_s, 1),
        "sales_kept": round(tickets.sales_per_s / alone_per_s, 3),
    }


async def _sell(rig: Rig, buyers: Buyers, seconds: float) -> float:
    """Sell as fast as it goes; return bookings a second, of an event of their own."""
    sale: Sale = await make_sale(rig)
    driven = await drive_bookings(rig, sale, buyers, seconds=seconds)
    if fault := await find_fault(rig, sale, driven.load, connections=CONNECTIONS):
        raise RuntimeError(fault)
    return driven.load.per_s


async def _drain(
    rig: Rig,
    backstage: Backstage,
    catcher: Catcher,
    tickets: str,
    seconds: float,
    buyers: Buyers | None = None,
) -> Drained:
    """Let a notifier work for a while, undisturbed; then beside a sale, if there are *buyers*."""
    async with _notifying(rig, catcher, tickets) as pid:
        await _until_warm(backstage)
        since, started_s, before_s = await _now(backstage), time.monotonic(), family_cpu_s(pid)
        await asyncio.sleep(2 * seconds)
        passed_s, used_s = time.monotonic() - started_s, family_cpu_s(pid) - before_s
        count = await backstage.database.fetchval(_SENT, since)
        if not count:
            raise RuntimeError("no letter left, or there were too few to begin with")
        sales_per_s = await _sell(rig, buyers, seconds) if buyers else 0.0
    return Drained(round(count / passed_s, 1), round(1e3 * used_s / count, 2), sales_per_s)


@contextlib.asynccontextmanager
async def _notifying(rig: Rig, catcher: Catcher, tickets: str) -> AsyncIterator[int]:
    """Run a notifier for as long as the block lasts; yield its process."""
    settings = msgspec.structs.replace(
        rig.settings, smtp_url=catcher.url, mail_tickets=tickets, notifier_workers=WORKERS
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "notifier"),
        env=os.environ | settings.to_env() | {"EVENTLY_PART": "notifier"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _until_warm(backstage: Backstage) -> None:
    since = await _now(backstage)
    async with asyncio.timeout(START_TIMEOUT_S):
        while await backstage.database.fetchval(_SENT, since) < WARM_LETTERS:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


async def _now(backstage: Backstage) -> Any:
    return await backstage.database.fetchval("SELECT clock_timestamp()")


async def _bare(catcher: Catcher, seconds: float) -> float:
    """Hand the first letter in again and again, over as many connections; return its rate."""
    content = catcher.letters()[0].as_bytes(policy=policy.SMTP)
    until_s = time.monotonic() + seconds

    async def send() -> int:
        count = 0
        smtp = aiosmtplib.SMTP(hostname=catcher.host, port=catcher.port, start_tls=False)
        async with smtp:
            while time.monotonic() < until_s:
                await smtp.sendmail("t@example.org", ["a@example.org"], content)
                count += 1
        return count

    started_s = time.monotonic()
    counts = await asyncio.gather(*(send() for _ in range(WORKERS)))
    return sum(counts) / (time.monotonic() - started_s)
