"""
The verdict on a sale: what the crowd was promised against what the ledger has.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import msgspec
from redis.exceptions import RedisError

from loadtests.backstage import Backstage
from loadtests.crowd import History

DRAIN_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 120.0


class Verdict(NamedTuple):
    """Figures of one sale; `holds` is the promise in one word."""

    #: Places there were.
    capacity: int
    #: Places confirmed to buyers.
    confirmed: int
    #: Places in the ledger beyond the capacity.
    oversold: int
    #: Bookings that were acknowledged and are not in the ledger.
    lost: int
    #: Keys with two different bookings, and bookings in the ledger that nobody was told of.
    duplicates: int
    #: What the reconciler found.
    drift: int
    #: Time the sale took.
    seconds: float

    @property
    def holds(self) -> bool:
        """Tell whether everything was sold, once, to people who have it."""
        return self.confirmed == self.capacity and not (
            self.oversold or self.lost or self.duplicates or self.drift
        )

    def line(self) -> str:
        """Return the one line that a run ends with."""
        word = "SOLD" if self.holds else "FAILED"
        return (
            f"{word} capacity={self.capacity} confirmed={self.confirmed} "
            f"oversold={self.oversold} lost={self.lost} duplicates={self.duplicates} "
            f"drift={self.drift} seconds={self.seconds:.1f}"
        )


async def judge(
    backstage: Backstage, history: History, event_id: str, *, capacity: int, seconds: float
) -> Verdict:
    """
    Wait until the ledger has everything, compare, and ask the reconciler.

    Raises:
        TimeoutError: the ledger did not catch up.
        RuntimeError: the reconciler could not check.
    """
    await drain(backstage)
    ledger = await backstage.live_places(event_id)
    promised = {told[0] for answers in history.confirmed.values() for told in answers}
    ambiguous = sum(len(answers) - 1 for answers in history.confirmed.values())
    # A buyer who never got an answer may own a booking that nobody was told of.
    phantoms = max(0, len(ledger.keys() - promised) - history.unanswered)
    return Verdict(
        capacity=capacity,
        confirmed=history.places,
        oversold=max(0, sum(ledger.values()) - capacity),
        lost=len(promised - ledger.keys()),
        duplicates=ambiguous + phantoms,
        drift=await count_drift(backstage, event_id),
        seconds=seconds,
    )


async def drain(
    backstage: Backstage, *, timeout_s: float = DRAIN_TIMEOUT_S, is_hurt: bool = True
) -> None:
    """
    Wait until PostgreSQL has every record of every journal.

    Args:
        is_hurt: Whether shards may be shut, or Redis away; they are waited for as well.

    Raises:
        TimeoutError: it did not come about in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while waits_for := await _waits_for(backstage, is_hurt=is_hurt):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{waits_for} after {timeout_s:g} s")
        await asyncio.sleep(0.05)


async def _waits_for(backstage: Backstage, *, is_hurt: bool) -> str:
    """Say what there is to wait for; empty if nothing."""
    try:
        if is_hurt and (shut := await backstage.shut_shards()):
            return f"shards {shut} are still shut"
        if backlog := await backstage.backlog_records():
            return f"{backlog} records still wait"
    except RedisError as error:
        return f"Redis is still away: {error}"
    return ""


async def count_drift(backstage: Backstage, event_id: str) -> int:
    """Run the reconciler's check on one event, as an operator would; return what it counts."""
    process = await asyncio.create_subprocess_exec(
        *backstage.reconciler_command("check", "--event", event_id, "--json"),
        env=backstage.environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await asyncio.wait_for(process.communicate(), CHECK_TIMEOUT_S)
    if process.returncode not in {0, 1}:
        raise RuntimeError(f"reconciler could not check: {complaints.decode()[-2000:]}")
    return len(msgspec.json.decode(output)["violations"])
