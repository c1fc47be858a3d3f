"""
Giving tickets away: to an account, at once; or to an address, where the ticket waits until whoever
has proved the address takes it.

An address answers alike whether anybody has it, then and later: until it is taken, the ticket stays
its giver's, with its code (S7). Nothing is given to who only says that an address is theirs.
"""

from __future__ import annotations

import datetime as dt

from engine import commands
from engine.ids import is_id, ticket_id
from engine.status import Status
from store import events, gifts, tickets, users
from usecases import bookings, text, told
from usecases.asked import Transfer
from usecases.denials import Denied, Done, Why, as_value, granted, invalid, not_found
from usecases.moments import moment_of, ms_of
from usecases.services import Services
from usecases.tickets import gate_of, gate_shown, parse_ticket
from usecases.tokens import Principal

#: How long after its event's end a gift may be taken.
AFTER_END = dt.timedelta(days=1)


@as_value
async def transfer(
    services: Services, person: Principal, own_id: str, asked: Transfer
) -> Done[told.Transferred]:
    """
    Give a ticket to an account, or offer it to an address.

    Once it is given, only the new holder sees its code; the old one no longer passes. The event's
    policy says whether who booked it may still cancel it; the place counts against their limit all
    the same.
    """
    if (asked.email is None) == (asked.user_id is None):
        raise invalid("", "must have either email or user_id")
    if asked.email is not None:
        return await _offer(services, person, own_id, text.email("/email", asked.email))
    named = asked.user_id or ""
    is_named = is_id("usr", named)
    receiver = await users.by_id(services.pools.sign_in, named) if is_named else None
    # A stranger does not learn from the error who has an account.
    ticket, shard = await _concerning(services, person, own_id)
    if receiver is None:
        raise invalid("/user_id", "has no account")
    if receiver.id == person.user_id:
        raise invalid("/user_id", "is yourself")
    command = _command(ticket, person.user_id, receiver.id)
    return await _give(services, command, ticket.id, shard)


@as_value
async def give_back(services: Services, person: Principal, own_id: str) -> Done[told.Transferred]:
    """Give a ticket back to who booked it, for whom it then counts as never given away."""
    ticket, shard = await _concerning(services, person, own_id)
    if ticket.owner_id == person.user_id:
        raise invalid("", "the ticket is of your own booking: cancel it there")
    command = _command(ticket, person.user_id, ticket.owner_id)
    return await _give(services, command, ticket.id, shard)


