"""
What happened, in order, and why a request was refused: told from the journal and nothing else.

Every change stands in a record made with it, so the story is what happened. Refusals are not
remembered (decision 0005); why one came is found by folding the event's stock to that moment.
A person's id is told in their own story alone: who looks up a booking learns nothing of others.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from engine import keys
from engine.hindsight import EventStock, at_text
from engine.ids import booking_of_hold, booking_of_offer, entry_of_offer, event_id_range, is_id
from engine.records import (
    Entry,
    Item,
    ItemCancelled,
    Published,
    Record,
    ScanRefused,
    TicketChange,
    Transferred,
    last_seq,
    read_call,
)
from engine.status import Status
from engine.values import parse_scans
from reconciler.event.journal import JournalReader
from reconciler.servers import Servers
from store import audit

#: Entries of a read from the stream.
STREAM_CHUNK = 1_000
#: Steps that are told: of a longer story the last ones.
LINES_MAX = 10_000
#: Kinds of what may be asked for, by the prefix of its id.
KINDS = {
    "evt": "event",
    "bk": "booking",
    "hold": "hold",
    "offer": "hold",
    "usr": "user",
    "wl": "entry",
}
#: Refusals that leave no trace in the journal.
UNTOLD = "Not told by the journal: backpressure, a shard under recovery, promo codes, which seats."


@dataclass(kw_only=True, slots=True)
class Line:
    """One step of the story."""

    epoch: int
    seq: int
    at_ms: int
    event_id: str
    kind: str
    text: str
    #: Counters of the tiers that it touched, as it left them.
    tiers: dict[int, dict[str, int]]

    def __str__(self) -> str:
        """Write the step as people read it."""
        stock = "; ".join(
            f"tier {tier_no}: {its['available']} available, {its['held']} held, {its['sold']} sold"
            for tier_no, its in self.tiers.items()
        )
        return f"{at_text(self.at_ms)}  {self.epoch}:{self.seq}  {self.text}" + (
            f"  [{stock}]" if stock else ""
        )

    def document(self) -> dict[str, Any]:
        """Return the step as the keys of the document."""
        return {
            "epoch": self.epoch,
            "seq": self.seq,
            "at_ms": self.at_ms,
            "event_id": self.event_id,
            "kind": self.kind,
            "text": self.text,
            "tiers": [{"tier_no": tier_no, **its} for tier_no, its in self.tiers.items()],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """An order that was refused, as its buyer tells it."""

    at_ms: int
    tier_no: int
    quantity: int
    user_id: str | None = None


@dataclass(kw_only=True, slots=True)
class Answer:
    """A story, and its end."""

    target: str
    kind: str
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_MAX))
    #: Earlier steps that there was no room for.
    left_out: int = 0
    verdict: list[str] = field(default_factory=list)
    #: For a question: what the order would have been told.
    status: str | None = None
    stock: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return the answer as the keys of the document."""
        return {
            "target": self.target,
            "kind": self.kind,
            "status": self.status,
            "stock": self.stock,
            "left_out": self.left_out,
            "lines": [line.document() for line in self.lines],
            "verdict": self.verdict,
        }


async def explain(
    servers: Servers, target: str, question: Question | None = None, *, shard: int | None = None
) -> Answer:
    """
    Tell the story of a booking, hold, waitlist entry, person or event.

    Args:
        target: Its id.

        question: An order of the event *target*; then the stock at that moment is told.

        shard: The only shard whose journal is read, if it is known.

    Cost: reads the journal of the shard once; for a person, of every shard.

    Raises:
        LookupError: there is no such thing; the message says what was looked for.
    """
    prefix = target.partition("_")[0]
    if prefix not in KINDS or not is_id(prefix, target):
        raise LookupError(f"{target} is no id of an event, booking, hold, entry or user")
    answer = Answer(target=target, kind=KINDS[prefix])
    if question is not None and prefix != "evt":
        raise LookupError("--at asks for an event's stock: name an event")
    teller = _Teller(answer, question)
    for number in await _shards_of(servers, target) if shard is None else [shard]:
        async for epoch, seq, record in records(servers, number):
            teller.follow(epoch, seq, record)
    teller.end()
    if not answer.lines and question is None:
        raise LookupError(f"no record is about {target}")
    return answer


