"""
What an event's box office does: sell for somebody, cancel, move and note orders, settle refunds.

All is done by the scripts that serve the buyer, in the buyer's name; who did it, and why, stands in
the log of acts. Money does not move here: a refund is a state.
"""

from __future__ import annotations

import msgspec

from engine import commands
from engine.durability import Durability
from engine.ids import booking_id, new_id, note_id, with_beyond
from engine.outcomes import Refused
from engine.status import Status
from store import orders, tenants, tickets
from usecases import acts, bookings, desk, receivers, told
from usecases.asked import (
    CancelBooking,
    CancelOrder,
    MoveOrder,
    NewOrderNote,
    OrderFor,
    Scalar,
    SettledRefund,
)
from usecases.catalog import Known
from usecases.denials import Denied, Done, Why, as_value, granted, invalid
from usecases.moments import moment_of, ms_of
from usecases.orders import denial_of, items_of, total_of, understand
from usecases.services import Services
from usecases.tickets import gate_of, gate_shown
from usecases.tokens import Principal

#: Denials that say what is not known yet of a thing that is done.
_OF_WHAT_IS_DONE = {Why.CATCHING_UP, Why.OUTCOME_UNKNOWN}


@as_value
async def sell(
    services: Services,
    person: Principal,
    event_id: str,
    asked: OrderFor,
    key: str,
    wanted: Durability | None,
) -> Done[told.Booking]:
    """
    Book places for somebody; the booking is theirs, and counts against their limit.

    With `beyond_limit` it may exceed what one person may have of the event and its tiers; every
    other rule holds. It counts among the attempts of whom it is for.
    Idempotency: by the person and the key, as `bookings.book`.
    """
    known = await desk.own_event(services, person, event_id)
    buyer = await receivers.find(services, asked.user_id, asked.email)
    if buyer == person.user_id:
        raise invalid(receivers.pointer(asked.user_id), "is yourself")
    wish = await understand(services, person, event_id, asked)
    if isinstance(wish, Denied):
        raise wish
    if asked.beyond_limit:
        wish = wish._replace(fingerprint=with_beyond(wish.fingerprint))
    # Keys have no blanks: a buyer's own never is this one.
    own_key = f"desk {person.user_id} {key}"
    own_id = booking_id(event_id=event_id, user_id=buyer, idempotency_key=own_key)
    after = {"event_id": event_id, "user_id": buyer, "beyond_limit": asked.beyond_limit}
    pool = services.pools.organizers
    async with acts.intended(pool, person, "order.sell", own_id, after=after, why=asked.reason):
        made = await bookings.book(services, _in_name_of(buyer), wish, own_key, wanted)
        if isinstance(made, Refused):
            refused = denial_of(wish, made)
            raise refused if isinstance(refused, Denied) else _denied(refused)
        _require_done(made)
    if isinstance(made, Denied):
        raise made
    requests, metadata = asked.special_requests, asked.metadata
    return Done(_sold(known, made, requests, metadata), made.outcome.is_replay, made.promise)


@as_value
async def cancel(
    services: Services, person: Principal, event_id: str, own_id: str, asked: CancelOrder
) -> Done[told.Booking]:
    """
    Cancel an order, or some of its places, as its buyer could; whoever that is by now.

    An order of an erased person may be cancelled as well: it is by ids alone.
    """
    await desk.own_event(services, person, event_id)
    row = (await desk.own_order(services, event_id, own_id)).booking
    buyer = _in_name_of(row.user_id)
    given = (asked.items, asked.ticket_ids, asked.seat_ids)
    before = {"event_id": event_id, "status": row.status, "version": row.version}
    pool = services.pools.organizers
    async with acts.intended(
        pool, person, "order.cancel", own_id, before=before, why=asked.reason
    ) as act:
        if any(one is not None for one in given):
            places = CancelBooking(
                items=asked.items,
                ticket_ids=asked.ticket_ids,
                seat_ids=asked.seat_ids,
                version=asked.version,
            )
            act.after = msgspec.to_builtins(places)
            done = await bookings.cancel_places(services, buyer, own_id, places)
        else:
            act.after = {"status": "cancelled"}
            done = await bookings.cancel(services, buyer, own_id)
        _require_done(done)
    if isinstance(done, Denied):
        raise done
    # Codes are their holders' alone.
    shown = [msgspec.structs.replace(ticket, code=None) for ticket in done.told.tickets]
    return done._replace(told=msgspec.structs.replace(done.told, tickets=shown))


