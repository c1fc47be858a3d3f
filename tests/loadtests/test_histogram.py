"""The histogram of latencies against a sorted list."""

from __future__ import annotations

import random

import pytest

from loadtests.bench.histogram import PARTS, Histogram, bucket_of, highest_of

SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_those_of_the_values(seed: int) -> None:
    """Each percentile is the value of that rank, at most one part in `PARTS` too high."""
    choices = random.Random(seed)
    values = sorted(int(choices.lognormvariate(8, 2)) for _ in range(5_000))
    histogram = Histogram()
    for value in values:
        histogram.record(value)

    for share, found in zip(SHARES, histogram.percentiles(SHARES), strict=True):
        exact = values[max(0, round(share * len(values) + 0.4999) - 1)]
        assert exact <= found <= exact + exact / PARTS, share


def test_buckets_join_without_gap_or_overlap() -> None:
    """Every bucket ends where the next begins."""
    edges = [0, 1, PARTS, 2 * PARTS - 1, 2 * PARTS, 2 * PARTS + 1, 10**6, 2**40 - 1, 2**40]
    for value in edges:
        bucket = bucket_of(value)
        assert bucket_of(highest_of(bucket)) == bucket
        assert bucket_of(highest_of(bucket) + 1) == bucket + 1


def test_histograms_travel_and_add_up() -> None:
    """A histogram made from another's buckets is equal, and adding doubles the counts."""
    histogram = Histogram()
    for value in (1, 1, 300, 70_000):
        histogram.record(value)
    copy = Histogram(histogram.buckets)
    copy.add(histogram)

    assert copy.total == 8
    assert copy.percentile(0.5) == histogram.percentile(0.5) == 1


def test_an_empty_histogram_has_no_latency() -> None:
    """Nothing recorded is 0, not an error."""
    assert Histogram().percentile(0.99) == 0
