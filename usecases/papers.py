"""What a holder has in hand: tickets as PDF, their codes as QR, entries for calendars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from engine.errors import Overloaded
from engine.status import Status
from papers.holding import HeldTickets, TicketPlace, entry_of, occasion_of, sheets_of
from papers.press import PressBusy
from papers.values import (
    CalendarEntry,
    CalendarFeed,
    CodeImage,
    Occasion,
    Paper,
    ShareCard,
    TicketSheets,
)
from papers.wallet import AppleSigner, GoogleSigner, WalletTicket
from papers.words import language_of
from store import events, organizers, tickets, users
from store.bookings import Booking
from store.tickets import Ticket
from usecases import faces, links, told
from usecases.bookings import find, own_row
from usecases.denials import Denied, Why, as_value, not_found
from usecases.faces import Face
from usecases.services import Services
from usecases.tickets import code_of, parse_ticket
from usecases.tokens import Principal


class _Own(NamedTuple):
    """Tickets of one booking that a person has, and what papers say of them."""

    booking: Booking
    event: events.Event
    tickets: list[Ticket]
    said: HeldTickets


@as_value
async def sheets_of_booking(
    services: Services, person: Principal, own_id: str, wished: str | None
) -> bytes:
    """
    Return the tickets of a booking of the person's own as PDF, but for those given away.

    Args:
        wished: Tag of the language; None for the account's own.
    """
    return await _drawn(services, _sheets(services, await _live(services, person, own_id, wished)))


@as_value
async def sheet_of_ticket(
    services: Services, person: Principal, ticket_id: str, wished: str | None
) -> bytes:
    """Return a ticket that the person has as PDF."""
    return await _drawn(
        services, _sheets(services, await _good(services, person, ticket_id, wished))
    )


@as_value
async def code_of_booking(services: Services, person: Principal, own_id: str) -> bytes:
    """Return the code of a booking's one ticket as SVG; of several nobody could say whose it is."""
    held = _one(await _live(services, person, own_id, None))
    return await _drawn(services, CodeImage(text=code_of(services, held.tickets[0])))


@as_value
async def code_of_ticket(services: Services, person: Principal, ticket_id: str) -> bytes:
    """Return the code of a ticket that the person has as SVG."""
    held = await _good(services, person, ticket_id, None)
    return await _drawn(services, CodeImage(text=code_of(services, held.tickets[0])))


@as_value
async def entry_of_booking(
    services: Services, person: Principal, own_id: str, wished: str | None
) -> bytes:
    """Return a booking of the person's own for a calendar; a cancelled one takes itself out."""
    row = await own_row(services, person, own_id)
    found = await _tickets(services, row)
    held = await _held(services, person, row, found, wished, of_count=len(found))
    entry = _entry(
        held,
        uid=row.id,
        sequence=row.version + held.event.version,
        is_cancelled=row.status == "cancelled",
    )
    return await _drawn(services, entry)


@as_value
async def entry_of_ticket(
    services: Services, person: Principal, ticket_id: str, wished: str | None
) -> bytes:
    """Return a ticket that the person has for a calendar; a cancelled one takes itself out."""
    held = await _ticket(services, person, ticket_id, wished)
    [ticket] = held.tickets
    entry = _entry(
        held,
        uid=ticket.id,
        sequence=held.booking.version + held.event.version + ticket.version,
        is_cancelled=ticket.status == "cancelled",
    )
    return await _drawn(services, entry)


async def feed(
    services: Services, name: str, listed: Sequence[tuple[told.Event, str, str]]
) -> bytes:
    """
    Return a calendar of events, to be subscribed to.

    Args:
        listed: Events, each with the name of who sells it (or nothing) and its page's address.

    Raises:
        Overloaded: it cannot be drawn now.
    """
    entries = tuple(
        CalendarEntry(
            uid=f"{event.id}@evently",
            sequence=event.version,
            changed_at=event.published_at or event.created_at,
            is_cancelled=event.status == "cancelled",
            occasion=_occasion(event, organizer),
            notes=(*filter(None, (event.summary,)), url),
        )
        for event, organizer, url in listed
    )
    return await _drawn(services, CalendarFeed(name=name, entries=entries))


async def share_card(services: Services, event: told.Event, organizer: str, language: str) -> bytes:
    """
    Return what is shown of an event where its address is shared, as PNG.

    Raises:
        Overloaded: it cannot be drawn now.
    """
    card = ShareCard(occasion=_occasion(event, organizer), language=language)
    return await _drawn(services, card)


def _occasion(event: events.Event | told.Event, organizer: str) -> Occasion:
    return occasion_of(
        name=event.name,
        venue=event.venue,
        address=event.address,
        organizer=organizer,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        doors_at=event.doors_at,
        timezone=event.timezone,
    )


@as_value
async def pass_of_booking(
    services: Services, person: Principal, own_id: str, wished: str | None
) -> bytes:
    """Return a booking's one ticket for Apple's wallet."""
    signer = _apple(services)
    held = _one(await _live(services, person, own_id, wished))
    return signer.signed(_for_wallet(services, held))


@as_value
async def pass_of_ticket(
    services: Services, person: Principal, ticket_id: str, wished: str | None
) -> bytes:
    """Return a ticket that the person has for Apple's wallet."""
    signer = _apple(services)
    held = await _good(services, person, ticket_id, wished)
    return signer.signed(_for_wallet(services, held))


@as_value
async def link_of_booking(
    services: Services, person: Principal, own_id: str, wished: str | None
) -> told.WalletLink:
    """Return where a booking's one ticket is saved in Google's wallet."""
    signer = _google(services)
    held = _one(await _live(services, person, own_id, wished))
    return _saved(signer, _for_wallet(services, held))


