"""`amend`: an event that is on sale is changed for orders from then on."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from engine.ids import new_id, with_promo
from engine.records import Amended, TierName
from tests.checks import FAR_MS, journal
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import TIERS, Command, Till, check_folded, dump

STAY = ":-:-:-:-:-:-"


async def test_a_price_is_that_of_orders_from_then_on(till: Till) -> None:
    """Who has booked or holds keeps the price that was shown; who orders pays the new one."""
    await till.publish()
    holder = Command(new_id("usr"), (2, 1), key="h")
    await till.book(Command(new_id("usr"), (1, 1)))
    await till.hold(holder.user_id, 1, key="h")
    before = (await till.book(Command(holder.user_id, (1, 1), key="old")))[0]
    status, _, seq, *_ = await till.amend(tiers="1:-:7777" + STAY + ":-")
    assert ("AMENDED", "5") == (status, seq)
    after = (await till.book(Command(new_id("usr"), (1, 1))))[0]
    assert before[4] != after[4]
    assert after[4].endswith(":7777")
    again = await till.amend(tiers="1:-:7777" + STAY + ":-")
    assert ["REPLAYED", "1", "5"] == again[:3]
    await check_folded(till)


async def test_what_is_new_is_sold(till: Till) -> None:
    """A tier is added with all its rules, and a code that names it, in one record."""
    await till.publish()
    count = len(TIERS)
    no = count + 1
    reply = await till.amend(tiers=f"+{no}:3:900:4:2:3:0:0:1:0", promos=f"DOOR-1:2:0:0:{no}")
    assert "AMENDED" == reply[0]
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, Amended)
    assert [(no, 3, 900, 4, 2, 3, 0, 0, 1)] == [
        tuple(getattr(tier, name) for name in tier.__struct_fields__) for tier in record.tiers
    ]
    assert [TierName(no, f"tier_{no}", f"Tier {no}")] == record.names
    assert (3, 3, 0, 0) == await till.counters(no)
    user = new_id("usr")
    assert ["UNKNOWN_TIER", 1] == (await till.book(Command(user, (no, 2), key="a")))[0]
    order = Command(user, (no, 2), key="b", fingerprint=with_promo("f", "DOOR-1"))
    assert "BOOKED" == (await till.book(order))[0][0]
    again = await till.amend(tiers=f"+{no}:3:900:4:2:3:0:0:1:0")
    assert "REPLAYED" == again[0]
    assert ["SALE_DIFFERS"] == await till.amend(tiers=f"+{no}:3:901:4:2:3:0:0:1:0")
    assert ["SALE_DIFFERS"] == await till.amend(tiers=f"+{no + 2}:3:900:4:0:0:0:0:0:0")
    # Once the code is stopped, the tier is nobody's.
    assert "AMENDED" == (await till.amend(promos=f"DOOR-1:0:0:0:{no}"))[0]
    late = Command(new_id("usr"), (no, 2), key="c", fingerprint=with_promo("f", "DOOR-1"))
    assert ["UNKNOWN_TIER", 1] == (await till.book(late))[0]
    assert ["SALE_DIFFERS"] == await till.amend(promos="DOOR-1:9:10:0:")


async def test_times_move_together(till: Till) -> None:
    """The end moves; the sale never goes on beyond it, and what has opened does not open again."""
    now = await till.now_ms()
    ends = now + 3_600_000
    await till.publish(closes_at_ms=ends, own_rules=f"ends_at_ms={ends}")
    before = await dump(till.redis, till.shard)
    assert ["EVENT_ENDED", ends] == await till.amend(sale=f"closes_at_ms={ends + 1}")
    assert ["EVENT_ENDED", ends - 1] == await till.amend(sale=f"ends_at_ms={ends - 1}")
    assert ["EVENT_ENDED", 5] == await till.amend(sale="ends_at_ms=5")
    assert ["SALE_CLOSED", 5] == await till.amend(sale="closes_at_ms=5")
    assert ["SALE_DIFFERS"] == await till.amend(sale=f"opens_at_ms={ends - 5}")
    assert ["SALE_DIFFERS"] == await till.amend(sale="person_max=0")
    assert "REPLAYED" == (await till.amend(sale=f"ends_at_ms={ends},opens_at_ms=0"))[0]
    assert before == await dump(till.redis, till.shard)
    sale = f"ends_at_ms={ends + 9},closes_at_ms={ends + 9},person_max=2,offer_ttl_ms=70000"
    assert "AMENDED" == (await till.amend(sale=sale))[0]
    found = [await till.field(name) for name in ("ends_at_ms", "person_max", "offer_ttl_ms")]
    assert [str(ends + 9), "2", "70000"] == found
    assert "AMENDED" == (await till.amend(sale="offer_ttl_ms=0"))[0]
    assert await till.field("offer_ttl_ms") in {None, ""}
    assert "CLOSED" == (await till.one("close"))[0]
    assert "AMENDED" == (await till.amend(sale=f"closes_at_ms={ends}"))[0]
    assert "BOOKED" == (await till.book(Command(new_id("usr"), (1, 1))))[0][0]


async def test_capacities_go_as_far_as_they_may(till: Till) -> None:
    """I1: a capacity changes with the rest, or nothing does."""
    await till.publish()
    await till.book(Command(new_id("usr"), (1, 3)))
    before = await dump(till.redis, till.shard)
    refused = await till.amend(sale="person_max=3", tiers="1:2:50" + STAY + ":-")
    assert ["CAPACITY_BELOW_TAKEN", 1, 3] == refused
    assert ["UNKNOWN_TIER", 1] == await till.amend(tiers="9:2:50" + STAY + ":-")
    assert before == await dump(till.redis, till.shard)
    assert "AMENDED" == (await till.amend(tiers="1:3:50" + STAY + ":-"))[0]
    assert (3, 0, 0, 3) == await till.counters(1)
    await check_folded(till)


@pytest.mark.parametrize("before", [9, 3])
@pytest.mark.parametrize("is_of_tier", [True, False])
async def test_i12_what_an_amendment_frees_is_offered_within_its_limits(
    till: Till, is_of_tier: bool, before: int
) -> None:
    """Who waits is judged by the limits that come with the places, and not by those before."""
    await till.publish(tiers=[(5, 2500, 10)], person_max=10, rules=[(1, 0, 10, 0, 0, 0)])
    queue = Queue(till)
    [first, second] = await queue.sell(3, 2)
    lower, higher = (Waiter(till.event, 2, user_id=one.user_id) for one in (first, second))
    for waiter in (lower, higher):
        assert "JOINED" == (await queue.send_join(waiter))[0]

    async def amend(capacity: int, limit: int) -> None:
        of_tier, of_event = (limit, 10) if is_of_tier else (10, limit)
        figures = f"1:{capacity}:-:-:-:{of_tier}:-:-:-:-"
        assert "AMENDED" == (await till.amend(sale=f"person_max={of_event}", tiers=figures))[0]

    await amend(5, before)
    assert ["waiting", "waiting"] == await queue.statuses(lower, higher)
    # Three and two more are beyond the new limit, two and two are not.
    await amend(7, 4)
    assert ["limit", "offered"] == await queue.statuses(lower, higher)
    assert (7, 0, 2, 5) == await till.counters(1)


async def test_what_has_no_sale_is_not_changed(till: Till) -> None:
    """An event that is not loaded, or called off, stays what it is."""
    assert ["NOT_ON_SALE"] == await till.amend(sale="person_max=3")
    await till.publish()
    assert "CANCELLED" == (await till.alone("cancel_event"))[0]
    assert ["EVENT_CANCELLED"] == await till.amend(sale="person_max=3")


async def test_version_1_cannot_say_it(old_till: Till) -> None:
    """In a reign whose readers do not know the record, nothing is changed."""
    await old_till.publish()
    assert ["NOT_UPGRADED"] == await old_till.amend(sale=f"closes_at_ms={FAR_MS - 1}")


@pytest.mark.parametrize(
    ("sale", "tiers", "promos"),
    [
        ("colour=1", "-", "-"),
        ("person_max=01", "-", "-"),
        ("person_max=1,person_max=2", "-", "-"),
        ("-", "1:2:3", "-"),
        ("-", "1:1" + STAY + ":1:-", "-"),
        ("-", "+3:-:1:1:0:0:0:0:0:0", "-"),
        ("-", "-", "low:1:1:0:"),
        ("-", "-", "CODE:01:1:0:"),
    ],
)
async def test_bugs_of_callers_are_told(till: Till, sale: str, tiers: str, promos: str) -> None:
    """A word that is none of these is the caller's fault, and changes nothing."""
    await till.publish()
    with pytest.raises(ResponseError, match="BADARG"):
        await till.amend(sale=sale, tiers=tiers, promos=promos)
