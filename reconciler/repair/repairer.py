"""
Repairs: what `reconciler.repair.plan` has planned, done under the fence.

The journal is what both stores follow. Rows in PostgreSQL are written again from the records that
it keeps (`ledger.rederive`); values in Redis become what the same records make of them, one
compare-and-set each (`lua/recovery/repair.lua`). Neither store is ever copied over the other, and
no record is made where the old ones suffice, so that I7 and I8 are proved afterwards as ever. Where
records themselves are gone, `reconciler.recover.rewind` derives them anew, which is asked for by
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
from engine.homes import ONLY_SERVER
from engine.records import Blocked, Entry, Unblocked, encode
from reconciler.event.image import Change
from reconciler.event.violation import Violation
from reconciler.judge.check import AWAY, CannotCheck, said
from reconciler.recover.decide import CannotOpen, Drift, Meta
from reconciler.recover.drain import Drain
from reconciler.recover.lease import Lease
from reconciler.recover.loader import ClaimLost, change_door, recovery_script
from reconciler.recover.mend import MARKS_SINCE, Mender
from reconciler.recover.rebuild import CannotRebuild
from reconciler.recover.rewind import find_holes, restore
from reconciler.recover.verify import count
from reconciler.repair import archive
from reconciler.repair.plan import (
    OF_CHECKPOINT,
    OF_OPENING,
    Action,
    Plan,
    Planner,
    epoch_of,
    history,
    history_of_entries,
    said_holes,
)
from reconciler.servers import Servers
from store import audit, bookings, ends, ledger, reigns
from store.pool import UNANSWERED
from store.rows import BookingTaken

#: Values that one script call puts right (`lua/recovery/repair.lua`).
CHANGES_MAX = 500
#: Rounds of a repair: rows first, and then what follows from them.
ROUNDS_MAX = 5
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
    #: Why nothing was done.
    note: str = ""


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
        self._holder = reigns.make_holder("repair")
        self._epoch = 0
        #: Whether the journal's archive has all records.
        self._is_whole = False

    async def apply(self, *, rewinds: bool) -> Outcome:
        """
        Shut the shard, repair it, check it, and have it opened.

        Args:
            rewinds: Whether records that PostgreSQL has lost may be derived from Redis.

        Raises:
            CannotOpen: somebody else has the shard, or it stays shut; the message says why.
        """
        seen = await reigns.read(self._database, self._shard)
        lived_with: set[tuple[object, ...]] = set()
        if seen is not None and seen.state == "open":
            plan = await self._planner.plan()
            useless = _useless(plan, rewinds=rewinds)
            if useless is not None:  # Nobody is shut out for nothing.
                return Outcome(plan, epoch=seen.epoch, note=useless)
            lived_with = {violation.identity for violation in plan.violations}
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
        worse = [v for v in outcome.left if v.identity not in lived_with]
        if worse:
            first = worse[0]
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
        await self._settle(before)
        holes = await find_holes(self._redis, self._database, self._shard)
        outcome.plan.holes = holes
        if holes and not rewinds:
            raise Drift(f"{said_holes(holes)}: use --pg")
        if holes:
            restored = await restore(
                self._redis, self._database, self._shard, holes, holder=self._holder
            )
            outcome.errors += restored.homeless
        known = await audit.checkpoints(self._database, self._shard)
        if known.get(before.epoch, 0) > before.seq:
            raise CannotOpen(f"Redis is behind PostgreSQL: `recover` rebuilds shard {self._shard}")
        await Drain(self._shard, self._redis, self._database, self._holder).run(
            before, known, is_forced=False
        )
        outcome.plan = plan = await self._planner.plan()
        outcome.plan.holes = holes
        if rewinds and plan.broken:
            plan = await self._derive_archive(plan)
        for _ in range(ROUNDS_MAX):
            self._is_whole = not plan.broken
            for action in plan.actions:
                lease.check()
                try:
                    await self._do(action)
                except CannotRebuild as error:
                    outcome.errors.append(f"{action.event_id} stays shut: {error}")
            plan = await self._planner.plan()
            if not plan.actions:
                break
            outcome.plan.actions += plan.actions
        # What the first plan could not do may have ended with what it did.
        outcome.plan.hopeless = plan.hopeless
        outcome.left = [v for v in plan.violations if v.code not in OF_OPENING]

    async def _derive_archive(self, plan: Plan) -> Plan:
        """Write into the archive what nobody has any more, as far as it can be derived (`--pg`)."""
        there = [one for action in plan.actions for one in action.refiles]
        await archive.write(self._database, self._shard, there, holder=self._holder)
        plan = await self._planner.plan()
        derived = await archive.derive_missing(
            self._redis, self._database, self._shard, plan.broken
        )
        await archive.write(self._database, self._shard, derived, holder=self._holder)
        return await self._planner.plan()

    async def _settle(self, meta: Meta) -> None:
        """Set checkpoints where the journal's own rows end, as far as those prove it (F68)."""
        await ends.adopt(self._database, self._shard, meta.epoch)
        known = await ends.of_shard(self._database, self._shard, since=meta.epoch)
        for epoch, there in known.items():
            if not there.agree:
                dropped_seq = meta.trimmed_seq if epoch == meta.epoch else None
                await ends.settle(self._database, self._shard, epoch, dropped_seq=dropped_seq)

    async def _claim(self) -> Meta:
        """Shut the shard to everybody else, first in PostgreSQL, then in Redis; return its meta."""
        seen = await reigns.read(self._database, self._shard)
        epoch = await reigns.claim(
            self._database,
            self._shard,
            seen=seen,
            holder=self._holder,
            nonce=secrets.token_hex(16),
            home=ONLY_SERVER if seen is None else seen.home,
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
        elif action.verb == "requeue":
            assert action.event_id is not None
            await self._requeue(action.event_id, action.entry_ids)
        elif action.verb == "settle":
            behind = [v for v in action.violations if v.code in OF_CHECKPOINT]
            for epoch in sorted(map(epoch_of, behind)):  # What is ahead was set at the start.
                await ends.adopt(self._database, self._shard, epoch)
                await ends.settle(self._database, self._shard, epoch, dropped_seq=None)
        elif action.verb == "refile":
            await archive.write(self._database, self._shard, action.refiles, holder=self._holder)
        elif action.verb == "reload":
            assert action.event_id is not None
            await self._reload(action.event_id)
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
                self._database,
                shard=self._shard,
                holder=self._holder,
                sale=action.sale.published,
                status=action.sale.status,
                cancelled_at_ms=action.sale.cancelled_at_ms,
            )
        elif action.verb == "set":
            assert action.event_id is not None
            for start in range(0, len(action.changes), CHANGES_MAX):
                part = action.changes[start : start + CHANGES_MAX]
                await put_right(self._redis, self._shard, self._epoch, action.event_id, part)

    async def _bookings_of(self, event_id: str, booking_ids: Iterable[str]) -> set[str]:
        """Return those of some bookings that have a row."""
        return set(await bookings.details(self._database, dict.fromkeys(booking_ids, event_id)))

    async def _reload(self, event_id: str) -> None:
        """Load one event anew from PostgreSQL, which has all of it; the shard stays shut."""
        row = await reigns.read(self._database, self._shard)
        assert row is not None, "it is claimed"
        mender = Mender(
            shard=self._shard,
            redis=self._redis,
            database=self._database,
            hold_life_max_ms=self._servers.hold_life_max_ms,
            count=count,
        )
        await mender.rebuild(
            event_id,
            (),
            epoch=self._epoch,
            state="recovering",
            marks=row.records_version >= MARKS_SINCE,
        )

    async def _requeue(self, event_id: str, entry_ids: Sequence[str]) -> None:
        entries: dict[int, list[Entry]] = defaultdict(list)
        for epoch, seq, record in await history_of_entries(
            self._database, self._shard, event_id, entry_ids
        ):
            entries[epoch].append(Entry(seq, record, encode(record)))
        await ledger.requeue(
            self._database,
            shard=self._shard,
            holder=self._holder,
            event_id=event_id,
            entry_ids=entry_ids,
            entries=entries,
        )

    async def _rederive(self, event_id: str, booking_ids: Sequence[str]) -> None:
        records = await history(self._database, self._shard, event_id, booking_ids)
        known = [booking_id for booking_id in booking_ids if records.get(booking_id)]
        if self._is_whole:  # Lines and tickets that no booking has, and no record made.
            strays = set(booking_ids) - set(known)
            known += sorted(strays - await self._bookings_of(event_id, strays))
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


def _useless(plan: Plan, *, rewinds: bool) -> str | None:
    """Say why a repair of an open shard would do nothing; empty: all is well; None: it would."""
    if plan.holes and not rewinds:
        return f"{said_holes(plan.holes)}: use --pg; the shard was left open"
    if plan.holes or plan.actions or (rewinds and plan.broken):
        return None
    return "nothing here puts it right; the shard was left open" if plan.violations else ""


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
    servers: Servers, *, only: int | None, applies: bool, rewinds: bool, open_shard: Opener
) -> list[Outcome]:
    """
    Plan for each shard, or for *only* one; with *applies*, repair it.

    Args:
        rewinds: Whether records that PostgreSQL has lost may be derived from Redis (`--pg`).

        open_shard: Opens a shard once all is well.

    Raises:
        NoShard: there is no shard *only*.
    """
    outcomes = []
    for shard in await servers.shards(only):
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
