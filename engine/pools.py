"""
Pools: places that several tiers of an event share, as adults and children do one room.

The rule `pools` says them, in Redis and in records alike: `p100t1t2t` are 100 places for tiers 1
and 2, and what follows is the next pool; they are numbered from 1. A pool has no counters: what is
taken of it is what its tiers count (docs/decisions/0029-a-pool-has-no-counters.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_POOL = re.compile(r"p([0-9]+)t([1-9][0-9]*(?:t[1-9][0-9]*)*)t")


class Pool(NamedTuple):
    """Places that some tiers share."""

    capacity: int
    tier_nos: tuple[int, ...]

    def left(self, taken: Mapping[int, int]) -> int:
        """Return how many places its tiers have left together; below zero if it is oversold."""
        return self.capacity - sum(taken.get(tier_no, 0) for tier_no in self.tier_nos)


def parse(rule: str) -> list[Pool]:
    """
    Read the rule of an event.

    Raises:
        ValueError: it is none.
    """
    found = [
        Pool(int(match[1]), tuple(map(int, match[2].split("t")))) for match in _POOL.finditer(rule)
    ]
    if write(found) != rule:
        raise ValueError(f"not pools: {rule[:200]!r}")
    return found


def write(pools: Iterable[Pool]) -> str:
    """Write pools as the rule that `parse` reads."""
    return "".join(f"p{pool.capacity}t{'t'.join(map(str, pool.tier_nos))}t" for pool in pools)


class Left(NamedTuple):
    """What can be had of a tier."""

    places: int
    #: And how many more there would be without holds.
    held: int
    #: Whether people wait for it, or for a tier of its pool that is not full by itself.
    is_waited_for: bool
    #: When the first place returns by itself, Unix ms; None where that is not known, or where
    #: people wait, who get what returns. Told of what is all held alone.
    returns_at_ms: int | None


def left_of(stock: Mapping[str, str], tier_no: int) -> Left:
    """Return what can be had of a tier, no more than its pool has, as `availability` tells it."""

    def figure(name: str) -> int:
        return int(stock.get(name, 0))

    places = figure(f"{tier_no}.available")
    without_holds, is_waited_for = places + figure(f"{tier_no}.held"), figure(f"{tier_no}.waiting")
    for pool_no, pool in enumerate(parse(stock.get("pools", "")), start=1):
        if tier_no in pool.tier_nos:
            left = figure(f"p{pool_no}.left")
            places = min(places, left)
            without_holds = min(without_holds, left + figure(f"p{pool_no}.returning"))
            is_waited_for += sum(
                figure(f"{number}.waiting")
                for number in pool.tier_nos
                if figure(f"{number}.available")
            )
    returns_at_ms = stock.get(f"{tier_no}.returns_at_ms")
    return Left(
        places,
        without_holds - places,
        is_waited_for > 0,
        None if returns_at_ms is None else int(returns_at_ms),
    )
