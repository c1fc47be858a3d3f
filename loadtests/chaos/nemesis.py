"""
The nemesis: which fault strikes what, when, and for how long; the same seed, the same schedule.

Owns the catalogue of faults, the schedule, and inflicting it; what each does is in `acts/`.
Guarantees: a schedule depends on the seed and on what the site can survive alone; `heal` takes back
whatever a fault left behind. Faults that the engine cannot survive yet stand in the catalogue
behind a capability that is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

import msgspec
from redis.exceptions import RedisError

from engine.keys import EventKeys
from evently.embedded import ServerError
from evently.embedded import process as processes
from loadtests.chaos.acts import homes, machine, network, redis
from loadtests.chaos.acts import processes as parts
from loadtests.chaos.history import Recorder
from loadtests.chaos.proxy import Proxy
from loadtests.chaos.site import Site
from store.pool import UNANSWERED

#: What the engine can survive today. `redo`: workers remember what they acknowledged, so that a
#: Redis that lost it is rebuilt from them and PostgreSQL without a loss (F5, F6, F13).
CAPABILITIES = frozenset({"redo"})
FAULTS_MIN, FAULTS_MAX = 3, 6
DURATION_S = (0.3, 4.0)
#: How often each family of faults is chosen, by the first word of its names.
FAMILIES = {
    "kill": 6,
    "restart": 2,
    "stop": 3,
    "double": 1,
    "network": 8,
    "refuse": 1,
    "cut": 2,
    "flush": 2,
    "fill": 2,
    "lose": 3,
    "wipe": 1,
    "demote": 2,
    "clock": 1,
    "shorten": 1,
    "edit": 1,
    "retire": 1,
    "starve": 1,
    "freeze": 1,
    "add": 1,
    "move": 3,
    "list": 2,
}
#: Share of rounds whose Redis is two servers beside Evently.
WIDE_SHARE = 0.3
#: Starts of a supervisor whose start other faults may disturb.
STARTS_MAX = 5
COMMAND_TIMEOUT_S = 60.0


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

    @property
    def target(self) -> str:
        """What of its family it is: the words after the first."""
        return self.name.partition(" ")[2]


class Kind(NamedTuple):
    """What the catalogue says of a fault."""

    act: Callable[[Nemesis, Fault], Awaitable[None]]
    #: Capability without which it is left out.
    needs: str = ""
    #: Redis loses what it has acknowledged.
    loses_data: bool = False
    #: Workers that remember what they acknowledged are gone, frozen or cut off from PostgreSQL.
    #: Together with lost data no promise is left (docs/RELIABILITY.md), so never in one round,
    #: unless one fault is both and sees to it that somebody wakes up who remembers.
    blinds_workers: bool = False
    #: Deadlines of holds and offers mean nothing where a clock was moved.
    moves_clock: bool = False
    #: Whether Redis is two servers beside Evently: of no consequence if it is None.
    is_wide: bool | None = None
    #: The data has a disk of its own.
    has_volume: bool = False
    #: A notifier tells people by a mail server.
    has_mail: bool = False
    #: There is one API process: two would wake up one after the other.
    has_one_api: bool = False


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
    is_wide = is_wide_round(seed, only)
    names = [
        name
        for name, kind in CATALOGUE.items()
        if kind.is_wide in {None, is_wide}
        and (name in only if only else not kind.needs or kind.needs in capabilities)
    ]
    chosen: list[str] = []
    for _ in range(choices.randint(FAULTS_MIN, FAULTS_MAX)):
        allowed = (
            [name for name in names if _may_join(name, chosen)]
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


def is_wide_round(seed: int, only: Collection[str] = ()) -> bool:
    """Tell whether the Redis of a round is two servers; with chosen faults, if one needs it."""
    if only:
        return any(CATALOGUE[name].is_wide for name in only)
    return random.Random(f"site-{seed}").random() < WIDE_SHARE


def any_is(faults: Sequence[Fault], trait: str) -> bool:
    """Tell whether the catalogue says *trait* of any of these faults."""
    return any(getattr(CATALOGUE[fault.name], trait) for fault in faults)


def _may_join(name: str, chosen: Sequence[str]) -> bool:
    """Tell whether a fault may be in one round with those: see `Kind.blinds_workers`."""
    kind, others = CATALOGUE[name], [CATALOGUE[other] for other in chosen]
    return not (
        (kind.loses_data and any(other.blinds_workers for other in others))
        or (kind.blinds_workers and any(other.loses_data for other in others))
    )


def _family(name: str) -> str:
    return name.partition(" ")[0]


class Nemesis:
    """Inflicts a schedule on a site."""

    #: What an act may meet where other faults have struck already.
    away = (RedisError, ProcessLookupError, ServerError, *UNANSWERED)

    def __init__(self, site: Site, recorder: Recorder, *, on_fault: Callable[[str], None]) -> None:
        """
        Args:
            site: What is hurt.

            recorder: Where it is written down.

            on_fault: Told of each fault as it strikes.
        """
        self.site = site
        self.inflicted = 0
        #: What broke that nobody had struck.
        self.complaints: list[str] = []
        #: Memory that servers had before it was taken from them.
        self.memory_max: dict[str, str] = {}
        self._recorder = recorder
        self._on_fault = on_fault
        self._under_way: set[asyncio.Task[None]] = set()
        #: Which trouble each proxy has; a later one is not healed by the end of an earlier one.
        self._turns: dict[int, int] = {}
        self._extra: list[subprocess.Popen[bytes]] = []
        self._is_starting = False

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
        await self._promote_all()
        supervisor = self.site.server.process
        if supervisor is None or supervisor.poll() is not None:
            code = supervisor and supervisor.returncode
            self.complaints.append(f"the supervisor ended by itself with code {code}")
            await self.start_supervisor()
        self.note("healed")

    def note(self, what: str) -> None:
        """Write down what was done."""
        self._recorder.nemesis(what)

    def spawn(self, *words: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a module of the project with other settings; `heal` ends it at the latest."""
        own = msgspec.structs.replace(self.site.settings, **settings)
        extra = processes.spawn(
            [sys.executable, "-m", *words],
            death_signal=signal.SIGKILL,
            env=self.site.server.environ | own.to_env(),
            log_path=self.site.server.log_path,
        )
        self._extra.append(extra)
        return extra

    async def command(self, *words: str, dies_after_s: float = 0.0) -> bool:
        """
        Run a command to its end, as an operator would; tell whether it could do what it was asked.

        Args:
            dies_after_s: After which it is killed; 0: it is not.
        """
        extra = self.spawn(*words)
        try:
            async with asyncio.timeout(dies_after_s or COMMAND_TIMEOUT_S):
                while extra.poll() is None:  # noqa: ASYNC110 - it has no event to wait for
                    await asyncio.sleep(0.02)
        except TimeoutError:
            processes.kill(extra)
        self.note(f"{' '.join(words)}: {extra.returncode}")
        return extra.returncode == 0

    def begin_turn(self, proxy: Proxy) -> int:
        """Begin a trouble at a proxy; return its number."""
        turn = self._turns[id(proxy)] = self._turns.get(id(proxy), 0) + 1
        return turn

    def end_turn(self, proxy: Proxy, turn: int) -> None:
        """Calm a proxy, unless a later trouble has begun there."""
        if self._turns[id(proxy)] == turn:
            proxy.heal()

    async def start_supervisor(self) -> None:
        """Start it as whoever watches over it would: again, if another fault struck meanwhile."""
        if self._is_starting:
            return
        self._is_starting = True
        try:
            for _ in range(STARTS_MAX - 1):
                with contextlib.suppress(RuntimeError):
                    await self.site.server.start()
                    return
                self.note("the supervisor did not come up")
            await self.site.server.start()
        finally:
            self._is_starting = False

    async def restore_memory(self) -> None:
        """Give every Redis its memory back; one that was restarted has it already."""
        for name, memory in self.memory_max.items():
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self.site.redis_of(name).config_set("maxmemory", memory)

    async def _promote_all(self) -> None:
        """Let no Redis stay a replica whose promotion another fault has disturbed."""
        for name in self.site.names:
            with contextlib.suppress(*self.away):
                redis = self.site.redis_of(name)
                if (await redis.info("replication"))["role"] != "master":
                    await redis.replicaof("NO", "ONE")

    async def _inflict(self, fault: Fault) -> None:
        self._on_fault(fault.name)
        self.note(f"{fault} begins")
        self.inflicted += 1
        try:
            await CATALOGUE[fault.name].act(self, fault)
        except self.away as error:
            # What was to be hurt was down already; that is trouble enough.
            self.note(f"{fault.name}: {type(error).__name__}: {error}")
        self.note(f"{fault.name} ends")


