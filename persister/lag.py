"""
How far PostgreSQL is behind, in records, bytes and seconds, as Redis has it.

Read from the shard's own counts, so that it is told also while PostgreSQL is away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from engine import keys
from persister import metrics


class Lag(NamedTuple):
    """What the shard's door says; `epoch` is None if Redis does not know the shard."""

    epoch: int | None
    #: The last record there is.
    seq: int
    #: Records that PostgreSQL lacks, as far as Redis was told, and their bytes.
    records: int
    bytes: int
    #: Age of the oldest of them by the clock of Redis; 0 if there is none.
    seconds: float


async def observe(redis: Redis, shard: int) -> Lag:
    """Read a shard's lag and set its metrics. Cost: one round trip."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.hmget(
        keys.meta(shard),
        ["epoch", "seq", "persisted_seq", "bytes", "persisted_bytes", "oldest_at_ms"],
    )
    pipeline.time()
    words: list[Any]
    words, (now_s, now_us) = await pipeline.execute()
    seq, persisted_seq, size, persisted_size, oldest_at_ms = (int(word or 0) for word in words[1:])
    records = max(0, seq - persisted_seq)
    age_s = now_s + now_us / 1_000_000 - oldest_at_ms / 1_000
    lag = Lag(
        epoch=None if words[0] is None else int(words[0]),
        seq=seq,
        records=records,
        bytes=max(0, size - persisted_size) if records else 0,
        seconds=max(0.0, age_s) if records and oldest_at_ms else 0.0,
    )
    label = str(shard)
    metrics.LAG_RECORDS.labels(label).set(lag.records)
    metrics.LAG_BYTES.labels(label).set(lag.bytes)
    metrics.CONSISTENCY_LAG_SECONDS.labels(label).set(lag.seconds)
    metrics.LAST_SEQ.labels(label).set(lag.seq)
    metrics.PERSISTED_SEQ.labels(label).set(persisted_seq)
    return lag
