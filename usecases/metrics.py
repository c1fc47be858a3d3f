"""
Counters of what use cases did; docs/OPERATIONS.md says what to do about each.

What happens with every request is counted in plain numbers and added to the metrics once a second
and before they are read (`api.metrics`): each step of a metric that processes share costs a system
call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import Counter

from engine.outcomes import Applied, Booked, Held, Refused

BOOKINGS = Counter("evently_booking_outcomes_total", "Booking attempts by outcome", ["outcome"])
SALES = Counter(
    "bookings_total", "Bookings by what became of the request", ["status", "event_category"]
)
HOLDS = Counter("evently_hold_outcomes_total", "Hold attempts by outcome", ["outcome"])
WAITLIST = Counter("evently_waitlist_total", "Waitlist requests by outcome", ["outcome"])
ACKS = Counter("evently_durability_total", "Levels waited for", ["level", "result"])
LIMITED = Counter("evently_limited_total", "Requests refused by a limit", ["limit"])
STANDBY = Counter(
    "evently_standby_reads_total", "Reads that a standby may answer, by how they went", ["result"]
)
REDO_DROPPED = Counter(
    "evently_redo_dropped_total", "Acknowledged records that a worker could not keep", ["shard"]
)
REDO_WRITTEN = Counter(
    "evently_redo_written_total", "Acknowledged records written for recovery", ["shard"]
)

#: Categories that have a label of their own in a process; organizers write what they like.
CATEGORIES_MAX = 50
NO_CATEGORY = "none"
OTHER_CATEGORY = "other"
#: What the outcome of an attempt means for `SALES`; any other is a refusal.
_STATUSES = {"booked": "confirmed", "confirmed": "confirmed", "replayed": "replayed"}

#: Steps that are not added yet.
_steps: dict[Counter, int] = {}
#: Not added yet: attempts by outcome and category, sales by status and category.
_attempts: dict[tuple[str, str], int] = {}
_sales: dict[tuple[str, str], int] = {}
_categories: set[str] = set()


def count(counter: Counter) -> None:
    """Count one step of *counter*."""
    _steps[counter] = _steps.get(counter, 0) + 1


def count_outcome(
    counter_of: Callable[[str], Counter], outcome: Booked | Held | Applied | Refused, made: str
) -> None:
    """Count an outcome: why it was refused, or that it was *made*, by this request or another."""
    count(counter_of(_name_of(outcome, made)))


def count_booking(outcome: Booked | Refused, made: str, category: str) -> None:
    """Count an attempt to book, of an event of a *category*, as `count_outcome` does."""
    place = (_name_of(outcome, made), category)
    _attempts[place] = _attempts.get(place, 0) + 1


def count_accepted(outcome: Booked | Refused, category: str) -> None:
    """Count what became of an offer that was accepted as a sale."""
    _count_sale(_STATUSES.get(_name_of(outcome, "booked"), "refused"), category)


def count_cancelled(category: str) -> None:
    """Count a booking that its person cancelled."""
    _count_sale("cancelled", category)


def _count_sale(status: str, category: str) -> None:
    _sales[status, category] = _sales.get((status, category), 0) + 1


def _name_of(outcome: Booked | Held | Applied | Refused, made: str) -> str:
    if isinstance(outcome, Refused):
        return outcome.status.value.lower()
    return "replayed" if outcome.is_replay else made


def flush() -> None:
    """Add what was counted to the metrics."""
    for (outcome, category), number in _attempts.items():
        BOOKINGS.labels(outcome).inc(number)
        sales_of(_STATUSES.get(outcome, "refused"), category).inc(number)
    for (status, category), number in _sales.items():
        sales_of(status, category).inc(number)
    _attempts.clear()
    _sales.clear()
    for counter, number in _steps.items():
        counter.inc(number)
    _steps.clear()


def sales_of(status: str, category: str) -> Counter:
    """Return the counter of one status and category: the first `CATEGORIES_MAX` have their own."""
    label = category or NO_CATEGORY
    if label not in _categories:
        if len(_categories) < CATEGORIES_MAX:
            _categories.add(label)
        else:
            label = OTHER_CATEGORY
    return SALES.labels(status, label)


@cache
def holds_of(outcome: str) -> Counter:
    """Return the counter of one hold outcome; binding labels anew would cost a lock each."""
    return HOLDS.labels(outcome)


@cache
def waitlist_of(outcome: str) -> Counter:
    """Return the counter of one waitlist outcome."""
    return WAITLIST.labels(outcome)


def count_limited(limit: str) -> None:
    """Count a request that a limit has refused."""
    count(limited_of(limit))


@cache
def limited_of(limit: str) -> Counter:
    """Return the counter of what one limit has refused."""
    return LIMITED.labels(limit)


def count_standby(result: str) -> None:
    """Count a read that the standby has answered, or why it has not."""
    count(standby_of(result))


@cache
def standby_of(result: str) -> Counter:
    """Return the counter of one end of such reads."""
    return STANDBY.labels(result)


@cache
def acks_of(level: str, result: str) -> Counter:
    """Return the counter of one level and whether it was reached."""
    return ACKS.labels(level, result)
