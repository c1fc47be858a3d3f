"""
The judge: sees every write of both servers and every answer, and says what must not have been.

While a history runs: never oversold, one record at a place, nothing under a dead epoch, claims and
checkpoints only grow, the ledger's journal is what Redis wrote, Redis is told no more than what is
committed. At its end: nothing acknowledged is lost, and both stores tell the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.records import CHECK_CHARS, Booked, Cancelled, Lost, decode
from store.quarantine import MARKS
from tests.determinism.redis_server import State
from tests.determinism.scripts import places_of


class Ack(NamedTuple):
    """A booking or a cancellation that a client was told to stand."""

    booking_id: str
    is_cancellation: bool
    epoch: int
    seq: int
    level: str
    #: The worker that answered.
    witness: str
    #: The answer repeated an earlier one.
    is_replay: bool = False


@dataclass(slots=True)
class Judge:
    """Judges one history."""

    capacity: int
    violations: list[str] = field(default_factory=list)
    #: What was ever journalled, by epoch and seq.
    truth: dict[tuple[int, int], bytes] = field(default_factory=dict)
    #: Records that came late, and stand elsewhere in the ledger than in Redis' journal.
    late: set[bytes] = field(default_factory=set)
    acks: list[Ack] = field(default_factory=list)
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
    _redis_epoch: int = 0

    def follow(self, tables: Mapping[str, dict[Any, Any]]) -> None:
        """Look at PostgreSQL's tables, from now on or again after a journey in time."""
        self._tables = tables
        reign = tables["reigns"].get(0)
        self._epoch = self._opened_epoch = 0 if reign is None else reign["epoch"]

    def forget_redis(self) -> None:
        """Redis has lost something: what it says may go back."""
        self.has_lost = True
        self._redis_epoch = 0

    # Redis.

    def appended(self, epoch: int, seq: int, raw: bytes) -> None:
        """Take a record that a script has journalled."""
        if epoch < self._opened_epoch and not self.has_travelled:
            self._object(
                f"I17: record {epoch}:{seq} was made after epoch {self._opened_epoch} had opened"
            )
        if self.truth.setdefault((epoch, seq), raw) != raw:
            self._object(f"I14: two records at {epoch}:{seq}")

    def wrote(self, state: State) -> None:
        """Look at Redis after a write."""
        epoch = int(state.meta.get("epoch", 0))
        if epoch < self._redis_epoch:
            self._object(f"I14: Redis went from epoch {self._redis_epoch} to {epoch}")
        self._redis_epoch = max(self._redis_epoch, epoch)
        if state.stock and state.meta.get("state") != "rebuilding":
            available, sold = int(state.stock["available"]), _sold(state)
            if available < 0 or sold + available != self.capacity:
                self._object(f"I1: Redis has sold {sold} and has {available} of {self.capacity}")

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
        for epoch, place in written.get("checkpoints", {}).items():
            if place[0] < before["checkpoints"].get(epoch, (0, 0))[0]:
                self._object(f"I7: the checkpoint of epoch {epoch} went back to {place[0]}")
        if "journal" in written or "checkpoints" in written:
            self._check_journal(before, written)
        if "bookings" in written:
            self._check_bookings(written["bookings"])

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
        own = next((place for place, its in self.truth.items() if its == raw), None)
        lost = own is not None and self._stands_at(*own)
        if own is None or lost is None or (raw in self.late and not self.has_travelled):
            self._object(f"I5: Redis never wrote what the ledger has at {epoch}:{seq}")
        elif not isinstance(lost, Lost):
            self._object(f"I5: the ledger has {own} at {epoch}:{seq} as well")
        self.late.add(raw)

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
        if sold > self.capacity:
            self._object(f"I1: the ledger has sold {sold} of {self.capacity}")

    # The end.

    def check_end(self, state: State, *, is_open: bool, spares_witnesses: bool) -> None:
        """
        Look at what is left when all is quiet.

        Args:
            is_open: The shard is open; else it is frozen, and Redis may tell more than the ledger.

            spares_witnesses: No worker died or stood still in this history, and PostgreSQL was
                there: then nothing acknowledged may be lost, or end in a conflict.
        """
        bookings = self._tables["bookings"]
        self._check_fold(bookings)
        if is_open:
            seen = {own_id: row.split(" ")[0] for own_id, row in state.bookings.items()}
            has = {own_id: row["status"] for own_id, row in bookings.items()}
            if seen != has:
                self._object(f"I8: Redis has {seen}, the ledger {has}")
        for ack in self.acks:
            self._check_ack(ack, bookings, state, is_open=is_open, spares=spares_witnesses)

    def _check_fold(self, bookings: Mapping[str, Any]) -> None:
        folded: dict[str, tuple[str, int, int]] = {}
        for (epoch, first_seq), (_, text) in sorted(self._tables["journal"].items()):
            for seq, line in enumerate(text.split("\n"), start=first_seq):
                record = None if line in MARKS else decode(line.encode())
                if isinstance(record, Booked):
                    folded.setdefault(record.booking_id, ("confirmed", epoch, seq))
                elif isinstance(record, Cancelled) and record.booking_id in folded:
                    folded[record.booking_id] = ("cancelled", *folded[record.booking_id][1:])
        has = {key: (row["status"], row["epoch"], row["seq"]) for key, row in bookings.items()}
        if folded != has:
            self._object(f"I8: the ledger's journal makes {folded}, its rows are {has}")

    def _check_ack(
        self, ack: Ack, bookings: Mapping[str, Any], state: State, *, is_open: bool, spares: bool
    ) -> None:
        row = bookings.get(ack.booking_id)
        if row is not None and (row["status"] == "cancelled" or not ack.is_cancellation):
            return
        if self.has_travelled or (not is_open and self._is_known(ack, state)):
            return
        if ack.level != "database":
            is_draft = all(row["status"] == "draft" for row in self._tables["events"].values())
            if self._is_in_conflict(ack) and self.has_lost and (is_draft or not spares):
                return  # Told to a human. Of an event whose publishing is lost, all are.
            if self.has_lost and ack.witness in self.dead:
                return  # Redis' tail and its witness: what is not covered.
            if self.has_lost and ack.is_cancellation and ack.is_replay:
                return  # Such an answer does not tell the record.
        what = "cancellation" if ack.is_cancellation else "booking"
        self._object(
            f"I4: {what} {ack.booking_id}, acknowledged as {ack.epoch}:{ack.seq} at level "
            f"{ack.level} by {ack.witness}, is lost"
        )

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


def ledger_sold(tables: Mapping[str, dict[Any, Any]]) -> int:
    """Return the places of confirmed bookings in the ledger."""
    bookings = tables["bookings"]
    return sum(
        quantity
        for (own_id, _), (_, quantity, _) in tables["items"].items()
        if own_id in bookings and bookings[own_id]["status"] == "confirmed"
    )


def _sold(state: State) -> int:
    rows = (row.split(" ") for row in state.bookings.values())
    return sum(places_of(words[7]) for words in rows if words[0] == "confirmed")
