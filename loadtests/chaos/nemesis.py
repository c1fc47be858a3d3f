"""
The nemesis: which fault strikes what, when, and for how long; the same seed, the same schedule.

Owns the catalogue of faults, the schedule, and inflicting it. Guarantees: a schedule depends on the
seed and on what the site can survive alone; `heal` takes back whatever a fault left behind. Faults
that the engine cannot survive yet stand in the catalogue behind a capability that is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from engine import keys
from evently.embedded import process as processes
from evently.embedded.valkey import LOG_FOLDER
from loadtests import harm
from loadtests.chaos.history import Recorder
from loadtests.chaos.proxy import CALM, Proxy, Trouble
from loadtests.chaos.site import Site
from loadtests.server import PROCESSES, send
from store.pool import UNANSWERED

#: What the engine can survive today. `redo`: workers remember what they acknowledged, so that a
#: Redis that lost it is rebuilt from them and PostgreSQL without a loss (F5, F6, F13).
CAPABILITIES = frozenset({"redo"})
FAULTS_MIN, FAULTS_MAX = 3, 6
DURATION_S = (0.3, 4.0)
#: How often each family of faults is chosen, by the first word of its names.
FAMILIES = {
    "kill": 5,
    "restart": 2,
    "stop": 3,
    "double": 1,
    "network": 8,
    "refuse": 1,
    "cut": 2,
    "flush": 2,
    "fill": 2,
    "lose": 2,
    "wipe": 1,
}
MIB = 1024 * 1024
#: Starts of a supervisor whose start other faults may disturb.
STARTS_MAX = 5


class Fault(NamedTuple):
    """One fault of a schedule."""

    #: Since the start of the clients, in seconds.
    at_s: float
    name: str
    #: For faults that last.
    duration_s: float
    #: A number that the fault makes of it what it needs: which process, how many bytes.
    number: int

    def __str__(self) -> str:
        return f"{self.name} ({self.duration_s:.1f} s, {self.number})"


class Kind(NamedTuple):
    """What the catalogue says of a fault."""

    act: Callable[[Nemesis, Fault], Awaitable[None]]
    #: Capability without which it is left out.
    needs: str = ""
    #: Redis loses what it has acknowledged.
    loses_data: bool = False
    #: Workers that remember what they acknowledged are gone, frozen or cut off from PostgreSQL.
    #: Together with lost data no promise is left (docs/RELIABILITY.md), so never in one round.
    blinds_workers: bool = False


def plan(
    seed: int,
    *,
    window_s: float,
    capabilities: Collection[str] = CAPABILITIES,
    only: Collection[str] = (),
) -> list[Fault]:
    """
    Return the schedule of one round.

    Args:
        seed: The same seed, the same schedule.

        window_s: Time in which faults may begin, in seconds.

        capabilities: What the engine can survive.

        only: Names of faults to choose from, whatever they need; empty for all.
    """
    choices = random.Random(f"nemesis-{seed}")
    names = [
        name
        for name, kind in CATALOGUE.items()
        if (name in only if only else not kind.needs or kind.needs in capabilities)
    ]
    chosen: list[str] = []
    for _ in range(choices.randint(FAULTS_MIN, FAULTS_MAX)):
        may_lose = not any(CATALOGUE[name].blinds_workers for name in chosen)
        must_see = any(CATALOGUE[name].loses_data for name in chosen)
        allowed = (
            [
                name
                for name in names
                if (may_lose or not CATALOGUE[name].loses_data)
                and not (must_see and CATALOGUE[name].blinds_workers)
            ]
            or [name for name in names if not CATALOGUE[name].loses_data]
            or names
        )
        families = sorted({_family(name) for name in allowed})
        family = choices.choices(families, [FAMILIES[one] for one in families])[0]
        chosen.append(choices.choice([name for name in allowed if _family(name) == family]))
    return sorted(
        Fault(
            round(choices.uniform(0, window_s), 2),
            name,
            round(choices.uniform(*DURATION_S), 2),
            choices.randrange(1_000_000),
        )
        for name in chosen
    )


def _family(name: str) -> str:
    return name.partition(" ")[0]


class Nemesis:
    """Inflicts a schedule on a site."""

    def __init__(self, site: Site, recorder: Recorder, *, on_fault: Callable[[str], None]) -> None:
        """
        Args:
            site: What is hurt.

            recorder: Where it is written down.

            on_fault: Told of each fault as it strikes.
        """
        self.site = site
        self.inflicted = 0
        self._recorder = recorder
        self._on_fault = on_fault
        self._under_way: set[asyncio.Task[None]] = set()
        #: Which trouble each proxy has; a later one is not healed by the end of an earlier one.
        self._turns: dict[int, int] = {}
        self._memory_max = ""
        self._extra: list[subprocess.Popen[bytes]] = []

    async def run(self, faults: list[Fault]) -> None:
        """Inflict all faults at their time; they may overlap. Returns when all are over."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for fault in faults:
            await asyncio.sleep(max(0.0, start_s + fault.at_s - loop.time()))
            task = asyncio.create_task(self._inflict(fault))
            self._under_way.add(task)
        await asyncio.gather(*self._under_way)

    async def heal(self) -> None:
        """Take back whatever may still be there, and see that the supervisor runs."""
        for extra in self._extra:
            processes.kill(extra)
        await self.site.heal()
        await self.restore_memory()
        supervisor = self.site.server.process
        if supervisor is None or supervisor.poll() is not None:
            await self._start_supervisor()
        self.note("healed")

    def note(self, what: str) -> None:
        """Write down what was done."""
        self._recorder.nemesis(what)

    async def _inflict(self, fault: Fault) -> None:
        self._on_fault(fault.name)
        self.note(f"{fault} begins")
        self.inflicted += 1
        try:
            await CATALOGUE[fault.name].act(self, fault)
        except (RedisError, ProcessLookupError, *UNANSWERED) as error:
            # What was to be hurt was down already; that is trouble enough.
            self.note(f"{fault.name}: {type(error).__name__}: {error}")
        self.note(f"{fault.name} ends")

    # Processes.

    async def kill(self, fault: Fault) -> None:
        """Kill one process, without a word."""
        hit = self.site.send(_target(fault), signal.SIGKILL, index=fault.number)
        self.note(f"killed {hit}")

    async def kill_postgres(self, _: Fault) -> None:
        """Kill PostgreSQL with all its backends, as a power cut would."""
        with self.site.server.supervisor_stopped():
            for number in (signal.SIGSTOP, signal.SIGKILL):
                self.site.send("postgres", number)

    async def kill_backend(self, fault: Fault) -> None:
        """Kill one process of PostgreSQL, which then restarts all of them by itself."""
        self.site.send("postgres", signal.SIGKILL, index=fault.number)

    async def kill_supervisor(self, _: Fault) -> None:
        """Kill the supervisor, with which all dies, and start it again."""
        if self.site.server.process is None or self.site.server.process.poll() is not None:
            return
        self.site.server.kill()
        await self._start_supervisor()

    async def _start_supervisor(self) -> None:
        """Start it as whoever watches over it would: again, if another fault struck meanwhile."""
        for _ in range(STARTS_MAX - 1):
            with contextlib.suppress(RuntimeError):
                await self.site.server.start()
                return
            self.note("the supervisor did not come up")
        await self.site.server.start()

    async def restart(self, fault: Fault) -> None:
        """Ask one process to end; it is started again."""
        number = signal.SIGINT if _target(fault) == "postgres" else signal.SIGTERM
        index = 0 if _target(fault) == "postgres" else fault.number  # The postmaster is the oldest.
        self.site.send(_target(fault), number, index=index)

    async def stop(self, fault: Fault) -> None:
        """Freeze all processes of a kind for a while: they come back as zombies of their time."""
        pids = self.site.send(_target(fault), signal.SIGSTOP)
        await asyncio.sleep(fault.duration_s)
        send(pids, signal.SIGCONT)

    async def double(self, fault: Fault) -> None:
        """Run a second persister or coordinator beside the first (F27, F41)."""
        words = {
            "persister": ("persister", "--shard", "0"),
            "coordinator": ("reconciler", "recover", "--watch"),
        }[_target(fault)]
        extra = processes.spawn(
            [sys.executable, "-m", *words],
            death_signal=signal.SIGKILL,
            env=self.site.server.environ | self.site.settings.to_env(),
            log_path=self.site.server.log_path,
        )
        self._extra.append(extra)
        await asyncio.sleep(2 + fault.duration_s)  # Python takes its time to start.
        processes.kill(extra)

    # Network.

    async def network(self, fault: Fault) -> None:
        """Make trouble between one kind of process and one server."""
        _, what, who, server = fault.name.split(" ")
        proxy = self.site.redis_proxy if server == "redis" else self.site.postgres_proxy
        name = PROCESSES[who]
        turn = self._turns[id(proxy)] = self._turns.get(id(proxy), 0) + 1
        if what == "reset":
            self.note(f"reset {proxy.reset(name)} links")
            return
        _make_trouble(proxy, what, name, fault.number)
        await asyncio.sleep(fault.duration_s)
        if self._turns[id(proxy)] == turn:
            proxy.heal()

    async def refuse(self, fault: Fault) -> None:
        """Let nobody in to PostgreSQL for a while, and throw out who is in."""
        proxy = self.site.postgres_proxy
        turn = self._turns[id(proxy)] = self._turns.get(id(proxy), 0) + 1
        proxy.is_refusing = True
        proxy.reset()
        await asyncio.sleep(2 * fault.duration_s)
        if self._turns[id(proxy)] == turn:
            proxy.heal()

    async def cut_database(self, _: Fault) -> None:
        """Let PostgreSQL throw out all its clients."""
        await self.site.cut_database()

    # Redis.

    async def flush_scripts(self, _: Fault) -> None:
        """Forget all scripts (F15)."""
        await self.site.redis.script_flush("SYNC")

    async def flush_all(self, _: Fault) -> None:
        """Delete every key (F13)."""
        await self.site.redis.flushall()

    async def lose_key(self, fault: Fault) -> None:
        """Delete one key of an event, as an eviction policy or a hand does (F45)."""
        choices = random.Random(fault.number)
        shard = choices.randrange(self.site.settings.shards)
        found: Any = await self.site.redis.smembers(keys.events(shard))
        events = sorted(event_id.decode() for event_id in found)
        if events:
            key = choices.choice(keys.event(shard, choices.choice(events)))
            self.note(f"deleted {key}: {await self.site.redis.delete(key)}")

    async def fill_memory(self, fault: Fault) -> None:
        """Let Redis have no more memory than it uses (F16)."""
        redis = self.site.redis
        config: Any = await redis.config_get("maxmemory")
        self._memory_max = self._memory_max or config["maxmemory"]
        memory: Any = await redis.info("memory")
        await redis.config_set("maxmemory", max(1, int(memory["used_memory"]) - MIB))
        await asyncio.sleep(fault.duration_s)
        await self.restore_memory()

    async def restore_memory(self) -> None:
        """Give Redis its memory back; one that was restarted has it already."""
        if self._memory_max:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self.site.redis.config_set("maxmemory", self._memory_max)

    async def fill_disk(self, fault: Fault) -> None:
        """Let Redis's files grow by some bytes more: it dies at a write that does not fit (F18)."""
        sizes = [path.stat().st_size for path in self._log_folder().glob("*.incr.aof")]
        for pid in self.site.server.pids("redis"):
            soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            del soft
            limit = max(sizes, default=0) + fault.number % 3_000
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
        await asyncio.sleep(fault.duration_s)

    async def cut_log(self, fault: Fault) -> None:
        """Kill Redis and cut the tail of its log: a disk that lied about fsync (F5)."""
        with self.site.server.supervisor_stopped():
            self.site.send("redis", signal.SIGKILL)
            await asyncio.sleep(0.05)
            log = harm.newest_log(self._log_folder().parent)
            size = log.stat().st_size
            cut = min(size, 1 + fault.number % 20_000)
            os.truncate(log, size - cut)
            self.note(f"cut {cut} of {size} bytes off {log.name}")

    async def wipe_redis(self, _: Fault) -> None:
        """Kill Redis and delete what it has on disk (F6)."""
        with self.site.server.supervisor_stopped():
            self.site.send("redis", signal.SIGKILL)
            await asyncio.sleep(0.05)
            shutil.rmtree(self._log_folder())

    def _log_folder(self) -> Path:
        return self.site.server.data_path / "redis" / LOG_FOLDER


