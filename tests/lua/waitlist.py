"""A till with a waitlist: raw calls, and a fold of the journal that every test ends with."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine import keys
from engine.ids import entry_id, entry_of_offer, hold_id, new_id, offer_of_entry
from engine.records import (
    Booked,
    Cancelled,
    CapacitySet,
    Confirmed,
    Expired,
    Held,
    Joined,
    Left,
    Offered,
    Published,
    Released,
    Stalled,
)
from engine.values import WaitEntry, parse_entry, parse_hold
from tests.checks import ask, journal, members_of, rows_of
from tests.checks import persons as read_persons
from tests.lua.world import Command, Till

TTL_MS = 60_000
PATIENCE_MS = 3_600_000
FORGET_MS = 1_000_000


class Waiter:
    """One who waits: an entry, its offer, and the booking that it may become."""

    def __init__(
        self, event_id: str, quantity: int, *, user_id: str = "", tier_no: int = 1
    ) -> None:
        self.event_id = event_id
        self.quantity = quantity
        self.user_id = user_id or new_id("usr")
        self.tier_no = tier_no
        self.id = entry_id(event_id=event_id, user_id=self.user_id, idempotency_key=new_id("usr"))
        self.offer = offer_of_entry(self.id)


class Queue:
    """The waitlist of a till's default event."""

    def __init__(self, till: Till, *, policy: str = "strict") -> None:
        self.till = till
        self.policy = policy
        self.patience_ms = PATIENCE_MS
        self.ttl_ms = TTL_MS
        self.names = keys.event(till.shard, till.event)

    async def call(self, verb: str, *words: Any) -> list[Any]:
        """Send one command of a batched verb."""
        till = self.till
        names = [till.meta, till.journal, keys.due(till.shard)]
        if verb == "join":
            names += keys.attempts(till.shard)
        [reply] = await till.call(verb, [*names, *self.names], till.epoch, till.event, 1, *words)
        return list(reply)

    async def send_join(self, waiter: Waiter, **given: Any) -> list[Any]:
        """Send a join; return the reply."""
        words = {
            "fingerprint": "f",
            "tier_no": waiter.tier_no,
            "quantity": waiter.quantity,
            "policy": self.policy,
            "patience_ms": self.patience_ms,
            "offer_ttl_ms": self.ttl_ms,
            "waiting_max": 1_000,
            "after_hold": "-",
            "attempts_max": 0,
            "window_ms": 0,
        } | given
        return await self.call("join", waiter.id, waiter.user_id, *words.values())

    async def join(self, quantity: int, **given: Any) -> Waiter:
        """Let somebody new join."""
        waiter = Waiter(self.till.event, quantity)
        reply = await self.send_join(waiter, **given)
        assert reply[0] == "JOINED", reply
        return waiter

    async def leave(self, waiter: Waiter, *, user_id: str = "") -> list[Any]:
        """Leave, as the owner or as *user_id*."""
        return await self.call("leave", waiter.id, user_id or waiter.user_id)

    async def accept(self, waiter: Waiter) -> list[Any]:
        """Accept the offer."""
        return await self.call("confirm", waiter.offer, waiter.user_id)

    async def decline(self, waiter: Waiter) -> list[Any]:
        """Decline the offer."""
        return await self.call("release", waiter.offer, waiter.user_id)

    async def hold(
        self, user_id: str, quantity: int, *, ttl_ms: int = TTL_MS
    ) -> tuple[str, list[Any]]:
        """Hold places of tier 1; return the hold's id and the reply."""
        own = hold_id(event_id=self.till.event, user_id=user_id, idempotency_key=new_id("usr"))
        command = Command(user_id, (1, quantity), fingerprint="f")
        [reply] = await self.till.send("hold", command.order(self.till.event, own, ttl_ms))
        return own, reply

    async def expire(self, *, holds_max: int = 200) -> list[Any]:
        """Sweep once."""
        till = self.till
        names = [till.meta, till.journal, keys.due(till.shard), *self.names]
        reply: list[Any] = await till.call(
            "expire", names, till.epoch, till.event, holds_max, FORGET_MS
        )
        return reply

    async def overdue(self, own_id: str) -> None:
        """Let a hold's or an offer's deadline lie in the past, in its row and in the index."""
        row = (await ask(self.till.redis, "HGET", self.names.holds, own_id)).decode().split(" ")
        row[8] = "1"
        await ask(self.till.redis, "HSET", self.names.holds, own_id, " ".join(row))
        await ask(self.till.redis, "ZADD", self.names.deadlines, 1, own_id)

    async def impatient(self, waiter: Waiter) -> None:
        """Let an entry have stopped the list since long ago."""
        row = (await ask(self.till.redis, "HGET", self.names.entries, waiter.id)).decode().split()
        assert int(row[10]) > 0
        row[10] = "1"
        await ask(self.till.redis, "HSET", self.names.entries, waiter.id, " ".join(row))

    async def entry(self, waiter: Waiter) -> WaitEntry:
        """Read an entry."""
        return parse_entry(await ask(self.till.redis, "HGET", self.names.entries, waiter.id))

    async def statuses(self, *waiters: Waiter) -> list[str]:
        """Read what became of some entries."""
        return [(await self.entry(waiter)).status for waiter in waiters]

    async def records(self, kind: type) -> list[Any]:
        """Return the journal's records of one kind."""
        entries = await journal(self.till.redis, self.till.shard)
        return [entry.record for entry in entries if isinstance(entry.record, kind)]

    async def sell(self, *quantities: int) -> list[Command]:
        """Book tier 1 for new users."""
        commands = [Command(new_id("usr"), (1, quantity)) for quantity in quantities]
        for command in commands:
            [reply] = await self.till.book(command)
            assert reply[0] == "BOOKED", reply
        return commands

    async def check(self) -> None:
        """Fold the journal: I1, I8, I9, I12, and that Redis is what the records say."""
        await check_waitlist(self.till, self.names)


