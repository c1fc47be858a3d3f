"""F31: PostgreSQL is put back to an old copy: the shard freezes, `repair --pg` restores all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys, scripts
from engine.commands import Extend, Join, Order, Own, ShiftSeats, TierStock
from engine.door import Reign
from engine.ids import entry_id, hold_id, new_id
from engine.outcomes import Applied, Booked, Held
from engine.redis_client import connect as connect_redis
from evently.embedded import PostgresServer, ValkeyServer
from persister.persister import Options, Persister
from reconciler.recover.coordinator import Coordinator, open_again
from reconciler.recover.decide import CannotOpen
from reconciler.repair.repairer import Outcome, run
from store import reigns
from store.migrate import migrate
from store.pool import connect, create_pool
from tests.checks import ask
from tests.conftest import TIMEOUT_MS, start_engine
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from tests.reconciler.test_gate import one_of_each
from tests.reconciler.test_seats import book as book_seats
from tests.reconciler.test_seats import open_hall

BACKLOG_MAX = 1_000_000
SHARD = 0


@pytest.fixture
def valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey of the test's own."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres(server_dir: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL of the test's own, whose files may be exchanged."""
    folder = Path(tempfile.mkdtemp(dir=server_dir))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    server.start()
    asyncio.run(migrate(server.url))
    yield server
    server.stop()


class House:
    """Both servers, the parts that run on them, and what was acknowledged."""

    def __init__(self, redis: Redis, valkey: ValkeyServer, postgres: PostgresServer) -> None:
        self.redis = redis
        self.valkey = valkey
        self.postgres = postgres
        self.acknowledged: set[str] = set()

    @property
    def copy(self) -> Path:
        """Where the base copy lies."""
        return self.postgres.data_path.with_name("copy")

    def take_copy(self) -> None:
        """Copy PostgreSQL's files while it is down, as a cold base backup does."""
        self.postgres.stop()
        subprocess.run(["cp", "-a", self.postgres.data_path, self.copy], check=True)
        self.postgres.start()

    def go_back(self) -> None:
        """Put the copy in the place of PostgreSQL's files."""
        self.postgres.stop()
        shutil.rmtree(self.postgres.data_path)
        self.copy.rename(self.postgres.data_path)
        self.postgres.start()

    @contextlib.asynccontextmanager
    async def coordinator(self) -> AsyncIterator[Coordinator]:
        """Return one with a connection of its own."""
        database = await connect(self.postgres.url, timeout_ms=TIMEOUT_MS)
        try:
            yield Coordinator(SHARD, self.redis, database, backlog_records_max=BACKLOG_MAX)
        finally:
            await database.close()

    @contextlib.asynccontextmanager
    async def selling(self) -> AsyncIterator[BoxOffice]:
        """Open the shard anew, and sell on it."""
        async with self.coordinator() as one:
            await one.recover()
        pool = await create_pool(self.postgres.url, connections_max=4, timeout_ms=TIMEOUT_MS)
        row = await reigns.read(pool, SHARD)
        assert row is not None
        reign = Reign(shard=SHARD, epoch=row.epoch, script_shas=scripts.shas(row.nonce))
        engine = await start_engine(connect_redis(self.valkey.url, timeout_ms=TIMEOUT_MS), reign)
        try:
            yield BoxOffice(
                shard=SHARD,
                redis=self.redis,
                database=pool,
                engine=engine,
                redis_url=self.valkey.url,
                database_url=self.postgres.url,
            )
        finally:
            await engine.stop(timeout_s=5)
            await pool.close()

    async def persist(self, office: BoxOffice) -> None:
        """Persist and trim all there is, with the persister itself."""
        redis = connect_redis(self.valkey.url, timeout_ms=None, connections_max=2)
        options = Options(
            shard=SHARD, records_max=50, retention_s=0, database_timeout_ms=TIMEOUT_MS
        )
        persister = Persister({"0": redis}, self.postgres.url, options)
        task = asyncio.create_task(persister.run())
        try:
            while True:
                seq, trimmed = await ask(
                    self.redis, "HMGET", keys.meta(SHARD), "seq", "trimmed_seq"
                )
                if int(trimmed) == int(seq):
                    return
                # A record more, so that the last batch is trimmed as well.
                await office.add_event()
                await asyncio.sleep(0.05)
        finally:
            persister.stop()
            await task
            await redis.aclose()

    async def sell(self, office: BoxOffice, event: Shown, hall: str) -> None:
        """Leave every kind of record behind."""
        event_id, engine = event.event_id, office.engine
        for number in range(20):
            user = new_id("usr")
            own = await office.book(event_id, user, f"k{number}", (1, 2), (2, 1))
            self.acknowledged.add(own)
            if number % 4 == 0:
                await office.cancel(event_id, user, own)
        for step in ("live", "extend", "confirm", "release"):
            user = new_id("usr")
            own = hold_id(event_id=event_id, user_id=user, idempotency_key=step)
            order = Order(event_id, own, user, "print", DETAIL, ((2, 2),), 600_000)
            assert isinstance(await engine.hold(SHARD, order), Held)
            if step == "extend":
                await engine.extend(SHARD, Extend(event_id, own, user, 900_000, 9_000_000))
            elif step == "confirm":
                assert isinstance(await engine.confirm(SHARD, Own(event_id, own, user)), Booked)
                self.acknowledged.add(own.replace("hold_", "bk_"))
            elif step == "release":
                await engine.release(SHARD, Own(event_id, own, user))
        for number in range(3):
            await book_seats(office, hall, new_id("usr"), f"s{number}", "best")
        found = await engine.block(SHARD, ShiftSeats(hall, ("s2-8",)))
        if isinstance(found, Applied):
            await engine.unblock(SHARD, ShiftSeats(hall, ("s2-8",)))
            await engine.block(SHARD, ShiftSeats(hall, ("s2-7",)))

    async def queue(self, office: BoxOffice, event: Shown) -> None:
        """Let people wait, be offered, accept, decline and leave."""
        event_id, engine = event.event_id, office.engine
        owners = [new_id("usr") for _ in range(4)]
        sold = [await office.book(event_id, user, "w", (1, 1)) for user in owners]
        entries = []
        for number in range(4):
            user = new_id("usr")
            own = entry_id(event_id=event_id, user_id=user, idempotency_key="w")
            join = Join(event_id, own, user, "print", 1, 1, "strict", 60_000, 600_000, 100)
            assert isinstance(await engine.join(SHARD, join), Applied), number
            entries.append((own, user))
        await engine.leave(SHARD, Own(event_id, *entries[3]))
        await office.cancel(event_id, owners[0], sold[0])
        await office.cancel(event_id, owners[1], sold[1])
        for (own, user), step in zip(entries, (engine.confirm, engine.release), strict=False):
            await step(SHARD, Own(event_id, own.replace("wl_", "offer_"), user))

    async def repair(self, office: BoxOffice, *, applies: bool, rewinds: bool) -> Outcome:
        """Run the command's work."""
        [outcome] = await run(
            office.servers, only=SHARD, applies=applies, rewinds=rewinds, open_shard=open_again
        )
        return outcome


