"""
An order on its way from the request to the engine: what `book` and `hold` have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from api.catalog import Known
from api.http import PRINCIPAL, idempotency_key, read_body
from api.problems import Problem, invalid, not_found
from api.schemas import BookingItem, Money, Order, Scalar
from api.seating import lines_of, refusal_of
from api.services import SERVICES, Services
from engine import commands
from engine.ids import is_id, with_promo
from engine.outcomes import Refused
from engine.records import Item

_ORDER = msgspec.json.Decoder(Order)
#: Sorted keys: the same request in another order of fields is the same request.
_CANONICAL = msgspec.json.Encoder(order="sorted")
METADATA_KEY_CHARS_MAX = 100
METADATA_VALUE_CHARS_MAX = 500
FINGERPRINT_BYTES = 8


class Received(NamedTuple):
    """A valid order, ready to be sent."""

    known: Known
    body: Order
    command: commands.Order
    #: For each line of the command, the item that it came from.
    origins: tuple[int, ...]

    def refusal(self, refused: Refused) -> Problem:
        """Turn the refusal of the order into the answer."""
        tier_nos = [line[0] for line in self.command.lines]
        return refusal_of(self.known, self.body, tier_nos, self.origins, refused)


async def receive(
    request: web.Request, make_id: Callable[..., str], *, ttl_ms: int = 0
) -> Received:
    """
    Read, validate and translate the order that *request* brings.

    Args:
        make_id: Derives the id of what is ordered (`engine.ids`).

        ttl_ms: How long a hold lasts, in ms; 0 for a booking.

    Raises:
        Problem: the request is not valid, or there is no such event.
    """
    services = request.app[SERVICES]
    event_id = request.match_info["event_id"]
    key = idempotency_key(request)
    body = await read_body(request, _ORDER)
    known = services.catalog.get(event_id) or await find_event(services, event_id)
    if not all(item.tier_id is None or item.tier_id in known.tier_nos for item in body.items):
        wanted = frozenset(item.tier_id for item in body.items if item.tier_id is not None)
        known = await find_event(services, event_id, wanted)
    lines, origins = lines_of(known, body)
    user_id = request[PRINCIPAL].user_id
    command = commands.Order(
        event_id=event_id,
        id=make_id(event_id=event_id, user_id=user_id, idempotency_key=key),
        user_id=user_id,
        fingerprint=with_promo(
            blake2b(_CANONICAL.encode(body), digest_size=FINGERPRINT_BYTES).hexdigest(),
            body.promo_code and body.promo_code.upper(),
        ),
        detail=_detail(body),
        lines=lines,
        ttl_ms=ttl_ms,
    )
    return Received(known, body, command, origins)


async def find_event(
    services: Services, event_id: str, wanted_tier_ids: frozenset[str] = frozenset()
) -> Known:
    """Return what the booking path needs of an event; 404 if there is none."""
    if not is_id("evt", event_id):
        raise not_found()
    known = await services.catalog.find(event_id, wanted_tier_ids=wanted_tier_ids)
    if known is None:
        raise not_found()
    return known


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


def _detail(order: Order) -> bytes:
    """Encode what is kept with the order beside its items."""
    if not order.special_requests and not order.metadata:
        return b"{}"
    if "\0" in order.special_requests:
        raise invalid("/special_requests", "must not contain NUL")
    for name, value in order.metadata.items():
        pointer = "/metadata/" + name.replace("~", "~0").replace("/", "~1")
        if len(name) > METADATA_KEY_CHARS_MAX or "\0" in name:
            raise invalid(pointer, f"has a key of more than {METADATA_KEY_CHARS_MAX} characters")
        if isinstance(value, str) and (len(value) > METADATA_VALUE_CHARS_MAX or "\0" in value):
            raise invalid(pointer, f"has more than {METADATA_VALUE_CHARS_MAX} characters")
    kept: dict[str, Any] = {}
    if order.special_requests:
        kept["special_requests"] = order.special_requests
    if order.metadata:
        kept["metadata"] = order.metadata
    return msgspec.json.encode(kept)