class Fold:
    """What the records of one event add up to; an illegal step is an assertion."""

    def __init__(self) -> None:
        self.available: Counter[int] = Counter()
        self.capacity: dict[int, int] = {}
        self.held: Counter[int] = Counter()
        self.sold: Counter[int] = Counter()
        self.taken: Counter[str] = Counter()
        self.status: dict[str, str] = {}
        self.lists: dict[int, dict[str, str]] = {}
        self.live: dict[str, list[Any]] = {}
        self.policy = ""

    def move(self, record: Any, source: Counter[int], target: Counter[int], sign: int) -> None:
        for item in record.items:
            source[item.tier_no] -= item.quantity
            target[item.tier_no] += item.quantity
            assert source[item.tier_no] >= 0
            self.taken[record.user_id] += sign * item.quantity

    def end(self, hold: str, status: str) -> None:
        if hold.startswith("offer_"):
            entry = entry_of_offer(hold)
            assert self.status[entry] == "offered"
            self.status[entry] = status

    def offer(self, record: Offered) -> None:
        """I9: the head, or one whose every predecessor was passed by the policy."""
        tier_no = record.items[0].tier_no
        waiting = self.lists[tier_no]
        before = sorted((no, key) for key, no in waiting.items() if no < record.join_no)
        limited = [key for _, key in before if key in record.limited]
        assert limited == record.limited
        assert [key for _, key in before if key not in limited] == record.passed
        assert (record.reason == "turn") == (not record.passed)
        assert record.reason in {"turn", "skip" if self.policy == "skip" else "patience"}
        assert self.status[record.entry_id] == "waiting"
        del waiting[record.entry_id]
        self.status[record.entry_id] = "offered"
        self.move(record, self.available, self.held, 1)

    def follow(self, record: Any) -> None:
        match record:
            case Published():
                self.available.update({tier.tier_no: tier.capacity for tier in record.tiers})
                self.capacity = {tier.tier_no: tier.capacity for tier in record.tiers}
                self.lists = {tier.tier_no: {} for tier in record.tiers}
            case CapacitySet():
                for tier in record.tiers:
                    self.available[tier.tier_no] += tier.capacity - self.capacity[tier.tier_no]
                    self.capacity[tier.tier_no] = tier.capacity
            case Booked():
                assert not any(self.lists[item.tier_no] for item in record.items), "overtaken"
                self.move(record, self.available, self.sold, 1)
            case Held():
                assert not any(self.lists[item.tier_no] for item in record.items), "overtaken"
                self.move(record, self.available, self.held, 1)
            case Released() | Expired():
                how = record.reason or "declined" if isinstance(record, Released) else "expired"
                self.end(record.hold_id, how)
                self.move(record, self.held, self.available, -1)
            case Confirmed():
                self.end(record.hold_id, "accepted")
                if record.was_expired:
                    assert not any(self.lists[item.tier_no] for item in record.items), "late"
                    assert not record.hold_id.startswith("offer_"), "used twice"
                source = self.available if record.was_expired else self.held
                self.move(record, source, self.sold, int(record.was_expired))
            case Cancelled():
                self.move(record, self.sold, self.available, -1)
            case Joined():
                assert record.entry_id not in self.status
                self.policy = record.policy
                self.status[record.entry_id] = "waiting"
                self.lists[record.tier_no][record.entry_id] = record.join_no
            case Left():
                del self.lists[record.tier_no][record.entry_id]
                self.status[record.entry_id] = "left" if record.why == "owner" else record.why
            case Offered():
                self.offer(record)
            case Stalled():
                assert self.status[record.entry_id] == "waiting"
                assert self.available[record.tier_no] == record.available < record.quantity


