"""A till that also opens gates, cancels items, and does what organizers do."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine import keys
from engine.records import (
    Booked,
    Cancelled,
    CapacitySet,
    Confirmed,
    Expired,
    Held,
    ItemCancelled,
    Published,
    Released,
)
from tests.checks import ask, journal, persons
from tests.lua.conftest import Command, Till, plain


class GateTill(Till):
    """Calls the scripts of this feature on the default event."""

    async def one(self, verb: str, *words: Any) -> list[Any]:
        """Send one command of a batched verb."""
        [reply] = await self._on_events(verb, [self.event], [1, *words])
        return reply

    async def alone(self, verb: str, *words: Any) -> list[Any]:
        """Call a script that takes one event and the set of cancelled ones."""
        names = [self.meta, self.journal, keys.due(self.shard)]
        names += [*keys.event(self.shard, self.event), keys.cancelling(self.shard)]
        reply: list[Any] = await self.call(verb, names, self.epoch, self.event, *words)
        return reply

    async def checkin(
        self, command: Command, number: int = 1, version: int = 1, gate: str = "north"
    ) -> list[Any]:
        """Scan a ticket."""
        return await self.one("checkin", self.booking(command), number, version, gate, "usr_s")

    async def undo(self, command: Command, number: int = 1, version: int = 1) -> list[Any]:
        """Take a check-in back."""
        return await self.one("undo_checkin", self.booking(command), number, version, "-", "usr_s")

    async def transfer(
        self, command: Command, to_user_id: str, number: int = 1, user_id: str = ""
    ) -> list[Any]:
        """Give a ticket away."""
        return await self.one(
            "transfer", self.booking(command), number, user_id or command.user_id, to_user_id
        )

    async def cut(
        self, command: Command, lines: str, version: int = 1, user_id: str = ""
    ) -> list[Any]:
        """Cancel some places."""
        user = user_id or command.user_id
        return await self.one("cancel_item", self.booking(command), user, version, lines)

    async def hold(self, user_id: str, quantity: int, *, key: str, ttl_ms: int = 60_000) -> str:
        """Hold places of tier 1; return the status."""
        order = Command(user_id, (1, quantity)).order(self.event, f"hold_{key:0>26}", ttl_ms)
        [reply] = await self.send("hold", order)
        return str(reply[0])

    async def confirm(self, user_id: str, *, key: str) -> str:
        """Confirm a hold; return the status."""
        return str((await self.one("confirm", f"hold_{key:0>26}", user_id))[0])

    async def row(self, command: Command) -> str:
        """Return a booking as it is kept."""
        names = keys.event(self.shard, self.event)
        return str(plain(await ask(self.redis, "HGET", names.bookings, self.booking(command))))

    async def field(self, name: str) -> str | None:
        """Return one field of the stock."""
        names = keys.event(self.shard, self.event)
        value = await ask(self.redis, "HGET", names.stock, name)
        return None if value is None else str(plain(value))

    async def counters(self, tier_no: int = 1) -> tuple[int, int, int, int]:
        """Return capacity, available, held and sold of a tier."""
        names = ("capacity", "available", "held", "sold")
        found = [int(await self.field(f"{tier_no}.{name}") or -1) for name in names]
        return found[0], found[1], found[2], found[3]


async def check_folded(till: GateTill) -> None:
    """
    Fold the journal of the default event and compare with its counters (I1, I8, I12).

    Raises:
        AssertionError: a counter is not what the records say, or is below 0 or above capacity.
    """
    capacity: dict[int, int] = {}
    sold: Counter[int] = Counter()
    held: Counter[int] = Counter()
    taken: Counter[str] = Counter()

    def move(counter: Counter[int], record: Any, sign: int, *, person: bool = True) -> None:
        for item in record.items:
            counter[item.tier_no] += sign * item.quantity
            taken[record.user_id] += sign * item.quantity * person

    for entry in await journal(till.redis, till.shard):
        record = entry.record
        match record:
            case Published():
                capacity = {tier.tier_no: tier.capacity for tier in record.tiers}
            case CapacitySet():
                capacity |= {tier.tier_no: tier.capacity for tier in record.tiers}
            case Booked():
                move(sold, record, 1)
            case Cancelled() | ItemCancelled():
                move(sold, record, -1)
            case Held():
                move(held, record, 1)
            case Released() | Expired():
                move(held, record, -1)
            case Confirmed():
                move(sold, record, 1, person=record.was_expired)
                if not record.was_expired:
                    move(held, record, -1, person=False)
    for tier_no, places in capacity.items():
        left = places - sold[tier_no] - held[tier_no]
        assert (places, left, held[tier_no], sold[tier_no]) == await till.counters(tier_no)
        assert 0 <= left <= places
    assert +taken == await persons(till.redis, till.shard, till.event)
