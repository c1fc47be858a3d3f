"""
Whether a sale was told: each booking has its letter, and what lies in one opens the door, once.

The letters are those that a mail server received, the door is the gate's over HTTP.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from evently_client import Client, Refusal

from loadtests.backstage import Backstage
from loadtests.mail import Catcher, codes_of, read

#: After which time without a new letter no more are waited for, in seconds.
QUIET_S_MAX = 30.0
LOOK_INTERVAL_S = 0.2
_CONFIRMED = "SELECT id FROM bookings WHERE event_id = $1 AND status = 'confirmed'"


class Mailed(NamedTuple):
    """What came by mail; of a sale without mail, nothing that would not hold."""

    #: Bookings, and those among them whose letters came.
    bookings: int = 0
    confirmations: int = 0
    #: Letters of what is no booking.
    strangers: int = 0
    #: What the gate said to one letter's code: at first, and when it came again.
    first: str = "in"
    second: str = "already_checked_in"

    @property
    def holds(self) -> bool:
        """Tell whether all were told, nobody else was, and a ticket let in once."""
        answers = (self.first, self.second)
        is_told = self.bookings == self.confirmations and not self.strangers
        return is_told and answers == ("in", "already_checked_in")

    def words(self) -> str:
        """Return what a verdict says of it."""
        if not self.bookings:
            return ""
        told = f"bookings={self.bookings} confirmations={self.confirmations}"
        return f"{told} gate={self.first},{self.second} "


async def judge(
    catcher: Catcher, backstage: Backstage, base_url: str, token: str, event_id: str
) -> Mailed:
    """
    Wait for the letters of a sale, and go in by one of them, twice.

    Args:
        token: Of somebody who may scan.
    """
    own = {row["id"] for row in await backstage.database.fetch(_CONFIRMED, event_id)}
    told = await _told(catcher, own)
    codes = [code for path in list(told.values())[:1] for code in codes_of(read(path))]
    scans = [await _scan(base_url, token, event_id, code) for code in [*codes[:1], *codes[:1]]]
    first, second = scans or ("no_code", "no_code")
    return Mailed(len(own), len(own & told.keys()), len(told.keys() - own), first, second)


async def _told(catcher: Catcher, own: set[str]) -> dict[str, Any]:
    """Return the bookings that were told, when all are or nothing comes any more."""
    told: dict[str, Any] = {}
    quiet_since_s = time.monotonic()
    while not own <= told.keys() and time.monotonic() - quiet_since_s < QUIET_S_MAX:
        found = catcher.confirmed()
        if len(found) > len(told):
            quiet_since_s = time.monotonic()
        told = found
        await asyncio.sleep(LOOK_INTERVAL_S)
    return told


async def _scan(base_url: str, token: str, event_id: str, code: str) -> str:
    """Return what the gate says to a code."""
    async with Client(base_url, token=token) as client:
        path, body = f"/v1/tickets/{code}/check-in", {"event_id": event_id}
        answer = await client.call("POST", path, dict[str, Any], body)
    return answer.code if isinstance(answer, Refusal) else "in"
