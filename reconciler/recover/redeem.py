"""
Redeeming receipts on an open shard: what was acknowledged and lost is booked again, if it can be.

A shard that has lost the end of its log opens by itself, with what both stores and workers know.
What only buyers can prove is honoured here, one receipt after the other, by the scripts that sell:
they decide by the rules of today, so nothing is sold twice, and a booking is made again under its
own id and at the price that the receipt says, or not at all. Where no place is left, its buyer gets
the first one on the waitlist, and a row in `conflicts` asks people to judge.

Idempotency: by the booking's id; whatever is interrupted is begun again with the same file.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Literal, NamedTuple

import asyncpg

from engine import scripts
from engine.commands import Join, Order, Own
from engine.door import Reign
from engine.engine import ALL_TIERS, Engine
from engine.errors import EngineError, ShardRecovering
from engine.ids import entry_id
from engine.outcomes import Applied, Booked, Refused
from engine.receipts import Receipt
from engine.redis_client import connect
from engine.status import Status
from engine.values import CANCELLED
from reconciler.recover.receipts import Line, record_of
from reconciler.servers import Servers
from store import events, redo
from store.sql import columns, query

#: How long a shard may take to be found open, in seconds.
OPEN_S_MAX = 5.0
OPEN_PAUSE_S = 0.05
#: How long the places of a receipt are held while its price is compared, in ms.
HOLD_MS = 60_000
#: Entries that a list may have: one who was promised a place is not refused for want of room.
WAITING_MAX = 1_000_000

What = Literal["there", "booked", "waits", "judge", "again", "not taken"]

#: The places are somebody else's now.
_NO_PLACE = frozenset(
    {
        Status.SOLD_OUT,
        Status.ALL_HELD,
        Status.KEPT_FOR_WAITLIST,
        Status.SEAT_TAKEN,
        Status.NOT_TOGETHER,
        Status.HOLD_EXPIRED,
    }
)


class Redeemed(NamedTuple):
    """What became of one receipt."""

    #: Line of its file, from 1.
    line: int
    #: Empty for what is no receipt of ours.
    booking_id: str
    what: What
    #: The same for people.
    said: str


class Redeemer:
    """Redeems receipts, one after the other."""

    def __init__(self, engine: Engine, database: asyncpg.Connection, *, offer_ttl_ms: int) -> None:
        """
        Args:
            engine: Knows the shards; without limits on attempts and holds.

            database: A connection of one's own.

            offer_ttl_ms: Least time that an offer to one who waits lasts.
        """
        self._engine = engine
        self._database = database
        self._offer_ttl_ms = offer_ttl_ms

    async def redeem(self, line: Line) -> Redeemed:
        """
        Honour one receipt as far as it can be.

        Raises:
            asyncpg.PostgresError, OSError: PostgreSQL is away; begin again.
        """
        receipt = line.receipt
        if isinstance(receipt, str):
            return Redeemed(line.number, "", "not taken", f"not a receipt of ours: {receipt}")
        try:
            what, said = await self._honour(receipt)
        except EngineError as error:
            what, said = "again", f"shard {receipt.shard} did not answer, try again: {error}"
        return Redeemed(line.number, receipt.booking_id, what, said)

    async def _honour(self, receipt: Receipt) -> tuple[What, str]:
        shard, event_id, booking_id = receipt.shard, receipt.event_id, receipt.booking_id
        event = await events.by_id(self._database, event_id)
        if event is None or event.shard != shard:
            return "not taken", f"there is no event {event_id} on shard {shard}"
        places = columns([(event_id, booking_id)])
        for row in await self._database.fetch(query("redo_bookings"), *places):
            return "there", _there(row["status"])
        if not await self._is_open(shard):
            return "again", f"shard {shard} is not open: `reconciler recover` first"
        if event.status == "draft":  # Its publishing may be lost as well; or Redis alone has it.
            stock = await self._engine.availability(shard, event_id, promo_code=ALL_TIERS)
            if isinstance(stock, Refused):
                return await self._cannot(receipt, event, stock)
        known = await self._engine.read_booking(shard, event_id, booking_id)
        if known is not None:  # PostgreSQL does not have it yet.
            return "there", _there(known.status)
        outcome = await self._book(receipt)
        if isinstance(outcome, Booked):
            if outcome.is_replay:
                return "there", _there(outcome.status)
            return "booked", "booked again under its own id"
        return await self._cannot(receipt, event, outcome)

    async def _cannot(
        self, receipt: Receipt, event: events.Event, outcome: Refused | str
    ) -> tuple[What, str]:
        """Do for a buyer what can be done where the booking cannot be made."""
        if isinstance(outcome, str):
            return await self._ask(receipt, outcome)
        if outcome.status in _NO_PLACE:
            waits = [await self._join(receipt, line, event) for line in range(len(receipt.items))]
            _, said = await self._ask(receipt, f"no place is left; {'; '.join(waits)}")
            return "waits", said
        if outcome.status.is_transient:
            return "again", f"refused for the moment, try again: {_words(outcome)}"
        return await self._ask(receipt, f"the rules of today refuse it: {_words(outcome)}")

    async def _book(self, receipt: Receipt) -> Booked | Refused | str:
        """Make the booking: of the hold that it was, if that is left, or else anew."""
        hold_id, problem = await self._hold_of(receipt)
        if problem:
            return problem
        if hold_id:
            own = Own(receipt.event_id, hold_id, receipt.user_id)
            outcome = await self._engine.confirm(receipt.shard, own)
            if hold_id.startswith("hold_") or isinstance(outcome, Booked):
                return outcome  # An offer that is over is not confirmed late.
        return await self._take(receipt)

    async def _is_open(self, shard: int) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S_MAX):
                while True:
                    with contextlib.suppress(ShardRecovering):
                        self._engine.reign(shard)
                        return True
                    await asyncio.sleep(OPEN_PAUSE_S)
        return False

    async def _hold_of(self, receipt: Receipt) -> tuple[str, str]:
        """
        Find the hold or the offer that the booking was, or what is in its way.

        Its confirmation may be lost, and the hold not; and a receipt redeemed before may have left
        one. What it has must be what the receipt says, price and seats.
        """
        suffix = receipt.booking_id.removeprefix("bk_")
        for hold_id in (f"hold_{suffix}", f"offer_{suffix}"):
            hold = await self._engine.read_hold(receipt.shard, receipt.event_id, hold_id)
            if hold is None or (hold_id.startswith("offer_") and hold.items != receipt.items):
                continue
            if hold.items != receipt.items or hold.user_id != receipt.user_id:
                return "", f"{hold_id} has other places, or another price"
            if hold.status == "released":
                return "", f"{hold_id} was given back"
            return hold_id, ""
        return "", ""

    async def _take(self, receipt: Receipt) -> Booked | Refused | str:
        """Hold the places as an order of today; confirm them if they cost what was promised."""
        own = Own(
            receipt.event_id, f"hold_{receipt.booking_id.removeprefix('bk_')}", receipt.user_id
        )
        lines = tuple(
            (item.tier_no, item.quantity, "+".join(item.seat_ids))
            if item.seat_ids
            else (item.tier_no, item.quantity)
            for item in receipt.items
        )
        order = Order(*own, receipt.fingerprint, b"{}", lines, HOLD_MS)
        held = await self._engine.hold(receipt.shard, order)
        if isinstance(held, Refused):
            return held
        if held.items != receipt.items:
            await self._engine.release(receipt.shard, own)
            return "it would cost another price today"
        outcome = await self._engine.confirm(receipt.shard, own)
        if isinstance(outcome, Booked) and outcome.is_replay:  # Its buyer came again meanwhile.
            await self._engine.release(receipt.shard, own)
        return outcome

    async def _join(self, receipt: Receipt, line: int, event: events.Event) -> str:
        """Give its buyer the first place on the waitlist of a line's tier; say what came of it."""
        item, own_id = receipt.items[line], f"wl_{receipt.booking_id.removeprefix('bk_')}"
        if len(receipt.items) > 1:  # An offer becomes a booking of its own: not of this one's id.
            own_id = entry_id(
                event_id=receipt.event_id,
                user_id=receipt.user_id,
                idempotency_key=f"receipt {receipt.booking_id} {line}",
            )
        command = Join(
            receipt.event_id,
            own_id,
            receipt.user_id,
            receipt.fingerprint,
            item.tier_no,
            item.quantity,
            event.waitlist_policy,
            event.waitlist_patience_ms,
            self._offer_ttl_ms,
            WAITING_MAX,
            f"{receipt.booking_id}/{line + 1}",
        )
        outcome = await self._engine.join(receipt.shard, command)
        if isinstance(outcome, Applied):
            found = await self._engine.read_entries(receipt.shard, receipt.event_id, [own_id])
            status = found[own_id][0].status
            what = "waits first" if status == "waiting" else f"is {status}"
            return f"{own_id} {what} for {item.quantity} of tier {item.tier_no}"
        return f"cannot wait for tier {item.tier_no}: {_words(outcome)}"

    async def _ask(self, receipt: Receipt, why: str) -> tuple[What, str]:
        """Leave a row for people to judge, once."""
        row = (*record_of(receipt), f"receipt: {why}")
        await self._database.execute(query("insert_conflicts"), receipt.shard, *columns([row]))
        return "judge", f"{why}; a row for people to judge: `reconciler quarantine list`"


