"""
Journal records: one per state change, written by a script, read by everyone who follows.

What one script call changes is one entry of the stream, at the id `<seq of the last record>-1`; a
call is in the journal whole or not at all. How records are put into an entry, and the check that
an entry has (F9), is `engine.framing`'s. A record by itself, as PostgreSQL archives it, is JSON
with a `kind` and a `version`, preceded by eight hex digits of its SHA-1.

Records are written by Lua, and by recovery where a record is lost. This module decodes them
strictly, so that an unknown kind, a missing field or a version that is not known is a
`CorruptRecord` and never a guess. A field that is not known is left out: nothing may rest on it,
for what must be understood comes with a version of its own (docs/DATA.md). A record holds no
reference to what could hold it, so Python's collector of cycles need not look at it (`gc=False`).
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable
from hashlib import sha1
from typing import Any, Literal

import msgspec

from engine import framing
from engine.errors import CorruptRecord

#: Hex digits of SHA-1 that precede the JSON of a record by itself.
CHECK_CHARS = 8
#: Versions that are read. The last is written only in reigns that say so (`store.reigns`).
VERSIONS = (1, 2)
#: The one field of a stream entry.
FIELD = b"records"


class Item(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line of a booking: `[tier_no, quantity, unit_price_minor]`, and its seats if it has."""

    tier_no: int
    quantity: int
    unit_price_minor: int
    seat_ids: tuple[str, ...] = ()


