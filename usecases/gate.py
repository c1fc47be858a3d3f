"""What becomes of tickets: check-in and its undoing, and giving them away."""

from __future__ import annotations

from typing import Literal

from engine import commands
from store import tickets, users
from usecases import bookings, told
from usecases.asked import Transfer
from usecases.denials import Done, as_value, granted, invalid, not_found
from usecases.moments import moment_of
from usecases.services import Services
from usecases.ticket_codes import InvalidCode
from usecases.tickets import NO_GATE, gate_shown, parse_ticket
from usecases.tokens import Principal


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
    done = granted(gate_shown(await verb(known.shard, command)))
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

    From then on only the new holder sees its code; the old one no longer passes. The event's
    policy says whether who booked it may still cancel it; the place counts against their limit all
    the same.
    """
    if (asked.email is None) == (asked.user_id is None):
        raise invalid("", "must have either email or user_id")
    if asked.email is not None:
        receiver = await users.by_email(services.pool, asked.email)
    else:
        receiver = await users.by_id(services.pool, asked.user_id or "")
    # A stranger does not learn from the error who has an account.
    ticket, shard = await _concerning(services, person, ticket_id)
    pointer = "/email" if asked.email is not None else "/user_id"
    if receiver is None:
        raise invalid(pointer, "has no account")
    if receiver.id == person.user_id:
        raise invalid(pointer, "is yourself")
    return await _give(services, person, ticket, shard, receiver.id)


@as_value
async def give_back(
    services: Services, person: Principal, ticket_id: str
) -> Done[told.Transferred]:
    """Give a ticket back to who booked it, for whom it then counts as never given away."""
    ticket, shard = await _concerning(services, person, ticket_id)
    if ticket.owner_id == person.user_id:
        raise invalid("", "the ticket is of your own booking: cancel it there")
    return await _give(services, person, ticket, shard, ticket.owner_id)


async def _give(
    services: Services, person: Principal, ticket: tickets.Ticket, shard: int, to_user_id: str
) -> Done[told.Transferred]:
    command = commands.Transfer(
        ticket.event_id, ticket.booking_id, ticket.number, person.user_id, to_user_id
    )
    outcome = granted(gate_shown(await services.engine.transfer(shard, command)))
    await services.settle(shard, outcome)
    view = told.Transferred(id=ticket.id, transferred_at=moment_of(outcome.at_ms))
    return Done(view, outcome.is_replay)


async def _concerning(
    services: Services, person: Principal, ticket_id: str
) -> tuple[tickets.Ticket, int]:
    """
    Return a ticket, and the shard of its event; deny it to whom it does not concern (S8).

    It concerns who booked it, who has it, and who gave it away last and may ask again.
    """
    parsed = parse_ticket(ticket_id)
    if parsed is None:
        raise not_found()
    row = await bookings.find(services, parsed[0])
    held = (await tickets.of_bookings(services.pool, [(row.event_id, row.id)])).get(row.id, [])
    ticket = {ticket.number: ticket for ticket in held}.get(parsed[1])
    if ticket is None or person.user_id not in {
        ticket.owner_id,
        ticket.holder_id,
        ticket.changed_by,
    }:
        raise not_found()
    return ticket, row.shard