CATALOGUE: dict[str, Kind] = {
    "kill api": Kind(parts.kill, blinds_workers=True),
    "kill persister": Kind(parts.kill),
    "kill sweeper": Kind(parts.kill),
    "kill notifier": Kind(parts.kill, has_mail=True),
    "kill mail": Kind(parts.kill_mail, has_mail=True),
    "kill coordinator": Kind(parts.kill),
    "kill redis": Kind(parts.kill),
    "kill redis five times": Kind(parts.kill_redis_often),
    "kill coordinator in recovery": Kind(parts.kill_recovering),
    "kill postgres": Kind(parts.kill_postgres, blinds_workers=True),
    "kill postgres-backend": Kind(parts.kill_backend, blinds_workers=True),
    "kill supervisor": Kind(parts.kill_supervisor, blinds_workers=True),
    "restart api": Kind(parts.restart, blinds_workers=True),
    "restart persister": Kind(parts.restart),
    "restart coordinator": Kind(parts.restart),
    "restart redis": Kind(parts.restart),
    "restart postgres": Kind(parts.restart, blinds_workers=True),
    "stop api": Kind(parts.stop, blinds_workers=True),
    "stop persister": Kind(parts.stop),
    "stop sweeper": Kind(parts.stop),
    "stop coordinator": Kind(parts.stop),
    "stop redis": Kind(parts.stop),
    "stop postgres": Kind(parts.stop, blinds_workers=True),
    "freeze api": Kind(
        parts.freeze_api, needs="redo", loses_data=True, blinds_workers=True, has_one_api=True
    ),
    "retire postgres": Kind(parts.retire_postgres, blinds_workers=True),
    "starve supervisor": Kind(machine.starve_supervisor, is_wide=False),
    "double persister": Kind(parts.double),
    "double coordinator": Kind(parts.double),
    **{f"network {what} api redis": Kind(network.network) for what in network.TROUBLES},
    **{f"network {what} persister redis": Kind(network.network) for what in network.TROUBLES},
    **{f"network {what} persister postgres": Kind(network.network) for what in network.TROUBLES},
    **{f"network {what} coordinator redis": Kind(network.network) for what in network.TROUBLES},
    **{f"network {what} coordinator postgres": Kind(network.network) for what in network.TROUBLES},
    **{
        f"network {what} api postgres": Kind(network.network, blinds_workers=True)
        for what in network.TROUBLES
    },
    "network cut_before_commit persister postgres": Kind(network.network),
    "network cut_after_commit persister postgres": Kind(network.network),
    "network cut_before_commit coordinator postgres": Kind(network.network),
    "network cut_after_commit coordinator postgres": Kind(network.network),
    "refuse postgres": Kind(network.refuse, blinds_workers=True),
    "cut database": Kind(parts.cut_database, blinds_workers=True),
    "flush scripts": Kind(redis.flush_scripts),
    "fill memory": Kind(redis.fill_memory),
    "fill disk": Kind(redis.fill_disk),
    "fill volume": Kind(machine.fill_volume, blinds_workers=True, is_wide=False, has_volume=True),
    **{f"lose {name}": Kind(redis.lose_key) for name in EventKeys._fields},
    "shorten journal": Kind(redis.shorten_journal, needs="redo", loses_data=True),
    "edit checkpoint back": Kind(redis.edit_checkpoint),
    "edit checkpoint ahead": Kind(redis.edit_checkpoint),
    "clock back": Kind(redis.move_clock, moves_clock=True, is_wide=True),
    "clock ahead": Kind(redis.move_clock, moves_clock=True, is_wide=True),
    "demote redis": Kind(redis.demote),
    "demote redis below another": Kind(redis.demote_below, needs="redo", loses_data=True),
    "add shard": Kind(homes.add_shard),
    "move shard": Kind(homes.move_shard, is_wide=True),
    "list without": Kind(homes.other_list, blinds_workers=True, is_wide=True),
    "list turned": Kind(homes.other_list, blinds_workers=True, is_wide=True),
    "flush all": Kind(redis.flush_all, needs="redo", loses_data=True),
    "cut log": Kind(redis.cut_log, needs="redo", loses_data=True),
    "wipe redis": Kind(redis.wipe_redis, needs="redo", loses_data=True),
}
