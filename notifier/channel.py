"""
What every channel has: how its deliveries are sent, how many at a time, and for how long it tries.

Mail, push and webhooks each say here what a worker needs to know of them; `worker.py` knows none of
them by name. Each has workers of its own, so that one which stands still holds up no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from store.deliveries import ChannelName, Delivery, NewDelivery, State
from store.sql import InTransaction

#: Beyond the longest attempt, until another worker may take a delivery, in ms.
LEASE_MARGIN_MS = 30_000

#: Returns the deliveries of one more channel that some facts make, from those that mail gets of
#: them; within the transaction that makes them. Facts without a person are for organizers alone.
Fan = Callable[[InTransaction, Sequence[NewDelivery]], Awaitable[Sequence[NewDelivery]]]


class Attempt(NamedTuple):
    """How an attempt ended."""

    state: State
    #: Codes and words of ours; no text of a server, which may name people.
    reason: str = ""
    #: When it is tried again, in ms; of `delayed` alone. An `unknown` one waits for its lease.
    after_ms: int = 0
    #: Nothing is wrong with the delivery: the server cannot now, or the way to it.
    is_trouble: bool = False


class Sender(Protocol):
    """One worker's way out; it makes one attempt at a time."""

    async def attempt(self, delivery: Delivery) -> Attempt:
        """
        Send a delivery, within the channel's `attempt_s_max`; whatever the other end does is told.

        Raises:
            Exception: a fault of ours; the delivery is dead until a human has looked.
        """
        ...

    async def close(self) -> None:
        """Let go what is open."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """How the deliveries of one channel are sent."""

    name: ChannelName
    make: Callable[[], Sender]
    #: Attempts at a time.
    workers: int
    #: How long an attempt may take with all its steps, in seconds.
    attempt_s_max: float
    #: Attempts to one domain at a time.
    domain_max: int
    #: After that a delivery is given up, in ms.
    life_ms: int
    #: When a delivery may be taken by another, in ms; 0: by `attempt_s_max`.
    lease_ms: int = 0

    @property
    def lease_ms_or_default(self) -> int:
        """How long a worker has a delivery for itself, in ms."""
        return self.lease_ms or round(1000 * self.attempt_s_max) + LEASE_MARGIN_MS
