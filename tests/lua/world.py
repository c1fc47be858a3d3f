"""Calls of the scripts as they stand, without the engine between: what all tests here share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.calls import Bounds, Limit, call_of
from engine.commands import Order
from engine.door import Reign
from engine.ids import hold_id, new_id
from engine.records import (
    Amended,
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
from engine.verbs import VERBS
from tests.checks import (
    FAR_MS,
    Tier,
    ask,
    journal,
    lines,
    lines_of,
    make_booking_id,
    persons,
    stock,
)

#: tier_no -> (capacity, price_minor, order_max), for tiers 1, 2, 3.
TIERS = ((10, 2500, 4), (5, 9900, 10), (0, 100, 10))
FINGERPRINT = "f1"
TTL_MS = 60_000
LIFE_MAX_MS = 100_000
GONE_MS = 1


class Command:
    """One command of `book`; `key` stands for the client's idempotency key."""

    def __init__(
        self,
        user_id: str,
        *items: tuple[int, int | str],
        event_id: str = "",
        key: str = "k",
        fingerprint: str = FINGERPRINT,
        detail: str = "{}",
    ) -> None:
        self.user_id = user_id
        self.items = items
        self.event_id = event_id
        self.key = key
        self.fingerprint = fingerprint
        self.detail = detail

    def order(self, event_id: str, own_id: str, ttl_ms: int = 0) -> Order:
        """Return it as the engine takes it."""
        items: tuple[Any, ...] = self.items
        return Order(
            self.event_id or event_id,
            own_id,
            self.user_id,
            self.fingerprint,
            self.detail.encode(),
            items,
            ttl_ms,
        )


