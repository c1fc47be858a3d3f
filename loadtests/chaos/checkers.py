"""
What must hold after any faults: pure functions from a history and the ledger to violations.

Owns I3, I4, I5, I6 as set algebra, I16 seat by seat, I17 as far as it can be seen from outside.
I18 is judged where it is waited for, in `site.py`; I22 in `denials.py`; conservation and the rest
of the invariants by the reconciler. Each checker has tests with bad histories that it must catch.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from loadtests.chaos.history import LOOKS, Call
from loadtests.chaos.linear import SeatCall, Undecided, is_linearizable

MAKES = {"book", "confirm"}
#: Verbs that give or take seats.
SELLS = {"book", "hold", "confirm", "cancel"}
#: Refusals of a confirmation that say that the hold is no more.
OVER = {"hold_expired", "hold_released", "not_found"}
_EVERYWHERE: Mapping[str, int] = {}


class Booking(NamedTuple):
    """A booking as PostgreSQL has it in the end."""

    is_live: bool
    #: (tier_no, places) it has, while it is live.
    tiers: tuple[tuple[int, int], ...] = ()


class Ledger(NamedTuple):
    """What PostgreSQL has in the end of the events of one round."""

    bookings: Mapping[str, Booking]
    #: booking_id -> event_id.
    event_of: Mapping[str, str]
    #: (event_id, seat_id, booking_id) of each ticket that is live.
    seats: Sequence[tuple[str, str, str]]
    #: (event_id, tier_no) -> places.
    capacities: Mapping[tuple[str, int], int]


class Shut(NamedTuple):
    """A time during which a shard was seen shut without a gap, on the monotonic clock."""

    from_s: float
    to_s: float
    why: str
    shard: int = 0


class Violation(NamedTuple):
    """One broken promise, and whose story tells it."""

    kind: Literal["lost", "oversold", "duplicate", "denied", "other"]
    invariant: str
    text: str
    booking_ids: tuple[str, ...] = ()
    seats: tuple[str, ...] = ()


def acknowledged(calls: Sequence[Call]) -> set[str]:
    """Return the bookings that were acknowledged."""
    return {call.booking_id for call in calls if call.verb in MAKES and call.outcome == "ok"}


def lost(
    calls: Sequence[Call], ledger: Ledger, *, excused: Collection[str] = frozenset()
) -> list[Violation]:
    """
    I4: whatever was acknowledged stands in the ledger, a cancellation too.

    Args:
        excused: Bookings whose loss the promise allows: Redis's disk was cut, and the worker that
            acknowledged them was killed before PostgreSQL had them.
    """
    acked = acknowledged(calls)
    gone = {call.booking_id for call in calls if call.verb == "cancel" and call.outcome == "ok"}
    perhaps_gone = {
        call.booking_id for call in calls if call.verb == "cancel" and call.outcome != "fail"
    }
    found = []
    for booking_id in sorted(acked - set(excused)):
        booking = ledger.bookings.get(booking_id)
        if booking is None:
            text = "acknowledged, and PostgreSQL does not have it"
        elif not booking.is_live and booking_id not in perhaps_gone:
            text = "acknowledged, and cancelled by nobody who asked for it"
        elif booking.is_live and booking_id in gone:
            text = "its cancellation was acknowledged, and it is still live"
        else:
            continue
        found.append(Violation("lost", "I4", f"{booking_id}: {text}", (booking_id,)))
    found += [
        Violation(
            "lost",
            "I4",
            f"{call.booking_id}: acknowledged, then denied with 404",
            (call.booking_id,),
        )
        for call in calls
        if call.verb == "cancel"
        and call.code == "not_found"
        and call.booking_id in acked - set(excused)
    ]
    return found


def phantoms(calls: Sequence[Call], ledger: Ledger) -> list[Violation]:
    """I5: every booking in the ledger was asked for, and was not refused each time."""
    possible = {call.booking_id for call in calls if call.verb in MAKES and call.outcome != "fail"}
    return [
        Violation(
            "duplicate",
            "I5",
            f"{booking_id}: in the ledger, though nobody was promised it",
            (booking_id,),
        )
        for booking_id in sorted(ledger.bookings)
        if booking_id not in possible
    ]


def duplicates(calls: Sequence[Call]) -> list[Violation]:
    """I6: all answers to one key are the same, and no other request ever gets through under it."""
    answers: dict[str, set[tuple[str, int]]] = defaultdict(set)
    found = []
    for call in calls:
        if call.outcome != "ok":
            continue
        if call.verb == "misuse":
            found.append(
                Violation(
                    "duplicate",
                    "I6",
                    f"{call.booking_id}: another order got through under its key",
                    (call.booking_id,),
                )
            )
        elif call.verb in MAKES and call.end is not None:
            answers[call.booking_id].add((call.end.told_id, call.end.told_seq))
    for booking_id, told in sorted(answers.items()):
        if len(told) > 1 or next(iter(told))[0] != booking_id:
            text = f"{booking_id}: its key was answered with {sorted(told)}"
            found.append(Violation("duplicate", "I6", text, (booking_id,)))
    return found


def oversold(calls: Sequence[Call], ledger: Ledger) -> list[Violation]:
    """I3, I1: no seat has two owners, no tier more places than it has; told and written alike."""
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event_id, seat, booking_id in ledger.seats:
        owners[event_id, seat].add(booking_id)
    written: Counter[tuple[str, int]] = Counter()
    for booking_id, booking in ledger.bookings.items():
        for tier_no, places in booking.tiers:
            written[ledger.event_of[booking_id], tier_no] += places
    told: Counter[tuple[str, int]] = Counter()
    ended = {call.booking_id for call in calls if call.verb == "cancel"}
    kept = {
        call.booking_id: call
        for call in calls
        if call.verb in MAKES and call.outcome == "ok" and call.booking_id not in ended
    }
    for booking_id, call in kept.items():
        told[call.event_id, call.tier_no] += call.places
        for seat in call.seats:
            owners[call.event_id, seat].add(booking_id)
    found = [
        Violation(
            "oversold",
            "I3",
            f"seat {seat} has {len(ids)} owners: {', '.join(sorted(ids))}",
            tuple(sorted(ids)),
            (seat,),
        )
        for (_, seat), ids in sorted(owners.items())
        if len(ids) > 1
    ]
    for name, sold in (("written", written), ("told", told)):
        found += [
            Violation(
                "oversold",
                "I1",
                f"tier {tier_no} of {event_id}: {places} places {name}, "
                f"{ledger.capacities.get((event_id, tier_no), 0)} there are",
            )
            for (event_id, tier_no), places in sorted(sold.items())
            if places > ledger.capacities.get((event_id, tier_no), 0)
        ]
    return found


def holds_kept(calls: Sequence[Call], *, holds_may_end: bool) -> list[Violation]:
    """I11: a hold that was acknowledged can be confirmed, unless holds may end."""
    if holds_may_end:
        return []
    held = {
        call.booking_id: call.ended_s
        for call in reversed(calls)
        if call.verb == "hold" and call.outcome == "ok"
    }
    return [
        Violation("other", "I11", f"{call.booking_id}: held, then {call.code}", (call.booking_id,))
        for call in calls
        if call.verb == "confirm"
        and call.code in OVER
        and held.get(call.booking_id, math.inf) < call.invoked_s
    ]


def linearizable(
    calls: Sequence[Call], ledger: Ledger, *, holds_may_end: bool
) -> tuple[list[Violation], int]:
    """I16: each seat's calls have an order that explains them; also how many are undecided."""
    final = {(event_id, seat): booking_id for event_id, seat, booking_id in ledger.seats}
    histories: dict[tuple[str, str], list[SeatCall]] = defaultdict(list)
    for call in calls:
        for seat, outcome in _seats_of(call):
            histories[call.event_id, seat].append(
                SeatCall(
                    call.verb,  # type: ignore[arg-type]  # A seat's verbs are among all.
                    call.booking_id,
                    call.invoked_s,
                    call.ended_s,
                    outcome,
                )
            )
    found, undecided = [], 0
    for (event_id, seat), history in sorted(histories.items()):
        owner = final.get((event_id, seat))
        try:
            if is_linearizable(history, owner, holds_may_end=holds_may_end):
                continue
        except Undecided:
            undecided += 1
            continue
        text = f"seat {seat}: no order of its calls explains the answers and its owner {owner}"
        ids = tuple(sorted({call.owner for call in history}))
        found.append(Violation("other", "I16", text, ids, (seat,)))
    return found, undecided


