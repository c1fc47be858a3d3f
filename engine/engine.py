"""
The engine: one method per verb of selling, each one script call, coalesced with its neighbours.

Guarantees come from the scripts (I1, I6, I10 to I12, I17); this module says what each verb
promises and turns replies into values. It holds no state of its own but the shards' doors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from engine import keys, outcomes, porter
from engine.calls import Limit
from engine.commands import (
    CancelItem,
    Extend,
    Join,
    OfEvent,
    Order,
    Own,
    Publish,
    Reopen,
    Scan,
    SetCapacity,
    ShiftSeats,
    Transfer,
)
from engine.door import ReadReign, Reign, ReportSeen
from engine.durability import Durability
from engine.guard import Facts
from engine.outcomes import (
    Applied,
    Availability,
    Booked,
    Extended,
    Held,
    Hold,
    Refused,
    SeatChanges,
    SeatMap,
)
from engine.redo import RedoBuffer
from engine.replicas import GroupWaiter, Standing
from engine.seats import Section
from engine.shard import Shard
from engine.waitlist import Entry, Position, read_entries
from engine.wire import Wire

BATCH_COMMANDS_MAX = 128
#: In place of a promo code: for the eyes of organizers.
ALL_TIERS = "*"


class Engine:
    """Sells places of events on one or more shards."""

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

            booking_limit: How often a person may try to book; None for no limit.
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
                limit=booking_limit,
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

        Atomicity: one Lua script (`lua/book.lua`); all lines of the order or none.
        Idempotency: safe to repeat with the same id; the first reply comes again.
        Cost: a share of one Redis round trip.

        Args:
            shard: The event's shard.

            order: What is asked for.

        Returns:
            `Booked`, or `Refused` with the first status that applies (order: `lua/book.lua`).

        Raises:
            ShardUnavailable: nothing was changed; try later.
            OutcomeUnknown: no answer; repeat with the same id.
            BadCommand: the order breaks its bounds.
        """
        order.check()
        return outcomes.booked(await self._shards[shard].submit("book", order))

    async def hold(self, shard: int, order: Order) -> Held | Refused:
        """
        Set places aside for `order.ttl_ms`.

        Atomicity: one Lua script (`lua/hold.lua`); all lines of the order or none.
        Idempotency: safe to repeat with the same id; the same hold comes again, whatever became
            of it, with the deadline it has now.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        order.check()
        return outcomes.held(await self._shards[shard].submit("hold", order))

    async def confirm(self, shard: int, own: Own) -> Booked | Refused:
        """
        Turn a hold into a confirmed booking; even late, where its places are still there.

        Atomicity: one Lua script (`lua/confirm.lua`), which also checks owner and deadline (I11).
        Idempotency: the booking, once made, is the reply to every further confirm.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.booked(await self._shards[shard].submit("confirm", own))

    async def release(self, shard: int, own: Own) -> Applied | Refused:
        """
        Give a hold's places back.

        Atomicity: one Lua script (`lua/release.lua`).
        Idempotency: a hold that is over stays over, and counts as released.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("release", own))

    async def extend(self, shard: int, command: Extend) -> Extended | Refused:
        """
        Move a live hold's deadline, up to its longest life.

        Atomicity: one Lua script (`lua/extend.lua`).
        Idempotency: a deadline never moves back; a repetition counts from its own time.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.extended(await self._shards[shard].submit("extend", command))

    async def cancel(self, shard: int, own: Own) -> Applied | Refused:
        """
        End a booking and give its places back.

        Atomicity: one Lua script (`lua/cancel.lua`).
        Idempotency: a second cancellation changes nothing and gives the first one's reply.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("cancel", own))

    async def join(self, shard: int, command: Join) -> Applied | Refused:
        """
        Put a person on the waitlist of a tier.

        Atomicity: one Lua script (`lua/join.lua`), which also offers places that are free.
        Idempotency: safe to repeat with the same id; the first reply comes again.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("join", command))

    async def leave(self, shard: int, own: Own) -> Applied | Refused:
        """
        Take a person off the waitlist; an offer made meanwhile is declined.

        Atomicity: one Lua script (`lua/leave.lua`).
        Idempotency: an entry that is over stays over, and counts as left.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("leave", own))

    async def cancel_item(self, shard: int, command: CancelItem) -> Applied | Refused:
        """
        Give back some places of a booking; the last ones end it.

        Atomicity: one Lua script (`lua/cancel_item.lua`).
        Idempotency: by the version that the caller has seen.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("cancel_item", command))

    async def checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """
        Let the bearer of a ticket in, once.

        Atomicity: one Lua script (`lua/checkin.lua`).
        Idempotency: every further scan is refused and says when and where the first was.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("checkin", scan))

    async def undo_checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """
        Take a check-in back.

        Atomicity: one Lua script (`lua/undo_checkin.lua`).
        Idempotency: a second undoing changes nothing and gives the first one's reply.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("undo_checkin", scan))

    async def transfer(self, shard: int, command: Transfer) -> Applied | Refused:
        """
        Give a ticket to somebody else; its old code no longer passes.

        Atomicity: one Lua script (`lua/transfer.lua`).
        Idempotency: the same transfer by the same giver gives the first reply again.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("transfer", command))

    async def set_capacity(self, shard: int, command: SetCapacity) -> Applied | Refused:
        """
        Change capacities of tiers, all or none, never below what is taken.

        Atomicity: one Lua script (`lua/set_capacity.lua`).
        Idempotency: capacities that are so already change nothing.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("set_capacity", command))

    async def close(self, shard: int, event_id: str) -> Applied | Refused:
        """
        End an event's sale now; live holds may still be confirmed.

        Atomicity: one Lua script (`lua/close.lua`).
        Idempotency: a sale that is over stays over.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("close", OfEvent(event_id)))

    async def reopen(self, shard: int, command: Reopen) -> Applied | Refused:
        """
        Move the end of an event's sale, whether or not it is over.

        Atomicity: one Lua script (`lua/reopen.lua`).
        Idempotency: the same end again changes nothing.
        Cost: a share of one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].submit("reopen", command))

    async def cancel_event(self, shard: int, event_id: str) -> Applied | Refused:
        """
        Call an event off. Its places are given back afterwards, by `engine.emptier`.

        Atomicity: one Lua script (`lua/cancel_event.lua`).
        Idempotency: a second cancellation changes nothing and gives the first one's reply.
        Cost: one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].cancel_event(event_id))

    async def publish(self, shard: int, command: Publish) -> Applied | Refused:
        """
        Load an event's stock, so that it may be sold.

        Atomicity: one Lua script (`lua/publish.lua`).
        Idempotency: the same content again gives the first reply; other content is refused.
        Cost: one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.applied(await self._shards[shard].publish(command))

    async def seat(self, shard: int, event_id: str, section: Section) -> Refused | None:
        """
        Load one section of an event's seats, before `publish`; None once it is loaded.

        Atomicity: one Lua script (`lua/seat.lua`).
        Idempotency: the same section again changes nothing; after `publish`, another is refused.
        Cost: one Redis round trip.

        Raises: as for `book`.
        """
        return outcomes.refused(await self._shards[shard].seat(event_id, section))

    async def block(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """
        Take free seats out of sale.

        Atomicity: one Lua script (`lua/block.lua`); all seats or none.
        Idempotency: seats that are blocked already stay so.
        Cost: one Redis round trip.

        Raises: as for `book`.
        """
        command.check()
        return outcomes.applied(await self._shards[shard].shift_seats("block", command))

    async def unblock(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """
        Put blocked seats back on sale; the counterpart of `block` (`lua/unblock.lua`).

        Raises: as for `book`.
        """
        command.check()
        return outcomes.applied(await self._shards[shard].shift_seats("unblock", command))

    async def seats(
        self, shard: int, event_id: str, *, since: int = -1, promo_code: str = ""
    ) -> SeatMap | SeatChanges | Refused:
        """
        Read the seat map; with *since*, what changed after that version, if it is known still.

        Cost: one Redis round trip.

        Args:
            promo_code: Of hidden tiers, only those that this code unlocks are told: the status of
                other sections is empty. `ALL_TIERS` tells all.

        Raises: as for `book`.
        """
        return outcomes.seat_map(await self._shards[shard].seats(event_id, since, promo_code))

    async def availability(
        self, shard: int, event_id: str, *, promo_code: str = ""
    ) -> Availability | Refused:
        """
        Read an event's counters, all of one moment.

        Cost: a share of one Redis round trip.

        Args:
            promo_code: Of hidden tiers, only those that this code unlocks are told; `ALL_TIERS`
                tells all.

        Raises: as for `book`.
        """
        reply = await self._shards[shard].submit_availability(event_id, promo_code)
        return outcomes.availability(reply)

    async def read_hold(self, shard: int, event_id: str, hold_id: str) -> Hold | None:
        """
        Read a hold as it is; None if there is none, or it is forgotten.

        Cost: one Redis round trip.

        Raises:
            ShardRecovering: the shard's door is shut.
        """
        self.reign(shard)
        row: Any = await self.client(shard).hget(keys.event(shard, event_id).holds, hold_id)
        return None if row is None else outcomes.parse_hold(row)

    async def read_entries(
        self, shard: int, event_id: str, entry_ids: list[str]
    ) -> dict[str, tuple[Entry, Position | None]]:
        """
        Read entries of a waitlist as `engine.waitlist.read_entries` does.

        Raises:
            ShardRecovering: the shard's door is shut.
        """
        self.reign(shard)
        return await read_entries(self.client(shard), keys.event(shard, event_id), entry_ids)

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
