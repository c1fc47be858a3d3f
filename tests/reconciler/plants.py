"""Drift that is planted in a little sale: what `check` must name, and `repair` put right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from engine import keys
from tests.checks import ask
from tests.reconciler.conftest import Sold

Plant = Callable[[Sold], Awaitable[object]]


class Named(NamedTuple):
    """What one violation names; None: a booking or a figure that is not looked at."""

    code: str
    tier_no: int
    booking: int | None = None
    expected: object = None
    found: object = None
    seq: int | None = None
    invariant: str | None = None


class Drift(NamedTuple):
    """A plant, and all that is found of it."""

    plant: Plant
    #: All codes, and no others.
    codes: str
    named: Sequence[Named]
    is_repaired: bool = True


def sql(text: str, number: int) -> Plant:
    """Run a statement with the id of booking *number*."""
    return lambda sold: sold.office.database.execute(text, sold.bookings[number])


def redis(command: str, key: str, *words: object) -> Plant:
    """Run a command on a key of the event; words may be ("booking", number) or ("user", number)."""

    def plant(sold: Sold) -> Awaitable[object]:
        names = keys.event(sold.office.shard, sold.event.event_id)
        lists = {"booking": sold.bookings, "user": sold.users}
        told = [lists[word[0]][word[1]] if isinstance(word, tuple) else word for word in words]
        return ask(sold.office.redis, command, getattr(names, key), *told)

    return plant


def stock(*changes: object) -> Plant:
    """Add to counters of the event: field, change, field, change ..."""

    async def plant(sold: Sold) -> None:
        for field, change in zip(changes[::2], changes[1::2], strict=True):
            await redis("HINCRBY", "stock", field, change)(sold)

    return plant


def without_record(seq: int) -> Plant:
    """Delete a record that is not persisted yet."""
    return lambda sold: ask(sold.office.redis, "XDEL", sold.office.journal, f"{seq}-1")


_OF_EVENT = "UPDATE {} SET {} WHERE {} = (SELECT event_id FROM bookings WHERE id = $1)"
DRIFTS = {
    "lost row": Drift(
        sql("DELETE FROM bookings WHERE id = $1", 1),
        "row_missing booking_lost ticket_without_booking line_without_booking sold_differs "
        "available_differs person_differs",
        [
            Named("row_missing", 2, 1),
            Named("booking_lost", 2, 1),
            Named("sold_differs", 2, None, 1, 4),
        ],
    ),
    "lost tickets": Drift(
        sql("DELETE FROM tickets WHERE booking_id = $1", 0),
        "tickets_differ",
        [Named("tickets_differ", 1, 0, 3, 0)],
    ),
    "lost ticket": Drift(
        sql("DELETE FROM tickets WHERE booking_id = $1 AND tier_no = 2", 0),
        "tickets_differ",
        [Named("tickets_differ", 2, 0, 3, 2, invariant="I3")],
    ),
    "lost line": Drift(
        sql("DELETE FROM items WHERE booking_id = $1 AND line = 2", 0),
        "row_differs booking_differs tickets_differ total_differs sold_differs available_differs "
        "person_differs",
        [Named("row_differs", 1, 0), Named("booking_differs", 1, 0)],
    ),
    "wrong total": Drift(
        sql("UPDATE bookings SET total_minor = 7 WHERE id = $1", 0),
        "total_differs",
        [Named("total_differs", 1, 0, 14_900, 7)],
    ),
    "wrong remark, which Redis does not keep": Drift(
        sql("UPDATE bookings SET special_requests = 'x' WHERE id = $1", 0),
        "row_differs",
        [Named("row_differs", 1, 0)],
    ),
    "places from nowhere": Drift(
        stock("1.available", 3),
        "places_not_conserved available_differs",
        [
            Named("available_differs", 1, None, 1994, 1997),
            Named("places_not_conserved", 1, None, 2000, 2003),
        ],
    ),
    "wrong, but adds up": Drift(
        stock("2.available", 1, "2.sold", -1),
        "available_differs sold_differs sold_without_owner",
        [Named("sold_without_owner", 2, None, 4, 3, invariant="I2")],
    ),
    "sold too few": Drift(
        stock("2.sold", -2),
        "places_not_conserved sold_differs sold_without_owner",
        [Named("sold_differs", 2, None, 4, 2)],
    ),
    "held by nobody": Drift(
        stock("2.available", -1, "2.held", 1),
        "held_without_owner available_differs",
        [Named("held_without_owner", 2, None, 0, 1)],
    ),
    "blocked by nobody": Drift(
        stock("2.available", -1, "2.blocked", 1),
        "blocked_differs available_differs",
        [Named("blocked_differs", 2, None, 0, 1)],
    ),
    "below zero, but adds up": Drift(
        stock("1.available", -2000, "1.sold", 2000),
        "counter_negative available_differs sold_differs sold_without_owner",
        [Named("counter_negative", 1, None, 0, -6)],
    ),
    "wrong price": Drift(
        redis("HSET", "stock", "1.price_minor", 1),
        "stock_differs",
        [Named("stock_differs", 1, None, 2500, "1")],
    ),
    "another publishing": Drift(
        redis("HSET", "stock", "fingerprint", "x", "2.order_min", 3),
        "stock_differs",
        [Named("stock_differs", 2, None, 0, "3")],
    ),
    "lost booking": Drift(
        redis("HDEL", "bookings", ("booking", 0)),
        "booking_not_in_redis sold_without_owner",
        [Named("booking_not_in_redis", 1, 0)],
    ),
    "lost cancelled booking": Drift(
        redis("HDEL", "bookings", ("booking", 2)),
        "booking_not_in_redis",
        [Named("booking_not_in_redis", 1, 2)],
    ),
    "unreadable booking": Drift(
        redis("HSET", "bookings", ("booking", 1), "confirmed 1"),
        "value_unreadable sold_without_owner",
        [Named("value_unreadable", 2, 1)],
    ),
    "wrong person": Drift(
        redis("HSET", "persons", ("user", 0), 1),
        "person_differs",
        [Named("person_differs", 1, 0, 3, 1)],
    ),
    "capacity that was written and not set": Drift(
        sql(_OF_EVENT.format("tiers", "capacity = 7", "tier_no = 1 AND event_id"), 0),
        "tier_row_differs",
        [Named("tier_row_differs", 1, None, 2000, 7)],
    ),
    "lost record": Drift(
        without_record(6),
        "record_missing booking_lost sold_differs available_differs person_differs",
        [Named("record_missing", 1, 3, seq=6), Named("booking_lost", 1, 3)],
        is_repaired=False,
    ),
    "lost newest record": Drift(
        without_record(8),
        "record_missing booking_differs sold_differs available_differs person_differs",
        [Named("record_missing", 2, 4, seq=8)],
        is_repaired=False,
    ),
}
#: What names no place.
OF_NOBODY = {
    "end of the sale that was written and not set": (
        sql(_OF_EVENT.format("events", "sale_closes_at = '2999-01-01Z'", "id"), 0),
        "event_row_differs",
    ),
    "hidden": (redis("HSET", "stock", "hidden", "+1+"), "stock_differs"),
    "person": (redis("HSET", "persons", "usr_x", 5), "person_differs"),
    "promo": (redis("HSET", "promos", "X.used", 5), "promo_differs"),
}
