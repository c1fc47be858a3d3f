"""
One event as a rebuild puts it into Redis: its sale, seats, holds, waitlist and promo codes.

All values, no server but for `read_waitlist`; the forms are those of the scripts (docs/DATA.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from engine.commands import Promo
from engine.ids import promo_of
from engine.records import Joined, Published
from engine.seats import BLOCKED, FREE, HELD, SOLD, parse_seat_id
from engine.values import WaitEntry, member
from reconciler.event.holds import HoldState, records_of
from store import rebuild
from store.audit import SectionRow
from store.waitlist import EntryRow

#: `join_no` of those who joined without a first place begins here (`lua/join.lua`).
JOIN_NO_BASE = 100_000_000_000
#: A tier that has none of these has no such fields.
TIER_RULES = ("order_min", "person_max", "opens_at_ms", "closes_at_ms")
#: The map's version after a rebuild is above all that clients may have seen: an epoch has fewer
#: changes than this.
VERSIONS_PER_EPOCH = 1_000_000_000


class CannotRebuild(Exception):
    """PostgreSQL does not have what a rebuild needs; the message says what is missing."""


@dataclass(slots=True)
class Sale:
    """What is sold, as the records of its publishing and later changes say."""

    published: Published
    epoch: int
    seq: int
    #: Place and time of its last change.
    changed: tuple[int, int, int] | None = None
    cancelled_at_ms: int | None = None


@dataclass(slots=True)
class EventState:
    """Collects one event and writes it as Redis keeps it."""

    event_id: str
    sale: Sale
    holds: dict[str, HoldState]
    sold: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    blocked: Counter[int] = field(default_factory=Counter)
    promo_uses: Counter[str] = field(default_factory=Counter)
    #: Changed tickets, as Redis keeps them.
    tickets: dict[str, str] = field(default_factory=dict)
    entries: list[EntryRow] = field(default_factory=list)
    #: Live holds whose places were not free any more.
    dropped: list[str] = field(default_factory=list)
    _sections: dict[int, SectionRow] = field(default_factory=dict)
    _letters: dict[int, bytearray] = field(default_factory=dict)
    #: The record of the last joining: how the list is led since.
    rules: Joined | None = None
    #: hold_id -> entry that used its first place.
    firsts: dict[str, str] = field(default_factory=dict)

    @property
    def has_taken(self) -> bool:
        """Tell whether any place is held or sold."""
        return bool(self.sold.total() or self.held.total())

    def seat(
        self, sections: Sequence[SectionRow], blocked: Mapping[str, int], sold: Sequence[str]
    ) -> None:
        """Take the hall: its sections, blocked seats with their tiers, and sold seats."""
        for section in sections:
            self._sections[section.section_no] = section
            rows = (FREE * int(count) for count in section.row_seats.split(","))
            self._letters[section.section_no] = bytearray("/".join(rows).encode())
        self._mark(blocked, BLOCKED)
        self._mark(sold, SOLD)
        self.blocked.update(blocked.values())

    def place_holds(self) -> None:
        """Give live holds their places, the oldest first; drop those that find theirs taken."""
        live = [(hold.epoch, hold.seq, key) for key, hold in self.holds.items() if hold.is_live]
        for _, _, hold_id in sorted(live):
            hold = self.holds[hold_id]
            fits = all(
                item.quantity <= self._available(item.tier_no)
                and all(self._letter(seat) == FREE for seat in item.seat_ids)
                for item in hold.items
            )
            if not fits:
                self.dropped.append(hold_id)
                del self.holds[hold_id]
                continue
            for item in hold.items:
                self.held[item.tier_no] += item.quantity
                self._mark(item.seat_ids, HELD)
            self.promo_uses[promo_of(hold.fingerprint)] += 1

    def held_by_person(self) -> Counter[str]:
        """Return what live holds add to `persons`."""
        limited = {tier.tier_no for tier in self.sale.published.tiers if tier.person_max}
        found: Counter[str] = Counter()
        for hold in self.holds.values():
            if hold.is_live:
                found[hold.user_id] += hold.places
                for item in hold.items:
                    if item.tier_no in limited:
                        found[f"{hold.user_id}/{item.tier_no}"] += item.quantity
        return found

    def stock_fields(self) -> dict[str, Any]:
        """Return `stock`: the sale and its tiers' counters."""
        record, sale = self.sale.published, self.sale
        fields: dict[str, Any] = {
            "fingerprint": record.fingerprint,
            "epoch": sale.epoch,
            "seq": sale.seq,
            "at_ms": record.at_ms,
            "opens_at_ms": record.opens_at_ms,
            "closes_at_ms": record.closes_at_ms,
            "person_max": record.person_max,
            "tier_count": len(record.tiers),
        }
        waiting: Counter[int] = Counter()
        for entry in self.entries:
            waiting[entry.tier_no] += entry.status == "waiting"
        for tier in record.tiers:
            n = tier.tier_no
            fields |= {
                f"{n}.capacity": tier.capacity,
                f"{n}.available": self._available(n),
                f"{n}.held": self.held[n],
                f"{n}.sold": self.sold[n],
                f"{n}.blocked": self.blocked[n],
                f"{n}.price_minor": tier.price_minor,
                f"{n}.order_max": tier.order_max,
            }
            if n in waiting:
                fields[f"{n}.waiting"] = waiting[n]
            sections = [str(s.section_no) for s in record.sections if s.tier_no == n]
            if sections:
                fields[f"{n}.sections"] = ",".join(sections)
            rules = {f"{n}.{name}": getattr(tier, name) for name in TIER_RULES}
            if tier.is_hidden or any(rules.values()):
                fields |= rules
        hidden = [str(tier.tier_no) for tier in record.tiers if tier.is_hidden]
        if hidden:
            fields["hidden"] = f"+{'+'.join(hidden)}+"
        if sale.changed is not None:
            names = ("changed_epoch", "changed_seq", "changed_at_ms")
            fields |= dict(zip(names, sale.changed, strict=True))
        if sale.cancelled_at_ms is not None:
            fields["cancelled_at_ms"] = sale.cancelled_at_ms
        return fields | self._waitlist_fields()

    def seat_fields(self, epoch: int) -> dict[str, Any]:
        """Return `seats`; empty for an event without."""
        if not self._sections:
            return {}
        fields: dict[str, Any] = {
            "version": epoch * VERSIONS_PER_EPOCH,
            "count": len(self.sale.published.sections),
        }
        for number, section in self._sections.items():
            fields[f"{number}.layout"] = f"{section.tier_no} {section.row_seats}"
            fields[f"{number}.kinds"] = section.kinds
            fields[f"{number}.status"] = bytes(self._letters[number])
        return fields

    def entry_fields(self) -> dict[str, str]:
        """Return `entries`: entries, each person's last one by tier, and used first places."""
        fields: dict[str, str] = {}
        for entry in sorted(self.entries, key=lambda entry: (entry.epoch, entry.seq)):
            fields[entry.id] = " ".join(map(str, entry[2:]))
            fields[f"{entry.tier_no}:{entry.user_id}"] = entry.id
        return fields | {f"first:{hold_id}": own_id for hold_id, own_id in self.firsts.items()}

    def waiting_members(self) -> list[str]:
        """Return the members of `waitlist`."""
        return [
            member(entry.id, WaitEntry(*entry[2:]))
            for entry in self.entries
            if entry.status == "waiting"
        ]

    def promo_fields(self) -> dict[str, Any]:
        """Return `promos`: each code's rule and its uses."""
        fields: dict[str, Any] = {}
        for promo in self.sale.published.promos:
            word = Promo(
                promo.code, promo.uses_max, promo.percent, promo.amount_minor, tuple(promo.tier_nos)
            ).word()
            fields[promo.code] = word.partition(":")[2]
            fields[f"{promo.code}.used"] = self.promo_uses[promo.code]
        return fields

    def _available(self, tier_no: int) -> int:
        capacity = self.sale.published.tiers[tier_no - 1].capacity
        return capacity - self.sold[tier_no] - self.held[tier_no] - self.blocked[tier_no]

    def _waitlist_fields(self) -> dict[str, Any]:
        if self.rules is None:
            return {}
        numbers = [int(entry.join_no) for entry in self.entries]
        return {
            "waitlist.policy": self.rules.policy,
            "waitlist.patience_ms": self.rules.patience_ms,
            "waitlist.offer_ttl_ms": self.rules.offer_ttl_ms,
            "waitlist.joined": max(
                (n - JOIN_NO_BASE for n in numbers if n > JOIN_NO_BASE), default=0
            ),
            "waitlist.first": max((n for n in numbers if n < JOIN_NO_BASE), default=0),
        }

    def _mark(self, seat_ids: Any, letter: str) -> None:
        for seat in seat_ids:
            numbers = parse_seat_id(seat)
            if numbers and numbers[0] in self._letters:
                self._letters[numbers[0]][numbers[1] - 1] = ord(letter)

    def _letter(self, seat: str) -> str:
        numbers = parse_seat_id(seat)
        letters = self._letters.get(numbers[0]) if numbers else None
        return "" if letters is None or numbers is None else chr(letters[numbers[1] - 1])


async def read_waitlist(database: asyncpg.Connection, shard: int, state: EventState) -> None:
    """
    Read from the journal what entries' rows do not have: how the list is led, and first places.

    Raises:
        CannotRebuild: the journal has no record of a joining that the rows have.
    """

    async def joined(entry: EntryRow) -> Joined:
        batch = await rebuild.batch_of(database, shard, entry.epoch, entry.seq)
        for seq, record in records_of(batch, ("joined",)) if batch else ():
            if seq == entry.seq and isinstance(record, Joined):
                return record
        raise CannotRebuild(f"the journal has no record of the joining of {entry.id}")

    state.rules = await joined(max(state.entries, key=lambda entry: (entry.epoch, entry.seq)))
    for entry in state.entries:
        if int(entry.join_no) < JOIN_NO_BASE:
            state.firsts[(await joined(entry)).after_hold] = entry.id
