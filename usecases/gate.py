"""What becomes of tickets: check-in and its undoing, and giving them away."""

from __future__ import annotations

from typing import Literal

from engine import commands
from engine.ids import is_id
from engine.outcomes import Refused
from store import tickets, users
from usecases import bookings, told
from usecases.asked import Transfer
from usecases.denials import Done, as_value, granted, invalid, not_found
from usecases.moments import moment_of
from usecases.services import Services
from usecases.text import email_forms
from usecases.ticket_codes import InvalidCode
from usecases.tickets import NO_GATE, gate_of
from usecases.tokens import Principal

TICKET_NUMBER_MAX = 10


@as_value
async def scan(
    services: Services,
    person: Principal,
    ticket_code: str,
    gate: str | None,
    wanted: Literal["checked_in", "valid"],
) -> Done[told.Scanned]:
    """
    Let the bearer of a ticket in, once; or take that back, so that the ticket passes again.

    Only the event's organizer and its staff may; to others there is no such ticket (S8).
    """
    try:
        code = services.ticket_codes.read(ticket_code)
    except InvalidCode as error:
        raise not_found() from error
    known = await services.catalog.need(code.event_id)
    if person.role != "admin" and person.organizer_id != known.organizer_id:
        raise not_found()
    command = commands.Scan(
        code.event_id, code.booking_id, code.number, code.version, gate or NO_GATE, person.user_id
    )
    engine = services.engine
    verb = engine.checkin if wanted == "checked_in" else engine.undo_checkin
    outcome = await verb(known.shard, command)
    if isinstance(outcome, Refused) and "gate" in outcome.fields:
        outcome.fields["gate"] = gate_of(str(outcome.fields["gate"])) or ""
    done = granted(outcome)
    view = told.Scanned(
        id=code.ticket_id,
        event_id=code.event_id,
        booking_id=code.booking_id,
        tier_id=known.tier_ids.get(code.tier_no, ""),
        status=wanted,
        at=moment_of(done.at_ms),
        gate=gate,
    )
    return Done(view, done.is_replay)


@as_value
async def transfer(
    services: Services, person: Principal, ticket_id: str, asked: Transfer
) -> Done[told.Transferred]:
    """
    Give a ticket to another person, who must have an account.

    From then on only the new holder sees its code; the old one no longer passes. Whoever booked
    it may still cancel the booking, and the place still counts against their limit.
    """
    booking_id, number = _parse_ticket(ticket_id)
    row = await bookings.find(services, booking_id)
    if (asked.email is None) == (asked.user_id is None):
        raise invalid("", "must have either email or user_id")
    if asked.email is not None:
        receiver = await users.by_email(services.pools.sign_in, email_forms(asked.email))
    else:
        named = asked.user_id or ""
        is_named = is_id("usr", named)
        receiver = await users.by_id(services.pools.sign_in, named) if is_named else None
    # A stranger does not learn from the error who has an account.
    found = await tickets.of_bookings(services.pools.own, [(row.event_id, row.id)])
    held = found.get(row.id, [])
    own = {ticket.number: ticket for ticket in held}.get(number)
    if own is None or person.user_id not in {own.owner_id, own.holder_id}:
        raise not_found()
    pointer = "/email" if asked.email is not None else "/user_id"
    if receiver is None:
        raise invalid(pointer, "has no account")
    if receiver.id == person.user_id:
        raise invalid(pointer, "is yourself")
    command = commands.Transfer(row.event_id, row.id, number, person.user_id, receiver.id)
    outcome = granted(await services.engine.transfer(row.shard, command))
    await services.settle(row.shard, outcome)
    view = told.Transferred(id=ticket_id, transferred_at=moment_of(outcome.at_ms))
    return Done(view, outcome.is_replay)


def _parse_ticket(ticket: str) -> tuple[str, int]:
    """Return booking and number of a ticket's id; deny what is none."""
    prefix, _, rest = ticket.partition("_")
    own, _, number = rest.rpartition("_")
    if prefix != "tkt" or number not in map(str, range(1, TICKET_NUMBER_MAX + 1)):
        raise not_found()
    return f"bk_{own}", int(number)
