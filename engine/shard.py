"""
One shard in one process: its home, a door, and a coalescer for each verb that travels in batches.

Carries calls to their script once, and names what Redis's error, or its silence, means. It
remembers the last record it has seen acknowledged and tells it with every call: a Redis that has
fewer has lost some, and its scripts refuse (the fence's fifth lock; F5, F10, F12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from engine import keys, reads
from engine.calls import Call, call_of
from engine.coalescer import Coalescer
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
from engine.homes import Published
from engine.porter import OtherServer, ServerRefused
from engine.reads import Words
from engine.redo import RedoBuffer
from engine.tasks import end
from engine.verbs import VERBS, WRITE_PROBE, Command, Outcome, Verb
from engine.wire import Wire

MakeRedo = Callable[[int], RedoBuffer]
MakeCall = Callable[[Verb[Any, Any], int, int, Sequence[Any]], Call]

#: Commands that are worth another call while one is under way (docs/decisions/0014).
FURTHER_COMMANDS_MIN = 24
#: Answers in a row that may fail to come before the door is shut until one comes again (F42).
SILENCES_MAX = 3

_NOT_THIS_REIGN = (
    redis_errors.NoScriptError,
    redis_errors.ReadOnlyError,
    redis_errors.BusyLoadingError,
    redis_errors.MasterDownError,
    redis_errors.NoPermissionError,
    # Of a cluster: the shard's slot is elsewhere, on its way, or nowhere.
    redis_errors.MovedError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
)
NOT_SENT = "Redis cannot be reached; nothing was sent."
NOT_READ = "Redis did not answer what was asked; nothing was changed."


class Home(NamedTuple):
    """One server, as a process reaches it."""

    #: For plain reads.
    client: Redis
    #: Carries the scripts' calls.
    wire: Wire


class Shard:
    """Sends commands to the scripts of one shard."""

    def __init__(
        self,
        number: int,
        homes: Mapping[str, Home],
        read_reign: ReadReign,
        *,
        report_seen: ReportSeen | None = None,
        commands_max: int,
        in_flight_max: int,
        waiting_max: int,
        make_redo: MakeRedo | None = None,
        make_call: MakeCall = call_of,
    ) -> None:
        """
        Args:
            number: Number of the shard.

            homes: All servers by name; the reign says on which of them the shard lives.

            read_reign: Returns the shard's published reign, or None while it is not open.

            report_seen: Told, when fenced, what was seen acknowledged.

            commands_max, in_flight_max, waiting_max: See `Coalescer`; each verb has its own.

            make_redo: Makes the buffer that keeps what was acknowledged; None to keep nothing.

            make_call: Makes the call of some commands of a verb, as `call_of`.
        """
        self.number = number
        self._homes = homes
        self._redo = redo = None if make_redo is None else make_redo(number)
        #: Whether it takes only events that are put there by hand.
        self.is_reserved = False
        self._make_call = make_call
        self.door = Door(
            number,
            read_reign if redo is None else _after_its_witness(redo, read_reign),
            report_seen=report_seen,
            on_shut=None if redo is None else redo.shut,
            why_not=self._why_not,
        )
        if redo is not None:
            redo.on_over = self._hear_over
        #: The last record seen acknowledged, and in which epoch.
        self._seen_epoch, self._seen_seq = 0, 0
        self._silences = 0
        #: The question whether Redis takes writes, while it is under way.
        self._hearing: asyncio.Task[bool] | None = None
        limits = {
            "commands_max": commands_max,
            "in_flight_max": in_flight_max,
            "further_min": FURTHER_COMMANDS_MIN,
            "waiting_max": waiting_max,
        }
        self._batched: dict[str, Coalescer[Any, Any]] = {
            verb.name: Coalescer(partial(self._send, verb), **limits)
            for verb in VERBS.values()
            if verb.form != "alone"
        }

    @property
    def wire(self) -> Wire:
        """
        The connection that carries the scripts' calls.

        Raises:
            ShardRecovering: the door is shut, and nobody knows where the shard will live.
        """
        return self._homes[self.door.reign().home].wire

    async def ask(self, *commands: Words) -> list[Any]:
        """
        Read beside the scripts, in one round trip, from the server that was opened.

        What is found is there. What is not may be lost with all else: ask `ask_surely` then.

        Raises:
            ShardRecovering: the door is shut, or this shows that it must be.
            ShardUnavailable: no answer came; nothing was changed.
        """
        return await self._ask(self.door.reign(), commands)

    async def ask_surely(self, *commands: Words) -> list[Any]:
        """
        Read as `ask` does, and behind it that Redis is in the reign: what it lacks is nowhere.

        A reign is over once and for all, so what is so behind the answers was so before them.
        """
        return (await self._ask_surely(self.door.reign(), commands))[0]

    async def last(self) -> tuple[int, int]:
        """Return epoch and seq of the last record, in one plain read; raises as `ask` does."""
        reign = self.door.reign()
        return reign.epoch, (await self._ask_surely(reign, ()))[1]

    async def persisted(self) -> int:
        """Return up to which record its persister has noted that PostgreSQL has it; as `ask`."""
        [[seq]] = await self.ask(("HMGET", keys.meta(self.number), "persisted_seq"))
        return int(seq or 0)

    async def _ask(self, reign: Reign, commands: Sequence[Words]) -> list[Any]:
        try:
            return await reads.ask(self._homes[reign.home].client, *commands, reign=reign)
        except redis_errors.TimeoutError as error:
            raise ShardUnavailable(NOT_READ) from error
        except redis_errors.RedisError as error:
            raise self._meaning(reign, error, was_sent=False) from error
        except OSError as error:
            raise ShardUnavailable(NOT_READ) from error

    async def _ask_surely(self, reign: Reign, commands: Sequence[Words]) -> tuple[list[Any], int]:
        """Return the replies, and the seq of the last record; both of *reign*, or neither."""
        # As it was when this was sent: what others see acknowledged meanwhile may be behind it.
        seen_seq = self.seen_in(reign)
        door = ("HMGET", keys.meta(self.number), "epoch", "state", "seq")
        *replies, (epoch, state, seq) = await self._ask(reign, [*commands, door])
        is_in_reign = (epoch, state) == (str(reign.epoch).encode(), b"open")
        if is_in_reign and int(seq or 0) >= seen_seq:
            return replies, int(seq or 0)
        reason = f"Redis has epoch {epoch!r}, state {state!r}, seq {seq!r}"
        self.door.shut(reign, reason, seen_seq=seen_seq, has_lost=is_in_reign)
        raise ShardRecovering

    def heed(self, row: Published, asked_at: float) -> None:
        """Hear what PostgreSQL says of the shard; *asked_at* by the loop's clock."""
        self.is_reserved = row.is_reserved
        seen_seq = self.seen_in(self.door.reign()) if self.door.is_open else 0
        self.door.heed(
            epoch=row.epoch,
            is_open=row.is_open,
            home=row.home,
            asked_at=asked_at,
            seen_seq=seen_seq,
        )

    def submit(self, verb: Verb[Command, Outcome], command: Command) -> Awaitable[Outcome]:
        """Send *command*, alone or in its verb's next batch; await the result for its outcome."""
        batched = self._batched.get(verb.name)
        return self._alone(verb, command) if batched is None else batched.submit(command)

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await asyncio.gather(*(coalescer.drain() for coalescer in self._batched.values()))

    async def close(self) -> None:
        """Stop what runs beside the commands."""
        await self.door.close()
        await end(self._hearing)
        if self._redo is not None:
            await self._redo.close()

    async def _send(self, verb: Verb[Any, Any], commands: Sequence[Any]) -> Sequence[Any]:
        """Carry one batch; return an outcome for each command."""
        reign = self.door.reign()
        return await self._run(reign, self._make_call(verb, self.number, reign.epoch, commands))

    async def _alone(self, verb: Verb[Command, Outcome], command: Command) -> Outcome:
        [outcome] = await self._send(verb, [command])
        if isinstance(outcome, Exception):
            raise outcome
        result: Outcome = outcome
        return result

    def look_at(self, server: str, facts: Facts) -> OtherServer | None:
        """
        Shut the door if a new connection leads to another server than the one that was opened.

        Args:
            server: Name of the server that was asked for.

            facts: What was found behind the connection.

        Returns:
            Why the connection must not be used, or None.
        """
        if not self.door.is_open:
            return None
        reign = self.door.reign()
        if reign.home != server or reign.is_of(facts.run_id, facts.replid):
            return None
        reason = f"Redis is run {facts.run_id}, history {facts.replid}, not what was opened"
        self.door.shut(reign, reason, seen_seq=self.seen_in(reign))
        return OtherServer(reason)

    async def _run(self, reign: Reign, call: Call) -> Sequence[Any]:
        """Run a call's script once; translate what Redis says into what it means for callers."""
        wire, was_sent = self._homes[reign.home].wire, False
        try:
            await wire.open()
            was_sent = True
            reply = await wire.call(
                "EVALSHA",
                reign.script_shas[call.verb.name],
                len(call.keys),
                *call.keys,
                f"{reign.epoch}:{self.seen_in(reign)}",
                *call.words,
            )
        except redis_errors.RedisError as error:
            raise self._meaning(reign, error, was_sent=was_sent) from error
        except OSError as error:
            raise (OutcomeUnknown() if was_sent else ShardUnavailable(NOT_SENT)) from error
        self._silences = 0
        outcomes, last_seq, batch = call.read(reply)
        if last_seq and (self._seen_epoch != reign.epoch or last_seq > self._seen_seq):
            self._seen_epoch, self._seen_seq = reign.epoch, last_seq
        if batch is not None and self._redo is not None:
            self._redo.keep(batch, version=reign.records_version)
        return outcomes

    def seen_in(self, reign: Reign) -> int:
        """Return the last record that this process has seen acknowledged in *reign*; 0 if none."""
        return self._seen_seq if self._seen_epoch == reign.epoch else 0

    def _why_not(self, reign: Reign) -> str:
        """
        Say why this process cannot act under a reign: it knows no server of that name.

        What is open still to an earlier server is closed: it would refuse, and shut the door again.
        """
        home = self._homes.get(reign.home)
        if home is None:
            return f"EVENTLY_REDIS_URL names no {reign.home}"
        home.wire.leave(reign.is_of)
        return ""

    def _hear_over(self, epoch: int) -> None:
        """Shut the door on *epoch*: the redo buffer has learned that it is over."""
        if self.door.is_open and (reign := self.door.reign()).epoch == epoch:
            reason = "PostgreSQL says that the reign is over"
            self.door.shut(reign, reason, seen_seq=self.seen_in(reign))

    def _meaning(
        self, reign: Reign, error: redis_errors.RedisError, *, was_sent: bool
    ) -> EngineError:
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
            return OutcomeUnknown() if was_sent else ShardUnavailable(NOT_SENT)
        if isinstance(error, redis_errors.ConnectionError):
            return OutcomeUnknown() if was_sent else ShardUnavailable(NOT_SENT)
        if text.startswith("BADARG"):
            return BadCommand(text)
        return EngineError(f"Redis refused: {text}")

    async def is_heard(self) -> bool:
        """
        Tell whether Redis takes writes in the reign that the door is open under.

        One that only answers may be a replica by now. Cost: one small write, which all share who
        ask meanwhile.
        """
        if not self.door.is_open:
            return False
        if self._hearing is None or self._hearing.done():
            hearing = self._gets_through(self.door.reign())
            self._hearing = asyncio.get_running_loop().create_task(hearing)
        return await asyncio.shield(self._hearing)

    async def _gets_through(self, reign: Reign) -> bool:
        """Tell whether Redis takes writes, by one that means nothing."""
        try:
            await self._run(reign, call_of(WRITE_PROBE, self.number, reign.epoch))
        except Overloaded:
            return True  # It would, if it had the memory; what gives places back passes.
        except EngineError:
            return False
        return True


def _after_its_witness(redo: RedoBuffer, read_reign: ReadReign) -> ReadReign:
    """
    Have a door wait until what was told under earlier reigns is handed to recovery.

    A worker that stood still may alone know that places are taken, and would sell them again (F70).
    """

    async def read(shard: int) -> Reign | None:
        # Looked at before as well: `read_reign` heeds what is written by then.
        before = redo.oldest_epoch
        reign = await read_reign(shard)
        if reign is None:
            return None
        kept = [epoch for epoch in (before, redo.oldest_epoch) if epoch is not None]
        return None if kept and min(kept) < reign.epoch else reign

    return read


def _stems_from(error: BaseException, kind: type[Exception]) -> bool:
    """Tell whether *error* is of *kind*; at unix sockets redis-py hides it in another one."""
    return isinstance(error, kind) or isinstance(error.__cause__, kind)
