"""
What redo records take of a sale: events, places, seats and bookings, one record after the other.

Part of `store.redo_judge`. Nothing is taken that another has (I1, I3).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.pools import Pool, parse
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    Confirmed,
    EventCancelled,
    Item,
    ItemCancelled,
    Published,
    Record,
    SaleChange,
    Seats,
    Unblocked,
)
from store.sql import columns, query

#: A tier of an event.
TierKey = tuple[str, int]


@dataclass(slots=True)
class BookingSoFar:
    """A booking as the records so far leave it."""

    user_id: str
    fingerprint: str
    is_live: bool
    version: int
    #: Taken by this very merge.
    is_new: bool = False
    #: When it was made, and by which record, if the ledger has it.
    made_at: dt.datetime | None = None
    place: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Sales:
    """Events, their places and their bookings."""

    events: dict[str, str] = field(default_factory=dict)
    bookings: dict[str, BookingSoFar] = field(default_factory=dict)
    #: What each tier has left for bookings: holds give way to acknowledged ones.
    left: dict[TierKey, int] = field(default_factory=dict)
    _capacities: dict[TierKey, int] = field(default_factory=dict)
    _pools: dict[str, list[Pool]] = field(default_factory=dict)
    #: Seats that somebody has, or the organizer.
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _blocked: set[tuple[str, str]] = field(default_factory=set)

    async def read(self, connection: asyncpg.Connection, records: Sequence[Record]) -> None:
        """Read what the records are about."""
        events = sorted({record.event_id for record in records})
        for row in await connection.fetch(query("redo_events"), events):
            self.events[row["id"]] = row["status"]
            self._pools[row["id"]] = parse(row["pools"])
        for row in await connection.fetch(query("redo_capacities"), events):
            tier = row["event_id"], row["tier_no"]
            self._capacities[tier] = row["capacity"]
            self.left[tier] = int(row["left_places"])
        named = {(record.event_id, getattr(record, "booking_id", "")) for record in records}
        for row in await connection.fetch(query("redo_bookings"), *columns(sorted(named), 2)):
            self.bookings[row["id"]] = BookingSoFar(
                row["user_id"],
                row["fingerprint"],
                row["status"] == "confirmed",
                row["version"],
                made_at=row["created_at"],
                place=(row["epoch"], row["seq"]),
            )
        seats = {(record.event_id, seat) for record in records for seat in _seats(record)}
        for row in await connection.fetch(query("redo_seats"), *columns(sorted(seats), 2)):
            found = self._blocked if row["is_blocked"] else self._taken
            found.add((row["event_id"], row["seat_id"]))

    def knows_booking(self, record: Booked | Confirmed) -> bool:
        """Tell whether the ledger has this booking, perhaps made anew."""
        booking = self.bookings.get(record.booking_id)
        return (
            booking is not None
            and not booking.is_new
            and (booking.user_id, booking.fingerprint) == (record.user_id, record.fingerprint)
        )

    def knows_end(self, record: Cancelled | ItemCancelled) -> bool:
        """Tell whether the ledger has this cancellation, or a later one."""
        booking = self.bookings.get(record.booking_id)
        if booking is None:
            return False
        if isinstance(record, ItemCancelled):
            return booking.version >= record.booking_version
        return not booking.is_live

    def knows_shift(self, record: Blocked | Unblocked) -> bool:
        """Tell whether the seats are as a record leaves them."""
        blocked = {(record.event_id, seat) in self._blocked for seat in _seats(record)}
        return blocked == {isinstance(record, Blocked)}

    def publish(self, record: Published) -> str:
        """Take the publishing of a draft, or say why not."""
        status = self.events.get(record.event_id)
        if status != "draft":
            return "there is no such event" if status is None else "the event was published before"
        self.events[record.event_id] = "published"
        for tier in record.tiers:
            place = record.event_id, tier.tier_no
            self._capacities[place] = self.left[place] = tier.capacity
        self._pools[record.event_id] = parse(record.rules.pools)
        return ""

    def book(self, record: Booked | Confirmed) -> str:
        """Take a booking, or say why not."""
        if record.booking_id in self.bookings:
            return "the key has another booking"
        for item in record.items:
            tier = (record.event_id, item.tier_no)
            if tier not in self.left:
                return f"tier {item.tier_no} of the event is not on sale"
            if self.left[tier] < item.quantity:
                return f"tier {item.tier_no} has {self.left[tier]} places left"
            if taken := self._owned(record.event_id, item.seat_ids):
                return f"somebody else has {', '.join(taken)}"
        taken_now = self._taken_of(record.event_id)
        taken_now.update({item.tier_no: item.quantity for item in record.items})
        for pool in self._pools.get(record.event_id, ()):
            wanted = sum(item.quantity for item in record.items if item.tier_no in pool.tier_nos)
            if wanted and (over := pool.left(taken_now)) < 0:
                return f"the tiers share {pool.capacity} places, and {wanted + over} are left"
        self._move(record.event_id, record.items, -1)
        self.bookings[record.booking_id] = BookingSoFar(
            record.user_id, record.fingerprint, True, 1, is_new=True
        )
        return ""

    def end(self, record: Cancelled | ItemCancelled) -> str:
        """Take a cancellation, or say why not."""
        booking = self.bookings.get(record.booking_id)
        if booking is None:
            return "there is no such booking"
        if isinstance(record, Cancelled):
            booking.is_live = False
        elif not booking.is_live or booking.version + 1 != record.booking_version:
            return f"the booking is not at version {record.booking_version - 1}"
        booking.version += 1
        self._move(record.event_id, record.items, 1)
        return ""

    def shift(self, record: Blocked | Unblocked) -> str:
        """Take seats out of the sale or put them back, or say why not."""
        event_id, seats, sign = record.event_id, _seats(record), 1
        tiers = [(event_id, group.tier_no) for group in record.seats]
        if any(tier not in self.left for tier in tiers):
            return "a tier of the seats is not on sale"
        named = {(event_id, seat) for seat in seats}
        if isinstance(record, Unblocked):
            if not named <= self._blocked:
                return "not all of the seats are blocked"
            self._blocked -= named
        else:
            if taken := self._owned(event_id, seats):
                return f"somebody else has {', '.join(taken)}"
            self._blocked |= named
            sign = -1
        for tier, group in zip(tiers, record.seats, strict=True):
            self.left[tier] += sign * len(group.seat_ids)
        return ""

    def change(self, record: SaleChange) -> str:
        """Take what an organizer changed of a sale, or say why not."""
        if self.events[record.event_id] == "cancelled":
            return "the event was cancelled"
        if isinstance(record, EventCancelled):
            self.events[record.event_id] = "cancelled"
        if not isinstance(record, CapacitySet | Amended):
            return ""
        if isinstance(record, Amended):
            for name in record.names:
                self.left.setdefault((record.event_id, name.tier_no), 0)
                self._capacities.setdefault((record.event_id, name.tier_no), 0)
        wanted = {(record.event_id, tier.tier_no): tier.capacity for tier in record.tiers}
        for tier, capacity in wanted.items():
            if tier not in self.left:
                return f"tier {tier[1]} of the event is not on sale"
            taken = self._capacities[tier] - self.left[tier]
            if capacity < taken:
                return f"tier {tier[1]} has {taken} places taken"
        pools = parse(record.pools) or self._pools.get(record.event_id, [])
        for pool in pools:
            if (left := pool.left(self._taken_of(record.event_id))) < 0:
                return f"{pool.capacity - left} of the places that tiers share are taken"
        self._pools[record.event_id] = pools
        for tier, capacity in wanted.items():
            self.left[tier] += capacity - self._capacities[tier]
            self._capacities[tier] = capacity
        return ""

    def _taken_of(self, event_id: str) -> Counter[int]:
        """Return what is taken of each tier of an event that shares places."""
        tiers = [no for pool in self._pools.get(event_id, ()) for no in pool.tier_nos]
        return Counter(
            {no: self._capacities[event_id, no] - self.left[event_id, no] for no in tiers}
        )

    def _owned(self, event_id: str, seats: Iterable[str]) -> list[str]:
        """Return those of some seats that are somebody's."""
        return [
            seat
            for seat in seats
            if (event_id, seat) in self._taken or (event_id, seat) in self._blocked
        ]

    def _move(self, event_id: str, items: Iterable[Item], sign: int) -> None:
        for item in items:
            tier = (event_id, item.tier_no)
            self.left[tier] = self.left.get(tier, 0) + sign * item.quantity
            change = self._taken.update if sign < 0 else self._taken.difference_update
            change((event_id, seat) for seat in item.seat_ids)


def _seats(record: Record) -> list[str]:
    """Return the seats that a record takes, or shifts."""
    groups: Sequence[Item | Seats] = ()
    if isinstance(record, Booked | Confirmed):
        groups = record.items
    elif isinstance(record, Blocked | Unblocked):
        groups = record.seats
    return [seat for group in groups for seat in group.seat_ids]
