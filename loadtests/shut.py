"""
How long the doors are shut when a process dies, again and again: `python -m loadtests.shut`.

Starts an Evently of its own, books all the time, and kills (SIGKILL) Redis, or Redis and then the
coordinator in mid-recovery, or PostgreSQL, at even intervals. A figure is the time from the kill to
the first acknowledgement of a booking that was sent after it. The last line has them all; the exit
code is 1 if one is above `--max`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import sys
import time
import uuid
from pathlib import Path

import aiohttp
from rich.console import Console

from loadtests.backstage import Backstage
from loadtests.events import make_event
from loadtests.person import Person
from loadtests.server import Server, open_folder, running, send

#: What is killed.
WHAT = ("redis", "coordinator", "postgres")
PAUSE_S = 0.02
REQUEST_TIMEOUT_S = 2.0
SHUT_TIMEOUT_S = 60.0
CLAIM_POLL_S = 0.002
CAPACITY = 1_000_000
#: Each may have ten places; buyers take turns as them.
PEOPLE, BUYERS = 2_000, 3
#: Some people try all the time, which these limits are there to stop.
UNLIMITED = {"booking_limit_attempts": 0, "holds_per_person_max": 0, "holds_per_address_max": 0}


def main() -> None:
    """Read the arguments, measure, tell."""
    parser = argparse.ArgumentParser(prog="shut", description=__doc__)
    parser.add_argument("--what", choices=WHAT, default="redis", help="what is killed (redis)")
    parser.add_argument("--kills", type=int, default=5, help="how often (5)")
    parser.add_argument("--every", type=float, default=12.0, help="seconds between kills (12)")
    parser.add_argument("--max", type=float, default=0.0, help="fail above so many seconds (no)")
    parser.add_argument("--tree", type=Path, help="another checkout, whose code is measured")
    words = parser.parse_args()
    figures = asyncio.run(measure(words.what, words.kills, words.every, words.tree))
    worst_s = max(figures)
    print(
        f"SHUT killed={words.what} every={words.every:g}s "
        f"seconds={','.join(f'{one:.2f}' for one in figures)} "
        f"median={statistics.median(figures):.2f} worst={worst_s:.2f} "
        f"load={os.getloadavg()[0]:.1f} cores={os.cpu_count()}"
    )
    sys.exit(1 if words.max and worst_s > words.max else 0)


async def measure(what: str, kills: int, every_s: float, tree: Path | None = None) -> list[float]:
    """Return for each of *kills* how long nothing was sold, in seconds."""
    console = Console(stderr=True)
    figures = []
    with open_folder() as folder:
        async with (
            running(folder, tree=tree, **UNLIMITED) as server,
            Backstage(server.settings) as backstage,
            aiohttp.ClientSession(
                server.base_url, timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
            ) as session,
        ):
            event = await make_event(
                server.base_url, await backstage.admin_token(), capacity=CAPACITY
            )
            till = _Till(session, event, await backstage.people(PEOPLE))
            buying = [asyncio.create_task(till.buy()) for _ in range(BUYERS)]
            await till.sold_since(time.monotonic())
            for number in range(kills):
                await asyncio.sleep(every_s)
                killed_s = await _kill(server, what)
                figures.append(await till.sold_since(killed_s) - killed_s)
                console.print(f"kill {number + 1}: shut for {figures[-1]:.2f} s")
            for one in buying:
                one.cancel()
            await asyncio.gather(*buying, return_exceptions=True)
    return figures


async def _kill(server: Server, what: str) -> float:
    """Kill it, and return when sales stopped for it."""
    pids = {name: server.pids(name) for name in WHAT}
    killed_s = time.monotonic()
    if what == "postgres":
        send(pids["postgres"][:1], signal.SIGKILL)
        return killed_s
    if what == "redis":
        send(pids["redis"], signal.SIGKILL)
        return killed_s
    async with Backstage(server.settings) as backstage:
        before = await backstage.database.fetchval("SELECT epoch FROM shard_epoch WHERE shard = 0")
        killed_s = time.monotonic()
        send(pids["redis"], signal.SIGKILL)
        while before == await backstage.database.fetchval(  # noqa: ASYNC110
            "SELECT epoch FROM shard_epoch WHERE shard = 0"
        ):
            await asyncio.sleep(CLAIM_POLL_S)
        send(pids["coordinator"], signal.SIGKILL)
    return killed_s


class _Till:
    """Books one place after the other, and knows when the last was acknowledged."""

    def __init__(
        self, session: aiohttp.ClientSession, event: dict[str, object], people: list[Person]
    ) -> None:
        self._session, self._people = session, itertools.cycle(people)
        self._path = f"/v1/events/{event['id']}/bookings"
        tiers = event["tiers"]
        assert isinstance(tiers, list), "an event that is told has tiers"
        self._body = {"items": [{"tier_id": tiers[0]["id"], "quantity": 1}]}
        #: When the last acknowledged booking was sent, and when it was acknowledged.
        self._last = (0.0, 0.0)

    async def buy(self) -> None:
        """Book until cancelled; an answer that is none is no matter."""
        while True:
            headers = {
                "Authorization": f"Bearer {next(self._people).token}",
                "Idempotency-Key": str(uuid.uuid4()),
            }
            sent_s = time.monotonic()
            try:
                async with self._session.post(
                    self._path, json=self._body, headers=headers
                ) as answer:
                    if answer.status == 201:
                        self._last = max(self._last, (sent_s, time.monotonic()))
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(PAUSE_S)

    async def sold_since(self, moment_s: float) -> float:
        """Return when a booking was acknowledged that was sent after *moment_s*."""
        async with asyncio.timeout(SHUT_TIMEOUT_S):
            while self._last[0] <= moment_s:  # noqa: ASYNC110 - the buyer tells nobody
                await asyncio.sleep(PAUSE_S)
        return self._last[1]


if __name__ == "__main__":
    main()
