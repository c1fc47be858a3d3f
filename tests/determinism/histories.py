"""
Runs histories, finds the smallest one that still fails, and tells it.

A seed is all there is to a history: the same seed makes the same one, to the last call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.determinism.faults import draw
from tests.determinism.plans import Plan
from tests.determinism.world import Result, World

#: Lines of a told history: from its end, where it goes wrong.
LINES_MAX = 120
#: Calls that change nothing, which a told history does without.
DULL = (
    "horizon",
    "HMGET",
    "PIPELINE",
    "read_checkpoint",
    "has_redo",
    "SCRIPT",
    "INFO",
    "XREAD",
    "read_reign",
    "connect",
    "try_lock",
    "ensure_checkpoint",
    "share_reign",
)


def run(plan: Plan, *, is_told: bool = False) -> Result:
    """Run one history."""
    return World(plan, is_told=is_told).run()


def failing(seeds: Iterable[int]) -> Iterator[tuple[int, Result]]:
    """Yield the seeds whose histories break a promise."""
    for seed in seeds:
        result = run(draw(seed))
        if result.violations:
            yield seed, result


def shrink(plan: Plan) -> Plan:
    """Leave out what a failing history does not need in order to fail: faults, buyers, orders."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(plan):
            if run(smaller).violations:
                plan, is_smaller = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    for n in range(len(plan.faults)):
        yield plan._replace(faults=plan.faults[:n] + plan.faults[n + 1 :])
    if plan.orders > 1:
        yield plan._replace(orders=plan.orders - 1)
    if plan.buyers > 1:
        yield plan._replace(buyers=plan.buyers - 1)


def tell(plan: Plan) -> str:
    """Return the shortest failing form of a history for people, with the seed that repeats it."""
    small = shrink(plan)
    result = run(small, is_told=True)
    lines = [line for line in result.timeline if not line.split(": ")[-1].startswith(DULL)]
    left_out = max(0, len(lines) - LINES_MAX)
    return "\n".join(
        (
            f"seed {plan.seed}: `python -m tests.determinism --seed {plan.seed} --seeds 1`",
            *result.violations,
            f"{small.mode}, {small.buyers} buyers, {small.orders} orders, {small.capacity} places",
            *(f"fault: {fault}" for fault in small.faults),
            f"end: {result.end}",
            f"time, calls so far, what happens ({left_out} lines before are left out)",
            *lines[left_out:],
        )
    )
