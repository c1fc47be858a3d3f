"""
The reconciler's part for tickets, cut bookings, and what organizers change while they sell.

A booking's value in Redis keeps each cut with its place in the journal, so what it was at the
watermark is known exactly (`at_watermark`). A ticket's value keeps its last change alone: one that
changed after the watermark is not judged, and the next check sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
from store.audit import TierRow

_STATUS: Mapping[type, str] = {
    CheckedIn: "checked_in",
    CheckInUndone: "undone",
    Transferred: "valid",
}
_TICKET_WORDS = 8


class Ticket(NamedTuple):
    """A ticket that was ever changed, as its last change left it."""

    status: str
    version: int
    holder_id: str
    at_ms: int
    gate: str
    by: str
    epoch: int
    seq: int


class Cut(NamedTuple):
    """Places that a booking lost."""

    epoch: int
    seq: int
    at_ms: int
    #: `tier_no:quantity:price_minor,...`
    items: str


def parse_ticket(value: bytes) -> Ticket:
    """
    Read a ticket as the scripts write it (`lua/lib/tickets.lua`).

    Raises:
        ValueError: it has another form.
    """
    words = value.decode().split(" ")
    if len(words) != _TICKET_WORDS or words[0] not in _STATUS.values():
        raise ValueError(f"not a ticket: {value[:200]!r}")
    return Ticket(
        words[0],
        int(words[1]),
        words[2],
        int(words[3]),
        words[4],
        words[5],
        int(words[6]),
        int(words[7]),
    )


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


def split_cuts(cuts: str) -> tuple[str, list[Cut]]:
    """
    Read `first/cut/cut...` (`lua/lib/bookings.lua`): the first items, and the cuts in order.

    Raises:
        ValueError: it has another form.
    """
    first, *rest = cuts.replace("x", ":").split("/")
    found = []
    for text in rest:
        epoch, seq, at_ms, items = text.split("-")
        found.append(Cut(int(epoch), int(seq), int(at_ms), items))
    return first, found


def join_cuts(first: str, cuts: Sequence[Cut]) -> str | None:
    """Write what `split_cuts` reads; None if there is no cut."""
    if not cuts:
        return None
    parts = [first, *(f"{cut.epoch}-{cut.seq}-{cut.at_ms}-{cut.items}" for cut in cuts)]
    return "/".join(parts).replace(":", "x")


def items_left(first: str, cuts: Sequence[Cut]) -> str:
    """Return the items that are left of *first* after *cuts*."""
    gone: dict[str, int] = {}
    for cut in cuts:
        for line in cut.items.split(","):
            tier_no, quantity, _ = line.split(":")
            gone[tier_no] = gone.get(tier_no, 0) + int(quantity)
    left = []
    for line in first.split(","):
        tier_no, quantity, price = line.split(":")
        if int(quantity) > gone.get(tier_no, 0):
            left.append(f"{tier_no}:{int(quantity) - gone.get(tier_no, 0)}:{price}")
    return ",".join(left)


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
