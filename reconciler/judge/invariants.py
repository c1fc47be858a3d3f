"""
The invariants, each a function of a view: `check(view) -> list[Violation]`.

Numbers are those of docs/RELIABILITY.md. A view is of one moment (see `reconciler.event.view`), so
a function compares values and knows nothing of time, retries or servers. A later state of places
(holds, seats, a waiting list) is a further function in `EVENT_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from reconciler.event.view import EventView, ShardView, Violation, number, of_event, sold
from reconciler.judge.contents import (
    check_bookings,
    check_ids,
    check_persons,
    check_rows,
    check_tickets,
)
from reconciler.judge.promos import check_promos
from reconciler.judge.seats import check_seats
from reconciler.judge.waitlist import check_waitlist

COUNTERS = ("capacity", "available", "held", "sold", "blocked")
TIER_CONSTANTS = ("capacity", "price_minor", "order_max")
#: A tier that has none of these has no such fields in Redis.
TIER_RULES = ("order_min", "person_max", "opens_at_ms", "closes_at_ms", "is_hidden")


def check_door(view: ShardView) -> list[Violation]:
    """I13, I14: Redis and PostgreSQL speak of the same epoch."""
    found: list[Violation] = []

    def add(code: str, expected: object, got: object, message: str) -> None:
        found.append(
            Violation(
                invariant="I13",
                code=code,
                shard=view.shard,
                expected=str(expected),
                found=str(got),
                message=message,
            )
        )

    if not view.meta:
        if view.checkpoint_seq or view.has_published_events:
            add(
                "meta_missing",
                "meta",
                "nothing",
                "Redis has lost the shard: PostgreSQL has events or records of it",
            )
        return found
    if view.reign is None:
        add(
            "epoch_unknown",
            "a row",
            "none",
            f"Redis is in epoch {view.epoch}, but PostgreSQL has no such shard",
        )
        return found
    epoch, state = view.reign
    if epoch < view.epoch or (state == "open" and epoch != view.epoch):
        add(
            "epoch_differs",
            epoch,
            view.epoch,
            f"PostgreSQL has epoch {epoch} ({state}), Redis is in epoch {view.epoch}",
        )
    return found


def check_journal(view: ShardView) -> list[Violation]:
    """I7: the stream continues the checkpoint without gap and ends where Redis has counted to."""
    found: list[Violation] = []
    if not view.meta:
        return found

    def add(code: str, expected: int | str, got: int | str, message: str) -> None:
        found.append(
            Violation(
                invariant="I7",
                code=code,
                shard=view.shard,
                expected=expected,
                found=got,
                message=message,
            )
        )

    if view.checkpoint_seq > view.watermark_seq:
        add(
            "ledger_ahead",
            view.checkpoint_seq,
            view.watermark_seq,
            "PostgreSQL has records that Redis has not made: Redis lost its newest changes",
        )
    seq = number(view.meta.get("seq"))
    if seq is None or seq < view.stream_last_seq:
        add(
            "meta_seq_behind",
            view.stream_last_seq,
            str(view.meta.get("seq")),
            "the shard's counter is behind its own journal",
        )
    persisted_seq = number(view.meta.get("persisted_seq"))
    if persisted_seq is None or persisted_seq > view.checkpoint_after_seq:
        add(
            "persisted_seq_ahead",
            view.checkpoint_after_seq,
            str(view.meta.get("persisted_seq")),
            "Redis believes that PostgreSQL has more records than it has",
        )
    trimmed_seq = number(view.meta.get("trimmed_seq")) or 0
    if trimmed_seq > view.checkpoint_after_seq:
        add(
            "trimmed_ahead",
            view.checkpoint_after_seq,
            trimmed_seq,
            "records were trimmed that PostgreSQL does not have: it went back in time "
            "(`repair --pg`)",
        )
    return found


def check_broken(view: EventView) -> list[Violation]:
    """I7: no record of this event is missing or unreadable; whose it was is known from Redis."""
    broken = view.shard.broken
    if not broken.ranges:
        return []
    found: list[Violation] = []

    def look(epoch: int | None, seq: int | None, owner: str | None, tier_no: int | None) -> None:
        record = broken.at(epoch or 0, seq or 0)
        if record is not None:
            what = "published" if owner is None else "booking's"
            found.append(
                of_event(
                    view,
                    "I7",
                    record.code,
                    tier_no=tier_no,
                    booking_id=owner,
                    seq=seq,
                    expected="a record",
                    found="nothing" if "missing" in record.code else "damage",
                    subject=str(seq),
                    message=f"{what} record {seq} of epoch {epoch} in the {record.place}: "
                    f"{record.why}",
                )
            )

    look(number(view.stock.get("epoch")), number(view.stock.get("seq")), None, None)
    for booking_id, booking in view.bookings.items():
        look(booking.epoch, booking.seq, booking_id, booking.tier_no)
        look(booking.cancel_epoch, booking.cancel_seq, booking_id, booking.tier_no)
    return found


def check_loaded(view: EventView) -> list[Violation]:
    """I8: an event is for sale in Redis exactly if a `published` record says so."""
    is_loaded = bool(view.stock) and view.is_listed
    is_published = view.published is not None
    found: list[Violation] = []
    if is_published != is_loaded:
        expected = "loaded" if is_published else "not loaded"
        got = (
            f"stock {'there' if view.stock else 'missing'}, "
            f"{'listed' if view.is_listed else 'not listed'}"
        )
        code = "not_loaded" if is_published else "loaded_unpublished"
        if is_published or view.stock or view.is_listed:
            found.append(
                of_event(
                    view,
                    "I8",
                    code,
                    expected=expected,
                    found=got,
                    message="published, but not loaded in Redis"
                    if is_published
                    else "loaded in Redis, but no record published it",
                )
            )
    if view.row is None:
        if view.stock or view.is_listed or view.expected:
            found.append(
                of_event(
                    view,
                    "I8",
                    "event_missing",
                    expected="a row",
                    found="none",
                    message="Redis or the ledger knows an event that PostgreSQL has no row of",
                )
            )
    elif view.row.status != "draft" and not is_published:
        found.append(
            of_event(
                view,
                "I8",
                "published_without_record",
                expected="draft",
                found=view.row.status,
                message="the event's row says published, but no record does",
            )
        )
    return found


def check_stock_constants(view: EventView) -> list[Violation]:
    """I8: what was loaded is what the `published` record and the tiers' rows say."""
    if view.published is None or not view.stock:
        return []
    found: list[Violation] = []
    record = view.published
    for name in ("opens_at_ms", "closes_at_ms", "person_max"):
        expected, got = getattr(record, name), view.stock.get(name)
        if str(expected) != got:
            found.append(
                of_event(
                    view,
                    "I8",
                    "stock_differs",
                    subject=name,
                    expected=expected,
                    found=got,
                    message=f"{name} is not what was published",
                )
            )
    rows = {tier.tier_no: tier for tier in view.tiers}
    for tier in record.tiers:
        row = rows.get(tier.tier_no)
        for name in (*TIER_CONSTANTS, *TIER_RULES):
            expected, got = getattr(tier, name), _loaded(view, tier.tier_no, name)
            if str(expected) != got:
                found.append(
                    of_event(
                        view,
                        "I8",
                        "stock_differs",
                        tier_no=tier.tier_no,
                        subject=name,
                        expected=expected,
                        found=got,
                        message=f"{name} is not what was published",
                    )
                )
            if row is None or getattr(row, name) != expected:
                found.append(
                    of_event(
                        view,
                        "I8",
                        "tier_row_differs",
                        tier_no=tier.tier_no,
                        subject=name,
                        expected=expected,
                        found=None if row is None else getattr(row, name),
                        message=f"{name} of the tier's row is not what was published",
                    )
                )
    return found


