"""
Orders: what a buyer asks for, from the request to the engine; what `book` and `hold` share.

An order's items become lines, one for each tier: an item may name seats of several tiers, and a
refusal of a line is told of the item that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from engine import seats
from engine.commands import ORDER_LINES_MAX, Line
from engine.ids import ORDER_PLACES_MAX, with_promo
from engine.outcomes import Refused
from engine.records import Item
from engine.seats import parse_seat_id
from engine.status import Status
from usecases.asked import Money, Order, OrderItem, Scalar
from usecases.catalog import Known
from usecases.denials import Denied, as_value, invalid
from usecases.services import Services
from usecases.tokens import Principal
from usecases.told import BookingItem

#: Sorted keys: the same request in another order of fields is the same request.
_CANONICAL = msgspec.json.Encoder(order="sorted")
FINGERPRINT_BYTES = 8
#: Said alike of tiers that are not there and of hidden ones that nothing unlocks.
NO_TIER = "is not a tier of this event"
_NO_SEAT = "is not a seat of this event"


class Wish(NamedTuple):
    """A valid order of a known event, and what the engine needs of it; it may be kept."""

    event_id: str
    known: Known
    order: Order
    fingerprint: str
    detail: bytes
    lines: tuple[Line, ...]
    #: For each line, the item that it came from.
    origins: tuple[int, ...]


@as_value
async def understand(services: Services, person: Principal, event_id: str, order: Order) -> Wish:
    """Check what an order's bounds cannot say, and translate it."""
    known = services.catalog.get(event_id) or await services.catalog.need(event_id, person=person)
    if not all(item.tier_id is None or item.tier_id in known.tier_nos for item in order.items):
        wanted = frozenset(item.tier_id for item in order.items if item.tier_id is not None)
        known = await services.catalog.need(event_id, wanted)
    lines, origins = _lines_of(known, order)
    fingerprint = with_promo(fingerprint_of(order), order.promo_code)
    return Wish(event_id, known, order, fingerprint, _detail(order), lines, origins)


def fingerprint_of(asked: msgspec.Struct) -> str:
    """Return what tells a request from another under the same key."""
    return blake2b(_CANONICAL.encode(asked), digest_size=FINGERPRINT_BYTES).hexdigest()


def denial_of(wish: Wish, refused: Refused) -> Denied | Refused:
    """Say of the refusal of an order which item, as the buyer sent it, stands in the way."""
    line = refused.fields.get("line")
    if line is None:
        return refused
    items, number = wish.order.items, wish.origins[int(line) - 1]
    if refused.status is Status.UNKNOWN_TIER:
        return _unknown(wish.known, number, items[number].seat_ids, wish.lines[int(line) - 1][0])
    if "seat_id" in refused.fields:
        for at, item in enumerate(items):
            seat_ids = item.seat_ids or []
            if refused.fields["seat_id"] in seat_ids:
                number = at
                if refused.status is Status.UNKNOWN_SEAT:
                    place = seat_ids.index(str(refused.fields["seat_id"]))
                    return _unknown_seat(at, place)
    return Refused(refused.status, refused.fields | {"line": number + 1})


def items_of(known: Known, items: tuple[Item, ...]) -> list[BookingItem]:
    """Turn an order's items, as the engine has them, into the answer's."""
    return [
        BookingItem(
            tier_id=known.tier_ids[item.tier_no],
            quantity=item.quantity,
            seat_ids=list(item.seat_ids),
            unit_price=Money(item.unit_price_minor, known.currency),
        )
        for item in items
    ]


def total_of(known: Known, items: tuple[Item, ...]) -> Money:
    """Return what an order's items cost together."""
    return Money(sum(item.quantity * item.unit_price_minor for item in items), known.currency)


def detail_of(raw: bytes | str | None) -> tuple[str, dict[str, Scalar]]:
    """Return special requests and metadata from the JSON that was kept with an order."""
    kept: dict[str, Any] = msgspec.json.decode(raw) if raw else {}
    return kept.get("special_requests", ""), kept.get("metadata", {})


