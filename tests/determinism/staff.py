"""
The processes of an Evently, made of its own code over the models.

What is put in place of the code's own: connections, clocks, random names, the look at a server's
settings, the scripts' text, and the loading of a rebuild (`tests.determinism.rebuilding`), whose
queries the model does not have.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from engine import acl, porter, scripts
from engine.commands import Order, Own, Publish, TierStock
from engine.errors import OutcomeUnknown
from engine.outcomes import Refused
from engine.shard import Home, Shard
from engine.verbs import BOOK, CANCEL, PUBLISH
from persister import persister
from reconciler import servers
from reconciler.recover import coordinator as recovery
from reconciler.recover import keeper, lease, recovered
from reconciler.recover import server as recover_server
from reconciler.recover.decide import Drift
from reconciler.servers import Servers
from store import redo, reigns
from store.watermark import Watermark
from tests.determinism.judge import Ack
from tests.determinism.loop import CURRENT, Process, VirtualLoop
from tests.determinism.network import Link, Network
from tests.determinism.postgres_client import Connection, Pool
from tests.determinism.postgres_server import PostgresServer
from tests.determinism.rebuilding import NoMender, NoTender, SimulatedRebuild, verify
from tests.determinism.redis_client import RedisClient, SimulatedWire
from tests.determinism.redis_server import START_MS, RedisServer
from tests.determinism.scripts import SCRIPTS
from usecases import wiring
from usecases.acks import Acks, Promise

EVENT_ID = "evt_1"
SHARD = 0
#: Longest wait for level `database`, in ms.
DURABILITY_TIMEOUT_MS = 1_500
#: Where the models are.
SERVERS = Servers(
    redis_servers={"0": "model"},
    database_url="model",
    redis_timeout_ms=1_000,
    database_timeout_ms=10_000,
    journal_backlog_records_max=100_000,
    journal_backlog_bytes_max=1 << 30,
    journal_backlog_age_ms_max=1_800_000,
    durability="fsync",
    hold_life_max_ms=1_800_000,
)
_SCRIPT_NAMES = tuple(name for name in SCRIPTS if name != "claim")


class Site:
    """The servers, and how processes reach them."""

    def __init__(
        self, loop: VirtualLoop, network: Network, redis: RedisServer, postgres: PostgresServer
    ) -> None:
        self.loop, self.network, self.redis, self.postgres = loop, network, redis, postgres

    def _link(self, process: Process, server: Any) -> Callable[[], Link]:
        return lambda: Link(self.network, process, server)

    def redis_client(self, process: Process) -> RedisClient:
        """Make a client of Redis."""
        return RedisClient(self._link(process, self.redis), self.redis)

    def wire(self, process: Process) -> SimulatedWire:
        """Make a worker's wire."""
        return SimulatedWire(self._link(process, self.redis), self.redis)

    def pool(self, process: Process) -> Any:
        """Make a pool of connections to PostgreSQL."""
        return Pool(self._link(process, self.postgres), self.postgres)

    async def connect(self, _url: str, *, timeout_ms: int) -> Any:
        """Open one connection to PostgreSQL, for the process that runs."""
        assert timeout_ms
        process = CURRENT.get()
        assert process is not None
        link = Link(self.network, process, self.postgres)
        await link.call("connect", lambda reply: reply(None))
        return Connection(link, self.postgres)


class Worker:
    """An API process, from the engine's shard down."""

    def __init__(self, site: Site, process: Process) -> None:
        self.process = process
        pool, wire = site.pool(process), site.wire(process)
        make_redo = wiring.redo_maker(pool, 10_000, 10_000_000)
        assert make_redo is not None
        self._redo = make_redo(SHARD)
        any_wire: Any = wire
        any_client: Any = site.redis_client(process)
        self._shard = Shard(
            SHARD,
            {"0": Home(any_client, any_wire)},
            wiring.reign_reader(pool),
            report_seen=wiring.seen_reporter(pool),
            commands_max=8,
            in_flight_max=2,
            waiting_max=100,
            make_redo=lambda _: self._redo,
        )
        wire.look = partial(self._shard.look_at, "0")
        self._watermark = Watermark(pool)
        engine: Any = SimpleNamespace(reign=lambda _shard: self._shard.door.reign())
        self._acks = Acks(
            floor="fsync",
            replicas_min=0,
            timeout_ms=DURABILITY_TIMEOUT_MS,
            engine=engine,
            watermark=self._watermark,
            waiters={},
        )

    @property
    def is_open(self) -> bool:
        """Whether its door is open."""
        return self._shard.door.is_open

    @property
    def remembers(self) -> int:
        """How many records it keeps that PostgreSQL may lack."""
        return self._redo.records

    async def start(self) -> None:
        """Look for the reign."""
        self._shard.door.look()

    async def publish(self, capacity: int, *, waits: bool) -> str:
        """Publish the event; *waits* until PostgreSQL has it, as the API does."""
        tiers = (TierStock(capacity, 100, 10),)
        command = Publish(EVENT_ID, "f", 0, 2 * START_MS, 100, tiers)
        outcome = await self._shard.submit(PUBLISH, command)
        if isinstance(outcome, Refused):
            return outcome.status.value
        if waits:
            place = {"epoch": outcome.epoch, "seq": outcome.seq}
            await self._watermark.reach(shard=SHARD, **place, timeout_ms=2_000)
        return "REPLAYED" if outcome.is_replay else "PUBLISHED"

    async def book(self, order: Order, level: Any) -> Ack | str:
        """Book; return what was acknowledged, or the refusal."""
        epoch = self._shard.door.reign().epoch if level == "database" else 0
        booked = await self._shard.submit(BOOK, order)
        if isinstance(booked, Refused):
            return booked.status.value
        if not await self._acks.keep(Promise(level, True, epoch), SHARD, booked):
            raise OutcomeUnknown
        return Ack(order.id, False, booked.epoch, booked.seq, level, self.process.name)

    async def cancel(self, own: Own) -> Ack | str:
        """Cancel; return what was acknowledged, or the refusal."""
        outcome = await self._shard.submit(CANCEL, own)
        if isinstance(outcome, Refused):
            return outcome.status.value
        epoch, seq, _, is_replay = outcome
        return Ack(own.id, True, epoch, seq, "fsync", self.process.name, is_replay)


