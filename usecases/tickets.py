"""Tickets as their owner, or whoever has them now, may see them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TypeVar

from engine.ids import ORDER_PLACES_MAX
from engine.outcomes import Refused
from engine.ticket_codes import TicketCode
from store import tickets
from usecases import faces, told
from usecases.denials import as_value
from usecases.faces import Face
from usecases.services import Services
from usecases.tokens import Principal

#: What stands for no gate in Redis and PostgreSQL.
NO_GATE = "-"

Outcome = TypeVar("Outcome")


@as_value
async def given(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Page[told.Ticket]:
    """
    Return a page of the tickets that others gave to a person, the latest changed first.

    Each tells all that is needed to get in, and nothing else of the booking that it is of.
    """
    up_to_date = await services.catch_up()
    own_id = person.user_id
    found = await tickets.given_to(services.pools.own, own_id, before=before, limit=limit + 1)
    page = found[:limit]
    last = None
    if len(found) > limit and page[-1].changed_at is not None:
        last = (page[-1].changed_at, page[-1].id)
    held = [ticket for ticket in page if ticket.holder_id == own_id]
    return told.Page(await views_of(services, held, own_id), last, up_to_date)


async def views_of(
    services: Services, found: Sequence[tickets.Ticket], user_id: str
) -> list[told.Ticket]:
    """Return tickets as *user_id* may see them: only the holder of one sees its code."""
    shown = await faces.of_tickets(services, found)
    return [
        _view(services, ticket, face, user_id) for ticket, face in zip(found, shown, strict=True)
    ]


def _view(services: Services, ticket: tickets.Ticket, face: Face, user_id: str) -> told.Ticket:
    status = "valid" if ticket.status == "undone" else ticket.status
    code = None
    if status != "cancelled" and ticket.holder_id == user_id:
        code = code_of(services, ticket)
    was_used = ticket.was_used
    return told.Ticket(
        **face._asdict(),
        id=ticket.id,
        event_id=ticket.event_id,
        booking_id=ticket.booking_id,
        status=status,  # type: ignore[arg-type]  # One of the three.
        code=code,
        is_transferred=ticket.holder_id != ticket.owner_id,
        checked_in_at=ticket.changed_at if was_used else None,
        gate=gate_of(ticket.gate) if was_used else None,
    )


def code_of(services: Services, ticket: tickets.Ticket) -> str:
    """Return the code of a ticket, which its holder alone may see."""
    return services.ticket_codes.issue(
        TicketCode(
            ticket.event_id, ticket.booking_id, ticket.number, ticket.tier_no, ticket.version
        )
    )


def gate_of(text: str | None) -> str | None:
    """Return the gate as it is shown."""
    return None if text == NO_GATE else text


def gate_shown(outcome: Outcome) -> Outcome:
    """Return a script's outcome; a refusal that names a gate names it as it is shown."""
    if isinstance(outcome, Refused) and "gate" in outcome.fields:
        outcome.fields["gate"] = gate_of(str(outcome.fields["gate"])) or ""
    return outcome


def parse_ticket(ticket_id: str) -> tuple[str, int] | None:
    """Return booking and number of a ticket's id; None if it is none."""
    prefix, _, rest = ticket_id.partition("_")
    own, _, number = rest.rpartition("_")
    if prefix != "tkt" or number not in map(str, range(1, ORDER_PLACES_MAX + 1)):
        return None
    return f"bk_{own}", int(number)