async def check_waitlist(till: Till, names: keys.EventKeys) -> None:
    """Compare Redis with the fold of the journal of the till's default event."""
    fold = Fold()
    for entry in await journal(till.redis, till.shard):
        if entry.record.event_id == till.event:
            fold.follow(entry.record)
    stock = {
        name.decode(): value.decode()
        for name, value in (await rows_of(till.redis, names.stock)).items()
    }
    for tier_no, waiting in fold.lists.items():
        expected = [fold.available[tier_no], fold.held[tier_no], fold.sold[tier_no], len(waiting)]
        found = [
            int(stock.get(f"{tier_no}.{name}", 0))
            for name in ("available", "held", "sold", "waiting")
        ]
        assert expected == found
    assert {user: n for user, n in fold.taken.items() if n} == await read_persons(
        till.redis, till.shard, till.event
    )
    rows = await rows_of(till.redis, names.entries)
    entries = {key.decode(): parse_entry(row) for key, row in rows.items() if key[:3] == b"wl_"}
    assert fold.status == {key: entry.status for key, entry in entries.items()}
    members = sorted(
        f"{tier_no:03}:{no}:{key}"
        for tier_no, waiting in fold.lists.items()
        for key, no in waiting.items()
    )
    assert members == await members_of(till.redis, names.waitlist)
    holds = {k.decode(): parse_hold(v) for k, v in (await rows_of(till.redis, names.holds)).items()}
    live = {key for key, hold in holds.items() if hold.status == "held"}
    assert live == set(await members_of(till.redis, names.deadlines))
    offered = {key for key, status in fold.status.items() if status == "offered"}
    assert {offer_of_entry(key) for key in offered} == {k for k in live if k.startswith("offer_")}


async def full(till: Till, *quantities: int, policy: str = "strict") -> tuple[Queue, list[Command]]:
    """Publish one tier, sell all of it in bookings of *quantities*."""
    await till.publish(tiers=[(sum(quantities), 2500, 10)], person_max=10)
    queue = Queue(till, policy=policy)
    return queue, await queue.sell(*quantities)
