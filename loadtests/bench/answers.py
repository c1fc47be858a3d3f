"""
P5: what most of a crowd gets, against the bare handler: "sold out", and what is left.
"""

from __future__ import annotations

import aiohttp
import orjson

from loadtests.bench.booking import drive_bare
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, get, make_sale, post
from loadtests.bench.stage import CONNECTIONS, Driven, Stage, drive, drive_bookings

REFUSAL = "sold_out"


async def measure_p5(stage: Stage) -> Result:
    """
    Take the worse of two ratios: refused orders, and reads of the availability.

    Each has the bare handler on requests like its own: orders with a token, or a bare POST.
    """
    rig, buyers = await stage.rig()
    sale = await _sold_out(rig, buyers)
    runs, pairs = [], []
    for _ in range(stage.sizes.rate_pairs):
        bare = await drive_bare(stage, buyers)
        refused = await drive_bookings(rig, sale, buyers, seconds=stage.sizes.run_s)
        bare_plain = await _drive_bare_plain(stage)
        read = await drive(
            rig, get(rig.host, rig.port, sale.availability_path), seconds=stage.sizes.run_s
        )
        ratios = {
            "refusals": refused.load.per_s / bare.load.per_s,
            "reads": read.load.per_s / bare_plain.load.per_s,
        }
        runs.append(Run(min(ratios.values()), _fault(refused, read)))
        pairs.append(
            {
                "ratios": {name: round(ratio, 4) for name, ratio in ratios.items()},
                "cpu_ratios": {
                    "refusals": _cpu_ratio(bare, refused),
                    "reads": _cpu_ratio(bare_plain, read),
                },
                "bare": bare.facts(),
                "refusals": refused.facts(),
                "bare_plain": bare_plain.facts(),
                "reads": read.facts(),
            }
        )
    return result_of("P5", runs, {"connections": CONNECTIONS, "pairs": pairs})


async def _sold_out(rig: Rig, buyers: Buyers) -> Sale:
    """Sell the one place of an event, and make sure of the refusal that the next one gets."""
    sale = await make_sale(rig, capacity=1)
    tokens = buyers.tokens_path.read_text().split()
    codes = []
    async with aiohttp.ClientSession(rig.base_url) as session:
        for number in (0, 1):
            token = tokens[(buyers.take(1)) % len(tokens)]
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"sold-out-{number}"}
            async with session.post(
                sale.bookings_path, data=sale.order, headers=headers
            ) as response:
                codes.append(orjson.loads(await response.read()).get("code"))
    if codes != [None, REFUSAL]:
        raise RuntimeError(f"selling out was answered with {codes}")
    return sale


async def _drive_bare_plain(stage: Stage) -> Driven:
    bare = await stage.bare()
    return await bare.drive(
        post(bare.host, bare.port, bare.path, "{}"),
        seconds=stage.sizes.run_s,
        connections=CONNECTIONS,
    )


def _fault(refused: Driven, read: Driven) -> str:
    if refused.load.succeeded or refused.load.errors:
        return (
            f"oversold: {refused.load.succeeded} orders of a sold-out event succeeded, "
            f"{refused.load.errors} broke"
        )
    if read.load.succeeded != read.load.answered or read.load.errors:
        return f"{read.load.answered - read.load.succeeded} of {read.load.answered} reads failed"
    return ""


def _cpu_ratio(bare: Driven, ours: Driven) -> float:
    return round(bare.us_per_answer("bare") / ours.us_per_answer("api"), 4)