@pytest.fixture
async def house(valkey: ValkeyServer, postgres: PostgresServer) -> AsyncIterator[House]:
    """Return two servers that nobody else has."""
    redis = connect_redis(valkey.url, timeout_ms=TIMEOUT_MS)
    yield House(redis, valkey, postgres)
    await redis.aclose()


def clean(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Return what is left and what failed, in words."""
    return [f"{v.code} {v.message} {v.expected} {v.found}" for v in outcome.left], outcome.errors


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "reigns_since", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))]
)
async def test_f31_pg_time_travel(house: House, reigns_since: int) -> None:
    """F31: all that was acknowledged since the copy comes back, over any number of epochs."""
    async with house.selling() as office:
        event, hall = await office.add_event(), await open_hall(office)
        small = await office.add_event(tiers=(TierStock(4, 2500, 10),))
        await house.sell(office, event, hall)
        await house.persist(office)
    house.take_copy()
    async with house.selling() as office:
        await house.sell(office, event, hall)
        await house.queue(office, small)
        await house.persist(office)
    for _ in range(reigns_since - 1):
        async with house.selling() as office:
            await house.sell(office, event, hall)
            await house.persist(office)
    async with house.selling() as office:
        await one_of_each(office, event)
        await house.persist(office)
        await office.book(event.event_id, new_id("usr"), "tail", (1, 1))
        # What the API wrote since the copy is not Redis' to restore: these events are.
        rows = await office.database.fetch("SELECT * FROM events")
        tiers = await office.database.fetch("SELECT * FROM tiers")
        organizers = await office.database.fetch("SELECT * FROM organizers")
        bookings = await live_bookings(office.database)
    house.go_back()

    async with house.coordinator() as one:
        assert not await one.is_well()
        with pytest.raises(CannotOpen):
            await one.recover()
    pool = await create_pool(house.postgres.url, connections_max=2, timeout_ms=TIMEOUT_MS)
    await put_back(pool, rows, tiers, organizers)
    office = BoxOffice(
        shard=SHARD,
        redis=house.redis,
        database=pool,
        engine=None,  # type: ignore[arg-type]
        redis_url=house.valkey.url,
        database_url=house.postgres.url,
    )
    dry = await house.repair(office, applies=False, rewinds=True)
    assert dry.plan.holes
    refused = await house.repair(office, applies=True, rewinds=False)
    assert "use --pg" in refused.errors[0]

    outcome = await house.repair(office, applies=True, rewinds=True)

    assert ([], []) == clean(outcome)
    assert outcome.epoch is not None
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    after = await live_bookings(pool)
    assert bookings.items() <= after.items()
    assert house.acknowledged <= set(await pool.fetchval("SELECT array_agg(id) FROM bookings"))
    await pool.close()
    async with house.selling() as office:
        assert await office.book(event.event_id, new_id("usr"), "again", (1, 1))


async def live_bookings(pool: asyncpg.Pool) -> dict[str, tuple[object, ...]]:
    """Return what each booking is worth in PostgreSQL."""
    rows = await pool.fetch(
        "SELECT id, event_id, user_id, status::text, version, total_minor, epoch, seq, created_at,"
        " cancelled_at, cuts FROM bookings"
    )
    return {row["id"]: tuple(row) for row in rows}


async def put_back(pool: asyncpg.Pool, *tables: list[asyncpg.Record]) -> None:
    """Write what the API had written since the copy, as from its own backup."""
    events, tiers, organizers = tables
    for row in organizers:
        await pool.execute(
            "INSERT INTO organizers (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            row["id"],
            row["name"],
        )
    for row in events:
        await pool.execute(
            "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
            " ends_at, sale_opens_at, sale_closes_at, person_max)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            *(
                row[name]
                for name in (
                    "id",
                    "organizer_id",
                    "shard",
                    "name",
                    "timezone",
                    "currency",
                    "starts_at",
                    "ends_at",
                    "sale_opens_at",
                    "sale_closes_at",
                    "person_max",
                )
            ),
        )
    for row in tiers:
        await pool.execute(
            "INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max,"
            " order_min, person_max) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " ON CONFLICT DO NOTHING",
            *(
                row[name]
                for name in (
                    "event_id",
                    "tier_no",
                    "id",
                    "name",
                    "price_minor",
                    "capacity",
                    "order_max",
                    "order_min",
                    "person_max",
                )
            ),
        )
