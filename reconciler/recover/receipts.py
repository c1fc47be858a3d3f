"""
Receipts as evidence: verified one by one, and turned into the records that they prove.

A receipt says that a booking was acknowledged, and where it stands in the journal. It does not say
what became of it later, nor what the buyer wrote beside the order: the record made of it has no
detail, and recovery takes it only where neither the ledger nor a worker knows better.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.receipts import InvalidReceipt, Receipt, verify
from engine.records import CHECK_CHARS, Booked
from store import redo

#: Told the number of a line, from 1, and why its receipt is not taken.
Report = Callable[[int, str], None]


class Proven(NamedTuple):
    """A record that a receipt proves to have been acknowledged."""

    shard: int
    row: redo.Row


class Line(NamedTuple):
    """A line of a file of receipts."""

    #: From 1.
    number: int
    #: The receipt, or why it is not taken.
    receipt: Receipt | str


def read_lines(path: Path, public_keys: Mapping[bytes, bytes]) -> Iterator[Line]:
    """
    Read and verify receipts from a file, one a line.

    Empty lines and such as begin with `#` are skipped.

    Args:
        public_keys: Keys that may have signed them, by `engine.receipts.key_id`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                yield Line(number, verify(text, public_keys))
            except InvalidReceipt as error:
                yield Line(number, str(error))


def read_receipts(path: Path, public_keys: Mapping[bytes, bytes], report: Report) -> list[Proven]:
    """
    Return the records that the receipts of a file prove; see `read_lines`.

    Only verified ones are returned; each other line is reported and passed over.
    """
    found: dict[Proven, None] = {}
    for number, receipt in read_lines(path, public_keys):
        if isinstance(receipt, str):
            report(number, receipt)
        else:
            found[Proven(receipt.shard, record_of(receipt))] = None
    return list(found)


def provider(
    path: Path, public_keys: Mapping[bytes, bytes], report: Report
) -> Callable[[int], Awaitable[Sequence[redo.Row]]]:
    """Read a file as `read_receipts` does, and return what gives a recovery its shard's records."""
    found = read_receipts(path, public_keys, report)

    async def of_shard(shard: int) -> Sequence[redo.Row]:
        return [proven.row for proven in found if proven.shard == shard]

    return of_shard


def not_told(told: Sequence[redo.Row], more: Sequence[redo.Row]) -> list[redo.Row]:
    """Return those of *more* that say something new: workers remember the same booking better."""
    known = {_booking_at(row) for row in told}
    return [row for row in more if _booking_at(row) not in known]


def _booking_at(row: redo.Row) -> tuple[int, int, str]:
    return row.epoch, row.seq, getattr(row.decoded, "booking_id", "")


def record_of(receipt: Receipt) -> redo.Row:
    """Return the record of the booking that a receipt proves, as a journal has records."""
    record = Booked(
        version=1,
        at_ms=receipt.at_ms,
        event_id=receipt.event_id,
        booking_id=receipt.booking_id,
        user_id=receipt.user_id,
        fingerprint=receipt.fingerprint,
        items=list(receipt.items),
    )
    body = msgspec.json.encode(record)
    check = sha1(body, usedforsecurity=False).hexdigest()[:CHECK_CHARS]
    return redo.Row(receipt.epoch, receipt.seq, check + body.decode())
