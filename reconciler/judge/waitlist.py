"""
I9 and the waitlist's share of I8: lists in Redis are what the records say, and were led fairly.

`fold` leads the ledger's entries from the checkpoint to the watermark, `check_waitlist` compares
them with Redis at that moment, and `Fairness` follows the journal from its first record: nobody
is served before one who waited longer unless the record says whom it passed and why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from engine.ids import offer_of_entry
from engine.records import Booked, Confirmed, Held, Joined, Left, Lost, Offered, Record, Stalled
from engine.values import LIVE, WaitEntry, member
from reconciler.event.view import EventView, Violation, of_event
from store.waitlist import OFFER_PREFIX, change_of

#: Fields of an entry that no record changes after it has joined.
_FOR_LIFE = ("epoch", "seq", "at_ms", "user_id", "fingerprint", "tier_no", "quantity", "join_no")
#: Unfair steps that are kept; more is one more violation, not more memory.
UNFAIR_MAX = 1_000
#: Characters of a list's member before the entry's id.
MEMBER_HEAD = 17


def fold(entries: dict[str, WaitEntry], epoch: int, seq: int, record: Record) -> None:
    """Lead the entries of the record's event one record on."""
    change = change_of(record)
    if change is None:
        return
    if isinstance(record, Joined):
        entries[record.entry_id] = WaitEntry(
            "waiting",
            1,
            epoch,
            seq,
            record.at_ms,
            record.user_id,
            record.fingerprint,
            record.tier_no,
            record.quantity,
            record.join_no,
            0,
            epoch,
            seq,
            record.at_ms,
        )
        return
    entry = entries.get(change.entry_id)
    if entry is not None:
        entries[change.entry_id] = entry._replace(
            status=change.status or entry.status,
            version=change.version or entry.version,
            stalled_at_ms=record.at_ms if isinstance(record, Stalled) else entry.stalled_at_ms,
            changed_epoch=epoch,
            changed_seq=seq,
            changed_at_ms=record.at_ms,
        )


@dataclass(frozen=True, slots=True)
class Unfair:
    """A step that I9 forbids."""

    event_id: str
    tier_no: int
    seq: int
    code: str
    message: str


