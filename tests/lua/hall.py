"""A seated event for script tests, called through the engine's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from engine import keys, values
from engine.commands import Expire, Order, Own, Publish, ShiftSeats, TierStock
from engine.engine import Engine
from engine.ids import booking_id, hold_id, new_id
from engine.outcomes import Applied, Booked, Held, Refused, SeatMap, Swept
from engine.records import Blocked, Unblocked
from engine.seats import Section, letters
from engine.verbs import EXPIRE
from tests.checks import FAR_MS, journal, rows_of

TTL_MS = 600_000


class Hall:
    """One seated event: tier 1 with its sections, and a further general tier if asked."""

    def __init__(self, engine: Engine, redis: Redis, shard: int) -> None:
        self.engine, self.redis, self.shard = engine, redis, shard
        self.event = new_id("evt")
        self.names = keys.event(shard, self.event)
        self.capacity: dict[int, int] = {}

    async def open(
        self, *sections: Section, general: Sequence[int] = (), person_max: int = 1000
    ) -> None:
        """Load the sections and publish; *general* are capacities of tiers that have no seats."""
        for section in sections:
            assert await self.engine.seat(self.shard, self.event, section) is None
        tiers = sorted({section.tier_no for section in sections})
        assert tiers == list(range(1, len(tiers) + 1))
        places = [sum(s.seats for s in sections if s.tier_no == tier) for tier in tiers]
        self.capacity = dict(enumerate([*places, *general], start=1))
        stock = tuple(TierStock(count, 2500, 10) for count in self.capacity.values())
        command = Publish(self.event, "p", 0, FAR_MS, person_max, stock, len(sections))
        assert isinstance(await self.engine.publish(self.shard, command), Applied)

    def order(
        self, user_id: str, *lines: Any, key: str = "k", held: bool = False, ttl_ms: int = TTL_MS
    ) -> Order:
        """Make an order's command."""
        make = hold_id if held else booking_id
        own = make(event_id=self.event, user_id=user_id, idempotency_key=key)
        return Order(self.event, own, user_id, "f", b"{}", lines, ttl_ms if held else 0)

    async def book(self, user_id: str, *lines: Any, key: str = "k") -> Booked | Refused:
        """Book."""
        return await self.engine.book(self.shard, self.order(user_id, *lines, key=key))

    async def hold(
        self, user_id: str, *lines: Any, key: str = "k", ttl_ms: int = TTL_MS
    ) -> Held | Refused:
        """Hold."""
        order = self.order(user_id, *lines, key=key, held=True, ttl_ms=ttl_ms)
        return await self.engine.hold(self.shard, order)

    def own(self, user_id: str, *, key: str = "k", held: bool = False) -> Own:
        """Name the booking or hold that an order made."""
        return Own(self.event, self.order(user_id, key=key, held=held).id, user_id)

    async def shift(self, verb: str, *seat_ids: str) -> Applied | Refused:
        """Block or unblock."""
        command = ShiftSeats(self.event, seat_ids)
        return await (self.engine.block if verb == "block" else self.engine.unblock)(
            self.shard, command
        )

    async def expire(self) -> Swept:
        """Sweep the event."""
        command = Expire(self.event, 100, 86_400_000)
        outcome = await self.engine.shards[self.shard].submit(EXPIRE, command)
        assert isinstance(outcome, Swept)
        return outcome

    async def statuses(self) -> list[str]:
        """Return the status of each section."""
        found = await self.engine.seats(self.shard, self.event)
        assert isinstance(found, SeatMap)
        return list(found.statuses)

    async def check(self) -> None:
        """
        Compare seats with counters, bookings, holds and the journal: I1, I2, I3, I8.

        Raises:
            AssertionError: they disagree.
        """
        found: dict[str, str] = {}
        tier_of: dict[str, int] = {}
        fields = await rows_of(self.redis, self.names.seats)
        for number in range(1, int(fields[b"count"]) + 1):
            for seat, letter in letters(number, fields[b"%d.status" % number].decode()):
                found[seat] = letter
                tier_of[seat] = int(fields[b"%d.layout" % number].split()[0])
        expected = dict.fromkeys(found, "f")
        for row in (await rows_of(self.redis, self.names.bookings)).values():
            words = values.unmarked(row).decode().split(" ")
            if words[0] == "confirmed":
                self._own(expected, values.parse_live_items(words[7]), "s")
        for row in (await rows_of(self.redis, self.names.holds)).values():
            hold = values.parse_hold(row)
            if hold.status == "held":
                self._own(expected, hold.items, "h")
        blocked: set[str] = set()
        for entry in await journal(self.redis, self.shard):
            record = entry.record
            if record.event_id == self.event and isinstance(record, Blocked | Unblocked):
                for group in record.seats:
                    assert {group.tier_no} == {tier_of[seat] for seat in group.seat_ids}
                    change = blocked.update if isinstance(record, Blocked) else blocked.__isub__
                    change(set(group.seat_ids))
        for seat in blocked:
            assert expected[seat] == "f"
            expected[seat] = "b"
        assert expected == found
        stock = await rows_of(self.redis, self.names.stock)
        for tier_no, capacity in self.capacity.items():
            counts = {
                letter: int(stock[b"%d.%b" % (tier_no, name)])
                for letter, name in zip(
                    "fhsb", (b"available", b"held", b"sold", b"blocked"), strict=True
                )
            }
            assert capacity == sum(counts.values())
            if tier_no in tier_of.values():
                own = [found[seat] for seat, tier in tier_of.items() if tier == tier_no]
                assert counts == {letter: own.count(letter) for letter in "fhsb"}

    def _own(self, expected: dict[str, str], items: Any, letter: str) -> None:
        for item in items:
            assert len(item.seat_ids) in (0, item.quantity)
            for seat in item.seat_ids:
                # One live owner (I3).
                assert expected[seat] == "f"
                expected[seat] = letter


#: The section of `hall` whose seats are not all alike.
SECTION = Section(1, 1, (5, 5), "11000/00000")
