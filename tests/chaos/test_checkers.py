"""`loadtests/chaos/checkers.py`: each checker passes a good history and catches a bad one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtests.chaos import checkers, history, linear
from loadtests.chaos.checkers import Booking, Ledger, Shut
from loadtests.chaos.history import Call, Line
from loadtests.chaos.linear import SeatCall

EVENT = "evt_a"


def call(
    verb: str,
    owner: str,
    times: tuple[float, float],
    outcome: str = "ok",
    *,
    seats: tuple[str, ...] = ("s1-1",),
    **end: Any,
) -> Call:
    """Return one attempt; an answer tells the booking's own id and seq 1 unless told otherwise."""
    told = {"told_id": owner, "told_seq": 1} if outcome == "ok" else {}
    fields: dict[str, Any] = {**told, **end, "kind": outcome}
    line = Line(at_s=times[1], seats=seats, **fields)
    return Call(
        verb=verb,  # type: ignore[arg-type]
        booking_id=owner,
        event_id=EVENT,
        tier_no=1,
        places=len(seats) or 1,
        seats=seats,
        invoked_s=times[0],
        ended_s=math.inf if outcome == "info" else times[1],
        outcome=outcome,  # type: ignore[arg-type]
        end=line,
    )


def ledger(
    bookings: Mapping[str, bool], *, seats: Mapping[str, str] | None = None, capacity: int = 10
) -> Ledger:
    """Return a ledger: which bookings there are and live, and who has which seat."""
    return Ledger(
        bookings={
            booking_id: Booking(is_live, ((1, 1),) if is_live else ())
            for booking_id, is_live in bookings.items()
        },
        event_of=dict.fromkeys(bookings, EVENT),
        seats=[(EVENT, seat, owner) for seat, owner in (seats or {}).items()],
        capacities={(EVENT, 1): capacity},
    )


def invariants(found: list[checkers.Violation]) -> list[str]:
    """Return which invariants were broken."""
    return [violation.invariant for violation in found]


GOOD = [
    call("book", "a", (0, 1)),
    call("cancel", "a", (2, 3)),
    call("book", "b", (4, 5), "info"),
    call("book", "b", (6, 7)),
    call("book", "c", (6, 8), "fail", code="seat_taken", seat="s1-1"),
]
GOOD_LEDGER = ledger({"a": False, "b": True}, seats={"s1-1": "b"})


def test_a_good_history_passes() -> None:
    """Bookings, a cancellation, a repeated request and a refusal: nothing to complain of."""
    assert [] == checkers.lost(GOOD, GOOD_LEDGER)
    assert [] == checkers.phantoms(GOOD, GOOD_LEDGER)
    assert [] == checkers.duplicates(GOOD)
    assert [] == checkers.oversold(GOOD, GOOD_LEDGER)
    assert [] == checkers.holds_kept(GOOD, holds_may_end=False)
    assert ([], 0) == checkers.linearizable(GOOD, GOOD_LEDGER, holds_may_end=False)
    assert [] == checkers.failed_closed(GOOD, [Shut(1.5, 1.9, "shut")])


BOOKED = call("book", "a", (0, 1))
DENIED = call("cancel", "a", (2, 3), "fail", code="not_found")
LOST: dict[str, tuple[list[Call], dict[str, bool]]] = {
    "gone": ([BOOKED], {}),
    "confirmed and gone": ([call("confirm", "a", (0, 1))], {}),
    "cancelled by nobody": ([BOOKED], {"a": False}),
    "cancellation lost": ([BOOKED, call("cancel", "a", (2, 3))], {"a": True}),
    "denied": ([BOOKED, DENIED], {"a": True}),
}


@pytest.mark.parametrize("told", LOST)
def test_i4_lost_is_caught(told: str) -> None:
    """I4: what was acknowledged and is not in the ledger is named."""
    calls, bookings = LOST[told]
    assert ["I4"] == invariants(checkers.lost(calls, ledger(bookings)))


def test_i4_unknown_is_not_lost() -> None:
    """I4: a request without an answer promises nothing, and an excused loss is none."""
    calls = [call("book", "a", (0, 1), "info"), call("book", "b", (0, 1))]

    assert [] == checkers.lost(calls, ledger({"b": True}))
    assert [] == checkers.lost(calls, ledger({}), excused={"b"})
    half = [call("book", "a", (0, 1)), call("cancel", "a", (2, 3), "info")]
    assert [] == checkers.lost(half, ledger({"a": False}))
    assert [] == checkers.lost(half, ledger({"a": True}))


