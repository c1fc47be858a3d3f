"""
Repairs: what `reconciler.repair.plan` has planned, done under the fence.

The journal is what both stores follow. Rows in PostgreSQL are written again from the records that
it keeps (`ledger.rederive`); values in Redis become what the same records make of them, one
compare-and-set each (`lua/recovery/repair.lua`). Neither store is ever copied over the other, and
no record is made where the old ones suffice, so that I7 and I8 are proved afterwards as ever. Where
records themselves are gone, `reconciler.repair.rewind` derives them anew, which is asked for by
name.

Nothing is written before the shard is claimed in PostgreSQL and shut in Redis (F40). A shard opens
again through the coordinator alone, and only if a whole check finds nothing more.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys
from engine.errors import CorruptRecord
from engine.records import Blocked, Entry, Unblocked, encode
from reconciler.event.image import Change
from reconciler.event.violation import Violation
from reconciler.judge.check import AWAY, CannotCheck, said
from reconciler.recover.decide import CannotOpen, Drift, Meta
from reconciler.recover.drain import Drain
from reconciler.recover.lease import Lease
from reconciler.recover.loader import ClaimLost, change_door, recovery_script
from reconciler.repair.plan import OF_OPENING, Action, Plan, Planner, history, said_holes
from reconciler.repair.rewind import find_holes, restore
from reconciler.servers import Servers
from store import audit, ledger, reigns
from store.pool import UNANSWERED
from store.rows import BookingTaken

#: Values that one script call puts right (`lua/recovery/repair.lua`).
CHANGES_MAX = 500
#: Rounds of a repair: rows first, and then what follows from them.
ROUNDS_MAX = 3
#: What no repetition mends: the shard is frozen, and a human looks.
_CONTRADICTIONS = (
    Drift,
    ledger.LedgerError,
    CorruptRecord,
    ResponseError,
    asyncpg.IntegrityConstraintViolationError,
    BookingTaken,
)


#: Opens a shard again and returns its epoch: `recover.coordinator.open_again`.
Opener = Callable[[Servers, int, Redis, asyncpg.Connection], Awaitable[int | None]]


@dataclass(slots=True)
class Outcome:
    """What became of a shard."""

    plan: Plan
    is_applied: bool = False
    #: Epoch under which the shard is open again; None if it stays shut.
    epoch: int | None = None
    left: list[Violation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Repairer:
    """Repairs one shard."""

    def __init__(
        self,
        servers: Servers,
        shard: int,
        redis: Redis,
        database: asyncpg.Connection,
        open_shard: Opener,
    ) -> None:
        """
        Args:
            servers: Where further connections lead.

            shard: Number of the shard.

            redis: Client of its master.

            database: A connection of one's own.

            open_shard: Opens the shard once all is well.
        """
        self._open_shard = open_shard
        self._servers = servers
        self._shard = shard
        self._redis = redis
        self._database = database
        self._planner = Planner(shard, redis, database)
        self._holder = f"repair-{secrets.token_hex(8)}"
        self._epoch = 0

    async def apply(self, *, rewinds: bool) -> Outcome:
        """
        Shut the shard, repair it, check it, and have it opened.

        Args:
            rewinds: Whether records that PostgreSQL has lost may be derived from Redis.

        Raises:
            CannotOpen: somebody else has the shard, or it stays shut; the message says why.
        """
        seen = await reigns.read(self._database, self._shard)
        if seen is not None and seen.state == "open":
            plan = await self._planner.plan()
            if not plan.violations and not plan.holes:
                return Outcome(plan, epoch=seen.epoch)  # Nobody is shut out for nothing.
        before = await self._claim()
        outcome = Outcome(Plan(self._shard), is_applied=True)
        lease = Lease(
            self._shard,
            self._epoch,
            self._holder,
            database_url=self._servers.database_url,
            timeout_ms=self._servers.database_timeout_ms,
        )
        try:
            async with lease:
                await self._repair(outcome, before, lease, rewinds=rewinds)
        except _CONTRADICTIONS as error:
            await self._freeze(str(error))
            raise CannotOpen(f"shard {self._shard} is frozen: {error}") from error
        except BaseException:
            with contextlib.suppress(*UNANSWERED):
                await self._release()
            raise
        if outcome.left:
            first = outcome.left[0]
            await self._freeze(
                f"{len(outcome.left)} violations are left, such as {first.code}: {first.message}"
            )
            return outcome
        await self._release()
        outcome.epoch = await self._open_shard(
            self._servers, self._shard, self._redis, self._database
        )
        return outcome

    async def _repair(self, outcome: Outcome, before: Meta, lease: Lease, *, rewinds: bool) -> None:
        holes = await find_holes(self._redis, self._database, self._shard)
        outcome.plan.holes = holes
        if holes and not rewinds:
            raise Drift(f"{said_holes(holes)}: use --pg")
        if holes:
            outcome.errors += await restore(
                self._redis, self._database, self._shard, holes, holder=self._holder
            )
        known = await audit.checkpoints(self._database, self._shard)
        if known.get(before.epoch, 0) > before.seq:
            raise CannotOpen(f"Redis is behind PostgreSQL: `recover` rebuilds shard {self._shard}")
        await Drain(self._shard, self._redis, self._database, self._holder).run(
            before, known, is_forced=False
        )
        outcome.plan = plan = await self._planner.plan()
        outcome.plan.holes = holes
        for _ in range(ROUNDS_MAX):
            for action in plan.actions:
                lease.check()
                await self._do(action)
            plan = await self._planner.plan()
            if not plan.actions:
                break
            outcome.plan.actions += plan.actions
        outcome.left = [v for v in plan.violations if v.code not in OF_OPENING]

    async def _claim(self) -> Meta:
        """Shut the shard to everybody else, first in PostgreSQL, then in Redis; return its meta."""
        seen = await reigns.read(self._database, self._shard)
        epoch = await reigns.claim(
            self._database, self._shard, seen=seen, holder=self._holder, nonce=secrets.token_hex(16)
        )
        if epoch is None:
            raise CannotOpen(f"another coordinator has shard {self._shard}: nothing was changed")
        self._epoch = epoch
        try:
            found: Any = await self._redis.hmget(keys.meta(self._shard), ["epoch", "claim"])
            newest = max(int(word or 0) for word in found)
            if newest >= epoch:  # PostgreSQL went back in time (F31).
                self._epoch = newest + 1
                if not await reigns.raise_epoch(
                    self._database,
                    self._shard,
                    epoch=epoch,
                    holder=self._holder,
                    to_epoch=self._epoch,
                ):
                    raise CannotOpen(f"the claim of shard {self._shard} was lost")
            before = Meta.of(await change_door(self._redis, self._shard, self._epoch, "fence", {}))
            if before is None or before.state == "rebuilding":
                raise CannotOpen(f"Redis has lost shard {self._shard}: `recover` rebuilds it")
        except BaseException:
            with contextlib.suppress(*UNANSWERED):
                await self._release()
            raise
        return before

    async def _release(self) -> None:
        await reigns.release(self._database, self._shard, epoch=self._epoch, holder=self._holder)

    async def _freeze(self, reason: str) -> None:
        await reigns.freeze(
            self._database, self._shard, epoch=self._epoch, holder=self._holder, reason=reason
        )

    async def _do(self, action: Action) -> None:
        if action.verb == "rederive":
            assert action.event_id is not None
            await self._rederive(action.event_id, action.booking_ids)
        elif action.verb == "reblock":
            assert action.event_id is not None
            places = await history(self._database, self._shard, action.event_id, ())
            await ledger.reblock(
                self._database,
                shard=self._shard,
                holder=self._holder,
                event_id=action.event_id,
                records=[
                    place.record
                    for place in places.get("", [])
                    if isinstance(place.record, Blocked | Unblocked)
                ],
            )
        elif action.verb == "restate":
            assert action.sale is not None
            await ledger.restate(
                self._database, shard=self._shard, holder=self._holder, sale=action.sale
            )
        elif action.verb == "set":
            assert action.event_id is not None
            for start in range(0, len(action.changes), CHANGES_MAX):
                part = action.changes[start : start + CHANGES_MAX]
                await put_right(self._redis, self._shard, self._epoch, action.event_id, part)

    async def _rederive(self, event_id: str, booking_ids: Sequence[str]) -> None:
        records = await history(self._database, self._shard, event_id, booking_ids)
        known = [booking_id for booking_id in booking_ids if records.get(booking_id)]
        places = sorted(
            (place for booking_id in known for place in records[booking_id]),
            key=lambda place: (place.epoch, place.seq),
        )
        entries: dict[int, list[Entry]] = defaultdict(list)
        for place in places:
            entries[place.epoch].append(Entry(place.seq, place.record, encode(place.record)))
        if known:
            await ledger.rederive(
                self._database,
                shard=self._shard,
                holder=self._holder,
                event_id=event_id,
                booking_ids=known,
                entries=entries,
            )


async def put_right(
    redis: Redis, shard: int, claim: int, event_id: str, part: Iterable[Change]
) -> int:
    """
    Put values of one event right, each only if it is still what was seen.

    Atomicity: one script (`lua/recovery/repair.lua`); all of them or none.
    Idempotency: what is right already is left as it is.

    Raises:
        ResponseError: the shard is not shut under *claim*, or a value has changed.
    """
    names = keys.event(shard, event_id)
    words = [
        word
        for change in part
        for word in (change.where, change.name, _word(change.seen), _word(change.wanted))
    ]
    its_keys = [
        keys.meta(shard),
        keys.due(shard),
        names.stock,
        names.bookings,
        names.persons,
        names.deadlines,
        names.seats,
        names.tickets,
        names.promos,
    ]
    script = recovery_script("repair")
    return int(await redis.eval(script, len(its_keys), *its_keys, claim, event_id, *words))


def _word(value: str | None) -> str:
    return "" if value is None else f"={value}"


async def run(
    servers: Servers, *, shards: Sequence[int], applies: bool, rewinds: bool, open_shard: Opener
) -> list[Outcome]:
    """
    Plan for each shard; with *applies*, repair it.

    Args:
        rewinds: Whether records that PostgreSQL has lost may be derived from Redis (`--pg`).

        open_shard: Opens a shard once all is well.
    """
    outcomes = []
    for shard in shards:
        outcome = Outcome(Plan(shard))
        try:
            async with servers.redis(shard) as redis, servers.database() as database:
                if applies:
                    repairer = Repairer(servers, shard, redis, database, open_shard)
                    outcome = await repairer.apply(rewinds=rewinds)
                else:
                    outcome = Outcome(await Planner(shard, redis, database).plan())
        except (*AWAY, CannotCheck, CannotOpen, ClaimLost) as error:
            outcome.errors.append(
                str(error) if isinstance(error, CannotOpen | ClaimLost) else said(error)
            )
        outcomes.append(outcome)
    return outcomes
