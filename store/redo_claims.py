"""
What redo records say of holds and of those who wait, one record after the other.

Part of `store.redo_judge`. Of holds nothing but the journal tells. They give way to acknowledged
bookings: whether one finds its places is asked when Redis is loaded (`reconciler.recover.rebuild`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg
import msgspec

from engine.ids import entry_of_offer
from engine.records import (
    CHECK_CHARS,
    Confirmed,
    Expired,
    Extended,
    Held,
    Joined,
    Left,
    Record,
    Released,
    decode,
)
from store import audit, rebuild
from store.redo_sales import TierKey
from store.sql import moment, query
from store.waitlist import OFFER_PREFIX

OfHold = Held | Extended | Released | Expired | Confirmed
#: How their records begin, behind the check, and those of who leaves a list.
_HEADS = tuple(
    f'{{"kind":"{kind}"'
    for kind in ("held", "extended", "released", "expired", "confirmed", "left")
)


@dataclass(slots=True)
class Waits:
    """A waitlist entry as the records so far leave it."""

    user_id: str
    fingerprint: str
    tier_no: int
    status: str
    #: When it was made, and by which record, if the ledger has it.
    made_at: dt.datetime | None = None
    place: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Claims:
    """Holds, and entries of waitlists."""

    #: Of each hold whether it is live.
    _holds: dict[str, bool] = field(default_factory=dict)
    _entries: dict[str, Waits] = field(default_factory=dict)
    #: Who has a live entry, and for which tier of which event.
    _waiting: set[tuple[str, int, str]] = field(default_factory=set)
    _join_nos: set[tuple[str, int, str]] = field(default_factory=set)
    _last_join_nos: dict[TierKey, str] = field(default_factory=dict)
    #: Entries of which only the end is known: who tells later that they began is not heard.
    _over: set[str] = field(default_factory=set)

    async def read(
        self,
        connection: asyncpg.Connection,
        shard: int,
        records: Sequence[Record],
        *,
        hold_life_max_ms: int,
    ) -> None:
        """Read what the records are about."""
        holds = [record for record in records if isinstance(record, OfHold)]
        ids = {record.entry_id for record in records if isinstance(record, Joined | Left)}
        ids |= {entry_of_offer(one.hold_id) for one in holds if _is_offer(one)}
        if ids:
            await self._read_entries(connection, records, sorted(ids))
        unknown = [
            one
            for one in records
            if isinstance(one, Joined | Left) and one.entry_id not in self._entries
        ]
        # Of a hold that was confirmed the booking tells.
        if unknown or not all(isinstance(record, Confirmed) for record in holds):
            at_ms = min(record.at_ms for record in (*holds, *unknown)) - hold_life_max_ms
            wanted = {one.hold_id for one in holds} | {one.entry_id for one in unknown}
            await self._read_journal(connection, shard, wanted, at_ms)

    async def _read_entries(
        self, connection: asyncpg.Connection, records: Sequence[Record], ids: Sequence[str]
    ) -> None:
        joined = [record for record in records if isinstance(record, Joined)]
        events = sorted({record.event_id for record in records})
        for row in await connection.fetch(
            query("redo_entries"),
            events,
            ids,
            sorted({record.user_id for record in joined}),
            sorted({record.join_no for record in joined}),
        ):
            tier = row["event_id"], row["tier_no"]
            entry = Waits(
                *(row["user_id"], row["fingerprint"], row["tier_no"], row["status"]),
                made_at=row["joined_at"],
                place=(row["epoch"], row["seq"]),
            )
            self._entries[row["id"]] = entry
            self._join_nos.add((*tier, row["join_no"]))
            if entry.status in {"waiting", "offered"}:
                self._waiting.add((*tier, entry.user_id))
        for row in await connection.fetch(query("redo_last_joins"), events):
            self._last_join_nos[row["event_id"], row["tier_no"]] = row["join_no"]

    async def _read_journal(
        self, connection: asyncpg.Connection, shard: int, ids: set[str], since_ms: int
    ) -> None:
        """Follow what the journal has of some holds, and which of some entries are over."""
        async with audit.begin(connection):
            async for batch in rebuild.journal_since(connection, shard, moment(since_ms)):
                for line in batch.records.split("\n"):
                    if not line.startswith(_HEADS, CHECK_CHARS):
                        continue
                    record = decode(line.encode())
                    if isinstance(record, Left):
                        self._over |= {record.entry_id} & ids
                        continue
                    assert isinstance(record, OfHold)
                    if record.hold_id in ids or (
                        _is_offer(record) and entry_of_offer(record.hold_id) in ids
                    ):
                        self.lead(record)

    def lead(self, record: OfHold) -> None:
        """Lead a hold, and the entry that it was offered to, to where a record leaves them."""
        was_live = self._holds.get(record.hold_id, False)
        self._holds[record.hold_id] = isinstance(record, Held) or (
            isinstance(record, Extended) and was_live
        )
        if not _is_offer(record) or isinstance(record, Held | Extended):
            return
        entry_id = entry_of_offer(record.hold_id)
        entry = self._entries.get(entry_id)
        if entry is None:
            self._over.add(entry_id)
        else:
            entry.status = "accepted" if isinstance(record, Confirmed) else "declined"
            self._waiting.discard((record.event_id, entry.tier_no, entry.user_id))

    def knows_hold(self, record: Held) -> bool:
        """Tell whether the journal has this hold, whatever became of it."""
        return record.hold_id in self._holds

    def is_over(self, record: Released | Expired) -> bool:
        """Tell whether a hold is known to have ended; of one that nobody knows its end is new."""
        if _is_offer(record):
            return self._has_ended(entry_of_offer(record.hold_id), {"offered"})
        return not self._holds.get(record.hold_id, True)

    def claim(self, record: OfHold) -> str:
        """Take what became of a hold, or say why not."""
        if isinstance(record, Extended) and not self._holds.get(record.hold_id, False):
            return "there is no such hold"
        self.lead(record)
        return ""

    def knows_joining(self, record: Joined) -> bool:
        """Tell whether the ledger has this entry, or has seen it end."""
        entry = self._entries.get(record.entry_id)
        if entry is None:
            return record.entry_id in self._over
        return entry.fingerprint == record.fingerprint

    def has_left(self, record: Left) -> bool:
        """Tell whether an entry is known to be over; of one that nobody knows its end is new."""
        return self._has_ended(record.entry_id, {"waiting", "offered"})

    def entry(self, entry_id: str) -> Waits | None:
        """Return an entry as the records so far leave it."""
        return self._entries.get(entry_id)

    def join(self, record: Joined) -> str:
        """Take a joining, or say why not."""
        tier = record.event_id, record.tier_no
        if record.entry_id in self._entries:
            return "the key has another entry"
        if (*tier, record.user_id) in self._waiting:
            return "its person waits for that tier already"
        if (*tier, record.join_no) in self._join_nos:
            return "somebody else has its place in the list"
        entry = Waits(record.user_id, record.fingerprint, record.tier_no, "waiting")
        self._entries[record.entry_id] = entry
        self._waiting.add((*tier, record.user_id))
        self._join_nos.add((*tier, record.join_no))
        self._last_join_nos[tier] = max(self._last_join_nos.get(tier, ""), record.join_no)
        return ""

    def leave(self, record: Left) -> str:
        """Take a leaving, or say why not."""
        entry = self._entries.get(record.entry_id)
        if entry is None:
            self._over.add(record.entry_id)
            return ""
        if entry.status == "offered":
            return "the entry has an offer"
        entry.status = "left"
        self._waiting.discard((record.event_id, record.tier_no, record.user_id))
        return ""

    def with_place(self, record: Joined) -> Joined:
        """Return a joining with a place of its own in the list: the last, if another has its."""
        tier = record.event_id, record.tier_no
        if (*tier, record.join_no) not in self._join_nos:
            return record
        last = max(self._last_join_nos.get(tier, ""), record.join_no)
        return msgspec.structs.replace(record, join_no=f"{int(last) + 1:012}")

    def _has_ended(self, entry_id: str, lives: set[str]) -> bool:
        """Tell whether an entry is none of *lives* any more."""
        entry = self._entries.get(entry_id)
        return entry_id in self._over if entry is None else entry.status not in lives


def _is_offer(record: OfHold) -> bool:
    return record.hold_id.startswith(OFFER_PREFIX)
