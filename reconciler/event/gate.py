"""
The reconciler's part for tickets, cut bookings, and what organizers change while they sell.

A booking's value in Redis keeps each cut with its place in the journal, so what it was at the
watermark is known exactly (`at_watermark`). A ticket's value keeps its last change alone: one that
changed after the watermark is not judged, and the next check sees it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.ids import ticket_id
from engine.records import (
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Published,
    SaleChange,
    TicketChange,
    Transferred,
)
from engine.values import Ticket, split_cuts
from store.audit import TierRow

_STATUS: Mapping[type, str] = {
    CheckedIn: "checked_in",
    CheckInUndone: "undone",
    Transferred: "valid",
}


def ticket_of(epoch: int, seq: int, record: TicketChange) -> Ticket:
    """Return a ticket as *record* leaves it."""
    return Ticket(
        _STATUS[type(record)],
        record.ticket_version,
        record.holder_id,
        record.at_ms,
        record.gate,
        record.by,
        epoch,
        seq,
    )


def wanted_tickets(booking_id: str, cuts: str | None, items: str) -> dict[str, int]:
    """Return the tickets that a booking was made with: id -> tier_no."""
    wanted: dict[str, int] = {}
    for line in (split_cuts(cuts)[0] if cuts else items).split(","):
        tier_no, quantity, _ = line.split(":")
        for _ in range(int(quantity)):
            wanted[ticket_id(booking_id, len(wanted) + 1)] = int(tier_no)
    return wanted


def fold_sale(published: Published | None, record: SaleChange) -> Published | None:
    """Return what is published after *record*, as if it had been published so."""
    if published is None:
        return None
    if isinstance(record, CapacitySet):
        capacities = {tier.tier_no: tier.capacity for tier in record.tiers}
        tiers = [
            msgspec.structs.replace(tier, capacity=capacities.get(tier.tier_no, tier.capacity))
            for tier in published.tiers
        ]
        return msgspec.structs.replace(published, tiers=tiers)
    return msgspec.structs.replace(published, closes_at_ms=record.closes_at_ms)


def fold_tiers(tiers: list[TierRow], record: SaleChange) -> list[TierRow]:
    """Return the tiers' rows as they will be when *record* is persisted."""
    if not isinstance(record, CapacitySet):
        return tiers
    capacities = {tier.tier_no: tier.capacity for tier in record.tiers}
    return [row._replace(capacity=capacities.get(row.tier_no, row.capacity)) for row in tiers]