@as_value
async def move(
    services: Services, person: Principal, event_id: str, own_id: str, asked: MoveOrder
) -> Done[told.OrderInFull]:
    """
    Give an order's live tickets to an account, whoever has them; the old codes no longer pass.

    The booking stays its buyer's, and counts against their limit. The event's rule for transfers
    holds. Nothing is moved while somebody is in on one of the tickets.
    Atomicity: ticket by ticket; one that a gate lets in meanwhile stays, and the rest is denied.
    Idempotency: by state; what the receiver has already stays theirs.
    """
    known = await desk.own_event(services, person, event_id)
    row = (await desk.own_order(services, event_id, own_id)).booking
    receiver = await receivers.find(services, asked.user_id, asked.email)
    if not await services.catch_up({known.shard}):
        raise Denied(Why.CATCHING_UP)
    held = await tickets.of_bookings(services.pools.organizers, [(event_id, own_id)])
    moved = _named(held.get(row.id, []), asked.ticket_ids)
    if not moved:
        raise Denied(Status.TICKET_CANCELLED)
    for ticket in moved:
        if ticket.status == "checked_in" and ticket.changed_at is not None:
            fields: dict[str, int | str] = {
                "checked_in_at_ms": ms_of(ticket.changed_at),
                "gate": gate_of(ticket.gate) or "",
            }
            raise Denied(Status.ALREADY_CHECKED_IN, fields=fields)
    given = [ticket for ticket in moved if ticket.holder_id != receiver]
    before = {"holders": {ticket.id: ticket.holder_id for ticket in given}}
    async with acts.intended(
        services.pools.organizers,
        person,
        "order.move",
        own_id,
        before=before,
        after={"holder_id": receiver},
        why=asked.reason,
    ):
        for ticket in given:
            command = commands.Transfer(event_id, own_id, ticket.number, ticket.holder_id, receiver)
            outcome = granted(gate_shown(await services.engine.transfer(known.shard, command)))
            await services.settle(known.shard, outcome)
    order = await desk.own_order(services, event_id, own_id)
    view = await desk.in_full(services, person, known, order)
    return Done(view, not given)


@as_value
async def note(
    services: Services, person: Principal, event_id: str, own_id: str, asked: NewOrderNote, key: str
) -> Done[told.OrderNote]:
    """
    Write a note on an order; it goes with the erasure of its buyer, or long after the event.

    Idempotency: the same key of the same person gives the same note.
    """
    known = await desk.own_event(services, person, event_id)
    row = (await desk.own_order(services, event_id, own_id)).booking
    own_key = f"{row.id} {key}"
    wish = note_id(event_id=event_id, user_id=person.user_id, idempotency_key=own_key)
    pool = services.pools.organizers
    async with tenants.rows_of(pool, known.organizer_id) as connection:
        made = await orders.add_note(
            connection,
            known.organizer_id,
            row,
            own_id=wish,
            written_by=person.user_id,
            text=asked.text,
        )
        if made is not None:
            await acts.note(connection, person, "order.note", own_id, after={"note": made.id})
            return Done(desk.note_view(known, made))
        kept = await orders.notes_of(connection, event_id, [row.id])
    same = next((one for one in kept if one.id == wish), None)
    if same is None:
        raise Denied(Why.NOTES_FULL, fields={"notes_max": orders.NOTES_MAX})
    if same.text != asked.text:
        raise Denied(Status.IDEMPOTENCY_KEY_REUSED)
    return Done(desk.note_view(known, same), is_replay=True)


