"""Bookings: the hot path, and what one does with a booking afterwards."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec

from engine.commands import CancelItem, Order, Own
from engine.durability import Durability
from engine.ids import booking_id, event_id_range, is_id
from engine.outcomes import Booked, Refused
from engine.records import Item
from engine.seats import parse_seat_id
from engine.values import CANCELLED
from store import bookings, events, tickets
from store.pool import Database
from usecases import metrics, told
from usecases.acks import Promise
from usecases.asked import CancelBooking, CancelledItem, Money
from usecases.catalog import Known
from usecases.denials import Denied, Done, Why, as_value, granted, invalid, not_found
from usecases.moments import moment_of
from usecases.orders import NO_TIER, Wish, items_of
from usecases.services import Services
from usecases.tickets import gate_shown, parse_ticket
from usecases.tickets import views_of as ticket_views
from usecases.tokens import Principal

#: Lines of bookings, by booking id.
_Items = dict[str, list[bookings.Item]]


class Made(NamedTuple):
    """A booking as the script's reply has it, before PostgreSQL knows of it."""

    known: Known
    #: Names event and booking.
    own: Order | Own
    promise: Promise
    outcome: Booked
    #: None while the server makes none, and of a booking that is cancelled since.
    receipt: str | None


async def book(
    services: Services, person: Principal, wish: Wish, key: str, wanted: Durability | None
) -> Made | Refused | Denied:
    """
    Book places at once; returns when what is promised of the booking is true.

    Idempotency: the same wish of the same person under the same key gives the same booking, as it
    is then, for as long as the event is kept.
    """
    own_id = booking_id(event_id=wish.event_id, user_id=person.user_id, idempotency_key=key)
    order = Order(wish.event_id, own_id, person.user_id, wish.fingerprint, wish.detail, wish.lines)
    shard = wish.known.shard
    promise = services.acks.promise(wanted, shard)
    outcome = await services.engine.book(shard, order)
    metrics.count_booking(outcome, "booked", wish.known.category)
    if isinstance(outcome, Refused):
        # Not raised: most of a rush is told that it is sold out.
        return outcome
    if not await services.acks.keep(promise, shard, outcome):
        return unreached(promise)
    return Made(wish.known, order, promise, outcome, _receipt(services, outcome, own_id))


async def made(
    services: Services, known: Known, own: Own, promise: Promise, outcome: Booked
) -> Made:
    """Return the booking that a hold or an offer became, when what is promised is true."""
    if not await services.acks.keep(promise, known.shard, outcome):
        raise unreached(promise)
    return Made(known, own, promise, outcome, _receipt(services, outcome, own.id))


def _receipt(services: Services, outcome: Booked, own_id: str) -> str | None:
    """Make the receipt of a booking; one that is cancelled must not look as if it were live."""
    if services.receipts is None or outcome.status == CANCELLED:
        return None
    return services.receipts.of(outcome, own_id)


def unreached(promise: Promise) -> Denied:
    """Return the denial of what is not known yet at the level promised."""
    return Denied(
        Why.OUTCOME_UNKNOWN,
        detail=f"It is not known yet at level {promise.level}.",
        fields={"durability_wanted": promise.level},
    )


@as_value
async def read(services: Services, person: Principal, own_id: str) -> told.Booking:
    """Return a booking of the person's own."""
    return await _with_tickets(services, await own_row(services, person, own_id))


@as_value
async def receipt(services: Services, person: Principal, own_id: str) -> str | None:
    """
    Return the receipt of a booking of the person's own, made anew: it says what the first one says.

    None while the server makes none, of a booking that is cancelled, and of one whose event Redis
    has no more: the receipt that came with the booking is as good then as ever.

    Raises:
        EngineError: Redis cannot tell now.
    """
    row = await own_row(services, person, own_id)
    if services.receipts is None or row.status == CANCELLED:
        return None
    kept = await services.engine.read_booking(row.shard, row.event_id, row.id)
    if kept is None or not kept.is_live:
        return None
    return services.receipts.again(row.shard, row.event_id, row.id, kept)


@as_value
async def ticket(services: Services, person: Principal, ticket_id: str) -> told.Ticket:
    """Return a ticket that the person booked, or has now; only who has it sees its code."""
    parsed = parse_ticket(ticket_id)
    if parsed is None:
        raise not_found()
    row = await find(services, parsed[0])
    found = await tickets.of_bookings(services.pools.own, [(row.event_id, row.id)])
    for one in found.get(row.id, []):
        if one.id == ticket_id and person.user_id in {one.holder_id, one.owner_id}:
            [shown] = await ticket_views(services, [one], person.user_id)
            return shown
    raise not_found()


