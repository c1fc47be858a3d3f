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
from typing import Any, NamedTuple

import aiohttp

from loadtests.crowd import REPEAT_PAUSE_S, REQUEST_TIMEOUT_S, History

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


class Sold(NamedTuple):
    """A booking of the crowd, as the refill needs it."""

    key: str
    booking_id: str
    token: str
    tier_id: str
    places: int


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

    def __init__(self, base_url: str, event_id: str, history: History, *, seed: int) -> None:
        self._base_url = base_url
        self._event_id = event_id
        self._history = history
        self._choices = random.Random(seed)
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._deadline_s = 0.0
        #: Parties that have their booking.
        self.served = 0

    async def run(self, tokens: Sequence[str]) -> None:
        """
        Cancel as many bookings as there are *tokens*, and serve a party of each size again.

        The history then has the accepted offers in place of the cancelled bookings.

        Raises:
            RuntimeError: a request was refused, or a party got no offer in time.
        """
        self._deadline_s = time.perf_counter() + DEADLINE_S
        sold = [Sold(key, *self._history.owners[key]) for key in sorted(self._history.confirmed)]
        chosen = self._choices.sample(sold, len(tokens))
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=AT_ONCE_MAX)
        async with aiohttp.ClientSession(
            self._base_url, timeout=timeout, connector=connector
        ) as session:
            pairs = list(zip(tokens, chosen, strict=True))
            entries = await asyncio.gather(
                *(self._join(session, token, one) for token, one in pairs)
            )
            waiting = [
                asyncio.create_task(self._accept(session, token, entry, one.places))
                for (token, one), entry in zip(pairs, entries, strict=True)
            ]
            await asyncio.gather(*(self._cancel(session, one) for one in chosen))
            await asyncio.gather(*waiting)

    async def _join(self, session: aiohttp.ClientSession, token: str, one: Sold) -> str:
        wish = {"tier_id": one.tier_id, "quantity": one.places}
        path = f"/v1/events/{self._event_id}/waitlist"
        entry = await self._ask(session, "POST", path, token, json=wish, key=self._key())
        own_id: str = entry["id"]
        return own_id

    async def _cancel(self, session: aiohttp.ClientSession, one: Sold) -> None:
        await self._ask(session, "POST", f"/v1/bookings/{one.booking_id}/cancel", one.token)
        del self._history.confirmed[one.key]

    async def _accept(
        self, session: aiohttp.ClientSession, token: str, entry_id: str, places: int
    ) -> None:
        while True:
            entry = await self._ask(session, "GET", f"/v1/waitlist/{entry_id}", token)
            if entry["status"] == "offered":
                break
            if entry["status"] != "waiting" or time.perf_counter() > self._deadline_s:
                raise RuntimeError(f"{entry_id} is {entry['status']} and got no offer")
            await asyncio.sleep(POLL_INTERVAL_S)
        path = f"/v1/offers/{entry['offer']['id']}/accept"
        booking = await self._ask(session, "POST", path, token)
        told = (booking["id"], places, booking["seq"])
        self._history.confirmed[entry_id] = {told}
        self.served += 1

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        token: str,
        *,
        json: Any = None,
        key: str | None = None,
    ) -> Any:
        """Send one request until it is answered; a refusal is an error here."""
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        while True:
            try:
                async with (
                    self._slots,
                    session.request(method, path, json=json, headers=headers) as response,
                ):
                    if response.status < 300:
                        return await response.json()
                    if response.status != 503:
                        text = await response.text()
                        raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")
            except (aiohttp.ClientError, TimeoutError):
                pass
            if time.perf_counter() > self._deadline_s:
                raise RuntimeError(f"{method} {path} was not answered in time")
            self._history.repeated += 1
            await asyncio.sleep(REPEAT_PAUSE_S)

    def _key(self) -> str:
        return str(uuid.UUID(int=self._choices.getrandbits(128), version=4))
