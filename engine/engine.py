"""
The engine: one method per verb of selling, each one script call, coalesced with its neighbours.

Guarantees come from the scripts (I1, I6, I10 to I12, I17); this module says what each verb
promises. It holds no state of its own but the shards' doors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from redis.asyncio import Redis

from engine import keys, porter, values, verbs
from engine.calls import Bounds, Limit, call_of
from engine.commands import (
    Amend,
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
from engine.errors import EngineError, EventRecovering, ShardRecovering
from engine.guard import Facts
from engine.homes import Published
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
from engine.pulse import Pulse, feel
from engine.replicas import GroupWaiter, Standing
from engine.seats import Section
from engine.shard import Home, MakeRedo, Shard
from engine.values import Booking, Hold, WaitEntry
from engine.waitlist import Position, placed
from engine.watcher import ReadShards, Watcher
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
        servers: Mapping[str, Redis],
        read_reign: ReadReign,
        *,
        shards: Iterable[int] = (),
        read_shards: ReadShards | None = None,
        report_seen: ReportSeen | None = None,
        commands_max: int = BATCH_COMMANDS_MAX,
        in_flight_max: int = 2,
        waiting_max: int = 20_000,
        durability: Durability = "fsync",
        make_redo: MakeRedo | None = None,
        booking_limit: Limit | None = None,
        hold_bounds: Bounds | None = None,
    ) -> None:
        """
        Args:
            servers: A client for each Redis master, made by `engine.redis_client.connect`, by the
                name that reigns call it by.

            read_reign: Returns a shard's published reign, or None while it is not open.

            shards: Numbers of those that there are from the beginning.

            read_shards: Returns the shards that there are, and what PostgreSQL says of them; looked
                at once a second. None: those from the beginning, and nobody looks.

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
        self._homes = {name: Home(client, Wire(client)) for name, client in servers.items()}
        self._durability = durability
        self._make_shard = partial(
            Shard,
            homes=self._homes,
            read_reign=read_reign,
            report_seen=report_seen,
            commands_max=commands_max,
            in_flight_max=in_flight_max,
            waiting_max=waiting_max,
            make_redo=make_redo,
            make_call=partial(call_of, limit=booking_limit, bounds=hold_bounds),
        )
        self._shards = {number: self._make_shard(number) for number in shards}
        self._watcher = None if read_shards is None else Watcher(read_shards, self._heed)
        for name, home in self._homes.items():
            porter.post(home.client, level=durability, look=self._looker(name))

    def wait_for_replicas(self, client: Redis, server: str, *, replicas_min: int) -> GroupWaiter:
        """
        Make who waits for the replicas of a server.

        Args:
            client: A client of that server of one connection, not open yet and used for nothing
                else; its server is examined as those of the engine's own are.

            server: Its name.

            replicas_min: Replicas that must have a write.
        """
        porter.post(client, level=self._durability, look=self._looker(server))
        return GroupWaiter(client, self._standing, replicas_min=replicas_min)

    def start(self) -> None:
        """Look for the shards and their reigns; commands are refused until one is found."""
        for shard in self._shards.values():
            shard.door.look()
        if self._watcher is not None:
            self._watcher.start()

    def wake(self) -> None:
        """Hear that something may have changed with the shards: look now."""
        if self._watcher is not None:
            self._watcher.wake()

    async def stop(self, *, timeout_s: float) -> None:
        """Finish what is under way, at most *timeout_s* seconds, and close the connections."""
        if self._watcher is not None:
            await self._watcher.close()
        shards = self._shards.values()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(one.drain() for one in shards)), timeout_s)
        for shard in shards:
            await shard.close()
        for home in self._homes.values():
            home.wire.close()
            await home.client.aclose()

    @property
    def is_open(self) -> bool:
        """Tell whether every shard takes commands."""
        return bool(self._shards) and all(one.door.is_open for one in self._shards.values())

    @property
    def shards(self) -> Mapping[int, Shard]:
        """The shards that there are, by number."""
        return self._shards

    @property
    def shards_for_events(self) -> list[int]:
        """Shards that new events are spread over."""
        return [number for number, one in sorted(self._shards.items()) if not one.is_reserved]

    def reign(self, shard: int) -> Reign:
        """
        Return the reign this process acts under.

        Raises:
            ShardRecovering: the shard's door is shut.
        """
        return self._shard(shard).door.reign()

    async def book(self, shard: int, order: Order) -> Booked | Refused:
        """
        Turn places into a confirmed booking.

        The same id again gives the first reply again, with the items and the status of now.
        """
        order.check()
        return await self._shard(shard).submit(verbs.BOOK, order)

    async def hold(self, shard: int, order: Order) -> Held | Refused:
        """
        Set places aside for `order.ttl_ms`.

        The same id again gives the same hold, whatever became of it, with the deadline it has now.
        """
        order.check()
        return await self._shard(shard).submit(verbs.HOLD, order)

    async def confirm(self, shard: int, own: Own) -> Booked | Refused:
        """
        Turn a hold into a confirmed booking (I11).

        Even late, where its places are still there, the rules of the sale allow it as they are
        then, and the price is the one promised.

        The booking, once made, is the reply to every further confirm.
        """
        return await self._shard(shard).submit(verbs.CONFIRM, own)

    async def release(self, shard: int, own: Own) -> Applied | Refused:
        """Give a hold's places back; one that is over stays over, and counts as released."""
        return await self._shard(shard).submit(verbs.RELEASE, own)

    async def extend(self, shard: int, command: Extend) -> Extended | Refused:
        """
        Move a live hold's deadline, up to its longest life.

        A deadline never moves back; a repetition counts from its own time.
        """
        return await self._shard(shard).submit(verbs.EXTEND, command)

    async def cancel(self, shard: int, own: Own) -> Applied | Refused:
        """
        End a booking and give its places back; again, it gives the first one's reply.

        Not while somebody is in on one of its tickets, or one belongs to whom it was given.
        """
        return await self._shard(shard).submit(verbs.CANCEL, own)

    async def join(self, shard: int, command: Join) -> Applied | Refused:
        """Put a person on the waitlist of a tier, and offer what is free; safe to repeat."""
        return await self._shard(shard).submit(verbs.JOIN, command)

    async def leave(self, shard: int, own: Own) -> Applied | Refused:
        """
        Take a person off the waitlist; an offer made meanwhile is declined.

        An entry that is over stays over, and counts as left.
        """
        return await self._shard(shard).submit(verbs.LEAVE, own)

    async def cancel_item(self, shard: int, command: CancelItem) -> Applied | Refused:
        """
        Give back some places of a booking, or tickets by name; the last ones end it.

        Safe to repeat by the version that the caller has seen.
        """
        return await self._shard(shard).submit(verbs.CANCEL_ITEM, command)

    async def checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """
        Let the bearer of a ticket in; further scans are told when and where the first was.

        The same scan, by its id, gets its first answer again.
        """
        return await self._shard(shard).submit(verbs.CHECKIN, scan)

    async def undo_checkin(self, shard: int, scan: Scan) -> Applied | Refused:
        """Take a check-in back."""
        return await self._shard(shard).submit(verbs.UNDO_CHECKIN, scan)

    async def transfer(self, shard: int, command: Transfer) -> Applied | Refused:
        """Give a ticket to somebody else; its old code no longer passes."""
        return await self._shard(shard).submit(verbs.TRANSFER, command)

    async def set_capacity(self, shard: int, command: SetCapacity) -> Applied | Refused:
        """Change capacities, never below what is taken, and the sale's end: all or none."""
        return await self._shard(shard).submit(verbs.SET_CAPACITY, command)

    async def amend(self, shard: int, command: Amend) -> Applied | Refused:
        """Change an event on sale for orders from then on: times, prices, tiers, codes; or none."""
        return await self._shard(shard).submit(verbs.AMEND, command)

    async def close(self, shard: int, event_id: str) -> Applied | Refused:
        """End an event's sale now; live holds may still be confirmed."""
        return await self._shard(shard).submit(verbs.CLOSE, OfEvent(event_id))

    async def reopen(self, shard: int, command: Reopen) -> Applied | Refused:
        """Move the end of an event's sale, over or not, but not beyond the event's own end."""
        return await self._shard(shard).submit(verbs.REOPEN, command)

    async def cancel_event(self, shard: int, event_id: str) -> Applied | Refused:
        """Call an event off; its places are given back afterwards, by `engine.emptier`."""
        return await self._shard(shard).submit(verbs.CANCEL_EVENT, OfEvent(event_id))

    async def publish(self, shard: int, command: Publish) -> Applied | Refused:
        """Load an event's stock, so that it may be sold; other content than before is refused."""
        return await self._shard(shard).submit(verbs.PUBLISH, command)

    async def seat(self, shard: int, event_id: str, section: Section) -> Refused | None:
        """Load one section of an event's seats, before `publish`; None once it is loaded."""
        return await self._shard(shard).submit(verbs.SEAT, Seat(event_id, section))

    async def block(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """Take free seats out of sale; those that are blocked already stay so."""
        command.check()
        return await self._shard(shard).submit(verbs.BLOCK, command)

    async def unblock(self, shard: int, command: ShiftSeats) -> Applied | Refused:
        """Put blocked seats back on sale; the counterpart of `block`."""
        command.check()
        return await self._shard(shard).submit(verbs.UNBLOCK, command)

    async def seats(
        self, shard: int, event_id: str, *, since: int = -1, promo_code: str = ""
    ) -> SeatMap | SeatChanges | Refused:
        """
        Read the seat map; with *since*, what changed after that version, if it is known still.

        Of hidden tiers, only those that *promo_code* unlocks are told: the status of other sections
        is empty. `ALL_TIERS` tells all.
        """
        return await self._shard(shard).submit(verbs.SEATS, ReadSeats(event_id, since, promo_code))

    async def availability(
        self, shard: int, event_id: str, *, promo_code: str = ""
    ) -> Availability | Refused:
        """
        Read an event's counters, all of one moment.

        Of hidden tiers, only those that *promo_code* unlocks are told; `ALL_TIERS` tells all.
        """
        return await self._shard(shard).submit(verbs.AVAILABILITY, ReadStock(event_id, promo_code))

    def epoch(self, shard: int) -> int:
        """
        Return the epoch under which a shard's commands go now.

        Raises:
            ShardRecovering: the door is shut.
        """
        return self._shard(shard).door.reign().epoch

    async def pulse(self, shard: int, event_ids: Sequence[str], *, now_ms: int = 0) -> Pulse:
        """
        Read what of a shard is so beside its stocks, in one plain read (`engine.pulse`).

        Raises:
            ShardUnavailable: nobody knows now.
        """
        return await feel(self._shard(shard).ask, shard, event_ids, now_ms=now_ms)

    async def read_booking(self, shard: int, event_id: str, booking_id: str) -> Booking | None:
        """
        Read a booking as it is, in one plain read; None if there is none.

        Raises:
            ShardUnavailable: nobody knows now.
        """
        rows = await self._read_rows(shard, event_id, "bookings", [booking_id])
        return values.parse_booking(rows[booking_id]) if rows else None

    async def read_hold(self, shard: int, event_id: str, hold_id: str) -> Hold | None:
        """
        Read a hold as it is, in one plain read; None if there is none, or it is forgotten.

        Raises:
            ShardUnavailable: nobody knows now.
        """
        rows = await self._read_rows(shard, event_id, "holds", [hold_id])
        return values.parse_hold(rows[hold_id]) if rows else None

    async def read_entries(
        self, shard: int, event_id: str, entry_ids: list[str]
    ) -> dict[str, tuple[WaitEntry, Position | None]]:
        """
        Read those entries of a waitlist that there are, as `engine.waitlist.placed` does.

        Raises:
            ShardUnavailable: nobody knows now.
        """
        rows = await self._read_rows(shard, event_id, "entries", entry_ids)
        return await placed(self._shard(shard).ask, keys.event(shard, event_id), rows)

    async def _read_rows(
        self, shard: int, event_id: str, key: str, own_ids: Sequence[str]
    ) -> dict[str, bytes]:
        """
        Return what an event's *key* has of some ids; of those without a row there is none.

        What is found costs one round trip. What is not is looked for again with all that says that
        nothing of the event is lost, at one moment: its stock is loaded, the key has its mark if
        the event has (`keys.MARK`), and Redis is in the reign.
        """
        one, names = self._shard(shard), keys.event(shard, event_id)
        name = getattr(names, key)
        [rows] = await one.ask(("HMGET", name, *own_ids))
        if None in rows:
            *_, (stock, (mark, *rows)) = await one.ask_surely(
                ("MULTI",),
                ("HMGET", names.stock, "fingerprint", keys.MARK),
                ("HMGET", name, keys.MARK, *own_ids),
                ("EXEC",),
            )
            if None in rows and (stock[0] is None or stock[1] != mark):
                raise EventRecovering
        return {own: row for own, row in zip(own_ids, rows, strict=True) if row is not None}

    async def last(self, shard: int) -> tuple[int, int]:
        """
        Return epoch and seq of the last record.

        Raises:
            ShardUnavailable: nobody knows now; a Redis that is not in the reign cannot tell.
        """
        return await self._shard(shard).last()

    async def persisted(self) -> dict[int, int]:
        """
        Return up to which record PostgreSQL has each shard, as the persisters have noted in Redis.

        Shards that cannot tell are left out: PostgreSQL is not asked.
        """

        async def one(number: int, shard: Shard) -> tuple[int, int] | None:
            try:
                return number, await shard.persisted()
            except EngineError:
                return None

        found = await asyncio.gather(*(one(*pair) for pair in list(self._shards.items())))
        return dict(pair for pair in found if pair is not None)

    def _standing(self, shard: int) -> Standing:
        reign = self.reign(shard)
        return Standing(reign, self._shard(shard).seen_in(reign))

    def _shard(self, number: int) -> Shard:
        """
        Return a shard.

        Raises:
            ShardRecovering: this process knows none of that number, or not yet.
        """
        try:
            return self._shards[number]
        except KeyError:
            raise ShardRecovering from None

    def _heed(self, rows: Sequence[Published], asked_at: float) -> None:
        """Hear what PostgreSQL says of the shards; one that is new gets its door."""
        for row in rows:
            shard = self._shards.get(row.shard)
            if shard is None:
                shard = self._shards[row.shard] = self._make_shard(row.shard)
                shard.door.look()
            shard.heed(row, asked_at)

    def _looker(self, server: str) -> porter.Look:
        """Return what shows a new connection's server to the shards that live there."""

        def look(facts: Facts) -> None:
            refusals = [
                refusal
                for shard in self._shards.values()
                if (refusal := shard.look_at(server, facts)) is not None
            ]
            if refusals:
                raise refusals[0]

        return look
