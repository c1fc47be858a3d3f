"""
The nemesis: lets what a plan says go wrong, at the effect that it says.

Processes die, stand still, or do not reach a server; calls get lost; servers restart, lose what
they had, go back in time, are declared gone, give way to their replica. And humans move the shard.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from tests.determinism.loop import Process
from tests.determinism.network import Link
from tests.determinism.plans import POSTGRES, Fault
from tests.determinism.postgres_server import PostgresServer
from tests.determinism.redis_server import RedisServer

if TYPE_CHECKING:
    from tests.determinism.world import World

#: The last moments that a time travel may go back to.
SNAPSHOT_INTERVAL_S = 0.1
#: How long a human takes to see that a server is gone.
HUMAN_S = 1.0


class Nemesis:
    """Strikes one history."""

    def __init__(self, world: World) -> None:
        self._world, self._loop = world, world.loop
        #: Calls so far, and faults that struck.
        self.effects = self.struck = 0
        self._faults = list(world.plan.faults)
        self._is_over = False
        #: Who has fenced the shard last.
        self._recoverer: Process | None = None
        self._snapshots: list[tuple[float, dict[str, dict[Any, Any]]]] = []

    def end(self) -> None:
        """Strike no more."""
        self._is_over = True

    def strike(self, link: Link, what: str) -> str:
        """Let the faults strike that are due at this effect; return the call's own fate."""
        self.effects += 1
        process = link.process
        if self._world.is_told:
            self._world.tell(f"{process.name}: {what}")
        if what.endswith("meta fence"):
            self._recoverer = process
        while self._faults and self._faults[0].at <= self.effects and not self._is_over:
            fault = self._faults[0]
            if not self._is_whose(fault, process):
                # It waits for its role, the next fault behind it.
                if not self._move_back():
                    break
                continue
            if fault.after:
                self._faults[0] = fault._replace(after=fault.after - 1)
                break
            self._faults.pop(0)
            self.struck += 1
            self._world.tell(f"FAULT {fault}: {process.name}")
            self._world.forgive(process)
            fate = self._apply(fault, link)
            if fate or not process.is_alive:
                return fate
        return ""

    def _is_whose(self, fault: Fault, process: Process) -> bool:
        if fault.whose == "recovery":
            reign = self._world.postgres.tables["reigns"].get(0)
            is_recovering = reign is not None and reign["state"] == "recovering"
            return is_recovering and process is self._recoverer
        return process.name.startswith(fault.whose)

    def _move_back(self) -> bool:
        """Put the first fault behind the next one that is due; False if none is."""
        if len(self._faults) < 2 or self._faults[1].at > self.effects:
            return False
        first = self._faults[0]
        self._faults[0] = self._faults[1]
        self._faults[1] = first._replace(at=self.effects + 1)
        return True

    def _apply(self, fault: Fault, link: Link) -> str:
        process, node = link.process, self._world.nodes.get(fault.server) or self._world.home
        match fault.kind:
            case "kill":
                self._world.kill(process)
            case "freeze":
                process.frozen_until_s = self._loop.time() + fault.amount
            case "part":
                server = self._world.postgres if fault.server == POSTGRES else link.server
                self._world.network.part(process.name, server, self._loop.time() + fault.amount)
            case "drop request" | "drop reply" | "late":
                return fault.kind
            case "move":
                self._world.start_mover(fault.server, "", int(fault.amount))
            case "redeem":
                self._world.start_redeemer(int(fault.amount))
            case "gone":
                self._lose_home(fault)
            case "forget scripts":
                node.forget_scripts()
            case "flush all":
                self._lose(node.empty)
            case "flip":
                self._lose(lambda: node.lose(int(fault.amount)))
                node.change_history()
            case "restart postgres":
                self._restart(self._world.postgres, fault.down_s)
            case "time travel":
                self._travel(fault.amount)
            case "failover" | "split" | "switch" | "lose replica":
                self._shift(fault, node)
            case _:
                self._restart_redis(fault, node)
        return ""

    def _restart_redis(self, fault: Fault, node: RedisServer) -> None:
        if not node.is_up:
            return
        self._restart(node, fault.down_s)
        if fault.kind == "lose tail":
            self._lose(lambda: node.lose(int(fault.amount)))
        elif fault.kind == "empty":
            self._lose(node.empty)

    def _lose(self, lose: Callable[[], bool]) -> None:
        if lose():
            self._world.judge.forget_redis()

    def _restart(self, server: RedisServer | PostgresServer, down_s: float) -> None:
        if not server.is_up:
            return
        server.stop()
        self._later(down_s, self._world.come_up, server, server.life)
        if isinstance(server, RedisServer) and server.pair is not None:
            server.pair.cut(is_noticed=True)
            server.pair.mend()

    def _lose_home(self, fault: Fault) -> None:
        """The home is away, or out of reach for some, until a human says that it is gone."""
        node = self._world.home
        if fault.amount:
            until_s = self._loop.time() + fault.down_s
            roles = ("mover", "coordinator", "persister")[: 1 if fault.amount == 1 else 3]
            for role in roles:
                self._world.network.part(role, node, until_s)
        else:
            self._restart(node, fault.down_s)
        rng, servers = self._world.rng, self._world.plan.servers
        to = rng.choice([name for name in servers if name != node.name])
        why = f"{node.name} burned"
        self._later(HUMAN_S * rng.random(), self._world.start_mover, to, why, 3)

    def _shift(self, fault: Fault, node: RedisServer) -> None:
        """Let a replica take over, or be lost for a while."""
        pair = node.pair
        assert pair is not None
        if fault.kind == "lose replica":
            pair.cut(is_noticed=self._world.rng.random() < 0.5)
            self._later(fault.down_s, pair.mend)
            return
        if pair.replica.role == "master" or not pair.replica.is_up:
            return  # The last one is not over.
        if fault.kind == "failover":
            self._restart(node, fault.down_s)
        elif fault.kind == "split":
            pair.cut(is_noticed=False)
        promote_s = 0.0 if fault.kind == "switch" else self._world.rng.random() * fault.amount
        self._later(promote_s, self._promote, node, fault.down_s)

    def _promote(self, old: RedisServer, demoted_after_s: float) -> None:
        pair = old.pair
        assert pair is not None
        if pair.master is not old or self._is_over:
            return
        pair.promote()
        self._world.nodes[old.name] = pair.master
        self._world.judge.forget_redis()
        self._world.tell(f"the replica of {old.name} takes over")
        self._later(demoted_after_s, pair.demote, old)

    def take_snapshot(self) -> None:
        """Remember what PostgreSQL has, now and from now on."""
        if self._is_over:
            return
        self._snapshots.append((self._loop.time(), self._world.postgres.snapshot()))
        self._later(SNAPSHOT_INTERVAL_S, self.take_snapshot)

    def _travel(self, back_s: float) -> None:
        """Take PostgreSQL back in time (F31)."""
        if not self._world.postgres.is_up:
            return
        self._restart(self._world.postgres, 0.05)
        until_s = self._loop.time() - back_s
        past = [tables for at_s, tables in self._snapshots if at_s <= until_s]
        if past:
            self._world.judge.has_travelled = True
            self._world.postgres.restore(past[-1])
            self._world.judge.follow(self._world.postgres.tables)

    def _later(self, seconds: float, work: Callable[..., None], *words: Any) -> None:
        self._loop.call_later(seconds, work, *words, context=Context())
