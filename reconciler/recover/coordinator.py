"""
The coordinator: opens a shard, and opens it again whenever Redis is not what it was.

A shard is open only while PostgreSQL says so (`shard_epoch`), Redis is in that epoch, is the very
process that was opened, and knows the reign's scripts. If any of it fails, the coordinator claims
the shard under a new epoch, fences Redis, drains the journal into PostgreSQL, merges what workers
still knew, and decides (`reconciler.recover.decide`): where both stores end alike, the state is
kept; where PostgreSQL is ahead, Redis is rebuilt from it; where neither can be right, the shard
stays shut (`frozen`), because a shut door is an outage and a wrong one is an oversale (I13, I17).

Each step may crash: the door stays shut, and the sequence can be repeated from its start. Whoever
lost the claim changes nothing any more: claims only grow, in both stores (F41).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys, scripts
from engine.durability import Durability
from engine.errors import CorruptRecord
from engine.homes import ONLY_SERVER
from reconciler.recover.decide import (
    REPAIR_HINT,
    CannotOpen,
    Drift,
    Evidence,
    Meta,
    Path,
    decide,
    may_have_lost,
    require_past,
)
from reconciler.recover.drain import JOURNALS_KEPT, Drain
from reconciler.recover.lease import Lease
from reconciler.recover.loader import ClaimLost, change_door
from reconciler.recover.mend import MARKS_SINCE, Mender
from reconciler.recover.rebuild import CannotRebuild, Rebuild
from reconciler.recover.receipts import not_told
from reconciler.recover.recovered import Progress, Recovered
from reconciler.recover.refill import refill
from reconciler.recover.server import GUARD_INTERVAL_S, Server
from reconciler.recover.verify import count, verify
from reconciler.servers import Servers
from store import audit, ends, ledger, quarantine, redo, reigns
from store.pool import UNANSWERED

log = structlog.get_logger()

#: Time that workers get to write what they hold, once Redis may have lost something.
REDO_GRACE_S = 0.5
#: The same, where nothing but PostgreSQL tells them: they look once a second.
GONE_GRACE_S = 2.0
#: Longest life of a hold, in ms, where the caller does not say.
HOLD_LIFE_MAX_MS = 1_800_000
#: Bytes and age in ms of the records that may wait for PostgreSQL, where nothing else is said.
BACKLOG_BYTES_MAX = 536_870_912
BACKLOG_AGE_MS_MAX = 1_800_000

#: Further acknowledged records of a shard, such as signed receipts; the last source of all.
MoreRecords = Callable[[int], Awaitable[Sequence[redo.Row]]]


#: What no repetition mends: the shard is frozen, and a human looks.
_CONTRADICTIONS = (
    Drift,
    CannotRebuild,
    ledger.JournalGap,
    CorruptRecord,
    asyncpg.IntegrityConstraintViolationError,
)


#: How long a shard that another coordinator took over is waited for.
OPENING_TRIES_MAX = 120
OPENING_PAUSE_S = 0.25


class Coordinator:
    """Opens one shard."""

    def __init__(
        self,
        shard: int,
        redis: Redis,
        database: asyncpg.Connection,
        *,
        home: str = ONLY_SERVER,
        backlog_records_max: int,
        backlog_bytes_max: int = BACKLOG_BYTES_MAX,
        backlog_age_ms_max: int = BACKLOG_AGE_MS_MAX,
        durability: Durability = "fsync",
        hold_life_max_ms: int = HOLD_LIFE_MAX_MS,
        database_url: str = "",
        database_timeout_ms: int = 10_000,
        more_records: MoreRecords | None = None,
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            redis: Client of its master.

            database: A connection of one's own.

            home: Name of that master; a claim for a shard that lives elsewhere fails.

            backlog_records_max: Records that may wait for PostgreSQL before sales pause.

            backlog_bytes_max: Bytes of such records.

            backlog_age_ms_max: Age of the oldest such record, in ms.

            durability: What answers promise; a server that cannot keep it is not opened.

            hold_life_max_ms: Longest life of a hold, in ms.

            database_url: Where the claim is renewed over a connection beside; empty: not renewed.

            database_timeout_ms: Time one statement of that connection may take.

            more_records: Called after the workers' redo was read; see `MoreRecords`.
        """
        self._shard = shard
        self._redis = redis
        self._home = home
        self._database = database
        self._backlog_records_max = backlog_records_max
        self._backlog_bytes_max = backlog_bytes_max
        self._backlog_age_ms_max = backlog_age_ms_max
        self._server = Server(shard, redis, durability)
        self._hold_life_max_ms = hold_life_max_ms
        self._database_url = database_url
        self._database_timeout_ms = database_timeout_ms
        self._more_records = more_records
        self._holder = reigns.make_holder("recover")
        #: A checkpoint that is not where the journal ends, if nothing proves what is right.
        self._doubted: ends.Ends | None = None
        #: What the last recovery did.
        self.recovered: Recovered | None = None

    async def is_well(self) -> bool:
        """
        Tell whether the shard is open, Redis the one that was opened, and nothing to merge.

        Raises:
            CannotOpen: Redis is not configured to keep a booking; the shard is shut. Or the shard
                has moved: it is another server's coordinator that opens it (I20).
        """
        row = await reigns.read(self._database, self._shard)
        if row is not None and row.home != self._home:
            raise CannotOpen(f"shard {self._shard} lives on {row.home} now")
        await self._server.require_safe(every_s=GUARD_INTERVAL_S)
        if row is None or row.state != "open":
            return False
        shas = list(scripts.shas(row.nonce, row.records_version).values())
        # Before PostgreSQL is asked: what was trimmed by then, it must have.
        trimmed = await self._redis.hget(keys.meta(self._shard), "trimmed_seq")
        # Before Redis is asked: what PostgreSQL has, Redis must have had by then.
        there = await ends.read(self._database, self._shard, row.epoch)
        if there is not None and not there.agree and there != self._doubted:
            there = self._doubted = await ends.settle(
                self._database, self._shard, row.epoch, dropped_seq=int(trimmed or 0)
            )
        checkpoint = there and there.last_seq
        epoch, state, seq = await self._redis.hmget(
            keys.meta(self._shard), ["epoch", "state", "seq"]
        )
        if int(trimmed or 0) > (checkpoint or 0):
            return False  # It has not: it went back in time (F31).
        known: Any = await self._redis.script_exists(*shas)
        return (
            (epoch, state) == (str(row.epoch).encode(), b"open")
            and all(known)
            and int(seq or 0) >= (checkpoint or 0)
            and await self._server.identity() == (row.redis_run_id, row.redis_replid)
            and not await redo.has_rows(self._database, self._shard)
        )

    async def recover(self, *, is_rebuild_forced: bool = False) -> int | None:
        """
        Bring the shard from whatever state it is in to open.

        Args:
            is_rebuild_forced: Load Redis anew from PostgreSQL whatever it has: a human's decision,
                which loses what Redis alone knows.

        Returns:
            The new epoch, or None if another coordinator has the shard.

        Raises:
            CannotOpen: the shard stays shut.
        """
        began_s = time.monotonic()
        await self._server.require_safe()
        seen = await reigns.read(self._database, self._shard)
        if seen is not None and seen.state == "frozen":
            await self._stop_sales(seen.epoch)
            raise CannotOpen(f"shard {self._shard} is frozen: {seen.reason}")
        nonce = secrets.token_hex(16)
        async with self._claimed(seen, nonce) as claim:
            if claim is None:
                return None
            recovered = await self._recover(claim, seen, nonce, is_rebuild_forced)
        recovered.seconds = time.monotonic() - began_s
        self.recovered = recovered
        log.info(
            "shard open",
            action="recover_open",
            shard=self._shard,
            epoch=claim.epoch,
            **recovered.figures(),
        )
        return claim.epoch

    async def leave(self, to: str, *, said_gone: str = "") -> int | None:
        """
        Shut the shard here, for it to live on another server from now on (I21).

        Whatever was acknowledged is in PostgreSQL then, from which the new home is loaded. A crash
        before that leaves the shard here, and one after it there: the next recovery opens it.

        Args:
            to: Name of the new home.

            said_gone: A human's word on why this home cannot be fenced and will never sell again;
                empty: it is fenced, or the shard stays.

        Returns:
            The epoch under which it moved, or None if another coordinator has the shard.

        Raises:
            CannotOpen: the stores contradict each other, and the shard is frozen here.
            RedisError, OSError: this home does not answer; nothing was changed.
        """
        seen = await reigns.read(self._database, self._shard)
        if seen is not None and seen.state == "frozen":
            raise CannotOpen(f"shard {self._shard} is frozen: {seen.reason}")
        if not said_gone:
            await self._server.identity()  # Before anything is shut: who is away cannot be fenced.
        async with self._claimed(seen, secrets.token_hex(16)) as claim:
            if claim is None:
                return None
            if said_gone:
                known = await self._checkpoints(None)
                # Workers learn that their reign is over, and write what they were told.
                await asyncio.sleep(GONE_GRACE_S)
                await self._merge(known, claim.epoch)
            else:
                meta = await self._fence(claim.epoch, is_forced=False)
                known = await self._checkpoints(meta)
                require_past(meta, claim.epoch, known)
                waits = seen is not None and may_have_lost(
                    meta, known, seen.seen_seq, has_other_server=False
                )
                await self._gather(meta, known, claim, is_forced=False, waits=waits)
                decide(await self._evidence(meta))
            claim.check()
            move = reigns.Move(self._home, to, said_gone)
            if not await reigns.move_home(
                self._database, self._shard, move, epoch=claim.epoch, holder=self._holder
            ):
                raise ClaimLost("while the shard moved")
            await reigns.release(
                self._database, self._shard, epoch=claim.epoch, holder=self._holder
            )
        log.warning(
            "shard moved",
            action="shard_moved",
            shard=self._shard,
            epoch=claim.epoch,
            came_from=self._home,
            to=to,
            said_gone=said_gone,
        )
        return claim.epoch

    @contextlib.asynccontextmanager
    async def _claimed(
        self, seen: reigns.ReignRow | None, nonce: str
    ) -> AsyncIterator[Lease | None]:
        """
        Claim the shard and keep the claim for the block; None if another coordinator was faster.

        Raises:
            CannotOpen: the block found a contradiction, and the shard is frozen; or it lost the
                claim. After any error the next claim need not wait.
        """
        epoch = await reigns.claim(
            self._database,
            self._shard,
            seen=seen,
            holder=self._holder,
            nonce=nonce,
            home=self._home,
        )
        if epoch is None:
            yield None
            return
        log.info("shard claimed", action="recover_claim", shard=self._shard, epoch=epoch)
        claim = Lease(
            self._shard,
            epoch,
            self._holder,
            database_url=self._database_url,
            timeout_ms=self._database_timeout_ms,
        )
        try:
            async with claim:
                yield claim
        except _CONTRADICTIONS as error:
            await reigns.freeze(
                self._database, self._shard, epoch=epoch, holder=self._holder, reason=str(error)
            )
            raise CannotOpen(f"shard {self._shard} is frozen: {error}") from error
        except BaseException as error:
            # Where the claim was lost, this changes nothing.
            with contextlib.suppress(*UNANSWERED):
                await reigns.release(self._database, self._shard, epoch=epoch, holder=self._holder)
            if isinstance(error, ClaimLost):
                raise CannotOpen(f"shard {self._shard}: the claim was lost: {error}") from error
            raise

    async def _recover(
        self, claim: Lease, seen: reigns.ReignRow | None, nonce: str, is_forced: bool
    ) -> Recovered:
        identity = await self._server.identity()
        meta = await self._fence(claim.epoch, is_forced=is_forced)
        known = await self._checkpoints(meta)
        try:
            if not is_forced:
                require_past(meta, claim.epoch, known)
            has_other_server = seen is not None and identity != (
                seen.redis_run_id,
                seen.redis_replid,
            )
            merged = await self._gather(
                meta,
                known,
                claim,
                is_forced=is_forced,
                waits=seen is not None
                and may_have_lost(meta, known, seen.seen_seq, has_other_server=has_other_server),
            )
            evidence = await self._evidence(meta)
            path = Path("rebuild", "a human asked for it") if is_forced else decide(evidence)
        except _CONTRADICTIONS:
            if meta is not None:  # Of a Redis that was emptied meanwhile they say nothing.
                await self._require_undisturbed(claim, identity)
            raise
        recovered = Recovered(self._shard, claim.epoch, path, evidence.lost_range, merged)
        claim.check()
        # The epoch is known to PostgreSQL before Redis is: it is never used twice (F31, F33).
        await ledger.read_checkpoint(self._database, shard=self._shard, epoch=claim.epoch)
        log.info(
            "path chosen",
            action="recover_path",
            shard=self._shard,
            epoch=claim.epoch,
            path=path.name,
            reason=path.reason,
        )
        if path.name == "rebuild":
            await self._rebuild(claim, recovered, dict(evidence.checkpoints), identity)
        elif meta is None:
            await self._change_door(claim, "begin", "recovering")
        else:
            recovered.mended = await self._mend(claim)
        await self._open(claim, nonce, identity, known)
        return recovered

    async def _stop_sales(self, epoch: int) -> None:
        """Shut Redis for a shard that was frozen, should nobody have done so yet (I17)."""
        meta_key = keys.meta(self._shard)
        found_epoch, state = await self._redis.hmget(meta_key, ["epoch", "state"])
        # Of an earlier epoch as well: Redis may have come back with what it was then.
        if state == b"open" and int(found_epoch or 0) <= epoch:
            await self._redis.hset(meta_key, "state", "frozen")

    async def _fence(self, epoch: int, *, is_forced: bool) -> Meta | None:
        """
        Shut Redis: everything earlier is in the journal, everything later is refused.

        Scripts of earlier reigns stay loaded: their epoch is over and they refuse to run under
        any other, while flushing would shut the other shards of the same server as well.
        """
        try:
            fields = await change_door(self._redis, self._shard, epoch, "fence", {})
        except ClaimLost as error:
            if not await reigns.renew(
                self._database, self._shard, epoch=epoch, holder=self._holder
            ):
                raise
            # The claim is ours, and Redis knows later ones: it is PostgreSQL that is behind.
            shut: Any = self._redis.hset(keys.meta(self._shard), "state", "recovering")
            await shut
            raise Drift(
                f"{error}, PostgreSQL had only reached {epoch - 1}: {REPAIR_HINT}"
            ) from error
        try:
            return Meta.of(fields)
        except Drift:
            if not is_forced:
                raise
            return None

    async def _checkpoints(self, meta: Meta | None) -> dict[int, int]:
        """
        Return the last record that PostgreSQL has of each epoch, by the journal's own rows.

        Of epochs before Redis's nothing is decided here: their checkpoints are believed.
        """
        since = None if meta is None else meta.epoch
        known = await ends.of_shard(self._database, self._shard, since=since)
        is_gone = meta is not None and meta.epoch not in known
        if meta and is_gone and await ends.adopt(self._database, self._shard, meta.epoch):
            known = await ends.of_shard(self._database, self._shard, since=since)
        for epoch, there in known.items():
            if not there.agree:
                is_its = meta is not None and meta.epoch == epoch
                known[epoch] = await ends.settle(
                    self._database,
                    self._shard,
                    epoch,
                    dropped_seq=meta.trimmed_seq if meta and is_its else None,
                )
        return {epoch: there.last_seq for epoch, there in known.items()}

    async def _evidence(self, meta: Meta | None) -> Evidence:
        """Read what both stores have; last, since workers note what they have seen when shut."""
        checkpoints = await audit.checkpoints(self._database, self._shard)
        row = await reigns.read(self._database, self._shard)
        assert row is not None, "it is claimed"
        return Evidence(meta, checkpoints, row.has_merged, row.seen_seq)

    async def _gather(
        self,
        meta: Meta | None,
        known: dict[int, int],
        claim: Lease,
        *,
        is_forced: bool,
        waits: bool,
    ) -> redo.Merged:
        """
        Bring all into PostgreSQL that Redis has acted upon, and what workers know besides.

        Args:
            waits: Give workers a while to write what they know.

        Raises:
            Drift, JournalGap, CorruptRecord: a human must look.
        """
        drain = Drain(self._shard, self._redis, self._database, self._holder)
        try:
            reached = await drain.run(meta, known, is_forced=is_forced)
        except ledger.JournalGap:
            if meta is None:
                raise
            reached = -1
        await self._require_none_held(is_forced=is_forced)
        is_short = meta is not None and reached is not None and reached < meta.seq
        if waits or is_short:
            await asyncio.sleep(REDO_GRACE_S)
        if meta is not None and is_short:
            await self._refill(meta, claim, is_forced=is_forced)
            await self._require_none_held(is_forced=is_forced)
        return await self._merge(known, claim.epoch)

    async def _require_none_held(self, *, is_forced: bool) -> None:
        held = await quarantine.held(self._database, self._shard)
        if held and not is_forced:
            raise Drift(f"{held} records are in quarantine: `reconciler quarantine list`")

    async def _refill(self, meta: Meta, claim: Lease, *, is_forced: bool) -> None:
        """Put records back that the journal lacks; see `reconciler.recover.refill`."""
        try:
            await refill(
                self._redis,
                self._database,
                self._shard,
                meta,
                holder=self._holder,
                check_claim=claim.check,
                verify=verify,
            )
        except Drift as error:
            if not is_forced:
                raise
            log.error("journal is broken", action="recover_refill", error=str(error))

    async def _merge(self, known: dict[int, int], epoch: int) -> redo.Merged:
        """Bring into PostgreSQL what workers, and receipts, know of the epochs before *epoch*."""
        rows = await redo.read(self._database, self._shard)
        if self._more_records is not None:
            rows += not_told(rows, await self._more_records(self._shard))
        if not rows:
            return redo.Merged()
        merged = await redo.merge(
            self._database,
            shard=self._shard,
            holder=self._holder,
            epochs=[older for older in known if older < epoch],
            rows=rows,
            hold_life_max_ms=self._hold_life_max_ms,
        )
        log.warning(
            "redo merged",
            action="recover_redo",
            shard=self._shard,
            found=merged.found,
            known=merged.known,
            conflicts=merged.conflicts,
            late=merged.late,
            lost=merged.lost,
        )
        return merged

    async def _mend(self, claim: Lease) -> list[str]:
        """See that no event of a shard that is kept has lost a key; rebuild those that have."""
        mender = make_mender(self._shard, self._redis, self._database, self._hold_life_max_ms)
        marks = await self._marks()
        return await mender.open_whole(claim.epoch, marks=marks, check_claim=claim.check)

    async def _marks(self) -> bool:
        """Tell whether keys are marked in the reign that is being opened."""
        row = await reigns.read(self._database, self._shard)
        assert row is not None, "it is claimed"
        return row.records_version >= MARKS_SINCE

    async def _rebuild(
        self,
        claim: Lease,
        recovered: Recovered,
        checkpoints: dict[int, int],
        identity: tuple[str, str],
    ) -> None:
        """Load Redis anew from PostgreSQL, and prove that it is the same."""
        await self._change_door(claim, "begin", "rebuilding")
        with Progress(self._shard) as progress:
            rebuild = Rebuild(
                shard=self._shard,
                epoch=claim.epoch,
                redis=self._redis,
                database=self._database,
                hold_life_max_ms=self._hold_life_max_ms,
                marks=await self._marks(),
                check_claim=claim.check,
                progress=progress.loaded,
            )
            began_s = time.monotonic()
            rebuilt = recovered.rebuilt = await rebuild.run()
            # Behind the rows: whatever Redis loses from here on, it loses this first.
            mark = {"loaded": claim.epoch}
            await change_door(self._redis, self._shard, claim.epoch, "set", mark)
            loaded_s = time.monotonic()
            violations = await verify(
                self._shard,
                self._redis,
                self._database,
                rebuilt,
                checkpoints,
                check_claim=claim.check,
                progress=progress.said,
            )
        recovered.load_seconds = loaded_s - began_s
        recovered.verify_seconds = time.monotonic() - loaded_s
        if violations:
            await self._require_undisturbed(claim, identity)
            first = violations[0]
            raise Drift(
                f"what was rebuilt is not what PostgreSQL has: {len(violations)} "
                f"differences, first {first.code} of {first.event_id}: "
                f"{first.message}"
            )
        claim.check()

    async def _change_door(self, claim: Lease, verb: str, state: str) -> None:
        """Make the shard one of the claim's epoch, without a record yet."""
        fresh = {
            "epoch": claim.epoch,
            "state": state,
            "seq": 0,
            "persisted_seq": 0,
            "trimmed_seq": 0,
            "backlog_max": self._backlog_records_max,
            "layout": keys.LAYOUT_VERSION,
            "bytes": 0,
            "persisted_bytes": 0,
            "oldest_at_ms": 0,
            "backlog_bytes_max": self._backlog_bytes_max,
            "bytes_end": self._backlog_bytes_max,
            "backlog_age_ms_max": self._backlog_age_ms_max,
        }
        await change_door(self._redis, self._shard, claim.epoch, verb, fresh)

    async def _open(
        self, claim: Lease, nonce: str, identity: tuple[str, str], known: dict[int, int]
    ) -> None:
        """
        Start the new epoch in Redis, then publish it.

        Workers learn the nonce from PostgreSQL alone, so a crash between the two leaves the door
        shut. A Redis that restarted meanwhile, or was a replica, shows another run id or history
        and is fenced again: its reply to the last write was the barrier, since that is on disk
        before it is sent.
        """
        await self._load_scripts(nonce)
        claim.check()
        # Only where the claim still stands, and all that was loaded: a Redis that lost it since
        # would be opened with nothing in it (F5, F13).
        await self._change_door(claim, "open", "open")
        # Drained for good; the last ones stay for inspection.
        old = [keys.journal(self._shard, epoch) for epoch in sorted(known)[:-JOURNALS_KEPT]]
        if old:
            await self._redis.unlink(*old)
        await self._server.require(identity)
        run_id, replid = identity
        published = await reigns.publish_open(
            self._database,
            self._shard,
            epoch=claim.epoch,
            holder=self._holder,
            redis_run_id=run_id,
            redis_replid=replid,
        )
        if not published:
            raise CannotOpen("another coordinator took the shard")

    async def _load_scripts(self, nonce: str) -> None:
        """Load the scripts of this code, and of the code that ran before or runs beside it."""
        row = await reigns.read(self._database, self._shard)
        assert row is not None, "it is claimed"
        version, layout = row.records_version, keys.LAYOUT_VERSION
        texts = {name: scripts.source(name) for name in scripts.NAMES}
        await reigns.keep_scripts(self._database, texts, layout=layout)
        # In one round trip: on a busy machine each one is as long as all of them.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for text in texts.values():
                pipeline.script_load(scripts.mark(text, nonce, version))
            await pipeline.execute()
        kept = await reigns.kept_scripts(self._database, layout=layout, version=version)
        for text in sorted({*kept} - {*texts.values()}):  # Ours are among them, and there by now.
            with contextlib.suppress(ResponseError):  # Its workers stay shut; ours do not.
                await self._redis.script_load(scripts.mark(text, nonce, version))

    async def _require_undisturbed(self, claim: Lease, identity: tuple[str, str]) -> None:
        """Make sure that Redis has what was written: else it is a loss, no contradiction."""
        await change_door(self._redis, self._shard, claim.epoch, "set", {})
        await self._server.require(identity)