def check_conservation(view: EventView) -> list[Violation]:
    """I1: capacity = available + held + sold + blocked for each tier, and none is below zero."""
    found: list[Violation] = []
    for tier_no, counters in _counters(view):
        values = {name: number(text) for name, text in counters.items()}
        if None in values.values():
            found.append(
                of_event(
                    view,
                    "I1",
                    "counter_unreadable",
                    tier_no=tier_no,
                    expected="five integers",
                    found=str(dict(counters)),
                    message="a counter is missing or is no integer",
                )
            )
            continue
        capacity, *parts = (value or 0 for value in values.values())
        if min(parts) < 0:
            found.append(
                of_event(
                    view,
                    "I1",
                    "counter_negative",
                    tier_no=tier_no,
                    expected=0,
                    found=min(parts),
                    message=f"a counter is below zero: {_shown(counters)}",
                )
            )
        if capacity != sum(parts):
            found.append(
                of_event(
                    view,
                    "I1",
                    "places_not_conserved",
                    tier_no=tier_no,
                    expected=capacity,
                    found=sum(parts),
                    message=f"the parts do not add up to the capacity: {_shown(counters)}",
                )
            )
    return found


def check_counters(view: EventView) -> list[Violation]:
    """I8: each tier's counters are exactly what the records up to the watermark make them."""
    if view.published is None or not view.stock:
        return []
    taken = sold(view.expected.values())
    capacities = {tier.tier_no: tier.capacity for tier in view.published.tiers}
    found: list[Violation] = []
    for tier_no in sorted(capacities.keys() | taken.keys()):
        held, blocked = view.held.get(tier_no, 0), _stock(view, tier_no, "blocked") or 0
        left = capacities.get(tier_no, 0) - taken[tier_no] - held - blocked
        for name, expected in (("sold", taken[tier_no]), ("available", left)):
            got = _stock(view, tier_no, name)
            if got != expected:
                found.append(
                    of_event(
                        view,
                        "I8",
                        f"{name}_differs",
                        tier_no=tier_no,
                        expected=expected,
                        found=got,
                        message=f"{name} places in Redis are not what the records say",
                    )
                )
    return found


