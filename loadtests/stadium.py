"""
The stadium: a seated hall sells out by best available, then a waitlist refills what is cancelled.

Forty sections of ten rows; four price tiers. When the last seat is sold, bookings are cancelled at
random while as many parties wait; each gets an offer with seats of its own and accepts it.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp
from evently_client import Request

from engine.ids import booking_of_offer
from loadtests.asker import Asker
from loadtests.chaos.history import Line, Recorder, Verb, attempt
from loadtests.crowd import Bought, Crowd, ask_until_answered
from loadtests.person import Person

SECTIONS = 40
ROWS = 10
TIERS = (
    ("Category 1", 14_000),
    ("Category 2", 9_500),
    ("Category 3", 6_000),
    ("Category 4", 3_500),
)
CANCELLATIONS = 500
#: Requests of the refill under way at once.
AT_ONCE_MAX = 64
POLL_INTERVAL_S = 0.2
DEADLINE_S = 90.0


def hall(capacity: int) -> dict[str, Any]:
    """Return tiers and sections of a hall of *capacity* seats, a multiple of 400."""
    seats_per_row = capacity // (SECTIONS * ROWS)
    rows = [{"name": str(number), "seats": seats_per_row} for number in range(1, ROWS + 1)]
    return {
        "tiers": [
            {"name": name, "price": {"amount": price, "currency": "EUR"}} for name, price in TIERS
        ],
        "sections": [
            {"name": f"Block {number + 1}", "tier": number * len(TIERS) // SECTIONS, "rows": rows}
            for number in range(SECTIONS)
        ],
    }


class Refill:
    """Cancels bookings and lets a waitlist take their places."""

    def __init__(self, base_url: str, crowd: Crowd, recorder: Recorder, *, seed: int) -> None:
        self._base_url = base_url
        self._crowd = crowd
        self._recorder = recorder
        self._choices = random.Random(seed)
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._deadline_s = 0.0

    async def run(self, people: Sequence[Person]) -> None:
        """
        Cancel as many bookings as there are *people*, and serve a party of each size again.

        The crowd's tally then has the accepted offers in place of the cancelled bookings.

        Raises:
            RuntimeError: a request was refused, or a party got no offer in time.
        """
        self._deadline_s = time.perf_counter() + DEADLINE_S
        bought = self._crowd.tally.bought
        chosen = self._choices.sample([bought[own_id] for own_id in sorted(bought)], len(people))
        connector = aiohttp.TCPConnector(limit=AT_ONCE_MAX)
        async with aiohttp.ClientSession(self._base_url, connector=connector) as session:
            self._asker = Asker(session, self._recorder)
            pairs = list(zip(people, chosen, strict=True))
            entries = await asyncio.gather(*(self._join(person, one) for person, one in pairs))
            waiting = [
                asyncio.create_task(self._accept(person, entry, one))
                for (person, one), entry in zip(pairs, entries, strict=True)
            ]
            await asyncio.gather(*(self._cancel(one) for one in chosen))
            await asyncio.gather(*waiting)

    async def _join(self, person: Person, one: Bought) -> str:
        wish = {"tier_id": self._crowd.tier_ids[one.tier_no - 1], "quantity": one.places}
        key = str(uuid.UUID(int=self._choices.getrandbits(128), version=4))
        path = f"/v1/events/{self._crowd.event_id}/waitlist"
        own_id: str = (await self._ask(person, Request(path, wish, key)))["id"]
        return own_id

    async def _cancel(self, one: Bought) -> None:
        request = Request(f"/v1/bookings/{one.booking_id}/cancel")
        await self._ask(one.person, request, self._line("cancel", one.booking_id, one))
        del self._crowd.tally.bought[one.booking_id]

    async def _accept(self, person: Person, entry_id: str, one: Bought) -> None:
        look = Request(f"/v1/waitlist/{entry_id}", method="GET")
        while (entry := await self._ask(person, look))["status"] != "offered":
            if entry["status"] != "waiting" or time.perf_counter() > self._deadline_s:
                raise RuntimeError(f"{entry_id} is {entry['status']} and got no offer")
            await asyncio.sleep(POLL_INTERVAL_S)
        offer_id = entry["offer"]["id"]
        own_id = booking_of_offer(offer_id)
        line = self._line("confirm", own_id, one)
        await self._ask(person, Request(f"/v1/offers/{offer_id}/accept"), line)
        self._crowd.tally.bought[own_id] = one._replace(booking_id=own_id, person=person)

    def _line(self, verb: Verb, own_id: str, one: Bought) -> Line:
        return attempt(verb, own_id, self._crowd.event_id, one.tier_no, one.places)

    async def _ask(self, person: Person, request: Request, line: Line | None = None) -> Any:
        """Send one request until it is answered; a refusal is an error here."""
        async with self._slots:
            answer = await ask_until_answered(
                self._asker, self._crowd.tally, person, request, line, deadline_s=self._deadline_s
            )
        if answer is None or not answer.is_ok:
            raise RuntimeError(f"{request.method} {request.path}: {answer and answer.body}")
        return answer.body