def _seats_of(call: Call) -> list[tuple[str, Literal["ok", "taken", "over", "info"]]]:
    """Return the seats on which a call says something, and what."""
    if call.verb not in SELLS:
        return []
    if call.outcome == "ok":
        return [(seat, "ok") for seat in call.seats]
    if call.outcome == "info":
        return [(seat, "info") for seat in call.seats]
    if call.code == "seat_taken" and call.end is not None and call.end.seat:
        return [(call.end.seat, "taken")]
    if call.verb == "confirm" and call.code in OVER:
        return [(seat, "over") for seat in call.seats]
    return []  # The refusal was about something else: limits, a tier that is sold out.


def failed_closed(
    calls: Sequence[Call], shut: Sequence[Shut], shard_of: Mapping[str, int] = _EVERYWHERE
) -> list[Violation]:
    """
    I17: nothing was sold within a time during which its shard was shut.

    Args:
        shard_of: event_id -> shard, 0 where it is left out.
    """
    return [
        Violation(
            "other",
            "I17",
            f"{call.booking_id}: {call.verb} acknowledged while {time.why}",
            (call.booking_id,),
        )
        for time in shut
        for call in calls
        if call.outcome == "ok"
        and call.verb != "misuse"
        and call.verb not in LOOKS
        and shard_of.get(call.event_id, 0) == time.shard
        and time.from_s <= call.invoked_s
        and call.ended_s <= time.to_s
    ]


def unforeseen(calls: Sequence[Call]) -> list[Violation]:
    """An answer 500 is a bug, whatever the fault: what is foreseen is refused or 503."""
    found = {call.booking_id: call for call in calls if call.code == "internal"}
    return [
        Violation(
            "other", "500", f"{booking_id}: {call.verb} met an unforeseen error", (booking_id,)
        )
        for booking_id, call in sorted(found.items())
    ]
