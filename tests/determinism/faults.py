"""What goes wrong in a history, and when: drawn from its seed; with one server alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tests.determinism import places
from tests.determinism.plans import Fault, Mode, Plan, Role, Whose

ROLES: tuple[Role, ...] = ("worker", "persister", "coordinator")

#: How many effects an undisturbed history has, about: faults fall within.
EFFECTS = 300
#: Standing still: short of every timeout, past some, past a claim's lease.
FREEZES_S = (0.3, 3.0, 12.0)

#: How many effects a recovery has, about.
RECOVERY_EFFECTS = 60
#: Share of faults that come soon after another, and how soon.
CLOSE = 0.5
CLOSE_EFFECTS = 60
#: Shorter than any call, some calls' length, past timeouts.
DOWN_S = (0.0005, 0.05, 0.5, 2.0)
#: Share of histories that have one of the scenes below.
SCENES = 0.25
LOST_WRITES = (1, 1, 2, 3, 5, 12)

#: What strikes a process, or one call of it.
CALL_KINDS = frozenset({"kill", "freeze", "drop request", "drop reply", "late"})
#: Redis comes back without something.
LOSSES = frozenset({"lose tail", "empty", "flush all", "flip"})
KINDS = (
    "kill",
    "kill",
    "freeze",
    "drop request",
    "drop reply",
    "drop reply",
    "late",
    "restart redis",
    "forget scripts",
    "lose tail",
    "lose tail",
    "empty",
    "flush all",
    "flip",
    "restart postgres",
)

#: Of many histories, how many are of a mode.
MODES: Mapping[Mode, int] = {
    "calm": 1,
    "spared": 8,
    "wild": 9,
    "time travel": 2,
    "homes": 6,
    "gone": 4,
    "replicated": 5,
}

Scene = Callable[[random.Random, Mode], list[Fault]]


def draw(seed: int) -> Plan:
    """Return the plan of a seed."""
    rng = random.Random(seed)
    mode = rng.choices(list(MODES), list(MODES.values()))[0]
    if mode in places.PLANS:
        return places.PLANS[mode](rng, seed)
    faults: list[Fault] = []
    at = 0
    for _ in range(0 if mode == "calm" else rng.randint(1, 7)):
        # Many in a row: the second strikes while the first is being put right.
        is_close = bool(faults) and rng.random() < CLOSE
        at = at + rng.randint(1, CLOSE_EFFECTS) if is_close else rng.randint(1, EFFECTS)
        faults.append(_fault(rng, mode, at))
    if mode in SCENES_OF and rng.random() < SCENES:
        scene = rng.choice(SCENES_OF[mode])
        faults = scene(rng, mode) + faults[:3]
    if mode == "time travel":
        back_s = rng.choice((0.1, 0.5))
        faults = [fault for fault in faults if fault.kind not in LOSSES]
        faults.append(Fault(rng.randint(EFFECTS // 4, EFFECTS), "time travel", "", back_s))
    plan = Plan(
        seed=seed,
        mode=mode,
        capacity=rng.choice((1, 2, 3, 5, 8)),
        buyers=rng.randint(2, 5),
        orders=rng.randint(2, 5),
        is_eager=rng.random() < 0.3,
        faults=tuple(sorted(faults)),
        has_list=rng.random() < 0.3,
    )
    return places.with_receipts(rng, plan) if mode == "wild" else plan


def _backlog_scene(rng: random.Random, mode: Mode) -> list[Fault]:
    """Redis loses what PostgreSQL does not have yet: all rests on those who witnessed it."""
    at = rng.randint(60, EFFECTS // 2)
    faults = [Fault(at, "freeze", "persister", FREEZES_S[1]) for _ in range(2)]
    at += rng.randint(10, 50)
    if mode == "wild":
        kind = rng.choice(("freeze", "freeze", "kill", "drop reply"))
        faults.append(Fault(at, kind, "worker", FREEZES_S[1]))
        at += rng.randint(1, 10)
    faults.append(
        Fault(
            at,
            rng.choice(("lose tail", "empty", "flush all", "flip")),
            "",
            rng.choice(LOST_WRITES),
            rng.choice(DOWN_S[:2]),
        )
    )
    return faults


def _relapse_scene(rng: random.Random, _mode: Mode) -> list[Fault]:
    """Redis loses all, and what is loaded then as well; no worker is left that would know."""
    at = rng.randint(100, EFFECTS)
    kills = [Fault(at + n, "kill", "worker") for n in range(2)]
    lost, after = rng.choice(LOST_WRITES), rng.randint(10, RECOVERY_EFFECTS)
    return [
        *kills,
        Fault(at + 10, "empty", "", 0, DOWN_S[1]),
        Fault(at + 12, "lose tail", "recovery", lost, DOWN_S[0], after),
    ]


SCENES_OF: dict[Mode, tuple[Scene, ...]] = {
    "spared": (_backlog_scene,),
    "wild": (_backlog_scene, _relapse_scene),
}


def _fault(rng: random.Random, mode: Mode, at: int) -> Fault:
    kind = rng.choice(KINDS)
    if kind in CALL_KINDS:
        roles = ROLES[1:] if mode == "spared" else ROLES
        return Fault(at, kind, rng.choice(roles), rng.choice(FREEZES_S))
    if kind == "restart postgres" and mode == "spared":
        kind = "restart redis"
    # Servers fail under anybody, and often under a recovery, whose work is the longest.
    whose: Whose = rng.choice(("", "recovery"))
    after = rng.randint(0, RECOVERY_EFFECTS) if whose else 0
    return Fault(at, kind, whose, rng.choice(LOST_WRITES), rng.choice(DOWN_S), after)
