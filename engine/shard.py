"""
One shard in one process: a client, a door, and a coalescer for each verb.

Carries batches to their script once, and names what Redis's answer, or its silence, means. It
remembers the last record it has seen acknowledged and tells it with every call: a Redis that has
fewer has lost some, and its scripts refuse (the fence's fifth lock; F5, F10, F12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from engine import batches, keys
from engine.calls import Limit, call_of
from engine.coalescer import Coalescer
from engine.commands import Batched, Publish, ShiftSeats
from engine.door import Door, ReadReign, Reign, ReportSeen
from engine.errors import (
    BadCommand,
    EngineError,
    OutcomeUnknown,
    Overloaded,
    ShardRecovering,
    ShardUnavailable,
)
from engine.guard import Facts
from engine.porter import OtherServer, ServerRefused
from engine.redo import RedoBuffer
from engine.seats import Section
from engine.wire import Wire

#: Verbs whose commands travel in batches, all in the same form.
BATCHED_VERBS = (
    "book",
    "hold",
    "confirm",
    "release",
    "extend",
    "cancel",
    "join",
    "leave",
    "cancel_item",
    "checkin",
    "undo_checkin",
    "transfer",
    "close",
    "reopen",
    "set_capacity",
)

#: Commands that are worth another call while one is under way (docs/decisions/0014).
FURTHER_COMMANDS_MIN = 24
#: Answers in a row that may fail to come before the door is shut until one comes again (F42).
SILENCES_MAX = 3

#: Bytes of a reply's line that hold its status, epoch and seq.
_LINE_BYTES = 64
#: What a script replies, before epoch and seq, when it has made a record in this very call.
_MADE = frozenset(
    {
        b"BLOCKED",
        b"BOOKED",
        b"CANCELLED",
        b"CAPACITY_SET",
        b"CHECKED_IN",
        b"CHECK_IN_UNDONE",
        b"CLOSED",
        b"CONFIRMED",
        b"EXTENDED",
        b"HELD",
        b"ITEM_CANCELLED",
        b"JOINED",
        b"LEFT",
        b"PUBLISHED",
        b"RELEASED",
        b"REOPENED",
        b"TRANSFERRED",
        b"UNBLOCKED",
    }
)

_NOT_THIS_REIGN = (
    redis_errors.NoScriptError,
    redis_errors.ReadOnlyError,
    redis_errors.BusyLoadingError,
    redis_errors.MasterDownError,
    redis_errors.NoPermissionError,
)


class Shard:
    """Sends commands to the scripts of one shard."""

    def __init__(
        self,
        number: int,
        client: Redis,
        wire: Wire,
        read_reign: ReadReign,
        *,
        report_seen: ReportSeen | None = None,
        commands_max: int,
        in_flight_max: int,
        waiting_max: int,
        redo: RedoBuffer | None = None,
        limit: Limit | None = None,
    ) -> None:
        """
        Args:
            number: Number of the shard.

            client: Client of its master, for plain reads.

            wire: Carries the scripts' calls to the same master.

            read_reign: Returns the shard's published reign, or None while it is not open.

            report_seen: Told, when fenced, what was seen acknowledged.

            commands_max, in_flight_max, waiting_max: See `Coalescer`; each verb has its own.

            redo: Keeps what was acknowledged; None to keep nothing.

            limit: How often a person may try to book; None for no limit.
        """
        self.number = number
        self.client = client
        self._wire = wire
        self._redo = redo
        self._limit = limit
        self.door = Door(
            number, read_reign, report_seen=report_seen, on_shut=None if redo is None else redo.shut
        )
        #: The last record seen acknowledged, and in which epoch.
        self._seen_epoch, self._seen_seq = 0, 0
        self._silences = 0
        limits = {
            "commands_max": commands_max,
            "in_flight_max": in_flight_max,
            "further_min": FURTHER_COMMANDS_MIN,
            "waiting_max": waiting_max,
        }
        self._batched: dict[str, Coalescer[Batched, list[Any]]] = {
            verb: Coalescer(self._sender(verb), **limits) for verb in BATCHED_VERBS
        }
        self._availability: Coalescer[tuple[str, str], list[Any]] = Coalescer(
            self._send_availability, **limits
        )

    def submit(self, verb: str, command: Batched) -> asyncio.Future[list[Any]]:
        """Queue *command* for its verb's next batch; the future gets the script's reply."""
        return self._batched[verb].submit(command)

    def submit_availability(self, event_id: str, code: str) -> asyncio.Future[list[Any]]:
        """Queue the question what is left of an event, for who has a promo code."""
        return self._availability.submit((event_id, code))

    async def publish(self, command: Publish) -> list[Any]:
        """Load an event's stock; alone, since it is rare."""
        reign = self.door.reign()
        key_names = [
            keys.meta(self.number),
            keys.journal(self.number, reign.epoch),
            keys.events(self.number),
            keys.event(self.number, command.event_id).stock,
            keys.event(self.number, command.event_id).seats,
            keys.event(self.number, command.event_id).promos,
        ]
        return await self._call("publish", reign, key_names, command.words())

    async def expire(self, event_id: str, *, holds_max: int, forget_ms: int) -> list[Any]:
        """End an event's overdue holds; alone, since the sweeper asks."""
        reign = self.door.reign()
        args = [event_id, holds_max, forget_ms]
        return await self._call("expire", reign, self._keys_of(reign, [event_id]), args)

    async def seat(self, event_id: str, section: Section) -> list[Any]:
        """Load one section of seats; alone, since it is rare."""
        reign, names = self.door.reign(), keys.event(self.number, event_id)
        key_names = [keys.meta(self.number), names.stock, names.seats]
        return await self._call("seat", reign, key_names, section.words())

    async def seats(self, event_id: str, since: int, code: str) -> list[Any]:
        """Read the seat map, or what changed since a version; alone, since caches ask."""
        reign, names = self.door.reign(), keys.event(self.number, event_id)
        key_names = [keys.meta(self.number), names.seats, names.stock, names.promos]
        return await self._call("seats", reign, key_names, [since, code])

    async def shift_seats(self, verb: str, command: ShiftSeats) -> list[Any]:
        """Run `block` or `unblock`; alone, since they are rare."""
        reign = self.door.reign()
        args = [command.event_id, *command.seat_ids]
        return await self._call(verb, reign, self._keys_of(reign, [command.event_id]), args)

    async def cancel_event(self, event_id: str) -> list[Any]:
        """Call an event off; alone, since it is rare."""
        reign = self.door.reign()
        names = [*self._keys_of(reign, [event_id]), keys.cancelling(self.number)]
        return await self._call("cancel_event", reign, names, [event_id])

    async def empty_event(self, event_id: str, booking_ids: Sequence[str]) -> list[Any]:
        """Give back places of a cancelled event, one bounded step; alone, the sweeper asks."""
        reign = self.door.reign()
        names = [*self._keys_of(reign, [event_id]), keys.cancelling(self.number)]
        args = [event_id, *booking_ids]
        return await self._call("empty_event", reign, names, args)

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await asyncio.gather(
            *(coalescer.drain() for coalescer in self._batched.values()), self._availability.drain()
        )

    async def close(self) -> None:
        """Stop what runs beside the commands."""
        await self.door.close()
        if self._redo is not None:
            await self._redo.close()

    def _sender(self, verb: str) -> Any:
        is_witnessed = verb in batches.WITNESSED_VERBS

        async def send(batch: Sequence[Batched]) -> Sequence[Any]:
            reign = self.door.reign()
            call = call_of(batch, self._limit if verb == "book" else None)
            key_names = self._keys_of(reign, call.events, verb)
            replies = call.replies(
                await self._call(verb, reign, key_names, [*call.events, *call.words])
            )
            if not is_witnessed:
                return replies
            landed, replies = batches.land(self.number, reign.epoch, verb, batch, replies)
            if landed is not None and self._redo is not None:
                self._redo.keep(landed)
            return replies

        return send

    def _keys_of(self, reign: Reign, event_ids: Sequence[str], verb: str = "") -> list[str]:
        """Return the keys of a batch: the shard's, then those of each event."""
        names = [
            keys.meta(self.number),
            keys.journal(self.number, reign.epoch),
            keys.due(self.number),
        ]
        if verb == "book":
            names += keys.attempts(self.number)
        for event_id in event_ids:
            names += keys.event(self.number, event_id)
        return names

    async def _send_availability(self, batch: Sequence[tuple[str, str]]) -> list[Any]:
        reign = self.door.reign()
        distinct = {question: n for n, question in enumerate(dict.fromkeys(batch))}
        key_names = [keys.meta(self.number)]
        for event_id, _ in distinct:
            names = keys.event(self.number, event_id)
            key_names += (names.stock, names.promos)
        args = [code for _, code in distinct]
        replies = await self._call("availability", reign, key_names, args)
        return [replies[distinct[question]] for question in batch]

    def look_at(self, server: Facts) -> OtherServer | None:
        """
        Shut the door if a new connection leads to another server than the one that was opened.

        Returns:
            Why the connection must not be used, or None.
        """
        if not self.door.is_open:
            return None
        reign = self.door.reign()
        if reign.is_of(server.run_id, server.replid):
            return None
        reason = f"Redis is run {server.run_id}, history {server.replid}, not what was opened"
        self.door.shut(reign, reason, seen_seq=self.seen_in(reign))
        return OtherServer(reason)

    async def _call(
        self, name: str, reign: Reign, key_names: Sequence[str], args: Sequence[Any]
    ) -> list[Any]:
        """Run one script once; translate what Redis says into what it means for the caller."""
        seen_seq = self.seen_in(reign)
        try:
            reply: list[Any] = await self._wire.call(
                "EVALSHA",
                reign.script_shas[name],
                len(key_names),
                *key_names,
                f"{reign.epoch}:{seen_seq}",
                *args,
            )
        except redis_errors.RedisError as error:
            raise self._meaning(reign, error) from error
        except OSError as error:
            raise OutcomeUnknown from error
        self._silences = 0
        self._learn(reign, reply)
        return reply

    def seen_in(self, reign: Reign) -> int:
        """Return the last record that this process has seen acknowledged in *reign*; 0 if none."""
        return self._seen_seq if self._seen_epoch == reign.epoch else 0

    def _learn(self, reign: Reign, reply: list[Any] | bytes) -> None:
        """Remember the last record that *reply* tells of."""
        seq = _last_seq(reply)
        if seq and (self._seen_epoch != reign.epoch or seq > self._seen_seq):
            self._seen_epoch, self._seen_seq = reign.epoch, seq

    def _meaning(self, reign: Reign, error: redis_errors.RedisError) -> EngineError:
        text = str(error)
        reason = f"{type(error).__name__}: {text}"
        if isinstance(error, redis_errors.OutOfMemoryError):
            return Overloaded("Redis is out of memory; nothing was changed.")
        if isinstance(error, OtherServer):
            return ShardRecovering()
        if (
            isinstance(error, _NOT_THIS_REIGN)
            or text.startswith("FENCED")
            or "ACL failure in script" in text
        ):
            has_lost = text.startswith(f"FENCED {reign.epoch} lost")
            self.door.shut(reign, reason, seen_seq=self.seen_in(reign), has_lost=has_lost)
            return ShardRecovering()
        if (
            isinstance(error, ServerRefused)
            or _stems_from(error, redis_errors.AuthenticationError)
            or text.startswith(("MISCONF", "NOREPLICAS"))
        ):
            self.door.shut(reign, reason, probe=self._gets_through)
            return ShardUnavailable(f"Redis takes no writes: {text}")
        if _stems_from(error, redis_errors.TimeoutError):
            self._silences += 1
            if self._silences >= SILENCES_MAX:
                self.door.shut(reign, "Redis does not answer", probe=self._gets_through)
            return OutcomeUnknown()
        if isinstance(error, redis_errors.ConnectionError):
            return OutcomeUnknown()
        if text.startswith("BADARG"):
            return BadCommand(text)
        return EngineError(f"script failed: {text}")

    async def is_heard(self) -> bool:
        """Tell whether Redis answers in the reign that the door is open under; it reads alone."""
        try:
            await self._call("availability", self.door.reign(), [keys.meta(self.number)], [])
        except EngineError:
            return False
        return True

    async def _gets_through(self, reign: Reign) -> bool:
        """Tell whether Redis takes writes again, by one that means nothing."""
        key_names = [keys.meta(self.number), keys.journal(self.number, reign.epoch)]
        try:
            await self._call("waitmark", reign, key_names, [])
        except EngineError:
            return False
        return True


def _last_seq(reply: list[Any] | bytes) -> int:
    """Return the last record that a script says it has made, or has counted; 0 if it says none."""
    if isinstance(reply, bytes):  # Of `book`: a line for each order.
        start = reply.rfind(b"BOOKED ")
        return int(reply[start : start + _LINE_BYTES].split(b" ", 3)[2]) if start >= 0 else 0
    if not reply:
        return 0
    for row in reversed(reply) if isinstance(reply[0], list) else (reply,):
        if row[0] in _MADE:
            return int(row[2])
        if row[0] == b"STOCK":
            return int(row[1])
    return 0


def _stems_from(error: BaseException, kind: type[Exception]) -> bool:
    """Tell whether *error* is of *kind*; at unix sockets redis-py hides it in another one."""
    return isinstance(error, kind) or isinstance(error.__cause__, kind)
