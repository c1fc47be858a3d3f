"""
What Redis keeps beside an event's values to find them in time: lists, pointers, deadlines.

No record names them, but they follow from the values beside them (I8, I9, I10): a hold that no list
has never ends or is never forgotten, an entry that no list has is never served. And holds, which no
table has: against the journal, as far as it was proved.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.values import Hold, WaitEntry
from reconciler.event.image import JOIN_NO_BASE, Image
from reconciler.event.view import EventView, number, of_event
from reconciler.event.violation import Violation

_FIRST = "first:"
_FOR_LIFE = ("epoch", "seq", "at_ms", "user_id", "fingerprint", "items")
_CHANGING = ("status", "version", "expires_at_ms", "changed_epoch", "changed_seq")


def check_holds(view: EventView) -> list[Violation]:
    """I2, I10, I11: live holds in Redis are those that the journal's records made, as they made."""
    if view.known_holds is None:
        return []
    found = [*_unrecorded(view)]
    unreadable = {name for name, _ in view.unreadable}
    for hold_id, wanted in view.known_holds.items():
        got = view.holds.get(hold_id)
        if got is not None:
            found += _hold_differs(view, hold_id, wanted, got)
        elif wanted.changed_epoch == view.shard.epoch and hold_id not in unreadable:
            # One of an earlier epoch may have given way to a booking when Redis was rebuilt.
            found.append(
                _of_hold(
                    view, "hold_lost", hold_id, wanted, "held", "nothing", "is gone from Redis"
                )
            )
    return found


def _unrecorded(view: EventView) -> Iterator[Violation]:
    assert view.known_holds is not None
    for hold_id, hold in view.holds.items():
        place = (hold.changed_epoch, hold.changed_seq)
        if hold.is_live and place <= view.known_place and hold_id not in view.known_holds:
            yield _of_hold(
                view, "hold_without_record", hold_id, hold, "not live", "held", "has no record"
            )


def _hold_differs(view: EventView, hold_id: str, wanted: Hold, got: Hold) -> Iterator[Violation]:
    is_later = (got.changed_epoch, got.changed_seq) > view.known_place
    for name in _FOR_LIFE if is_later else (*_FOR_LIFE, *_CHANGING):
        should, is_value = getattr(wanted, name), getattr(got, name)
        if should != is_value:
            what = f"{name} is not what its records say"
            yield _of_hold(view, "hold_differs", hold_id, wanted, should, is_value, what)
    if _plain(wanted.detail) != _plain(got.detail):
        what = "detail is not what its record says"
        yield _of_hold(view, "hold_differs", hold_id, wanted, wanted.detail, got.detail, what)


def _plain(detail: bytes) -> object:
    try:
        return msgspec.json.decode(detail)
    except msgspec.MsgspecError:
        return detail


def _of_hold(
    view: EventView, code: str, hold_id: str, hold: Hold, should: object, got: object, what: str
) -> Violation:
    return of_event(
        view,
        "I10",
        code,
        subject=f"{hold_id} {what}",
        seq=hold.seq,
        tier_no=hold.items[0].tier_no if hold.items else None,
        expected=str(should),
        found=str(got),
        message=f"{hold_id}: {what}",
    )


def check_lists(view: EventView, image: Image) -> list[Violation]:
    """I8, I9, I10: lists and pointers in Redis are those of the values beside them."""
    return [
        *_deadlines(view),
        *_ended(view),
        *_pointers(view),
        *_counts(view),
        *_turns(view, image),
    ]


def _violation(
    view: EventView, invariant: str, code: str, subject: str, expected: object, got: object
) -> Violation:
    return of_event(
        view,
        invariant,
        code,
        subject=subject,
        expected=str(expected),
        found=str(got),
        message=f"{subject}: {_WHAT[code]}",
    )


