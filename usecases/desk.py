"""What an event's box office sees: its orders, and who waits for places."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec

from engine.cuts import split_cuts
from engine.engine import ALL_TIERS
from engine.ids import is_beyond, is_id, ticket_id
from engine.values import parse_items
from engine.waitlist import reason_to_wait
from store import acts, events, orders, tenants, tickets, users
from usecases import bookings, rights, told
from usecases.asked import Money
from usecases.catalog import Known
from usecases.denials import as_value, granted, invalid, not_found
from usecases.doors import BEGIN
from usecases.moments import moment_of
from usecases.rights import Act
from usecases.services import Services
from usecases.tickets import NO_GATE, gate_of
from usecases.tickets import views_of as ticket_views
from usecases.tokens import Principal

#: Acts on one order that are told.
ACTS_MAX = 200
OrderStatus = Literal["confirmed", "cancelled"]


@as_value
async def listing(
    services: Services,
    person: Principal,
    event_id: str,
    *,
    after_id: str,
    limit: int,
    status: OrderStatus | None = None,
    text: str | None = None,
) -> told.Page[told.EventOrder]:
    """
    Return a page of the orders of an event of the person's own, by id.

    Args:
        text: How a booking's id, the buyer's address, or a word of their name begins.
    """
    known = await own_event(services, person, event_id)
    up_to_date = await services.catch_up({known.shard})
    sees_people = _sees_people(person)
    found = await orders.of_event(
        services.pools.organizers,
        event_id,
        after_id=after_id,
        limit=limit + 1,
        status=status,
        text=text,
        sees_people=sees_people,
    )
    page = found[:limit]
    last = (BEGIN[0], page[-1].booking.id) if len(found) > limit else None
    views = await bookings.views_of(services, [order.booking for order in page])
    async with tenants.rows_of(services.pools.organizers, known.organizer_id) as connection:
        ids = [order.booking.id for order in page]
        notes = await orders.notes_of(connection, event_id, ids, refunds_alone=True)
    data = [
        told.EventOrder(
            user_id=order.booking.user_id,
            booking=view,
            buyer=_buyer(order) if sees_people else None,
            refund=refund_of(known, order, notes),
            is_beyond_limit=is_beyond(order.fingerprint),
        )
        for order, view in zip(page, views, strict=True)
    ]
    return told.Page(data, last, up_to_date)


@as_value
async def read(
    services: Services, person: Principal, event_id: str, own_id: str
) -> told.OrderInFull:
    """Return an order of an event of the person's own, with all that the ledger knows of it."""
    known = await own_event(services, person, event_id)
    up_to_date = await services.catch_up({known.shard})
    order = await own_order(services, event_id, own_id)
    return await in_full(services, person, known, order, up_to_date=up_to_date)


@as_value
async def waiting(
    services: Services, person: Principal, event_id: str, *, after: str, limit: int
) -> told.Page[told.WaitingParty]:
    """
    Return a page of those who wait at an event of the person's own, in order, and why each does.

    The lists are the ledger's, what is free is Redis': between the two a step of a list may lie.
    Whether somebody has a hold that is not decided, Redis alone knows; it is not looked for.
    """
    known = await own_event(services, person, event_id)
    up_to_date = await services.catch_up({known.shard})
    stock = granted(
        await services.engine.availability(known.shard, event_id, promo_code=ALL_TIERS)
    ).stock
    event = await events.by_id(services.pools.organizers, event_id)
    if event is None:
        raise not_found()
    found = await orders.waiting(
        services.pools.organizers, event_id, after=_place(after), limit=limit + 1
    )
    page = found[:limit]
    last = (BEGIN[0], f"{page[-1].tier_no}:{page[-1].join_no}") if len(found) > limit else None
    is_over = event.sale_closes_at <= dt.datetime.now(dt.UTC)
    data = [
        _party(person, known, row, free=int(stock[f"{row.tier_no}.available"]), is_over=is_over)
        for row in page
    ]
    return told.Page(data, last, up_to_date)