@as_value
async def settle_refund(
    services: Services, person: Principal, event_id: str, own_id: str, asked: SettledRefund
) -> Done[told.OrderInFull]:
    """
    Note that all is given back, or waived, which is due of an order; no money moves by it.

    Idempotency: by the booking's version, at which it is settled once.
    """
    known = await desk.own_event(services, person, event_id)
    # What was given up a moment ago belongs to what is due.
    if not await services.catch_up({known.shard}):
        raise Denied(Why.CATCHING_UP)
    order = await desk.own_order(services, event_id, own_id)
    row = order.booking
    if row.version != asked.version:
        raise Denied(Status.VERSION_CHANGED, fields={"version": row.version})
    async with tenants.rows_of(services.pools.organizers, known.organizer_id) as connection:
        kept = await orders.notes_of(connection, event_id, [row.id])
        refund = desk.refund_of(known, order, kept)
        due_minor = refund.amount.amount - refund.settled.amount
        made = None
        if due_minor > 0:
            made = await orders.add_note(
                connection,
                known.organizer_id,
                row,
                own_id=new_id("note"),
                written_by=person.user_id,
                text=asked.note,
                refund=(asked.state, due_minor),
            )
        if made is not None:
            settled = {"refund": asked.state, "amount_minor": due_minor, "note": made.id}
            before = {"refund": refund.state}
            await acts.note(
                connection, person, "order.refund", own_id, before=before, after=settled
            )
        else:
            kept = await orders.notes_of(connection, event_id, [row.id])
    if made is None:
        _require_settled(kept, asked)
    return Done(await desk.in_full(services, person, known, order), made is None)


def _require_settled(kept: list[orders.Note], asked: SettledRefund) -> None:
    """Deny what was not settled in this way before."""
    own = [note for note in kept if note.refund and note.refund_version == asked.version]
    if not own and len(kept) >= orders.NOTES_MAX:
        raise Denied(Why.NOTES_FULL, fields={"notes_max": orders.NOTES_MAX})
    if not own or own[0].refund != asked.state:
        raise Denied(Why.NOTHING_DUE)


def _named(held: list[tickets.Ticket], named: list[str] | None) -> list[tickets.Ticket]:
    """Return the tickets that are to be moved: those named, else all that live."""
    by_id = {ticket.id: ticket for ticket in held}
    for place, own_id in enumerate(named or ()):
        if own_id not in by_id:
            raise invalid(f"/ticket_ids/{place}", "is not a ticket of this order")
        if own_id in (named or ())[:place]:
            raise invalid(f"/ticket_ids/{place}", "is named twice")
    wanted = by_id.values() if named is None else [by_id[own_id] for own_id in named]
    return [ticket for ticket in wanted if ticket.status != "cancelled"]


def _in_name_of(user_id: str) -> Principal:
    return Principal(user_id, "user", None)


def _denied(refused: Refused) -> Denied:
    return Denied(refused.status, fields=refused.fields)


def _require_done(done: object) -> None:
    """Raise a denial, but for one that says that more is not known yet of what is done."""
    if isinstance(done, Denied) and done.why not in _OF_WHAT_IS_DONE:
        raise done


def _sold(
    known: Known, made: bookings.Made, requests: str, metadata: dict[str, Scalar]
) -> told.Booking:
    outcome, ended_ms = made.outcome, made.outcome.cancelled_at_ms
    return told.Booking(
        id=made.own.id,
        event_id=made.own.event_id,
        status=outcome.status,  # type: ignore[arg-type]  # One of the two.
        items=items_of(known, outcome.items),
        total=total_of(known, outcome.items),
        created_at=moment_of(outcome.at_ms),
        cancelled_at=None if ended_ms is None else moment_of(ended_ms),
        durability=made.promise.level,
        seq=outcome.seq,
        receipt=made.receipt,
        special_requests=requests,
        metadata=metadata,
        version=outcome.version,
    )
