"""Rig R5: histories of real workers, persisters and coordinators over modelled servers."""

from __future__ import annotations

import pytest

from tests.determinism import histories
from tests.determinism.faults import draw
from tests.determinism.placed import PLACED
from tests.determinism.sabotages import SABOTAGES, without, without_advisory_lock

#: Histories of `make test` and of `--large`, and of one test.
SMALL, LARGE, PIECE = 80, 1_200, 40
#: Histories in which a sabotage must be noticed.
SABOTAGE_SEEDS_MAX = 150
#: Where the search begins: a little before the first seed that was seen to notice it.
FIRST_SEEDS = {
    "epoch check of scripts": 90,
    "judgement of redo": 292,
    "redo": 24,
    "wait for PostgreSQL": 402,
}
HOME_CLAIM = "home in the claim"


@pytest.mark.parametrize("first", range(0, LARGE, PIECE))
def test_histories(pytestconfig: pytest.Config, first: int) -> None:
    """Safety and liveness: no seed oversells, loses, repeats, or stays shut without a cause."""
    if first >= SMALL and not pytestconfig.getoption("--large"):
        pytest.skip("of the large size")
    for seed, _ in histories.failing(range(first, first + PIECE)):
        pytest.fail(histories.tell(draw(seed)))


@pytest.mark.parametrize("name", sorted(SABOTAGES.keys() - PLACED.keys()))
def test_sabotage_is_noticed(name: str) -> None:
    """Without a safeguard some history breaks a promise: the rig can fail."""
    first = FIRST_SEEDS.get(name, 0)
    # Nobody looks at what they have: it costs calls.
    plans = (draw(seed)._replace(looks=0.0) for seed in range(first, first + SABOTAGE_SEEDS_MAX))
    with without(name):
        assert any(histories.run(plan).violations for plan in plans)


@pytest.mark.parametrize("name", sorted(PLACED.keys() - {HOME_CLAIM}))
def test_sabotage_is_noticed_by_faults_placed_by_hand(name: str) -> None:
    """What drawn histories seldom meet: with it nothing is broken, without it something is."""
    _look(name)


def test_f46_a_late_coordinator_of_an_earlier_home_is_noticed() -> None:
    """F46: a coordinator stands still while the shard moves, then claims it for its old home."""
    _look(HOME_CLAIM)


def _look(name: str) -> None:
    assert not any(histories.run(plan).violations for plan in PLACED[name])
    with without(name):
        assert any(histories.run(plan).violations for plan in PLACED[name])


def test_a_seed_repeats_itself() -> None:
    """The same seed makes the same history, to the last call and its moment."""
    for seed in (3, 8):
        first, second = (histories.run(draw(seed), is_told=True) for _ in range(2))
        assert first == second
        assert first.timeline


def test_safety_does_not_rest_on_the_advisory_lock() -> None:
    """F27: two persisters of one shard do no harm; the lock saves work alone."""
    with without_advisory_lock():
        assert [] == [seed for seed, _ in histories.failing(range(30))]