class Till:
    """Calls the scripts on one shard under one reign. `event` is the event meant by default."""

    def __init__(self, redis: Redis, reign: Reign) -> None:
        self.redis = redis
        self.reign = reign
        self.shard = reign.shard
        self.event = new_id("evt")
        #: Sent as the first argument of every call; a test may lie here.
        self.epoch = reign.epoch
        self.meta = keys.meta(reign.shard)
        self.journal = keys.journal(reign.shard, reign.epoch)

    def booking(self, command: Command) -> str:
        """Return the booking id that *command* asks for."""
        return make_booking_id(command.event_id or self.event, command.user_id, command.key)

    async def call(self, name: str, names: Sequence[str], *args: Any) -> Any:
        """Run one script."""
        sha = self.reign.script_shas[name]
        return plain(await ask(self.redis, "EVALSHA", sha, len(names), *names, *args))

    async def publish(
        self,
        event_id: str = "",
        *,
        tiers: Sequence[tuple[int, int, int]] = TIERS,
        opens_at_ms: int = 0,
        closes_at_ms: int = FAR_MS,
        person_max: int = 6,
        fingerprint: str = "p1",
        rules: Sequence[tuple[int, ...]] = (),
        promos: str = "",
        own_rules: str = "",
    ) -> list[Any]:
        """
        Load an event; *rules* of tiers are the script's last words.

        Args:
            rules: Five or six words each; the sixth, whether the tier is hidden, may be left out.

            own_rules: Those of the event, `name=value,...`.
        """
        event = event_id or self.event
        flat = [figure for tier in tiers for figure in tier]
        reply: list[Any] = await self.call(
            "publish",
            [self.meta, self.journal, keys.events(self.shard), *keys.event(self.shard, event)],
            self.epoch,
            event,
            fingerprint,
            opens_at_ms,
            closes_at_ms,
            person_max,
            len(tiers),
            *flat,
            *([0] if rules else []),
            *(word for rule in rules for word in (*rule, 0)[:6]),
            *([promos] if promos else []),
            *([own_rules] if own_rules else []),
        )
        return reply

    async def book(self, *commands: Command) -> list[list[Any]]:
        """Book for all *commands* in one call."""
        orders = [command.order(self.event, self.booking(command)) for command in commands]
        return await self.send("book", *orders)

    async def send(
        self, verb: str, *commands: Any, limit: Limit | None = None, bounds: Bounds | None = None
    ) -> list[list[Any]]:
        """Send commands of a batched verb in one call."""
        call = call_of(
            VERBS[verb], self.shard, self.reign.epoch, commands, limit=limit, bounds=bounds
        )
        reply = await self.call(verb, call.keys, self.epoch, *call.words)
        if isinstance(reply, str):
            return lines(b"\n".join(lines_of(reply.encode(), call.words)).decode())
        return list(reply)

    async def cancel(self, *commands: Command, user_id: str = "") -> list[list[Any]]:
        """Cancel the bookings that *commands* made, as their owner or as *user_id*."""
        events = list(dict.fromkeys(command.event_id or self.event for command in commands))
        args: list[Any] = []
        for command in commands:
            number = events.index(command.event_id or self.event) + 1
            args += [number, self.booking(command), user_id or command.user_id]
        return await self.on_events("cancel", events, args)

    async def availability(self, *events: str, code: str = "") -> list[list[Any]]:
        """Read the counters of *events*, or of the default one, with a promo code."""
        own = [keys.event(self.shard, event) for event in events or (self.event,)]
        kinds = ("stock", "promos", "holds", "deadlines")
        names = [self.meta, *(getattr(one, kind) for one in own for kind in kinds)]
        codes = [code] * len(own)
        replies: list[list[Any]] = await self.call("availability", names, self.epoch, *codes)
        return replies

    async def set_meta(self, **fields: Any) -> None:
        """Overwrite fields of the shard's door."""
        flat = [word for field in fields.items() for word in field]
        await ask(self.redis, "HSET", self.meta, *flat)

    async def set_stock(self, fields: Mapping[str, Any]) -> None:
        """Overwrite fields of the default event's stock."""
        flat = [word for field in fields.items() for word in field]
        await ask(self.redis, "HSET", keys.event(self.shard, self.event).stock, *flat)

    async def now_ms(self) -> int:
        """Return the time of the server, Unix ms."""
        seconds, micros = await ask(self.redis, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def on_events(self, name: str, events: list[str], args: list[Any]) -> list[list[Any]]:
        names = [self.meta, self.journal, keys.due(self.shard)]
        for event in events:
            names += keys.event(self.shard, event)
        return list(await self.call(name, names, self.epoch, *events, *args))

    async def one(self, verb: str, *words: Any) -> list[Any]:
        """Send one command of a batched verb."""
        [reply] = await self.on_events(verb, [self.event], [1, *words])
        return reply

    async def amend(
        self, *, sale: str = "-", tiers: str = "-", promos: str = "-", pools: str = "-"
    ) -> list[Any]:
        """Change the event; new tiers are called by their numbers."""
        new = [word[1:].partition(":")[0] for word in tiers.split(",") if word.startswith("+")]
        names = ",".join(f'[{no},"tier_{no}","Tier {no}"]' for no in new)
        keys_of = [self.meta, self.journal, keys.due(self.shard)]
        keys_of += keys.event(self.shard, self.event)
        words = [self.event, sale, tiers, promos, f"[{names}]", pools]
        reply: list[Any] = await self.call("amend", keys_of, self.epoch, *words)
        return reply

    async def alone(self, verb: str, *words: Any) -> list[Any]:
        """Call a script that takes one event and the set of cancelled ones."""
        names = [self.meta, self.journal, keys.due(self.shard)]
        names += [*keys.event(self.shard, self.event), keys.cancelling(self.shard)]
        reply: list[Any] = await self.call(verb, names, self.epoch, self.event, *words)
        return reply

    async def checkin(
        self,
        command: Command,
        number: int = 1,
        version: int = 1,
        gate: str = "north",
        scan_id: str = "-",
        scanned_at_ms: int = 0,
    ) -> list[Any]:
        """Scan a ticket."""
        own = self.booking(command)
        words = (number, version, gate, "usr_s", scan_id, scanned_at_ms)
        return await self.one("checkin", own, *words)

    async def undo(
        self, command: Command, number: int = 1, version: int = 1, scan_id: str = "-"
    ) -> list[Any]:
        """Take a check-in back."""
        words = (number, version, "-", "usr_s", scan_id, 0)
        return await self.one("undo_checkin", self.booking(command), *words)

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


class Desk:
    """Calls the scripts of a hold's life on the till's default event."""

    def __init__(self, till: Till) -> None:
        self.till = till

    def hold_id(self, command: Command) -> str:
        """Return the id of the hold that *command* asks for."""
        return hold_id(
            event_id=self.till.event, user_id=command.user_id, idempotency_key=command.key
        )

    async def hold(self, *commands: Command, ttl_ms: int = TTL_MS) -> list[list[Any]]:
        """Hold for all *commands* in one call."""
        orders = [
            command.order(self.till.event, self.hold_id(command), ttl_ms) for command in commands
        ]
        return await self.till.send("hold", *orders)

    async def on(self, verb: str, command: Command, *words: Any, user: str = "") -> list[Any]:
        """Run *verb* on the hold that *command* made, as its owner or as *user*."""
        if verb == "extend":
            words = (*words, 0, 0)[:4]  # Unless told otherwise, nothing gets scarce.
        args = [1, self.hold_id(command), user or command.user_id, *words]
        replies: list[list[Any]] = await self.call(verb, *args)
        assert 1 == len(replies)
        return replies[0]

    async def expire(self, holds_max: int = 100, forget_ms: int = TTL_MS) -> list[Any]:
        """Sweep the event."""
        replies: list[Any] = await self.call("expire", holds_max, forget_ms)
        return replies

    async def call(self, name: str, *args: Any) -> list[Any]:
        """Run a script on the one event."""
        till = self.till
        names = [till.meta, till.journal, keys.due(till.shard), *keys.event(till.shard, till.event)]
        replies: list[Any] = await till.call(name, names, till.epoch, till.event, *args)
        return replies

    async def tiers(self) -> dict[int, Tier]:
        """Return the event's counters."""
        return await stock(self.till.redis, self.till.shard, self.till.event)

    async def people(self) -> dict[str, int]:
        """Return the persons' counts."""
        return await persons(self.till.redis, self.till.shard, self.till.event)

    async def last(self) -> Any:
        """Return the journal's last record."""
        return (await journal(self.till.redis, self.till.shard))[-1].record


def plain(reply: Any) -> Any:
    """Turn the bytes of a reply into text."""
    if isinstance(reply, bytes):
        return reply.decode()
    return [plain(part) for part in reply] if isinstance(reply, list) else reply


async def wait_until_gone(desk: Desk, command: Command) -> None:
    """Wait, on the server's clock, until the hold's deadline has passed."""
    score = await ask(
        desk.till.redis,
        "ZSCORE",
        keys.event(desk.till.shard, desk.till.event).deadlines,
        desk.hold_id(command),
    )
    while await desk.till.now_ms() <= float(score):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def check_folded(till: Till) -> None:
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
            case CapacitySet() | Amended():
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


async def dump(redis: Redis, shard: int) -> Mapping[bytes, bytes]:
    """Return every key of the shard, of whatever type."""
    found = sorted(await ask(redis, "KEYS", f"{keys.tag(shard)}:*"))
    return {key: await ask(redis, "DUMP", key) for key in found}
