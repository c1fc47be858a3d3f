"""
One shard in one process: a client, a door, and a coalescer for each verb.

Carries batches to their script once, and names what Redis's answer, or its silence, means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from engine import batches, keys
from engine.coalescer import Coalescer
from engine.commands import Batched, Publish, ShiftSeats
from engine.door import Door, ReadReign, Reign
from engine.errors import (
    BadCommand,
    EngineError,
    OutcomeUnknown,
    Overloaded,
    ShardRecovering,
    ShardUnavailable,
)
from engine.redo import RedoBuffer
from engine.seats import Section
from engine.wire import Wire

#: Verbs whose commands travel in batches, all in the same form.
BATCHED_VERBS = (
    "book", "hold", "confirm", "release", "extend", "cancel", "join", "leave", "cancel_item",
    "checkin", "undo_checkin", "transfer", "close", "reopen", "set_capacity",
)  # fmt: skip

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
        commands_max: int,
        in_flight_max: int,
        waiting_max: int,
        redo: RedoBuffer | None = None,
    ) -> None:
        """
        Args:
            number: Number of the shard.

            client: Client of its master, for plain reads.

            wire: Carries the scripts' calls to the same master.

            read_reign: Returns the shard's published reign, or None while it is not open.

            commands_max, in_flight_max, waiting_max: See `Coalescer`; each verb has its own.

            redo: Keeps what was acknowledged; None to keep nothing.
        """
        self.number = number
        self.client = client
        self._wire = wire
        self._redo = redo
        self.door = Door(number, read_reign, on_shut=None if redo is None else redo.shut)
        limits = {
            "commands_max": commands_max,
            "in_flight_max": in_flight_max,
            "waiting_max": waiting_max,
        }
        self._batched: dict[str, Coalescer[Batched, list[Any]]] = {
            verb: Coalescer(self._sender(verb), **limits) for verb in BATCHED_VERBS
        }
        self._availability: Coalescer[str, list[Any]] = Coalescer(self._send_availability, **limits)

    def submit(self, verb: str, command: Batched) -> asyncio.Future[list[Any]]:
        """Queue *command* for its verb's next batch; the future gets the script's reply."""
        return self._batched[verb].submit(command)

    def submit_availability(self, event_id: str) -> asyncio.Future[list[Any]]:
        """Queue the question what is left of an event."""
        return self._availability.submit(event_id)

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
        return await self._call("publish", reign, key_names, [reign.epoch, *command.words()])

    async def expire(self, event_id: str, *, holds_max: int, forget_ms: int) -> list[Any]:
        """End an event's overdue holds; alone, since the sweeper asks."""
        reign = self.door.reign()
        args = [reign.epoch, event_id, holds_max, forget_ms]
        return await self._call("expire", reign, self._keys_of(reign, [event_id]), args)

    async def seat(self, event_id: str, section: Section) -> list[Any]:
        """Load one section of seats; alone, since it is rare."""
        reign, names = self.door.reign(), keys.event(self.number, event_id)
        key_names = [keys.meta(self.number), names.stock, names.seats]
        return await self._call("seat", reign, key_names, [reign.epoch, *section.words()])

    async def seats(self, event_id: str, since: int) -> list[Any]:
        """Read the seat map, or what changed since a version; alone, since caches ask."""
        reign = self.door.reign()
        key_names = [keys.meta(self.number), keys.event(self.number, event_id).seats]
        return await self._call("seats", reign, key_names, [reign.epoch, since])

    async def shift_seats(self, verb: str, command: ShiftSeats) -> list[Any]:
        """Run `block` or `unblock`; alone, since they are rare."""
        reign = self.door.reign()
        args = [reign.epoch, command.event_id, *command.seat_ids]
        return await self._call(verb, reign, self._keys_of(reign, [command.event_id]), args)

    async def cancel_event(self, event_id: str) -> list[Any]:
        """Call an event off; alone, since it is rare."""
        reign = self.door.reign()
        names = [*self._keys_of(reign, [event_id]), keys.cancelling(self.number)]
        return await self._call("cancel_event", reign, names, [reign.epoch, event_id])

    async def empty_event(self, event_id: str, booking_ids: Sequence[str]) -> list[Any]:
        """Give back places of a cancelled event, one bounded step; alone, the sweeper asks."""
        reign = self.door.reign()
        names = [*self._keys_of(reign, [event_id]), keys.cancelling(self.number)]
        args = [reign.epoch, event_id, *booking_ids]
        return await self._call("empty_event", reign, names, args)

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await asyncio.gather(
            *(coalescer.drain() for coalescer in self._batched.values()),
            self._availability.drain(),
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
            numbers: dict[str, int] = {}
            words: list[Any] = []
            for command in batch:
                words.append(numbers.setdefault(command.event_id, len(numbers) + 1))
                words += command.words()
            key_names = self._keys_of(reign, list(numbers))
            reply: Any = await self._call(verb, reign, key_names, [reign.epoch, *numbers, *words])
            # `book` replies with a line for each order, the others with an array.
            replies = reply.split(b"\n") if isinstance(reply, bytes) else reply
            if not is_witnessed:
                return replies
            landed, replies = batches.land(self.number, reign.epoch, verb, batch, replies)
            if landed is not None and self._redo is not None:
                self._redo.keep(landed)
            return replies

        return send

    def _keys_of(self, reign: Reign, event_ids: Sequence[str]) -> list[str]:
        """Return the keys of a batch: the shard's, then those of each event."""
        names = [
            keys.meta(self.number), keys.journal(self.number, reign.epoch), keys.due(self.number),
        ]  # fmt: skip
        for event_id in event_ids:
            names += keys.event(self.number, event_id)
        return names

    async def _send_availability(self, batch: Sequence[str]) -> list[Any]:
        reign = self.door.reign()
        distinct = {event_id: n for n, event_id in enumerate(dict.fromkeys(batch))}
        stocks = [keys.event(self.number, event_id).stock for event_id in distinct]
        replies = await self._call(
            "availability", reign, [keys.meta(self.number), *stocks], [reign.epoch]
        )
        return [replies[distinct[event_id]] for event_id in batch]

    async def _call(
        self, name: str, reign: Reign, key_names: Sequence[str], args: Sequence[Any]
    ) -> list[Any]:
        """Run one script once; translate what Redis says into what it means for the caller."""
        try:
            reply: list[Any] = await self._wire.call(
                "EVALSHA", reign.script_shas[name], len(key_names), *key_names, *args
            )
        except redis_errors.RedisError as error:
            raise self._meaning(reign, error) from error
        except OSError as error:
            raise OutcomeUnknown from error
        return reply

    def _meaning(self, reign: Reign, error: redis_errors.RedisError) -> EngineError:
        text = str(error)
        if isinstance(error, redis_errors.OutOfMemoryError):
            return Overloaded("Redis is out of memory; nothing was changed.")
        if isinstance(error, _NOT_THIS_REIGN) or text.startswith("FENCED"):
            self.door.shut(reign, f"{type(error).__name__}: {text}")
            return ShardRecovering()
        if text.startswith(("MISCONF", "NOREPLICAS")):
            return ShardUnavailable(f"Redis refuses writes: {text}")
        if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError):
            return OutcomeUnknown()
        if text.startswith("BADARG"):
            return BadCommand(text)
        return EngineError(f"script failed: {text}")
