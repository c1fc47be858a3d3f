"""
P5: what most of a crowd gets, against the bare handler: "sold out", and what is left.
"""

from __future__ import annotations

import aiohttp
import orjson

from loadtests.bench import bare
from loadtests.bench.booking import bare_side
from loadtests.bench.contract import Result
from loadtests.bench.peaks import Shot, Side, result_of_turns, take_turns
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, get, make_sale, post
from loadtests.bench.stage import Driven, Stage, drive, drive_bookings, drive_process

REFUSAL = "sold_out"


async def measure_p5(stage: Stage) -> Result:
    """
    Take the worse of two ratios: refused orders, and reads of the availability.

    Each has the bare handler on requests like its own: orders with a token, or a bare POST.
    """
    rig, buyers = await stage.rig()
    sale = await sold_out(rig, buyers)
    sides = (
        bare_side(stage, buyers),
        refusal_side(rig, buyers, sale),
        _bare_post_side(stage),
        read_side(rig, sale),
    )
    turns = await take_turns(stage, sides)
    return result_of_turns("P5", turns, {"refusals": "bare", "reads": "bare POST"})


def refusal_side(rig: Rig, buyers: Buyers, sale: Sale, name: str = "refusals") -> Side:
    """Orders of a sold-out event."""

    async def drive(connections: int, seconds: float) -> Shot:
        driven = await drive_bookings(rig, sale, buyers, seconds=seconds, connections=connections)
        load, fault = driven.load, ""
        if load.succeeded or load.errors:
            fault = (
                f"oversold: {load.succeeded} orders of a sold-out event succeeded, "
                f"{load.errors} broke"
            )
        return _shot(driven, fault)

    return Side(name, drive)


def read_side(rig: Rig, sale: Sale, name: str = "reads") -> Side:
    """Reads of what is left."""

    async def drive_reads(connections: int, seconds: float) -> Shot:
        request = get(rig.port, sale.availability_path)
        driven = await drive(rig, request, seconds=seconds, connections=connections)
        load, fault = driven.load, ""
        if load.succeeded != load.answered or load.errors:
            fault = f"{load.answered - load.succeeded} of {load.answered} reads failed"
        return _shot(driven, fault)

    return Side(name, drive_reads)


def _bare_post_side(stage: Stage) -> Side:
    async def drive(connections: int, seconds: float) -> Shot:
        served = await stage.bare()
        request = post(served.port, bare.PATH, "{}")
        driven = await drive_process(served, request, seconds=seconds, connections=connections)
        return Shot(driven, driven.load.per_s, driven.us_per_answer("bare"))

    return Side("bare POST", drive)


def _shot(driven: Driven, fault: str) -> Shot:
    return Shot(driven, driven.load.per_s, driven.us_per_answer("api"), fault)


async def sold_out(rig: Rig, buyers: Buyers) -> Sale:
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
