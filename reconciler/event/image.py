"""
What an event must look like in Redis, as its records make it, and where it does not.

A pure function of a view that was read under the fence: nothing moves there, so the watermark is
now. Holds are Redis' own and are believed; all else follows from the ledger and from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.commands import Promo
from engine.ids import promo_of
from engine.records import Booked, Cancelled, Confirmed, ItemCancelled, Record
from engine.seats import BLOCKED, FREE, HELD, ROW_END, SOLD, parse_seat_id
from engine.values import CANCELLED, CONFIRMED, Booking, booking_text, items_text, ticket_text
from reconciler.event.view import EventView, number, sold
from reconciler.judge.contents import taken_by_person

#: Versions that a repaired seat map skips, so that every client asks for the whole of it.
SEATS_VERSION_SKIP = 2_000


class Change(NamedTuple):
    """One value in Redis; None stands for no value."""

    #: A key of the event: stock, bookings, persons, deadlines, seats, tickets or promos.
    where: str
    name: str
    seen: str | None
    wanted: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A record at its place."""

    epoch: int
    seq: int
    record: Record


class Impossible(Exception):
    """The records themselves cannot be had in Redis; the message says why."""


def changes(
    view: EventView, raw: Mapping[str, str], history: Mapping[str, list[Place]]
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
    if view.published is None or not view.stock:
        raise Impossible("the event is not loaded: `recover` rebuilds it from PostgreSQL")
    return [
        *_stock(view),
        *_persons(view),
        *_bookings(view, raw, history),
        *_deadlines(view),
        *_promos(view),
        *_seats(view),
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


def fold_booking(places: list[Place]) -> Booking | None:
    """Return a booking as its records make it; None if none of them made it."""
    booking: Booking | None = None
    for place in places:
        record = place.record
        if isinstance(record, Booked | Confirmed):
            booking = Booking(
                CONFIRMED,
                1,
                place.epoch,
                place.seq,
                record.at_ms,
                record.user_id,
                record.fingerprint,
                items_text(record.items),
            )
        elif booking is None:
            continue
        elif isinstance(record, ItemCancelled):
            booking = booking._replace(
                version=record.booking_version, items=items_text(record.left), cuts=record.cuts
            )
        elif isinstance(record, Cancelled):
            booking = booking._replace(
                status=CANCELLED,
                version=booking.version + 1,
                cancelled_at_ms=record.at_ms,
                cancel_epoch=place.epoch,
                cancel_seq=place.seq,
            )
    return booking


def _stock(view: EventView) -> Iterator[Change]:
    assert view.published is not None
    taken, held, published = sold(view.expected.values()), view.held, view.published
    blocked = Counter(view.blocked.values())
    wanted: dict[str, int] = {
        "opens_at_ms": published.opens_at_ms,
        "closes_at_ms": published.closes_at_ms,
        "person_max": published.person_max,
    }
    for tier in published.tiers:
        no = tier.tier_no
        available = tier.capacity - taken[no] - held[no] - blocked[no]
        if available < 0:
            raise Impossible(
                f"tier {no} has {tier.capacity} places and owners of {tier.capacity - available}: "
                "it is oversold, and who stays is for people to say"
            )
        wanted |= {
            f"{no}.capacity": tier.capacity,
            f"{no}.available": available,
            f"{no}.held": held[no],
            f"{no}.sold": taken[no],
            f"{no}.blocked": blocked[no],
            f"{no}.price_minor": tier.price_minor,
            f"{no}.order_max": tier.order_max,
        }
        rules = {
            "order_min": tier.order_min,
            "person_max": tier.person_max,
            "opens_at_ms": tier.opens_at_ms,
            "closes_at_ms": tier.closes_at_ms,
        }
        for name, figure in rules.items():
            if figure or number(view.stock.get(f"{no}.{name}")):
                wanted[f"{no}.{name}"] = figure
        waiting = sum(
            entry.status == "waiting" and entry.tier_no == no
            for entry in view.waitlist.expected.values()
        )
        if waiting != (number(view.stock.get(f"{no}.waiting", "0")) or 0):
            wanted[f"{no}.waiting"] = waiting
    hidden = [str(tier.tier_no) for tier in published.tiers if tier.is_hidden]
    seen = view.stock.get("hidden")
    if set(hidden) != set(filter(None, (seen or "").split("+"))):
        yield Change("stock", "hidden", seen, f"+{'+'.join(hidden)}+" if hidden else None)
    for name, figure in wanted.items():
        if view.stock.get(name) != str(figure):
            yield Change("stock", name, view.stock.get(name), str(figure))


def _persons(view: EventView) -> Iterator[Change]:
    taken, _ = taken_by_person(view)
    odd = {name for name, _ in view.unreadable}
    for name in sorted(taken.keys() | view.persons.keys()):
        got = view.persons.get(name)
        if taken[name] != (got or 0) and name not in odd:
            yield Change("persons", name, None if got is None else str(got), str(taken[name]))


def _bookings(
    view: EventView, raw: Mapping[str, str], history: Mapping[str, list[Place]]
) -> Iterator[Change]:
    for booking_id in sorted(differing(view)):
        booking = fold_booking(history.get(booking_id, []))
        if booking is not None:
            yield Change("bookings", booking_id, raw.get(booking_id), booking_text(booking))


def _deadlines(view: EventView) -> Iterator[Change]:
    for hold_id in view.endless:
        yield Change("deadlines", hold_id, None, str(view.holds[hold_id].expires_at_ms))


def _promos(view: EventView) -> Iterator[Change]:
    assert view.published is not None
    used = Counter(
        promo_of(booking.fingerprint) for booking in view.expected.values() if booking.is_live
    ) + Counter(promo_of(hold.fingerprint) for hold in view.holds.values() if view.was_live(hold))
    wanted: dict[str, str] = {}
    for promo in view.published.promos:
        word = Promo(
            promo.code, promo.uses_max, promo.percent, promo.amount_minor, tuple(promo.tier_nos)
        ).word()
        wanted[promo.code] = word.partition(":")[2]
        wanted[f"{promo.code}.used"] = str(used[promo.code])
    for name in sorted(wanted.keys() | view.promos.keys()):
        if wanted.get(name) != view.promos.get(name):
            yield Change("promos", name, view.promos.get(name), wanted.get(name))


def _seats(view: EventView) -> Iterator[Change]:
    assert view.published is not None
    wanted: dict[tuple[int, int], str] = {}

    def give(letter: str, seat_ids: list[str]) -> None:
        for seat_id in seat_ids:
            numbers = parse_seat_id(seat_id)
            if numbers is None or numbers in wanted:
                raise Impossible(f"seat {seat_id} has two owners: who stays is for people to say")
            wanted[numbers] = letter

    for booking in view.expected.values():
        if booking.is_live:
            give(SOLD, booking.seat_ids)
    for hold in view.holds.values():
        if view.was_live(hold):
            give(HELD, [seat for item in hold.items for seat in item.seat_ids])
    give(BLOCKED, list(view.blocked))
    found = []
    for section in view.published.sections:
        name = f"{section.section_no}.status"
        status = view.seats.get(name, "")
        letters = "".join(
            ROW_END if letter == ROW_END else wanted.get((section.section_no, seat_no), FREE)
            for seat_no, letter in enumerate(status, start=1)
        )
        if letters != status:
            found.append(Change("seats", name, status, letters))
    if found:
        version = view.seats.get("version")
        new = (number(version) or 0) + SEATS_VERSION_SKIP
        found.append(Change("seats", "version", version, str(new)))
    yield from found


def _tickets(view: EventView) -> Iterator[Change]:
    for own_id in sorted(view.expected_tickets.keys() | view.tickets.keys()):
        expected, got = view.expected_tickets.get(own_id), view.tickets.get(own_id)
        if expected != got:
            yield Change(
                "tickets", own_id, got and ticket_text(got), expected and ticket_text(expected)
            )