def check_partition(view: EventView) -> list[Violation]:
    """I2: places counted as sold or held are exactly those of live bookings and holds in Redis."""
    if not view.stock:
        return []
    at_watermark = (view.at_watermark(booking) for booking in view.bookings.values())
    taken = sold(booking for booking in at_watermark if booking is not None)
    found: list[Violation] = []
    for tier_no, _ in _counters(view):
        for name, expected in (("sold", taken[tier_no]), ("held", view.held.get(tier_no, 0))):
            got = _stock(view, tier_no, name)
            if got != expected:
                owners = "bookings" if name == "sold" else "holds"
                found.append(
                    of_event(
                        view,
                        "I2",
                        f"{name}_without_owner",
                        tier_no=tier_no,
                        expected=expected,
                        found=got,
                        message=f"{name} places differ from those of live {owners}",
                    )
                )
    return found


def check_deadlines(view: EventView) -> list[Violation]:
    """I10: every live hold has a deadline, so that it ends."""
    return [
        of_event(
            view,
            "I10",
            "hold_endless",
            subject=hold_id,
            seq=view.holds[hold_id].seq,
            tier_no=view.holds[hold_id].items[0].tier_no,
            expected="a deadline",
            found="none",
            message=f"{hold_id} is live and has no deadline: it would never end",
        )
        for hold_id in view.endless
    ]


SHARD_CHECKS: tuple[Callable[[ShardView], list[Violation]], ...] = (check_door, check_journal)
EVENT_CHECKS: tuple[Callable[[EventView], list[Violation]], ...] = (
    check_broken,
    check_loaded,
    check_stock_constants,
    check_conservation,
    check_counters,
    check_partition,
    check_deadlines,
    check_seats,
    check_bookings,
    check_rows,
    check_ids,
    check_persons,
    check_promos,
    check_waitlist,
    check_tickets,
)


def _counters(view: EventView) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    for tier_no in range(1, (number(view.stock.get("tier_count")) or 0) + 1):
        yield tier_no, {name: view.stock.get(f"{tier_no}.{name}") for name in COUNTERS}


def _loaded(view: EventView, tier_no: int, name: str) -> str | None:
    if name == "is_hidden":
        return str(int(f"+{tier_no}+" in view.stock.get("hidden", "")))
    return view.stock.get(f"{tier_no}.{name}", "0" if name in TIER_RULES else None)


def _stock(view: EventView, tier_no: int, name: str) -> int | None:
    return number(view.stock.get(f"{tier_no}.{name}"))


def _shown(counters: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counters.items())