@as_value
async def link_of_ticket(
    services: Services, person: Principal, ticket_id: str, wished: str | None
) -> told.WalletLink:
    """Return where a ticket that the person has is saved in Google's wallet."""
    signer = _google(services)
    held = await _good(services, person, ticket_id, wished)
    return _saved(signer, _for_wallet(services, held))


def wallets(services: Services) -> told.Wallets:
    """Tell which wallets tickets can be put into: to show no link that leads nowhere."""
    return told.Wallets(
        apple=_apple_now(services) is not None, google=services.wallets.google is not None
    )


async def _drawn(services: Services, paper: Paper) -> bytes:
    """
    Draw a paper.

    Raises:
        Overloaded: it cannot be drawn now.
    """
    try:
        return await services.press.draw(paper)
    except PressBusy as busy:
        raise Overloaded(str(busy)) from busy


async def _live(services: Services, person: Principal, own_id: str, wished: str | None) -> _Own:
    """Return the live tickets of a booking that its buyer has."""
    row = await own_row(services, person, own_id)
    found = await _tickets(services, row)
    live = [ticket for ticket in found if ticket.status != "cancelled"]
    if not live:
        raise Denied(Status.TICKET_CANCELLED)
    kept = [ticket for ticket in live if ticket.holder_id == person.user_id]
    if not kept:
        raise Denied(Status.TICKET_TRANSFERRED, fields={"ticket_id": live[0].id})
    return await _held(services, person, row, kept, wished, of_count=len(found))


async def _good(services: Services, person: Principal, ticket_id: str, wished: str | None) -> _Own:
    """Return a ticket that the person has, and that is not cancelled."""
    held = await _ticket(services, person, ticket_id, wished)
    if held.tickets[0].status == "cancelled":
        raise Denied(Status.TICKET_CANCELLED)
    return held


async def _ticket(
    services: Services, person: Principal, ticket_id: str, wished: str | None
) -> _Own:
    """Return a ticket if the person has it; else it is not there, whatever it is (S8)."""
    parsed = parse_ticket(ticket_id)
    if parsed is None:
        raise not_found()
    row = await find(services, parsed[0])
    found = await _tickets(services, row)
    mine = [
        ticket for ticket in found if ticket.id == ticket_id and ticket.holder_id == person.user_id
    ]
    if not mine:
        raise not_found()
    return await _held(services, person, row, mine, wished, of_count=len(found))


async def _tickets(services: Services, row: Booking) -> list[Ticket]:
    found = await tickets.of_bookings(services.pools.own, [(row.event_id, row.id)])
    return found.get(row.id, [])


async def _held(
    services: Services,
    person: Principal,
    row: Booking,
    found: list[Ticket],
    wished: str | None,
    *,
    of_count: int,
) -> _Own:
    tag = None if wished is None else links.language("/query/language", wished)
    pool = services.pools.own
    event = await events.by_id(pool, row.event_id)
    assert event is not None, "an event stays while there are bookings of it"
    organizer = await organizers.by_id(pool, event.organizer_id)
    user = await users.by_id(pool, person.user_id) if person.kind == "user" else None
    shown = await faces.of_tickets(services, found)
    said = HeldTickets(
        booking_id=row.id,
        occasion=_occasion(event, organizer.name if organizer else ""),
        places=tuple(
            (ticket.number, _place(face)) for ticket, face in zip(found, shown, strict=True)
        ),
        of_count=of_count,
        holder=user.name if user else "",
        language=language_of(tag, user.language if user else None),
    )
    return _Own(row, event, found, said)


def _place(face: Face) -> TicketPlace:
    if face.seat is None:
        return TicketPlace(face.tier_name)
    return TicketPlace(face.tier_name, face.seat.section, face.seat.row, face.seat.label)


def _sheets(services: Services, held: _Own) -> TicketSheets:
    return sheets_of(held.said, [code_of(services, ticket) for ticket in held.tickets])


def _one(held: _Own) -> _Own:
    """Return what has one ticket; of several nobody could say which is meant."""
    if len(held.tickets) > 1:
        raise Denied(Why.SEVERAL_TICKETS, fields={"tickets": len(held.tickets)})
    return held


def _apple_now(services: Services) -> AppleSigner | None:
    """Return who signs for Apple's wallet; None also once the certificate has ended."""
    signer = services.wallets.apple
    return signer if signer is not None and signer.good_until > dt.datetime.now(dt.UTC) else None


def _apple(services: Services) -> AppleSigner:
    signer = _apple_now(services)
    if signer is None:
        raise Denied(Why.WALLET_OFF)
    return signer


def _google(services: Services) -> GoogleSigner:
    if services.wallets.google is None:
        raise Denied(Why.WALLET_OFF)
    return services.wallets.google


def _saved(signer: GoogleSigner, ticket: WalletTicket) -> told.WalletLink:
    return told.WalletLink(url=signer.link(ticket, dt.datetime.now(dt.UTC)))


def _for_wallet(services: Services, held: _Own) -> WalletTicket:
    [ticket] = held.tickets
    sheets = _sheets(services, held)
    return WalletTicket(
        ticket_id=ticket.id,
        version=ticket.version,
        event_id=held.event.id,
        event_version=held.event.version,
        occasion=sheets.occasion,
        sheet=sheets.sheets[0],
        language=sheets.language,
    )


def _entry(held: _Own, *, uid: str, sequence: int, is_cancelled: bool) -> CalendarEntry:
    live = tuple(
        place
        for ticket, place in zip(held.tickets, held.said.places, strict=True)
        if is_cancelled or ticket.status != "cancelled"
    )
    return entry_of(
        held.said._replace(places=live),
        uid,
        sequence=sequence,
        changed_at=held.booking.cancelled_at or held.booking.created_at,
        is_cancelled=is_cancelled,
    )
