"""
The invariants of an event's content: bookings, their rows, and what each person has.

Beside `reconciler.judge.invariants`, which has the counters and the list of all.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.cuts import split_cuts, tickets_gone
from engine.ids import TIME_CHARS, ticket_id
from engine.values import Booking, Hold, lines_of
from reconciler.event.image import Image
from reconciler.event.view import EventView, Row, of_booking, of_event
from reconciler.event.violation import Violation


def check_bookings(view: EventView) -> list[Violation]:
    """I4, I8: Redis and the ledger have the same bookings, with the same content."""
    found: list[Violation] = []
    if not view.stock and not view.bookings:
        return found  # `check_loaded` says it once for the event.
    for booking_id, booking in view.bookings.items():
        if booking.epoch > view.shard.epoch or _is_future(view, booking):
            found.append(
                of_booking(
                    view,
                    "I14",
                    "booking_from_future",
                    booking_id,
                    booking,
                    expected=view.seq_after,
                    found=booking.cancel_seq or booking.seq,
                    message="Redis has a booking of a record that was not made yet",
                )
            )
        expected = view.expected.get(booking_id)
        got = view.at_watermark(booking)
        if got is None:
            if expected is not None:
                found += _differences(view, booking_id, expected, booking)
        elif expected is None:
            found.append(
                of_booking(
                    view,
                    "I4",
                    "booking_lost",
                    booking_id,
                    booking,
                    expected=_line(got),
                    found="nothing",
                    message="acknowledged in Redis, but in neither PostgreSQL nor the journal",
                )
            )
        else:
            found += _differences(view, booking_id, expected, got)
    unreadable = {name for name, _ in view.unreadable}
    for booking_id, expected in view.expected.items():
        if booking_id not in view.bookings and booking_id not in unreadable:
            found.append(
                of_booking(
                    view,
                    "I4",
                    "booking_not_in_redis",
                    booking_id,
                    expected,
                    expected=_line(expected),
                    found="nothing",
                    message="the ledger has a booking that Redis does not have",
                )
            )
    for name, why in view.unreadable:
        known = view.expected.get(name)
        found.append(
            of_event(
                view,
                "I8",
                "value_unreadable",
                booking_id=name if name.startswith("bk_") else None,
                tier_no=known.tier_no if known else None,
                subject=name,
                found=why,
                message=f"the value of {name} in Redis cannot be read",
            )
        )
    return found


def check_rows(view: EventView) -> list[Violation]:
    """I3, I15: each booking's rows agree: tickets of a live one, its total, its shard."""
    found: list[Violation] = []
    for booking_id, row in view.rows.items():
        booking = view.expected[booking_id]
        found += _check_row(view, booking_id, booking, row)
    for booking_id, tier_no, what in view.orphans:
        redis = view.bookings.get(booking_id)
        found.append(
            of_event(
                view,
                "I3",
                f"{what}_without_booking",
                tier_no=tier_no,
                booking_id=booking_id,
                seq=redis.seq if redis else None,
                expected="a booking",
                found="nothing",
                message=f"a {what} in PostgreSQL belongs to no booking",
            )
        )
    return found


def check_tickets(view: EventView) -> list[Violation]:
    """I8: tickets let in or given away are so in Redis and the ledger alike, with their scans."""
    found: list[Violation] = []
    for own_id, scan_id in view.lost_scans:
        booking_id = f"bk_{own_id.split('_')[1]}"
        booking = view.expected.get(booking_id)
        found.append(
            of_event(
                view,
                "I8",
                "scan_missing",
                booking_id=booking_id,
                tier_no=booking.tier_no if booking else None,
                expected=scan_id,
                found="nothing",
                subject=own_id,
                message=f"{own_id} remembers a scan that has no row in PostgreSQL",
            )
        )
    for own_id in view.state.tickets.keys() | view.tickets.keys():
        expected, got = view.state.tickets.get(own_id), view.tickets.get(own_id)
        if got is not None and view.shard.is_after(*got.place):
            continue  # Its last change is newer than what it is compared with.
        if expected != got:
            found.append(
                of_event(
                    view,
                    "I8",
                    "ticket_differs",
                    seq=expected.seq if expected else None,
                    expected=str(expected),
                    found=str(got),
                    subject=own_id,
                    message=f"the state of {own_id} in Redis is not what the ledger says",
                )
            )
    return found


