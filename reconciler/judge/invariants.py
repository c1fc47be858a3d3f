"""
The invariants, each a function of a view: `check(view) -> list[Violation]`.

Numbers are those of docs/RELIABILITY.md. A view is of one moment (see `reconciler.event.view`), so
a function compares values and knows nothing of time, retries or servers. A later state of places
(holds, seats, a waiting list) is a further function in `EVENT_CHECKS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from engine import keys
from engine.pools import parse
from reconciler.event.image import Image
from reconciler.event.state import Sale
from reconciler.event.view import EventView, ShardView, number, of_event, sold
from reconciler.event.violation import Violation

COUNTERS = ("capacity", "available", "held", "sold", "blocked")
#: Fields of `stock` that are more than constants of the sale: invariant, code, and what is wrong.
_OF_STOCK = {
    "sold": ("I8", "sold_differs", "sold places in Redis are not what the records say"),
    "available": ("I8", "available_differs", "available places are not what the records say"),
    "blocked": ("I8", "blocked_differs", "blocked places are not what the records say"),
    "waiting": ("I9", "waiting_differs", "waiting entries are not those that the records have"),
}


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
    elif state == "open" and view.meta.get("state") != "open":
        add(
            "door_differs",
            "open",
            view.meta.get("state"),
            "PostgreSQL says that the shard is open, and Redis refuses",
        )
    claim = number(view.meta.get("claim", "0"))
    if claim is None or claim > epoch:
        add(
            "claim_ahead",
            epoch,
            view.meta.get("claim"),
            "Redis knows a claim that nobody made: no recovery could have the shard",
        )
    layout = view.meta.get("layout", str(keys.LAYOUT_VERSION))
    if layout != str(keys.LAYOUT_VERSION):
        add(
            "layout_differs",
            keys.LAYOUT_VERSION,
            layout,
            "the keys are said to be of another version of Evently",
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


def check_whole(view: EventView) -> list[Violation]:
    """I8: no key of an event is gone, as an eviction policy or a hand would take it."""
    if not view.lost or view.published is None:
        return []
    return [
        of_event(
            view,
            "I8",
            "key_lost",
            expected="all keys",
            found=f"without {' '.join(view.lost)}",
            message="Redis has lost keys of the event; it is shut until it is rebuilt",
        )
    ]


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


def check_stock(view: EventView, image: Image) -> list[Violation]:
    """I2, I8, I9: the sale and each tier's counters are what the records and live holds make."""
    found: list[Violation] = []
    for change in image.stock_changes(view.stock):
        tier_no, _, name = change.name.rpartition(".")
        if tier_no and name == "held":
            continue  # `check_partition` counts it by itself.
        invariant, code, message = _OF_STOCK.get(
            name, ("I8", "stock_differs", f"{name} is not what was published")
        )
        is_counter = code != "stock_differs"
        figure = number(change.wanted)
        found.append(
            of_event(
                view,
                invariant,
                code,
                tier_no=int(tier_no) if tier_no else None,
                subject="" if is_counter else name,
                expected=change.wanted if figure is None else figure,
                found=number(change.seen) if is_counter else change.seen,
                message=message,
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


def check_pools(view: EventView) -> list[Violation]:
    """
    I1: tiers that share places have no more of them taken, together, than there are.

    Counted in Redis alone, by the capacity that its own rule says; `check_stock` holds that rule to
    the records.
    """
    try:
        pools = parse(view.stock.get("pools", ""))
    except ValueError:
        return []  # `check_stock` says that it is not what was published.
    taken = {
        tier_no: sum(number(counters[name]) or 0 for name in ("held", "sold"))
        for tier_no, counters in _counters(view)
    }
    return [
        of_event(
            view,
            "I1",
            "pool_oversold",
            tier_no=pool.tier_nos[0],
            subject=f"p{pool_no}",
            expected=pool.capacity,
            found=pool.capacity - pool.left(taken),
            message=f"tiers {', '.join(map(str, pool.tier_nos))} share {pool.capacity} places, "
            f"and have {pool.capacity - pool.left(taken)} taken",
        )
        for pool_no, pool in enumerate(pools, start=1)
        if pool.left(taken) < 0
    ]


def check_partition(view: EventView) -> list[Violation]:
    """
    I2: places counted as sold or held are exactly those of live bookings and holds in Redis.

    A count of its own, of Redis alone: neither the fold of the records nor the image has a part.
    """
    if not view.stock:
        return []
    at_watermark = (view.at_watermark(booking) for booking in view.bookings.values())
    taken = sold(booking for booking in at_watermark if booking is not None)
    held: Counter[int] = Counter()
    for hold in view.live_holds.values():
        for item in hold.items:
            held[item.tier_no] += item.quantity
    return [
        of_event(
            view,
            "I2",
            f"{name}_without_owner",
            tier_no=tier_no,
            expected=expected[tier_no],
            found=number(counters[name]),
            message=f"{name} places differ from those of live {owners}",
        )
        for tier_no, counters in _counters(view)
        for name, expected, owners in (("sold", taken, "bookings"), ("held", held, "holds"))
        if number(counters[name]) != expected[tier_no]
    ]


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


def image_of(view: EventView, sale: Sale) -> Image:
    """Return what Redis must have at the watermark; its holds are its own and are believed."""
    image = Image(sale, view.state.entries)
    for booking_id, booking in view.expected.items():
        if booking.is_live:
            image.take_booking(booking_id, booking)
    for hold_id, hold in view.live_holds.items():
        image.take_hold(hold_id, hold)
    image.block(view.state.blocked)
    return image


def _counters(view: EventView) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    for tier_no in range(1, (number(view.stock.get("tier_count")) or 0) + 1):
        yield tier_no, {name: view.stock.get(f"{tier_no}.{name}") for name in COUNTERS}


def _shown(counters: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counters.items())
