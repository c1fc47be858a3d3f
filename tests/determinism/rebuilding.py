"""
Stands for `reconciler.recover.rebuild` and `reconciler.recover.verify`, whose queries the model
does not have.

Keeps what matters between stores: many steps, each of which writes only while the claim stands in
`meta` and the door says `rebuilding`; the rows of the ledger as Redis keeps them; and a look at
the end whether both have the same.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from engine.records import Confirmed, Held, Record, Released
from reconciler.recover.loader import ClaimLost
from reconciler.recover.rebuild import CannotRebuild, Rebuilt
from tests.determinism.holding import parse
from tests.determinism.network import Reply
from tests.determinism.postgres_client import Connection
from tests.determinism.redis_client import RedisClient
from tests.determinism.redis_server import RedisServer, State
from tests.determinism.scripts import move, tier_stock
from tests.determinism.waiting import JOIN_NO_BASE

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
        await self._write(lambda state: state.holds.update(wanted.holds))
        await self._write(lambda state: state.entries.update(wanted.entries))
        return Rebuilt(events=["evt_1"] if wanted.stock else [], bookings=len(rows))

    async def _write(self, change: Callable[[State], Any]) -> None:
        """Change Redis if the claim stands, in one transaction, as `recover/loader.py` does."""

        def serve(server: RedisServer, reply: Reply) -> None:
            meta = server.state.meta
            if (meta.get("claim"), meta.get("state")) != (self._claim, "rebuilding"):
                reply(ClaimLost(f"Redis is {meta.get('state')} under claim {meta.get('claim')}"))
                return
            try:
                server.require_writable()
            except RedisError as error:
                reply(error)
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
        reply(_seen(server.state))

    for step in VERIFY_STEPS:
        check_claim()
        progress(step)
        wanted = await wanted_state(database)
        if await redis.do("verify", serve) != _seen(wanted):
            return [Difference("I8", "evt_1", "not what the ledger has")]
    # The last look is at PostgreSQL, and may take its time.
    await wanted_state(database)
    return []


async def wanted_state(database: Connection) -> State:
    """Return stock and bookings as the ledger has them."""
    (tables,) = await database.ask("everything")
    wanted = State()
    sold: Counter[int] = Counter()
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
            for _, (tier_no, quantity, _) in lines:
                sold[tier_no] += quantity
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
        }
        for tier in record.tiers:
            capacity = event["capacities"][tier.tier_no]
            figures = (capacity, capacity - sold[tier.tier_no], tier.price_minor)
            wanted.stock |= tier_stock(tier.tier_no, *map(str, figures))
        _wait(wanted, tables["entries"])
        _hold(wanted, tables["records"])
    return wanted


def _wait(wanted: State, entries: Mapping[str, Any]) -> None:
    """Bring back who waits, or did."""
    numbers = [int(entry["join_no"]) - JOIN_NO_BASE for entry in entries.values()]
    wanted.stock["joined"] = str(max(numbers, default=0))
    for own_id, entry in entries.items():
        names = ("user_id", "fingerprint", "tier_no", "quantity", "join_no")
        places = [(epoch, seq, _ms(at)) for epoch, seq, at in (entry["place"], entry["changed"])]
        own = (entry[name] for name in names)
        words = (entry["status"], entry["version"], *places[0], *own, 0, *places[1])
        wanted.entries[own_id] = " ".join(map(str, words))


def _hold(wanted: State, records: Sequence[tuple[int, int, Record]]) -> None:
    """Bring back the holds that the journal tells of, unless bookings have their places."""
    for epoch, seq, record in records:
        if isinstance(record, Held):
            (item,) = record.items
            items = f"{item.tier_no}:{item.quantity}:{item.unit_price_minor}"
            own = (record.at_ms, record.user_id, record.fingerprint, items, record.expires_at_ms)
            text = " ".join(map(str, ("held", 1, epoch, seq, *own, epoch, seq, "{}")))
            wanted.holds[record.hold_id] = text
        elif isinstance(record, Released | Confirmed) and record.hold_id in wanted.holds:
            status = "confirmed" if isinstance(record, Confirmed) else "released"
            its = parse(wanted.holds[record.hold_id])
            wanted.holds[record.hold_id] = its.changed(status, epoch, seq).row
    for own_id, row in list(wanted.holds.items()):
        its = parse(row)
        tier_no, quantity, _ = its.items.split(":")
        if its.status != "held":
            continue
        if int(quantity) > int(wanted.stock[f"{tier_no}.available"]):
            del wanted.holds[own_id]
        else:
            move(wanted, its.items, available=-1, held=1)


def _seen(state: State) -> tuple[dict[str, str], ...]:
    """Return what is compared: all but the holds that are over."""
    live = {own_id: row for own_id, row in state.holds.items() if row.startswith("held ")}
    return dict(state.stock), dict(state.bookings), live, dict(state.entries)


def _load(rows: Mapping[str, str], state: State) -> None:
    state.bookings.update(rows)


def _wipe(state: State) -> None:
    state.stock.clear()
    state.bookings.clear()
    state.holds.clear()
    state.entries.clear()


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)
