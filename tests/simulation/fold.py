"""What the journal of one event adds up to, for comparison with the model (I7 to I9)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.ids import entry_of_offer, ticket_id
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Confirmed,
    Expired,
    Held,
    ItemCancelled,
    Joined,
    Left,
    Offered,
    Published,
    Record,
    Released,
    ScanRefused,
    Transferred,
    Unblocked,
)
from engine.values import parse_scans
from tests.simulation import model


class Fold:
    """Counters, seats, entries and tickets of one event, from its records alone."""

    def __init__(self) -> None:
        self.capacity: dict[int, int] = {}
        self.held: Counter[int] = Counter()
        self.sold: Counter[int] = Counter()
        self.seats: Counter[str] = Counter()
        self.entries: dict[str, str] = {}
        #: Who waits for which tier, with their places.
        self.list: dict[str, tuple[int, str]] = {}
        self.tickets: dict[str, tuple[int, str, list[tuple[str, str]]]] = {}
        #: Tickets that bookings have given back while keeping others.
        self.gone: set[str] = set()

    def follow(self, record: Record) -> None:
        """Take one record."""
        match record:
            case Published() | CapacitySet() | Amended():
                self.capacity |= {tier.tier_no: tier.capacity for tier in record.tiers}
            case Booked():
                self._move(record.items, self.sold, 1)
            case Cancelled() | ItemCancelled():
                self._move(record.items, self.sold, -1)
                for number in getattr(record, "tickets", ()):
                    self.gone.add(ticket_id(record.booking_id, number))
            case Held():
                self._move(record.items, self.held, 1)
            case Released() | Expired():
                self._move(record.items, self.held, -1)
                self._end(record.hold_id, "expired" if isinstance(record, Expired) else "declined")
            case Confirmed():
                if not record.was_expired:
                    self._move(record.items, self.held, -1)
                self._move(record.items, self.sold, 1)
                self._end(record.hold_id, "accepted")
            case Blocked() | Unblocked():
                for group in record.seats:
                    self._count(group.seat_ids, 1 if isinstance(record, Blocked) else -1)
            case Joined():
                self.entries[record.entry_id] = "waiting"
                self.list[record.entry_id] = (record.tier_no, record.join_no)
            case Offered():
                own = (record.items[0].tier_no, record.join_no)
                before = [k for k, its in self.list.items() if its[0] == own[0] and its < own]
                passed = sorted(before, key=self.list.__getitem__)
                assert [k for k in passed if k not in record.limited] == record.passed
                assert [k for k in passed if k in record.limited] == record.limited
                self._move(record.items, self.held, 1)
                self._leave(record.entry_id, "offered")
            case Left():
                self._leave(record.entry_id, "left" if record.why == "owner" else record.why)
            case CheckedIn() | CheckInUndone() | ScanRefused() | Transferred():
                scans = [(scan.scan_id, scan.what) for scan in parse_scans(record.scans)]
                self.tickets[record.ticket_id] = (record.ticket_version, record.holder_id, scans)

    def check(self, event: model.Event) -> None:
        """Compare with the model."""
        assert self.capacity == {n: tier.capacity for n, tier in event.tiers.items()}
        for n in event.tiers:
            assert (event.held(n), event.sold(n)) == (self.held[n], self.sold[n])
        taken = {seat for row in event.rows for seat in row} - event.free()
        assert taken == set(+self.seats)
        assert {key: entry.status for key, entry in event.entries.items()} == self.entries
        assert self.tickets == {
            ticket_id(*key): (one.version, one.holder, list(one.scans))
            for key, one in event.tickets.items()
        }
        bookings = event.bookings.items()
        gone = [ticket_id(k, n) for k, own in bookings for n in own.tickets if n not in own.own]
        assert set(gone) == self.gone

    def _move(self, items: list[Any], counter: Counter[int], sign: int) -> None:
        for item in items:
            counter[item.tier_no] += sign * item.quantity
            self._count(item.seat_ids, sign)

    def _count(self, seats: tuple[str, ...], sign: int) -> None:
        for seat in seats:
            self.seats[seat] += sign
            assert self.seats[seat] in (0, 1)

    def _end(self, own_id: str, status: str) -> None:
        if own_id.startswith("offer_"):
            assert self.entries[entry_of_offer(own_id)] == "offered"
            self.entries[entry_of_offer(own_id)] = status

    def _leave(self, entry_id: str, status: str) -> None:
        assert self.list.pop(entry_id)
        self.entries[entry_id] = status