async def run_persister(site: Site, process: Process) -> None:
    """Run a persister process."""
    client: Any = site.redis_client(process)
    options = persister.Options(
        shard=SHARD, records_max=50, retention_s=1, database_timeout_ms=10_000
    )
    await persister.Persister({"0": client}, "model", options).run()


async def run_coordinator() -> None:
    """Run a reconciler process that keeps the shard open."""
    await keeper.run(SERVERS, watch=True)


async def no_refill(*_: Any, **__: Any) -> None:
    """Derive nothing of what a journal lacks: the model has no values to derive it from."""
    raise Drift("records are lost that Redis acted upon")


@contextlib.contextmanager
def staged(site: Site, rng: random.Random, tell: Callable[[str], None] | None) -> Iterator[None]:
    """
    Put the models in place of what the code talks to.

    Args:
        tell: Takes what the code logs; None for nobody.
    """
    clock: Any = SimpleNamespace(
        monotonic=site.loop.time, time_ns=lambda: site.redis.now_ms * 1_000_000
    )
    names: Any = SimpleNamespace(
        token_hex=lambda count: f"{rng.getrandbits(8 * count):0{2 * count}x}"
    )

    def redis_client(_url: str, *, timeout_ms: int) -> RedisClient:
        assert timeout_ms
        process = CURRENT.get()
        assert process is not None
        return site.redis_client(process)

    async def facts(client: RedisClient, *, users: bool = False) -> Any:
        assert users in {True, False}
        return await client.facts()

    async def no_drift(_client: Any) -> list[Any]:
        return []

    replaced: list[tuple[Any, str, Any]] = [
        (persister, "connect", site.connect),
        (persister, "time", clock),
        (keeper, "connect_database", site.connect),
        (servers, "connect_database", site.connect),
        (servers, "connect_redis", redis_client),
        (lease, "connect", site.connect),
        (recovery, "time", clock),
        (recover_server, "time", clock),
        (recovery, "secrets", names),
        (reigns, "secrets", names),
        (recovered, "time", clock),
        (redo, "time", clock),
        (wiring, "secrets", names),
        (porter, "examine_server", facts),
        (acl, "drift", no_drift),
        (recovery, "Rebuild", SimulatedRebuild),
        (recovery, "refill", no_refill),
        (recovery, "Mender", NoMender),
        (keeper, "Tender", NoTender),
        (recovery, "verify", verify),
        (scripts, "NAMES", _SCRIPT_NAMES),
        (scripts, "source", "#!lua\n{}".format),
    ]
    config = structlog.get_config()
    with contextlib.ExitStack() as stack:
        for owner, name, value in replaced:
            stack.enter_context(patch.object(owner, name, value))
        structlog.configure(**config | _logging(tell))
        stack.callback(structlog.configure, **config)
        yield


def _logging(tell: Callable[[str], None] | None) -> dict[str, Any]:
    def say(_logger: Any, _method: str, event: dict[str, Any]) -> Any:
        assert tell is not None
        kept = {name: value for name, value in event.items() if name not in {"event", "shard"}}
        tell(f"{event['event']} {' '.join(f'{name}={kept[name]}' for name in sorted(kept))}")
        raise structlog.DropEvent

    level = 0 if tell is not None else 50
    return {
        "processors": [say],
        "wrapper_class": structlog.make_filtering_bound_logger(level),
        "cache_logger_on_first_use": False,
    }
