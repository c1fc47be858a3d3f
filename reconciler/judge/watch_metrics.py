"""The watch's metrics; docs/OPERATIONS.md says what to do about each."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

#: Its own, so that the watch's port shows these and nothing else.
REGISTRY = CollectorRegistry()

#: Invariants that a check looks for: each has a series from the start, so that 0 is seen.
INVARIANTS = tuple(f"I{number}" for number in (*range(1, 12), 12, 13, 14, 15))


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode="mostrecent")


DRIFT = _gauge("evently_drift", "Violations known now", "invariant")
LAG_SECONDS = _gauge(
    "evently_consistency_lag_seconds",
    "Age, by Redis time, of the oldest acknowledged record that PostgreSQL does not have",
    "shard",
)
EPOCH = _gauge("evently_watch_epoch", "Epoch that Redis is in", "shard")
WATERMARK = _gauge("evently_watch_watermark_seq", "Last record that Redis has made", "shard")
CHECKPOINT = _gauge("evently_watch_checkpoint_seq", "Last record that PostgreSQL has", "shard")
OVERDUE_MS = _gauge(
    "evently_watch_oldest_overdue_hold_ms",
    "How long the oldest overdue hold has been waiting for its end",
    "shard",
)
PASS_AT = _gauge(
    "evently_watch_last_pass_timestamp_seconds",
    "When every event of the shard had last had its turn, Unix time",
    "shard",
)
PASS_SECONDS = _gauge(
    "evently_watch_pass_seconds", "How long the last whole pass took, pauses included", "shard"
)
CHECK_SECONDS = _gauge(
    "evently_watch_check_seconds", "How long the last group of events took", "shard"
)
DAMAGED = _gauge("evently_damaged_events", "Events that are shut, since they lost a key", "shard")
FAILURES = Counter(
    "evently_watch_failures_total", "Steps that could not be taken", ["shard"], registry=REGISTRY
)
