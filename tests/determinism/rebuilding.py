"""
Stands for `reconciler.recover.rebuild` and `reconciler.recover.verify`, whose queries the model
does not have.

Keeps what matters between stores: many steps, each of which writes only while the claim stands in
`meta` and the door says `rebuilding`; the rows of the ledger as Redis keeps them; and a look at
the end whether both have the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from reconciler.recover.loader import ClaimLost
from reconciler.recover.rebuild import CannotRebuild, Rebuilt
from tests.determinism.network import Reply
from tests.determinism.postgres_client import Connection
from tests.determinism.redis_client import RedisClient
from tests.determinism.redis_server import RedisServer, State

#: Bookings of one step.
STEP_BOOKINGS = 3
VERIFY_STEPS = ("counting", "comparing")


class Difference(NamedTuple):
    """Where Redis is not what the ledger says."""

    code: str
    event_id: str
    message: str


class SimulatedRebuild:
    """One rebuild of the shard."""

    def __init__(
        self,
        *,
        shard: int,
        epoch: int,
        redis: RedisClient,
        database: Connection,
        hold_life_max_ms: int,
        marks: bool,
        check_claim: Callable[[], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._claim, self._redis, self._database = str(epoch), redis, database
        self._check_claim, self._progress = check_claim, progress
        assert shard == 0
        assert hold_life_max_ms
        assert marks in {True, False}

    async def run(self) -> Rebuilt:
        """Load Redis anew, in steps."""
        wanted = await wanted_state(self._database)
        await self._write(_wipe)
        rows = sorted(wanted.bookings.items())
        for at in range(0, len(rows), STEP_BOOKINGS):
            self._check_claim()
            step = dict(rows[at : at + STEP_BOOKINGS])
            await self._write(partial(_load, step))
            self._progress(at, len(rows))
        await self._write(lambda state: state.stock.update(wanted.stock))
        return Rebuilt(events=["evt_1"] if wanted.stock else [], bookings=len(rows))

    async def _write(self, change: Callable[[State], Any]) -> None:
        """Change Redis if the claim stands, in one transaction, as `recover/loader.py` does."""

        def serve(server: RedisServer, reply: Reply) -> None:
            meta = server.state.meta
            if (meta.get("claim"), meta.get("state")) != (self._claim, "rebuilding"):
                reply(ClaimLost(f"Redis is {meta.get('state')} under claim {meta.get('claim')}"))
                return
            change(server.state)
            server.wrote()
            reply(None)

        await self._redis.do("load", serve)


class NoMender:
    """Stands for `reconciler.recover.mend`: the model has one event, and never loses a part."""

    def __init__(self, **_: Any) -> None:
        """Take what a mender takes."""

    async def open_whole(self, *_: Any, **__: Any) -> list[str]:
        """Find nothing."""
        return []


class NoTender:
    """Stands for `mend.Tender`."""

    def __init__(self, *_: Any) -> None:
        """Take what a tender takes."""

    def tend(self) -> None:
        """Do nothing."""

    async def rest(self) -> None:
        """Do nothing."""


async def verify(
    _shard: int,
    redis: RedisClient,
    database: Connection,
    _rebuilt: Rebuilt,
    _checkpoints: Mapping[int, int],
    *,
    check_claim: Callable[[], None],
    progress: Callable[[str], None],
) -> list[Difference]:
    """Compare what was loaded with the ledger."""

    def serve(server: RedisServer, reply: Reply) -> None:
        reply((dict(server.state.stock), dict(server.state.bookings)))

    for step in VERIFY_STEPS:
        check_claim()
        progress(step)
        wanted = await wanted_state(database)
        if await redis.do("verify", serve) != (wanted.stock, wanted.bookings):
            return [Difference("I8", "evt_1", "not what the ledger has")]
    # The last look is at PostgreSQL, and may take its time.
    await wanted_state(database)
    return []


async def wanted_state(database: Connection) -> State:
    """Return stock and bookings as the ledger has them."""
    (tables,) = await database.ask("everything")
    wanted = State()
    sold = 0
    for own_id, row in tables["bookings"].items():
        lines = sorted(
            (line, item) for (key, line), item in tables["items"].items() if key == own_id
        )
        items = ",".join(f"{tier}:{quantity}:{price}" for _, (tier, quantity, price) in lines)
        words = [
            row["status"],
            row["version"],
            row["epoch"],
            row["seq"],
            _ms(row["created_at"]),
            row["user_id"],
            row["fingerprint"],
            items,
        ]
        if row["status"] == "cancelled":
            words += [row["cancelled_epoch"], row["cancelled_seq"], _ms(row["cancelled_at"])]
        else:
            sold += sum(quantity for _, (_, quantity, _) in lines)
        wanted.bookings[own_id] = " ".join(map(str, words))
    published = tables["published"]
    for event_id, event in tables["events"].items():
        if event["status"] == "draft":
            continue
        if published is None:
            raise CannotRebuild(f"the journal has no record of the publishing of {event_id}")
        epoch, seq, record = published
        wanted.stock = {
            "fingerprint": record.fingerprint,
            "epoch": str(epoch),
            "seq": str(seq),
            "at_ms": str(record.at_ms),
            "capacity": str(event["capacity"]),
            "available": str(event["capacity"] - sold),
            "price": str(record.tiers[0].price_minor),
        }
    return wanted


def _load(rows: Mapping[str, str], state: State) -> None:
    state.bookings.update(rows)


def _wipe(state: State) -> None:
    state.stock.clear()
    state.bookings.clear()


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)
