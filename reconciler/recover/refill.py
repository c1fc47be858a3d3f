"""
A journal that was shortened before PostgreSQL had it: its records put back, by a recovery (F66).

Redis counts more records than its stream has (`XTRIM`, `XDEL`, `DEL` by a hand), and has acted upon
all of them, so nothing that was told is lost yet. What the stream still has is taken as ever, what
workers remember as they wrote it, and the rest is derived from what Redis keeps
(`reconciler.recover.rewind`), each record at its own place. Where a record left nothing behind, it
changed nothing that is still there, and a `lost` record takes its place.

Redis is kept then only if it is what the records make. If it has lost more than the stream, nobody
knows what was told, and the shard stays shut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable

import asyncpg
import structlog
from redis.asyncio import Redis

from engine.records import Entry, Record
from reconciler.event.hashes import scan_events
from reconciler.event.journal import follow_sales
from reconciler.event.snapshot import read_quiet
from reconciler.event.state import EventState
from reconciler.event.violation import Violation
from reconciler.recover.decide import REFILL_HINT, Drift, Meta
from reconciler.recover.rebuild import Rebuilt
from reconciler.recover.rewind import Hole, Restored, restore, stream_end
from store import audit, ledger, rebuild, redo

log = structlog.get_logger()

#: Records that a shortened journal can lack; sales pause at the backlog long before.
MISSING_MAX = 2_000_000

#: Says what is wrong with events in Redis: `reconciler.recover.verify.verify`.
Verify = Callable[..., Awaitable[list[Violation]]]


async def refill(
    redis: Redis,
    database: asyncpg.Connection,
    shard: int,
    meta: Meta,
    *,
    holder: str,
    check_claim: Callable[[], None],
    verify: Verify,
) -> Restored | None:
    """
    Bring into PostgreSQL what Redis has acted upon and its journal lacks; the shard must be shut.

    Atomicity: batches of the ledger writer; after a crash the next recovery goes on.
    Cost: reads all that Redis has of the shard's events once; the touched ones twice.

    Returns:
        What was written; None if nothing is missing.

    Raises:
        Drift: Redis is not what its own records make: a human must look.
    """
    epoch = meta.epoch
    checkpoint = await ledger.read_checkpoint(database, shard=shard, epoch=epoch)
    # `meta` may have lost count as well: the stream knows how far it was.
    last_seq = max(meta.seq, (await stream_end(redis, shard, epoch))[0])
    missing = last_seq - checkpoint
    if missing <= 0:
        return None
    if missing > MISSING_MAX:
        raise Drift(f"epoch {epoch} ends at record {last_seq} in Redis and at {checkpoint} here")
    rows = [row for row in await redo.read(database, shard) if row.epoch == epoch]
    told: dict[int, Entry] = {}
    for row in rows:
        record = row.decoded
        if isinstance(record, Record) and checkpoint < row.seq <= last_seq:
            told.setdefault(row.seq, Entry(row.seq, record, row.record.encode()))
    check_claim()
    hole = Hole(epoch=epoch, first_seq=checkpoint + 1, last_seq=last_seq, lost=missing)
    restored = await restore(redis, database, shard, [hole], holder=holder, told={epoch: told})
    used = [row for row in rows if row.seq in told and told[row.seq].raw == row.record.encode()]
    await redo.forget(database, shard, used)
    log.warning(
        "journal was shortened",
        action="recover_refill",
        shard=shard,
        epoch=epoch,
        missing=missing,
        told=len(told),
        derived=restored.derived,
        lost=restored.lost,
    )
    await _require_sound(redis, database, shard, restored, check_claim, verify)
    return restored


async def _require_sound(
    redis: Redis,
    database: asyncpg.Connection,
    shard: int,
    restored: Restored,
    check_claim: Callable[[], None],
    verify: Verify,
) -> None:
    """Make sure that Redis is what the records make; of all events if one may be about any."""
    loaded = await scan_events(redis, shard)
    states = defaultdict(EventState, {event_id: EventState() for event_id in loaded})
    async with audit.begin(database):
        await follow_sales(database, shard, states)
    events = sorted(loaded if restored.lost else loaded & restored.events)
    for event_id in events:
        damaged = (await read_quiet(redis, shard, event_id)).lost
        if damaged:
            raise Drift(
                f"the journal was shortened, and {event_id} has lost {' '.join(damaged)}: what was "
                f"told of it is not known; {REFILL_HINT}"
            )
        check_claim()
    async with rebuild.patience(database):
        counts = await rebuild.booking_counts(database, shard)
    rebuilt = Rebuilt(events=events, states=states, counts=counts)
    checkpoints = await audit.checkpoints(database, shard)
    found = await verify(
        shard,
        redis,
        database,
        rebuilt,
        checkpoints,
        check_claim=check_claim,
        progress=lambda _: None,
    )
    if found:
        first = found[0]
        raise Drift(
            f"the journal was shortened, and Redis is not what its records make: {len(found)} "
            f"differences, first {first.code} of {first.event_id}: {first.message}; {REFILL_HINT}"
        )
