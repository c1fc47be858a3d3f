"""
A history before it begins: who is there, and what goes wrong, as values that can be left out again.

A fault waits for the effect of that number, and if it is one for a certain role, for the next
effect of a process of that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from engine.durability import Durability
from engine.homes import ONLY_SERVER

Role = Literal["worker", "persister", "coordinator", "mover", "redeemer"]
#: A role, the coordinator that has fenced the shard, or anybody.
Whose = Literal["worker", "persister", "coordinator", "mover", "redeemer", "recovery", ""]

Mode = Literal["calm", "spared", "wild", "time travel", "homes", "gone", "replicated"]
#: In place of a server's name: PostgreSQL.
POSTGRES = "postgres"


class Fault(NamedTuple):
    """One thing that goes wrong, or that somebody does."""

    #: Number of the effect.
    at: int
    kind: str
    #: Whose effect it waits for; empty for anybody's.
    whose: Whose = ""
    #: Seconds that a process stands still or PostgreSQL goes back, or writes that are lost, or how
    #: often a mover tries.
    amount: float = 0.0
    #: How long a server is away.
    down_s: float = 0.0
    #: How many effects of whom it waits for pass before it.
    after: int = 0
    #: Which server; empty for the shard's home, or for the one that is called.
    server: str = ""

    def __str__(self) -> str:
        under = f", of a {self.whose}" if self.whose else ""
        what = f"{self.kind} {self.server}".rstrip()
        return f"{what} ({self.amount:g}) at effect {self.at}{under} after {self.after}"


class Plan(NamedTuple):
    """A history before it begins."""

    seed: int
    mode: Mode
    capacity: int
    buyers: int
    orders: int
    #: Buyers do not wait until PostgreSQL has the publishing.
    is_eager: bool
    faults: tuple[Fault, ...]
    #: Names of the Redis servers.
    servers: tuple[str, ...] = (ONLY_SERVER,)
    #: What the settings of the second process of a role name, and in which order.
    others: Mapping[Role, tuple[str, ...]] = {}
    #: What every answer promises.
    floor: Durability = "fsync"
    #: Whether there are people who wait.
    has_list: bool = False
    #: How often a buyer asks.
    tries: int = 6
    #: Share of answers after which somebody looks whether it is so.
    looks: float = 0.2

    @property
    def capacities(self) -> dict[int, int]:
        """Places by tier; the second has one, which is sold before anybody comes."""
        return {1: self.capacity, 2: 1}

    @property
    def spares_witnesses(self) -> bool:
        """Whether workers live on and reach PostgreSQL: then nothing acknowledged may be lost."""
        return self.mode in {"calm", "spared", "homes"}
