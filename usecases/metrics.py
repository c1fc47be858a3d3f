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

#: Steps that are not added yet.
_steps: dict[Counter, int] = {}


def count(counter: Counter) -> None:
    """Count one step of *counter*."""
    _steps[counter] = _steps.get(counter, 0) + 1


def count_outcome(
    counter_of: Callable[[str], Counter], outcome: Booked | Held | Applied | Refused, made: str
) -> None:
    """Count an outcome: why it was refused, or that it was *made*, by this request or another."""
    if isinstance(outcome, Refused):
        count(counter_of(outcome.status.value.lower()))
    else:
        count(counter_of("replayed" if outcome.is_replay else made))


def flush() -> None:
    """Add what was counted to the metrics."""
    for counter, number in _steps.items():
        counter.inc(number)
    _steps.clear()


@cache
def bookings_of(outcome: str) -> Counter:
    """Return the counter of one booking outcome; binding labels anew would cost a lock each."""
    return BOOKINGS.labels(outcome)


@cache
def holds_of(outcome: str) -> Counter:
    """Return the counter of one hold outcome."""
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