def check_persons(view: EventView, image: Image) -> list[Violation]:
    """
    I8, I12: each person's count is the sum of the places of their live bookings and holds.

    So is the count of a person and tier, which is kept where the tier has a limit per person.
    A count was read at some moment after the watermark and before the bookings were scanned, so
    it may include a first part of the person's later changes: each prefix of them is allowed.
    """
    later: dict[str, list[tuple[int, int]]] = {}
    for hold in view.holds.values():
        for name, places in image.counts(hold.user_id, hold.lines):
            later.setdefault(name, []).extend(_later_hold_changes(view, hold, places))
    for booking in view.bookings.values():
        for seq, sign, items in view.changes_after(booking):
            for name, places in image.counts(booking.user_id, lines_of(items)):
                later.setdefault(name, []).append((seq, sign * places))
    found: list[Violation] = []
    unreadable = {name for name, _ in view.unreadable}
    for name in image.persons.keys() | view.persons.keys():
        count = image.persons[name]
        allowed = [count]
        for _, places in sorted(later.get(name, [])):
            allowed.append(allowed[-1] + places)
        got = view.persons.get(name, 0)
        if got not in allowed and name not in unreadable:
            owner_id, owner = _booking_of(view, name.partition("/")[0])
            found.append(
                of_event(
                    view,
                    "I8",
                    "person_differs",
                    booking_id=owner_id,
                    tier_no=owner.tier_no if owner else None,
                    expected=count,
                    found=got,
                    subject=name,
                    message=f"places counted for {name} are not those of their live bookings",
                )
            )
    return found + _over_limit(view, image)


def _over_limit(view: EventView, image: Image) -> list[Violation]:
    """
    I12: no person's live holds and bookings exceed what one may have, of the event or a tier.

    What the box office has sold beyond that is left out: a script that looks at a person's limit
    counts it all the same, so that the rest can only be less.
    """
    published = image.sale.published
    most = {tier.tier_no: tier.person_max for tier in published.tiers}
    found: list[Violation] = []
    for name, places in image.persons.items():
        user_id, _, tier_text = name.partition("/")
        tier_no = int(tier_text) if tier_text else None
        limit = published.person_max if tier_no is None else most[tier_no]
        if places - image.beyond[name] > limit:
            booking_id, booking = _booking_of(view, user_id)
            found.append(
                of_event(
                    view,
                    "I12",
                    "limit_exceeded",
                    booking_id=booking_id,
                    subject=name,
                    tier_no=tier_no or (booking.tier_no if booking else None),
                    expected=limit,
                    found=places,
                    seq=booking.seq if booking else None,
                    message=f"{user_id} has more places than one may have of "
                    f"{'the event' if tier_no is None else 'the tier'}",
                )
            )
    return found


def check_promos(view: EventView, image: Image) -> list[Violation]:
    """I8: a code's rule is what was published; its uses are its live holds and bookings."""
    return [
        of_event(
            view,
            "I8",
            "promo_differs",
            subject=change.name,
            expected=change.wanted,
            found=change.seen,
            message=f"{change.name} of the promo codes in Redis is not what the records say",
        )
        for change in image.promo_changes(view.promos)
    ]


def check_ids(view: EventView) -> list[Violation]:
    """I6: a booking's id is of its event: it was derived for a request of no other."""
    first, last = slice(len("evt_"), len("evt_") + TIME_CHARS), slice(3, 3 + TIME_CHARS)
    return [
        of_booking(
            view,
            "I6",
            "id_of_another_event",
            booking_id,
            booking,
            expected=view.event_id[first],
            found=booking_id[last],
            message="the booking's id was derived for another event",
        )
        for booking_id, booking in view.expected.items()
        if booking_id[last] != view.event_id[first]
    ]


def _booking_of(view: EventView, user_id: str) -> tuple[str, Booking] | tuple[None, None]:
    """Return a booking of a person, a live one if there is any: the same at a second look."""
    own = sorted(key for key, booking in view.expected.items() if booking.user_id == user_id)
    live = [booking_id for booking_id in own if view.expected[booking_id].is_live]
    if not own:
        return None, None
    booking_id = live[-1] if live else own[0]
    return booking_id, view.expected[booking_id]


