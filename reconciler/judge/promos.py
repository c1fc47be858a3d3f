"""Promo codes: each is loaded as published, and used as often as live holds and bookings say."""

from __future__ import annotations

from collections import Counter

from engine.commands import Promo
from engine.ids import promo_of
from reconciler.event.view import EventView, Violation, of_event


def check_promos(view: EventView) -> list[Violation]:
    """I8: a code's rule is what was published; its uses are its live holds and bookings."""
    if view.published is None or not view.stock:
        return []
    used: Counter[str] = Counter()
    for booking in view.expected.values():
        if booking.is_live:
            used[promo_of(booking.fingerprint)] += 1
    for hold in view.holds.values():
        if view.was_live(hold):
            used[promo_of(hold.fingerprint)] += 1
    expected: dict[str, str] = {}
    for promo in view.published.promos:
        word = Promo(
            promo.code, promo.uses_max, promo.percent, promo.amount_minor, tuple(promo.tier_nos)
        ).word()
        expected[promo.code] = word.partition(":")[2]
        expected[f"{promo.code}.used"] = str(used[promo.code])
    return [
        of_event(
            view,
            "I8",
            "promo_differs",
            subject=name,
            expected=expected.get(name),
            found=view.promos.get(name),
            message=f"{name} of the promo codes in Redis is not what the records say",
        )
        for name in sorted(expected.keys() | view.promos.keys())
        if expected.get(name) != view.promos.get(name)
    ]
