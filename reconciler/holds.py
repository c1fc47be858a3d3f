"""
Holds, folded from the journal: what recovery can restore of what lives in Redis alone.

A hold's whole life is in its records. Those of the recent past tell every hold that may still be
live, and how others ended, so that repeated requests are answered as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from engine.records import (
    Confirmed,
    Expired,
    Extended,
    Held,
    Item,
    Offered,
    Record,
    Released,
    decode,
)
from reconciler.proof import items_text
from store.audit import BatchRow

KINDS = ("held", "offered", "extended", "released", "expired", "confirmed")
SALE_KINDS = ("published", "capacity_set", "closed", "reopened", "event_cancelled")

_ENDS: dict[type[Record], str] = {Released: "released", Expired: "expired", Confirmed: "confirmed"}
#: Characters of a record before its JSON.
_CHECK_CHARS = 8


@dataclass(slots=True)
class HoldState:
    """A hold as its records leave it."""

    event_id: str
    status: str
    version: int
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    items: list[Item]
    expires_at_ms: int
    changed_epoch: int
    changed_seq: int
    changed_at_ms: int
    detail: str

    @property
    def is_live(self) -> bool:
        """Tell whether it holds places."""
        return self.status == "held"

    @property
    def places(self) -> int:
        """Number of its places, of all tiers."""
        return sum(item.quantity for item in self.items)

    @property
    def row(self) -> str:
        """The row that Redis keeps (`lua/lib/holds.lua`)."""
        return " ".join(
            map(
                str,
                (
                    self.status,
                    self.version,
                    self.epoch,
                    self.seq,
                    self.at_ms,
                    self.user_id,
                    self.fingerprint,
                    items_text(self.items),
                    self.expires_at_ms,
                    self.changed_epoch,
                    self.changed_seq,
                    self.detail,
                ),
            )
        )


def records_of(batch: BatchRow, kinds: tuple[str, ...]) -> Iterator[tuple[int, Record]]:
    """
    Yield (seq, record) of those records of a batch that are of some kinds; others are not decoded.

    Raises:
        CorruptRecord: one of them is damaged.
    """
    heads = tuple(f'{{"kind":"{kind}"' for kind in kinds)
    for seq, line in enumerate(batch.records.split("\n"), start=batch.first_seq):
        if line.startswith(heads, _CHECK_CHARS):
            yield seq, decode(line.encode())


def fold(holds: dict[str, HoldState], epoch: int, seq: int, record: Record) -> None:
    """Lead the holds one record on; what is about a hold older than all is not known."""
    if isinstance(record, Held | Offered):
        detail = msgspec.json.encode(record.detail).decode() if isinstance(record, Held) else "{}"
        holds[record.hold_id] = HoldState(
            record.event_id,
            "held",
            1,
            epoch,
            seq,
            record.at_ms,
            record.user_id,
            record.fingerprint,
            record.items,
            record.expires_at_ms,
            epoch,
            seq,
            record.at_ms,
            detail,
        )
        return
    if not isinstance(record, Extended | Released | Expired | Confirmed):
        return
    hold = holds.get(record.hold_id)
    if hold is None:
        return
    hold.version += 1
    hold.changed_epoch, hold.changed_seq, hold.changed_at_ms = epoch, seq, record.at_ms
    if isinstance(record, Extended):
        hold.expires_at_ms = record.expires_at_ms
    else:
        hold.status = _ENDS[type(record)]