@as_value
async def mine(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Page[told.Gift]:
    """Return a page of the tickets that one offers, or that are offered to one's address."""
    found = await gifts.of_person(
        services.pools.own, person.user_id, before=before, limit=limit + 1
    )
    page = found[:limit]
    last = (page[-1].made_at, page[-1].id) if len(found) > limit else None
    posters = await events.posters(services.pools.events, list({gift.event_id for gift in page}))
    shown = [(gift, posters.get(gift.event_id)) for gift in page]
    return told.Page([_view(gift, poster, person) for gift, poster in shown if poster], last)


@as_value
async def read(services: Services, person: Principal, gift_id: str) -> told.Gift:
    """Return a gift that waits, to who made it and to whom it is for."""
    is_named = is_id("gift", gift_id)
    gift = await gifts.seen_by(services.pools.own, gift_id, person.user_id) if is_named else None
    if gift is None:
        raise not_found()
    poster = (await events.posters(services.pools.events, [gift.event_id]))[gift.event_id]
    return _view(gift, poster, person)


@as_value
async def accept(services: Services, person: Principal, gift_id: str) -> Done[told.Transferred]:
    """
    Take a ticket that waits for an address which the person has proved.

    Idempotency: by state; who repeats it gets the first answer again. The script moves the ticket,
    and only if its giver has it still; a process that dies behind that leaves a gift that is taken
    again in the same way (F73).
    """
    pool = services.pools.own
    is_named = is_id("gift", gift_id)
    gift = await gifts.waiting_for(pool, gift_id, person.user_id) if is_named else None
    if gift is None or gift.giver_id == person.user_id:
        raise not_found()
    shard = (await services.catalog.need(gift.event_id)).shard
    command = commands.Transfer(
        gift.event_id, gift.booking_id, gift.number, gift.giver_id, person.user_id
    )
    done = await _give(services, command, ticket_id(gift.booking_id, gift.number), shard)
    await gifts.note_taken(pool, gift.id, person.user_id)
    return done


@as_value
async def end(services: Services, person: Principal, gift_id: str) -> None:
    """Take back what one has offered, or decline what one is offered."""
    is_named = is_id("gift", gift_id)
    if not is_named or not await gifts.end(services.pools.own, gift_id, person.user_id):
        raise not_found()


async def _offer(
    services: Services, person: Principal, own_id: str, email: str
) -> Done[told.Transferred]:
    """Offer a ticket to an address; all that is looked at is the giver's own."""
    _, shard = await _concerning(services, person, own_id)
    if not await services.catch_up({shard}):
        raise Denied(Why.CATCHING_UP)
    # As it is now: a check-in that was just taken back keeps nobody from giving it.
    ticket, _ = await _concerning(services, person, own_id)
    if ticket.holder_id != person.user_id:
        raise not_found()
    giver = await users.by_id(services.pools.sign_in, person.user_id)
    if giver is not None and not _in_any_case(email).isdisjoint(_in_any_case(giver.email)):
        raise invalid("/email", "is yourself")
    event = await events.by_id(services.pools.events, ticket.event_id)
    if event is None:
        raise not_found()
    _require_givable(ticket, event)
    gift, is_replay = await gifts.offer(
        services.pools.own,
        event_id=ticket.event_id,
        booking_id=ticket.booking_id,
        number=ticket.number,
        giver_id=person.user_id,
        email=email,
        expires_at=max(event.ends_at, dt.datetime.now(dt.UTC)) + AFTER_END,
    )
    poster = events.Poster(event.name, event.starts_at, event.timezone, event.venue)
    view = told.Transferred(id=ticket.id, transferred_at=None, gift=_view(gift, poster, person))
    return Done(view, is_replay)


def _in_any_case(email: str) -> set[str]:
    return {form.lower() for form in text.email_forms(email)}


def _require_givable(ticket: tickets.Ticket, event: events.Event) -> None:
    """Deny at once what the script would refuse when it is taken, as PostgreSQL knows it."""
    if ticket.status == "cancelled":
        raise Denied(Status.TICKET_CANCELLED)
    if event.status == "cancelled":
        raise Denied(Status.EVENT_CANCELLED)
    if event.transfers == "none":
        raise Denied(Status.NO_TRANSFERS)
    if ticket.status == "checked_in" and ticket.changed_at is not None:
        fields: dict[str, int | str] = {
            "checked_in_at_ms": ms_of(ticket.changed_at),
            "gate": gate_of(ticket.gate) or "",
        }
        raise Denied(Status.ALREADY_CHECKED_IN, fields=fields)


def _command(ticket: tickets.Ticket, from_id: str, to_id: str) -> commands.Transfer:
    return commands.Transfer(ticket.event_id, ticket.booking_id, ticket.number, from_id, to_id)


async def _give(
    services: Services, command: commands.Transfer, own_id: str, shard: int
) -> Done[told.Transferred]:
    outcome = granted(gate_shown(await services.engine.transfer(shard, command)))
    await services.settle(shard, outcome)
    view = told.Transferred(id=own_id, transferred_at=moment_of(outcome.at_ms))
    return Done(view, outcome.is_replay)


async def _concerning(
    services: Services, person: Principal, own_id: str
) -> tuple[tickets.Ticket, int]:
    """
    Return a ticket, and the shard of its event; deny it to whom it does not concern (S8).

    It concerns who booked it, who has it, and who gave it away last and may ask again.
    """
    parsed = parse_ticket(own_id)
    if parsed is None:
        raise not_found()
    row = await bookings.find(services, parsed[0])
    held = (await tickets.of_bookings(services.pools.own, [(row.event_id, row.id)])).get(row.id, [])
    ticket = {ticket.number: ticket for ticket in held}.get(parsed[1])
    if ticket is None or person.user_id not in {
        ticket.owner_id,
        ticket.holder_id,
        ticket.changed_by,
    }:
        raise not_found()
    return ticket, row.shard


def _view(gift: gifts.Gift, poster: events.Poster, person: Principal) -> told.Gift:
    is_own = gift.giver_id == person.user_id
    return told.Gift(
        id=gift.id,
        ticket_id=ticket_id(gift.booking_id, gift.number),
        event_id=gift.event_id,
        event_name=poster.name,
        starts_at=poster.starts_at,
        timezone=poster.timezone,
        venue=poster.venue,
        direction="given" if is_own else "offered",
        email=gift.email,
        giver_name=None if is_own else gift.giver_name,
        made_at=gift.made_at,
        expires_at=gift.expires_at,
    )