def _place(after: str) -> tuple[int, str]:
    """Return after which tier and place of its list a page begins; deny what is no cursor of it."""
    tier_no, _, join_no = after.partition(":")
    if after and not (tier_no.isdecimal() and len(tier_no) < 5):
        raise invalid("/query/after", "is not a cursor of this list")
    return int(tier_no or 0), join_no


async def own_event(services: Services, person: Principal, event_id: str) -> Known:
    """Return the event at whose box office the person works; deny it to others (S8)."""
    known = await services.catalog.need(event_id)
    await rights.require(services.standings, person, Act.DESK, known.organizer_id, event_id)
    return known


async def own_order(services: Services, event_id: str, own_id: str) -> orders.Order:
    """Return an order of an event; one of another is not there."""
    if not is_id("bk", own_id):
        raise not_found()
    # One that is so new that the ledger does not have it is waited for.
    row = await bookings.find(services, own_id)
    found = await orders.one(services.pools.organizers, event_id, row.id)
    if found is None:
        raise not_found()
    return found


async def in_full(
    services: Services,
    person: Principal,
    known: Known,
    order: orders.Order,
    *,
    up_to_date: bool = True,
) -> told.OrderInFull:
    """Return an order with its tickets, notes and history, as the ledger has it."""
    row, pool = order.booking, services.pools.organizers
    [view] = await bookings.views_of(services, [row])
    held = (await tickets.of_bookings(pool, [(row.event_id, row.id)])).get(row.id, [])
    given = [ticket for ticket in held if ticket.holder_id != row.user_id]
    names = await users.names(pool, [ticket.holder_id for ticket in given])
    scans = await orders.scans_of(pool, row.event_id, [ticket.id for ticket in held])
    noted = await acts.page(pool, before_id=acts.ID_MAX, subject=row.id, limit=ACTS_MAX)
    async with tenants.rows_of(pool, known.organizer_id) as connection:
        notes = await orders.notes_of(connection, row.event_id, [row.id])
    sees_people = _sees_people(person)
    return told.OrderInFull(
        user_id=row.user_id,
        # To nobody's eyes: codes are their holders'.
        booking=msgspec.structs.replace(view, tickets=await ticket_views(services, held, "")),
        buyer=_buyer(order) if sees_people else None,
        refund=refund_of(known, order, notes),
        is_beyond_limit=is_beyond(order.fingerprint),
        holders=[
            told.TicketHolder(
                ticket_id=ticket.id,
                user_id=ticket.holder_id,
                holder=_person(ticket.holder_id, *names[ticket.holder_id])
                if sees_people and ticket.holder_id in names
                else None,
            )
            for ticket in given
        ],
        notes=[note_view(known, note) for note in notes if note.text or note.refund],
        history=_history(order, held, scans, noted),
        up_to_date=up_to_date,
    )


def refund_of(known: Known, order: orders.Order, notes: Sequence[orders.Note]) -> told.Refund:
    """
    Return what becomes of the money for what an order gave up.

    Args:
        notes: Of this order and perhaps of others; those that settle money count.
    """
    row = order.booking
    paid_minor = row.total_minor
    if order.cuts:
        first, _ = split_cuts(order.cuts)
        paid_minor = sum(item.quantity * item.unit_price_minor for item in parse_items(first))
    amount_minor = paid_minor - (row.total_minor if row.status == "confirmed" else 0)
    own = [note for note in notes if note.booking_id == row.id and note.refund]
    settled_minor = sum(note.refund_minor or 0 for note in own)
    state = "none"
    if amount_minor > settled_minor:
        state = "due"
    elif amount_minor:
        state = "done" if any(note.refund == "done" for note in own) else "waived"
    return told.Refund(
        state=state,  # type: ignore[arg-type]  # One of the four.
        amount=Money(amount_minor, known.currency),
        settled=Money(settled_minor, known.currency),
    )


