"""`loadtests/chaos/nemesis.py`: schedules repeat by seed and keep to what can be survived."""

from __future__ import annotations

from collections import Counter

from loadtests.chaos.__main__ import line, seeds
from loadtests.chaos.checkers import Violation
from loadtests.chaos.nemesis import (
    CATALOGUE,
    DURATION_S,
    FAMILIES,
    FAULTS_MAX,
    FAULTS_MIN,
    is_wide_round,
    plan,
)
from loadtests.chaos.round import Verdict, traits

WINDOW_S = 10.0
SEEDS = range(1_500)
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


def test_faults_fit_their_site() -> None:
    """What needs two servers of Redis comes where there are two, and only there."""
    wide = 0
    for seed in SEEDS:
        is_wide = is_wide_round(seed)
        wide += is_wide
        for fault in plan(seed, window_s=WINDOW_S, capabilities=EVERYTHING):
            assert CATALOGUE[fault.name].is_wide in {None, is_wide}
    assert 0.2 < wide / len(SEEDS) < 0.4
    assert is_wide_round(1, ["kill api", "move shard"])
    assert not is_wide_round(1, ["kill api"])


def test_lost_data_never_meets_blind_workers() -> None:
    """Where Redis loses what it acknowledged, no worker that remembers it is hurt by another."""
    losses = both = 0
    for seed in SEEDS:
        kinds = [
            CATALOGUE[fault.name]
            for fault in plan(seed, window_s=WINDOW_S, capabilities=EVERYTHING)
        ]
        losing = [kind for kind in kinds if kind.loses_data]
        blinding = [kind for kind in kinds if kind.blinds_workers]
        losses += bool(losing)
        both += bool(losing and blinding)
        # One that is both stands for itself: it wakes those up who remember.
        assert not (losing and blinding) or losing == blinding == losing[:1]
    assert losses > both > 0


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
        Violation("denied", "I22", "w"),
    ]
    verdicts = [Verdict(1, faults=3, acked=10), Verdict(2, faults=4, acked=5, violations=bad)]
    told = "CHAOS seeds=2 faults=7 acked=15 lost=1 oversold=1 duplicates=0 denied=1 violations=4"

    assert told == line(verdicts)
