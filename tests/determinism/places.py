"""
What goes wrong where shards have homes: they move, servers are declared gone, replicas take over.

Settings differ between processes: one lacks a server's name, another has them in another order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tests.determinism.plans import POSTGRES, Fault, Mode, Plan, Role

#: How many effects an undisturbed history has, about: what happens first falls within.
EFFECTS = 250
#: How many effects a move has, about, and how soon after another a fault comes.
MOVE_EFFECTS = 45
CLOSE_EFFECTS = 60
#: Standing still, or apart from a server: short of every timeout, past some, past a lease.
FREEZES_S = (0.3, 3.0, 12.0)
DOWN_S = (0.0005, 0.05, 0.5, 2.0)
#: How long a server is away that is declared gone.
GONE_S = (4.0, 10.0, 30.0)
LOST_WRITES = (1, 1, 2, 3, 5, 12)
#: Share of histories with moves in which a Redis loses something, and workers are spared.
LOSSES = 0.3
#: Share in which a move is cut off at some step of its own.
CRASHES = 0.6
#: Share of histories with replicas that have the scene below.
SCENES = 0.4
#: Share in which a worker does not hear.
DEAF = 0.5

#: Share of histories with losses in which somebody redeems receipts while people buy, and is struck
#: at some step of it.
REDEEMS, REDEEM_CRASHES = 0.3, 0.5
REDEEM_EFFECTS = 60

ROLES: tuple[Role, ...] = ("worker", "persister", "coordinator")
#: What strikes a process, or one call of it.
CALL_KINDS = ("kill", "freeze", "drop request", "drop reply", "late", "part")
KINDS = (*CALL_KINDS, "kill", "drop reply", "restart redis", "forget scripts", "restart postgres")
#: What happens to a master and its replica.
PAIR_KINDS = ("failover", "failover", "split", "switch", "lose replica", "lose replica")


def _homes(rng: random.Random, seed: int) -> Plan:
    """Shards move while they sell; the old home is fenced, so nothing may be lost."""
    servers = ("a", "b", "c")[: rng.choice((2, 2, 3))]
    has_losses = rng.random() < LOSSES
    faults: list[Fault] = []
    at = rng.randint(20, EFFECTS)
    for _ in range(rng.choice((1, 1, 2, 3))):
        faults.append(_move(rng, at, servers))
        if rng.random() < CRASHES:
            faults.append(_on_mover(rng, at))
        at += rng.randint(1, 2 * CLOSE_EFFECTS)
    for _ in range(rng.randint(0, 4)):
        faults.append(_any(rng, rng.choice(faults).at, servers, spares_workers=has_losses))
    if has_losses:
        kind = rng.choice(("lose tail", "empty", "flush all", "flip"))
        at = rng.choice(faults).at + rng.randint(-5, CLOSE_EFFECTS)
        server = rng.choice(("", *servers))
        faults.append(Fault(at, kind, "", rng.choice(LOST_WRITES), DOWN_S[1], 0, server))
    return _plan(rng, seed, "homes", servers, faults)


def _gone(rng: random.Random, seed: int) -> Plan:
    """The home is away, or seems so to some; a human says that it is gone."""
    servers = ("a", "b", "c")[: rng.choice((2, 2, 3))]
    at = rng.randint(40, EFFECTS)
    seems_s = rng.choice(GONE_S)
    faults = [Fault(at, "gone", "", rng.choice((0, 0, 1, 2)), seems_s)]
    if rng.random() < DEAF:
        deaf_s = rng.choice((3.0, 6.0, 12.0))
        deaf_at = at - rng.randint(-30, 10)
        faults.append(Fault(deaf_at, "part", "worker", deaf_s, 0, 0, POSTGRES))
    if rng.random() < CRASHES:
        faults.append(_on_mover(rng, at))
    if rng.random() < 0.4:
        faults.append(_move(rng, at + rng.randint(20, 300), servers))
    for _ in range(rng.randint(0, 3)):
        faults.append(_any(rng, rng.choice(faults).at, servers, spares_workers=False))
    return with_receipts(rng, _plan(rng, seed, "gone", servers, faults))


def _replicated(rng: random.Random, seed: int) -> Plan:
    """Answers wait for a replica; it takes over, and the old master comes back."""
    servers = rng.choice((("0",), ("0",), ("a", "b")))
    faults: list[Fault] = []
    at = rng.randint(20, EFFECTS)
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(PAIR_KINDS)
        amount = rng.choice((0.5, 2.0, 6.0))
        faults.append(Fault(at, kind, "", amount, rng.choice((*DOWN_S[1:], 6.0))))
        at += rng.randint(1, 2 * CLOSE_EFFECTS)
    if rng.random() < SCENES:
        faults = _tail_scene(rng) + faults[:1]
    if len(servers) > 1:
        faults.append(_move(rng, rng.randint(20, EFFECTS), servers))
    for _ in range(rng.randint(0, 4)):
        faults.append(_any(rng, rng.choice(faults).at, servers, spares_workers=False))
    return with_receipts(rng, _plan(rng, seed, "replicated", servers, faults))


def _tail_scene(rng: random.Random) -> list[Fault]:
    """A replica takes over that lacks the last records, and nobody else has them."""
    at = rng.randint(80, EFFECTS // 2)
    faults = [Fault(at, "freeze", "persister", FREEZES_S[1]) for _ in range(2)]
    faults.append(Fault(at + 5, "split", "", rng.choice((0.5, 2.0)), rng.choice(DOWN_S)))
    kills = [Fault(at + rng.randint(15, 60), "kill", "worker") for _ in range(2)]
    return [*faults, *kills]


def with_receipts(rng: random.Random, plan: Plan) -> Plan:
    """Perhaps let somebody redeem the receipts that there are by then, and be struck meanwhile."""
    if rng.random() >= REDEEMS:
        return plan
    at = rng.randint(EFFECTS // 2, 3 * EFFECTS)
    faults = [*plan.faults, Fault(at, "redeem", "", 5)]
    if rng.random() < REDEEM_CRASHES:
        kind = rng.choice(CALL_KINDS)
        after = rng.randint(0, REDEEM_EFFECTS)
        faults.append(Fault(at, kind, "redeemer", rng.choice(FREEZES_S), 0, after))
    return plan._replace(faults=tuple(sorted(faults)))


def _move(rng: random.Random, at: int, servers: tuple[str, ...]) -> Fault:
    return Fault(at, "move", "", rng.choice((1, 1, 3)), 0, 0, rng.choice(servers))


def _on_mover(rng: random.Random, at: int) -> Fault:
    """Strike a move at one of its steps."""
    kind = rng.choice(("kill", "kill", *CALL_KINDS[1:]))
    after = rng.randint(0, MOVE_EFFECTS)
    return Fault(at, kind, "mover", rng.choice(FREEZES_S), 0, after)


def _any(rng: random.Random, near: int, servers: tuple[str, ...], *, spares_workers: bool) -> Fault:
    at = near + rng.randint(-20, CLOSE_EFFECTS)
    kind = rng.choice(KINDS)
    if kind == "restart postgres" and spares_workers:
        kind = "restart redis"
    if kind in CALL_KINDS:
        whose = rng.choice(ROLES[int(spares_workers) :])
        return Fault(at, kind, whose, rng.choice(FREEZES_S), 0, rng.randint(0, 10))
    return Fault(at, kind, "", 0, rng.choice(DOWN_S), 0, rng.choice(("", "", *servers)))


def _plan(
    rng: random.Random, seed: int, mode: Mode, servers: tuple[str, ...], faults: list[Fault]
) -> Plan:
    return Plan(
        seed=seed,
        mode=mode,
        capacity=rng.choice((2, 3, 5, 8)),
        buyers=rng.randint(2, 4),
        orders=rng.randint(3, 6),
        is_eager=rng.random() < 0.2,
        faults=tuple(sorted(faults)),
        servers=servers,
        others={role: _other(rng, servers) for role in ROLES},
        floor="replicated" if mode == "replicated" else "fsync",
        has_list=rng.random() < 0.3,
        tries=15,
    )


def _other(rng: random.Random, servers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the list of a process whose settings are not those of the others."""
    names = rng.sample(servers, len(servers))
    return tuple(names[: rng.choice((len(names), len(names) - 1))] or names)


PLANS: Mapping[Mode, Callable[[random.Random, int], Plan]] = {
    "homes": _homes,
    "gone": _gone,
    "replicated": _replicated,
}
