"""The API's metrics; docs/OPERATIONS.md says what to do about each."""

from __future__ import annotations

from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)

REQUESTS = Counter("evently_http_requests_total", "Requests answered", ["route", "status"])
SECONDS = Histogram(
    "evently_http_request_seconds",
    "Time from request to answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
BOOKINGS = Counter("evently_booking_outcomes_total", "Booking attempts by outcome", ["outcome"])

HOLDS = Counter("evently_hold_outcomes_total", "Hold attempts by outcome", ["outcome"])
WAITLIST = Counter("evently_waitlist_total", "Waitlist requests by outcome", ["outcome"])

CONTENT_TYPE = CONTENT_TYPE_LATEST


@cache
def holds_of(outcome: str) -> Counter:
    """Return the counter of one hold outcome."""
    return HOLDS.labels(outcome)


@cache
def waitlist_of(outcome: str) -> Counter:
    """Return the counter of one waitlist outcome."""
    return WAITLIST.labels(outcome)


@cache
def requests_of(route: str, status: int) -> Counter:
    """Return the counter of one route and status; binding labels anew would cost a lock each."""
    return REQUESTS.labels(route, str(status))


@cache
def seconds_of(route: str) -> Histogram:
    """Return the histogram of one route."""
    return SECONDS.labels(route)


@cache
def bookings_of(outcome: str) -> Counter:
    """Return the counter of one booking outcome."""
    return BOOKINGS.labels(outcome)


def exposition() -> bytes:
    """Return all metrics as text: of all processes of this start, or else of this one."""
    registry = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        # No folder is shared: the process was not started by the supervisor.
        return generate_latest(REGISTRY)
    return generate_latest(registry)
