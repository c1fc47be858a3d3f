"""
The waitlist's share of I8 and I9: lists in Redis are what the records say, and offers have holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine.ids import offer_of_entry
from engine.values import LIVE, MEMBER_HEAD_CHARS, WaitEntry, member
from reconciler.event.view import EventView, number, of_event
from reconciler.event.violation import Violation
from store.waitlist import OFFER_PREFIX

#: Fields of an entry that no record changes after it has joined.
_FOR_LIFE = ("epoch", "seq", "at_ms", "user_id", "fingerprint", "tier_no", "quantity", "join_no")


def check_waitlist(view: EventView) -> list[Violation]:
    """I8, I9: entries, lists and counts in Redis are what the records say; offers have holds."""
    return [*_check_entries(view), *_check_lists(view), *_check_offers(view)]


def _check_entries(view: EventView) -> Iterator[Violation]:
    shard = view.shard
    for entry_id, entry in view.entries.items():
        if shard.is_after(entry.epoch, entry.seq):
            continue
        expected = view.state.entries.get(entry_id)
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
    for entry_id, expected in view.state.entries.items():
        if entry_id not in view.entries:
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
    shard = view.shard
    live: Counter[tuple[int, str]] = Counter()
    for entry_id, entry in view.state.entries.items():
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
    there = {name[MEMBER_HEAD_CHARS:]: name for name in view.members}
    for stray in there.keys() - view.entries.keys():
        yield _of_tier(
            view,
            "list_differs",
            number(there[stray][:3]) or 0,
            "an entry",
            "nothing",
            f"{stray} is listed, and is none",
        )
    for entry_id, entry in view.entries.items():
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
    offered = {
        offer_of_entry(entry_id): (entry_id, entry)
        for entry_id, entry in view.state.entries.items()
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
