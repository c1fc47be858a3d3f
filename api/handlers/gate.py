"""Tickets: the key that verifies them, check-in and its undoing, and giving them away."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.handlers.bookings import find_booking
from api.http import PERSONAL, PRINCIPAL, answer, read_body
from api.moments import moment_of
from api.orders import find_event
from api.problems import invalid, not_found, refusal
from api.schemas import Gate, Scanned, TicketKey, TicketKeys, TicketList, Transfer, Transferred
from api.services import SERVICES
from api.ticket_codes import InvalidCode, TicketCode
from api.tickets import NO_GATE, gate_of, show
from engine.commands import Scan
from engine.commands import Transfer as TransferCommand
from engine.outcomes import Applied, Refused
from store import tickets, users

_GATE = msgspec.json.Decoder(Gate)
_TRANSFER = msgspec.json.Decoder(Transfer)
TICKETS_MAX = 200
TICKET_NUMBER_MAX = 10
_PUBLIC = {"Cache-Control": "public, max-age=300"}


async def keys(request: web.Request) -> web.StreamResponse:
    """Return the keys that verify ticket codes, also without a network."""
    codes = request.app[SERVICES].ticket_codes
    body = TicketKeys(data=[TicketKey(key_id=codes.key_id, public_key=codes.public_key)])
    return answer(body, headers=_PUBLIC)


async def check_in(request: web.Request) -> web.StreamResponse:
    """
    Let the bearer of a ticket in, once.

    A second scan is refused and says when and where the first was; so does a repetition of a
    request whose answer was lost.
    """
    code, shard, scan = await _scan(request)
    outcome = await request.app[SERVICES].engine.checkin(shard, scan)
    return await _scanned(request, code, scan, outcome, "checked_in")


async def undo(request: web.Request) -> web.StreamResponse:
    """Take a check-in back, so that the ticket passes again. May be repeated."""
    code, shard, scan = await _scan(request)
    outcome = await request.app[SERVICES].engine.undo_checkin(shard, scan)
    return await _scanned(request, code, scan, outcome, "valid")


async def transfer(request: web.Request) -> web.StreamResponse:
    """
    Give a ticket to another person, who must have an account.

    From then on only the new holder sees its code; the old one no longer passes. Whoever booked
    it may still cancel the booking, and the place still counts against their limit.
    """
    services = request.app[SERVICES]
    body = await read_body(request, _TRANSFER)
    booking_id, number = _parse_ticket(request.match_info["ticket_id"])
    row = await find_booking(services, booking_id)
    user_id = request[PRINCIPAL].user_id
    if (body.email is None) == (body.user_id is None):
        raise invalid("", "must have either email or user_id")
    if body.email is not None:
        receiver = await users.by_email(services.pool, body.email)
    else:
        receiver = await users.by_id(services.pool, body.user_id or "")
    # A stranger does not learn from the error who has an account.
    held = (await tickets.of_bookings(services.pool, [(row.event_id, row.id)])).get(row.id, [])
    own = {ticket.number: ticket for ticket in held}.get(number)
    if own is None or user_id not in {own.owner_id, own.holder_id}:
        raise not_found()
    pointer = "/email" if body.email is not None else "/user_id"
    if receiver is None:
        raise invalid(pointer, "has no account")
    if receiver.id == user_id:
        raise invalid(pointer, "is yourself")
    command = TransferCommand(row.event_id, row.id, number, user_id, receiver.id)
    outcome = await services.engine.transfer(row.shard, command)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    await services.watermark.reach(
        shard=row.shard,
        epoch=outcome.epoch,
        seq=outcome.seq,
        timeout_ms=services.catch_up_timeout_ms,
    )
    made = Transferred(id=request.match_info["ticket_id"], transferred_at=moment_of(outcome.at_ms))
    return answer(made, headers=PERSONAL | _replayed(outcome))


async def listing(request: web.Request) -> web.StreamResponse:
    """List the tickets that others gave to the caller, the latest first."""
    services = request.app[SERVICES]
    found = await tickets.given_to(services.pool, request[PRINCIPAL].user_id, limit=TICKETS_MAX)
    data = [await show(services, ticket, request[PRINCIPAL].user_id) for ticket in found]
    return answer(TicketList(data=data), headers=PERSONAL)


async def _scan(request: web.Request) -> tuple[TicketCode, int, Scan]:
    """Return the ticket of the path if the caller may scan it; else 404 (S8)."""
    services, principal = request.app[SERVICES], request[PRINCIPAL]
    body = await read_body(request, _GATE) if await request.read() else Gate()
    try:
        code = services.ticket_codes.read(request.match_info["code"])
    except InvalidCode as error:
        raise not_found() from error
    known = await find_event(services, code.event_id)
    if principal.role != "admin" and principal.organizer_id != known.organizer_id:
        raise not_found()
    scan = Scan(
        code.event_id,
        code.booking_id,
        code.number,
        code.version,
        body.gate or NO_GATE,
        principal.user_id,
    )
    return code, known.shard, scan


async def _scanned(
    request: web.Request, code: TicketCode, scan: Scan, outcome: Applied | Refused, status: str
) -> web.StreamResponse:
    if isinstance(outcome, Refused):
        if "gate" in outcome.fields:
            outcome.fields["gate"] = gate_of(str(outcome.fields["gate"])) or ""
        raise refusal(outcome)
    known = await find_event(request.app[SERVICES], code.event_id)
    body = Scanned(
        id=code.ticket_id,
        event_id=code.event_id,
        booking_id=code.booking_id,
        tier_id=known.tier_ids.get(code.tier_no, ""),
        status=status,  # type: ignore[arg-type]  # One of the two.
        at=moment_of(outcome.at_ms),
        gate=gate_of(scan.gate),
    )
    return answer(body, headers=PERSONAL | _replayed(outcome))


def _parse_ticket(ticket: str) -> tuple[str, int]:
    """Return booking and number of a ticket's id; 404 if it is none."""
    prefix, _, rest = ticket.partition("_")
    own, _, number = rest.rpartition("_")
    if prefix != "tkt" or number not in map(str, range(1, TICKET_NUMBER_MAX + 1)):
        raise not_found()
    return f"bk_{own}", int(number)


def _replayed(outcome: Applied) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if outcome.is_replay else {}