def test_i5_phantom_is_caught() -> None:
    """I5: a booking that was refused each time, or that nobody asked for, is named."""
    calls = [call("book", "a", (0, 1), "fail", code="sold_out")]

    assert ["I5"] == invariants(checkers.phantoms(calls, ledger({"a": True})))
    assert ["I5"] == invariants(checkers.phantoms([], ledger({"a": False})))
    unsure = [*calls, call("book", "a", (2, 3), "info")]
    assert [] == checkers.phantoms(unsure, ledger({"a": True}))


def test_i6_different_answers_are_caught() -> None:
    """I6: one key, two answers; or the id of another booking."""
    twice = [call("book", "a", (0, 1)), call("book", "a", (2, 3), told_seq=2)]
    other = [call("book", "a", (0, 1), told_id="b")]

    assert ["I6"] == invariants(checkers.duplicates(twice))
    assert ["I6"] == invariants(checkers.duplicates(other))


def test_i6_misuse_of_a_key_is_caught() -> None:
    """I6: another order under a used key must be refused."""
    refused = call("misuse", "a", (2, 3), "fail", code="idempotency_key_reused")

    assert [] == checkers.duplicates([call("book", "a", (0, 1)), refused])
    assert ["I6"] == invariants(checkers.duplicates([call("misuse", "a", (2, 3))]))


def test_i3_two_owners_are_caught() -> None:
    """I3: two live tickets for one seat, or two people who were told it is theirs."""
    base = ledger({"a": True, "b": True})
    written = base._replace(seats=[(EVENT, "s1-1", "a"), (EVENT, "s1-1", "b")])
    told = [call("book", "a", (0, 1)), call("book", "b", (2, 3))]

    assert ["I3"] == invariants(checkers.oversold([], written))
    assert ["I3"] == invariants(checkers.oversold(told, base))


def test_i1_too_many_places_are_caught() -> None:
    """I1: more live places than there are, in the ledger or by what people were told."""
    bookings = {"a": True, "b": True}
    told = [call("book", owner, (0, 1), seats=()) for owner in bookings]

    assert ["I1"] == invariants(checkers.oversold([], ledger(bookings, capacity=1)))
    assert ["I1"] == invariants(checkers.oversold(told, ledger({}, capacity=1)))
    assert [] == checkers.oversold(told, ledger(bookings, capacity=2))


def test_i11_lost_hold_is_caught() -> None:
    """I11: a hold that was acknowledged and cannot be confirmed, unless holds may end."""
    calls = [call("hold", "a", (0, 1)), call("confirm", "a", (2, 3), "fail", code="hold_expired")]

    assert ["I11"] == invariants(checkers.holds_kept(calls, holds_may_end=False))
    assert [] == checkers.holds_kept(calls, holds_may_end=True)


def test_i17_sale_behind_a_shut_door_is_caught() -> None:
    """I17: a call that was sent and answered while Redis was shut; not one that overlaps."""
    calls = [call("book", "a", (2, 3)), call("book", "b", (0, 3)), call("book", "c", (2, 9))]

    assert ["a"] == [
        violation.booking_ids[0]
        for violation in checkers.failed_closed(calls, [Shut(1, 5, "recovering")])
    ]


def test_unforeseen_errors_are_caught() -> None:
    """An answer 500 is named, once for each booking; 503 is not."""
    calls = [
        call("book", "a", (0, 1), "info", code="internal"),
        call("book", "a", (2, 3), "info", code="internal"),
        call("book", "b", (2, 3), "info", code="shard_recovering"),
    ]

    assert ["500"] == invariants(checkers.unforeseen(calls))


def seat(verb: str, owner: str, times: tuple[float, float], outcome: str = "ok") -> SeatCall:
    """Return a call as one seat sees it."""
    ended_s = math.inf if outcome == "info" else times[1]
    return SeatCall(verb, owner, times[0], ended_s, outcome)  # type: ignore[arg-type]


def seats(text: str) -> list[SeatCall]:
    """Read calls such as `book a 0-1` or `confirm a 4-5 over`, separated by commas."""
    found = []
    for one in filter(None, text.split(", ")):
        verb, owner, times, *outcome = one.split()
        from_s, to_s = map(float, times.split("-"))
        found.append(seat(verb, owner, (from_s, to_s), *outcome))
    return found