def _make_trouble(proxy: Proxy, what: str, who: str, number: int) -> None:
    """Switch a proxy to the trouble of that name."""
    bad = Trouble(who=who)
    match what:
        case "black_hole":
            bad = Trouble(who=who, is_black_hole=True)
            # Either way, or both: what is lost is the request, or the reply.
            proxy.trouble(
                request=bad if number % 3 != 1 else CALM, reply=bad if number % 3 != 0 else CALM
            )
        case "swallow":
            proxy.trouble(reply=Trouble(who=who, is_swallowing=True))
        case "slow":
            proxy.trouble(
                request=Trouble(who=who, delay_s=0.001 + number % 100 / 1000),
                reply=Trouble(who=who, bytes_per_s=50_000),
            )
        case "split":
            bad = Trouble(who=who, split_bytes=1 + number % 40)
            proxy.trouble(request=bad, reply=bad)
        case "cut":
            bad = Trouble(who=who, cut_after_bytes=number % 20_000)
            proxy.trouble(**{"request" if number % 2 else "reply": bad})  # type: ignore[arg-type]
        case "cut_before_commit" | "cut_after_commit":
            proxy.trouble(
                request=Trouble(
                    who=who, cut_at=b"COMMIT;", cut_delivers=what == "cut_after_commit"
                ),
                cuts=1 + number % 3,
            )
        case _:
            raise ValueError(f"no such trouble: {what}")