class Fairness:
    """Follows the records of a shard in order, and notes every step that overtakes somebody."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        self._policies: dict[str, str] = {}
        self.unfair: list[Unfair] = []
        self._is_blind = False

    def follow(self, seq: int, record: Record) -> None:
        """Take the next record of the journal."""
        event_id = record.event_id
        if isinstance(record, Joined):
            self._policies[event_id] = record.policy
            self._lists[event_id, record.tier_no][record.entry_id] = record.join_no
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
        elif isinstance(record, Lost):
            # Who joined, left or was passed here is not known: what follows cannot be judged.
            self._is_blind = True

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
            return  # Derived after a loss: whom it passed is not known (`repair/derive.py`).
        before = {key for key, join_no in waiting.items() if join_no < record.join_no}
        if before != set(record.passed):
            self._note(
                seq,
                record,
                tier_no,
                "passed_unsaid",
                f"{record.entry_id} passed {len(before)} entries and its record names "
                f"{len(record.passed)}",
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
            self.unfair.append(Unfair(record.event_id, tier_no, seq, code, message))


def check_waitlist(view: EventView) -> list[Violation]:
    """I8, I9: entries, lists and counts in Redis are what the records say; offers have holds."""
    return [*_check_entries(view), *_check_lists(view), *_check_offers(view)]


def _check_entries(view: EventView) -> Iterator[Violation]:
    lists, shard = view.waitlist, view.shard
    for entry_id, entry in lists.entries.items():
        if shard.is_after(entry.epoch, entry.seq):
            continue
        expected = lists.expected.get(entry_id)
        if expected is None:
            yield _violation(
                view,
                "entry_lost",
                entry_id,
                entry,
                "nothing",
                entry.status,
                "acknowledged in Redis, but in neither PostgreSQL nor the journal",
            )
            continue
        is_later = shard.is_after(entry.changed_epoch, entry.changed_seq)
        for name in _FOR_LIFE if is_later else WaitEntry._fields:
            should, is_value = getattr(expected, name), getattr(entry, name)
            if should != is_value:
                yield _violation(
                    view,
                    "entry_differs",
                    entry_id,
                    expected,
                    f"{name} {should}",
                    f"{name} {is_value}",
                    f"{name} is not what the ledger says",
                )
    if not view.stock:
        return
    for entry_id, expected in lists.expected.items():
        if entry_id not in lists.entries:
            yield _violation(
                view,
                "entry_not_in_redis",
                entry_id,
                expected,
                expected.status,
                "nothing",
                "the ledger has an entry that Redis does not have",
            )


def _check_lists(view: EventView) -> Iterator[Violation]:
    lists, shard = view.waitlist, view.shard
    waiting: Counter[int] = Counter()
    live: Counter[tuple[int, str]] = Counter()
    for entry_id, entry in lists.expected.items():
        waiting[entry.tier_no] += entry.status == "waiting"
        if entry.status in LIVE:
            live[entry.tier_no, entry.user_id] += 1
            if live[entry.tier_no, entry.user_id] > 1:
                yield _violation(
                    view,
                    "waits_twice",
                    entry_id,
                    entry,
                    1,
                    2,
                    "a person has two live entries for one tier",
                    invariant="I9",
                )
    if view.stock:
        for tier_no in range(1, int(view.stock.get("tier_count") or 0) + 1):
            count = view.stock.get(f"{tier_no}.waiting") or "0"
            if count != str(waiting[tier_no]):
                yield _of_tier(
                    view,
                    "waiting_differs",
                    tier_no,
                    waiting[tier_no],
                    count,
                    "entries counted as waiting are not those that the records have",
                )
    there = {name[MEMBER_HEAD:]: name for name in lists.members}
    for entry_id, entry in lists.entries.items():
        if shard.is_after(entry.changed_epoch, entry.changed_seq):
            continue
        name = there.get(entry_id)
        if (name is not None) != (entry.status == "waiting") or name not in {
            None,
            member(entry_id, entry),
        }:
            yield _violation(
                view,
                "list_differs",
                entry_id,
                entry,
                entry.status,
                name or "nothing",
                "the list in Redis and the entry do not agree",
                invariant="I9",
            )


def _check_offers(view: EventView) -> Iterator[Violation]:
    lists = view.waitlist
    offered = {
        offer_of_entry(entry_id): (entry_id, entry)
        for entry_id, entry in lists.expected.items()
        if entry.status == "offered"
    }
    live = {
        hold_id
        for hold_id, hold in view.holds.items()
        if hold_id.startswith(OFFER_PREFIX) and view.was_live(hold)
    }
    if view.stock:
        for offer_id in offered.keys() - live:
            yield _violation(
                view,
                "offer_without_hold",
                *offered[offer_id],
                "a live hold",
                "none",
                "an offer has no places behind it",
                invariant="I9",
            )
    for offer_id in live - offered.keys():
        hold = view.holds[offer_id]
        yield _of_tier(
            view,
            "hold_without_offer",
            hold.items[0].tier_no,
            "an offer",
            "none",
            f"{offer_id} holds places, but nobody is offered them",
        )


def unfair_violation(shard: int, unfair: Unfair) -> Violation:
    """Say what is wrong with a step of the journal."""
    return Violation(
        invariant="I9",
        code=unfair.code,
        shard=shard,
        event_id=unfair.event_id,
        tier_no=unfair.tier_no,
        seq=unfair.seq,
        message=unfair.message,
    )


def _violation(
    view: EventView,
    code: str,
    entry_id: str,
    entry: WaitEntry,
    expected: object,
    found: object,
    message: str,
    *,
    invariant: str = "I8",
) -> Violation:
    return of_event(
        view,
        invariant,
        code,
        tier_no=entry.tier_no,
        seq=entry.seq,
        expected=str(expected),
        found=str(found),
        subject=f"{entry_id} {expected}",
        message=f"{entry_id}: {message}",
    )


def _of_tier(
    view: EventView, code: str, tier_no: int, expected: object, found: object, message: str
) -> Violation:
    return of_event(
        view, "I9", code, tier_no=tier_no, expected=str(expected), found=str(found), message=message
    )
