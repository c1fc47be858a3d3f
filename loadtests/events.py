"""
Events that load is made on: how one is described to the API, and put on sale.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from evently_client import Client, Refusal

from loadtests import stadium

#: Shares of the capacity, names and prices of the three tiers of `make_event`.
TIERS = ((0.6, "Standing", 4_500), (0.3, "Seated", 6_500), (0.1, "Front row", 12_000))


def described(name: str, *, person_max: int, **more: Any) -> dict[str, Any]:
    """Return the body that makes an event a month from now."""
    starts_at = (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).isoformat()
    return {"name": name, "starts_at": starts_at, "max_per_user": person_max, **more}


def priced(name: str, capacity: int | None = None, *, price_minor: int = 4_500) -> dict[str, Any]:
    """Return a tier; one of seats has the capacity of its sections."""
    tier = {"name": name, "price": {"amount": price_minor, "currency": "EUR"}}
    return tier if capacity is None else tier | {"capacity": capacity}


async def publish(base_url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make and publish an event over HTTP; return it."""
    async with Client(base_url, token=token) as client:
        event = await client.call("POST", "/v1/events", dict[str, Any], body)
        if not isinstance(event, Refusal):
            published = await client.publish(event["id"])
            if not isinstance(published, Refusal):
                return event
            event = published
    raise RuntimeError(f"no event: {event.more}")


async def make_event(
    base_url: str, token: str, *, capacity: int, is_stadium: bool = False, **more: Any
) -> dict[str, Any]:
    """Put an event of three tiers, or of a seated hall, on sale; return it."""
    sizes = [int(share * capacity) for share, _, _ in TIERS]
    sizes[0] += capacity - sum(sizes)
    tiers = [
        priced(name, size, price_minor=price)
        for size, (_, name, price) in zip(sizes, TIERS, strict=True)
    ]
    body = described("Demo: the whole town wants in", person_max=10, tiers=tiers, **more)
    return await publish(base_url, token, body | stadium.hall(capacity) if is_stadium else body)