def _target(fault: Fault) -> str:
    return fault.name.partition(" ")[2]


_TROUBLES = ("black_hole", "swallow", "slow", "split", "reset", "cut")

CATALOGUE: dict[str, Kind] = {
    "kill api": Kind(Nemesis.kill, blinds_workers=True),
    "kill persister": Kind(Nemesis.kill),
    "kill sweeper": Kind(Nemesis.kill),
    "kill coordinator": Kind(Nemesis.kill),
    "kill redis": Kind(Nemesis.kill),
    "kill postgres": Kind(Nemesis.kill_postgres, blinds_workers=True),
    "kill postgres-backend": Kind(Nemesis.kill_backend, blinds_workers=True),
    "kill supervisor": Kind(Nemesis.kill_supervisor, blinds_workers=True),
    "restart api": Kind(Nemesis.restart, blinds_workers=True),
    "restart persister": Kind(Nemesis.restart),
    "restart coordinator": Kind(Nemesis.restart),
    "restart redis": Kind(Nemesis.restart),
    "restart postgres": Kind(Nemesis.restart, blinds_workers=True),
    "stop api": Kind(Nemesis.stop, blinds_workers=True),
    "stop persister": Kind(Nemesis.stop),
    "stop sweeper": Kind(Nemesis.stop),
    "stop coordinator": Kind(Nemesis.stop),
    "stop redis": Kind(Nemesis.stop),
    "stop postgres": Kind(Nemesis.stop, blinds_workers=True),
    "double persister": Kind(Nemesis.double),
    "double coordinator": Kind(Nemesis.double),
    **{f"network {what} api redis": Kind(Nemesis.network) for what in _TROUBLES},
    **{f"network {what} persister redis": Kind(Nemesis.network) for what in _TROUBLES},
    **{f"network {what} persister postgres": Kind(Nemesis.network) for what in _TROUBLES},
    **{f"network {what} coordinator redis": Kind(Nemesis.network) for what in _TROUBLES},
    **{f"network {what} coordinator postgres": Kind(Nemesis.network) for what in _TROUBLES},
    **{
        f"network {what} api postgres": Kind(Nemesis.network, blinds_workers=True)
        for what in _TROUBLES
    },
    "network cut_before_commit persister postgres": Kind(Nemesis.network),
    "network cut_after_commit persister postgres": Kind(Nemesis.network),
    "network cut_before_commit coordinator postgres": Kind(Nemesis.network),
    "network cut_after_commit coordinator postgres": Kind(Nemesis.network),
    "refuse postgres": Kind(Nemesis.refuse, blinds_workers=True),
    "cut database": Kind(Nemesis.cut_database, blinds_workers=True),
    "flush scripts": Kind(Nemesis.flush_scripts),
    "fill memory": Kind(Nemesis.fill_memory),
    "fill disk": Kind(Nemesis.fill_disk),
    "lose key": Kind(Nemesis.lose_key),
    "flush all": Kind(Nemesis.flush_all, needs="redo", loses_data=True),
    "cut log": Kind(Nemesis.cut_log, needs="redo", loses_data=True),
    "wipe redis": Kind(Nemesis.wipe_redis, needs="redo", loses_data=True),
}