class Tier(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """
    One tier as loaded: `[tier_no, capacity, price_minor, order_max]`, and its rules if it has.

    Rules are `order_min, person_max, opens_at_ms, closes_at_ms, is_hidden`; 0 for those it does
    not have.
    """

    tier_no: int
    capacity: int
    price_minor: int
    order_max: int
    order_min: int = 0
    person_max: int = 0
    opens_at_ms: int = 0
    closes_at_ms: int = 0
    is_hidden: int = 0


class Promo(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One promo code as loaded: `[code, uses_max, percent, amount_minor, tier_nos]`."""

    code: str
    uses_max: int
    percent: int
    amount_minor: int
    tier_nos: list[int]


class Seats(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Seats of one tier: `[tier_no, seat_ids]`."""

    tier_no: int
    seat_ids: tuple[str, ...]


class Section(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One section as loaded: `[section_no, tier_no, seats]`."""

    section_no: int
    tier_no: int
    seats: int


class Rules(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """
    Rules of an event, since version 2; an event has those that differ from the defaults here.

    In Redis each is a field of `stock` by its name. Values are digits or lower-case letters.
    """

    #: Whether tickets may be given away, and whose they are then: their holder's, or still their
    #: buyer's, who may cancel them.
    transfers: Literal["holder", "buyer", "none"] = "holder"
    #: Nothing is sold from then on, Unix ms; 0 for no such rule.
    ends_at_ms: int = 0
    #: But these tiers are, by number: `t2t5t`; empty for none.
    after_end: str = ""
    #: How long an offer to one who waits lasts, in ms; 0: the longer the further the sale's end is
    #: (`lua/lib/waitlist.lua`).
    offer_ttl_ms: int = 0
    #: Places that tiers share (`engine.pools`); empty for none.
    pools: str = ""

    def given(self) -> dict[str, int | str]:
        """Return the rules that the event has."""
        rules: dict[str, int | str] = msgspec.to_builtins(self)
        return rules


class _Record(msgspec.Struct, frozen=True, gc=False, tag_field="kind"):
    version: Literal[1, 2]  # `VERSIONS`.
    at_ms: int
    event_id: str


class Published(_Record, frozen=True, gc=False, tag="published"):
    """An event's stock was loaded and may be sold."""

    fingerprint: str
    opens_at_ms: int
    closes_at_ms: int
    person_max: int
    tiers: list[Tier]
    sections: list[Section] = []
    promos: list[Promo] = []
    rules: Rules = Rules()


class Detail(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the buyer wrote beside the order; no rule depends on it."""

    special_requests: str = ""
    metadata: dict[str, str | int | float | bool | None] = {}


class Booked(_Record, frozen=True, gc=False, tag="booked"):
    """Places became a confirmed booking."""

    booking_id: str
    user_id: str
    fingerprint: str
    items: list[Item]
    detail: Detail = Detail()


class Held(_Record, frozen=True, gc=False, tag="held"):
    """Places were set aside until `expires_at_ms`."""

    hold_id: str
    user_id: str
    fingerprint: str
    items: list[Item]
    expires_at_ms: int
    detail: Detail = Detail()


class Extended(_Record, frozen=True, gc=False, tag="extended"):
    """A live hold's deadline was moved to `expires_at_ms`."""

    hold_id: str
    user_id: str
    expires_at_ms: int


class Released(_Record, frozen=True, gc=False, tag="released"):
    """A live hold was given back by its owner, or ended with its event."""

    hold_id: str
    user_id: str
    items: list[Item]
    #: Empty for the owner's own wish; since version 2, `event_cancelled`.
    reason: Literal["", "event_cancelled"] = ""


class Expired(_Record, frozen=True, gc=False, tag="expired"):
    """A live hold ended by its deadline."""

    hold_id: str
    user_id: str
    items: list[Item]


class Confirmed(_Record, frozen=True, gc=False, tag="confirmed"):
    """A hold became a confirmed booking; `was_expired`: its places had to be taken anew."""

    hold_id: str
    booking_id: str
    user_id: str
    fingerprint: str
    items: list[Item]
    was_expired: bool
    detail: Detail = Detail()


class Holder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who had a ticket that was given away: `[number, user_id]`."""

    number: int
    user_id: str


class Cancelled(_Record, frozen=True, gc=False, tag="cancelled"):
    """A confirmed booking ended; its places are available again."""

    booking_id: str
    user_id: str
    items: list[Item]
    #: Empty for the owner's own wish; `event_cancelled` if the event was called off.
    reason: Literal["", "event_cancelled"] = ""
    #: Others than its owner, who had tickets that ended with it. Since version 2.
    holders: list[Holder] = []


class Blocked(_Record, frozen=True, gc=False, tag="blocked"):
    """Free seats were taken out of sale by the organizer."""

    seats: list[Seats]


class Unblocked(_Record, frozen=True, gc=False, tag="unblocked"):
    """Blocked seats were put back on sale."""

    seats: list[Seats]


class Joined(_Record, frozen=True, gc=False, tag="joined"):
    """A person began to wait; `join_no` (twelve digits) orders the list of the tier."""

    entry_id: str
    user_id: str
    fingerprint: str
    tier_no: int
    quantity: int
    join_no: str
    policy: Literal["strict", "skip"]
    patience_ms: int
    offer_ttl_ms: int
    #: The expired hold that gave a first place, or the lost booking (`booking_id/n`, n from 1 for
    #: each of its lines); empty for none.
    after_hold: str


class Stalled(_Record, frozen=True, gc=False, tag="stalled"):
    """A strict list stopped at this entry: fewer places were free than its party needs."""

    entry_id: str
    user_id: str
    tier_no: int
    quantity: int
    available: int


class Offered(_Record, frozen=True, gc=False, tag="offered"):
    """
    Free places were set aside for an entry, as hold `hold_id`.

    `cause_seq` is the last record before it of the same script call; 0 if places were free since
    an earlier call. `passed` are the waiting entries before it that it passed, and `reason` says
    why: `turn` (it passed none), `skip` or `patience`. `limited`, since version 2, are those before
    it that may have no more places unless they let go of a hold or an offer that they have.
    """

    entry_id: str
    hold_id: str
    user_id: str
    fingerprint: str
    items: list[Item]
    expires_at_ms: int
    join_no: str
    cause_seq: int
    reason: Literal["turn", "skip", "patience"]
    passed: list[str]
    limited: list[str] = []


class Left(_Record, frozen=True, gc=False, tag="left"):
    """
    A waiting entry ended: by its owner, or since they may have no more places (`limit`).

    Since version 2 also because its tier can never have so many places free (`too_large`), or with
    its event; and version 2 says of the entry itself why it ended.
    """

    entry_id: str
    user_id: str
    tier_no: int
    quantity: int
    why: Literal["owner", "limit", "too_large", "event_cancelled"]


Waiting = Joined | Stalled | Offered | Left


class ItemCancelled(_Record, frozen=True, gc=False, tag="item_cancelled"):
    """Some places of a confirmed booking are available again; others it keeps."""

    booking_id: str
    user_id: str
    #: Of the booking, after this.
    booking_version: int
    #: What was given back.
    items: list[Item]
    #: What it keeps.
    left: list[Item]
    #: What it was made with and each cut so far, as Redis keeps them: `engine.cuts`.
    cuts: str
    #: Numbers of the tickets that went, since version 2; before, the last ones of each tier.
    tickets: list[int] = []
    #: As of `Cancelled`.
    holders: list[Holder] = []


class _TicketRecord(_Record, frozen=True, gc=False, omit_defaults=True):
    ticket_id: str
    booking_id: str
    number: int
    ticket_version: int
    holder_id: str
    #: `-` if there is none.
    gate: str
    by: str
    #: Of the scan that did it, and when that was made; empty and 0 if it is not told. Since
    #: version 2, as is what the ticket remembers of its scans (`engine.values.parse_scans`).
    scan_id: str = ""
    scanned_at_ms: int = 0
    scans: str = ""


class CheckedIn(_TicketRecord, frozen=True, gc=False, tag="checked_in"):
    """A ticket's bearer was let in."""


class ScanRefused(_TicketRecord, frozen=True, gc=False, tag="scan_refused"):
    """
    A scan came after the ticket was used, which it leaves as it is; since version 2.

    `gate` and `by` are those of the scan; what it came after stands in `scans`.
    """


class CheckInUndone(_TicketRecord, frozen=True, gc=False, tag="check_in_undone"):
    """A check-in was taken back: the ticket passes again."""


class Transferred(_TicketRecord, frozen=True, gc=False, tag="transferred"):
    """A ticket was given to `holder_id`; codes of earlier versions no longer pass."""


class TierCapacity(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A tier's new capacity: `[tier_no, capacity]`."""

    tier_no: int
    capacity: int


class CapacitySet(_Record, frozen=True, gc=False, tag="capacity_set"):
    """Capacities of tiers and pools were changed while they are sold."""

    tiers: list[TierCapacity]
    #: All pools, as they are from then on, since version 2; empty if none was changed.
    pools: str = ""


class Closed(_Record, frozen=True, gc=False, tag="closed"):
    """The sale was ended by its organizer."""

    closes_at_ms: int


class Reopened(_Record, frozen=True, gc=False, tag="reopened"):
    """The sale's end was moved to a later time, whether or not it was over."""

    closes_at_ms: int


class TierName(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What people call a new tier: `[tier_no, id, name]`."""

    tier_no: int
    tier_id: str
    name: str


class Amended(_Record, frozen=True, gc=False, tag="amended"):
    """
    An event on sale was changed by its organizer; since version 2.

    Figures are as they are from then on; 0, or what is empty, stays, and of `offer_ttl_ms` -1.
    """

    opens_at_ms: int = 0
    closes_at_ms: int = 0
    ends_at_ms: int = 0
    person_max: int = 0
    offer_ttl_ms: int = -1
    after_end: str = ""
    #: Tiers that changed or are new, whole.
    tiers: list[Tier] = []
    #: Promo codes that are new or may be used another number of times; 0: no more.
    promos: list[Promo] = []
    #: Of the new tiers.
    names: list[TierName] = []
    #: All pools, as they are from then on; empty if none was changed.
    pools: str = ""


class EventCancelled(_Record, frozen=True, gc=False, tag="event_cancelled"):
    """The event was called off; its holds and bookings end by records of their own."""

    closes_at_ms: int


class Lost(_Record, frozen=True, gc=False, tag="lost"):
    """
    No record: recovery could not find what stood here, or it contradicts the ledger (`conflicts`).

    Written by recovery alone, so that the journal in PostgreSQL has no gap (I7). `event_id` is
    empty: nobody knows whose it was.
    """

    why: Literal["unknown", "conflict"]


TicketChange = CheckedIn | ScanRefused | CheckInUndone | Transferred
SaleChange = CapacitySet | Closed | Reopened | Amended | EventCancelled

Record = (
    Published
    | Booked
    | Held
    | Extended
    | Released
    | Expired
    | Confirmed
    | Cancelled
    | Blocked
    | Unblocked
    | Waiting
    | ItemCancelled
    | CheckedIn
    | ScanRefused
    | CheckInUndone
    | Transferred
    | CapacitySet
    | Closed
    | Reopened
    | Amended
    | EventCancelled
    | Lost
)


def amended(published: Published, record: Amended) -> Published:
    """Return what is sold after an amendment, as if it had been published so."""
    rules = msgspec.structs.replace(
        published.rules,
        ends_at_ms=record.ends_at_ms or published.rules.ends_at_ms,
        after_end=record.after_end or published.rules.after_end,
        offer_ttl_ms=published.rules.offer_ttl_ms
        if record.offer_ttl_ms < 0
        else record.offer_ttl_ms,
        pools=record.pools or published.rules.pools,
    )
    tiers = {tier.tier_no: tier for tier in (*published.tiers, *record.tiers)}
    promos = {promo.code: promo for promo in (*published.promos, *record.promos)}
    return msgspec.structs.replace(
        published,
        opens_at_ms=record.opens_at_ms or published.opens_at_ms,
        closes_at_ms=record.closes_at_ms or published.closes_at_ms,
        person_max=record.person_max or published.person_max,
        tiers=list(tiers.values()),
        promos=list(promos.values()),
        rules=rules,
    )


_DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record at its place in the journal."""

    seq: int
    record: Record
    raw: bytes


class Damaged(msgspec.Struct, frozen=True):
    """What stands at a place in the journal and is no record: its bytes, and why it is none."""

    seq: int
    raw: bytes
    reason: str


def encode(record: Record) -> bytes:
    """Write a record by itself: its check, then its JSON as the scripts write it."""
    return seal(msgspec.json.encode(record))


def decode(raw: bytes) -> Record:
    """
    Verify and decode one record.

    Raises:
        CorruptRecord: the check fails, or the JSON is none of the known records.
    """
    check, body = raw[:CHECK_CHARS], raw[CHECK_CHARS:]
    if framing.digest(body)[:CHECK_CHARS] != check:
        raise CorruptRecord(f"record fails its check: {raw[:120]!r}")
    return _decode(body)


def _decode(body: bytes) -> Record:
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecord(f"record does not decode: {error}") from error


def examine(raw: bytes) -> Record | str:
    """Decode one record, or say what is wrong with it: for those who go on either way."""
    try:
        return decode(raw)
    except CorruptRecord as error:
        return str(error)


def read_entries(entry_id: bytes, fields: dict[bytes, bytes] | list[Any]) -> list[Entry]:
    """
    Turn one stream entry, as redis-py returns it, into the records of its script call.

    The id is `<seq of the last record>-1`; the records before it have the seqs before.

    Raises:
        CorruptRecord: the id has another form, the field is missing, the check fails, or a line is
            no record.
    """
    return [Entry(seq, _decode(body), seal(body)) for seq, body in _bodies(entry_id, dict(fields))]


def read_call(entry_id: bytes, fields: dict[bytes, bytes] | list[Any]) -> list[Entry | Damaged]:
    """
    Turn one stream entry into its records as `read_entries` does; one that is none is told apart.

    Where the check fails and no flipped bit explains it, all records of the entry are damaged.

    Raises:
        CorruptRecord: the id is not `<seq>-1`: no script has written it, and it has no place.
    """
    try:
        bodies = _bodies(entry_id, dict(fields))
    except CorruptRecord as error:
        return _damaged(entry_id, dict(fields), str(error))
    return [_examined(seq, body) for seq, body in bodies]


def raw_records(entry_id: bytes, fields: dict[bytes, bytes] | list[Any]) -> list[tuple[int, bytes]]:
    """Return the records of a stream entry with their seqs, undecoded; raises as `read_entries`."""
    return [(seq, seal(body)) for seq, body in _bodies(entry_id, dict(fields))]


def frame(records: Iterable[bytes]) -> bytes:
    """Return records, as `encode` or `seal` make them, as the text of one stream entry."""
    return framing.add_check(b"\n".join(record[CHECK_CHARS:] for record in records))


def _bodies(entry_id: bytes, fields: dict[bytes, bytes]) -> list[tuple[int, bytes]]:
    """Return the JSON of the records of a stream entry, with their seqs."""
    text = fields.get(FIELD)
    if text is None:
        raise CorruptRecord(f"journal entry {entry_id!r} has no field {FIELD.decode()!r}")
    lines = framing.take_check(text)
    if lines is None:
        raise CorruptRecord(f"journal entry {entry_id!r} fails its check: {text[:160]!r}")
    return _numbered(entry_id, framing.unfold(lines))


def _numbered(entry_id: bytes, bodies: list[bytes]) -> list[tuple[int, bytes]]:
    first_seq = last_seq(entry_id) - len(bodies) + 1
    if first_seq < 1:
        raise CorruptRecord(f"journal entry {entry_id!r} has {len(bodies)} records")
    return list(enumerate(bodies, start=first_seq))


def _examined(seq: int, body: bytes) -> Entry | Damaged:
    try:
        return Entry(seq, _decode(body), seal(body))
    except CorruptRecord as error:
        return Damaged(seq, seal(body), str(error))


def _damaged(entry_id: bytes, fields: dict[bytes, bytes], reason: str) -> list[Entry | Damaged]:
    """Tell which records of an entry that `_bodies` refuses are damaged."""
    seq, text = last_seq(entry_id), fields.get(FIELD)
    if text is None:
        whole = b" ".join(word for pair in fields.items() for word in pair)
        return [Damaged(seq, whole, reason)]
    bodies, mended = framing.unfold(text[framing.CHECK_CHARS :]), framing.mend(text)
    if mended is None:
        # Whatever stands there, this check was not made of it.
        if len(text) <= framing.CHECK_CHARS or len(bodies) > seq:
            return [Damaged(seq, text, reason)]
        bad = (
            Damaged(number, text[:CHECK_CHARS] + body, reason)
            for number, body in _numbered(entry_id, bodies)
        )
        return list(bad)
    right, found = _numbered(entry_id, framing.unfold(mended)), set(bodies)
    spoilt = iter([body for body in bodies if body not in {body for _, body in right}])
    return [
        _examined(number, body)
        if body in found
        else Damaged(
            number,
            seal(body)[:CHECK_CHARS] + next(spoilt, b""),
            f"record fails its check by one flipped bit; it was {body!r}",
        )
        for number, body in right
    ]


def last_seq(entry_id: bytes) -> int:
    """
    Return the seq of the last record of a stream entry.

    Raises:
        CorruptRecord: the id is not `<seq>-1`.
    """
    seq, dash, one = entry_id.partition(b"-")
    if dash != b"-" or one != b"1" or not seq.isdigit():
        raise CorruptRecord(f"journal id {entry_id!r} is not <seq>-1")
    return int(seq)


def seal(body: bytes) -> bytes:
    """Return a record's JSON with its check before it."""
    # Made for every record that is persisted, hence in the quickest way.
    return hexlify(sha1(body, usedforsecurity=False).digest()[: CHECK_CHARS // 2]) + body
