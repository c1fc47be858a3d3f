"""
A stranger becomes an organizer and does all their work over HTTP, by the client alone.

Of the real catalogue, one event of each kind: with a price and without, with an end and without.
`reconciler check` is clean after each step.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from evently_client import Booking, Client, Event, Item, Page, Refusal

from engine.ids import new_id
from evently.embedded import ValkeyServer
from reconciler.judge.check import check
from tests.api.test_client import url_of
from tests.api.world import World
from tests.checks import servers_of
from tests.conftest import role_url

TORONTO = Path(__file__).parents[1] / "data" / "toronto" / "events.jsonl"
PASSWORD = "correct horse battery"
#: So that the events of those years are to come.
LATER = dt.timedelta(weeks=520)
WHATEVER = {"If-Match": "*"}

One = TypeVar("One")


def done(answer: One | Refusal) -> One:
    """Return what was told; a refusal fails the test."""
    assert not isinstance(answer, Refusal), answer.more
    return answer


def catalogue() -> list[dict[str, Any]]:
    """Return the real events, some years later."""
    rows = [orjson.loads(line) for line in TORONTO.read_bytes().splitlines()]
    for row in rows:
        for name in {"startDate", "endDate"} & row.keys():
            if row[name]:
                row[name] = (dt.datetime.fromisoformat(row[name]) + LATER).isoformat()
    return rows


@asynccontextmanager
async def signed_in(world: World, email: str, name: str) -> AsyncIterator[Client]:
    """Register as a stranger does, and open the letter."""
    async with Client(url_of(world)) as client:
        done(await client.register(email, PASSWORD, name))
        letter = await world.database.fetchval(
            "SELECT payload ->> 'token' FROM outbox WHERE payload ->> 'to' = $1", email
        )
        done(await client.call("POST", "/v1/me/email/verify", dict, {"token": letter}))
        yield client


async def become_organizer(world: World, client: Client, email: str) -> None:
    """Be made an organizer by an admin, and sign in anew."""
    admin = Client(url_of(world), token=world.token(role="admin", version=99))
    await world.enter()
    found = done(await client.call("GET", "/v1/me", dict[str, Any]))
    asked = {"name": "Stranger's house", "owner_id": found["id"]}
    done(await admin.call("POST", "/v1/admin/organizers", dict, asked))
    await admin.close()
    done(await client.log_in(email, PASSWORD))


class Work:
    """What the organizer does to one event; each step is followed by the check."""

    def __init__(self, world: World, client: Client, redis_url: str) -> None:
        self._world, self._client, self._redis_url = world, client, redis_url

    async def clean(self, event_id: str) -> None:
        """Let `reconciler check` look at the event."""
        result = await check(
            servers_of(self._redis_url, self._world.database_url),
            shard=None,
            event_id=event_id,
            progress=lambda _: None,
        )
        assert [] == [one for one in result.violations if one.event_id == event_id]

    async def change(self, event_id: str, **changes: Any) -> Event:
        """Change the event, whatever it is now."""
        path = f"/v1/events/{event_id}"
        changed = done(await self._client.call("PATCH", path, Event, changes, headers=WHATEVER))
        await self.clean(event_id)
        return changed

    async def post(self, path: str, told: type[One], body: Any = None) -> One:
        """Ask for something to be done to the event that stands first in the path."""
        answer = done(await self._client.call("POST", f"/v1/events/{path}", told, body))
        await self.clean(path.partition("/")[0])
        return answer


def kind_of(event: Event, row: dict[str, Any]) -> tuple[bool, bool]:
    """Tell whether an event costs something, and whether its end is told."""
    return event.tiers[0].price.amount > 0, bool(row.get("endDate"))


@pytest.mark.timeout(240)
async def test_a_stranger_s_organizer_does_all_over_http(
    world: World, valkey: ValkeyServer
) -> None:
    """Imported, published, postponed, dearer, with a tier more, a code less, sold, called off."""
    # Of this test alone: others register in the same database.
    email, buyers = (f"{new_id('usr')}@example.org" for _ in range(2))
    async with (
        signed_in(world, email, "Stranger") as client,
        signed_in(world, buyers, "Bea") as buyer,
    ):
        await become_organizer(world, client, email)
        text = "\n".join(orjson.dumps(row).decode() for row in catalogue())
        asked = {
            "format": "jsonl",
            "text": text,
            "timezone": "America/Toronto",
            "capacity": 100,
            "currency": "CAD",
        }
        made = done(await client.call("POST", "/v1/events/import", dict[str, Any], asked))
        assert made["made"] > 20
        mine = await drafts(client)
        rows = {row["name"]: row for row in catalogue()}
        kinds = {kind_of(one, rows[one.name]): one for one in mine if one.name in rows}
        assert len(kinds) >= 3
        work = Work(world, client, role_url(valkey, "coordinator"))
        for draft in kinds.values():
            await life_of(work, client, buyer, buyers, draft.id)


async def drafts(client: Client) -> list[Event]:
    """Return all of the organizer's drafts, page by page."""
    [house] = done(await client.call("GET", "/v1/organizers", dict[str, Any]))["data"]
    found: list[Event] = []
    after = ""
    while True:
        path = f"/v1/organizers/{house['id']}/events?status=draft&limit=20{after}"
        page = done(await client.call("GET", path, Page[Event]))
        found += page.data
        if not page.has_more:
            return found
        after = f"&after={page.next_cursor}"