_WHAT = {
    "deadline_differs": "its deadline in the list is not the hold's own",
    "deadline_of_nobody": "stands among the deadlines, and is not live",
    "ended_differs": "whether it is among the ended holds is not what its row says",
    "pointer_differs": "who waits with which entry is not what the entries say",
    "list_count_differs": "the list's counter is not what the entries say",
    "sections_miscounted": "the number of sections is not what was published",
    "due_forgotten": "no sweeper looks at the event when its next hold runs out",
    "emptying_forgotten": "the event is cancelled, and nobody gives its places back",
}


def _deadlines(view: EventView) -> Iterator[Violation]:
    for hold_id, score in view.deadlines.items():
        hold = view.holds.get(hold_id)
        if hold is None or not hold.is_live:
            yield _violation(view, "I10", "deadline_of_nobody", hold_id, "nothing", f"{score:.0f}")
        elif score != hold.expires_at_ms:
            yield _violation(
                view, "I10", "deadline_differs", hold_id, hold.expires_at_ms, f"{score:.0f}"
            )


def _ended(view: EventView) -> Iterator[Violation]:
    over = {hold_id for hold_id, hold in view.holds.items() if not hold.is_live}
    for hold_id in sorted(over ^ set(view.ended)):
        words = ("listed", "not") if hold_id in over else ("not", "listed")
        yield _violation(view, "I10", "ended_differs", hold_id, *words)


def _pointers(view: EventView) -> Iterator[Violation]:
    last: dict[str, tuple[tuple[int, int], str]] = {}
    firsts = set()
    for entry_id, entry in view.entries.items():
        name, place = f"{entry.tier_no}:{entry.user_id}", (entry.epoch, entry.seq)
        last[name] = max(last.get(name, (place, entry_id)), (place, entry_id))
        if _is_first(entry):
            firsts.add(entry_id)
    pointed = {key: to for key, to in view.pointers.items() if not key.startswith(_FIRST)}
    for name in sorted(last.keys() | pointed.keys()):
        expected = last[name][1] if name in last else None
        if pointed.get(name) != expected:
            yield _violation(view, "I8", "pointer_differs", name, expected, pointed.get(name))
    used = {to for key, to in view.pointers.items() if key.startswith(_FIRST)}
    for entry_id in sorted(firsts ^ used):
        words = ("a first place", "none") if entry_id in firsts else ("none", "a first place")
        yield _violation(view, "I8", "pointer_differs", entry_id, *words)


def _is_first(entry: WaitEntry) -> bool:
    return int(entry.join_no) < JOIN_NO_BASE


def _counts(view: EventView) -> Iterator[Violation]:
    known = [e for e in view.entries.values() if not view.shard.is_after(e.epoch, e.seq)]
    numbers = [int(entry.join_no) for entry in known]
    counts = {
        "waitlist.joined": max((n - JOIN_NO_BASE for n in numbers if n > JOIN_NO_BASE), default=0),
        "waitlist.first": max((n for n in numbers if n < JOIN_NO_BASE), default=0),
    }
    for name, count in counts.items():
        got = view.stock.get(name, "0")
        if number(got) != count:
            yield _violation(view, "I9", "list_count_differs", name, count, got)
    published = view.published
    if published is not None and published.sections:
        count, got = len(published.sections), view.seats.get("count", "0")
        if number(got) != count:
            yield _violation(view, "I8", "sections_miscounted", "seats", count, got)


def _turns(view: EventView, image: Image) -> Iterator[Violation]:
    live = [hold.expires_at_ms for hold in view.live_holds.values() if hold.is_live]
    if live and (view.due_ms is None or view.due_ms > min(live)):
        yield _violation(view, "I10", "due_forgotten", view.event_id, min(live), view.due_ms)
    sale = view.state.sale
    if sale is None or sale.cancelled_at_ms is None or view.is_cancelling:
        return
    waiting = any(entry.status == "waiting" for entry in view.state.entries.values())
    if waiting or image.sold.total() or image.held.total():
        yield _violation(view, "I8", "emptying_forgotten", view.event_id, "listed", "not")
