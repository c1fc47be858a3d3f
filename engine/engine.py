"""
The engine: one method per verb of selling, each one script call, coalesced with its neighbours.

Guarantees come from the scripts (I1, I6, I10 to I12, I17); this module says what each verb
promises. It holds no state of its own but the shards' doors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis

from engine import keys, porter, values, verbs
from engine.calls import Bounds, Limit, call_of
from engine.commands import (
    CancelItem,
    Extend,
    Join,
    OfEvent,
    Order,
    Own,
    Publish,
    ReadSeats,
    ReadStock,
    Reopen,
    Scan,
    Seat,
    SetCapacity,
    ShiftSeats,
    Transfer,
)
from engine.door import ReadReign, Reign, ReportSeen
from engine.durability import Durability
from engine.errors import EventRecovering
from engine.guard import Facts
from engine.outcomes import (
    Applied,
    Availability,
    Booked,
    Extended,
    Held,
    Refused,
    SeatChanges,
    SeatMap,
)
from engine.redo import RedoBuffer
from engine.replicas import GroupWaiter, Standing
from engine.seats import Section
from engine.shard import Shard
from engine.values import Booking, Hold, WaitEntry
from engine.waitlist import Position, read_entries
from engine.wire import Wire

BATCH_COMMANDS_MAX = 128
#: In place of a promo code: for the eyes of organizers.
ALL_TIERS = "*"


class Engine:
    """
    Sells places of events on one or more shards.

    A verb is a method, and a Lua script of its name that does all of it or nothing. It returns the
    outcome or `Refused`, with the first status that applies in the order of the script's header
    (docs/SCRIPTS.md). It costs a share of one Redis round trip, or one where it goes alone
    (`engine.verbs`), and what it says of repeating holds for any number of callers.

    Raises, of every verb:
        ShardUnavailable: nothing was changed; try later.
        OutcomeUnknown: no answer; repeat with the same id.
        BadCommand: the command breaks its bounds.
    """

    def __init__(
        self,
        clients: Sequence[Redis],
        read_reign: ReadReign,
        *,
        shards: int,
        report_seen: ReportSeen | None = None,
        commands_max: int = BATCH_COMMANDS_MAX,
        in_flight_max: int = 2,
        waiting_max: int = 20_000,
        durability: Durability = "fsync",
        make_redo: Callable[[int], RedoBuffer] | None = None,
        booking_limit: Limit | None = None,
        hold_bounds: Bounds | None = None,
    ) -> None:
        """
        Args:
            clients: One per Redis master, made by `engine.redis_client.connect`; shard *n* lives
                on number *n* modulo their count.

            read_reign: Returns a shard's published reign, or None while it is not open.

            shards: Number of shards, 1..4096.

            report_seen: Told by a fenced shard what it has seen acknowledged.

            commands_max: Commands in one script call at most, 1..128.

            in_flight_max: Script calls of one verb and shard under way at once at most.

            waiting_max: Commands of one verb and shard that may wait in this process.

            durability: What answers promise; a server that cannot keep it gets no command.

            make_redo: Makes the buffer that keeps a shard's acknowledged bookings until
                PostgreSQL has them; None to keep none.

            booking_limit: How often a person may try to take places; None for no limit.

            hold_bounds: What bounds holds; None for nothing.
        """
        assert 1 <= commands_max <= BATCH_COMMANDS_MAX
        self._clients = clients
        self._durability = durability
        self._wires = [Wire(client) for client in clients]
        self._shards = [
            Shard(
                number,
                clients[number % len(clients)],
                self._wires[number % len(clients)],
                read_reign,
                report_seen=report_seen,
                commands_max=commands_max,
                in_flight_max=in_flight_max,
                waiting_max=waiting_max,
                redo=make_redo(number) if make_redo is not None else None,
                make_call=partial(call_of, limit=booking_limit, bounds=hold_bounds),
            )
            for number in range(shards)
        ]
        for client in clients:
            porter.post(client, level=durability, look=self._looker(client))

    def wait_for_replicas(self, client: Redis, master: int, *, replicas_min: int) -> GroupWaiter:
        """
        Make who waits for the replicas of a master.

        Args:
            client: A client of that master of one connection, not open yet and used for nothing
                else; its server is examined as those of the engine's own are.

            master: Its number among the engine's clients.

            replicas_min: Replicas that must have a write.
        """
        look = self._looker(self._clients[master])
        porter.post(client, level=self._durability, look=look)
        return GroupWaiter(client, self._standing, replicas_min=replicas_min)

    def start(self) -> None:
        """Look for the shards' reigns; commands are refused until one is found."""
        for shard in self._shards:
            shard.door.look()

    async def stop(self, *, timeout_s: float) -> None:
        """Finish what is under way, at most *timeout_s* seconds, and close the connections."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(shard.drain() for shard in self._shards)), timeout_s
            )
        for shard in self._shards:
            await shard.close()
        for wire in self._wires:
            wire.close()
        for client in self._clients:
            await client.aclose()

    @property
    def is_open(self) -> bool:
        """Tell whether every shard takes commands."""
        return all(shard.door.is_open for shard in self._shards)

    async def is_heard(self) -> bool:
        """Ask every shard's Redis whether it is in the reign that its door is open under."""
        return all(await asyncio.gather(*(shard.is_heard() for shard in self._shards)))

    @property
    def shards(self) -> Sequence[Shard]:
        """The shards by number."""
        return self._shards

    def client(self, shard: int) -> Redis:
        """Return the client of the shard's master, for plain reads."""
        return self._shards[shard].client

    def reign(self, shard: int) -> Reign:
        """
        Return the reign this process acts under.

        Raises:
            ShardRecovering: the shard's door is shut.
        """
        return self._shards[shard].door.reign()

    async def book(self, shard: int, order: Order) -> Booked | Refused:
        """
        Turn places into a confirmed booking.

        The same id again gives the first reply again, with the items and the status of now.
        """
        order.check()
        return await self._shards[shard].submit(verbs.BOOK, order)

    async def hold(self, shard: int, order: Order) -> Held | Refused:
        """
        Set places aside for `order.ttl_ms`.

        The same id again gives the same hold, whatever became of it, with the deadline it has now.
        """
        order.check()
        return await self._shards[shard].submit(verbs.HOLD, order)

    async def confirm(self, shard: int, own: Own) -> Booked | Refused:
        """
        Turn a hold into a confirmed booking (I11).

        Even late, where its places are still there, the rules of the sale allow it as they are
        then, and the price is the one promised.

        The booking, once made, is the reply to every further confirm.
        """
        return await self._shards[shard].submit(verbs.CONFIRM, own)

    async def release(self, shard: int, own: Own) -> Applied | Refused:
        """Give a hold's places back; one that is over stays over, and counts as released."""
        return await self._shards[shard].submit(verbs.RELEASE, own)

    async def extend(self, shard: int, command: Extend) -> Extended | Refused:
        """
        Move a live hold's deadline, up to its longest life.

        A deadline never moves back; a repetition counts from its own time.
        """
        return await self._shards[shard].submit(verbs.EXTEND, command)

    async def cancel(self, shard: int, own: Own) -> Applied | Refused:
        """
        End a booking and give its places back; again, it gives the first one's reply.

        Not while somebody is in on one of its tickets, or one belongs to whom it was given.
        """
        return await self._shards[shard].submit(verbs.CANCEL, own)

    async def join(self, shard: int, command: Join) -> Applied | Refused:
        """Put a person on the waitlist of a tier, and offer what is free; safe to repeat."""
        return await self._shards[shard].submit(verbs.JOIN, command)

    async def leave(self, shard: int, own: Own) -> Applied | Refused:
        """
        Take a person off the waitlist; an offer made meanwhile is declined.

        An entry that is over stays over, and counts as left.
        """
        return await self._shards[shard].submit(verbs.LEAVE, own)

    async def cancel_item(self, shard: int, command: CancelItem) -> Applied | Refused:
        """
        Give back some places of a booking, or tickets by name; the last ones end it.

        Safe to repeat by the version that the caller has seen.
        """
        return await self._shards[shard].submit(verbs.CANCEL_ITEM, command)

    async def checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """
        Let the bearer of a ticket in; further scans are told when and where the first was.

        The same scan, by its id, gets its first answer again.
        """
        return await self._shards[shard].submit(verbs.CHECKIN, scan)

    async def undo_checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """Take a check-in back."""
        return await self._shards[shard].submit(verbs.UNDO_CHECKIN, scan)

    async def transfer(self, shard: int, command: Transfer) -> Applied | Refused:
        """Give a ticket to somebody else; its old code no longer passes."""
        return await self._shards[shard].submit(verbs.TRANSFER, command)

    async def set_capacity(self, shard: int, command: SetCapacity) -> Applied | Refused:
        """Change capacities, never below what is taken, and the sale's end: all or none."""
        return await self._shards[shard].submit(verbs.SET_CAPACITY, command)

    async def close(self, shard: int, event_id: str) -> Applied | Refused:
        """End an event's sale now; live holds may still be confirmed."""
        return await self._shards[shard].submit(verbs.CLOSE, OfEvent(event_id))

    async def reopen(self, shard: int, command: Reopen) -> Applied | Refused:
        """Move the end of an event's sale, over or not, but not beyond the event's own end."""
        return await self._shards[shard].submit(verbs.REOPEN, command)

    async def cancel_event(self, shard: int, event_id: str) -> Applied | Refused:
        """Call an event off; its places are given back afterwards, by `engine.emptier`."""
        return await self._shards[shard].submit(verbs.CANCEL_EVENT, OfEvent(event_id))

    async def publish(self, shard: int, command: Publish) -> Applied | Refused:
        """Load an event's stock, so that it may be sold; other content than before is refused."""
        return await self._shards[shard].submit(verbs.PUBLISH, command)

    async def seat(self, shard: int, event_id: str, section: Section) -> Refused | None:
        """Load one section of an event's seats, before `publish`; None once it is loaded."""
        return await self._shards[shard].submit(verbs.SEAT, Seat(event_id, section))

    async def block(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """Take free seats out of sale; those that are blocked already stay so."""
        command.check()
        return await self._shards[shard].submit(verbs.BLOCK, command)

    async def unblock(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """Put blocked seats back on sale; the counterpart of `block`."""
        command.check()
        return await self._shards[shard].submit(verbs.UNBLOCK, command)

    async def seats(
        self, shard: int, event_id: str, *, since: int = -1, promo_code: str = ""
    ) -> SeatMap | SeatChanges | Refused:
        """
        Read the seat map; with *since*, what changed after that version, if it is known still.

        Of hidden tiers, only those that *promo_code* unlocks are told: the status of other sections
        is empty. `ALL_TIERS` tells all.
        """
        return await self._shards[shard].submit(verbs.SEATS, ReadSeats(event_id, since, promo_code))

    async def availability(
        self, shard: int, event_id: str, *, promo_code: str = ""
    ) -> Availability | Refused:
        """
        Read an event's counters, all of one moment.

        Of hidden tiers, only those that *promo_code* unlocks are told; `ALL_TIERS` tells all.
        """
        return await self._shards[shard].submit(verbs.AVAILABILITY, ReadStock(event_id, promo_code))

    async def read_booking(self, shard: int, event_id: str, booking_id: str) -> Booking | None:
        """
        Read a booking as it is, in one plain read; None if there is none.

        Raises:
            EventRecovering: nobody knows now.
        """
        row = await self._read_row(shard, event_id, "bookings", booking_id)
        return None if row is None else values.parse_booking(row)

    async def read_hold(self, shard: int, event_id: str, hold_id: str) -> Hold | None:
        """
        Read a hold as it is, in one plain read; None if there is none, or it is forgotten.

        Raises:
            EventRecovering: nobody knows now.
        """
        row = await self._read_row(shard, event_id, "holds", hold_id)
        return None if row is None else values.parse_hold(row)

    async def read_entries(
        self, shard: int, event_id: str, entry_ids: list[str]
    ) -> dict[str, tuple[WaitEntry, Position | None]]:
        """
        Read entries of a waitlist as `engine.waitlist.read_entries` does.

        Raises:
            ShardRecovering: the shard's door is shut.
            EventRecovering: nobody knows now.
        """
        self.reign(shard)
        names = keys.event(shard, event_id)
        found = await read_entries(self.client(shard), names, entry_ids)
        if len(found) < len(entry_ids):
            await self._require_whole(shard, event_id, "entries")
        return found

    async def _read_row(self, shard: int, event_id: str, key: str, own_id: str) -> Any:
        """Read what an event's *key* has of an id; None if it has nothing, and is whole."""
        self.reign(shard)
        names = keys.event(shard, event_id)
        row: Any = await self.client(shard).hget(getattr(names, key), own_id)
        if row is None:
            await self._require_whole(shard, event_id, key)
        return row

    async def _require_whole(self, shard: int, event_id: str, key: str) -> None:
        """Before it is said that something is not there: see that its *key* is (`keys.MARK`)."""
        names, client = keys.event(shard, event_id), self.client(shard)
        marks = [await client.hget(name, keys.MARK) for name in (names.stock, getattr(names, key))]
        if marks[0] != marks[1]:
            raise EventRecovering

    async def last(self, shard: int) -> tuple[int, int] | None:
        """
        Return epoch and seq of the last record; None from a Redis that is not in the reign.

        Raises:
            ShardRecovering: the shard's door is shut.
        """
        reign = self.reign(shard)
        epoch, state, seq = await self.client(shard).hmget(
            keys.meta(shard), ["epoch", "state", "seq"]
        )
        if (epoch, state) != (str(reign.epoch).encode(), b"open"):
            return None
        return reign.epoch, int(seq or 0)

    def _standing(self, shard: int) -> Standing:
        reign = self.reign(shard)
        return Standing(reign, self._shards[shard].seen_in(reign))

    def _looker(self, client: Redis) -> porter.Look:
        """Return what shows a new connection's server to the shards that live there."""
        shards = [shard for shard in self._shards if shard.client is client]

        def look(server: Facts) -> None:
            refusals = [refusal for shard in shards if (refusal := shard.look_at(server))]
            if refusals:
                raise refusals[0]

        return look
