"""`loadtests/chaos/nemesis.py`: schedules repeat by seed and keep to what can be survived."""

from __future__ import annotations

from collections import Counter

from loadtests.chaos.__main__ import line, seeds
from loadtests.chaos.checkers import Violation
from loadtests.chaos.nemesis import CATALOGUE, DURATION_S, FAMILIES, FAULTS_MAX, FAULTS_MIN, plan
from loadtests.chaos.round import Verdict, traits

WINDOW_S = 10.0
SEEDS = range(600)
EVERYTHING = frozenset(kind.needs for kind in CATALOGUE.values() if kind.needs)


def test_same_seed_same_schedule() -> None:
    """A seed brings the same faults at the same times, and the same round around them."""
    assert plan(7, window_s=WINDOW_S) == plan(7, window_s=WINDOW_S)
    assert plan(7, window_s=WINDOW_S) != plan(8, window_s=WINDOW_S)
    assert traits(7) == traits(7)
    first, second = seeds(7), seeds(7)
    assert [next(first) for _ in range(5)] == [next(second) for _ in range(5)]
    assert 7 == next(seeds(7))


def test_schedules_are_bounded() -> None:
    """Every fault begins within the window, and lasts as long as it may."""
    for seed in SEEDS:
        faults = plan(seed, window_s=WINDOW_S)
        assert FAULTS_MIN <= len(faults) <= FAULTS_MAX
        assert sorted(faults) == faults
        assert all(0 <= fault.at_s <= WINDOW_S for fault in faults)
        assert all(DURATION_S[0] <= fault.duration_s <= DURATION_S[1] for fault in faults)


def test_every_fault_comes() -> None:
    """With every capability there is no fault that no seed brings, and every family has a share."""
    seen = Counter(
        fault.name
        for seed in SEEDS
        for fault in plan(seed, window_s=WINDOW_S, capabilities=EVERYTHING)
    )
    assert set(CATALOGUE) == set(seen)
    assert set(FAMILIES) == {name.partition(" ")[0] for name in CATALOGUE}


def test_what_cannot_be_survived_is_left_out() -> None:
    """Without a capability its faults do not come."""
    seen = {
        fault.name for seed in SEEDS for fault in plan(seed, window_s=WINDOW_S, capabilities=())
    }
    assert seen == {name for name, kind in CATALOGUE.items() if not kind.needs}


def test_lost_data_never_meets_blind_workers() -> None:
    """Where Redis loses what it acknowledged, no worker that remembers it is hurt."""
    losses = 0
    for seed in SEEDS:
        kinds = [
            CATALOGUE[fault.name]
            for fault in plan(seed, window_s=WINDOW_S, capabilities=EVERYTHING)
        ]
        if any(kind.loses_data for kind in kinds):
            losses += 1
            assert not any(kind.blinds_workers for kind in kinds)
    assert losses


def test_only_what_is_asked_for() -> None:
    """A schedule of chosen faults has no others."""
    faults = plan(3, window_s=WINDOW_S, only=["kill api"])
    assert {"kill api"} == {fault.name for fault in faults}


def test_last_line() -> None:
    """The last line counts over all rounds, each violation under its kind and in the whole."""
    bad = [
        Violation("lost", "I4", "x"),
        Violation("oversold", "I3", "y"),
        Violation("other", "I18", "z"),
    ]
    verdicts = [Verdict(1, faults=3, acked=10), Verdict(2, faults=4, acked=5, violations=bad)]

    assert "CHAOS seeds=2 faults=7 acked=15 lost=1 oversold=1 duplicates=0 violations=3" == line(
        verdicts
    )