#: Calls, and who has the seat in the end, by what they tell.
EXPLAINED = {
    "nothing": ("", None),
    "sold": ("book a 0-1", "a"),
    "sold again": ("book a 0-1, cancel a 2-3, book b 4-5", "b"),
    "refused before the answer of who has it": ("book a 0-5, book b 1-2 taken", "a"),
    "the unanswered one has it": ("book a 0-1 info, book b 5-6 taken", "a"),
    "the unanswered one came to nothing": ("book a 0-1 info, book b 5-6", "b"),
    "the unanswered one came late": ("book a 0-1 info, book b 2-3, cancel b 4-5", "a"),
    "held and confirmed": ("hold a 0-1, book b 2-3 taken, confirm a 4-5", "a"),
    "a repeated key changes nothing": ("book a 0-1, book a 2-3, cancel a 4-5, book a 6-7", None),
}
UNEXPLAINED = {
    "sold twice": ("book a 0-1, book b 2-3", "b"),
    "lost in the end": ("book a 0-1", None),
    "owner from nowhere": ("", "a"),
    "refused a free seat": ("book a 0-1 taken", None),
    "still taken after cancelling": ("book a 0-1, cancel a 2-3, book b 4-5 taken", None),
    "a cancelled booking came back": ("book a 0-1, cancel a 2-3", "a"),
    "sold from under a live hold": ("hold a 0-1, book b 2-3", "b"),
    "confirmed without a hold": ("confirm a 0-1", "a"),
    "refused before the unanswered one was sent": ("book a 5-6 info, book b 0-1 taken", "a"),
    "a hold ended by itself": ("hold a 0-1, confirm a 2-3 over", None),
}


@pytest.mark.parametrize("told", [*EXPLAINED, *UNEXPLAINED])
def test_i16_histories(told: str) -> None:
    """I16: some order explains the good histories, and none the bad ones."""
    calls, owner = (EXPLAINED | UNEXPLAINED)[told]
    assert (told in EXPLAINED) == linear.is_linearizable(seats(calls), owner)


def test_i16_holds_that_may_end() -> None:
    """I16: where holds may end, their seats may be sold to others, and late confirmations fail."""
    sold = seats("hold a 0-1, book b 2-3, confirm a 4-5 over")
    late = seats("hold a 0-1, confirm a 2-3 over, book b 4-5, cancel b 6-7, confirm a 8-9")

    assert linear.is_linearizable(sold, "b", holds_may_end=True)
    assert linear.is_linearizable(late, "a", holds_may_end=True)
    assert not linear.is_linearizable(sold, "a", holds_may_end=True)


def test_i16_long_histories_are_decided() -> None:
    """I16: three hundred sales of one seat with refusals between them are no burden."""
    calls = []
    for number in range(300):
        at = 10.0 * number
        calls += [
            seat("book", f"b{number}", (at, at + 1)),
            seat("book", f"x{number}", (at, at + 4), "taken"),
            seat("book", f"y{number}", (at, at + 1), "info" if number % 30 == 0 else "taken"),
            seat("cancel", f"b{number}", (at + 5, at + 6)),
        ]

    assert linear.is_linearizable(calls, None)


def test_i16_seats_are_judged_one_by_one() -> None:
    """I16: of two seats, the one that was sold twice is named, with both its buyers."""
    calls = [
        call("book", "a", (0, 1), seats=("s1-1", "s1-2")),
        call("book", "b", (2, 3), seats=("s1-2",)),
    ]
    found, undecided = checkers.linearizable(
        calls, ledger({}, seats={"s1-1": "a", "s1-2": "b"}), holds_may_end=False
    )

    assert 0 == undecided
    assert [("I16", ("s1-2",), ("a", "b"))] == [
        (violation.invariant, violation.seats, violation.booking_ids) for violation in found
    ]


def test_history_survives_its_writer(tmp_path: Path) -> None:
    """An invocation without an end, and half a line of a writer that died, are calls of unknown
    outcome."""
    path = tmp_path / "history"
    recorder = history.Recorder(path)
    first = recorder.invoke(Line(at_s=1.0, kind="invoke", verb="book", booking_id="a"))
    recorder.end(first, "ok", told_id="a", told_seq=7)
    recorder.nemesis("kill api")
    second = recorder.invoke(Line(at_s=2.0, kind="invoke", verb="book", booking_id="b"))
    recorder.end(second, "info", "TimeoutError")
    recorder.invoke(Line(at_s=3.0, kind="invoke", verb="book", booking_id="c"))
    recorder.close()
    with path.open("ab") as file:
        file.write(msgspec.json.encode(Line(at_s=4.0, kind="ok", attempt=3))[:20])
    found = history.calls(history.read(path))

    assert [("a", "ok"), ("b", "info"), ("c", "info")] == [
        (one.booking_id, one.outcome) for one in found
    ]
    assert [False, True, True] == [one.ended_s == math.inf for one in found]
    told = history.timeline(history.read(path), booking_ids=["a"])
    assert 3 == len(told)
    assert "kill api" in told[-1]
