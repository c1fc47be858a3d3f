"""Pools: places that tiers share are never sold twice, and go to who has waited longer."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any, Literal

import pytest
from redis.exceptions import ResponseError

from engine import keys, scripts
from engine.door import Reign
from engine.ids import hold_id, new_id
from engine.pools import left_of, parse
from engine.records import Amended, CapacitySet, Expired, Left, Offered, Published, Rules
from engine.values import parse_hold
from tests.checks import FAR_MS, ask, journal
from tests.lua.waitlist import Queue, Waiter
from tests.lua.world import Command, Desk, Till, check_folded, dump, wait_until_gone

#: Adults and children of one room of ten, of whom at most four are children; a tier by itself.
TIERS = ((10, 2500, 10), (4, 900, 10), (3, 100, 10))
POOLS = "p10t1t2t"
#: What stays of a tier that is amended, behind its capacity.
STAYS = ":-:-:-:-:-:-:-:-"


async def open_sale(till: Till, pools: str = POOLS, **given: Any) -> None:
    reply = await till.publish(tiers=TIERS, person_max=50, own_rules=f"pools={pools}", **given)
    assert "PUBLISHED" == reply[0], reply


async def book(till: Till, *items: tuple[int, int]) -> list[Any]:
    [reply] = await till.book(Command(new_id("usr"), *items))
    return reply


async def left(till: Till) -> list[int]:
    """Return what `availability` says is left of each tier."""
    [reply] = await till.availability(code="*")
    stock = dict(zip(reply[3::2], reply[4::2], strict=True))
    return [left_of(stock, tier_no).places for tier_no in (1, 2, 3)]


async def waiter_of(queue: Queue, tier_no: int, quantity: int) -> Waiter:
    waiter = Waiter(queue.till.event, quantity, tier_no=tier_no)
    reply = await queue.send_join(waiter)
    assert "JOINED" == reply[0], reply
    return waiter


async def test_published(till: Till) -> None:
    """Record and stock have the rule; a repetition is one, and other pools are another event."""
    await open_sale(till)
    [entry] = await journal(till.redis, till.shard)
    assert isinstance(entry.record, Published)
    assert Rules(pools=POOLS) == entry.record.rules
    assert POOLS == await till.field("pools")
    again = await till.publish(tiers=TIERS, person_max=50, own_rules=f"pools={POOLS}")
    assert "REPLAYED" == again[0]
    assert [10, 4, 3] == await left(till)


@pytest.mark.parametrize(
    "rule",
    ["p10t1t4t", "p10t1t1t", "p10t1t2tp5t2t3t", "p10t1", "10t1t2t", "p10t01t2t", "p10tt1t", "p"],
)
async def test_bad_pools(till: Till, rule: str) -> None:
    """Pools of tiers that are none, or of one in two pools, are a bug in the caller."""
    with pytest.raises(ResponseError, match="BADARG pools"):
        await till.publish(tiers=TIERS, own_rules=f"pools={rule}")
    assert not await journal(till.redis, till.shard)


async def test_version_1_sells_no_pools(till: Till) -> None:
    """Records that cannot say it would oversell the room: nothing is published."""
    nonce = f"old-{till.shard}"
    for name in ("publish", "set_capacity"):
        await ask(till.redis, "SCRIPT LOAD", scripts.render(name, nonce, 1))
    old = Reign(shard=till.shard, epoch=1, script_shas=scripts.shas(nonce, 1))
    before = Till(till.redis, old)
    before.event = till.event
    reply = await before.publish(tiers=TIERS, own_rules=f"pools={POOLS}")
    assert ["NOT_UPGRADED"] == reply
    await open_sale(till)
    assert ["NOT_UPGRADED"] == await before.one("set_capacity", "p1:20")
    assert "CAPACITY_SET" == (await before.one("set_capacity", "1:9"))[0]


async def test_one_room(till: Till) -> None:
    """I1: what one tier takes is gone for the others; each has its own capacity beside."""
    await open_sale(till)
    assert "BOOKED" == (await book(till, (1, 5), (2, 2)))[0]
    assert [3, 2, 3] == await left(till)
    assert ["SOLD_OUT", 2, 2] == (await book(till, (1, 1), (2, 3)))[:3], "its own capacity"
    assert ["SOLD_OUT", 1, 3] == (await book(till, (1, 4)))[:3], "the pool's"
    assert ["SOLD_OUT", 2, 1] == (await book(till, (1, 2), (2, 2)))[:3], "both lines together"
    assert ["SOLD_OUT", 2, 1] == (await book(till, (2, 2), (1, 2)))[:3], "in either order"
    assert "BOOKED" == (await book(till, (1, 1), (2, 2), (3, 3)))[0]
    assert [0, 0, 0] == await left(till)
    assert ["SOLD_OUT", 1, 0] == (await book(till, (1, 1)))[:3]
    assert (10, 4, 0, 6) == await till.counters(1)
    await check_folded(till)


async def test_a_batch(till: Till) -> None:
    """In one call as in many: the pool's last places are sold once."""
    await open_sale(till)
    replies = await till.book(
        *[Command(new_id("usr"), (1 + n % 2, 2)) for n in range(4)],
        *[Command(new_id("usr"), (1, 1)) for _ in range(4)],
    )
    assert 4 * ["BOOKED"] + 2 * ["BOOKED"] + 2 * ["SOLD_OUT"] == [reply[0] for reply in replies]
    assert [0, 0, 3] == await left(till)
    await check_folded(till)