@as_value
async def mine(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Page[told.Booking]:
    """Return a page of the person's bookings, newest first."""

    async def look(database: Database) -> tuple[list[bookings.Booking], _Items]:
        found = await bookings.of_user(database, person.user_id, before=before, limit=limit + 1)
        return found, await bookings.items_of(database, found[:limit])

    (found, items), up_to_date = await services.near_own(look)
    page = found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page(await _views(services, page, items), last, up_to_date)


@as_value
async def cancel(services: Services, person: Principal, own_id: str) -> Done[told.Booking]:
    """
    Cancel a booking of the person's own; its places are on sale at once. May be repeated.

    Not while somebody is in on one of its tickets, nor, by the event's policy, with a ticket that
    was given away: that is its holder's.
    """
    row = await own_row(services, person, own_id)
    command = Own(row.event_id, row.id, row.user_id)
    outcome = granted(gate_shown(await services.engine.cancel(row.shard, command)))
    # The person's next read should not show the booking alive.
    await services.settle(row.shard, outcome)
    view = await _with_tickets(services, row)
    view = msgspec.structs.replace(
        view,
        status="cancelled",
        cancelled_at=moment_of(outcome.at_ms),
        version=row.version + (row.status != "cancelled"),
        tickets=[
            msgspec.structs.replace(ticket, status="cancelled", code=None)
            for ticket in view.tickets
        ],
    )
    if not outcome.is_replay:
        _count_cancelled(services, row.event_id)
    return Done(view, outcome.is_replay)


def _count_cancelled(services: Services, event_id: str) -> None:
    known = services.catalog.get(event_id)
    metrics.count_cancelled(known.category if known else "")


@as_value
async def cancel_places(
    services: Services, person: Principal, own_id: str, asked: CancelBooking
) -> Done[told.Booking]:
    """Give back some places; the version that is asked for makes a repetition harmless."""
    row = await own_row(services, person, own_id)
    given = (asked.items, asked.ticket_ids, asked.seat_ids)
    if sum(one is not None for one in given) != 1:
        raise invalid("", "must have one of items, ticket_ids and seat_ids")
    if asked.version is None:
        must = "must be the booking's version, as read before"
        raise Denied(Why.VERSION_WANTED, ("/version", must))
    known = await services.catalog.need(row.event_id)
    lines, names = _lines(known, asked.items or []), _names(row.id, asked)
    command = CancelItem(row.event_id, row.id, row.user_id, asked.version, lines, names)
    outcome = await services.engine.cancel_item(row.shard, command)
    line_at = "" if lines else f"/{'seat_ids' if asked.seat_ids else 'ticket_ids'}/{{}}"
    outcome = granted(gate_shown(outcome), line_at)
    if not await services.settle(row.shard, outcome):
        raise Denied(Why.CATCHING_UP, detail="The places are given back.")
    view = await _with_tickets(services, await find(services, row.id))
    if view.status == CANCELLED and not outcome.is_replay:
        _count_cancelled(services, row.event_id)
    return Done(view, outcome.is_replay)


def _lines(known: Known, items: list[CancelledItem]) -> tuple[tuple[int, int], ...]:
    """Return tiers and quantities of what is given back."""
    lines: dict[int, int] = {}
    for index, item in enumerate(items):
        tier_no = known.tier_nos.get(item.tier_id)
        if tier_no is None:
            raise invalid(f"/items/{index}/tier_id", NO_TIER)
        if tier_no in lines:
            raise invalid(f"/items/{index}/tier_id", "stands on another line already")
        lines[tier_no] = item.quantity
    return tuple(lines.items())


def _names(own_id: str, asked: CancelBooking) -> tuple[int | str, ...]:
    """Return the tickets of a booking that are given back, by their numbers or seats."""
    names: list[int | str] = []
    where = "seat_ids" if asked.seat_ids else "ticket_ids"
    for index, text in enumerate(asked.ticket_ids or asked.seat_ids or []):
        parsed = parse_ticket(text)
        if asked.ticket_ids and (parsed is None or parsed[0] != own_id):
            raise invalid(f"/{where}/{index}", "is not a ticket of this booking")
        if asked.seat_ids and parse_seat_id(text) is None:
            raise invalid(f"/{where}/{index}", "is not a seat")
        name = parsed[1] if parsed else text
        if name in names:
            raise invalid(f"/{where}/{index}", "is named twice")
        names.append(name)
    return tuple(names)


async def find(services: Services, own_id: str) -> bookings.Booking:
    """
    Return a booking, whoever has it; deny one that is not there.

    A booking that PostgreSQL does not have may be so new that it is still on its way. Its id leads
    to the shard that it would come from: no other is waited for. Where no event was made at that
    time, there never was a booking.
    """
    if not is_id("bk", own_id):
        raise not_found()
    row = await bookings.by_id(services.pools.own, own_id)
    if row is None:
        shards = await events.shards_between(services.pools.events, *event_id_range(own_id))
        up_to_date = await services.catch_up(shards)
        row = await bookings.by_id(services.pools.own, own_id) if shards else None
        if row is None and not up_to_date:
            raise Denied(Why.CATCHING_UP)
    if row is None:
        raise not_found()
    return row


async def own_row(services: Services, person: Principal, own_id: str) -> bookings.Booking:
    """Return a booking if it is the person's; else it is not there, whatever it is (S8)."""
    row = await find(services, own_id)
    if row.user_id != person.user_id:
        raise not_found()
    return row


async def _with_tickets(services: Services, row: bookings.Booking) -> told.Booking:
    [view] = await views_of(services, [row])
    found = await tickets.of_bookings(services.pools.own, [(row.event_id, row.id)])
    shown = await ticket_views(services, found.get(row.id, []), row.user_id)
    return msgspec.structs.replace(view, tickets=shown)


async def views_of(services: Services, rows: list[bookings.Booking]) -> list[told.Booking]:
    """Return bookings as they are told, without their tickets."""
    return await _views(services, rows, await bookings.items_of(services.pools.own, rows))


async def _views(
    services: Services, rows: list[bookings.Booking], items: _Items
) -> list[told.Booking]:
    views = []
    for row in rows:
        known = await services.catalog.need(row.event_id)
        lines = tuple(
            Item(item.tier_no, item.quantity, item.unit_price_minor, item.seat_ids)
            for item in items.get(row.id, [])
        )
        views.append(
            told.Booking(
                id=row.id,
                event_id=row.event_id,
                status=row.status,  # type: ignore[arg-type]  # The enum has the same values.
                items=items_of(known, lines),
                total=Money(row.total_minor, known.currency),
                created_at=row.created_at,
                cancelled_at=row.cancelled_at,
                durability="database",
                seq=row.seq,
                version=row.version,
                special_requests=row.special_requests or "",
                metadata=msgspec.json.decode(row.metadata) if row.metadata else {},
            )
        )
    return views
