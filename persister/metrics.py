"""The persister's metrics; docs/OPERATIONS.md says what to do about each."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("evently_persisted_records_total", "Journal records written", ["shard"])
BATCH_SECONDS = Histogram(
    "evently_persist_batch_seconds",
    "Time of one ledger transaction",
    ["shard"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
LAG_RECORDS = Gauge(
    "evently_persister_lag_records",
    "Records in the journal that PostgreSQL does not have",
    ["shard"],
    multiprocess_mode="mostrecent",
)
FAILURES = Counter("evently_persister_failures_total", "Batches that failed", ["shard", "kind"])
