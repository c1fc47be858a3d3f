"""
Per-seat linearizability (I16): is there an order of the calls in which each was answered rightly?

The register of one seat knows, of each booking that ever asked for it, whether it is held, sold,
cancelled or gone. The search is Wing and Gong's with the memory of Lowe: calls take effect between
their sending and their end, those with an unknown outcome at any time after sending, or never.
Linearizability is compositional, so seats are judged one by one and their histories stay tiny.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

#: States that one search may visit; beyond it the seat is reported as undecided.
STATES_MAX = 300_000

#: What each booking is to the seat: held, sold, cancelled, gone (a hold that ended).
State = frozenset[tuple[str, str]]


class SeatCall(NamedTuple):
    """One call as one seat sees it."""

    verb: Literal["book", "hold", "confirm", "cancel"]
    #: The booking that it makes, or that the hold would become.
    owner: str
    invoked_s: float
    #: Infinite if the outcome is not known.
    ended_s: float
    #: `ok`, `taken` (the seat was not free), `over` (the hold had ended), or `info`.
    outcome: Literal["ok", "taken", "over", "info"]


class Undecided(Exception):
    """The search was given up; nothing is proved."""


def is_linearizable(
    calls: Sequence[SeatCall], owner: str | None, *, holds_may_end: bool = False
) -> bool:
    """
    Tell whether some order explains every answer and ends with the seat as the ledger has it.

    Args:
        calls: All calls that may have touched the seat.

        owner: Live booking that has the seat in the end; None if nobody has.

        holds_may_end: Holds may end by themselves, by their deadline or in a rebuild.

    Raises:
        Undecided: too many orders.
    """
    # In the order of their ends: what must come first is found first.
    ordered = sorted(calls, key=lambda call: (call.ended_s, call.invoked_s))
    return _Search(ordered, owner, holds_may_end=holds_may_end).run()


class _Search:
    def __init__(
        self, calls: Sequence[SeatCall], owner: str | None, *, holds_may_end: bool
    ) -> None:
        self._calls = calls
        self._owner = owner
        self._holds_may_end = holds_may_end
        self._certain = sum(
            1 << number for number, call in enumerate(calls) if call.ended_s < math.inf
        )

    def run(self) -> bool:
        """Search depth first, each configuration once."""
        seen: set[tuple[int, State]] = set()
        waiting: list[tuple[int, State]] = [(0, frozenset())]
        while waiting:
            done, state = self._settle(*waiting.pop())
            if (done, state) in seen:
                continue
            if done & self._certain == self._certain and self._is_end(state):
                return True
            seen.add((done, state))
            if len(seen) > STATES_MAX:
                raise Undecided(f"more than {STATES_MAX} states")
            # Certain calls were sorted first: the last pushed is tried first.
            for number in reversed(self._candidates(done)):
                waiting += [
                    (done | 1 << number, after)
                    for after in self._after(state, self._calls[number])
                    if after != state or self._calls[number].outcome != "info"
                ]
        return False

    def _settle(self, done: int, state: State) -> tuple[int, State]:
        """Take at once what changes nothing and is true now: no order is lost by that."""
        while True:
            for number in self._candidates(done):
                call = self._calls[number]
                if call.outcome != "info" and self._after(state, call) == [state]:
                    done |= 1 << number
                    break
            else:
                return done, state

    def _candidates(self, done: int) -> list[int]:
        """Return calls that may come next: no other had ended before they were sent."""
        left = [number for number in range(len(self._calls)) if not done >> number & 1]
        first_end_s = min((self._calls[number].ended_s for number in left), default=math.inf)
        return [number for number in left if self._calls[number].invoked_s <= first_end_s]

    def _is_end(self, state: State) -> bool:
        sold = next((owner for owner, status in state if status == "sold"), None)
        return sold == self._owner

    def _after(self, state: State, call: SeatCall) -> list[State]:
        """Return the states that *call* may lead to with the outcome it had; none if it cannot."""
        known = dict(state)
        mine = known.get(call.owner)
        taken_by = next((o for o, status in known.items() if status in {"held", "sold"}), None)
        if call.outcome == "taken":
            is_new = mine is None or (mine == "gone" and self._holds_may_end)
            return [state] if is_new and taken_by is not None else []
        if call.outcome == "over":
            return self._over(known, state, call.owner)
        if call.verb == "cancel":
            if mine == "sold":
                return [_with(known, call.owner, "cancelled")]
            return [state] if mine == "cancelled" else []
        if call.verb == "confirm":
            return self._confirmed(known, state, call.owner, taken_by)
        # What is known gives its first reply again; but a rebuild forgets holds.
        again = [] if mine is None else [state]
        if mine not in (None, "gone") or (mine == "gone" and not self._holds_may_end):
            return again
        status = "sold" if call.verb == "book" else "held"
        if taken_by is None:
            return [*again, _with(known, call.owner, status)]
        if known[taken_by] == "held" and self._holds_may_end:
            return [*again, _with(known | {taken_by: "gone"}, call.owner, status)]
        return again

    def _over(self, known: dict[str, str], state: State, owner: str) -> list[State]:
        if known.get(owner) == "held":
            return [_with(known, owner, "gone")] if self._holds_may_end else []
        return [state]

    def _confirmed(
        self, known: dict[str, str], state: State, owner: str, taken_by: str | None
    ) -> list[State]:
        match known.get(owner):
            case "sold" | "cancelled":
                return [state]
            case "held":
                return [_with(known, owner, "sold")]
            case "gone" if taken_by is None:
                return [_with(known, owner, "sold")]  # Late, but the seat was still there.
            case "gone" if taken_by is not None and known[taken_by] == "held":
                return [_with(known | {taken_by: "gone"}, owner, "sold")]
            case _:
                return []


def _with(known: dict[str, str], owner: str, status: str) -> State:
    return frozenset((known | {owner: status}).items())
