"""
The verdict on a sale, whoever bought: what buyers were told against what PostgreSQL has.

Pure, so that it can be read and shown where no server is; `Backstage.judge` makes one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from loadtests.chaos import checkers
from loadtests.chaos.history import Call

TEXTS_MAX = 20


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What histories and ledger say of each other."""

    #: Users who came, of those that were asked for (Locust).
    users: int = 0
    users_asked: int = 0
    #: Users who came and had not done what they came for when the run ended (Locust).
    unfinished: int = 0
    #: Bookings that were acknowledged, cancelled ones too.
    acknowledged: int = 0
    #: Places that PostgreSQL has confirmed in the end.
    sold: int = 0
    #: Requests whose outcome the buyer never learnt: the run ended first, or nothing was answered.
    unknown: int = 0
    #: Violations of each kind; `checkers.py` says which are which.
    oversold: int = 0
    lost: int = 0
    duplicates: int = 0
    #: What the reconciler finds.
    drift: int = 0
    #: The first violations in words.
    texts: list[str] = []
    #: Why it could not be judged; empty if it was.
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether every promise was kept."""
        broken = self.oversold or self.lost or self.duplicates or self.drift
        return not (broken or self.failure)

    def words(self) -> str:
        """Return the end of the one line that a run ends with."""
        return (
            f"oversold={self.oversold} lost={self.lost} "
            f"duplicates={self.duplicates} drift={self.drift}"
        )


def compare(calls: Sequence[Call], ledger: checkers.Ledger, *, drift: int = 0) -> Verdict:
    """Hold the calls against the ledger."""
    found = [
        *checkers.lost(calls, ledger),
        *checkers.phantoms(calls, ledger),
        *checkers.duplicates(calls),
        *checkers.oversold(calls, ledger),
    ]
    kinds = [violation.kind for violation in found]
    sure = {(call.verb, call.booking_id) for call in calls if call.outcome != "info"}
    unsure = {(call.verb, call.booking_id) for call in calls if call.outcome == "info"} - sure
    return Verdict(
        acknowledged=len(checkers.acknowledged(calls)),
        sold=sum(places for booking in ledger.bookings.values() for _, places in booking.tiers),
        unknown=len(unsure),
        oversold=kinds.count("oversold"),
        lost=kinds.count("lost"),
        duplicates=kinds.count("duplicate"),
        drift=drift,
        texts=[f"{violation.invariant}: {violation.text}" for violation in found[:TEXTS_MAX]],
    )
