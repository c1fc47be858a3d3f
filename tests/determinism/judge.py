"""
The judge: sees every write of both servers and every answer, and says what must not have been.

While a history runs: never oversold, one record at a place, nothing under a dead epoch, claims and
checkpoints only grow, the ledger's journal is what Redis wrote, Redis is told no more than what is
committed; a shard leaves no home that is not fenced, and no record is made elsewhere. At its end:
nothing acknowledged is lost, and both stores tell the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from engine.records import (
    CHECK_CHARS,
    Booked,
    Cancelled,
    Confirmed,
    Held,
    Joined,
    Left,
    Lost,
    Record,
    Released,
    decode,
)
from store.quarantine import MARKS
from tests.determinism.redis_server import RedisServer, State

Kind = Literal["booked", "cancelled", "held", "released", "joined", "left"]
#: Of a tier, in `stock`.
COUNTERS = ("available", "held")


class Ack(NamedTuple):
    """A change that a client was told to stand."""

    #: Of the booking, or of the hold.
    id: str
    kind: Kind
    epoch: int
    seq: int
    level: str
    #: The worker that answered.
    witness: str
    #: The answer repeated an earlier one.
    is_replay: bool = False
    #: Of a booking: the proof that its buyer has.
    receipt: str = ""

    def __str__(self) -> str:
        how = "again " if self.is_replay else ""
        return f"{self.id} {how}{self.kind} at {self.epoch}:{self.seq}, level {self.level}"


@dataclass(slots=True)
class Judge:
    """Judges one history."""

    #: Places by tier.
    capacities: Mapping[int, int]
    violations: list[str] = field(default_factory=list)
    #: The Redis servers by name, as new connections find them; may change.
    nodes: Mapping[str, RedisServer] = field(default_factory=dict)
    #: What was ever journalled, by epoch and seq, and at which server.
    truth: dict[tuple[int, int], bytes] = field(default_factory=dict)
    made_at: dict[tuple[int, int], str] = field(default_factory=dict)
    #: Servers that a human has declared gone, and the epoch under which the shard left them: of
    #: epochs before, what they alone have may be lost.
    gone: dict[str, int] = field(default_factory=dict)
    #: Where Redis wrote what came late, and stands elsewhere in the ledger.
    late: set[tuple[int, int]] = field(default_factory=set)
    acks: list[Ack] = field(default_factory=list)
    #: What somebody was told that there is not, though it was acknowledged before.
    denied: list[Ack] = field(default_factory=list)
    #: What became of receipts, by booking.
    redeemed: dict[str, str] = field(default_factory=dict)
    #: Bookings and cancellations that were ever asked for.
    asked: set[str] = field(default_factory=set)
    asked_to_cancel: set[str] = field(default_factory=set)
    #: Whether Redis lost anything, and whether PostgreSQL went back in time.
    has_lost: bool = False
    has_travelled: bool = False
    #: Workers that were killed, and with them what they remembered.
    dead: set[str] = field(default_factory=set)
    _tables: Mapping[str, dict[Any, Any]] = field(default_factory=dict)
    _epoch: int = 0
    _opened_epoch: int = 0
    _redis_epochs: dict[RedisServer, int] = field(default_factory=dict)

    def follow(self, tables: Mapping[str, dict[Any, Any]]) -> None:
        """Look at PostgreSQL's tables, from now on or again after a journey in time."""
        self._tables = tables
        reign = tables["reigns"].get(0)
        self._epoch = self._opened_epoch = 0 if reign is None else reign["epoch"]

    def forget_redis(self) -> None:
        """A Redis has lost something: what it says may go back."""
        self.has_lost = True
        self._redis_epochs.clear()

    # Redis.

    def appended(self, server: RedisServer, epoch: int, seq: int, raw: bytes) -> None:
        """Take a record that a script has journalled."""
        if self.truth.setdefault((epoch, seq), raw) != raw:
            self._object(f"I14: two records at {epoch}:{seq}")
        self.made_at[epoch, seq] = server.name
        if self.has_travelled or self._is_left(server, epoch):
            return
        if epoch < self._opened_epoch:
            self._object(
                f"I17: record {epoch}:{seq} was made after epoch {self._opened_epoch} had opened"
            )
        reign = self._tables["reigns"].get(0)
        if reign is not None and reign["epoch"] == epoch and reign["home"] != server.name:
            self._object(f"I20: {epoch}:{seq} was made at {server.name}, not at {reign['home']}")

    def _is_left(self, server: RedisServer, epoch: int) -> bool:
        """Tell whether nobody could fence a server: it is gone, or no master any more."""
        is_replaced = server.name in self.nodes and self.nodes[server.name] is not server
        return is_replaced or epoch < self.gone.get(server.name, 0)

    def wrote(self, server: RedisServer) -> None:
        """Look at a Redis after a write."""
        state, before = server.state, self._redis_epochs.get(server, 0)
        epoch = int(state.meta.get("epoch", 0))
        if epoch < before:
            self._object(f"I14: Redis {server.name} went from epoch {before} to {epoch}")
        self._redis_epochs[server] = max(before, epoch)
        if state.stock and state.meta.get("state") != "rebuilding":
            self._check_places(state)

    def _check_places(self, state: State) -> None:
        sold, holds = _places(state.bookings, "confirmed"), _places(state.holds, "held")
        for tier_no, capacity in self.capacities.items():
            available, held = (int(state.stock[f"{tier_no}.{name}"]) for name in COUNTERS)
            if (
                available < 0
                or held != holds[tier_no]
                or sold[tier_no] + held + available != capacity
            ):
                self._object(
                    f"I1: of tier {tier_no} Redis has sold {sold[tier_no]}, holds {held} "
                    f"({holds[tier_no]}), and has {available} of {capacity}"
                )

    def told(self, epoch: int, persisted_seq: int, trim_seq: int) -> None:
        """Take what Redis is told that PostgreSQL has."""
        has = self._tables["checkpoints"].get(epoch, (0, 0))[0]
        if max(persisted_seq, trim_seq) > has and not self.has_travelled:
            self._object(
                f"F25, F30: Redis was told of {persisted_seq} and to trim {trim_seq} of "
                f"epoch {epoch}, PostgreSQL has {has}"
            )

    # PostgreSQL.

    def committed(
        self, before: Mapping[str, dict[Any, Any]], written: Mapping[str, dict[Any, Any]]
    ) -> None:
        """Look at what a transaction changed."""
        for row in written.get("reigns", {}).values():
            if row["epoch"] < self._epoch:
                self._object(f"I14: the reign went from epoch {self._epoch} to {row['epoch']}")
            self._epoch = row["epoch"]
            if row["state"] == "open":
                self._check_opening(before)
                self._opened_epoch = max(self._opened_epoch, row["epoch"])
        for epoch, move in written.get("moves", {}).items():
            self._check_move(epoch, *move)
        for epoch, place in written.get("checkpoints", {}).items():
            if place[0] < before["checkpoints"].get(epoch, (0, 0))[0]:
                self._object(f"I7: the checkpoint of epoch {epoch} went back to {place[0]}")
        if "journal" in written or "checkpoints" in written:
            self._check_journal(before, written)
        if "bookings" in written:
            self._check_bookings(written["bookings"])

    def _check_move(self, epoch: int, came_from: str, _to: str, said_gone: str) -> None:
        """A shard leaves a home that is fenced, or one that a human has declared gone (I21)."""
        if said_gone:
            self.gone[came_from] = epoch
            return
        meta = self.nodes[came_from].state.meta
        is_fenced = int(meta.get("claim", 0)) >= epoch and meta.get("state") != "open"
        if meta and not is_fenced and not self.has_lost:
            self._object(
                f"I21: the shard left {came_from} under epoch {epoch}, where {meta} stands"
            )

    def _check_opening(self, before: Mapping[str, dict[Any, Any]]) -> None:
        """A shard is not new if a worker has seen a record of it."""
        reign = before["reigns"].get(0, {"state": "", "seen_seq": 0})
        seen_seq = reign["seen_seq"] if reign["state"] != "open" else 0
        if seen_seq and not any(place[0] for place in self._tables["checkpoints"].values()):
            self._object(f"I4: opened as new, though a worker saw record {seen_seq} acknowledged")

    def _check_journal(
        self, before: Mapping[str, dict[Any, Any]], written: Mapping[str, dict[Any, Any]]
    ) -> None:
        ends = {epoch: place[0] for epoch, place in before["checkpoints"].items()}
        for (epoch, first_seq), (last_seq, text) in sorted(written.get("journal", {}).items()):
            lines = text.split("\n")
            if first_seq != ends.get(epoch, 0) + 1 or len(lines) != last_seq - first_seq + 1:
                self._object(
                    f"I7: {first_seq}..{last_seq} of epoch {epoch} were written behind "
                    f"{ends.get(epoch, 0)}"
                )
            ends[epoch] = last_seq
            for seq, line in enumerate(lines, start=first_seq):
                if line in MARKS or self.truth.get((epoch, seq)) == line.encode():
                    continue
                if not isinstance(decode(line.encode()), Lost):
                    self._check_late(epoch, seq, line.encode())
        for epoch, place in written.get("checkpoints", {}).items():
            if place[0] != ends.get(epoch, 0):
                self._object(
                    f"I7: the checkpoint of epoch {epoch} is {place[0]}, its records "
                    f"end at {ends.get(epoch, 0)}"
                )

    def _check_late(self, epoch: int, seq: int, raw: bytes) -> None:
        """A record may stand elsewhere than Redis wrote it, once, if its own place was given up."""
        own = self._own_place(raw)
        if own is None or (own in self.late and not self.has_travelled):
            self._object(f"I5: Redis never wrote what the ledger has at {epoch}:{seq}")
            return
        if not isinstance(self._stands_at(*own), Lost):
            self._object(f"I5: the ledger has {own} at {epoch}:{seq} as well")
        self.late.add(own)

    def _own_place(self, raw: bytes) -> tuple[int, int] | None:
        """Return where Redis wrote a record; who joined late may have another place on the list."""
        record = decode(raw)
        for place, its in self.truth.items():
            if its == raw:
                return place
            if isinstance(record, Joined) and record.entry_id.encode() in its:
                own = decode(its)
                if isinstance(own, Joined) and replace(own, join_no=record.join_no) == record:
                    return place
        return None

    def _stands_at(self, epoch: int, seq: int) -> Any:
        for (its_epoch, first_seq), (last_seq, text) in self._tables["journal"].items():
            if its_epoch == epoch and first_seq <= seq <= last_seq:
                return decode(text.split("\n")[seq - first_seq].encode())
        return None

    def _check_bookings(self, rows: Mapping[str, Any]) -> None:
        for own_id, row in rows.items():
            if own_id not in self.asked:
                self._object(f"I5: nobody asked for {own_id}")
            if row["status"] == "cancelled" and own_id not in self.asked_to_cancel:
                self._object(f"I5: nobody asked to cancel {own_id}")
        sold = ledger_sold(self._tables)
        if any(sold[tier_no] > capacity for tier_no, capacity in self.capacities.items()):
            self._object(f"I1: the ledger has sold {sold} of {self.capacities}")

    # The end.

    def check_end(
        self, state: State, *, is_open: bool, spares_witnesses: bool, is_redeemed: bool
    ) -> None:
        """
        Look at what is left when all is quiet.

        Args:
            is_open: The shard is open; else it is frozen, and Redis may tell more than the ledger.

            spares_witnesses: No worker died or stood still in this history, and PostgreSQL was
                there: then nothing acknowledged may be lost, or end in a conflict.

            is_redeemed: All receipts were redeemed: then no booking is lost without a word.
        """
        bookings = self._tables["bookings"]
        self._check_fold(bookings)
        if is_open:
            seen = {own_id: row.split(" ")[0] for own_id, row in state.bookings.items()}
            has = {own_id: row["status"] for own_id, row in bookings.items()}
            if seen != has:
                self._object(f"I8: Redis has {seen}, the ledger {has}")
            waits = {own_id: row.split(" ")[0] for own_id, row in state.entries.items()}
            listed = {own_id: row["status"] for own_id, row in self._tables["entries"].items()}
            if waits != listed:
                self._object(f"I8: Redis has {waits} on its list, the ledger {listed}")
            self._check_holds(state)
        for ack in self.acks:
            self._check_ack(ack, state, is_open=is_open, spares=spares_witnesses)
            if is_redeemed and ack.kind == "booked":
                self._check_receipt(ack)
        for ack in self.denied:
            is_whole = spares_witnesses or not (self.has_lost or self.gone)
            if is_whole and not self.has_travelled and self._stands(ack):
                self._object(f"F55: {ack.id}, {ack.kind} by {ack.epoch}:{ack.seq}, was denied")

    def _check_fold(self, bookings: Mapping[str, Any]) -> None:
        folded: dict[str, tuple[str, int, int]] = {}
        for place, record in records_of(self._tables):
            if isinstance(record, Booked | Confirmed):
                folded.setdefault(record.booking_id, ("confirmed", *place))
            elif isinstance(record, Cancelled) and record.booking_id in folded:
                folded[record.booking_id] = ("cancelled", *folded[record.booking_id][1:])
        has = {key: (row["status"], row["epoch"], row["seq"]) for key, row in bookings.items()}
        if folded != has:
            self._object(f"I8: the ledger's journal makes {folded}, its rows are {has}")

    def _check_holds(self, state: State) -> None:
        """Redis has the live holds of the ledger's journal; bookings may have needed some."""
        live: dict[str, Held] = {}
        for _, record in records_of(self._tables):
            if isinstance(record, Held):
                live[record.hold_id] = record
            elif isinstance(record, Released | Confirmed):
                live.pop(record.hold_id, None)
        has = {own_id for own_id, row in state.holds.items() if row.startswith("held ")}
        if has - live.keys() or (has != live.keys() and not (self.has_lost or self.gone)):
            self._object(f"I8: Redis holds {has}, the ledger's journal {set(live)}")

    def _stands(self, ack: Ack) -> bool:
        """Tell whether the ledger has what was acknowledged, or what came of it."""
        row = self._tables["bookings"].get(ack.id)
        if ack.kind == "booked":
            return row is not None
        if ack.kind == "cancelled":
            return row is not None and row["status"] == "cancelled"
        if ack.kind in {"joined", "left"}:
            entry = self._tables["entries"].get(ack.id)
            if (
                entry is None
            ):  # Whose joining was lost, or is told when it is over, is owed nothing.
                return ack.kind == "left" or any(
                    isinstance(record, Left) and record.entry_id == ack.id
                    for _, record in records_of(self._tables)
                )
            return ack.kind == "joined" or entry["status"] == "left"
        its: list[Record] = [
            record
            for _, record in records_of(self._tables)
            if isinstance(record, Held | Released | Confirmed) and record.hold_id == ack.id
        ]
        if ack.kind == "held":
            return bool(its)
        return not its or not isinstance(its[-1], Held)

    def _check_ack(self, ack: Ack, state: State, *, is_open: bool, spares: bool) -> None:
        if self._stands(ack) or self.has_travelled:
            return
        if not is_open and self._is_known(ack, state):
            return
        if ack.kind != "booked" and ack.is_replay and (self.has_lost or self._has_gone(ack)):
            return  # Such an answer does not tell the record.
        if ack.level != "database" and self._has_gone(ack):
            if self._is_in_conflict(ack) or ack.witness in self.dead:
                return
        elif ack.level not in {"database", "replicated"}:
            is_draft = all(row["status"] == "draft" for row in self._tables["events"].values())
            if self._is_in_conflict(ack) and self.has_lost and (is_draft or not spares):
                return  # Told to a human. Of an event whose publishing is lost, all are.
            if self.has_lost and ack.witness in self.dead:
                return  # Redis' tail and its witness: what is not covered.
        self._object(
            f"I4: {ack.id}, acknowledged as {ack.kind} by {ack.epoch}:{ack.seq} at level "
            f"{ack.level} by {ack.witness}, is lost"
        )

    def _check_receipt(self, ack: Ack) -> None:
        """Of a booking of which there is a receipt, there is the booking or a row for people."""
        asks = (decode(record.encode()) for _, _, record in self._tables["conflicts"])
        is_asked = any(isinstance(one, Booked) and one.booking_id == ack.id for one in asks)
        if ack.id not in self._tables["bookings"] and not is_asked:
            self._object(
                f"F62: the receipt of {ack.id} was redeemed ({self.redeemed.get(ack.id)}), and "
                "there is neither the booking nor a row for people"
            )

    def _has_gone(self, ack: Ack) -> bool:
        """Tell whether the record was made at a server that was then declared gone."""
        made_at = self.made_at.get((ack.epoch, ack.seq), "")
        return ack.epoch < self.gone.get(made_at, 0)

    def _is_known(self, ack: Ack, state: State) -> bool:
        """Tell whether the record waits somewhere, as it may while the shard is frozen."""
        raw = self.truth[ack.epoch, ack.seq]
        in_redis = any(
            epoch == ack.epoch and raw[CHECK_CHARS:] in text
            for epoch, entries in state.journals.items()
            for _, text in entries
        )
        waiting = [*self._tables["redo"].values(), *(key[2] for key in self._tables["conflicts"])]
        return in_redis or raw.decode() in waiting or self.has_lost

    def _is_in_conflict(self, ack: Ack) -> bool:
        raw = self.truth[ack.epoch, ack.seq].decode()
        return any(record == raw for _, _, record in self._tables["conflicts"])

    def _object(self, what: str) -> None:
        self.violations.append(what)


def ledger_sold(tables: Mapping[str, dict[Any, Any]]) -> Counter[int]:
    """Return the places of confirmed bookings in the ledger, by tier."""
    bookings, sold = tables["bookings"], Counter[int]()
    for (own_id, _), (tier_no, quantity, _) in tables["items"].items():
        if own_id in bookings and bookings[own_id]["status"] == "confirmed":
            sold[tier_no] += quantity
    return sold


def records_of(tables: Mapping[str, dict[Any, Any]]) -> Iterator[tuple[tuple[int, int], Record]]:
    """Yield all records of the ledger's journal with their places, in order."""
    for (epoch, first_seq), (_, text) in sorted(tables["journal"].items()):
        for seq, line in enumerate(text.split("\n"), start=first_seq):
            if line not in MARKS:
                yield (epoch, seq), decode(line.encode())


def _places(rows: Mapping[str, str], status: str) -> Counter[int]:
    """Return the places of the bookings or holds of a status, by tier."""
    places = Counter[int]()
    for row in rows.values():
        words = row.split(" ")
        if words[0] == status:
            tier_no, quantity, _ = words[7].split(":")
            places[int(tier_no)] += int(quantity)
    return places
