"""
Histories whose faults are placed by hand: what drawn ones seldom meet, for some safeguards.

Each is a row of histories that are alike but for one moment, so that what is looked for is met
though the code makes a call more or less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.determinism.plans import POSTGRES, Fault, Mode, Plan


def _plan(mode: Mode, *faults: Fault, orders: int, is_eager: bool = False) -> Plan:
    return Plan(
        seed=0, mode=mode, capacity=8, buyers=4, orders=orders, is_eager=is_eager, faults=faults
    )


def _lost_rows() -> list[Plan]:
    """F5: Redis is loaded anew, and loses what was just loaded; no worker is left that knows."""
    return [
        _plan(
            "wild",
            Fault(196, "kill", "worker"),
            Fault(197, "kill", "worker"),
            Fault(206, "empty", "", 1, 0.05),
            Fault(208, "lose tail", "recovery", 5, 0.0005, after),
            orders=4,
        )
        for after in range(24, 34)
    ]


def _late_coordinator() -> list[Plan]:
    """
    F46: a coordinator stands still while the shard moves, then claims it for its old home.

    The new one is not fenced, and a worker that does not reach PostgreSQL sells there.
    """
    return [
        _plan(
            "homes",
            Fault(100, "forget scripts"),
            Fault(101, "freeze", "coordinator", 3.0, 0, after),
            Fault(130, "move", "", 3, 0, 0, "b"),
            Fault(600, "part", "worker", 2.0, 0, 0, POSTGRES),
            orders=30,
        )._replace(servers=("a", "b"), others={"coordinator": ("b", "a")}, tries=15)
        for after in range(2, 7)
    ]


def _flushed_before_opening() -> list[Plan]:
    """F13: Redis is flushed between its fence and its opening, and says nothing of it."""
    return [
        _plan(
            "spared",
            Fault(330, "forget scripts"),
            Fault(331, "flush all", "recovery", 0, 0, after),
            orders=8,
        )
        for after in range(8, 24, 5)
    ]


def _seen_by_the_dead() -> list[Plan]:
    """F4: both stores are new to the shard, and workers died behind their word on what they saw."""
    return [
        _plan(
            "wild",
            Fault(90, "freeze", "persister", 12.0),
            Fault(91, "freeze", "persister", 12.0),
            Fault(170, "empty", "", 0, 0.0005),
            Fault(171, "kill", "worker", 0, 0, after),
            Fault(172, "kill", "worker", 0, 0, after),
            orders=4,
            is_eager=True,
        )
        for after in range(10)
    ]


def _left_in_the_journal() -> list[Plan]:
    """F32: opened anew while persisters stand still, and no worker is left that knows."""
    still = [Fault(at, "freeze", "persister", 3.0) for at in (330, 331)]
    return [
        _plan(
            "spared",
            *still,
            Fault(at - 2, "kill", "worker"),
            Fault(at - 1, "kill", "worker"),
            Fault(at, "forget scripts"),
            orders=8,
        )._replace(looks=0.0)
        for at in (355, 360, 365, 370)
    ]


def _looked_for_after_a_flush() -> list[Plan]:
    """F55: who looks for what they have finds Redis flushed, before anybody has noticed it."""
    return [
        _plan("spared", Fault(at, "flush all"), orders=8)._replace(looks=1.0)
        for at in range(335, 385, 5)
    ]


def _sold_behind_a_loss() -> list[Plan]:
    """F12: Redis loses its last writes and changes its history under open connections."""
    return [
        _plan("spared", Fault(at, "flip", "", 3), orders=8)._replace(looks=0.0)
        for at in range(330, 380, 10)
    ]


def _vouched_for_by_nobody() -> list[Plan]:
    """F10: a replica takes over that lacks what nobody else has, workers being dead."""
    return [
        _plan(
            "replicated",
            Fault(300, "freeze", "persister", 12.0),
            Fault(301, "freeze", "persister", 12.0),
            Fault(305, "split", "", 0.5, 6.0),
            Fault(at, "kill", "worker"),
            Fault(at + 2, "kill", "worker"),
            orders=8,
        )._replace(floor="replicated", tries=15, looks=0.0)
        for at in range(325, 365, 10)
    ]


def _known_to_buyers_alone() -> list[Plan]:
    """F62: Redis loses its last writes, nobody is left who knows, and receipts are redeemed."""
    return [
        _plan(
            "wild",
            Fault(300, "freeze", "persister", 12.0),
            Fault(301, "freeze", "persister", 12.0),
            Fault(at, "kill", "worker"),
            Fault(at + 1, "kill", "worker"),
            Fault(at + 2, "lose tail", "", 5, 0.0005),
            Fault(at + 200, "redeem", "", 5),
            orders=8,
        )._replace(looks=0.0)
        for at in range(320, 380, 20)
    ]


#: By sabotage.
PLACED: Mapping[str, Sequence[Plan]] = {
    "mark behind what was loaded": _lost_rows(),
    "home in the claim": _late_coordinator(),
    "claim that stands at opening": _flushed_before_opening(),
    "what workers saw": _seen_by_the_dead(),
    "drain": _left_in_the_journal(),
    "reign behind what is not found": _looked_for_after_a_flush(),
    "look at the server": _sold_behind_a_loss(),
    "wait for replicas": _vouched_for_by_nobody(),
    "receipts": _known_to_buyers_alone(),
}
