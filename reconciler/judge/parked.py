"""Parked records as the check reports them; what is done about them is `quarantine`'s."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from engine.errors import CorruptRecord
from engine.records import decode
from reconciler.event.violation import Violation
from store import quarantine
from store.quarantine import QUARANTINED


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
    replayed: set[tuple[int, int]] = set()
    for row in await quarantine.rows_of(connection, shard, resolved=True):
        known.add((row.epoch, row.seq))
        if row.state == "replayed":
            replayed.add((row.epoch, row.seq))
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
    found += [
        _not_replayed(shard, place, marks[place]) for place in sorted(replayed & marks.keys())
    ]
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


def _not_replayed(shard: int, place: tuple[int, int], mark: str) -> Violation:
    epoch, seq = place
    return Violation(
        invariant="I7",
        code="quarantine_not_replayed",
        shard=shard,
        seq=seq,
        expected="a record",
        found=mark,
        subject=f"{epoch}:{seq}",
        message=f"record {seq} of epoch {epoch} is said to be replayed, and is not there",
    )


def _owner(raw: bytes) -> tuple[str | None, str | None]:
    """Return event and booking of a record, as far as it can be read and has them."""
    try:
        record = decode(raw)
    except CorruptRecord:
        return None, None
    return record.event_id, getattr(record, "booking_id", None)
