"""
One history: processes, servers, buyers and faults over one loop, all of it from one plan.

Runs in two parts. First buyers buy while faults strike at their effects; then everything is healed
and must come to rest: open, or frozen for a cause that the history has, with all that was
acknowledged in PostgreSQL.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from contextvars import Context
from typing import NamedTuple

from engine.watcher import WATCH_INTERVAL_S
from tests.determinism import buyers
from tests.determinism.all_scripts import SCRIPTS
from tests.determinism.judge import Judge
from tests.determinism.loop import Process, VirtualLoop
from tests.determinism.nemesis import Nemesis
from tests.determinism.network import Network
from tests.determinism.plans import Plan, Role
from tests.determinism.postgres_server import PostgresServer
from tests.determinism.redeeming import run_redeemer
from tests.determinism.redis_server import RedisServer
from tests.determinism.replication import Pair
from tests.determinism.staff import (
    Site,
    Worker,
    run_coordinator,
    run_mover,
    run_persister,
    servers_of,
    staged,
)
from tests.determinism.statements import EVENT_ID, STATEMENTS

#: Processes of each role.
STAFF: Mapping[Role, int] = {"worker": 2, "persister": 2, "coordinator": 2}
#: Those whom somebody starts by hand.
HUMANS: tuple[Role, ...] = ("mover", "redeemer")
REDEEM_TRIES = 5
#: Virtual time that buyers and faults get, and in which all must then come to rest.
SALE_S = 60.0
REST_S = 120.0
#: How long all must stay at rest, and how often they may take to it.
CALM_S, CALMS_MAX = 3.0, 2
#: How long a process that hears may hold a door open that is over, and how often that is looked at.
DOOR_S = WATCH_INTERVAL_S + 0.25
LOOK_S = 0.25


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
        self.judge = Judge(plan.capacities)
        self._nemesis = Nemesis(self)
        self.network = Network(self.loop, self.rng, self._nemesis.strike)
        self.nodes = {name: self._make_redis(name) for name in plan.servers}
        self.judge.nodes = self.nodes
        self.postgres = PostgresServer(self.loop, STATEMENTS, self.judge.committed)
        self.postgres.tables["events"] = {
            EVENT_ID: {"status": "draft", "capacities": plan.capacities}
        }
        self.judge.follow(self.postgres.tables)
        self.site = Site(self.loop, self.network, self.nodes, self.postgres)
        self.workers: dict[str, Worker] = {}
        self.timeline: list[str] = []
        self.is_told = is_told
        self._heals = self._is_over = False
        self._staff: dict[Role, list[Process]] = {role: [] for role in (*STAFF, *HUMANS)}
        #: What the settings of each process name.
        self._lists: dict[Process, tuple[str, ...]] = {}
        #: Under which epoch that is over a worker has its door open, and since when it could know.
        self._over_since_s: dict[Process, tuple[int, float]] = {}
        self._lives = 0

    def run(self) -> Result:
        """Run it to its end."""
        tell = self.tell if self.is_told else None
        with staged(self.site, self.rng, tell):
            for role, count in STAFF.items():
                for number in range(count):
                    own = self.plan.others.get(role) if number else None
                    self._start(role, own or self.plan.servers)
            self._watch_doors()
            if self.plan.mode == "time travel":
                self._nemesis.take_snapshot()
            shoppers = buyers.open_shop(self)
            self.loop.run_while(lambda: not all(one.done() for one in shoppers), until_s=SALE_S)
            self._heal()
            rest_s = self.loop.time() + REST_S
            self.loop.run_while(lambda: not self._is_at_rest(), until_s=rest_s)
            if self.plan.others and self._is_at_rest():
                self._stay()
            end = self._judge_end(is_redeemed=self._redeem())
            self._close()
        self.judge.violations += [repr(error) for error in self.loop.unforeseen]
        return Result(
            self.judge.violations,
            self._nemesis.effects,
            end,
            self._nemesis.struck,
            len(self.judge.acks),
            self.timeline,
        )

    def tell(self, what: str) -> None:
        """Write a line of the timeline."""
        if self.is_told:
            self.timeline.append(f"{self.loop.time():9.4f} s {self._nemesis.effects:5d}  {what}")

    def _close(self) -> None:
        """End all processes, so that nothing of them is left for Python to find."""
        self._is_over = True
        for processes in self._staff.values():
            for process in processes:
                self.network.kill(process)
        self.loop.run_while(lambda: True, until_s=self.loop.time() + 2 * REST_S)

    def _stay(self) -> None:
        """
        Who is at rest stays so: no two processes work against each other.

        One that stood still may yet claim the shard for what it saw before; then it is over.
        """
        epochs = [self._epoch]
        for _ in range(CALMS_MAX):
            self.loop.run_while(lambda: True, until_s=self.loop.time() + CALM_S)
            epochs.append(self._epoch)
            if epochs[-1] == epochs[-2]:
                return
        self.judge.violations.append(f"I18: no rest: epochs {epochs}, each after {CALM_S:g} s")

    @property
    def _epoch(self) -> int:
        epoch: int = self.postgres.tables["reigns"][0]["epoch"]
        return epoch

    # Servers and staff.

    def _make_redis(self, name: str) -> RedisServer:
        server = RedisServer(self.loop, SCRIPTS, self.judge, name)
        if self.plan.floor == "replicated":
            replica = RedisServer(self.loop, SCRIPTS, self.judge, name, "r")
            Pair(self.loop, self.rng, server, replica)
        return server

    @property
    def home(self) -> RedisServer:
        """The server that the shard lives on, as far as anybody has said."""
        reign = self.postgres.tables["reigns"].get(0)
        return self.nodes[self.plan.servers[0] if reign is None else reign["home"]]

    def _start(self, role: Role, names: tuple[str, ...]) -> None:
        if self._is_over:
            return
        process, floor = self._new_process(role), self.plan.floor
        self._lists[process] = names
        self.tell(f"{process.name} starts, knows {', '.join(names)}")
        if role == "worker":
            worker = self.workers[process.name] = Worker(self.site, process, names, floor)
            process.spawn(worker.start())
        elif role == "persister":
            process.spawn(run_persister(self.site, process, names))
        else:
            process.spawn(run_coordinator(names, floor))

    def start_mover(self, to: str, said_gone: str, tries: int) -> None:
        """Let somebody move the shard."""
        if self._heals:
            return
        process = self._new_process("mover")
        self.tell(f"{process.name} moves the shard to {to} {said_gone}")
        servers = servers_of(self.plan.servers, self.plan.floor)
        process.spawn(run_mover(servers, to, said_gone, tries, self.tell))

    def start_redeemer(self, tries: int) -> None:
        """Let somebody redeem the receipts of all that was booked so far."""
        process = self._new_process("redeemer")
        receipts = [ack.receipt for ack in self.judge.acks if ack.receipt]
        self.tell(f"{process.name} redeems {len(receipts)} receipts")
        servers = servers_of(self.plan.servers, self.plan.floor)
        took = self.judge.redeemed
        process.spawn(
            run_redeemer(
                servers,
                receipts,
                tries,
                self.tell,
                lambda one: took.update({one.booking_id: one.what}),
            )
        )

    def _redeem(self) -> bool:
        """Let all receipts be redeemed where anything may have been lost; tell whether it was."""
        may_have_lost = self.judge.has_lost or bool(self.judge.gone)
        if not may_have_lost or not self._is_at_rest() or self._reign_state != "open":
            return False
        self.start_redeemer(REDEEM_TRIES)
        self.loop.run_while(lambda: not self._is_at_rest(), until_s=self.loop.time() + REST_S)
        return self._is_at_rest() and self._reign_state == "open"

    @property
    def _reign_state(self) -> str:
        state: str = self.postgres.tables["reigns"][0]["state"]
        return state

    def _new_process(self, role: Role) -> Process:
        self._lives += 1
        process = Process(self.loop, f"{role}-{self._lives}")
        self._staff[role].append(process)
        return process

    def kill(self, process: Process) -> None:
        """Kill a process; but for those who move the shard it is started again."""
        self.network.kill(process)
        role: Role = next(role for role, staff in self._staff.items() if process in staff)
        self._staff[role].remove(process)
        self._over_since_s.pop(process, None)
        if role in HUMANS:
            return
        if role == "worker":
            self.judge.dead.add(process.name)
            self.workers.pop(process.name)
        names = self._lists.pop(process)
        self.loop.call_later(0.05 + self.rng.random(), self._start, role, names, context=Context())

    def _watch_doors(self) -> None:
        """A process that hears shuts the door of a reign that is over (I20)."""
        row, now_s = self.postgres.tables["reigns"].get(0), self.loop.time()
        for worker in self.workers.values():
            process, reign = worker.process, worker.reign
            hears = (
                self.postgres.is_up
                and process.frozen_until_s <= now_s
                and not self.network.is_apart(process, self.postgres)
            )
            is_over = (
                reign is not None
                and row is not None
                and row["epoch"] >= reign.epoch
                and (row["epoch"], row["state"]) != (reign.epoch, "open")
            )
            if not (hears and is_over):
                self._over_since_s.pop(process, None)
                continue
            assert reign is not None
            epoch, since_s = self._over_since_s.get(process, (0, now_s))
            if epoch != reign.epoch:
                self._over_since_s[process] = (reign.epoch, now_s)
            elif now_s - since_s > DOOR_S:
                self.judge.violations.append(
                    f"I20: {process.name} sells under epoch {reign.epoch} at {reign.home}, of {row}"
                )
                self._over_since_s[process] = (epoch, math.inf)
        if not self._is_over:
            self.loop.call_later(LOOK_S, self._watch_doors, context=Context())

    def come_up(self, server: RedisServer | PostgresServer, life: int) -> None:
        """Start a server, unless it is up or was stopped again since."""
        if not server.is_up and server.life == life:
            server.start()

    def forgive(self, process: Process) -> None:
        """A process was struck: it may not have heard."""
        self._over_since_s.pop(process, None)

    # The end.

    def _heal(self) -> None:
        """End all faults: who is apart is not, what is down comes up."""
        self.tell("HEALED")
        self._heals = True
        self._nemesis.end()
        self.network.join()
        for node in self.nodes.values():
            for server in (node,) if node.pair is None else (node.pair.master, node.pair.replica):
                self.come_up(server, server.life)
            if node.pair is not None:
                node.pair.heal()

    def _is_at_rest(self) -> bool:
        tables, home = self.postgres.tables, self.home
        reign = tables["reigns"].get(0)
        if not home.is_up or not self.postgres.is_up or reign is None:
            return False
        meta = home.state.meta
        if reign["state"] == "frozen":
            return meta.get("state") != "open"
        epoch = reign["epoch"]
        place = tables["checkpoints"].get(epoch, (0, 0))
        return (
            reign["state"] == "open"
            and (reign["redis_run_id"], reign["redis_replid"]) == (home.run_id, home.replid)
            and meta.get("epoch") == str(epoch)
            and meta.get("state") == "open"
            and place[0] == int(meta["seq"])
            and not tables["redo"]
            and not any(one.is_busy for role in HUMANS for one in self._staff[role])
            and not any(process.frozen_until_s > self.loop.time() for process in self._lists)
            and len(self.workers) == STAFF["worker"]
            and all(self._is_as_it_should_be(worker) for worker in self.workers.values())
        )

    def _is_as_it_should_be(self, worker: Worker) -> bool:
        """Tell whether a door is open where its process knows the server, and else shut."""
        knows = self.home.name in worker.names
        return (worker.reign is not None) == knows and not worker.remembers

    def _judge_end(self, *, is_redeemed: bool) -> str:
        reign = self.postgres.tables["reigns"].get(0, {"state": "unclaimed"})
        if not self._is_at_rest():
            self.judge.violations.append(
                f"I18: no rest after {REST_S:g} s: {dict(reign)}, Redis {self.home.state.meta}, "
                f"redo {len(self.postgres.tables['redo'])}, "
                f"doors {[worker.standing for worker in self.workers.values()]}"
            )
            return "restless"
        is_open = reign["state"] == "open"
        end = "open" if is_open else f"frozen: {reign['reason']}"
        if not is_open and not self._is_legitimate(reign["reason"]):
            self.judge.violations.append(f"I18: {end}, which nothing in this history explains")
        self.judge.check_end(
            self.home.state,
            is_open=is_open,
            spares_witnesses=self.plan.spares_witnesses,
            is_redeemed=is_redeemed,
        )
        return end

    def _is_legitimate(self, reason: str) -> bool:
        return any(
            mark in reason and happened
            for mark, happened in (
                ("PostgreSQL has gone back in time", self.judge.has_travelled),
                ("neither store has any", self.judge.has_lost or bool(self.judge.gone)),
            )
        )
