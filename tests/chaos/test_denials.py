"""`loadtests/chaos/denials.py`: what must be there and is denied is seen, and nothing else is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from loadtests.chaos.denials import denied
from loadtests.chaos.history import Call, Line

FAR_S = 900.0


def call(verb: str, times: tuple[float, float], outcome: str = "ok", **end: Any) -> Call:
    """Return one attempt about booking `a`; what the answer says is in *end*."""
    fields: dict[str, Any] = {"until_s": 0.0, **end, "kind": outcome}
    return Call(
        verb=verb,  # type: ignore[arg-type]
        booking_id="a",
        event_id="evt_a",
        tier_no=1,
        places=1,
        seats=(),
        invoked_s=times[0],
        ended_s=math.inf if outcome == "info" else times[1],
        outcome=outcome,  # type: ignore[arg-type]
        end=Line(at_s=times[1], **fields),
    )


def refused(verb: str, code: str, times: tuple[float, float] = (2, 3)) -> Call:
    """Return an attempt that was refused."""
    return call(verb, times, "fail", code=code)


BOOKED = call("book", (0, 1))
HELD = call("hold", (0, 1), until_s=FAR_S, state="held")
JOINED = call("join", (0, 1), state="waiting")
OFFERED = call("see_entry", (0.5, 1), state="offered", until_s=FAR_S)

FALSE: dict[str, list[Call]] = {
    "booking not there": [BOOKED, refused("see", "not_found")],
    "booking of a hold not there": [call("confirm", (0, 1)), refused("see", "not_found")],
    "left out of the list": [BOOKED, refused("list", "left_out")],
    "shown as cancelled": [BOOKED, call("see", (2, 3), state="cancelled", tickets=1)],
    "ticket not there": [BOOKED, call("see", (2, 3), state="confirmed", tickets=0)],
    "ticket not let in": [BOOKED, refused("scan", "not_found")],
    "not to be cancelled": [BOOKED, refused("cancel", "not_on_sale")],
    "hold not there": [HELD, refused("see_hold", "not_found")],
    "hold shown as over": [HELD, call("see_hold", (2, 3), state="expired")],
    "hold not to be confirmed": [HELD, refused("confirm", "hold_expired")],
    "hold of no sale": [HELD, refused("confirm", "not_on_sale")],
    "entry not there": [JOINED, refused("see_entry", "not_found")],
    "entry left out": [JOINED, refused("list_entry", "left_out")],
    "entry shown as left": [JOINED, call("see_entry", (2, 3), state="left")],
    "entry not to be left": [JOINED, refused("leave", "not_found")],
    "offer not there": [JOINED, OFFERED, refused("confirm", "not_found")],
    "offer over": [JOINED, OFFERED, refused("confirm", "hold_expired")],
    "event not on sale": [refused("book", "not_on_sale")],
    "event not there": [refused("hold", "not_found")],
    "too many attempts": [refused("join", "rate_limited")],
    "cancelled only later": [BOOKED, refused("see", "not_found"), call("cancel", (4, 5))],
}
HONEST: dict[str, list[Call]] = {
    "all is there": [
        BOOKED,
        call("see", (2, 3), state="confirmed", tickets=1),
        call("list", (2, 3)),
        call("scan", (4, 5)),
    ],
    "not known now": [BOOKED, call("see", (2, 3), "info", code="shard_recovering")],
    "list that is behind": [BOOKED, call("list", (2, 3), "info", code="not up to date")],
    "never acknowledged": [call("book", (0, 1), "info"), refused("see", "not_found")],
    "asked before the answer": [call("book", (0, 5)), refused("see", "not_found")],
    "cancelled": [BOOKED, call("cancel", (2, 3)), call("see", (4, 5), state="cancelled")],
    "perhaps cancelled": [
        BOOKED,
        call("cancel", (2, 3), "info"),
        call("see", (4, 5), state="cancelled"),
    ],
    "after its life": [HELD, refused("confirm", "hold_expired", (FAR_S, FAR_S + 1))],
    "at the end of its life": [HELD, refused("see_hold", "not_found", (FAR_S - 1, FAR_S - 0.1))],
    "sold out": [refused("book", "sold_out")],
    "entry that was left": [JOINED, call("leave", (2, 3)), call("see_entry", (4, 5), state="left")],
    "offer that was left": [
        JOINED,
        OFFERED,
        call("leave", (2, 3)),
        refused("confirm", "hold_released", (4, 5)),
    ],
    "checked in already": [BOOKED, refused("scan", "already_checked_in")],
    # A cancellation that is answered with 404 is a loss, and counted there.
    "lost": [BOOKED, refused("cancel", "not_found")],
}


@pytest.mark.parametrize("told", FALSE)
def test_false_denial_is_seen(told: str) -> None:
    """I22: what was acknowledged and ended by nobody is denied: one violation, of its kind."""
    assert [("denied", "I22")] == [(one.kind, one.invariant) for one in denied(FALSE[told])]


@pytest.mark.parametrize("told", HONEST)
def test_honest_answers_pass(told: str) -> None:
    """I22: neither an honest answer, nor one about what was never promised, is a false denial."""
    assert [] == denied(HONEST[told])


def test_deadlines_mean_nothing_where_a_clock_was_moved() -> None:
    """I22: after a clock was moved, holds may be over; bookings and entries are not."""
    assert [] == denied(FALSE["hold not to be confirmed"], lives_run=False)
    assert 1 == len(denied(FALSE["booking not there"], lives_run=False))
    assert 1 == len(denied(FALSE["entry not there"], lives_run=False))
