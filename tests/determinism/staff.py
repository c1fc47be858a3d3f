"""
The processes of an Evently, made of its own code over the models.

What is put in place of the code's own: connections, clocks, random names, the look at a server's
settings, the scripts' text, and the loading of a rebuild (`tests.determinism.rebuilding`), whose
queries the model does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from engine import acl, engine, porter, scripts
from engine.commands import Join, Order, Own, Publish, TierStock
from engine.door import Reign
from engine.durability import Durability
from engine.engine import Engine
from engine.errors import OutcomeUnknown
from engine.outcomes import Applied, Booked, Refused
from engine.values import CANCELLED
from persister import persister
from reconciler import servers
from reconciler.recover import coordinator as recovery
from reconciler.recover import keeper, lease, recovered, redeem
from reconciler.recover import server as recover_server
from reconciler.recover.decide import Drift
from reconciler.recover.move import move
from reconciler.servers import Servers
from store import redo, redo_judge, reigns
from store.watermark import Watermark
from tests.determinism.all_scripts import SCRIPTS
from tests.determinism.judge import Ack, Kind
from tests.determinism.loop import CURRENT, Process, VirtualLoop
from tests.determinism.network import Link, Network
from tests.determinism.postgres_client import Connection, Pool
from tests.determinism.postgres_server import PostgresServer
from tests.determinism.rebuilding import NoMender, NoTender, SimulatedRebuild, verify
from tests.determinism.redeeming import SIGNED, no_list
from tests.determinism.redis_client import RedisClient, SimulatedWire, found_behind, post
from tests.determinism.redis_server import START_MS, RedisServer
from tests.determinism.statements import EVENT_ID
from usecases import wiring
from usecases.acks import Acks

SHARD = 0
#: Longest wait for level `database`, and for replicas, in ms.
DURABILITY_TIMEOUT_MS = 1_500
#: Pause of a human before a move that failed is tried again, in seconds.
MOVE_PAUSE_S = 1.0
_SCRIPT_NAMES = tuple(name for name in SCRIPTS if name != "claim")


def servers_of(names: Sequence[str], floor: Durability) -> Servers:
    """Return where the models are, for settings that name these servers; a name is its address."""
    return Servers(
        redis_servers={name: name for name in names},
        database_url="model",
        redis_timeout_ms=1_000,
        database_timeout_ms=10_000,
        journal_backlog_records_max=100_000,
        journal_backlog_bytes_max=1 << 30,
        journal_backlog_age_ms_max=1_800_000,
        durability=floor,
        hold_life_max_ms=1_800_000,
    )


class Site:
    """The servers, and how processes reach them."""

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        nodes: Mapping[str, RedisServer],
        postgres: PostgresServer,
    ) -> None:
        """
        Args:
            nodes: By name the server that new connections lead to; may change.
        """
        self.loop, self.network, self.nodes, self.postgres = loop, network, nodes, postgres

    @property
    def now_ms(self) -> int:
        """The clock of everybody."""
        return START_MS + int(self.loop.time() * 1000)

    def redis_client(self, process: Process, name: str) -> Any:
        """Make a client of a Redis server."""
        return RedisClient(lambda: Link(self.network, process, self.nodes[name]))

    def pool(self, process: Process) -> Any:
        """Make a pool of connections to PostgreSQL."""
        return Pool(lambda: Link(self.network, process, self.postgres), self.postgres)

    async def connect(self, _url: str, *, timeout_ms: int) -> Any:
        """Open one connection to PostgreSQL, for the process that runs."""
        assert timeout_ms
        process = CURRENT.get()
        assert process is not None
        link = Link(self.network, process, self.postgres)
        await link.call("connect", lambda reply: reply(None))
        return Connection(link, self.postgres)


class Worker:
    """An API process, from the engine down."""

    def __init__(
        self, site: Site, process: Process, names: Sequence[str], floor: Durability
    ) -> None:
        """
        Args:
            names: Of the servers that its settings name.

            floor: What every answer promises.
        """
        self.process = process
        self.names = names
        self._floor: Durability = floor
        pool = site.pool(process)
        make_redo = wiring.redo_maker(pool, 10_000, 10_000_000)
        assert make_redo is not None
        self._redo = make_redo(SHARD)
        self._engine = Engine(
            {name: site.redis_client(process, name) for name in names},
            wiring.reign_reader(pool),
            report_seen=wiring.seen_reporter(pool),
            read_shards=wiring.shards_reader(pool),
            commands_max=8,
            waiting_max=100,
            durability=floor,
            make_redo=lambda _: self._redo,
        )
        self._watermark = Watermark(pool)
        has_replicas = floor == "replicated"
        self._acks = Acks(
            floor=floor,
            replicas_min=int(has_replicas),
            timeout_ms=DURABILITY_TIMEOUT_MS,
            engine=self._engine,
            watermark=self._watermark,
            waiters={
                name: self._engine.wait_for_replicas(
                    site.redis_client(process, name), name, replicas_min=1
                )
                for name in (names if has_replicas else ())
            },
        )

    @property
    def reign(self) -> Reign | None:
        """What its door is open under; None while it is shut."""
        shard = self._engine.shards.get(SHARD)
        return shard.door.reign() if shard is not None and shard.door.is_open else None

    @property
    def remembers(self) -> int:
        """How many records it keeps that PostgreSQL may lack."""
        return self._redo.records

    @property
    def standing(self) -> str:
        """Where it stands, for people."""
        reign, names = self.reign, "+".join(self.names)
        door = "shut" if reign is None else f"{reign.epoch} at {reign.home}"
        return f"{self.process.name} of {names}: {door}, remembers {self.remembers}"

    async def start(self) -> None:
        """Look for the shards and their reigns."""
        self._engine.start()

    async def publish(self, capacities: Iterable[int], *, waits: bool) -> str:
        """Publish the event; *waits* until PostgreSQL has it, as the API does."""
        tiers = tuple(TierStock(capacity, 100, 10) for capacity in capacities)
        command = Publish(EVENT_ID, "f", 0, 2 * START_MS, 100, tiers)
        outcome = await self._engine.publish(SHARD, command)
        if isinstance(outcome, Refused):
            return outcome.status.value
        if waits:
            place = {"epoch": outcome.epoch, "seq": outcome.seq}
            await self._watermark.reach(shard=SHARD, **place, timeout_ms=2_000)
        return "REPLAYED" if outcome.is_replay else "PUBLISHED"

    async def book(self, order: Order, level: Durability | None) -> Ack | str:
        """Book; return what was acknowledged, or the refusal."""
        promise = self._acks.promise(level, SHARD)
        booked = await self._engine.book(SHARD, order)
        if isinstance(booked, Refused):
            return booked.status.value
        if not await self._acks.keep(promise, SHARD, booked):
            raise OutcomeUnknown
        return self._booked(order.id, promise.level, booked)

    async def hold(self, order: Order, level: Durability | None) -> Ack | str:
        """Hold; return what was acknowledged, or the refusal."""
        promise = self._acks.promise(level, SHARD)
        held = await self._engine.hold(SHARD, order)
        if isinstance(held, Refused):
            return held.status.value
        if not await self._acks.keep(promise, SHARD, held):
            raise OutcomeUnknown
        place = held.epoch, held.seq
        return Ack(order.id, "held", *place, promise.level, self.process.name, held.is_replay)

    async def confirm(self, own: Own, level: Durability | None) -> Ack | str:
        """Confirm a hold; return what was acknowledged, or the refusal."""
        promise = self._acks.promise(level, SHARD)
        booked = await self._engine.confirm(SHARD, own)
        if isinstance(booked, Refused):
            return booked.status.value
        if not await self._acks.keep(promise, SHARD, booked):
            raise OutcomeUnknown
        return self._booked(booking_of(own.id), promise.level, booked)

    async def looks(self, ack: Ack) -> bool:
        """Look whether there is what was acknowledged."""
        if ack.kind in {"booked", "cancelled"}:
            return await self._engine.read_booking(SHARD, EVENT_ID, ack.id) is not None
        if ack.kind in {"held", "released"}:
            return await self._engine.read_hold(SHARD, EVENT_ID, ack.id) is not None
        return ack.id in await self._engine.read_entries(SHARD, EVENT_ID, [ack.id])

    async def release(self, own: Own) -> Ack | str:
        """Give a hold back; return what was acknowledged, or the refusal."""
        return self._applied("released", own, await self._engine.release(SHARD, own))

    async def cancel(self, own: Own) -> Ack | str:
        """Cancel; return what was acknowledged, or the refusal."""
        return self._applied("cancelled", own, await self._engine.cancel(SHARD, own))

    async def join(self, command: Join) -> Ack | str:
        """Join the list of a tier; return what was acknowledged, or the refusal."""
        return self._applied("joined", command, await self._engine.join(SHARD, command))

    async def leave(self, own: Own) -> Ack | str:
        """Leave a list; return what was acknowledged, or the refusal."""
        return self._applied("left", own, await self._engine.leave(SHARD, own))

    def _booked(self, booking_id: str, level: Durability, booked: Booked) -> Ack:
        has_ended = booked.status == CANCELLED
        receipt = "" if has_ended else SIGNED.of(booked, booking_id) or ""
        place = booked.epoch, booked.seq
        return Ack(
            booking_id, "booked", *place, level, self.process.name, booked.is_replay, receipt
        )

    def _applied(self, kind: Kind, own: Own | Join, outcome: Applied | Refused) -> Ack | str:
        if isinstance(outcome, Refused):
            return outcome.status.value
        epoch, seq, _, is_replay = outcome
        return Ack(own.id, kind, epoch, seq, "fsync", self.process.name, is_replay)


def booking_of(hold_id: str) -> str:
    """Return the id of the booking that a hold becomes."""
    return f"bk_{hold_id.partition('_')[2]}"


async def run_persister(site: Site, process: Process, names: Sequence[str]) -> None:
    """Run a persister process."""
    clients = {name: site.redis_client(process, name) for name in names}
    options = persister.Options(
        shard=SHARD, records_max=50, retention_s=1, database_timeout_ms=10_000
    )
    await persister.Persister(clients, "model", options).run()


async def run_coordinator(names: Sequence[str], floor: Durability) -> None:
    """Run a reconciler process that keeps the shard open."""
    await keeper.run(servers_of(names, floor), watch=True)


async def run_mover(
    servers: Servers, to: str, said_gone: str, tries: int, tell: Callable[[str], None]
) -> None:
    """Run the command that moves the shard, again a few times where it fails."""
    for _ in range(tries):
        try:
            await move(servers, SHARD, to, said_gone=said_gone, tell=tell)
            return
        except keeper.SHUT as error:
            tell(f"move failed: {error!r}")
        await asyncio.sleep(MOVE_PAUSE_S)


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
        monotonic=site.loop.time,
        time=lambda: site.now_ms / 1_000,
        time_ns=lambda: site.now_ms * 1_000_000,
    )
    names: Any = SimpleNamespace(
        token_hex=lambda count: f"{rng.getrandbits(8 * count):0{2 * count}x}"
    )

    def redis_client(url: str, *, timeout_ms: int) -> Any:
        assert timeout_ms
        process = CURRENT.get()
        assert process is not None
        return site.redis_client(process, url)

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
        (redo_judge, "time", clock),
        (wiring, "secrets", names),
        (porter, "examine_server", facts),
        (porter, "post", post),
        (porter, "found_behind", found_behind),
        (engine, "Wire", SimulatedWire),
        (acl, "drift", no_drift),
        (recovery, "Rebuild", SimulatedRebuild),
        (recovery, "refill", no_refill),
        (redeem, "connect", redis_client),
        (redeem.Redeemer, "_join", no_list),
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
