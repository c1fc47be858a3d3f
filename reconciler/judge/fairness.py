"""
I9 over all of history: nobody is served before one who waited longer, but for a reason on record.

Follows a shard's journal from its first record. An offer's record says whom it passed and why;
what it says must be so.
"""

from __future__ import annotations

from collections import defaultdict

from engine.records import (
    Booked,
    Confirmed,
    Expired,
    Held,
    Joined,
    Left,
    Lost,
    Offered,
    Record,
    Released,
)
from reconciler.event.violation import Violation

#: Unfair steps that are kept; more is one more violation, not more memory.
UNFAIR_MAX = 1_000


class Fairness:
    """Follows the records of a shard in order, and notes every step that overtakes somebody."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._lists: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        self._policies: dict[str, str] = {}
        #: Who waits with which entry, and who has which live holds and offers of an event.
        self._owners: dict[str, str] = {}
        self._undecided: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.unfair: list[Violation] = []
        self._is_blind = False

    def follow(self, seq: int, record: Record) -> None:
        """Take the next record of the journal."""
        event_id = record.event_id
        if isinstance(record, Held | Offered):
            self._undecided[event_id, record.user_id].add(record.hold_id)
        elif isinstance(record, Confirmed | Released | Expired):
            self._decide(event_id, record.user_id, record.hold_id)
        if isinstance(record, Joined):
            self._policies[event_id] = record.policy
            self._lists[event_id, record.tier_no][record.entry_id] = record.join_no
            self._owners[record.entry_id] = record.user_id
        elif isinstance(record, Offered):
            self._offer(seq, record)
        elif isinstance(record, Booked | Held) or (
            isinstance(record, Confirmed) and record.was_expired
        ):
            for item in record.items:
                if self._lists.get((event_id, item.tier_no)):
                    self._note(
                        seq,
                        record,
                        item.tier_no,
                        "list_overtaken",
                        "places were sold while others waited for them",
                    )
        elif isinstance(record, Left):
            self._lists[event_id, record.tier_no].pop(record.entry_id, None)
            self._owners.pop(record.entry_id, None)
        elif isinstance(record, Lost):
            # Who joined, left or was passed here is not known: what follows cannot be judged.
            self._is_blind = True

    def _decide(self, event_id: str, user_id: str, hold_id: str) -> None:
        undecided = self._undecided.get((event_id, user_id))
        if undecided is not None:
            undecided.discard(hold_id)
            if not undecided:
                del self._undecided[event_id, user_id]

    def _offer(self, seq: int, record: Offered) -> None:
        tier_no = record.items[0].tier_no
        waiting = self._lists[record.event_id, tier_no]
        if waiting.pop(record.entry_id, None) is None:
            self._note(
                seq,
                record,
                tier_no,
                "offer_without_entry",
                f"{record.entry_id} was offered places, but did not wait",
            )
        if record.cause_seq < 0:
            return  # Derived after a loss: whom it passed is not known (`event/derive.py`).
        before = {key for key, join_no in waiting.items() if join_no < record.join_no}
        for key in record.limited:
            if not self._undecided.get((record.event_id, self._owners.get(key, ""))):
                self._note(
                    seq,
                    record,
                    tier_no,
                    "passed_undue",
                    f"{record.entry_id} passed {key} for its owner's limit, who had nothing open",
                )
        self._owners.pop(record.entry_id, None)
        if before != {*record.passed, *record.limited}:
            self._note(
                seq,
                record,
                tier_no,
                "passed_unsaid",
                f"{record.entry_id} passed {len(before)} entries and its record names "
                f"{len(record.passed) + len(record.limited)}",
            )
        policy = self._policies.get(record.event_id)
        allowed = "turn" if not record.passed else "skip" if policy == "skip" else "patience"
        if record.reason != allowed:
            self._note(
                seq,
                record,
                tier_no,
                "reason_differs",
                f"{record.reason} is no reason under {policy}",
            )

    def _note(self, seq: int, record: Record, tier_no: int, code: str, message: str) -> None:
        if not self._is_blind and len(self.unfair) < UNFAIR_MAX:
            self.unfair.append(
                Violation(
                    invariant="I9",
                    code=code,
                    shard=self._shard,
                    event_id=record.event_id,
                    tier_no=tier_no,
                    seq=seq,
                    message=message,
                )
            )
