"""
The API's metrics; docs/OPERATIONS.md says what to do about each.

What happens with every request is counted in plain numbers and added to the metrics once a second
and before they are read: each step of a metric that processes share costs a system call.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Mapping
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
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from usecases import metrics

REQUESTS = Counter("evently_http_requests_total", "Requests answered", ["route", "status"])
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time from request to answer",
    ["method", "route", "status_class"],
    buckets=BUCKETS_S,
)
STREAMS = Gauge("evently_streams", "Event streams that are open", multiprocess_mode="livesum")
STREAMS_ENDED = Counter("evently_streams_ended_total", "Event streams that ended", ["reason"])
STREAM_CHANGES = Counter("evently_stream_changes_total", "Changes told on event streams")
STREAM_SENDS = Counter("evently_stream_sends_total", "Writes of changes to listeners")
#: Sums of `SECONDS`, made where metrics are read: nothing is measured twice.
BY_ROUTE = "evently_http_request_seconds"
BOOKING = "booking_duration_seconds"
_OF_BOOKING = {"method": "POST", "route": "/v1/events/{event_id}/bookings"}
CONTENT_TYPE = CONTENT_TYPE_LATEST

FLUSH_INTERVAL_S = 1.0
#: Methods that have a label of their own; callers may send any word.
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
#: Not added yet, by method, route and status: times (sum, and count per bucket).
_times: dict[tuple[str, str, int], tuple[list[float], list[int]]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    place = (method, route, status)
    times = _times.get(place)
    if times is None:
        if method not in _METHODS:
            place = (OTHER_METHOD, route, status)
        times = _times.setdefault(place, ([0.0], [0] * (len(BUCKETS_S) + 1)))
    times[0][0] += seconds
    times[1][bisect_left(BUCKETS_S, seconds)] += 1


def flush() -> None:
    """Add what was counted to the metrics."""
    for (method, route, status), ((total_s,), buckets) in _times.items():
        requests_of(route, status).inc(sum(buckets))
        # A histogram takes no more than one observation at a time; its parts do.
        histogram = seconds_of(method, route, status // 100)
        histogram._sum.inc(total_s)  # noqa: SLF001
        for bucket, number in zip(histogram._buckets, buckets, strict=True):  # noqa: SLF001
            if number:
                bucket.inc(number)
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
def seconds_of(method: str, route: str, hundreds: int) -> Histogram:
    """Return the histogram of one method, route and class of status."""
    return SECONDS.labels(method, route, f"{hundreds}xx")


class Summed(Collector):
    """What a registry tells, and the sums of `SECONDS` that have a name of their own."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        for metric in self._inner.collect():
            yield metric
            if metric.name == "http_request_duration_seconds":
                yield _sums(metric, BY_ROUTE, ["route"])
                yield _sums(metric, BOOKING, [], _OF_BOOKING)


def _sums(metric: Metric, name: str, kept: list[str], only: Mapping[str, str] = {}) -> Metric:
    """
    Return the sums of a histogram over all labels but those that are kept.

    Args:
        only: Labels that a sample must have.
    """
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        if suffix == "_created" or not only.items() <= sample.labels.items():
            continue
        labels = tuple((key, sample.labels[key]) for key in (*kept, "le") if key in sample.labels)
        sums[suffix, labels] = sums.get((suffix, labels), 0.0) + sample.value
    made = Metric(name, metric.documentation, metric.type)
    for (suffix, labels), value in sums.items():
        made.add_sample(name + suffix, dict(labels), value)
    return made


def exposition() -> bytes:
    """Return all metrics as text: of all processes of this start, or else of this one."""
    shared, told = CollectorRegistry(), CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    except ValueError:
        # No folder is shared: the process was not started by the supervisor.
        shared = REGISTRY
    told.register(Summed(shared))
    return generate_latest(told)
