"""
One history: processes, servers, buyers and faults over one loop, all of it from one plan.

Runs in two parts. First buyers buy while faults strike at their effects; then everything is healed
and must come to rest: open, or frozen for a cause that the history has, with all that was
acknowledged in PostgreSQL.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, NamedTuple

from tests.determinism import buyers
from tests.determinism.faults import Fault, Plan, Role
from tests.determinism.judge import Judge
from tests.determinism.loop import Process, VirtualLoop
from tests.determinism.network import Network
from tests.determinism.postgres_server import PostgresServer
from tests.determinism.redis_server import RedisServer
from tests.determinism.scripts import SCRIPTS
from tests.determinism.staff import EVENT_ID, Site, Worker, run_coordinator, run_persister, staged
from tests.determinism.statements import STATEMENTS

#: Processes of each role.
STAFF: Mapping[Role, int] = {"worker": 2, "persister": 2, "coordinator": 2}
#: Virtual time that buyers and faults get, and in which all must then come to rest.
SALE_S = 60.0
REST_S = 120.0
#: The last moments that a time travel may go back to.
SNAPSHOT_INTERVAL_S = 0.1


class Result(NamedTuple):
    """What came of a history."""

    violations: list[str]
    #: Calls that were made of servers.
    effects: int
    #: Whether it ended open, or why it is frozen.
    end: str
    faults: int
    acks: int
    timeline: list[str]


class World:
    """One history under way."""

    def __init__(self, plan: Plan, *, is_told: bool = False) -> None:
        self.plan = plan
        self.loop = VirtualLoop()
        self.rng = random.Random(plan.seed)
        self.judge = Judge(plan.capacity)
        self.network = Network(self.loop, self.rng, self._strike)
        self.redis = RedisServer(self.loop, SCRIPTS, self.judge)
        self.postgres = PostgresServer(self.loop, STATEMENTS, self.judge.committed)
        self.postgres.tables["events"] = {EVENT_ID: {"status": "draft", "capacity": plan.capacity}}
        self.judge.follow(self.postgres.tables)
        self.site = Site(self.loop, self.network, self.redis, self.postgres)
        self.workers: dict[str, Worker] = {}
        self.effects = 0
        self.struck = 0
        self.timeline: list[str] = []
        self._is_told = is_told
        self._faults = list(plan.faults)
        self._heals = self._is_over = False
        self._staff: dict[Role, list[Process]] = {role: [] for role in STAFF}
        self._lives = 0
        self._recoverer: Process | None = None
        self._snapshots: list[tuple[float, dict[str, dict[Any, Any]]]] = []

    def run(self) -> Result:
        """Run it to its end."""
        tell = self.tell if self._is_told else None
        with staged(self.site, self.rng, tell):
            for role, count in STAFF.items():
                for _ in range(count):
                    self._start(role)
            if self.plan.mode == "time travel":
                self._take_snapshot()
            shoppers = buyers.open_shop(self)
            self.loop.run_while(lambda: not all(one.done() for one in shoppers), until_s=SALE_S)
            self._heal()
            rest_s = self.loop.time() + REST_S
            self.loop.run_while(lambda: not self._is_at_rest(), until_s=rest_s)
            end = self._judge_end()
            self._close()
        self.judge.violations += [repr(error) for error in self.loop.unforeseen]
        return Result(
            self.judge.violations,
            self.effects,
            end,
            self.struck,
            len(self.judge.acks),
            self.timeline,
        )

    def tell(self, what: str) -> None:
        """Write a line of the timeline."""
        if self._is_told:
            self.timeline.append(f"{self.loop.time():9.4f} s {self.effects:5d}  {what}")

    def _close(self) -> None:
        """End all processes, so that nothing of them is left for Python to find."""
        self._is_over = True
        for processes in self._staff.values():
            for process in processes:
                self.network.kill(process)
        self.loop.run_while(lambda: True, until_s=self.loop.time() + 2 * REST_S)

    # Staff.

    def _start(self, role: Role) -> None:
        if self._is_over:
            return
        self._lives += 1
        process = Process(self.loop, f"{role}-{self._lives}")
        self._staff[role].append(process)
        self.tell(f"{process.name} starts")
        if role == "worker":
            worker = self.workers[process.name] = Worker(self.site, process)
            process.spawn(worker.start())
        elif role == "persister":
            process.spawn(run_persister(self.site, process))
        else:
            process.spawn(run_coordinator())

    def _kill(self, process: Process) -> None:
        self.network.kill(process)
        role = next(role for role, staff in self._staff.items() if process in staff)
        self._staff[role].remove(process)
        if role == "worker":
            self.judge.dead.add(process.name)
            self.workers.pop(process.name)
        self.loop.call_later(0.05 + self.rng.random(), self._start, role, context=Context())

    # Faults.

    def _strike(self, process: Process, what: str) -> str:
        """Let the faults strike that are due at this effect; return the call's own fate."""
        self.effects += 1
        if self._is_told:
            self.tell(f"{process.name}: {what}")
        if what.endswith("meta fence"):
            self._recoverer = process
        while self._faults and self._faults[0].at <= self.effects and not self._heals:
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
            self.tell(f"FAULT {fault}: {process.name}")
            fate = self._apply(fault, process)
            if fate or not process.is_alive:
                return fate
        return ""

    def _is_whose(self, fault: Fault, process: Process) -> bool:
        if fault.whose == "recovery":
            reign = self.postgres.tables["reigns"].get(0)
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

    def _apply(self, fault: Fault, process: Process) -> str:
        match fault.kind:
            case "kill":
                self._kill(process)
            case "freeze":
                process.frozen_until_s = self.loop.time() + fault.amount
            case "drop request" | "drop reply" | "late":
                return fault.kind
            case "forget scripts":
                self.redis.forget_scripts()
            case "flush all":
                self._lose(self.redis.empty)
            case "flip":
                self._lose(lambda: self.redis.lose(int(fault.amount)))
                self.redis.change_history()
            case "restart postgres":
                self._restart(self.postgres, fault.down_s)
            case "time travel":
                self._travel(fault.amount)
            case _:
                self._restart_redis(fault)
        return ""

    def _restart_redis(self, fault: Fault) -> None:
        if not self.redis.is_up:
            return
        self._restart(self.redis, fault.down_s)
        if fault.kind == "lose tail":
            self._lose(lambda: self.redis.lose(int(fault.amount)))
        elif fault.kind == "empty":
            self._lose(self.redis.empty)

    def _lose(self, lose: Callable[[], bool]) -> None:
        if lose():
            self.judge.forget_redis()

    def _restart(self, server: RedisServer | PostgresServer, down_s: float) -> None:
        if server.is_up:
            server.stop()
            self.loop.call_later(down_s, server.start, context=Context())

    def _take_snapshot(self) -> None:
        if self._heals:
            return
        self._snapshots.append((self.loop.time(), self.postgres.snapshot()))
        self.loop.call_later(SNAPSHOT_INTERVAL_S, self._take_snapshot, context=Context())

    def _travel(self, back_s: float) -> None:
        """Take PostgreSQL back in time (F31)."""
        if not self.postgres.is_up:
            return
        self._restart(self.postgres, 0.05)
        until_s = self.loop.time() - back_s
        past = [tables for at_s, tables in self._snapshots if at_s <= until_s]
        if past:
            self.judge.has_travelled = True
            self.postgres.restore(past[-1])
            self.judge.follow(self.postgres.tables)

    # The end.

    def _heal(self) -> None:
        """End all faults: who stands still goes on, what is down comes up by itself."""
        self.tell("HEALED")
        self._heals = True
        for processes in self._staff.values():
            for process in processes:
                process.frozen_until_s = 0.0

    def _is_at_rest(self) -> bool:
        tables, state = self.postgres.tables, self.redis.state
        reign = tables["reigns"].get(0)
        if not self.redis.is_up or not self.postgres.is_up or reign is None:
            return False
        if reign["state"] == "frozen":
            return state.meta.get("state") != "open"
        epoch = reign["epoch"]
        place = tables["checkpoints"].get(epoch, (0, 0))
        return (
            reign["state"] == "open"
            and state.meta.get("epoch") == str(epoch)
            and state.meta.get("state") == "open"
            and place[0] == int(state.meta["seq"])
            and not tables["redo"]
            and len(self.workers) == STAFF["worker"]
            and all(worker.is_open and not worker.remembers for worker in self.workers.values())
        )

    def _judge_end(self) -> str:
        reign = self.postgres.tables["reigns"].get(0, {"state": "unclaimed"})
        if not self._is_at_rest():
            self.judge.violations.append(
                f"I18: no rest after {REST_S:g} s: {dict(reign)}, Redis {self.redis.state.meta}, "
                f"redo {len(self.postgres.tables['redo'])}, "
                f"doors {[worker.is_open for worker in self.workers.values()]}"
            )
            return "restless"
        is_open = reign["state"] == "open"
        end = "open" if is_open else f"frozen: {reign['reason']}"
        if not is_open and not self._is_legitimate(reign["reason"]):
            self.judge.violations.append(f"I18: {end}, which nothing in this history explains")
        self.judge.check_end(
            self.redis.state, is_open=is_open, spares_witnesses=self.plan.spares_witnesses
        )
        return end

    def _is_legitimate(self, reason: str) -> bool:
        return any(
            mark in reason and happened
            for mark, happened in (
                ("PostgreSQL has gone back in time", self.judge.has_travelled),
                ("neither store has any", self.judge.has_lost),
            )
        )
