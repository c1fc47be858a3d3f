"""
What the ledger writer does with records of tickets, cut bookings, and an organizer's changes.

Part of `store.ledger`'s transaction; never called by anybody else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg

from engine.cuts import tickets_gone
from engine.ids import ticket_id
from engine.records import (
    Amended,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    EventCancelled,
    ItemCancelled,
    Reopened,
    SaleChange,
    ScanRefused,
    TicketChange,
    Transferred,
)
from store import amendments, seats
from store.sql import columns, moment, query

TICKET_STATUS: Mapping[type, str] = {
    CheckedIn: "checked_in",
    CheckInUndone: "undone",
    Transferred: "valid",
}
#: What a record says of the scan that it is of.
SCANS: Mapping[type, str] = {CheckedIn: "in", CheckInUndone: "undone", ScanRefused: "refused"}


@dataclass(slots=True)
class Changes:
    """The records of one batch, the last of each thing."""

    #: booking_id -> its last cut, which tells all that is left.
    cuts: dict[str, ItemCancelled] = field(default_factory=dict)
    #: (event_id, booking_id, tier_no) of every line that lost places.
    cut_lines: set[tuple[str, str, int]] = field(default_factory=set)
    tickets: dict[str, tuple[int, TicketChange]] = field(default_factory=dict)
    #: ticket_id -> its last record, which tells all that it remembers of its scans.
    remembered: dict[str, TicketChange] = field(default_factory=dict)
    scans: list[tuple[int, TicketChange]] = field(default_factory=list)
    #: Every change of a ticket, with its seq.
    of_tickets: list[tuple[int, TicketChange]] = field(default_factory=list)
    sales: list[SaleChange] = field(default_factory=list)

    def add(self, seq: int, record: ItemCancelled | TicketChange | SaleChange) -> None:
        """Take the next record."""
        if isinstance(record, ItemCancelled):
            self.cuts[record.booking_id] = record
            self.cut_lines |= {
                (record.event_id, record.booking_id, item.tier_no) for item in record.items
            }
        elif isinstance(record, TicketChange):
            self.remembered[record.ticket_id] = record
            self.of_tickets.append((seq, record))
            if not isinstance(record, ScanRefused):
                self.tickets[record.ticket_id] = (seq, record)
            if record.scan_id:
                self.scans.append((seq, record))
        else:
            self.sales.append(record)


async def cut_bookings(
    connection: asyncpg.Connection, changes: Changes, booked: Mapping[str, object]
) -> None:
    """Take cut places from bookings of earlier batches; those of this one are written so."""
    cuts = [cut for cut in changes.cuts.values() if cut.booking_id not in booked]
    if not cuts:
        return
    left = {
        (cut.event_id, cut.booking_id, item.tier_no): (item.quantity, "+".join(item.seat_ids))
        for cut in cuts
        for item in cut.left
    }
    lines = sorted(line for line in changes.cut_lines if line[1] not in booked)
    await connection.execute(
        query("cut_bookings"),
        [cut.event_id for cut in cuts],
        [cut.booking_id for cut in cuts],
        [cut.booking_version for cut in cuts],
        [sum(item.quantity * item.unit_price_minor for item in cut.left) for cut in cuts],
        [cut.cuts for cut in cuts],
    )
    kept = [(*line, *left[line]) for line in lines if line in left]
    gone = [line for line in lines if line not in left]
    if kept:
        await connection.execute(query("cut_items"), *columns(kept))
    if gone:
        await connection.execute(query("drop_items"), *columns(gone))
    await seats.give_up(
        connection,
        [
            (cut.event_id, ticket_id(cut.booking_id, number))
            for cut in cuts
            for number in tickets_gone(cut.cuts)
        ],
    )


async def change_tickets(connection: asyncpg.Connection, epoch: int, changes: Changes) -> None:
    """Write what became of tickets, and their scans; after the tickets of this batch are there."""
    rows = [
        (
            record.event_id,
            record.ticket_id,
            TICKET_STATUS[type(record)],
            record.ticket_version,
            record.holder_id,
            _at(record.at_ms),
            record.gate,
            record.by,
            seq,
        )
        for seq, record in changes.tickets.values()
    ]
    if rows:
        await connection.execute(query("change_tickets"), epoch, *columns(rows))
    if not changes.remembered:
        return
    remembered = [
        (record.event_id, record.ticket_id, record.scans or None)
        for record in changes.remembered.values()
    ]
    await connection.execute(query("remember_scans"), *columns(remembered))
    if changes.scans:
        await connection.execute(
            query("insert_scans"), epoch, *columns([_scan(*scan) for scan in changes.scans])
        )


def _scan(seq: int, record: TicketChange) -> tuple[object, ...]:
    return (
        record.event_id,
        seq,
        record.ticket_id,
        record.booking_id,
        record.scan_id,
        SCANS[type(record)],
        record.gate,
        record.by,
        _at(record.scanned_at_ms or None),
        moment(record.at_ms),
    )


async def change_sales(connection: asyncpg.Connection, changes: Changes) -> None:
    """Write what organizers changed; after the events of this batch are published."""
    amended = [record for record in changes.sales if isinstance(record, Amended)]
    if amended:
        await amendments.write(connection, amended)
    capacities: dict[tuple[str, int], int] = {}
    sales: dict[str, tuple[str | None, int | None, int | None]] = {}
    pools: dict[str, str] = {}
    for record in changes.sales:
        status, closes_at_ms, cancelled_at_ms = sales.get(record.event_id, (None, None, None))
        match record:
            case CapacitySet():
                for tier in record.tiers:
                    capacities[record.event_id, tier.tier_no] = tier.capacity
                if record.pools:
                    pools[record.event_id] = record.pools
            case Amended():
                for amended_tier in record.tiers:
                    capacities[record.event_id, amended_tier.tier_no] = amended_tier.capacity
                if record.pools:
                    pools[record.event_id] = record.pools
                if record.closes_at_ms:
                    status, closes_at_ms = "published", record.closes_at_ms
            case Closed():
                status, closes_at_ms = "closed", record.closes_at_ms
            case Reopened():
                status, closes_at_ms = "published", record.closes_at_ms
            case EventCancelled():
                status, closes_at_ms = "cancelled", record.closes_at_ms
                cancelled_at_ms = record.at_ms
        sales[record.event_id] = (status, closes_at_ms, cancelled_at_ms)
    if capacities:
        rows = [(*place, capacity) for place, capacity in capacities.items()]
        await connection.execute(query("set_capacities"), *columns(rows))
    if sales:
        rows_of_events = [
            (event_id, status, _at(closes), _at(cancelled), pools.get(event_id))
            for event_id, (status, closes, cancelled) in sales.items()
        ]
        await connection.execute(query("change_sales"), *columns(rows_of_events))


def _at(at_ms: int | None) -> dt.datetime | None:
    return None if at_ms is None else moment(at_ms)
