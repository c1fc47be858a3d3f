"""
A histogram of latencies with a bounded relative error, small enough to travel as JSON.

The form of HdrHistogram: each power of two is cut into `PARTS` equal buckets, so that a value is
known within 1/PARTS of itself, whatever its size, and recording is a shift and an increment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

#: Buckets per power of two: an error of at most 1 %.
PARTS = 128
_PART_BITS = PARTS.bit_length() - 1


class Histogram:
    """Counts values that are integers from 0 on (here: microseconds)."""

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        """
        Args:
            buckets: Counts by bucket, as `buckets` of another one gives them.
        """
        self._counts: Counter[int] = Counter(buckets or {})

    def record(self, value: int) -> None:
        """Count one value."""
        self._counts[bucket_of(value)] += 1

    def add(self, other: Histogram) -> None:
        """Count all that *other* has counted."""
        self._counts.update(other.buckets)

    @property
    def buckets(self) -> dict[int, int]:
        """Counts by bucket, those alone that are not 0."""
        return dict(sorted(self._counts.items()))

    @property
    def total(self) -> int:
        """How many values were counted."""
        return self._counts.total()

    def percentile(self, share: float) -> int:
        """Return the value that *share* (0..1) of the values do not exceed; 0 if there are none."""
        return self.percentiles([share])[0]

    def percentiles(self, shares: Iterable[float]) -> list[int]:
        """Return `percentile` for each of *shares*."""
        ordered = sorted(self._counts.items())
        total = self.total
        return [_at(ordered, share * total) for share in shares]


def bucket_of(value: int) -> int:
    """Return the number of the bucket that *value* falls into."""
    shift = max(0, value.bit_length() - _PART_BITS - 1)
    return (shift << _PART_BITS) + (value >> shift)


def highest_of(bucket: int) -> int:
    """Return the largest value of a bucket."""
    if bucket < 2 * PARTS:
        return bucket
    shift = (bucket >> _PART_BITS) - 1
    part = bucket - (shift << _PART_BITS)
    return ((part + 1) << shift) - 1


def _at(ordered: list[tuple[int, int]], rank: float) -> int:
    seen = 0
    for bucket, count in ordered:
        seen += count
        if seen >= rank:
            return highest_of(bucket)
    return 0
