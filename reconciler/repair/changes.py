"""
What must change in Redis for an event to be as its image: the difference, value by value.

A pure function of a view that was read under the fence: nothing moves there, so the watermark is
now. Holds are Redis' own and are believed; all else follows from the ledger and from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.seats import parse_seat_id
from engine.values import Ticket, booking_text, ticket_text
from reconciler.event.image import Change, Image, lettered
from reconciler.event.state import EventState, Placed
from reconciler.event.view import EventView, number
from reconciler.judge.invariants import image_of

#: Versions that a repaired seat map skips, so that every client asks for the whole of it.
SEATS_VERSION_SKIP = 2_000


class Impossible(Exception):
    """The records themselves cannot be had in Redis; the message says why."""


def changes(
    view: EventView, raw: Mapping[str, str], history: Mapping[str, Sequence[Placed]]
) -> list[Change]:
    """
    Return what must change for Redis to be what the records say.

    Args:
        view: The event, read under the fence.

        raw: `bookings` in Redis as text, of the bookings that differ.

        history: All records of the bookings that differ, by booking.

    Raises:
        Impossible: see its message.
    """
    if view.state.sale is None or not view.stock:
        raise Impossible("the event is not loaded: `recover` rebuilds it from PostgreSQL")
    image = image_of(view, view.state.sale)
    _require_possible(image)
    return [
        *image.stock_changes(view.stock),
        *_persons(view, image),
        *_bookings(view, raw, history),
        *_deadlines(view),
        *image.promo_changes(view.promos),
        *_seats(view, image),
        *_tickets(view),
    ]


def differing(view: EventView) -> set[str]:
    """Return the bookings whose value in Redis is not what the ledger says."""
    found = {name for name, _ in view.unreadable if name in view.expected}
    for booking_id, expected in view.expected.items():
        got = view.bookings.get(booking_id)
        if got is None:
            found.add(booking_id)
            continue
        if expected.cancel_seq is None:
            got = got._replace(cancel_epoch=None, cancel_seq=None)
        if got != expected:
            found.add(booking_id)
    return found


def differing_tickets(view: EventView) -> list[str]:
    """Return the tickets whose state in Redis is not what their rows say."""
    rows = view.state.tickets
    return sorted(
        own_id
        for own_id in rows.keys() | view.tickets.keys()
        if rows.get(own_id) != view.tickets.get(own_id)
    )


def ticket_rows_differ(view: EventView, history: Mapping[str, Sequence[Placed]]) -> list[str]:
    """Return the bookings with a ticket whose row is not what its records say."""
    return sorted(
        {
            f"bk_{own_id.split('_')[1]}"
            for own_id in differing_tickets(view)
            if _recorded(own_id, history) != view.state.tickets.get(own_id)
        }
    )


def _recorded(own_id: str, history: Mapping[str, Sequence[Placed]]) -> Ticket | None:
    """Return a ticket as its records leave it."""
    state = EventState()
    for placed in history.get(f"bk_{own_id.split('_')[1]}", ()):
        state.follow(*placed)
    return state.tickets.get(own_id)


def _require_possible(image: Image) -> None:
    for tier in image.sale.published.tiers:
        available = image.available(tier.tier_no)
        if available < 0:
            raise Impossible(
                f"tier {tier.tier_no} has {tier.capacity} places and owners of "
                f"{tier.capacity - available}: it is oversold, and who stays is for people to say"
            )
    for pool_no, (pool, left) in enumerate(image.pools, start=1):
        if left < 0:
            raise Impossible(
                f"pool {pool_no} has {pool.capacity} places and owners of {pool.capacity - left}: "
                "it is oversold, and who stays is for people to say"
            )
    for seat_id, owners in image.owners.items():
        if parse_seat_id(seat_id) is None or len(owners) > 1:
            raise Impossible(f"seat {seat_id} has two owners: who stays is for people to say")


def _persons(view: EventView, image: Image) -> Iterator[Change]:
    odd = {name for name, _ in view.unreadable}
    for name in sorted(image.persons.keys() | view.persons.keys()):
        got, wanted = view.persons.get(name), image.persons[name]
        if wanted != (got or 0) and name not in odd:
            yield Change("persons", name, None if got is None else str(got), str(wanted))


def _bookings(
    view: EventView, raw: Mapping[str, str], history: Mapping[str, Sequence[Placed]]
) -> Iterator[Change]:
    for booking_id in sorted(differing(view)):
        state = EventState()
        for placed in history.get(booking_id, ()):
            state.follow(*placed)
        booking = state.bookings.get(booking_id)
        if booking is not None:
            yield Change("bookings", booking_id, raw.get(booking_id), booking_text(booking))


def _deadlines(view: EventView) -> Iterator[Change]:
    for hold_id in view.endless:
        yield Change("deadlines", hold_id, None, str(view.holds[hold_id].expires_at_ms))


def _seats(view: EventView, image: Image) -> Iterator[Change]:
    found = []
    wanted = image.letters()
    for section in image.sale.published.sections:
        name = f"{section.section_no}.status"
        status = view.seats.get(name, "")
        letters = lettered(section.section_no, status, wanted)
        if letters != status:
            found.append(Change("seats", name, status, letters))
    if found:
        version = view.seats.get("version")
        new = (number(version) or 0) + SEATS_VERSION_SKIP
        found.append(Change("seats", "version", version, str(new)))
    yield from found


def _tickets(view: EventView) -> Iterator[Change]:
    expected = view.state.tickets
    for own_id in sorted(expected.keys() | view.tickets.keys()):
        wanted, got = expected.get(own_id), view.tickets.get(own_id)
        if wanted != got:
            yield Change(
                "tickets", own_id, got and ticket_text(got), wanted and ticket_text(wanted)
            )