def _lines_of(known: Known, order: Order) -> tuple[tuple[Line, ...], tuple[int, ...]]:
    """
    Turn the order's items into lines; check what the schema cannot say.

    Returns:
        The lines, and for each the number of the item that it came from.
    """
    if len(order.items) == 1 and order.items[0].seat_ids is None:
        # What most orders are.
        return (_line(known, 0, order.items[0])[1],), (0,)
    lines: dict[int, Line] = {}
    origins: dict[int, int] = {}
    named: dict[int, list[str]] = {}
    for number, item in enumerate(order.items):
        if item.seat_ids is not None:
            for tier_no, seat_ids in _seats_by_tier(known, number, item, named).items():
                named.setdefault(tier_no, []).extend(seat_ids)
                origins.setdefault(tier_no, number)
            continue
        tier_no, line = _line(known, number, item)
        if tier_no in origins:
            raise invalid(f"/items/{number}/tier_id", "stands on another line already")
        lines[tier_no], origins[tier_no] = line, number
    for tier_no, seat_ids in named.items():
        if tier_no in lines:
            number = origins[tier_no]
            raise invalid(f"/items/{number}", "has seats of a tier that stands on another line")
        lines[tier_no] = (tier_no, len(seat_ids), seats.named(seat_ids))
    if sum(line[1] for line in lines.values()) > ORDER_PLACES_MAX:
        raise invalid("/items", f"has more than {ORDER_PLACES_MAX} places in all")
    assert len(lines) <= ORDER_LINES_MAX
    ordered = sorted(lines, key=origins.__getitem__)
    return tuple(lines[tier] for tier in ordered), tuple(origins[tier] for tier in ordered)


def _line(known: Known, number: int, item: OrderItem) -> tuple[int, Line]:
    """Turn an item that names a tier into its line."""
    if item.tier_id is None:
        raise invalid(f"/items/{number}/tier_id", "is required")
    if item.quantity is None:
        raise invalid(f"/items/{number}/quantity", "is required")
    tier_no = known.tier_nos.get(item.tier_id)
    if tier_no is None:
        raise invalid(f"/items/{number}/tier_id", NO_TIER)
    if not item.best_available:
        if item.split or item.accessible:
            name = "split" if item.split else "accessible"
            raise invalid(f"/items/{number}/{name}", "needs best_available")
        return tier_no, (tier_no, item.quantity)
    if tier_no not in known.section_tiers.values():
        raise invalid(f"/items/{number}/best_available", "the tier has no seats")
    wish = seats.best(split=item.split, accessible=item.accessible)
    return tier_no, (tier_no, item.quantity, wish)


def _seats_by_tier(
    known: Known, number: int, item: OrderItem, named: Mapping[int, Sequence[str]]
) -> dict[int, list[str]]:
    """Sort the seats of an item by their tier."""
    for name in ("tier_id", "quantity", "best_available", "split", "accessible"):
        if getattr(item, name):
            raise invalid(f"/items/{number}/{name}", "does not go with seat_ids")
    found: dict[int, list[str]] = {}
    seen = {seat_id for seat_ids in named.values() for seat_id in seat_ids}
    for place, seat_id in enumerate(item.seat_ids or []):
        numbers = parse_seat_id(seat_id)
        tier_no = known.section_tiers.get(numbers[0]) if numbers else None
        if tier_no is None:
            raise _unknown_seat(number, place)
        if seat_id in seen:
            raise invalid(f"/items/{number}/seat_ids/{place}", "is named twice")
        seen.add(seat_id)
        found.setdefault(tier_no, []).append(seat_id)
    return found


def _unknown(known: Known, number: int, seat_ids: Sequence[str] | None, tier_no: int) -> Denied:
    """Answer as for a tier that is not there: it is hidden, or Redis does not have it."""
    for place, seat_id in enumerate(seat_ids or ()):
        numbers = parse_seat_id(seat_id)
        if numbers and known.section_tiers.get(numbers[0]) == tier_no:
            return _unknown_seat(number, place)
    return invalid(f"/items/{number}/tier_id", NO_TIER)


def _unknown_seat(number: int, place: int) -> Denied:
    return invalid(f"/items/{number}/seat_ids/{place}", _NO_SEAT)


def _detail(order: Order) -> bytes:
    """Encode what is kept with the order beside its items."""
    if not order.special_requests and not order.metadata:
        return b"{}"
    kept: dict[str, Any] = {}
    if order.special_requests:
        kept["special_requests"] = order.special_requests
    if order.metadata:
        kept["metadata"] = order.metadata
    return msgspec.json.encode(kept)
