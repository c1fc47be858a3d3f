"""Tickets as their owner, or whoever has them now, may see them."""

from __future__ import annotations

import datetime as dt

from store import tickets
from usecases import told
from usecases.denials import as_value
from usecases.services import Services
from usecases.ticket_codes import TicketCode
from usecases.tokens import Principal

#: What stands for no gate in Redis and PostgreSQL.
NO_GATE = "-"


@as_value
async def given(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Page[told.Ticket]:
    """Return a page of the tickets that others gave to a person, the latest changed first."""
    up_to_date = await services.catch_up()
    own_id = person.user_id
    found = await tickets.given_to(services.pool, own_id, before=before, limit=limit + 1)
    page = found[:limit]
    last = None
    if len(found) > limit and page[-1].changed_at is not None:
        last = (page[-1].changed_at, page[-1].id)
    shown = [
        await view_of(services, ticket, own_id) for ticket in page if ticket.holder_id == own_id
    ]
    return told.Page(shown, last, up_to_date)


async def view_of(services: Services, ticket: tickets.Ticket, user_id: str) -> told.Ticket:
    """Return a ticket as *user_id* may see it: only its holder sees the code."""
    known = await services.catalog.need(ticket.event_id)
    status = "valid" if ticket.status == "undone" else ticket.status
    code = None
    if status != "cancelled" and ticket.holder_id == user_id:
        code = services.ticket_codes.issue(
            TicketCode(
                ticket.event_id, ticket.booking_id, ticket.number, ticket.tier_no, ticket.version
            )
        )
    is_in = status == "checked_in"
    return told.Ticket(
        id=ticket.id,
        event_id=ticket.event_id,
        booking_id=ticket.booking_id,
        tier_id=known.tier_ids[ticket.tier_no],
        status=status,  # type: ignore[arg-type]  # One of the three.
        code=code,
        is_transferred=ticket.holder_id != ticket.owner_id,
        checked_in_at=ticket.changed_at if is_in else None,
        gate=gate_of(ticket.gate) if is_in else None,
    )


def gate_of(text: str | None) -> str | None:
    """Return the gate as it is shown."""
    return None if text == NO_GATE else text
