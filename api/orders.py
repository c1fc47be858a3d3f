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
from api.http import PRINCIPAL, decode, encode, idempotency_key, read_raw
from api.memory import remember
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


class Wish(NamedTuple):
    """A valid body of an order of a known event, and what the engine needs of it."""

    known: Known
    body: Order
    fingerprint: str
    detail: bytes
    lines: tuple[commands.Line, ...]
    #: For each line, the item that it came from.
    origins: tuple[int, ...]


class Received(NamedTuple):
    """A valid order, ready to be sent."""

    wish: Wish
    command: commands.Order

    @property
    def known(self) -> Known:
        """The event that it is for."""
        return self.wish.known

    def refusal(self, refused: Refused) -> Problem:
        """Turn the refusal of the order into the answer; to be returned, since others share it."""
        wish = self.wish
        key = (self.command.event_id, wish.fingerprint, refused.status, *refused.fields.values())
        problem = _refusals.get(key)
        if problem is None:
            tier_nos = [line[0] for line in wish.lines]
            problem = refusal_of(wish.known, wish.body, tier_nos, wish.origins, refused)
            # One that passes by itself says when: hardly two are the same.
            if not refused.status.is_transient:
                remember(_refusals, key, problem, most=MEMORY_ENTRIES_MAX)
        return problem


#: Bodies of orders of an event: in a rush the same few come again and again. An entry holds for
#: the very `Known` that it was made with.
_wishes: dict[tuple[str, bytes], Wish] = {}
#: What orders' items cost, as JSON, by event; neither tiers' ids nor an event's currency change.
_priced: dict[tuple[str, tuple[Item, ...]], str] = {}
#: Final refusals of orders, by event, request and all that the script said.
_refusals: dict[tuple[int | str, ...], Problem] = {}
MEMORY_ENTRIES_MAX = 4_096
#: Longer bodies are not worth remembering.
WISH_BYTES_MAX = 512
_PLAIN_DETAIL = b"{}"


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
    raw = await read_raw(request)
    wish = _wishes.get((event_id, raw))
    if wish is None or wish.known is not services.catalog.get(event_id):
        wish = await _understand(services, event_id, raw)
        if wish.detail == _PLAIN_DETAIL and len(raw) <= WISH_BYTES_MAX:
            remember(_wishes, (event_id, raw), wish, most=MEMORY_ENTRIES_MAX)
    user_id = request[PRINCIPAL].user_id
    own_id = make_id(event_id=event_id, user_id=user_id, idempotency_key=key)
    return Received(
        wish,
        commands.Order(
            event_id, own_id, user_id, wish.fingerprint, wish.detail, wish.lines, ttl_ms
        ),
    )


async def _understand(services: Services, event_id: str, raw: bytes) -> Wish:
    """Validate an order's body and translate it."""
    body = decode(raw, _ORDER)
    known = services.catalog.get(event_id) or await find_event(services, event_id)
    if not all(item.tier_id is None or item.tier_id in known.tier_nos for item in body.items):
        wanted = frozenset(item.tier_id for item in body.items if item.tier_id is not None)
        known = await find_event(services, event_id, wanted)
    lines, origins = lines_of(known, body)
    fingerprint = with_promo(
        blake2b(_CANONICAL.encode(body), digest_size=FINGERPRINT_BYTES).hexdigest(),
        body.promo_code and body.promo_code.upper(),
    )
    return Wish(known, body, fingerprint, _detail(body), lines, origins)


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


def priced(known: Known, event_id: str, items: tuple[Item, ...]) -> str:
    """Return the members `items` and `total` of an answer, as JSON."""
    text = _priced.get((event_id, items))
    if text is None:
        rows, total = encode(items_of(known, items)), encode(total_of(known, items))
        text = f'"items":{rows.decode()},"total":{total.decode()}'
        remember(_priced, (event_id, items), text, most=MEMORY_ENTRIES_MAX)
    return text


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
