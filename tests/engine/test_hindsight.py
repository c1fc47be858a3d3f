"""An event's stock in hindsight: what an order would have been told, in the scripts' order."""

from __future__ import annotations

import pytest

from engine.hindsight import EventStock
from engine.records import Closed, EventCancelled, Published, Rules, Tier

OPENS, CLOSES, ENDS = 100, 400, 300
#: Tier 2 has a window of its own.
TIERS = [Tier(1, 5, 100, 4), Tier(2, 5, 100, 4, 0, 0, 250, 280)]
EVENT = "evt_a"


def stock(after_end: str = "", *, closed_ms: int = 0, cancelled_ms: int = 0) -> EventStock:
    """Publish an event; perhaps close it, or call it off."""
    found = EventStock()
    rules = Rules(ends_at_ms=ENDS, after_end=after_end)
    found.follow(1, 1, Published(2, 0, EVENT, "p", OPENS, CLOSES, 9, TIERS, rules=rules))
    if closed_ms:
        found.follow(1, 2, Closed(2, closed_ms, EVENT, closed_ms))
    if cancelled_ms:
        found.follow(1, 2, EventCancelled(2, cancelled_ms, EVENT, cancelled_ms))
    return found


@pytest.mark.parametrize(
    ("found", "at_ms", "tier_no", "expected"),
    [
        (stock(), 99, 9, "SALE_NOT_OPEN"),
        (stock(), 200, 9, "UNKNOWN_TIER"),
        (stock(), 200, 1, None),
        (stock(), 200, 2, "SALE_NOT_OPEN"),
        (stock(), 290, 2, "SALE_CLOSED"),
        (stock(), 300, 1, "EVENT_ENDED"),
        (stock(closed_ms=200), 200, 2, "SALE_CLOSED"),
        (stock(closed_ms=200), 300, 1, "EVENT_ENDED"),
        (stock("t1t"), 300, 1, None),
        (stock("t1t"), 300, 2, "EVENT_ENDED"),
        (stock("t1t"), 400, 2, "SALE_CLOSED"),
        (stock(cancelled_ms=50), 60, 1, "EVENT_CANCELLED"),
        (stock(cancelled_ms=200), 300, 1, "EVENT_CANCELLED"),
        (stock(cancelled_ms=200), 300, 9, "EVENT_CANCELLED"),
    ],
)
def test_order_of_refusals(
    found: EventStock, at_ms: int, tier_no: int, expected: str | None
) -> None:
    """The event's own rules come first, then the tier's, as in `lua/lib/refusals.lua`."""
    status, _ = found.judge(at_ms=at_ms, tier_no=tier_no, quantity=1)
    assert expected == (status and status.value)
