"""`explain`: the ordered story of anything, and why an order was refused at a moment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.commands import Order, TierStock
from engine.ids import new_id
from engine.outcomes import Held, Refused
from engine.status import Status
from reconciler.tell.explain import Answer, Question, explain
from tests.checks import make_booking_id
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown, Sold
from tests.reconciler.test_cli import run


def kinds(answer: Answer) -> list[str]:
    """Return what kinds of records the story tells."""
    return [line.kind for line in answer.lines]


async def test_story_of_a_booking(sold: Sold) -> None:
    """A booking's records in order, persisted or not, and what they did to its tiers."""
    answer = await explain(sold.office.servers, sold.bookings[4])
    assert ["booked", "cancelled"] == kinds(answer)
    booked, cancelled = answer.lines
    assert (998 - 2 - 2, 998 - 2) == (booked.tiers[2]["available"], cancelled.tiers[2]["available"])
    assert [(1, 7), (1, 8)] == [(line.epoch, line.seq) for line in answer.lines]


async def test_nobody_else_is_named(sold: Sold) -> None:
    """A booking's and an event's story name no person; a person's own names them alone."""
    office = sold.office
    for target in (sold.bookings[0], sold.event.event_id):
        assert "usr_" not in json.dumps((await explain(office.servers, target)).document())
    answer = await explain(office.servers, sold.users[0], shard=office.shard)
    own = json.dumps(answer.document())
    assert sold.users[0] in own
    assert not any(user in own for user in sold.users[1:])


async def test_story_of_an_event(sold: Sold) -> None:
    """An event's story is all of its records."""
    answer = await explain(sold.office.servers, sold.event.event_id)
    assert ["published", "booked", "booked", "booked", "cancelled"] == kinds(answer)[:5]
    assert 8 == len(answer.lines)


async def hold(office: BoxOffice, event: Shown, quantity: int, ttl_ms: int) -> Held:
    """Set places of tier 1 aside."""
    own_id = new_id("hold")
    outcome = await office.engine.hold(
        office.shard,
        Order(event.event_id, own_id, new_id("usr"), "p", DETAIL, ((1, quantity),), ttl_ms),
    )
    assert isinstance(outcome, Held)
    return outcome


async def refusal(office: BoxOffice, event: Shown, quantity: int) -> Refused:
    """Ask for places of tier 1 that are not there."""
    user = new_id("usr")
    booking_id = make_booking_id(event.event_id, user, "r")
    outcome = await office.engine.book(
        office.shard, Order(event.event_id, booking_id, user, "p", DETAIL, ((1, quantity),))
    )
    assert isinstance(outcome, Refused)
    return outcome


async def now_ms(office: BoxOffice) -> int:
    """Return Redis' time."""
    seconds, micros = await office.redis.time()
    return seconds * 1000 + micros // 1000


async def test_why_it_was_refused(office: BoxOffice) -> None:
    """The journal tells, at each moment, what the script told: all held, then sold out."""
    event = await office.add_event(tiers=(TierStock(5, 2500, 10),))
    held = await hold(office, event, 4, 600_000)
    all_held = await refusal(office, event, 2)
    first_ms = await now_ms(office)
    await office.drain()
    await office.book(event.event_id, new_id("usr"), "a", (1, 1))
    sold_out = await refusal(office, event, 5)
    later_ms = await now_ms(office)

    first, later = [
        await explain(
            office.servers, event.event_id, Question(at_ms=at_ms, tier_no=1, quantity=quantity)
        )
        for at_ms, quantity in ((first_ms, 2), (later_ms, 5))
    ]

    assert (Status.ALL_HELD, "ALL_HELD") == (all_held.status, first.status)
    assert first.stock is not None
    assert (1, 4, held.expires_at_ms, None) == (
        first.stock["available"],
        first.stock["held"],
        first.stock["next_deadline_ms"],
        first.stock["sold_out_seq"],
    )
    assert (Status.SOLD_OUT, "SOLD_OUT") == (sold_out.status, later.status)
    assert later.stock is not None
    assert (0, 4, 3) == (later.stock["available"], later.stock["held"], later.stock["sold_out_seq"])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"at_ms": 0, "tier_no": 1, "quantity": 1}, "NOT_ON_SALE"),
        ({"at_ms": 9_100_000_000_000, "tier_no": 1, "quantity": 1}, "SALE_CLOSED"),
        ({"at_ms": 8_000_000_000_000, "tier_no": 9, "quantity": 1}, "UNKNOWN_TIER"),
        ({"at_ms": 8_000_000_000_000, "tier_no": 1, "quantity": 11}, "LIMIT_REACHED"),
        ({"at_ms": 8_000_000_000_000, "tier_no": 1, "quantity": 2}, "AVAILABLE"),
    ],
)
async def test_other_answers(sold: Sold, question: dict[str, Any], expected: str) -> None:
    """Each refusal in the order of the script, and the order that could be had."""
    answer = await explain(sold.office.servers, sold.event.event_id, Question(**question))
    assert expected == answer.status


async def test_command(sold: Sold) -> None:
    """The id stands where a subcommand could; the document has its keys."""
    code, text = await run(sold.office, "explain", sold.bookings[0])
    assert 0 == code
    assert f"booked {sold.bookings[0]} 2 of tier 1, 1 of tier 2" in text
    code, text = await run(
        sold.office,
        "explain",
        sold.event.event_id,
        "--json",
        "--at",
        "2100-01-01T00:00:00",
        "--tier",
        "2",
        "--quantity",
        "3",
    )
    document = json.loads(text)
    assert 0 == code
    assert ["target", "kind", "status", "stock", "left_out", "lines", "verdict"] == list(document)
    assert "AVAILABLE" == document["status"]


@pytest.mark.parametrize("target", ["nobody", "bk_" + "0" * 26])
async def test_unknown(sold: Sold, target: str) -> None:
    """What no record speaks of is no story."""
    code, _ = await run(sold.office, "explain", target, "--shard", str(sold.office.shard))
    assert 2 == code
