"""
PostgreSQL against itself: the journal's text, folded, is the rows (I5, I7, I8), per shard.

All is read in one snapshot, so nothing found here can be torn. A shard may have more bookings
than memory holds, hence each event keeps only sums: every booking adds the hash of its content,
once from its records and once from its rows, and equal sums mean equal sets whatever the order.
Only where sums differ is the journal read again, for that event alone, to name the bookings.

Memory: O(events of the shard), and O(bookings of one event) while its differences are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import asyncpg
import msgspec

from engine.cuts import split_cuts
from engine.records import (
    Blocked,
    Booked,
    Cancelled,
    Confirmed,
    ItemCancelled,
    Lost,
    Published,
    Record,
    SaleChange,
    Unblocked,
)
from engine.values import CANCELLED, items_text
from reconciler.event.journal import BROKEN_MAX, JournalReader, Known
from reconciler.event.violation import Violation
from reconciler.judge.fairness import Fairness
from reconciler.judge.other_rows import OtherRows, gone_people, name_rows
from reconciler.judge.parked import parked_violations
from reconciler.judge.transitions import Transitions
from store import audit, reigns

#: Events whose differing bookings are named; of the rest the event alone is reported.
NAMED_EVENTS_MAX = 20
#: Violations of one event that are reported.
NAMED_BOOKINGS_MAX = 1_000
#: Records between two words on progress.
PROGRESS_RECORDS = 100_000

_INVARIANTS = {"row_missing": "I4", "row_without_record": "I5"}

#: Records that make or change a booking.
OfBooking = Booked | Confirmed | Cancelled | ItemCancelled

Progress = Callable[[str], None]


@dataclass(slots=True)
class EventSums:
    """What one event adds up to, from records and from rows."""

    bookings: int = 0
    records_sum: int = 0
    rows_sum: int = 0
    #: Of the places of cancellations; rows of old code do not know theirs.
    ends_sum: int = 0
    rows_ends_sum: int = 0
    knows_ends: bool = True

    def forget_rows(self) -> None:
        """Begin anew with the rows."""
        self.bookings = self.rows_sum = self.rows_ends_sum = 0
        self.knows_ends = True

    @property
    def differ(self) -> bool:
        """Tell whether the rows are not what the records make."""
        return self.records_sum != self.rows_sum or (
            self.knows_ends and self.ends_sum != self.rows_ends_sum
        )


@dataclass(slots=True)
class Ledger(Known):
    """What the proof found out about a shard; of its events' states the sale and the blocks."""

    fairness: Fairness = field(init=False)
    transitions: Transitions = field(init=False)
    records: int = 0
    #: Records that recovery could not find.
    lost: int = 0
    others: OtherRows = field(default_factory=OtherRows)
    events: dict[str, EventSums] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    shard: int = 0

    def __post_init__(self) -> None:
        self.fairness, self.transitions = Fairness(self.shard), Transitions(self.shard)

    @property
    def counts(self) -> dict[str, int]:
        """How many bookings each event has by its rows."""
        return {event_id: sums.bookings for event_id, sums in self.events.items()}

    @property
    def blocked(self) -> set[tuple[str, str, int]]:
        """Blocked seats by the records, each with its event and its tier."""
        return {
            (key, seat, tier_no)
            for key, state in self.states.items()
            for seat, tier_no in state.blocked.items()
        }

    def sums(self, event_id: str) -> EventSums:
        return self.events.setdefault(event_id, EventSums())

    def add(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of the journal."""
        self.records += 1
        self.fairness.follow(seq, record)
        self.transitions.follow(epoch, seq, record)
        self.others.follow(epoch, seq, record)
        if isinstance(record, Published | SaleChange | Blocked | Unblocked):
            self.states[record.event_id].follow(epoch, seq, record)
        elif isinstance(record, OfBooking):
            sums = self.sums(record.event_id)
            sums.records_sum += _hash(_record_part(epoch, seq, record))
            if isinstance(record, Cancelled):
                sums.ends_sum += _hash(_text(record.booking_id, epoch, seq))
        elif isinstance(record, Lost):
            self.lost += 1

    def add_row(self, row: audit.BookingRow, shard: int) -> None:
        """Take a booking's row; one that no record can have made is drift by itself (I14)."""
        sums = self.sums(row.event_id)
        sums.bookings += 1
        sums.rows_sum += sum(map(_hash, _row_parts(row)))
        if row.status == CANCELLED:
            sums.knows_ends &= row.cancelled_seq is not None
            sums.rows_ends_sum += _hash(_text(row.id, row.cancelled_epoch, row.cancelled_seq))
        checkpoint = self.checkpoints.get(row.epoch, 0)
        if row.seq > checkpoint and len(self.violations) < BROKEN_MAX:
            self.violations.append(
                Violation(
                    invariant="I14",
                    code="row_beyond_checkpoint",
                    shard=shard,
                    seq=row.seq,
                    event_id=row.event_id,
                    booking_id=row.id,
                    expected=checkpoint,
                    found=row.seq,
                    tier_no=int(row.items.partition(":")[0]) if row.items else None,
                    message=f"the row is of a record that epoch {row.epoch} has not reached",
                )
            )

    def trust_holds(self, *, is_whole: bool) -> None:
        """Let holds be judged by the journal, if no record of it is missing."""
        self.holds = self.others.holds if is_whole and not self.lost else None

    def judge_history(self) -> list[Violation]:
        """I1, I9, I10, I11: what the records did in their order; unjudged if any is missing."""
        if self.broken:
            return []
        return self.fairness.unfair + self.transitions.illegal


async def prove(connection: asyncpg.Connection, shard: int, progress: Progress) -> Ledger:
    """Read a shard's journal and rows in one snapshot and compare them."""
    async with audit.begin(connection):
        ledger = Ledger(await audit.checkpoints(connection, shard), shard=shard)
        reader = JournalReader(shard, ledger.checkpoints)
        async for batch in audit.journal(connection, shard):
            for epoch, seq, record in reader.read(batch):
                ledger.add(epoch, seq, record)
                if ledger.records % PROGRESS_RECORDS == 0:
                    progress(f"shard {shard}: {ledger.records} records of the journal read")
        reader.finish()
        ledger.broken, ledger.violations = reader.broken, reader.violations
        ledger.trust_holds(is_whole=not (reader.broken or reader.parked))
        ledger.violations += await parked_violations(connection, shard, reader.parked)
        if not reader.parked:
            ledger.violations += ledger.judge_history()
        ledger.violations += check_epochs(
            shard, ledger.checkpoints, await reigns.read(connection, shard)
        )
        count = 0
        async for row in audit.shard_bookings(connection, shard):
            count += 1
            if count % PROGRESS_RECORDS == 0:
                progress(f"shard {shard}: {count} bookings read")
            ledger.add_row(row, shard)
        await ledger.others.take_rows(connection, shard)
        await _name_differences(connection, shard, ledger)
        ledger.violations += await gone_people(connection, shard)
        rows = await audit.shard_blocked_seats(connection, shard)
        ledger.violations += compare_blocked(shard, ledger.blocked, rows)
    return ledger


def compare_blocked(
    shard: int, recorded: set[tuple[str, str, int]], rows: set[tuple[str, str, int]]
) -> list[Violation]:
    """I8: PostgreSQL's blocked seats are those that the journal's records blocked."""
    return [
        Violation(
            invariant="I8",
            code="blocked_row_differs",
            shard=shard,
            event_id=event_id,
            subject=seat_id,
            expected=_of_tier(recorded, event_id, seat_id),
            found=_of_tier(rows, event_id, seat_id),
            message=f"whether seat {seat_id} is blocked is not what the journal says",
        )
        for event_id, seat_id in sorted({key[:2] for key in recorded ^ rows})[:NAMED_BOOKINGS_MAX]
    ]


def _of_tier(blocked: set[tuple[str, str, int]], event_id: str, seat_id: str) -> str:
    tiers = [key[2] for key in blocked if key[:2] == (event_id, seat_id)]
    return f"blocked, of tier {tiers[0]}" if tiers else "not"


def check_epochs(
    shard: int, checkpoints: Mapping[int, int], reign: reigns.ReignRow | None
) -> list[Violation]:
    """I13, I14: nothing was persisted under an epoch that nobody has opened yet."""
    newest = max((epoch for epoch, seq in checkpoints.items() if seq), default=0)
    if newest <= (reign.epoch if reign else 0):
        return []
    return [
        Violation(
            invariant="I13",
            code="epoch_behind",
            shard=shard,
            expected=newest,
            found=reign.epoch if reign else 0,
            message=f"PostgreSQL has records of epoch {newest}, its own shard_epoch is behind",
        )
    ]


def _record_part(
    epoch: int, seq: int, record: Booked | Confirmed | Cancelled | ItemCancelled
) -> str:
    if isinstance(record, ItemCancelled):
        items, tickets = items_text(record.items), tuple(record.tickets)
        return _text("item_cancelled", record.booking_id, items, tickets, record.at_ms, epoch, seq)
    if isinstance(record, Cancelled):
        return _text(
            "cancelled", record.booking_id, record.user_id, items_text(record.items), record.at_ms
        )
    detail = record.detail
    return _text(
        "booked",
        record.booking_id,
        record.user_id,
        items_text(record.items),
        record.at_ms,
        epoch,
        seq,
        record.fingerprint,
        detail.special_requests,
        _canonical(detail.metadata),
    )


def _row_parts(row: audit.BookingRow) -> list[str]:
    """Return what the records of a row must have been."""
    metadata = msgspec.json.decode(row.metadata) if row.metadata else {}
    items = row.items or ""
    first, cuts = split_cuts(row.cuts) if row.cuts else (items, [])
    parts = [
        _text("item_cancelled", row.id, cut.items, cut.named, cut.at_ms, cut.epoch, cut.seq)
        for cut in cuts
    ] + [
        _text(
            "booked",
            row.id,
            row.user_id,
            first,
            row.at_ms,
            row.epoch,
            row.seq,
            row.fingerprint,
            row.special_requests or "",
            _canonical(metadata),
        )
    ]
    if row.status == CANCELLED:
        parts.append(_text("cancelled", row.id, row.user_id, items, row.cancelled_at_ms))
    changes = len(cuts) + (row.status == CANCELLED)
    if row.version != 1 + changes:
        parts.append(_text("version", row.id, row.version))  # No record says so.
    return parts


def _text(*words: object) -> str:
    return "\x1f".join(map(str, words))


def _canonical(metadata: dict[str, Any]) -> str:
    """Write metadata so that a round through jsonb, which has one kind of number, shows not."""

    def plain(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return repr(float(value))
            except OverflowError:
                return str(value)
        return [value]

    return str(sorted((key, plain(value)) for key, value in metadata.items()))


def _hash(text: str) -> int:
    # Sums of these 128 bits may be as large as they like: Python's integers do not wrap.
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


async def _name_differences(connection: asyncpg.Connection, shard: int, ledger: Ledger) -> None:
    for event_id in ledger.others.differing()[:NAMED_EVENTS_MAX]:
        ledger.violations += await name_rows(connection, shard, event_id)
    differing = sorted(event_id for event_id, sums in ledger.events.items() if sums.differ)
    for event_id in differing[:NAMED_EVENTS_MAX]:
        found = await compare_event(connection, shard, event_id)
        ledger.violations += found[:NAMED_BOOKINGS_MAX]
    for event_id in differing[NAMED_EVENTS_MAX:]:
        ledger.violations.append(
            Violation(
                invariant="I8",
                code="rows_differ",
                shard=shard,
                event_id=event_id,
                message="the event's bookings are not what its journal records say; check it alone "
                "to see which",
            )
        )


async def _recorded(
    connection: asyncpg.Connection, shard: int, event_id: str
) -> tuple[dict[str, set[str]], dict[str, tuple[int, int | None]], dict[str, tuple[int, int]]]:
    """Return of each booking of an event what its records say, its place and tier, and its end."""
    recorded: dict[str, set[str]] = {}
    places: dict[str, tuple[int, int | None]] = {}
    ends: dict[str, tuple[int, int]] = {}
    reader = JournalReader(shard, {})
    async for batch in audit.journal(connection, shard):
        for epoch, seq, record in reader.read(batch):
            if record.event_id == event_id and isinstance(record, OfBooking):
                part = _record_part(epoch, seq, record)
                recorded.setdefault(record.booking_id, set()).add(part)
                if isinstance(record, Cancelled):
                    ends[record.booking_id] = (epoch, seq)
                tier_no = record.items[0].tier_no if record.items else None
                places.setdefault(record.booking_id, (seq, tier_no))
    return recorded, places, ends


async def compare_event(
    connection: asyncpg.Connection, shard: int, event_id: str
) -> list[Violation]:
    """Name the bookings of one event whose rows are not what their records say."""
    recorded, places, ends = await _recorded(connection, shard, event_id)
    tiers = await audit.tiers(connection, [event_id])
    tier_ids = {tier.tier_no: tier.id for tier in tiers[event_id]}
    found: list[Violation] = []

    def add(code: str, booking_id: str, expected: object, got: object, message: str) -> None:
        seq, tier_no = places[booking_id]
        found.append(
            Violation(
                invariant=_INVARIANTS.get(code, "I8"),
                code=code,
                shard=shard,
                event_id=event_id,
                tier_no=tier_no,
                tier_id=tier_ids.get(tier_no or 0),
                booking_id=booking_id,
                seq=seq,
                expected=_shown(expected),
                found=_shown(got),
                message=message,
            )
        )

    async for row in audit.bookings(connection, [event_id]):
        if row.shard != shard:
            continue
        parts = set(_row_parts(row))
        records = recorded.pop(row.id, None)
        tier_no = int(row.items.partition(":")[0]) if row.items else None
        places.setdefault(row.id, (row.seq, tier_no))
        if records is None:
            add(
                "row_without_record",
                row.id,
                "a record",
                row.status,
                "PostgreSQL has a booking that no record of the journal made",
            )
        elif records != parts:
            add(
                "row_differs",
                row.id,
                records - parts,
                parts - records,
                "the booking's rows are not what its journal records say",
            )
        elif row.cancelled_seq is not None and row.id in ends:
            its_end = (row.cancelled_epoch, row.cancelled_seq)
            if its_end != ends[row.id]:
                add(
                    "row_differs",
                    row.id,
                    "cancelled by {}:{}".format(*ends[row.id]),
                    "cancelled by {}:{}".format(*its_end),
                    "the booking's row names another record as its end",
                )
    for booking_id in recorded:
        add(
            "row_missing",
            booking_id,
            "a row",
            "nothing",
            "the journal has the booking, its row is gone",
        )
    return found


def _shown(value: object) -> str:
    if isinstance(value, set):
        return "; ".join(sorted(value)).replace("\x1f", " ") or "nothing"
    return str(value)