def note_view(known: Known, note: orders.Note) -> told.OrderNote:
    """Return a note as it is told."""
    is_money = note.refund_minor is not None
    return told.OrderNote(
        id=note.id,
        written_by=note.written_by,
        written_at=note.written_at,
        text=note.text,
        refund=note.refund,  # type: ignore[arg-type]  # The database checks the same words.
        amount=Money(note.refund_minor or 0, known.currency) if is_money else None,
    )


def _sees_people(person: Principal) -> bool:
    """Tell whether somebody is shown names and addresses: people are, integrations are not."""
    return person.kind == "user"


def _person(own_id: str, email: str, name: str) -> told.Buyer:
    return told.Buyer(id=own_id, name=name, email=email)


def _buyer(order: orders.Order | orders.Waiting) -> told.Buyer | None:
    user_id = order.user_id if isinstance(order, orders.Waiting) else order.booking.user_id
    if order.email is None or order.name is None:
        return None
    return _person(user_id, order.email, order.name)


def _party(
    person: Principal, known: Known, row: orders.Waiting, *, free: int, is_over: bool
) -> told.WaitingParty:
    waits = row.status == "waiting"
    why = None
    if waits:
        why = "sale_over"
        if not is_over:
            why = reason_to_wait(
                free=free,
                quantity=row.quantity,
                is_undecided=row.has_offer,
                is_head=row.position == 1,
                policy=known.waitlist_policy,
            ).value
    return told.WaitingParty(
        id=row.id,
        user_id=row.user_id,
        buyer=_buyer(row) if _sees_people(person) else None,
        tier_id=known.tier_ids[row.tier_no],
        quantity=row.quantity,
        status=row.status,  # type: ignore[arg-type]  # The query asks for these two.
        position=row.position if waits else None,
        ahead_places=row.places - row.quantity if waits else None,
        joined_at=row.joined_at,
        offered_at=row.offered_at,
        why=why,  # type: ignore[arg-type]  # The enum has the same words.
    )


def _history(
    order: orders.Order,
    held: Sequence[tickets.Ticket],
    scans: Sequence[orders.Scan],
    noted: Sequence[acts.ActRow],
) -> list[told.OrderChange]:
    """Return what happened to an order, the oldest first."""
    row = order.booking
    found = [told.OrderChange(at=row.created_at, what="booked", by=row.user_id)]
    for cut in split_cuts(order.cuts)[1] if order.cuts else ():
        gone = [ticket_id(row.id, number) for number in cut.tickets]
        at = moment_of(cut.at_ms)
        found.append(told.OrderChange(at=at, what="places_cancelled", by=None, ticket_ids=gone))
    if row.cancelled_at is not None:
        found.append(told.OrderChange(at=row.cancelled_at, what="cancelled", by=None))
    found += [
        # Of several the last one: the ledger has no other.
        told.OrderChange(
            at=ticket.changed_at, what="ticket_given", by=ticket.changed_by, ticket_ids=[ticket.id]
        )
        for ticket in held
        if ticket.holder_id != row.user_id
        and ticket.changed_at is not None
        and ticket.gate == NO_GATE
    ]
    found += [
        told.OrderChange(
            at=scan.at,
            what=f"scan_{scan.what}",
            by=scan.scanned_by,
            ticket_ids=[scan.ticket_id],
            gate=gate_of(scan.gate),
        )
        for scan in scans
    ]
    found += [
        told.OrderChange(at=act.at, what=act.act, by=act.actor, why=_why(act, noted))
        for act in noted
        if act.outcome == "done"
    ]
    return sorted(found, key=lambda change: change.at)


def _why(act: acts.ActRow, noted: Sequence[acts.ActRow]) -> str:
    """Return the reason of an act, which stands with its intent if it had one."""
    return act.why or next((one.why for one in noted if one.id == act.intent_id), "")
