"""
The rows beside bookings against the journal (I5, I8): waitlist entries, scans, and people.

As in `reconciler.judge.proof` each event keeps sums: every entry that is over, and every scan, adds
the hash of what its records make of it, and its row the hash of what stands there. Entries that are
not over are kept whole, for the next record may lead them on. Only where sums differ is the journal
read again, to name what differs.

Memory: O(holds and entries that are not over), and O(those of one event) while they are named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import asyncpg

from engine.records import (
    CheckedIn,
    CheckInUndone,
    Confirmed,
    Expired,
    Joined,
    Left,
    Offered,
    Record,
    Released,
    ScanRefused,
    Stalled,
)
from engine.values import LIVE, Hold, WaitEntry
from reconciler.event.journal import JournalReader
from reconciler.event.state import OfHold, lead_entry, lead_hold
from reconciler.event.violation import Violation
from store import audit, drift
from store import waitlist as store_waitlist
from store.waitlist import change_of

#: Violations of one event, or of people of one shard, that are reported.
NAMED_MAX = 1_000

OfEntry = Joined | Stalled | Offered | Left | Released | Expired | Confirmed
OfScan = CheckedIn | CheckInUndone | ScanRefused

_SCANS: Mapping[type, str] = {CheckedIn: "in", CheckInUndone: "undone", ScanRefused: "refused"}


class Queued(NamedTuple):
    """A waitlist entry as its records leave it."""

    entry: WaitEntry
    offered_at_ms: int | None = None


@dataclass(slots=True)
class OtherRows:
    """Follows the records of a shard that make rows of entries and scans, and takes such rows."""

    #: By event: entries that are not over.
    live: defaultdict[str, dict[str, Queued]] = field(default_factory=lambda: defaultdict(dict))
    holds: defaultdict[str, dict[str, Hold]] = field(default_factory=lambda: defaultdict(dict))
    #: By event: sums of hashes.
    over: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    scans: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    entry_rows: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    scan_rows: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of the journal."""
        if isinstance(record, OfEntry):
            live = self.live[record.event_id]
            entry_id = _lead(live, epoch, seq, record)
            queued = live.get(entry_id)
            if queued is not None and queued.entry.status not in LIVE:
                self.over[record.event_id] += _hash(entry_id, *queued.entry, queued.offered_at_ms)
                del live[entry_id]
        if isinstance(record, OfHold):
            holds = self.holds[record.event_id]
            lead_hold(holds, epoch, seq, record)
            if record.hold_id in holds and not holds[record.hold_id].is_live:
                del holds[record.hold_id]
        if isinstance(record, OfScan) and record.scan_id:
            self.scans[record.event_id] += _hash(*scan_of(epoch, seq, record))

    async def take_rows(
        self, connection: asyncpg.Connection, shard: int, event_ids: list[str] | None = None
    ) -> None:
        """Take the rows of a shard, or of some events anew; in a transaction of `audit.begin`."""
        for event_id in event_ids or ():
            self.entry_rows.pop(event_id, None)
            self.scan_rows.pop(event_id, None)
        async for row in store_waitlist.audit_shard(connection, shard, event_ids):
            self.entry_rows[row.event_id] += _hash(*row[1:])
        async for scan in audit.scans(connection, shard, event_ids):
            self.scan_rows[scan.event_id] += _hash(*scan)

    def differing(self, event_ids: Iterable[str] | None = None) -> list[str]:
        """Return the events whose rows are not what their records make."""
        known = {*self.live, *self.over, *self.scans, *self.entry_rows, *self.scan_rows}
        wanted = known if event_ids is None else known & set(event_ids)
        return sorted(key for key in wanted if self.sums(key)[0] != self.sums(key)[1])

    def sums(self, event_id: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the sums of an event's entries and scans, of its records and of its rows."""
        live = self.live.get(event_id, {})
        queued = sum(_hash(key, *one.entry, one.offered_at_ms) for key, one in live.items())
        recorded = (self.over.get(event_id, 0) + queued, self.scans.get(event_id, 0))
        return recorded, (self.entry_rows.get(event_id, 0), self.scan_rows.get(event_id, 0))


def scan_of(epoch: int, seq: int, record: OfScan) -> audit.ScanRow:
    """Return the row that the record of a scan makes."""
    return audit.ScanRow(
        record.event_id,
        epoch,
        seq,
        record.ticket_id,
        record.booking_id,
        record.scan_id,
        _SCANS[type(record)],
        record.gate,
        record.by,
        record.scanned_at_ms,
        record.at_ms,
    )


async def name_rows(connection: asyncpg.Connection, shard: int, event_id: str) -> list[Violation]:
    """Name the entries and scans of one event whose rows are not what their records make."""
    queued: dict[str, Queued] = {}
    made: dict[str, int] = {}
    scans: dict[tuple[int, int], audit.ScanRow] = {}
    reader = JournalReader(shard, {})
    async for batch in audit.journal(connection, shard):
        for epoch, seq, record in reader.read(batch):
            if record.event_id != event_id:
                continue
            if isinstance(record, OfEntry):
                made.setdefault(_lead(queued, epoch, seq, record), seq)
            if isinstance(record, OfScan) and record.scan_id:
                scans[epoch, seq] = scan_of(epoch, seq, record)
    found: list[Violation] = []

    def add(invariant: str, code: str, subject: str, expected: object, got: object) -> None:
        booking_id = subject if subject.startswith("bk_") else None
        found.append(
            Violation(
                invariant=invariant,
                code=code,
                shard=shard,
                event_id=event_id,
                booking_id=booking_id,
                seq=made.get(subject),
                expected=str(expected),
                found=str(got),
                subject=subject,
                message=f"{subject}: {_WHAT[code]}",
            )
        )

    async for row in store_waitlist.audit_shard(connection, shard, [event_id]):
        one = queued.pop(row.id, None)
        got = Queued(WaitEntry(*row[2:-1]), row.offered_at_ms)
        if one is None:
            add("I5", "entry_row_without_record", row.id, "a record", row.status)
        elif one != got:
            add("I8", "entry_row_differs", row.id, *_unlike(one, got))
    for entry_id, one in queued.items():
        add("I8", "entry_row_missing", entry_id, one.entry.status, "nothing")
    async for scan in audit.scans(connection, shard, [event_id]):
        wanted = scans.pop((scan.epoch, scan.seq), None)
        if wanted is None:
            add("I5", "scan_without_record", scan.booking_id, "a record", scan.scan_id)
        elif wanted != scan:
            add("I8", "scan_row_differs", wanted.booking_id, wanted.scan_id, scan.scan_id)
    for wanted in scans.values():
        add("I8", "scan_missing", wanted.booking_id, wanted.scan_id, "nothing")
    return found[:NAMED_MAX]


_WHAT = {
    "entry_row_without_record": "PostgreSQL has a waitlist entry that no record made",
    "entry_row_differs": "the entry's row is not what its journal records say",
    "entry_row_missing": "the journal has the waitlist entry, its row is gone",
    "scan_without_record": "PostgreSQL has a scan that no record of the journal made",
    "scan_row_differs": "the row of a scan is not what its journal record says",
    "scan_missing": "the journal has a scan that has no row in PostgreSQL",
}


async def gone_people(connection: asyncpg.Connection, shard: int) -> list[Violation]:
    """I4: whoever has a booking, a ticket or an entry has an account, by which it is theirs."""
    return [
        Violation(
            invariant="I4",
            code="user_missing",
            shard=shard,
            event_id=gone.event_id,
            booking_id=gone.booking_id,
            expected="an account",
            found="none",
            subject=gone.user_id,
            message=f"the account {gone.user_id} was deleted, and what it bought is still there",
        )
        for gone in await drift.gone_users(connection, shard, rows_max=NAMED_MAX)
    ]


def _lead(live: dict[str, Queued], epoch: int, seq: int, record: OfEntry) -> str:
    """Lead the entry that a record is about; return its id, or nothing if it is about none."""
    change = change_of(record)
    if change is None:
        return ""
    before = live.get(change.entry_id)
    entries = {} if before is None else {change.entry_id: before.entry}
    lead_entry(entries, epoch, seq, record)
    if change.entry_id in entries:
        offered_at_ms = None if before is None or isinstance(record, Joined) else before[1]
        if isinstance(record, Offered):
            offered_at_ms = record.at_ms
        live[change.entry_id] = Queued(entries[change.entry_id], offered_at_ms)
    return change.entry_id


def _unlike(one: Queued, other: Queued) -> tuple[str, str]:
    names = (*WaitEntry._fields, "offered_at_ms")
    pairs = zip(names, (*one.entry, one[1]), (*other.entry, other[1]), strict=True)
    unlike = [(name, should, got) for name, should, got in pairs if should != got]
    return (
        ", ".join(f"{name} {should}" for name, should, _ in unlike),
        ", ".join(f"{name} {got}" for name, _, got in unlike),
    )


def _hash(*words: object) -> int:
    text = "\x1f".join(map(str, words))
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
