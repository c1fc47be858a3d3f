"""
Batches that have landed: what one script call said about bookings, shared by those it told.

A worker keeps them as its witness until PostgreSQL has them (`engine.redo`), and makes one
signature for all of them (`engine.receipts`). Both look at a batch after its callers were woken,
so landing costs a list and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.commands import Order, Own

#: Verbs whose changes a worker bears witness to.
WITNESSED_VERBS = frozenset({"book", "confirm", "cancel"})

_MADE = frozenset({b"BOOKED", b"CONFIRMED", b"CANCELLED"})
#: Statuses that tell of a booking.
BOOKINGS = frozenset({b"BOOKED", b"CONFIRMED", b"REPLAYED"})


class Told(NamedTuple):
    """A command and the reply to it that did not refuse it, word by word; numbers may be text."""

    command: Order | Own
    words: list[Any]

    @property
    def is_made(self) -> bool:
        """Whether this call made the change; otherwise the reply repeats that of an earlier one."""
        return self.words[0] in _MADE


class Batch:
    """What one script call of `book`, `confirm` or `cancel` said to those it did not refuse."""

    __slots__ = ("epoch", "sealed", "shard", "told")

    def __init__(self, shard: int, epoch: int, told: list[Told]) -> None:
        """
        Args:
            shard: Number of the shard.

            epoch: The epoch that the call was made under; that of a replay may be older.

            told: Commands and replies, in the order of the batch.
        """
        self.shard = shard
        self.epoch = epoch
        self.told = told
        #: What whoever signs has made of it; see `engine.receipts`.
        self.sealed: Any = None


class Landed(NamedTuple):
    """The words of a reply that tells of a booking, and the batch that it came in."""

    words: list[Any]
    batch: Batch


def land(
    shard: int, epoch: int, verb: str, commands: Sequence[Any], replies: Sequence[Any]
) -> tuple[Batch | None, Sequence[Any]]:
    """
    Make the batch of a script call.

    Returns:
        The batch, None if every command was refused; and the replies, those that tell of a booking
        as `Landed`.
    """
    if verb == "cancel":
        pairs = zip(commands, replies, strict=True)
        told = [Told(command, reply) for command, reply in pairs if reply[0] in _MADE]
        return (Batch(shard, epoch, told) if told else None), replies
    batch = Batch(shard, epoch, [])
    told = batch.told
    landed: list[Any] = []
    for command, reply in zip(commands, replies, strict=True):
        words = reply.split(b" ") if isinstance(reply, bytes) else reply
        if words[0] in BOOKINGS:
            told.append(Told(command, words))
            landed.append(Landed(words, batch))
        else:
            landed.append(reply)
    return (batch if told else None), landed
