"""
What redo records say of tickets at the gate and in other hands, one record after the other.

Part of `store.redo_judge`. A record has the whole ticket, so one before it may be missing; none is
taken that leads a ticket back, or lets a second person in on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.cuts import tickets_gone
from engine.ids import ticket_id
from engine.records import CheckedIn, ItemCancelled, Record, ScanRefused, TicketChange, Transferred
from store.gate import TICKET_STATUS
from store.redo_sales import BookingSoFar
from store.sql import columns, query


@dataclass(slots=True)
class TicketSoFar:
    """A ticket as the records so far leave it."""

    lives: bool = True
    status: str = "valid"
    version: int = 1
    holder_id: str = ""
    at_ms: int = 0
    scans: str = ""


@dataclass(slots=True)
class Tickets:
    """The tickets that records are about."""

    _tickets: dict[str, TicketSoFar] = field(default_factory=dict)

    async def read(self, connection: asyncpg.Connection, records: Sequence[Record]) -> None:
        """Read what the records are about."""
        named = {
            (record.event_id, record.ticket_id)
            for record in records
            if isinstance(record, TicketChange)
        }
        if not named:
            return
        for row in await connection.fetch(query("redo_tickets"), *columns(sorted(named))):
            gone = tickets_gone(row["cuts"]) if row["cuts"] else ()
            self._tickets[row["id"]] = TicketSoFar(
                int(row["id"].rpartition("_")[2]) not in gone,
                row["status"],
                row["version"],
                row["holder_id"],
                row["at_ms"],
                row["scans"],
            )

    def knows(self, record: TicketChange) -> bool:
        """Tell whether a ticket is as a record leaves it, or remembers the scan that it is of."""
        ticket = self._tickets.get(record.ticket_id, TicketSoFar())
        if record.scan_id:
            return record.scan_id in [scan.partition(":")[0] for scan in ticket.scans.split(",")]
        return (ticket.status, ticket.version, ticket.holder_id, ticket.at_ms) == (
            TICKET_STATUS.get(type(record)),
            record.ticket_version,
            record.holder_id,
            record.at_ms,
        )

    def remembers_alike(self, record: TicketChange) -> bool:
        """Tell whether a ticket remembers the very scans that a record says it does."""
        return record.scans == self._tickets.get(record.ticket_id, TicketSoFar()).scans

    def change(self, record: TicketChange, booking: BookingSoFar | None) -> str:
        """Take what became of a ticket, or say why not."""
        if booking is None:
            return "there is no such booking"
        ticket = self._tickets.setdefault(record.ticket_id, TicketSoFar())
        if not booking.is_live or not ticket.lives:
            return "the ticket was given back"
        before = record.ticket_version - isinstance(record, Transferred)
        if before < ticket.version:
            return f"the ticket is of version {ticket.version}"
        is_in = ticket.status == "checked_in" and before == ticket.version
        if is_in and isinstance(record, CheckedIn | Transferred):
            return "somebody is in on the ticket"
        ticket.scans = record.scans
        if not isinstance(record, ScanRefused):
            ticket.status, ticket.at_ms = TICKET_STATUS[type(record)], record.at_ms
            ticket.version, ticket.holder_id = record.ticket_version, record.holder_id
        return ""

    def give_back(self, record: ItemCancelled) -> None:
        """Hear which tickets went with a part of a booking."""
        for number in tickets_gone(record.cuts):
            self._tickets.setdefault(
                ticket_id(record.booking_id, number), TicketSoFar()
            ).lives = False
