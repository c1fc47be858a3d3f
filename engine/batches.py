"""
Batches that have landed: what one script call said about bookings, shared by those it told.

A worker keeps them as its witness until PostgreSQL has them (`engine.redo`), and makes one
signature for all of them (`engine.receipts`). Both look at a batch after its callers were woken,
so landing costs a list and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Told(NamedTuple):
    """A command, and what the reply that did not refuse it says of one record."""

    command: Any
    #: Whether this call made the change; otherwise the reply repeats that of an earlier one.
    is_made: bool
    epoch: int
    seq: int
    #: Redis time of the change, Unix ms.
    at_ms: int
    #: Of a booking, the JSON rows of its items.
    item_rows: str = ""
    #: Of a confirmed hold, its order's.
    fingerprint: str = ""
    #: The record's JSON, where the reply has it; of a hold its deadline, from which that follows.
    record: str = ""


class Batch:
    """What one script call of a witnessed verb said to those it did not refuse."""

    __slots__ = ("epoch", "sealed", "shard", "told")

    def __init__(self, shard: int, epoch: int, told: list[Told]) -> None:
        """
        Args:
            shard: Number of the shard.

            epoch: The epoch that the call was made under; that of a replay may be older.

            told: Commands and what they were told, in the order of the batch.
        """
        self.shard = shard
        self.epoch = epoch
        self.told = told
        #: What whoever signs has made of it; see `engine.receipts`.
        self.sealed: Any = None
