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
LAG_BYTES = Gauge(
    "evently_persister_lag_bytes",
    "Bytes of the records that PostgreSQL does not have",
    ["shard"],
    multiprocess_mode="mostrecent",
)
CONSISTENCY_LAG_SECONDS = Gauge(
    "evently_consistency_lag_seconds",
    "Age of the oldest record that PostgreSQL does not have",
    ["shard"],
    multiprocess_mode="mostrecent",
)
LAST_SEQ = Gauge(
    "evently_journal_seq",
    "Last record of the journal, counted in its epoch",
    ["shard"],
    multiprocess_mode="mostrecent",
)
PERSISTED_SEQ = Gauge(
    "evently_persisted_seq",
    "Watermark: last record that PostgreSQL has, counted in its epoch",
    ["shard"],
    multiprocess_mode="mostrecent",
)
FROZEN = Gauge(
    "evently_shard_frozen",
    "1 while sales of the shard are stopped until a human has looked",
    ["shard"],
    multiprocess_mode="mostrecent",
)
FAILURES = Counter("evently_persister_failures_total", "Batches that failed", ["shard", "kind"])
