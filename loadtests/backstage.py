"""
What a load test may do behind the counter: make accounts, read the ledger, and judge the sale.

Everything else it does over HTTP, like any client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import keys
from engine.redis_client import connect as connect_redis
from evently.seed import seed_tokens, signer_of
from evently.settings import Settings
from loadtests.chaos.checkers import Booking, Ledger
from loadtests.chaos.history import Call
from loadtests.person import Person, person_of
from loadtests.verdict import Verdict, compare
from store import redo, reigns
from store.pool import connect
from store.sql import query
from usecases.tokens import Principal

_ADMIN = """
SELECT id, organizer_id, token_version FROM users WHERE role = 'admin' ORDER BY id LIMIT 1
"""
_PLACES = "SELECT coalesce(sum(quantity), 0)::bigint FROM items WHERE event_id = $1"

_BOOKINGS = """
SELECT b.id, b.event_id, b.status = 'confirmed' AS is_live, i.tier_no, i.quantity
FROM bookings b LEFT JOIN items i ON i.event_id = b.event_id AND i.booking_id = b.id
WHERE b.event_id = ANY($1::text[])
"""
_SEATS = """
SELECT event_id, seat_id, booking_id FROM tickets
WHERE event_id = ANY($1::text[]) AND is_live AND seat_id IS NOT NULL
"""
_CAPACITIES = "SELECT event_id, tier_no, capacity FROM tiers WHERE event_id = ANY($1::text[])"
#: Time in which everything must have reached PostgreSQL, and the reconciler have looked.
DRAIN_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 120.0
#: What a command needs of the environment besides the settings.
ENVIRONMENT = ("PATH", "HOME", "TMPDIR")


class Backstage:
    """Direct access to the servers of the Evently that *settings* point at."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Backstage:
        self._connection = await connect(
            self.settings.database_url, timeout_ms=self.settings.database_timeout_ms
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.database.close()

    @property
    def database(self) -> asyncpg.Connection:
        """The connection to PostgreSQL."""
        assert self._connection is not None, "used outside `async with`"
        return self._connection

    async def admin_token(self) -> str:
        """Return an access token of the first admin."""
        row = await self.database.fetchrow(_ADMIN)
        assert row is not None, "every Evently that was started has an admin"
        signer = await signer_of(self.settings, self.database)
        version = row["token_version"]
        return signer.issue(
            Principal(row["id"], "admin", row["organizer_id"], token_version=version)
        )

    async def people(self, count: int) -> list[Person]:
        """Return *count* seed accounts, with access tokens."""
        return [person_of(token) for token in await seed_tokens(self.settings, count=count)]

    async def places(self, event_id: str) -> int:
        """Return the places in PostgreSQL of an event without cancellations: no join, for many."""
        places: int = await self.database.fetchval(_PLACES, event_id)
        return places

    async def judge(self, calls: Sequence[Call], event_ids: Sequence[str]) -> Verdict:
        """
        Wait until PostgreSQL has everything, compare what buyers were told, ask the reconciler.

        Raises:
            TimeoutError: PostgreSQL did not catch up.
            RuntimeError: the reconciler could not check.
        """
        await self.drain()
        ledger = await read_ledger(self.database, event_ids)
        drift = [await self.count_drift(event_id) for event_id in event_ids]
        return compare(calls, ledger, drift=sum(drift))

    async def drain(self, *, timeout_s: float = DRAIN_TIMEOUT_S, is_hurt: bool = True) -> None:
        """
        Wait until PostgreSQL has every record of every journal.

        Args:
            is_hurt: Whether shards may be shut, or Redis away; they are waited for as well.

        Raises:
            TimeoutError: it did not come about in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while waits_for := await self._waits_for(is_hurt=is_hurt):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{waits_for} after {timeout_s:g} s")
            await asyncio.sleep(0.05)

    async def _waits_for(self, *, is_hurt: bool) -> str:
        """Say what there is to wait for; empty if nothing."""
        try:
            if is_hurt and (shut := await self.shut_shards()):
                return f"shards {shut} are still shut"
            if backlog := await self.backlog_records():
                return f"{backlog} records still wait"
        except RedisError as error:
            return f"Redis is still away: {error}"
        return ""

    async def count_drift(self, event_id: str) -> int:
        """Run the reconciler's check on one event, as an operator would; return what it counts."""
        plain = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        words = ("-m", "reconciler", "check", "--event", event_id, "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env=plain | self.settings.to_env(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(process.communicate(), CHECK_TIMEOUT_S)
        if process.returncode not in {0, 1}:
            raise RuntimeError(f"reconciler could not check: {complaints.decode()[-2000:]}")
        return len(msgspec.json.decode(output)["violations"])

    async def backlog_records(self) -> int:
        """
        Return how many journal records PostgreSQL does not have yet, over all shards.

        Raises:
            RedisError: Redis is away.
        """
        backlog = 0
        for shard in [row.shard for row in await reigns.shards(self.database)]:
            async with self._redis(shard) as redis:
                epoch, seq = await redis.hmget(keys.meta(shard), ["epoch", "seq"])
            if epoch is not None and seq is not None:
                last_seq = await self.database.fetchval(query("read_checkpoint"), shard, int(epoch))
                backlog += int(seq) - (last_seq or 0)
        return backlog

    async def shut_shards(self) -> list[int]:
        """
        Return the shards that are not open on the Redis that runs now, or have redo to merge.

        Raises:
            RedisError: Redis is away.
        """
        shut = []
        for shard in [row.shard for row in await reigns.shards(self.database)]:
            row = await reigns.read(self.database, shard)
            async with self._redis(shard) as redis:
                server = await redis.info("server")
            is_open = row is not None and (row.state, row.redis_run_id) == (
                "open",
                server["run_id"],
            )
            if not is_open or await redo.has_rows(self.database, shard):
                shut.append(shard)
        return shut

    @contextlib.asynccontextmanager
    async def _redis(self, shard: int) -> AsyncIterator[Redis]:
        urls = self.settings.redis_servers_as("coordinator")
        home = await reigns.home_of(self.database, shard, list(urls))
        redis = connect_redis(urls[home], timeout_ms=2_000)
        try:
            yield redis
        finally:
            await redis.aclose()


async def read_ledger(database: asyncpg.Connection, event_ids: Sequence[str]) -> Ledger:
    """Read what PostgreSQL has of *event_ids*."""
    rows = await database.fetch(_BOOKINGS, event_ids)
    seats = await database.fetch(_SEATS, event_ids)
    capacities = await database.fetch(_CAPACITIES, event_ids)
    lines: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row["is_live"] and row["tier_no"] is not None:
            lines[row["id"]].append((row["tier_no"], row["quantity"]))
    return Ledger(
        bookings={row["id"]: Booking(row["is_live"], tuple(lines[row["id"]])) for row in rows},
        event_of={row["id"]: row["event_id"] for row in rows},
        seats=[tuple(row) for row in seats],
        capacities={(row["event_id"], row["tier_no"]): row["capacity"] for row in capacities},
    )