def make_mender(
    shard: int, redis: Redis, database: asyncpg.Connection, hold_life_max_ms: int
) -> Mender:
    """Make who mends the events of a shard; see `Mender`."""
    return Mender(
        shard=shard, redis=redis, database=database, hold_life_max_ms=hold_life_max_ms, count=count
    )


def coordinator_of(
    servers: Servers,
    shard: int,
    redis: Redis,
    database: asyncpg.Connection,
    *,
    home: str,
    more_records: MoreRecords | None = None,
) -> Coordinator:
    """Make the coordinator of a shard that lives on the server *home*, behind *redis*."""
    return Coordinator(
        shard,
        redis,
        database,
        home=home,
        backlog_records_max=servers.journal_backlog_records_max,
        backlog_bytes_max=servers.journal_backlog_bytes_max,
        backlog_age_ms_max=servers.journal_backlog_age_ms_max,
        durability=servers.durability,
        hold_life_max_ms=servers.hold_life_max_ms,
        database_url=servers.database_url,
        database_timeout_ms=servers.database_timeout_ms,
        more_records=more_records,
    )


async def open_again(
    servers: Servers, shard: int, redis: Redis, database: asyncpg.Connection
) -> int | None:
    """Have a shard opened, here or by a coordinator that was faster; return the epoch it is in."""
    home = await reigns.home_of(database, shard, list(servers.redis_servers))
    coordinator = coordinator_of(servers, shard, redis, database, home=home)
    for _ in range(OPENING_TRIES_MAX):
        epoch = await coordinator.recover()
        if epoch is not None:
            return epoch
        await asyncio.sleep(OPENING_PAUSE_S)
        row = await reigns.read(database, shard)
        if row is not None and row.state == "open":
            return row.epoch
    return None