async def test_held_or_sold_out(till: Till) -> None:
    """What holds of another tier have may return; what is sold of it will not."""
    await open_sale(till)
    desk = Desk(till)
    child = Command(new_id("usr"), (2, 4))
    await desk.hold(child)
    assert "BOOKED" == (await book(till, (1, 5)))[0]
    assert ["ALL_HELD", 1, 1] == (await book(till, (1, 5)))[:3]
    assert 4 == len(await book(till, (1, 5))), "with a time"
    assert ["SOLD_OUT", 1, 1] == (await book(till, (1, 6)))[:3]
    assert "RELEASED" == (await desk.on("release", child))[0]
    assert "BOOKED" == (await book(till, (1, 5)))[0]
    assert ["SOLD_OUT", 1, 0] == (await book(till, (2, 1)))[:3]
    await check_folded(till)


async def test_overdue_holds_of_another_tier(till: Till) -> None:
    """A sale ends them, whichever tier of the pool they are of; late they are judged anew."""
    await open_sale(till)
    desk = Desk(till)
    child = Command(new_id("usr"), (2, 4))
    await desk.hold(child, ttl_ms=1)
    await wait_until_gone(desk, child)
    assert "BOOKED" == (await book(till, (1, 9)))[0]
    records = [entry.record for entry in await journal(till.redis, till.shard)]
    assert any(isinstance(record, Expired) for record in records)
    assert "HOLD_EXPIRED" == (await desk.on("confirm", child))[0], "one of four is left"
    one = Command(new_id("usr"), (2, 1), key="one")
    await desk.hold(one, ttl_ms=1)
    await wait_until_gone(desk, one)
    assert "CONFIRMED" == (await desk.on("confirm", one))[0]
    assert [0, 0, 3] == await left(till)
    await check_folded(till)


async def test_given_back(till: Till) -> None:
    """Places that come back are those of all tiers of the pool."""
    await open_sale(till)
    whole = Command(new_id("usr"), (1, 6), (2, 4))
    [reply] = await till.book(whole)
    assert "BOOKED" == reply[0]
    assert "ITEM_CANCELLED" == (await till.cut(whole, "2:1"))[0]
    assert [1, 1, 3] == await left(till)
    assert "BOOKED" == (await book(till, (1, 1)))[0]
    [reply] = await till.cancel(whole)
    assert "CANCELLED" == reply[0]
    assert [9, 4, 3] == await left(till)
    assert "CANCELLED" == (await till.alone("cancel_event"))[0]
    await check_folded(till)


async def test_capacity_of_a_pool(till: Till) -> None:
    """It grows and shrinks as a tier's does, and never below what its tiers have sold."""
    await open_sale(till)
    await book(till, (1, 4), (2, 3))
    before = await dump(till.redis, till.shard)
    assert ["CAPACITY_BELOW_TAKEN", 2, 7] == await till.one("set_capacity", "1:9,p1:6")
    assert ["UNKNOWN_TIER", 1] == await till.one("set_capacity", "p2:6")
    assert "REPLAYED" == (await till.one("set_capacity", "p1:10"))[0]
    assert before == await dump(till.redis, till.shard)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "p1:7"))[0]
    assert [0, 0, 3] == await left(till)
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, CapacitySet)
    assert ([], "p7t1t2t") == (record.tiers, record.pools)
    assert "CAPACITY_SET" == (await till.one("set_capacity", f"1:20,p1:20;{FAR_MS - 1}"))[0]
    assert [13, 1, 3] == await left(till)
    assert "p20t1t2t" == await till.field("pools")
    await check_folded(till)


