"""
A small box office: an event with two tiers on a shard of its own, in both stores.

It publishes and books through the engine and drains through the ledger writer, so that what the
check reads was written by the code that writes it in production.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Order, Own, Publish, TierStock
from engine.engine import Engine
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.records import Rules, read_entries
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.event.violation import Violation
from reconciler.judge.check import Result, check
from reconciler.servers import Servers
from store import ledger
from store.pool import connect
from store.sql import moment
from tests.checks import FAR_MS, ask, make_booking_id, servers_of
from tests.conftest import TIMEOUT_MS

#: tier_no 1 and 2.
TIERS = (TierStock(2_000, 2500, 10), TierStock(1_000, 9900, 10))
PERSON_MAX = 1_000
NO_RULES = Rules()
DETAIL = b'{"special_requests":"aisle","metadata":{"a":1.5,"b":2.0,"c":true,"d":"x","e":null}}'


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An event as the tests name it."""

    event_id: str
    tier_ids: tuple[str, ...]


@dataclass(kw_only=True)
class BoxOffice:
    """Both stores of one shard."""

    shard: int
    redis: Redis
    database: asyncpg.Pool
    engine: Engine
    redis_url: str
    database_url: str

    async def add_event(
        self, *, publish: bool = True, tiers: tuple[TierStock, ...] = (), rules: Rules = NO_RULES
    ) -> Shown:
        """Make an event in PostgreSQL and load it in Redis."""
        tiers = tiers or TIERS
        event_id, organizer_id = new_id("evt"), new_id("org")
        tier_ids = tuple(new_id("tier") for _ in tiers)
        now = dt.datetime.now(dt.UTC)
        await self.database.execute(
            "INSERT INTO organizers (id, name) VALUES ($1, 'Hall')", organizer_id
        )
        await self.database.execute(
            "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
            " ends_at, sale_opens_at, sale_closes_at, person_max, transfers, offer_ttl_ms,"
            " pools) VALUES ($1, $2, $3, 'Show', 'UTC', 'EUR', $4, $4, $7, $5, $6, $8, $9, $10)",
            event_id,
            organizer_id,
            self.shard,
            now,
            moment(FAR_MS),
            PERSON_MAX,
            moment(1),
            rules.transfers,
            rules.offer_ttl_ms,
            rules.pools,
        )
        for tier_no, (tier_id, tier) in enumerate(zip(tier_ids, tiers, strict=True), start=1):
            await self.database.execute(
                "INSERT INTO tiers VALUES ($1, $2, $3, 'Floor', $4, $5, $6, $7, $8,"
                " NULL, NULL, $9, $10)",
                event_id,
                tier_no,
                tier_id,
                tier.price_minor,
                tier.capacity,
                tier.order_max,
                tier.order_min,
                tier.person_max,
                tier.is_hidden,
                f"t{tier_no}t" in rules.after_end,
            )
        if publish:
            command = Publish(event_id, "f", 1, FAR_MS, PERSON_MAX, tiers, rules=rules)
            assert isinstance(await self.engine.publish(self.shard, command), Applied)
        return Shown(event_id=event_id, tier_ids=tier_ids)

    async def book(self, event_id: str, user_id: str, key: str, *items: tuple[int, int]) -> str:
        """Order and return the booking's id."""
        booking_id = make_booking_id(event_id, user_id, key)
        command = Order(event_id, booking_id, user_id, "print", DETAIL, items)
        assert isinstance(await self.engine.book(self.shard, command), Booked)
        return booking_id

    async def cancel(self, event_id: str, user_id: str, booking_id: str) -> None:
        """Own a booking."""
        command = Own(event_id, booking_id, user_id)
        assert isinstance(await self.engine.cancel(self.shard, command), Applied)

    async def drain(self, *, records_max: int = 1_000, trim: bool = False) -> int:
        """Write what the journal has to PostgreSQL, one batch; return how many records."""
        connection = await connect(self.database_url, timeout_ms=TIMEOUT_MS)
        try:
            last_seq = await ledger.read_checkpoint(connection, shard=self.shard, epoch=1)
            rows = await ask(
                self.redis, "XRANGE", self.journal, f"({last_seq}-1", "+", "COUNT", records_max
            )
            if not rows:
                return 0
            new_seq = await ledger.write(
                connection,
                shard=self.shard,
                epoch=1,
                last_seq=last_seq,
                entries=[entry for row in rows for entry in read_entries(*row)],
            )
        finally:
            await connection.close()
        await ask(self.redis, "HSET", keys.meta(self.shard), "persisted_seq", new_seq)
        if trim:
            await ask(self.redis, "XTRIM", self.journal, "MINID", f"{new_seq + 1}-0")
        return len(rows)

    async def drain_all(self, *, records_max: int = 1_000) -> None:
        """Write all that the journal has to PostgreSQL."""
        while await self.drain(records_max=records_max):
            pass

    async def persist(self, stop: asyncio.Event) -> None:
        """Persist and trim at once, in batches of changing size: the hardest case for a reader."""
        chance = random.Random(1)
        while not stop.is_set():
            await self.drain(records_max=chance.choice([1, 50, 1_000]), trim=True)
            await asyncio.sleep(chance.choice([0, 0, 0.02]))

    async def codes(self) -> set[str]:
        """Check, and return the codes of what is wrong."""
        result = await self.check()
        assert [] == result.errors
        return {violation.code for violation in result.violations}

    async def check(self, *, event_id: str | None = None) -> Result:
        """Run the check as the command does."""
        return await check(self.servers, shard=None if event_id else self.shard, event_id=event_id)

    @property
    def servers(self) -> Servers:
        """Where the commands find the servers."""
        return servers_of(self.redis_url, self.database_url)

    @property
    def journal(self) -> str:
        """Key of the stream."""
        return keys.journal(self.shard, 1)


