"""A till for script tests: calls EVALSHA as it stands, without the engine between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from engine import keys
from engine.calls import Limit, call_of
from engine.commands import Order
from engine.door import Reign
from engine.ids import new_id
from engine.verbs import VERBS
from tests.checks import FAR_MS, ask, lines, lines_of, make_booking_id

#: tier_no -> (capacity, price_minor, order_max), for tiers 1, 2, 3.
TIERS = ((10, 2500, 4), (5, 9900, 10), (0, 100, 10))
FINGERPRINT = "f1"


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
    ) -> list[Any]:
        """
        Load an event; *rules* of tiers are the script's last words.

        Args:
            rules: Five or six words each; the sixth, whether the tier is hidden, may be left out.
        """
        event = event_id or self.event
        flat = [figure for tier in tiers for figure in tier]
        reply: list[Any] = await self.call(
            "publish",
            [
                self.meta,
                self.journal,
                keys.events(self.shard),
                keys.event(self.shard, event).stock,
                keys.event(self.shard, event).seats,
                keys.event(self.shard, event).promos,
            ],
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
        )
        return reply

    async def book(self, *commands: Command) -> list[list[Any]]:
        """Book for all *commands* in one call."""
        orders = [command.order(self.event, self.booking(command)) for command in commands]
        return await self.send("book", *orders)

    async def send(self, verb: str, *commands: Any, limit: Limit | None = None) -> list[list[Any]]:
        """Send commands of a batched verb in one call."""
        call = call_of(VERBS[verb], self.shard, self.reign.epoch, commands, limit=limit)
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
        return await self._on_events("cancel", events, args)

    async def availability(self, *events: str, code: str = "") -> list[list[Any]]:
        """Read the counters of *events*, or of the default one, with a promo code."""
        own = [keys.event(self.shard, event) for event in events or (self.event,)]
        names = [self.meta, *(name for one in own for name in (one.stock, one.promos))]
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

    async def _on_events(self, name: str, events: list[str], args: list[Any]) -> list[list[Any]]:
        names = [self.meta, self.journal, keys.due(self.shard)]
        for event in events:
            names += keys.event(self.shard, event)
        return list(await self.call(name, names, self.epoch, *events, *args))


def plain(reply: Any) -> Any:
    """Turn the bytes of a reply into text."""
    if isinstance(reply, bytes):
        return reply.decode()
    return [plain(part) for part in reply] if isinstance(reply, list) else reply


@pytest.fixture
def till(redis: Redis, reign: Reign) -> Till:
    """Return a till on the test's shard, which is open under epoch 1."""
    return Till(redis, reign)


@pytest.fixture
def user() -> str:
    """Draw a user."""
    return new_id("usr")
