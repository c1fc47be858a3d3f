"""
A model of a master and its replica: what was written arrives later, or not at all.

Replication is in order. The master counts what the replica has confirmed, which is what `WAIT`
tells, and takes no writes while no replica follows it (`min-replicas-to-write`); of a replica that
was cut off it learns only after a while. Which of the two is the master is said from outside.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import Context

from tests.determinism.loop import VirtualLoop
from tests.determinism.redis_server import RedisServer, State

#: How long what is written, or confirmed, is under way, in virtual seconds.
TRIP_S = 0.004
#: How long a replica takes that has to be given everything anew.
RESYNC_S = 0.2
#: How long a master takes a replica that was cut off for a good one (`min-replicas-max-lag`).
LAG_S = 3.0


class Pair:
    """Two servers of one name, one of which follows the other."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, *servers: RedisServer) -> None:
        self._loop, self._rng = loop, rng
        self.master, self.replica = servers
        self.replica.role = "slave"
        for server in servers:
            server.pair = self
        self._is_linked = True
        #: Which link it is: what was sent on an earlier one does not arrive.
        self._life = 0
        #: Who takes a replica that it does not reach for a good one, and until when.
        self._deceived, self._deceived_until_s = self.master, 0.0
        self._offset = self._confirmed = 0
        self._arrives_s = 0.0
        self._waiting: list[tuple[int, Callable[[int], None]]] = []

    @property
    def is_whole(self) -> bool:
        """Whether both are up and one follows the other."""
        return (
            self._is_linked
            and self.master.is_up
            and self.replica.is_up
            and self.replica.role == "slave"
        )

    def is_followed(self, server: RedisServer) -> bool:
        """Tell whether a master may take writes."""
        if server is self.master and self._is_linked:
            return self.replica.is_up
        return server is self._deceived and self._loop.time() < self._deceived_until_s

    def wrote(self, server: RedisServer, state: State) -> None:
        """Send what the master has written."""
        if server is not self.master:
            return
        self._offset += 1
        if self._is_linked:
            life, offset = self._life, self._offset
            self._arrives_s = max(self._arrives_s, self._loop.time() + self._trip_s())
            self._at(self._arrives_s, self._arrive, life, offset, state)

    def wait(self, server: RedisServer, timeout_s: float, reply: Callable[[int], None]) -> None:
        """Reply how many replicas have all that was written until now, once one has, or in time."""
        if server is not self.master:
            self._at(self._loop.time() + timeout_s, reply, 0)
            return
        if self._confirmed >= self._offset:
            reply(1)
            return
        waits = (self._offset, reply)
        self._waiting.append(waits)
        self._at(self._loop.time() + timeout_s, self._give_up, waits)

    # Faults.

    def cut(self, *, is_noticed: bool) -> None:
        """End the link; the master hears of it at once, or only by the silence."""
        if self._is_linked and not is_noticed:
            self._deceived, self._deceived_until_s = self.master, self._loop.time() + LAG_S
        self._is_linked = False
        self._life += 1

    def mend(self) -> None:
        """Let the replica follow again; it is given everything anew."""
        self._life += 1
        self._at(self._loop.time() + RESYNC_S * self._rng.random(), self._resync, self._life)

    def promote(self) -> None:
        """Let the replica take over; the old master goes on as if nothing were."""
        self.cut(is_noticed=True)
        self._waiting.clear()
        self.master, self.replica = self.replica, self.master
        self.master.take_over()
        self._offset = self._confirmed = 0

    def demote(self, server: RedisServer) -> None:
        """Tell an old master that it is a replica now: what it alone had is gone."""
        if server is not self.replica:
            return
        self.replica.role = "slave"
        self.replica.replid = self.master.replid
        self.mend()

    def heal(self) -> None:
        """Let one follow the other, whatever has been."""
        if not self.is_whole:
            self.demote(self.replica)

    def _resync(self, life: int) -> None:
        if life != self._life:
            return
        if not (self.master.is_up and self.replica.is_up and self.replica.role == "slave"):
            self.mend()
            return
        self.replica.take(self.master.state.copy())
        self._is_linked = True
        self._arrives_s = self._loop.time()
        self._confirm(life, self._offset)

    def _arrive(self, life: int, offset: int, state: State) -> None:
        if life != self._life or not self.replica.is_up:
            return
        self.replica.take(state)
        self._at(self._loop.time() + self._trip_s(), self._confirm, life, offset)

    def _confirm(self, life: int, offset: int) -> None:
        if life != self._life or not self.master.is_up:
            return
        self._confirmed = max(self._confirmed, offset)
        done = [one for one in self._waiting if one[0] <= self._confirmed]
        self._waiting = [one for one in self._waiting if one[0] > self._confirmed]
        for _, reply in done:
            reply(1)

    def _give_up(self, waits: tuple[int, Callable[[int], None]]) -> None:
        if waits in self._waiting:
            self._waiting.remove(waits)
            waits[1](0)

    def _trip_s(self) -> float:
        return TRIP_S * self._rng.random()

    def _at(self, moment_s: float, work: Callable[..., None], *words: object) -> None:
        self._loop.call_at(moment_s, work, *words, context=Context())