async def records(servers: Servers, shard: int) -> AsyncIterator[tuple[int, int, Record]]:
    """Yield all readable records of a shard in order: PostgreSQL's, then the stream's."""
    last = (0, 0)
    async with servers.database() as database, audit.begin(database):
        reader = JournalReader(shard, {})
        async for batch in audit.journal(database, shard):
            for place in reader.read(batch):
                yield place
            last = (batch.epoch, batch.last_seq)
    async with servers.redis(shard) as redis:
        epoch = int(await redis.hget(keys.meta(shard), "epoch") or 0)
        seq = last[1] if last[0] == epoch else 0
        while True:
            rows: Any = await redis.xrange(
                keys.journal(shard, epoch), f"({seq}-1", "+", count=STREAM_CHUNK
            )
            for own_id, fields in rows:
                before, seq = seq, last_seq(own_id)
                for entry in read_call(own_id, fields):
                    # What is damaged `check` names; a story tells what can be read.
                    if isinstance(entry, Entry) and entry.seq > before:
                        yield epoch, entry.seq, entry.record
            if not rows:
                return


class _Teller:
    """Follows records, leads the stock of each event, and tells what concerns the target."""

    def __init__(self, answer: Answer, question: Question | None) -> None:
        self._answer = answer
        self._question = question
        self._stocks: dict[str, EventStock] = {}
        self._ids = _ids_of(answer.target)

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of a shard."""
        if self._answer.kind == "event" and record.event_id != self._answer.target:
            return
        asked = self._question
        if asked is not None and record.at_ms > asked.at_ms:
            return
        stock = self._stocks.setdefault(
            record.event_id, EventStock(asked=(asked.tier_no, asked.quantity) if asked else None)
        )
        stock.follow(epoch, seq, record)
        if asked is None and not self._concerns(record):
            return
        touched = sorted({item.tier_no for item in _items(record)})
        line = Line(
            epoch=epoch,
            seq=seq,
            at_ms=record.at_ms,
            event_id=record.event_id,
            kind=str(record.__struct_config__.tag),
            text=_text(record, tells_user=self._answer.kind == "user"),
            tiers={no: stock.tiers[no].counts() for no in touched if no in stock.tiers},
        )
        if asked is not None:
            # Of all that came before the moment, the last step of that tier is enough.
            if not self._answer.lines or asked.tier_no in touched:
                self._answer.lines.clear()
                self._answer.lines.append(line)
            return
        if len(self._answer.lines) == LINES_MAX:
            self._answer.left_out += 1  # The oldest makes room.
        self._answer.lines.append(line)

    def end(self) -> None:
        """Say how it ended, or judge the question."""
        if self._answer.left_out:
            self._answer.verdict.append(f"{self._answer.left_out} earlier steps are left out.")
        if self._question is not None:
            self._judge(self._question)
        elif self._answer.lines:
            last = self._answer.lines[-1]
            self._answer.verdict.append(
                f"{self._answer.target}: the last record is `{last.kind}` of {at_text(last.at_ms)}."
            )

    def _concerns(self, record: Record) -> bool:
        if self._answer.kind == "event":
            return True
        names = ("booking_id", "hold_id", "entry_id", "user_id", "holder_id")
        if any(getattr(record, name, None) in self._ids for name in names):
            return True
        if isinstance(record, Transferred):
            return record.by in self._ids  # The giver; of a scan, who scans is nobody's story.
        return any(one.user_id in self._ids for one in getattr(record, "holders", ()))

    def _judge(self, asked: Question) -> None:
        stock = self._stocks.get(self._answer.target, EventStock())
        status, why = stock.judge(
            at_ms=asked.at_ms, tier_no=asked.tier_no, quantity=asked.quantity, user_id=asked.user_id
        )
        self._answer.status = "AVAILABLE" if status is None else status.value
        tell = self._answer.verdict.append
        tier = stock.tiers.get(asked.tier_no)
        if tier is not None:
            deadline_ms = stock.next_deadline_ms(asked.tier_no, after_ms=asked.at_ms)
            overdue = stock.overdue(asked.tier_no, asked.at_ms)
            short = stock.short_since
            self._answer.stock = {
                "tier_no": asked.tier_no,
                **tier.counts(),
                "overdue": overdue,
                "next_deadline_ms": deadline_ms,
                "sold_out_epoch": short.epoch if short else None,
                "sold_out_seq": short.seq if short else None,
                "sold_out_at_ms": short.at_ms if short else None,
            }
            deadline = f", next deadline {at_text(deadline_ms)}" if deadline_ms else ""
            final = (
                ""
                if short is None
                else (
                    f"; too few for {asked.quantity} since record {short.epoch}:{short.seq} of "
                    f"{at_text(short.at_ms)}"
                )
            )
            tell(
                f"At {at_text(asked.at_ms)} tier {asked.tier_no} had {tier.available} available, "
                f"{tier.held} held ({overdue} overdue), {tier.sold} sold, {tier.waiting} waiting"
                f"{deadline}{final}."
            )
        tell(f"An order of {asked.quantity} was then {self._answer.status}: {why}.")
        if tier is not None and tier.rules.is_hidden:
            tell("The tier is hidden: without a promo code that names it, it was UNKNOWN_TIER.")
        if status in {None, Status.ALL_HELD, Status.KEPT_FOR_WAITLIST}:
            tell(UNTOLD)


def _ids_of(target: str) -> frozenset[str]:
    """Return the ids under which records speak of one thing: they share all but the prefix."""
    prefix, _, rest = target.partition("_")
    if prefix in {"evt", "usr"}:
        return frozenset({target})
    if prefix == "hold":
        return frozenset({target, booking_of_hold(target)})
    if prefix == "offer":
        return frozenset({target, booking_of_offer(target), entry_of_offer(target)})
    if prefix == "wl":
        return frozenset({target, f"offer_{rest}", f"bk_{rest}"})
    return frozenset({target, f"hold_{rest}", f"offer_{rest}", f"wl_{rest}"})


async def _shards_of(servers: Servers, target: str) -> list[int]:
    """Return the shards whose journals may speak of the target."""
    prefix = target.partition("_")[0]
    if prefix == "usr":
        return await servers.shards()
    first, last = (target, target) if prefix == "evt" else event_id_range(target)
    async with servers.database() as database:
        shards = await audit.shards_of_events(database, first, last)
    # An event that PostgreSQL has lost may still be told of by a journal.
    return shards or await servers.shards()


def _items(record: Record) -> list[Item]:
    if isinstance(record, Published):
        return [Item(tier.tier_no, tier.capacity, tier.price_minor) for tier in record.tiers]
    items: list[Item] = getattr(record, "items", [])
    return (
        list(items)
        or [
            Item(group.tier_no, 0, 0)
            for group in (*getattr(record, "seats", ()), *getattr(record, "tiers", ()))
        ]
        or ([Item(record.tier_no, 0, 0)] if hasattr(record, "tier_no") else [])
    )


def _text(record: Record, *, tells_user: bool) -> str:
    """Say what a record did, without who, unless it is their own story."""
    kind = str(record.__struct_config__.tag)
    words = [kind]
    for name in ("booking_id", "hold_id", "entry_id", "ticket_id"):
        value = getattr(record, name, None)
        if value:
            words.append(str(value))
    items = getattr(record, "items", None)
    if items:
        words.append(", ".join(_places(item) for item in items))
    if isinstance(record, ItemCancelled) and record.tickets:
        words.append(f"tickets {', '.join(map(str, record.tickets))}")
    if isinstance(record, TicketChange):
        words += _scan(record)
    expires_at_ms = getattr(record, "expires_at_ms", None)
    if expires_at_ms:
        words.append(f"until {at_text(expires_at_ms)}")
    reason = getattr(record, "reason", None) or getattr(record, "why", None)
    if reason:
        words.append(f"({reason})")
    if getattr(record, "was_expired", False):
        words.append("(late: its places were taken anew)")
    if tells_user and getattr(record, "user_id", None):
        words.append(f"for {record.user_id}")  # type: ignore[union-attr]
    return " ".join(words)


def _scan(record: TicketChange) -> list[str]:
    """Say which scan it was, where and when it was made, and, if refused, what it came after."""
    words = [f"at {record.gate}"] if record.gate != "-" else []
    if record.scan_id:
        words.append(f"scan {record.scan_id}")
    if record.scanned_at_ms:
        words.append(f"of {at_text(record.scanned_at_ms)}")
    if isinstance(record, ScanRefused):
        own = parse_scans(record.scans)[-1:]
        words += [f"(too late: in since {at_text(scan.before_at_ms)})" for scan in own]
    return words


def _places(item: Item) -> str:
    seats = f" ({', '.join(item.seat_ids)})" if item.seat_ids else ""
    return f"{item.quantity} of tier {item.tier_no}{seats}"


def parse_at(text: str) -> int:
    """
    Read a moment: ISO 8601 (UTC if it names no zone), or Unix ms.

    Raises:
        ValueError: it is neither.
    """
    if text.isdigit():
        return int(text)
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)
