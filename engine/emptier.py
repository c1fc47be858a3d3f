"""
The emptier: gives back all places of cancelled events and ends their waitlists, in steps that a
crash may cut anywhere.

The set `cancelling` names the events that are cancelled and not empty yet; `cancel_event` puts an
event in, and the step that leaves nothing taken, and nobody waiting, takes it out. Nothing else is
remembered: after a crash the bookings are looked through anew, and those that have ended are passed
over.
"""

from __future__ import annotations

import structlog

from engine import keys
from engine.commands import EmptyEvent
from engine.outcomes import Refused
from engine.shard import Shard
from engine.values import unmarked
from engine.verbs import EMPTY_EVENT

log = structlog.get_logger()

#: Events tended per turn; bookings ended per script call; fields that one HSCAN asks for.
EVENTS_MAX = 10
BOOKINGS_MAX = 100
SCAN_COUNT = 500
#: Script calls per event and turn, so that a large event does not keep others waiting.
STEPS_MAX = 20


class Emptier:
    """Empties the cancelled events of one shard; the sweeper calls `turn` again and again."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        #: event_id -> where in its bookings the next turn reads on.
        self._cursors: dict[str, bytes] = {}

    async def turn(self) -> int:
        """
        Take a bounded number of steps; return how much ended.

        Raises:
            EngineError: nothing is lost; the next turn goes on.
        """
        name = keys.cancelling(self._shard.number)
        [found] = await self._shard.ask(("SRANDMEMBER", name, EVENTS_MAX))
        return sum([await self.empty(event_id.decode()) for event_id in found])

    async def empty(self, event_id: str) -> int:
        """
        Take up to `STEPS_MAX` steps with one event; return how much ended.

        Bookings are looked through in full; once that is done, holds and entries alone are left.
        """
        names = keys.event(self._shard.number, event_id)
        cursor: bytes = self._cursors.pop(event_id, b"0")
        ended = steps = 0
        while True:
            before, ended_before = cursor, ended
            scan = ("HSCAN", names.bookings, cursor, "COUNT", SCAN_COUNT)
            [(cursor, flat)] = await self._shard.ask(scan)
            live = [
                own.decode()
                for own, row in zip(flat[::2], flat[1::2], strict=True)
                if unmarked(row).startswith(b"confirmed ")
            ]
            for start in range(0, max(1, len(live)), BOOKINGS_MAX):
                if steps == STEPS_MAX:
                    self._cursors[event_id] = before
                    return ended
                command = EmptyEvent(event_id, live[start : start + BOOKINGS_MAX])
                outcome = await self._shard.submit(EMPTY_EVENT, command)
                steps += 1
                if isinstance(outcome, Refused):
                    return ended
                ended += outcome.ended
                if outcome.left == 0:
                    if ended:
                        log.info(
                            "cancelled event is empty",
                            action="event_emptied",
                            shard=self._shard.number,
                            event_id=event_id,
                        )
                    return ended
            if int(cursor) == 0 and ended == ended_before:
                return ended