@contextlib.asynccontextmanager
async def redeeming(servers: Servers, shards: Iterable[int]) -> AsyncIterator[Redeemer]:
    """Yield who redeems receipts of some shards."""
    async with servers.database() as database, servers.database() as own:
        looking = asyncio.Lock()

        async def read(shard: int) -> Reign | None:
            async with looking:  # One connection, and a door for each shard.
                row = await redo.open_reign(database, shard)
            if row is None:
                return None
            return Reign(
                shard=shard,
                epoch=row.epoch,
                script_shas=scripts.shas(row.nonce, row.records_version),
                records_version=row.records_version,
                redis_run_id=row.redis_run_id,
                redis_replid=row.redis_replid,
                home=row.home,
            )

        engine = Engine(
            {
                name: connect(url, timeout_ms=servers.redis_timeout_ms)
                for name, url in servers.redis_servers.items()
            },
            read,
            shards=list(shards),
            durability=servers.durability,
        )
        engine.start()
        try:
            yield Redeemer(engine, own, offer_ttl_ms=servers.offer_ttl_ms)
        finally:
            await engine.stop(timeout_s=servers.redis_timeout_ms / 1000)


async def redeem_all(servers: Servers, lines: Iterable[Line]) -> AsyncIterator[Redeemed]:
    """Redeem receipts one after the other, each once."""
    once = {line.receipt: line for line in reversed(list(lines))}
    shards = {receipt.shard for receipt in once if not isinstance(receipt, str)}
    async with redeeming(servers, shards) as redeemer:
        for line in sorted(once.values(), key=lambda one: one.number):
            yield await redeemer.redeem(line)


def _there(status: str) -> str:
    return "already there, cancelled since" if status == CANCELLED else "already there"


def _words(outcome: Refused) -> str:
    fields = ", ".join(f"{name} {value}" for name, value in outcome.fields.items())
    return f"{outcome.status.lower()}{f' ({fields})' if fields else ''}"