async def test_waiters_of_all_tiers(till: Till) -> None:
    """Who has waited longer is served first, whichever tier of the pool they wait for."""
    await open_sale(till)
    queue = Queue(till)
    sold = Command(new_id("usr"), (1, 10))
    await till.book(sold)
    assert "ALL_HELD" != (await book(till, (2, 1)))[0]
    child = await waiter_of(queue, 2, 2)
    adult = await waiter_of(queue, 1, 1)
    assert "ITEM_CANCELLED" == (await till.cut(sold, "1:1"))[0]
    assert ["waiting", "waiting"] == await queue.statuses(child, adult), "the head does not fit"
    assert ["KEPT_FOR_WAITLIST", 1, 1] == (await book(till, (1, 1)))[:3]
    assert "ITEM_CANCELLED" == (await till.cut(sold, "1:2", version=2))[0]
    assert ["offered", "offered"] == await queue.statuses(child, adult)
    offers = await queue.records(Offered)
    assert [child.id, adult.id] == [offer.entry_id for offer in offers]
    assert [[], []] == [offer.passed for offer in offers]
    assert [0, 0, 3] == await left(till)


async def test_a_tier_that_is_full_keeps_nobody_off(till: Till) -> None:
    """Whom a tier's own capacity keeps waiting stands in nobody else's way."""
    await open_sale(till)
    queue = Queue(till)
    await book(till, (2, 3))
    party = await waiter_of(queue, 2, 2)
    assert "BOOKED" == (await book(till, (1, 1)))[0]
    sold = Command(new_id("usr"), (1, 6))
    await till.book(sold)
    assert [0, 0, 3] == await left(till)
    adult = await waiter_of(queue, 1, 1)
    [reply] = await till.cancel(sold)
    assert "CANCELLED" == reply[0]
    assert ["waiting", "offered"] == await queue.statuses(party, adult)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "2:5"))[0]
    assert "offered" == (await queue.entry(party)).status
    assert [3, 0, 3] == await left(till)


async def test_amended(till: Till) -> None:
    """I1: `amend` makes no pool smaller than what is taken of it, all or nothing, and promotes."""
    await open_sale(till)
    await book(till, (1, 5), (2, 2))
    before = await dump(till.redis, till.shard)
    price = "1:-:50:-:-:-:-:-:-:-"
    assert ["CAPACITY_BELOW_TAKEN", 1, 7] == await till.amend(pools="p1:6", tiers=price)
    assert ["CAPACITY_BELOW_TAKEN", 2, 5] == await till.amend(pools="p1:9", tiers="1:4" + STAYS)
    assert ["UNKNOWN_TIER", 1] == await till.amend(pools="p2:9", tiers=price)
    assert ["UNKNOWN_TIER", 2] == await till.amend(pools="p1:9", tiers="7:9" + STAYS)
    for word in ("1:9", "p1:9,p1:8", "p1", "p0:1", "", "p1:10000001"):
        with pytest.raises(ResponseError, match="BADARG amendment"):
            await till.amend(pools=word)
    assert before == await dump(till.redis, till.shard)
    queue = Queue(till)
    party = await waiter_of(queue, 1, 4)
    reply = await till.amend(pools="p1:12", tiers=price + ",+4:6:100:10:0:0:0:0:0:0")
    assert "AMENDED" == reply[0]
    [record] = [
        entry.record
        for entry in await journal(till.redis, till.shard)
        if isinstance(entry.record, Amended)
    ]
    assert ("p12t1t2t", 2) == (record.pools, len(record.tiers))
    assert "p12t1t2t" == await till.field("pools")
    assert "offered" == (await queue.entry(party)).status
    assert [1, 1, 3] == await left(till)
    assert "BOOKED" == (await book(till, (4, 6)))[0]
    assert "REPLAYED" == (await till.amend(pools="p1:12", tiers=price))[0]
    # A tier that is larger than its pool has no more than that.
    assert "AMENDED" == (await till.amend(tiers="1:90" + STAYS))[0]
    assert [1, 1, 3] == await left(till)


