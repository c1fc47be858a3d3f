"""What organizers change of an event that is on sale, over HTTP; all stores agree at every step."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from evently.embedded import ValkeyServer
from reconciler.judge.check import check
from tests.api.test_changes import patch
from tests.api.world import Event, World, check_problem, from_now
from tests.checks import servers_of
from tests.conftest import role_url

NEW = {"name": "Balcony", "price": {"amount": 900, "currency": "EUR"}, "capacity": 7}
OFF = {"code": "LATE", "percent_off": 50, "uses_max": 2}


Agree = Callable[[Event], Awaitable[None]]


@pytest.fixture
def agree(world: World, valkey: ValkeyServer) -> Agree:
    """Return what checks an event as the command does, and finds nothing."""

    async def agreed(event: Event) -> None:
        servers = servers_of(role_url(valkey, "coordinator"), world.database_url)
        result = await check(servers, shard=None, event_id=event["id"], progress=lambda _: None)
        assert ([], []) == (result.violations, result.errors)

    return agreed


def price(event: Event, tier: int = 0) -> dict[str, Any]:
    """Return what a place of a tier costs."""
    found: dict[str, Any] = event["tiers"][tier]["price"]
    return found


async def changed(agree: Agree, world: World, event: Event, token: str, body: Any) -> Event:
    """Change an event, which must succeed, and have it checked."""
    answer = await patch(world, event, token, body)
    assert 200 == answer.status, answer.text
    await agree(event)
    return dict(answer.body)


async def test_prices(agree: Agree, world: World, event: Event, boss: str) -> None:
    """Who orders from now on pays the new price; who holds places keeps what was shown."""
    buyer = world.token()
    held = await world.hold(event, buyer)
    tier = event["tiers"][0]
    new = price(event) | {"amount": price(event)["amount"] + 500}
    seen = await changed(agree, world, event, boss, {"tiers": [{"id": tier["id"], "price": new}]})
    assert new == price(seen)
    booked = await world.book(event, None)
    assert (201, new) == (booked.status, booked.body["total"])
    path = f"/v1/holds/{held.body['id']}/confirm"
    confirmed = await world.call("POST", path, token=buyer)
    assert (201, price(event)) == (confirmed.status, confirmed.body["total"])
    await agree(event)


async def test_tiers_and_codes(agree: Agree, world: World, boss: str) -> None:
    """A tier is added with a code of its own; codes are made, raised and stopped."""
    event = await world.event(
        5, token=boss, promo_codes=[{"code": "GIFT", "amount_off": 1, "uses_max": 1}]
    )
    door = {"code": "DOOR", "tiers": ["Balcony"], "uses_max": 5}
    body = {"add_tiers": [NEW | {"is_hidden": True}], "promo_codes": [door, OFF]}
    seen = await changed(agree, world, event, boss, body)
    assert ["Balcony", True, 7] == [seen["tiers"][-1][k] for k in ("name", "is_hidden", "capacity")]
    check_problem(await world.book(seen, None, (2, 1)), 422, "invalid", "/items/0/tier_id")
    assert 201 == (await world.book(seen, None, (2, 1), promo_code="DOOR")).status
    assert 201 == (await world.book(seen, None, promo_code="GIFT")).status
    check_problem(await world.book(seen, None, promo_code="GIFT"), 409, "promo_exhausted")
    raised = {"promo_codes": [{"code": "GIFT", "uses_max": 2}, {"code": "DOOR", "uses_max": 0}]}
    await changed(agree, world, event, boss, raised)
    assert 201 == (await world.book(seen, None, promo_code="GIFT")).status
    stopped = await world.book(seen, None, (2, 1), promo_code="DOOR")
    check_problem(stopped, 422, "invalid", "/items/0/tier_id")
    await agree(event)


async def test_limits(agree: Agree, world: World, event: Event, user: str, boss: str) -> None:
    """How many one person may have, and how long an offer lasts, can be changed."""
    seen = await changed(agree, world, event, boss, {"max_per_user": 2, "offer_ttl_s": 90})
    assert (2, 90) == (seen["max_per_user"], seen["offer_ttl_s"])
    check_problem(await world.book(event, user, (1, 3)), 409, "limit_reached")
    assert 201 == (await world.book(event, user, (1, 2))).status
    seen = await changed(agree, world, event, boss, {"max_per_user": 3, "offer_ttl_s": None})
    assert (3, None) == (seen["max_per_user"], seen["offer_ttl_s"])
    assert 201 == (await world.book(event, user, key="k-2")).status


async def moves_told(world: World, event_id: str) -> list[dict[str, str]]:
    """Return what all who have places of an event are to be told, in order."""
    rows = await world.database.fetch(
        "SELECT payload::text FROM outbox WHERE kind = 'event.changed' AND event_id = $1"
        " ORDER BY id",
        event_id,
    )
    return [json.loads(row["payload"]) for row in rows]


async def test_who_has_places_is_told_of_another_start_or_place(
    world: World, event: Event, boss: str
) -> None:
    """Another start or place of a published event is told, once; of a draft, and all else, not."""
    path = f"/v1/events/{event['id']}/postpone"
    later = {"starts_at": from_now(days=60)}
    for _ in range(2):  # The second changes nothing.
        assert 200 == (await world.call("POST", path, token=boss, json=later)).status
    [old] = await moves_told(world, event["id"])
    assert moment(event["starts_at"]) == moment(old["old_starts_at"])
    for change, count in (({"venue": "Hall"}, 2), ({"venue": "Hall"}, 2), ({"summary": "S"}, 2)):
        answer = await patch(world, event, boss, change)
        assert 200 == answer.status, answer.text
        told = await moves_told(world, event["id"])
        assert count == len(told)
    assert event["venue"] == told[1]["old_venue"]
    assert {"old_starts_at", "old_timezone", "old_venue", "old_address"} == told[1].keys()
    draft = await world.draft(boss, 5)
    assert 200 == (await patch(world, draft, boss, {"venue": "Other"})).status
    assert [] == await moves_told(world, draft["id"])


async def test_postpone(agree: Agree, world: World, user: str, boss: str) -> None:
    """A postponed event is sold on, tells its first start, and keeps what is booked."""
    event = await world.event(5, token=boss, ends_at=from_now(days=31), doors_at=from_now(days=29))
    booked = (await world.book(event, user)).body
    path, last = f"/v1/events/{event['id']}/postpone", from_now(days=60)
    check_problem(
        await world.call("POST", path, token=boss, json={"starts_at": from_now(days=2)}),
        422,
        "invalid",
        "/starts_at",
    )
    for later in (from_now(days=50), last, last):
        answer = await world.call("POST", path, token=boss, json={"starts_at": later})
        assert 200 == answer.status, answer.text
        seen = answer.body
        await agree(event)
        assert event["starts_at"] == seen["postponed_from"]
        by = moment(seen["starts_at"]) - moment(event["starts_at"])
        for name in ("ends_at", "doors_at", "sale_closes_at"):
            lag = by - (moment(seen[name]) - moment(event[name]))
            assert abs(lag) < dt.timedelta(milliseconds=1), name
    found = await world.call("GET", f"/v1/bookings/{booked['id']}", token=user)
    assert "confirmed" == found.body["status"]
    assert 201 == (await world.book(event, None)).status
    back = {"starts_at": event["starts_at"], "timezone": "Asia/Tokyo"}
    seen = await changed(agree, world, event, boss, back)
    assert (None, "Asia/Tokyo") == (seen["postponed_from"], seen["timezone"])
    draft = await world.draft(boss, 5)
    path = f"/v1/events/{draft['id']}/postpone"
    check_problem(
        await world.call("POST", path, token=boss, json={"starts_at": later}), 409, "not_on_sale"
    )


async def test_a_sale_that_is_over_stays_so(
    agree: Agree, world: World, event: Event, boss: str
) -> None:
    """To put off an event whose sale its organizer has closed opens nothing."""
    assert 200 == (await world.call("POST", f"/v1/events/{event['id']}/close", token=boss)).status
    later = {"starts_at": from_now(days=60)}
    answer = await world.call("POST", f"/v1/events/{event['id']}/postpone", token=boss, json=later)
    assert (200, "closed") == (answer.status, answer.body["status"])
    check_problem(await world.book(event, None), 409, "sale_closed")
    await agree(event)


async def test_the_opening_moves_until_it_was(agree: Agree, world: World, boss: str) -> None:
    """What has not opened may open at another time, also at once; then it has opened."""
    event = await world.event(5, token=boss, sale_opens_at=from_now(days=1))
    check_problem(await world.book(event, None), 409, "sale_not_open")
    await changed(agree, world, event, boss, {"sale_opens_at": from_now(days=2)})
    await changed(agree, world, event, boss, {"sale_opens_at": from_now(seconds=-1)})
    assert 201 == (await world.book(event, None)).status
    refused = await patch(world, event, boss, {"sale_opens_at": from_now(days=2)})
    check_problem(refused, 422, "invalid", "/sale_opens_at")


async def test_drafts_take_the_same(agree: Agree, world: World, boss: str) -> None:
    """What may change of a sale may change of a draft, and is what is loaded then."""
    draft = await world.draft(boss, 5)
    new = price(draft) | {"amount": 4321}
    body = {
        "tiers": [{"id": draft["tiers"][0]["id"], "price": new, "max_per_order": 3}],
        "add_tiers": [NEW],
        "promo_codes": [OFF],
        "max_per_user": 4,
        "offer_ttl_s": 120,
    }
    answer = await patch(world, draft, boss, body)
    assert (200, new, 3) == (
        answer.status,
        price(answer.body),
        answer.body["tiers"][0]["max_per_order"],
    )
    seen = dict((await world.publish(draft["id"], boss)).body)
    assert (4, 120, "Balcony") == (
        seen["max_per_user"],
        seen["offer_ttl_s"],
        seen["tiers"][-1]["name"],
    )
    half = await world.book(seen, None, (2, 1), promo_code="LATE")
    assert (201, 450) == (half.status, half.body["total"]["amount"])
    await agree(seen)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tiers": [{"price": {"amount": 1, "currency": "USD"}}]}, "/tiers/0/price/currency"),
        ({"tiers": [{"min_per_order": 9, "max_per_order": 2}]}, "/tiers/0/min_per_order"),
        ({"tiers": [{"max_per_user": 2}]}, "/tiers/0/max_per_user"),
        ({"tiers": [{"sale_closes_at": from_now(days=99)}]}, "/tiers/0/sale_closes_at"),
        ({"tiers": [{"is_hidden": True}]}, "/tiers/0/is_hidden"),
        ({"currency": "USD"}, "/currency"),
        ({"add_tiers": [NEW | {"capacity": None}]}, "/add_tiers/0/capacity"),
        ({"add_tiers": [NEW, NEW]}, "/add_tiers/1/name"),
        ({"add_tiers": [NEW | {"is_hidden": True}]}, "/add_tiers/0/is_hidden"),
        (
            {"add_tiers": [NEW | {"min_per_order": 9, "max_per_order": 2}]},
            "/add_tiers/0/min_per_order",
        ),
        ({"promo_codes": [{"code": "GONE", "uses_max": 0}]}, "/promo_codes/0/uses_max"),
        ({"promo_codes": [OFF, OFF]}, "/promo_codes/1/code"),
        ({"promo_codes": [OFF | {"code": "EARLY"}]}, "/promo_codes/0/code"),
        ({"promo_codes": [OFF | {"tiers": [7]}]}, "/promo_codes/0/tiers/0"),
        ({"starts_at": from_now(days=-1)}, "/starts_at"),
        ({"max_per_user": 0}, "/max_per_user"),
    ],
)
async def test_what_does_not_fit_changes_nothing(
    world: World, boss: str, body: dict[str, Any], pointer: str
) -> None:
    """S21: what stays as it was made, or does not go together, is named by its place."""
    promos = [{"code": "EARLY", "percent_off": 25, "uses_max": 1}]
    event = await world.event(5, token=boss, promo_codes=promos)
    for tier in body.get("tiers", []):
        tier["id"] = event["tiers"][0]["id"]
    before = await world.state()
    check_problem(await patch(world, event, boss, body), 422, "invalid", pointer)
    assert before == await world.state()


async def test_what_is_called_off_stays_so(world: World, event: Event, boss: str) -> None:
    """A cancelled event is not put off, and nothing of it costs something else."""
    assert 202 == (await world.call("POST", f"/v1/events/{event['id']}/cancel", token=boss)).status
    later = {"starts_at": from_now(days=60)}
    path = f"/v1/events/{event['id']}/postpone"
    check_problem(await world.call("POST", path, token=boss, json=later), 409, "event_cancelled")


def moment(text: str) -> dt.datetime:
    """Read a time."""
    return dt.datetime.fromisoformat(text)
