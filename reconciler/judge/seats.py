"""
Seats: Redis' letters against bookings, holds and blocks (I2, I3, I8), and against the rows.

All is of the watermark: the letters are read in the same MULTI/EXEC as the counters, bookings and
blocks are folded up to it, and a hold's row tells whether it was live then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine.seats import BLOCKED, FREE, HELD, ROW_END, SOLD, letters, parse_seat_id
from reconciler.event.image import Image
from reconciler.event.view import EventView, number, of_event
from reconciler.event.violation import Violation

#: Differing seats of one event that are named; one is enough to fail.
NAMED_SEATS_MAX = 100
_COUNTERS = {FREE: "available", HELD: "held", SOLD: "sold", BLOCKED: "blocked"}


def check_seats(view: EventView, image: Image) -> list[Violation]:
    """I2, I3, I8: each seat is free, or has the one owner that the records gave it."""
    published = image.sale.published
    found = list(_check_layout(view))
    if found or not published.sections:
        return found
    expected = {seat_id: owners[0] for seat_id, owners in image.owners.items()}
    for seat_id, owners in image.owners.items():
        if len(owners) == 1:
            continue
        names = ", ".join(owner for _, owner in owners)
        found.append(
            of_event(
                view,
                "I3",
                "seat_doubly_owned",
                subject=seat_id,
                tier_no=_tier_of(view, seat_id),
                expected=1,
                found=len(owners),
                message=f"seat {seat_id} has more than one live owner: {names}",
            )
        )
    counts: dict[int, Counter[str]] = {}
    differing = 0
    for section in published.sections:
        status = view.seats.get(f"{section.section_no}.status", "")
        for seat_id, letter in letters(section.section_no, status):
            counts.setdefault(section.tier_no, Counter())[letter] += 1
            should, owner = expected.pop(seat_id, (FREE, ""))
            if letter != should:
                differing += 1
                if differing <= NAMED_SEATS_MAX:
                    found.append(_differs(view, section.tier_no, seat_id, letter, should, owner))
    for seat_id, (should, owner) in expected.items():
        found.append(_differs(view, _tier_of(view, seat_id), seat_id, "no seat", should, owner))
    return found + list(_check_counts(view, counts)) + list(_check_ended(view))


def _check_layout(view: EventView) -> Iterator[Violation]:
    """I8: sections in Redis and in PostgreSQL are what was published."""
    assert view.published is not None
    rows = {row.section_no: row for row in view.sections}
    for section in view.published.sections:
        row = rows.pop(section.section_no, None)
        layout = None if row is None else f"{row.tier_no} {row.row_seats}"
        status = view.seats.get(f"{section.section_no}.status", "")
        counts = [len(text) for text in status.split(ROW_END)]
        in_redis = f"{section.tier_no} {','.join(map(str, counts))}"
        for name, should, got in (
            ("layout", layout, view.seats.get(f"{section.section_no}.layout")),
            ("kinds", row and row.kinds, view.seats.get(f"{section.section_no}.kinds")),
            ("rows", layout, in_redis),
            ("number of seats", section.seats, sum(counts)),
        ):
            if should != got:
                yield of_event(
                    view,
                    "I8",
                    "section_differs",
                    tier_no=section.tier_no,
                    expected=should,
                    found=got,
                    subject=f"{section.section_no}.{name}",
                    message=f"{name} of section {section.section_no} is not what was published",
                )
    for section_no, row in rows.items():
        yield of_event(
            view,
            "I8",
            "section_not_published",
            tier_no=row.tier_no,
            subject=str(section_no),
            expected="published",
            found="not",
            message=f"section {section_no} was never loaded",
        )


def _check_counts(view: EventView, counts: dict[int, Counter[str]]) -> Iterator[Violation]:
    """I1, I2: a seated tier's counters are the numbers of its seats' letters."""
    for tier_no, its in counts.items():
        for letter, name in _COUNTERS.items():
            got = number(view.stock.get(f"{tier_no}.{name}"))
            if got != its[letter]:
                yield of_event(
                    view,
                    "I2",
                    "seats_not_counted",
                    tier_no=tier_no,
                    subject=name,
                    expected=its[letter],
                    found=got,
                    message=f"{name} places of a seated tier are not its {name} seats",
                )


def _check_ended(view: EventView) -> Iterator[Violation]:
    """I3: a booking that was cancelled has given up its seats in PostgreSQL."""
    for booking_id, row in view.rows.items():
        booking = view.expected[booking_id]
        # One that was cancelled after the checkpoint is still live in the rows.
        if booking.is_live or booking.cancel_seq is not None:
            continue
        kept = [text for text in row.tickets if text.count(":") > 1]
        if kept:
            yield of_event(
                view,
                "I3",
                "seat_kept",
                booking_id=booking_id,
                seq=booking.seq,
                tier_no=booking.tier_no,
                expected=0,
                found=len(kept),
                message=f"a cancelled booking's tickets keep their seats: {', '.join(kept[:10])}",
            )


def _differs(
    view: EventView, tier_no: int | None, seat_id: str, got: str, should: str, owner: str
) -> Violation:
    return of_event(
        view,
        "I2",
        "seat_differs",
        tier_no=tier_no,
        subject=seat_id,
        expected=should,
        found=got,
        booking_id=owner if owner.startswith("bk_") else None,
        message=f"seat {seat_id} is {got} in Redis, and by the records {should} "
        f"{'of ' + owner if owner else ''}".rstrip(),
    )


def _tier_of(view: EventView, seat_id: str) -> int | None:
    numbers = parse_seat_id(seat_id)
    assert view.published is not None
    return next(
        (s.tier_no for s in view.published.sections if numbers and s.section_no == numbers[0]), None
    )
