"""
The API's metrics; docs/OPERATIONS.md says what to do about each.

What happens with every request is counted in plain numbers and added to the metrics once a second
and before they are read: each step of a metric that processes share costs a system call.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from usecases import metrics

REQUESTS = Counter("evently_http_requests_total", "Requests answered", ["route", "status"])
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SECONDS = Histogram(
    "evently_http_request_seconds", "Time from request to answer", ["route"], buckets=BUCKETS_S
)
STREAMS = Gauge("evently_streams", "Event streams that are open", multiprocess_mode="livesum")
STREAMS_ENDED = Counter("evently_streams_ended_total", "Event streams that ended", ["reason"])
STREAM_CHANGES = Counter("evently_stream_changes_total", "Changes told on event streams")
STREAM_SENDS = Counter("evently_stream_sends_total", "Writes of changes to listeners")
CONTENT_TYPE = CONTENT_TYPE_LATEST

FLUSH_INTERVAL_S = 1.0
#: Not added yet: requests by route and status, times by route (sum, and count per bucket).
_requests: dict[tuple[str, int], int] = {}
_times: dict[str, tuple[list[float], list[int]]] = {}


def count_request(route: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    place = (route, status)
    _requests[place] = _requests.get(place, 0) + 1
    times = _times.get(route)
    if times is None:
        times = _times[route] = ([0.0], [0] * (len(BUCKETS_S) + 1))
    times[0][0] += seconds
    times[1][bisect_left(BUCKETS_S, seconds)] += 1


def flush() -> None:
    """Add what was counted to the metrics."""
    for (route, status), number in _requests.items():
        requests_of(route, status).inc(number)
    for route, ((total_s,), buckets) in _times.items():
        # A histogram takes no more than one observation at a time; its parts do.
        histogram = seconds_of(route)
        histogram._sum.inc(total_s)  # noqa: SLF001
        for bucket, number in zip(histogram._buckets, buckets, strict=True):  # noqa: SLF001
            if number:
                bucket.inc(number)
    _requests.clear()
    _times.clear()
    metrics.flush()


def count_change(changes: int, listeners: int) -> None:
    """Count changes that were told to some listeners together."""
    STREAM_CHANGES.inc(changes)
    STREAM_SENDS.inc(listeners)


async def keep_flushing() -> None:
    """Flush once a second until cancelled, and then once more."""
    try:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            flush()
    finally:
        flush()


@cache
def requests_of(route: str, status: int) -> Counter:
    """Return the counter of one route and status; binding labels anew would cost a lock each."""
    return REQUESTS.labels(route, str(status))


@cache
def seconds_of(route: str) -> Histogram:
    """Return the histogram of one route."""
    return SECONDS.labels(route)


def exposition() -> bytes:
    """Return all metrics as text: of all processes of this start, or else of this one."""
    registry = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        # No folder is shared: the process was not started by the supervisor.
        return generate_latest(REGISTRY)
    return generate_latest(registry)
