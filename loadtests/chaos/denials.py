"""
False denials: an answer that says for good that something is not there which must be.

Pure, as `checkers.py`: from a history to violations. What was acknowledged and ended by nobody is
asked for while faults strike, and after them: bookings with their tickets, holds and offers within
their life, waitlist entries, lists. 503 and no answer are honest; 404, 410 and `not_on_sale` about
something that is there are not, nor is a list that says it is up to date and leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from loadtests.chaos.checkers import MAKES, Violation
from loadtests.chaos.history import Call

#: Refusals that say that something is not there, or is over.
DENIES = frozenset(
    {
        "not_found",
        "not_on_sale",
        "hold_expired",
        "hold_released",
        "event_cancelled",
        "event_ended",
        "ticket_cancelled",
        "ticket_superseded",
        "left_out",
    }
)
#: Codes with which an honest order of an event that is on sale is turned away for something that it
#: did not do: the event is there, is open, and the limit of attempts is out of reach.
TURNS_AWAY = frozenset({"not_found", "not_on_sale", "rate_limited"})
#: Statuses of a hold, and of an entry, that its owner alone can bring about within its life.
_HOLD_OVER = frozenset({"expired", "released"})
_ENTRY_OVER = frozenset({"left", "event_cancelled"})
#: A deadline this near may pass while the answer is on its way.
SLACK_S = 0.5

Sort = Literal["booking", "hold", "entry", "offer"]
_ORDERS = frozenset({"book", "hold", "join"})
_THING_OF: dict[str, Sort] = {
    "see": "booking",
    "list": "booking",
    "scan": "booking",
    "cancel": "booking",
    "see_hold": "hold",
    "see_entry": "entry",
    "list_entry": "entry",
    "leave": "entry",
}


class Known(NamedTuple):
    """Something that was acknowledged."""

    #: When its owner learnt of it, on the monotonic clock.
    since_s: float
    #: End of its life; infinite for what has none.
    until_s: float
    places: int


class Told:
    """What people were told of everything, and what they did to it themselves."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.known: dict[tuple[Sort, str], Known] = {}
        #: When its owner first asked for its end.
        self._ended_s: dict[tuple[Sort, str], float] = {}
        for call in calls:
            self._heed(call)

    def denied_too_early(self, thing: Sort, call: Call) -> bool:
        """Tell whether *call* denies something that must have been there all the time it took."""
        own = (thing, call.booking_id)
        known = self.known.get(own)
        return (
            known is not None
            and known.since_s < call.invoked_s
            and call.ended_s < known.until_s - SLACK_S
            and call.ended_s < self._ended_s.get(own, math.inf)
        )

    def _heed(self, call: Call) -> None:
        own_id, is_ok, state = call.booking_id, call.outcome == "ok", call.end and call.end.state
        if call.verb in {"cancel", "leave"}:
            # What was asked for may have happened, unless it was refused.
            if call.outcome != "fail":
                for thing in ("booking", "entry", "offer"):
                    self._ended_s.setdefault((thing, own_id), call.invoked_s)
        elif not is_ok:
            return
        elif call.verb in MAKES:
            self._learn("booking", call)
        elif call.verb == "hold":
            self._learn("hold", call)
        elif call.verb == "join":
            self._learn("entry", call)
        elif call.verb == "see_entry" and state == "offered" and call.end and call.end.until_s:
            self._learn("offer", call)

    def _learn(self, thing: Sort, call: Call) -> None:
        until_s = call.end.until_s if call.end is not None else 0.0
        known = Known(call.ended_s, until_s or math.inf, call.places)
        self.known.setdefault((thing, call.booking_id), known)


def denied(calls: Sequence[Call], *, lives_run: bool = True) -> list[Violation]:
    """
    Whatever was acknowledged and not ended by its owner is never denied.

    Args:
        lives_run: Whether the deadlines that were told can be relied upon: no clock was moved.
    """
    told = Told(calls)
    found: dict[tuple[str, str], Violation] = {}
    for call in calls:
        for thing, why in _denials(call, told):
            if thing in {"hold", "offer"} and not lives_run:
                continue
            found.setdefault((thing, call.booking_id), _violation(thing, call, why))
        if call.verb in _ORDERS and call.code in TURNS_AWAY:
            found.setdefault(
                ("order", call.booking_id), _violation("honest order", call, call.code)
            )
    return list(found.values())


def _denials(call: Call, told: Told) -> Iterator[tuple[Sort, str]]:
    """Yield what a call falsely denies, and how."""
    things: list[Sort] = []
    if call.verb == "confirm":
        things = ["hold", "offer"]
    elif call.verb in _THING_OF:
        things = [_THING_OF[call.verb]]
    why = _denial(call, told)
    if why:
        for thing in things:
            if told.denied_too_early(thing, call):
                yield thing, why


def _denial(call: Call, told: Told) -> str:
    """Say how an answer denies what was asked for; empty if it does not."""
    if call.outcome == "fail":
        # 404 for a cancellation is an acknowledged booking that is lost: `checkers.lost`.
        is_counted = call.verb == "cancel" and call.code == "not_found"
        return call.code if call.code in DENIES and not is_counted else ""
    if call.outcome != "ok" or call.end is None:
        return ""
    state = call.end.state
    if call.verb == "see":
        booking = told.known.get(("booking", call.booking_id))
        if state == "cancelled":
            return "shown as cancelled"
        if booking is not None and call.end.tickets < booking.places:
            return f"shown with {call.end.tickets} tickets of {booking.places}"
    over = {"see_hold": _HOLD_OVER, "see_entry": _ENTRY_OVER}.get(call.verb, frozenset())
    return f"shown as {state}" if state in over else ""


def _violation(thing: str, call: Call, why: str) -> Violation:
    asked = "" if call.verb in {"see", "see_hold", "see_entry"} else f" at {call.verb}"
    text = f"{call.booking_id}: {thing} denied{asked}: {why}"
    return Violation("denied", "I22", text, (call.booking_id,))
