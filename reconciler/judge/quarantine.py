"""
Parked records as the check reports them, and what `quarantine list|replay|discard|thaw` does.

The store's part is `store.quarantine`; the words of the command line are in
`reconciler.commands.quarantine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from engine.errors import CorruptRecord
from engine.records import decode, seal
from reconciler.event.violation import Violation
from store import quarantine, reigns
from store.quarantine import QUARANTINED, CannotResolve

DONE, REFUSED, AWAY = 0, 1, 2

Document = dict[str, Any]


async def parked_violations(
    connection: asyncpg.Connection, shard: int, marks: Mapping[tuple[int, int], str]
) -> list[Violation]:
    """
    Report records that the ledger could not take and that nobody has resolved (F28, F29).

    Args:
        marks: Places (epoch, seq) in the journal's archive where a record was parked.
    """
    found = []
    known: set[tuple[int, int]] = set()
    for row in await quarantine.rows_of(connection, shard, resolved=True):
        known.add((row.epoch, row.seq))
        if row.state == "held":
            event_id, booking_id = _owner(row.record)
            found.append(
                Violation(
                    invariant="I4",
                    code="record_quarantined",
                    shard=shard,
                    seq=row.seq,
                    event_id=event_id,
                    booking_id=booking_id,
                    expected="rows",
                    found="quarantine",
                    subject=f"{row.epoch}:{row.seq}",
                    message=f"record {row.seq} of epoch {row.epoch} is in quarantine: {row.reason}",
                )
            )
    for conflict in await quarantine.conflicts(connection, shard):
        event_id, booking_id = _owner(conflict.record.encode())
        found.append(
            Violation(
                invariant="I3",
                code="record_in_conflict",
                shard=shard,
                seq=conflict.seq,
                event_id=event_id,
                booking_id=booking_id,
                expected="rows",
                found="conflicts",
                subject=f"{conflict.epoch}:{conflict.seq}",
                message=f"record {conflict.seq} of epoch {conflict.epoch} claims what another has: "
                f"{conflict.reason}",
            )
        )
    for (epoch, seq), mark in marks.items():
        if mark == QUARANTINED and (epoch, seq) not in known:
            found.append(
                Violation(
                    invariant="I7",
                    code="quarantine_lost",
                    shard=shard,
                    seq=seq,
                    expected="a row",
                    found="nothing",
                    subject=f"{epoch}:{seq}",
                    message=f"record {seq} of epoch {epoch} was put in quarantine and is not there",
                )
            )
    return found


async def listing(
    database: asyncpg.Connection, shard: int | None, *, resolved: bool
) -> tuple[int, Document]:
    """Return what waits for a human; code 1 if anything does."""
    rows = await quarantine.rows_of(database, shard, resolved=resolved)
    conflicts = await quarantine.conflicts(database, shard)
    waiting = sum(row.state == "held" for row in rows) + len(conflicts)
    return REFUSED if waiting else DONE, {
        "quarantine": [
            row._asdict() | {"record": row.record.decode(errors="backslashreplace")} for row in rows
        ],
        "conflicts": [conflict._asdict() for conflict in conflicts],
    }


async def replay(
    database: asyncpg.Connection,
    place: tuple[int, int, int],
    body: bytes,
    *,
    by: str,
    why: str,
    applies: bool,
) -> tuple[int, Document]:
    """Write the mended record *body*, JSON without a check, in the place of a parked one."""
    try:
        again = await quarantine.replay(
            database, place=place, raw=seal(body.strip()), by=by, why=why, applies=applies
        )
    except (CannotResolve, CorruptRecord) as error:
        return REFUSED, _refused(place, str(error))
    return DONE, _done("replayed", place, applies) | {
        "written_again": [{"epoch": epoch, "seq": seq} for epoch, seq in again]
    }


async def discard(
    database: asyncpg.Connection, place: tuple[int, int, int], *, by: str, why: str, applies: bool
) -> tuple[int, Document]:
    """Give a parked record up."""
    try:
        await quarantine.discard(database, place=place, by=by, why=why, applies=applies)
    except CannotResolve as error:
        return REFUSED, _refused(place, str(error))
    return DONE, _done("discarded", place, applies)


async def thaw(database: asyncpg.Connection, shard: int, *, applies: bool) -> tuple[int, Document]:
    """Let the coordinator take up a frozen shard of which no record waits any more."""
    document: Document = {"shard": shard, "applied": False}
    held = await quarantine.held(database, shard)
    row = await reigns.read(database, shard)
    if held:
        return REFUSED, document | {"refused": f"{held} records are in quarantine still"}
    if row is None or row.state != "frozen":
        return REFUSED, document | {"refused": "the shard is not frozen"}
    if applies and not await reigns.thaw(database, shard):
        return REFUSED, document | {"refused": "the shard is not frozen any more"}
    return DONE, document | {"applied": applies, "was_frozen_for": row.reason}


def _owner(raw: bytes) -> tuple[str | None, str | None]:
    """Return event and booking of a record, as far as it can be read and has them."""
    try:
        record = decode(raw)
    except CorruptRecord:
        return None, None
    return record.event_id, getattr(record, "booking_id", None)


def _place(place: tuple[int, int, int]) -> Document:
    return dict(zip(("shard", "epoch", "seq"), place, strict=True))


def _refused(place: tuple[int, int, int], why: str) -> Document:
    return _place(place) | {"applied": False, "refused": why}


def _done(what: str, place: tuple[int, int, int], applies: bool) -> Document:
    return _place(place) | {"state": what, "applied": applies}
