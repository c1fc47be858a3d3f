"""Rig R5: histories of real workers, persisters and coordinators over modelled servers."""

from __future__ import annotations

import pytest

from tests.determinism import histories
from tests.determinism.faults import draw
from tests.determinism.plans import Fault, Plan
from tests.determinism.sabotages import SABOTAGES, without, without_advisory_lock

#: Histories of `make test` and of `--large`, and of one test.
SMALL, LARGE, PIECE = 80, 1_200, 40
#: Histories in which a sabotage must be noticed.
SABOTAGE_SEEDS_MAX = 150
#: Where the search begins: a little before the first seed that was seen to notice it.
FIRST_SEEDS = {
    "what workers saw": 60,
    "epoch still open at level database": 500,
    "claim that stands at opening": 20,
    "wait for replicas": 460,
    "wait for PostgreSQL": 390,
    "judgement of redo": 80,
}


#: Take more coincidence than seeds have in a test: they have plans of their own.
REBUILD_MARK = "mark behind what was loaded"
HOME_CLAIM = "home in the claim"
PLACED = {REBUILD_MARK, HOME_CLAIM}


@pytest.mark.parametrize("first", range(0, LARGE, PIECE))
def test_histories(pytestconfig: pytest.Config, first: int) -> None:
    """Safety and liveness: no seed oversells, loses, repeats, or stays shut without a cause."""
    if first >= SMALL and not pytestconfig.getoption("--large"):
        pytest.skip("of the large size")
    for seed, _ in histories.failing(range(first, first + PIECE)):
        pytest.fail(histories.tell(draw(seed)))


@pytest.mark.parametrize("name", sorted(SABOTAGES.keys() - PLACED))
def test_sabotage_is_noticed(name: str) -> None:
    """Without a safeguard some history breaks a promise: the rig can fail."""
    first = FIRST_SEEDS.get(name, 0)
    with without(name):
        noticed = next(histories.failing(range(first, first + SABOTAGE_SEEDS_MAX)), None)
    assert noticed is not None


def test_a_rebuild_that_lost_its_last_rows_is_noticed() -> None:
    """F5: Redis loses what was just loaded; without the mark behind it some is opened so."""
    plans = [
        Plan(
            seed=0,
            mode="wild",
            capacity=8,
            buyers=4,
            orders=4,
            is_eager=False,
            faults=(
                Fault(196, "kill", "worker"),
                Fault(197, "kill", "worker"),
                Fault(206, "empty", "", 1, 0.05),
                Fault(208, "lose tail", "recovery", 5, 0.0005, after),
            ),
        )
        for after in range(24, 34)
    ]
    assert not any(histories.run(plan).violations for plan in plans)
    with without(REBUILD_MARK):
        assert any(histories.run(plan).violations for plan in plans)


def test_f46_a_late_coordinator_of_an_earlier_home_is_noticed() -> None:
    """F46: a coordinator stands still while the shard moves, then claims it for its old home."""
    plans = [
        Plan(
            seed=0,
            mode="homes",
            capacity=8,
            buyers=4,
            orders=30,
            is_eager=False,
            faults=(
                Fault(100, "forget scripts"),
                Fault(101, "freeze", "coordinator", 3.0, 0, after),
                Fault(130, "move", "", 3, 0, 0, "b"),
            ),
            servers=("a", "b"),
            others={"coordinator": ("b", "a")},
            tries=15,
        )
        for after in range(2, 7)
    ]
    assert not any(histories.run(plan).violations for plan in plans)
    with without(HOME_CLAIM):
        assert any(histories.run(plan).violations for plan in plans)


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