def _check_row(view: EventView, booking_id: str, booking: Booking, row: Row) -> Iterator[Violation]:
    items = booking.items if row.items is None else row.items
    total = sum(
        int(quantity) * int(price)
        for _, quantity, price, *_ in (line.split(":") for line in items.split(",") if line)
    )
    if row.total_minor != total:
        yield of_booking(
            view,
            "I15",
            "total_differs",
            booking_id,
            booking,
            expected=total,
            found=row.total_minor,
            message="the booking's total is not the sum of its lines",
        )
    home = view.row.shard if view.row else view.shard.shard
    if row.shard != home:
        yield of_booking(
            view,
            "I8",
            "shard_differs",
            booking_id,
            booking,
            expected=home,
            found=row.shard,
            message="the booking's row names another shard",
        )
    if not booking.is_live and booking.cancel_seq is not None:
        return  # Cancelled behind the checkpoint: its rows are still those of a live one.
    as_row = booking if row.items is None else booking._replace(items=row.items, cuts=row.cuts)
    wanted = _wanted_tickets(booking_id, as_row)
    there = set(row.tickets)
    if not booking.is_live:  # Whether they gave up their seats is another question.
        wanted, there = _without_seats(wanted), _without_seats(there)
    if wanted != there:
        wrong = sorted(wanted - there) or sorted(there - wanted)
        yield of_event(
            view,
            "I3",
            "tickets_differ",
            tier_no=int(wrong[0].split(":")[1]),
            booking_id=booking_id,
            seq=booking.seq,
            expected=len(wanted),
            found=len(there),
            message=f"tickets of a booking are not one per place: {', '.join(wrong[:10])}",
        )


def _without_seats(tickets: set[str]) -> set[str]:
    return {":".join(text.split(":")[:2]) for text in tickets}


def _wanted_tickets(booking_id: str, booking: Booking) -> set[str]:
    """Return the tickets of a live booking as its rows should have them: id, tier, and seat."""
    # Tickets are of what it was made with; those that were cut have no seat any more.
    items = split_cuts(booking.cuts)[0] if booking.cuts else booking.items
    gone = tickets_gone(booking.cuts)
    texts: list[str] = []
    for line in filter(None, items.split(",")):
        tier, quantity, _, *seats = line.split(":")
        for seat in seats[0].split("+") if seats else [""] * int(quantity):
            number = len(texts) + 1
            held = f":{seat}" if seat and number not in gone else ""
            texts.append(f"{ticket_id(booking_id, number)}:{tier}{held}")
    return set(texts)


def _differences(
    view: EventView, booking_id: str, expected: Booking, got: Booking
) -> Iterator[Violation]:
    if expected.cancel_seq is None:
        # PostgreSQL's rows do not keep the place of the `cancelled` record.
        got = got._replace(cancel_epoch=None, cancel_seq=None)
    for name, is_value, should in zip(Booking._fields, got, expected, strict=True):
        if is_value != should:
            yield of_booking(
                view,
                "I8",
                "booking_differs",
                booking_id,
                expected,
                subject=name,
                expected=f"{name} {should}",
                found=f"{name} {is_value}",
                message=f"{name} in Redis is not what the ledger says",
            )


def _later_hold_changes(view: EventView, hold: Hold, places: int) -> Iterator[tuple[int, int]]:
    if view.shard.is_after(hold.epoch, hold.seq):
        yield hold.seq, places
    if hold.status != "held" and view.shard.is_after(hold.changed_epoch, hold.changed_seq):
        # A confirmed hold's places come back with its booking, by the same record.
        yield hold.changed_seq, -places


def _is_future(view: EventView, booking: Booking) -> bool:
    epoch = view.shard.epoch
    return (booking.epoch == epoch and booking.seq > view.seq_after) or (
        booking.cancel_epoch is not None
        and booking.cancel_epoch >= epoch
        and (booking.cancel_epoch > epoch or (booking.cancel_seq or 0) > view.seq_after)
    )


def _line(booking: Booking) -> str:
    return f"{booking.status} {booking.items}"