@pytest.fixture
async def office(
    redis: Redis,
    database: asyncpg.Pool,
    engine: Engine,
    shard: int,
    valkey: ValkeyServer,
    postgres: PostgresServer,
) -> BoxOffice:
    """Return an open shard without events."""
    await database.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home)"
        " VALUES ($1, 1, 'open', 'test', now(), 'n', '0')",
        shard,
    )
    return BoxOffice(
        shard=shard,
        redis=redis,
        database=database,
        engine=engine,
        redis_url=valkey.url,
        database_url=postgres.url,
    )


@dataclass(kw_only=True)
class Sold:
    """A little sale: bookings 0 and 1 live, 2 cancelled; all in PostgreSQL but the last two."""

    office: BoxOffice
    event: Shown
    users: Sequence[str]
    bookings: Sequence[str]

    async def found(self) -> dict[str, list[Violation]]:
        """Check, and return the violations by code."""
        result = await self.office.check()
        assert [] == result.errors
        assert (1 if result.violations else 0) == result.exit_code
        by_code: dict[str, list[Violation]] = {}
        for violation in result.violations:
            by_code.setdefault(violation.code, []).append(violation)
        return by_code


@pytest.fixture
async def sold(office: BoxOffice) -> Sold:
    """Return an event with bookings in every state, half persisted."""
    event = await office.add_event()
    users = [new_id("usr") for _ in range(5)]
    bookings = [
        await office.book(event.event_id, users[0], "a", (1, 2), (2, 1)),
        await office.book(event.event_id, users[1], "b", (2, 3)),
        await office.book(event.event_id, users[2], "c", (1, 1)),
    ]
    await office.cancel(event.event_id, users[2], bookings[2])
    assert 5 == await office.drain()
    bookings += [
        await office.book(event.event_id, users[3], "d", (1, 4)),
        await office.book(event.event_id, users[4], "e", (2, 2)),
    ]
    await office.cancel(event.event_id, users[4], bookings[4])
    return Sold(office=office, event=event, users=users, bookings=bookings)
