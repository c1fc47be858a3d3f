"""
What a run sells, to whom, and whether it was sold rightly.

Each run has an event of its own, so that the reconciler's findings belong to that run. Buyers are
a pool of seed accounts with tokens made ahead; requests take them in turn over all runs.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from loadtests.bench.http_client import Request
from loadtests.bench.load import Load, send_each_once
from loadtests.bench.rig import Rig
from loadtests.events import described, priced, publish

#: Fewer than the tokens that an API process remembers.
BUYERS = 60_000
CAPACITY = 2_000_000
PERSON_MAX = 1_000
_HEAD = "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
_JSON = "Content-Type: application/json\r\nContent-Length: {length}\r\n"


class Sale(NamedTuple):
    """An event on sale."""

    event_id: str
    tier_id: str
    capacity: int
    #: Whose it is.
    base_url: str = ""

    @property
    def order(self) -> str:
        """The body of an order of one place."""
        return f'{{"items":[{{"tier_id":"{self.tier_id}","quantity":1}}]}}'

    @property
    def bookings_path(self) -> str:
        """Where it is booked."""
        return f"/v1/events/{self.event_id}/bookings"

    @property
    def availability_path(self) -> str:
        """Where one sees what is left."""
        return f"/v1/events/{self.event_id}/availability"


class Buyers:
    """A pool of buyers, taken in turn."""

    def __init__(self, tokens_path: Path, count: int) -> None:
        self.tokens_path = tokens_path
        self.count = count
        self._next = 0

    @classmethod
    async def make(cls, rig: Rig, count: int = BUYERS) -> Buyers:
        """Make the accounts and write their tokens."""
        async with rig.backstage() as backstage:
            people = await backstage.people(count)
        path = rig.path / "tokens"
        path.write_text("".join(f"{person.token}\n" for person in people))
        return cls(path, count)

    def take(self, count: int) -> int:
        """Return the number of the first of the next *count* buyers."""
        first = self._next
        self._next += count
        return first

    def give_back(self, number: int) -> None:
        """Let the next run begin with buyer *number*: those behind did not come."""
        self._next = number


async def make_sale(rig: Rig, *, capacity: int = CAPACITY) -> Sale:
    """Make and publish an event of one tier."""
    async with rig.backstage() as backstage:
        token = await backstage.admin_token()
    tiers = [priced("Standing", capacity)]
    body = described("Benchmark", person_max=PERSON_MAX, tiers=tiers)
    event = await publish(rig.base_url, token, body)
    return Sale(event["id"], event["tiers"][0]["id"], capacity, rig.base_url)


def booking_request(rig: Rig, sale: Sale, buyers: Buyers, *, first: int) -> Request:
    """Return requests that book one place each, from buyer *first* on."""
    return post_as_buyer(rig.port, sale.bookings_path, sale.order, buyers, first=first)


def post_as_buyer(port: int, path: str, body: str, buyers: Buyers, *, first: int) -> Request:
    """Return requests that carry *body*, a token and a fresh Idempotency-Key each."""
    run = secrets.token_hex(8)
    return Request(
        port=port,
        before=_HEAD.format(method="POST", path=path, port=port) + "Authorization: Bearer ",
        # Keys have the form of a UUID, which is what clients are told to send.
        between="\r\nIdempotency-Key: ",
        key_prefix=f"{run[:8]}-{run[8:12]}-4{run[12:15]}-8{run[13:16]}-",
        after="\r\n" + _JSON.format(length=len(body)) + "\r\n" + body,
        tokens_path=str(buyers.tokens_path),
        first=first,
    )


def post(port: int, path: str, body: str) -> Request:
    """Return the same request again and again, from nobody."""
    head = _HEAD.format(method="POST", path=path, port=port)
    return Request(port=port, before=head + _JSON.format(length=len(body)) + "\r\n" + body)


def get(port: int, path: str) -> Request:
    """Return the same read again and again."""
    return Request(port=port, before=_HEAD.format(method="GET", path=path, port=port) + "\r\n")


async def warm_up(rig: Rig, sale: Sale, buyers: Buyers) -> Load:
    """
    Let the API check each token once, as it would have in the minutes before a sale.

    The requests lack the Idempotency-Key: they are refused behind the door and before the sale.
    """
    request = Request(
        port=rig.port,
        before=_HEAD.format(method="POST", path=sale.bookings_path, port=rig.port)
        + "Authorization: Bearer ",
        between="\r\nX-Number: ",
        after="\r\n" + _JSON.format(length=2) + "\r\n{}",
        tokens_path=str(buyers.tokens_path),
    )
    load = await send_each_once(request, count=buyers.count)
    if load.statuses != {400: buyers.count}:
        raise RuntimeError(f"warming up was answered with {load.statuses}")
    return load


async def availability(rig: Rig, sale: Sale) -> dict[str, Any]:
    """Return the counters of the one tier."""
    async with (
        aiohttp.ClientSession(rig.base_url, raise_for_status=True) as session,
        session.get(sale.availability_path, headers={"Cache-Control": "no-cache"}) as response,
    ):
        tier: dict[str, Any] = (await response.json())["tiers"][0]
        return tier


async def find_fault(rig: Rig, sale: Sale, load: Load, *, connections: int) -> str:
    """Return what is wrong between what buyers were told and what Redis has; empty if nothing."""
    now = await availability(rig, sale)
    # wrk leaves while its last requests are under way: they may be sold and unanswered.
    unheard_max = 0 if load.is_exact else connections
    if load.succeeded != load.answered:
        return f"{load.answered - load.succeeded} of {load.answered} orders were refused"
    if now["sold"] > sale.capacity or now["sold"] + now["available"] + now["held"] != sale.capacity:
        return f"oversold: {now}"
    if now["sold"] < load.succeeded:
        return f"lost: {load.succeeded} acknowledged, {now['sold']} sold"
    if now["sold"] > load.succeeded + load.errors + unheard_max:
        return f"phantoms: {load.succeeded} acknowledged, {now['sold']} sold"
    return ""


async def find_drift(rig: Rig, sales: list[Sale], *, is_checked: bool = True) -> dict[str, str]:
    """
    Wait until PostgreSQL has everything (the persister must work); return what is wrong, by event.

    Args:
        is_checked: Ask the reconciler as well, which knows the data of this code alone.

    Raises:
        TimeoutError: PostgreSQL did not catch up.
        RuntimeError: the reconciler could not check.
    """
    faults: dict[str, str] = {}
    await rig.drain()
    async with rig.backstage() as backstage:
        # At once: each is a process of its own.
        drifts = [0] * len(sales)
        if is_checked:
            drifts = await asyncio.gather(*(backstage.count_drift(one.event_id) for one in sales))
        for sale, drift in zip(sales, drifts, strict=True):
            sold = (await availability(rig, sale))["sold"]
            places = await backstage.places(sale.event_id)
            if places != sold:
                faults[sale.event_id] = f"lost: {sold} sold in Redis, {places} in PostgreSQL"
            elif drift:
                faults[sale.event_id] = f"drift: the reconciler found {drift} violations"
    return faults