async def test_too_large_for_the_pool(till: Till) -> None:
    """A party that the pool can never have free cannot wait, nor wait on when it shrinks."""
    await open_sale(till)
    queue = Queue(till)
    await till.one("set_capacity", "1:20,p1:8")
    await book(till, (1, 6))
    await book(till, (1, 1))
    assert ["PARTY_TOO_LARGE", 8] == await queue.send_join(Waiter(till.event, 9))
    assert ["PLACES_AVAILABLE", 1] == await queue.send_join(Waiter(till.event, 1))
    party = await waiter_of(queue, 1, 8)
    assert "CAPACITY_SET" == (await till.one("set_capacity", "p1:7"))[0]
    assert "too_large" == (await queue.entry(party)).status
    assert ["too_large"] == [record.why for record in await queue.records(Left)]


class History:
    """A random history of two pools and a tier by itself, held against counts of its own."""

    def __init__(self, till: Till, seed: int, policy: Literal["strict", "skip"]) -> None:
        self.till = till
        self.chance = random.Random(seed)
        self.queue = Queue(till, policy=policy)
        self.desk = Desk(till)
        self.holds: list[tuple[str, str]] = []
        self.bookings: list[tuple[str, str]] = []
        self.waiters: list[Waiter] = []
        self.booked = 0
        self.told = 0

    async def stock(self) -> dict[str, int]:
        """Read the event's counters."""
        names = keys.event(self.till.shard, self.till.event)
        fields = await ask(self.till.redis, "HGETALL", names.stock)
        return {name.decode(): int(value) for name, value in fields.items() if value.isdigit()}

    async def rooms(self) -> list[tuple[list[int], int]]:
        """Return pools, and their capacities, as records say."""
        rule = await self.till.field("pools") or ""
        return [(list(pool.tier_nos), pool.capacity) for pool in parse(rule)]

    async def fits(self, lines: dict[int, int], *, without_holds: bool) -> bool:
        """Say by plain counting whether an order can be had."""
        stock = await self.stock()

        def taken(tier_no: int) -> int:
            held = 0 if without_holds else stock[f"{tier_no}.held"]
            return stock[f"{tier_no}.sold"] + held

        return all(
            taken(tier_no) + quantity <= stock[f"{tier_no}.capacity"]
            for tier_no, quantity in lines.items()
        ) and all(
            sum(taken(tier_no) + lines.get(tier_no, 0) for tier_no in tier_nos) <= capacity
            for tier_nos, capacity in await self.rooms()
            if lines.keys() & set(tier_nos)
        )

    async def order(self) -> None:
        """Ask for places, and judge the answer."""
        tier_nos = self.chance.sample(range(1, 6), self.chance.choice((1, 1, 2, 3)))
        lines = {tier_no: self.chance.randint(1, 3) for tier_no in tier_nos}
        fits = [await self.fits(lines, without_holds=free) for free in (False, True)]
        stock = await self.stock()
        deadlines = keys.event(self.till.shard, self.till.event).deadlines
        is_late = await ask(self.till.redis, "ZCOUNT", deadlines, "-inf", 1) > 0
        verb = self.chance.choice(("book", "hold"))
        command = Command(new_id("usr"), *lines.items())
        if verb == "book":
            [reply] = await self.till.book(command)
        else:
            [reply] = await self.desk.hold(command)
        match reply[0]:
            case "BOOKED" | "HELD":
                # Holds that have run out are ended by the sale itself.
                assert fits[is_late], (lines, reply)
                assert not any(stock.get(f"{tier_no}.waiting") for tier_no in lines)
                self.booked += 1
            case "SOLD_OUT":
                assert not fits[1], (lines, reply)
            case "ALL_HELD":
                assert not fits[0], (lines, reply)
            case "KEPT_FOR_WAITLIST":
                assert any(stock.get(f"{tier_no}.waiting") for tier_no in range(1, 6))
            case other:
                raise AssertionError(other)
        if reply[0] == "BOOKED":
            self.bookings.append((self.till.booking(command), command.user_id))
        elif reply[0] == "HELD":
            own = hold_id(
                event_id=self.till.event, user_id=command.user_id, idempotency_key=command.key
            )
            self.holds.append((own, command.user_id))

    async def end_hold(self) -> None:
        """Confirm a hold or an offer, give it back, or let it run out."""
        found = [*self.holds, *((one.offer, one.user_id) for one in self.waiters)]
        if found:
            own, user_id = self.chance.choice(found)
            how = self.chance.choice(("confirm", "release", "overdue"))
            names = keys.event(self.till.shard, self.till.event)
            if how != "overdue":
                await self.till.one(how, own, user_id)
            elif await ask(self.till.redis, "ZSCORE", names.deadlines, own):
                await self.queue.overdue(own)
                if self.chance.random() < 0.5:
                    await self.queue.expire()

    async def cancel(self) -> None:
        """Give a booking back."""
        if self.bookings:
            await self.till.one("cancel", *self.bookings.pop())

    async def join(self) -> None:
        """Wait."""
        waiter = Waiter(
            self.till.event, self.chance.randint(1, 3), tier_no=self.chance.randint(1, 5)
        )
        if (await self.queue.send_join(waiter))[0] == "JOINED":
            self.waiters.append(waiter)

    async def resize(self) -> None:
        """Make a pool or a tier larger or smaller."""
        name, places = self.chance.choice(("p1", "p2", "1", "3")), self.chance.randint(2, 9)
        verb = self.chance.choice(("set_capacity", "amend"))
        if verb == "set_capacity":
            reply = await self.till.one("set_capacity", f"{name}:{places}")
        elif name.startswith("p"):
            reply = await self.till.amend(pools=f"{name}:{places}")
        else:
            reply = await self.till.amend(tiers=f"{name}:{places}" + STAYS)
        assert reply[0] in {"CAPACITY_SET", "AMENDED", "REPLAYED", "CAPACITY_BELOW_TAKEN"}, reply

    async def check(self) -> None:
        """I1: each tier is conserved, no pool oversold; I9: nobody who fits waits on."""
        stock, fair = await self.stock(), self.queue.policy == "skip"
        for tier_no in range(1, 6):
            parts = [stock[f"{tier_no}.{name}"] for name in ("available", "held", "sold")]
            assert min(parts) >= 0
            assert stock[f"{tier_no}.capacity"] == sum(parts)
        for tier_nos, capacity in await self.rooms():
            taken = sum(
                stock[f"{tier_no}.{name}"] for tier_no in tier_nos for name in ("held", "sold")
            )
            assert taken <= capacity, "oversold"
        for waiter in self.waiters if fair else ():
            if (await self.queue.entry(waiter)).status == "waiting":
                assert not await self.fits({waiter.tier_no: waiter.quantity}, without_holds=False)

    async def check_returns(self) -> None:
        """A told time is when the first hold runs out that gives a place of the tier back."""
        redis, own = self.till.redis, keys.event(self.till.shard, self.till.event)
        [[_, _, _, *flat]] = await self.till.availability(code="*")
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        deadlines: dict[int, list[int]] = defaultdict(list)
        rows = await ask(redis, "HGETALL", own.holds)
        for hold in (parse_hold(row) for name, row in rows.items() if name != b"!"):
            for item in hold.items if hold.status == "held" else ():
                deadlines[item.tier_no].append(hold.expires_at_ms)
        rooms = await self.rooms()
        for tier_no in range(1, 6):
            mates = next((mates for mates, _ in rooms if tier_no in mates), [tier_no])
            left = left_of(told, tier_no)
            is_full = told[f"{tier_no}.available"] == "0"
            ends = [end for mate in ([tier_no] if is_full else mates) for end in deadlines[mate]]
            waits = any(int(told.get(f"{mate}.waiting", 0)) for mate in mates)
            expected = None if left.places or waits else min(ends, default=None)
            assert expected == left.returns_at_ms, (tier_no, told)
            self.told += expected is not None

    async def run(self, steps: int) -> None:
        """Act, and check after each step."""
        await self.till.publish(
            tiers=[(8, 100, 10), (3, 100, 10), (6, 100, 10), (6, 100, 10), (2, 100, 10)],
            person_max=50,
            own_rules="pools=p8t1t2tp7t3t4t",
        )
        acts = [self.order] * 4 + [self.end_hold] * 2 + [self.cancel, self.join, self.resize]
        for _ in range(steps):
            await self.chance.choice(acts)()
            await self.check()
            await self.check_returns()


@pytest.mark.parametrize("policy", ["strict", "skip"])
@pytest.mark.parametrize("seed", range(6))
async def test_random_histories(till: Till, seed: int, policy: Literal["strict", "skip"]) -> None:
    """R1: whatever happens, no pool is oversold, and free places find those who wait for them."""
    history = History(till, seed, policy)
    await history.run(120)
    assert history.booked > 5
    assert history.told > 5