async def life_of(work: Work, client: Client, buyer: Client, email: str, event_id: str) -> None:
    """Lead one event from its draft to its end."""
    event = done(await client.publish(event_id))
    await work.clean(event_id)
    first = event.tiers[0]
    booked = done(await buyer.book(event_id, [Item(tier_id=first.id, quantity=2)]))

    later = event.starts_at + dt.timedelta(weeks=1)
    moved = await work.post(f"{event_id}/postpone", Event, {"starts_at": later.isoformat()})
    assert later == moved.starts_at

    price: dict[str, Any] = {"amount": first.price.amount + 500, "currency": first.price.currency}
    dearer = await work.change(event_id, tiers=[{"id": first.id, "price": price}])
    assert first.price.amount + 500 == dearer.tiers[0].price.amount

    more = {"name": "Balcony", "price": price, "capacity": 3}
    larger = await work.change(event_id, add_tiers=[more])
    balcony = larger.tiers[-1]
    assert ("Balcony", 3) == (balcony.name, balcony.capacity)

    code = {"code": "FRIENDS", "percent_off": 50, "uses_max": 5}
    await work.change(event_id, promo_codes=[code])
    items = [Item(tier_id=balcony.id, quantity=1)]
    cheap = done(await buyer.book(event_id, items, promo_code="FRIENDS"))
    assert price["amount"] // 2 == cheap.total.amount
    await work.change(event_id, promo_codes=[{"code": "FRIENDS", "uses_max": 0}])
    stopped = await buyer.book(event_id, items, promo_code="FRIENDS")
    assert isinstance(stopped, Refusal)
    assert "promo_exhausted" == stopped.code

    order = {"items": items, "email": email, "reason": "came to the desk"}
    sold = await work.post(f"{event_id}/orders", Booking, order)
    assert price["amount"] == sold.total.amount
    cancelled = await work.post(
        f"{event_id}/orders/{booked.id}/cancel", Booking, {"reason": "asked by telephone"}
    )
    assert "cancelled" == cancelled.status

    off = await work.post(f"{event_id}/cancel", dict[str, Any])
    assert event_id == off["event_id"]
    gone = done(await client.event(event_id))
    assert "cancelled" == gone.status
    after_all = done(await buyer.booking(sold.id))
    assert "cancelled" == after_all.status
