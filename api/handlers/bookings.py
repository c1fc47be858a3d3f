"""Bookings: the hot path, and what one does with a booking afterwards."""

from __future__ import annotations

import asyncio
import datetime as dt

import msgspec
from aiohttp import web

from api import metrics
from api.acks import Promise
from api.catalog import Known
from api.http import (
    PERSONAL,
    PRINCIPAL,
    answer,
    decode_cursor,
    encode,
    encode_cursor,
    page_limit,
    read_body,
)
from api.lean import LeanAnswer
from api.moments import moment_of, moment_text
from api.orders import find_event, items_of, priced, receive
from api.problems import Problem, invalid, not_found, refusal, unavailable
from api.schemas import Booking, BookingPage, CancelBooking, Money, Scalar
from api.services import SERVICES, Services
from api.tickets import show
from engine import keys
from engine.commands import CancelItem, Order, Own
from engine.ids import booking_id, is_id
from engine.outcomes import Booked, Refused
from engine.records import Item
from store import bookings, tickets

_CANCEL = msgspec.json.Decoder(CancelBooking)
_FAR_AHEAD = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)


async def book(request: web.Request) -> web.StreamResponse | Problem:
    """
    Book places at once.

    Answers when the booking is on Redis's disk, or where `Prefer` asks for it to be. Repeating
    the request with the same Idempotency-Key gives the same booking, with the header
    `Idempotent-Replayed: true`.
    """
    services = request.app[SERVICES]
    received = await receive(request, booking_id)
    wish, command = received
    promise = services.acks.promise(request, wish.known.shard)
    outcome = await services.engine.book(wish.known.shard, command)
    if isinstance(outcome, Refused):
        metrics.count(metrics.bookings_of(outcome.status.value.lower()))
        return received.refusal(outcome)
    metrics.count(metrics.bookings_of("replayed" if outcome.is_replay else "booked"))
    # What the buyer wrote is in the request, equal to the first one's by fingerprint.
    detail = (wish.body.special_requests, wish.body.metadata)
    return await answer_booking(services, wish.known, command, promise, outcome, detail)


async def read(request: web.Request) -> web.StreamResponse:
    """Read one booking of one's own."""
    services = request.app[SERVICES]
    row = await _own_booking(request)
    body = (await _from_rows(services, [row]))[0]
    return answer(await _with_tickets(services, row, body), headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse:
    """List one's bookings, newest first."""
    services = request.app[SERVICES]
    limit = page_limit(request)
    before = decode_cursor(request, (_FAR_AHEAD, ""))
    up_to_date = await catch_up(services)
    found = await bookings.of_user(
        services.pool, request[PRINCIPAL].user_id, before=before, limit=limit + 1
    )
    page = found[:limit]
    has_more = len(found) > limit
    body = BookingPage(
        data=await _from_rows(services, page),
        has_more=has_more,
        next_cursor=encode_cursor(page[-1].created_at, page[-1].id) if has_more else None,
        up_to_date=up_to_date,
    )
    return answer(body, headers=PERSONAL)


async def cancel(request: web.Request) -> web.StreamResponse:
    """
    Cancel a booking of one's own, or some of its places; they are on sale again at once.

    May be repeated: a second cancellation changes nothing and gives the same answer.
    """
    services = request.app[SERVICES]
    row = await _own_booking(request)
    if await request.read():
        return await _cancel_items(request, row)
    outcome = await services.engine.cancel(row.shard, Own(row.event_id, row.id, row.user_id))
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    # The caller's next read should not show the booking alive.
    await services.watermark.reach(
        shard=row.shard,
        epoch=outcome.epoch,
        seq=outcome.seq,
        timeout_ms=services.catch_up_timeout_ms,
    )
    body = await _with_tickets(services, row, (await _from_rows(services, [row]))[0])
    body = msgspec.structs.replace(
        body,
        status="cancelled",
        cancelled_at=moment_of(outcome.at_ms),
        version=row.version + (row.status != "cancelled"),
        tickets=[
            msgspec.structs.replace(ticket, status="cancelled", code=None)
            for ticket in body.tickets
        ],
    )
    headers = PERSONAL | ({"Idempotent-Replayed": "true"} if outcome.is_replay else {})
    return answer(body, headers=headers)


async def _cancel_items(request: web.Request, row: bookings.Booking) -> web.StreamResponse:
    """Give back some places; the version that the request names makes a repetition harmless."""
    services = request.app[SERVICES]
    body = await read_body(request, _CANCEL)
    if body.version is None:
        raise Problem(
            428,
            "precondition_required",
            "The request must say which version it changes.",
            errors=[("/version", "must be the booking's version, as read before")],
        )
    known = await find_event(services, row.event_id)
    lines: dict[int, int] = {}
    for index, item in enumerate(body.items):
        tier_no = known.tier_nos.get(item.tier_id)
        if tier_no is None:
            raise invalid(f"/items/{index}/tier_id", "is not a tier of this event")
        if tier_no in lines:
            raise invalid(f"/items/{index}/tier_id", "stands on another line already")
        lines[tier_no] = item.quantity
    command = CancelItem(row.event_id, row.id, row.user_id, body.version, tuple(lines.items()))
    outcome = await services.engine.cancel_item(row.shard, command)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    reached = await services.watermark.reach(
        shard=row.shard,
        epoch=outcome.epoch,
        seq=outcome.seq,
        timeout_ms=services.catch_up_timeout_ms,
    )
    if not reached:
        raise unavailable("catching_up", "The places are given back; PostgreSQL is behind.")
    now = await find_booking(services, row.id)
    made = await _with_tickets(services, now, (await _from_rows(services, [now]))[0])
    headers = PERSONAL | ({"Idempotent-Replayed": "true"} if outcome.is_replay else {})
    return answer(made, headers=headers)


async def _with_tickets(services: Services, row: bookings.Booking, body: Booking) -> Booking:
    found = await tickets.of_bookings(services.pool, [(row.event_id, row.id)])
    shown = [await show(services, ticket, row.user_id) for ticket in found.get(row.id, [])]
    return msgspec.structs.replace(body, tickets=shown)


async def answer_booking(
    services: Services,
    known: Known,
    own: Order | Own,
    promise: Promise,
    outcome: Booked,
    detail: tuple[str, dict[str, Scalar]],
) -> LeanAnswer:
    """
    Answer that a booking was made, by this request or an earlier one like it.

    The booking is as the script's reply has it, before PostgreSQL knows of it.

    Args:
        own: Names event and booking.

        promise: What is waited for first.

        detail: Special requests and metadata.

    Raises:
        Problem: what was promised is not true in time.
    """
    await services.acks.keep(promise, known.shard, outcome)
    receipt = services.receipts.of(outcome, own.id) if services.receipts else None
    headers = f"Cache-Control: private, no-store\r\nLocation: /v1/bookings/{own.id}\r\n"
    for name, value in promise.headers.items():
        headers += f"{name}: {value}\r\n"
    if outcome.is_replay:
        headers += "Idempotent-Replayed: true\r\n"
    return LeanAnswer(201, _confirmed(known, own, promise, outcome, receipt, detail), headers)


def _confirmed(
    known: Known,
    own: Order | Own,
    promise: Promise,
    outcome: Booked,
    receipt: str | None,
    detail: tuple[str, dict[str, Scalar]],
) -> bytes:
    """
    Write a new booking's answer: a `Booking` as JSON.

    By hand, since most of it is the same for all who order the same; ids, levels and receipts
    have no character to escape.
    """
    special_requests, metadata = detail
    quoted = f'"{receipt}"' if receipt else "null"
    noted = '"special_requests":"","metadata":{}'
    if special_requests or metadata:
        noted = (
            f'"special_requests":{encode(special_requests).decode()},'
            f'"metadata":{encode(metadata).decode()}'
        )
    return (
        f'{{"id":"{own.id}","event_id":"{own.event_id}","status":"confirmed",'
        f"{priced(known, own.event_id, outcome.items)},"
        f'"created_at":"{moment_text(outcome.at_ms)}","cancelled_at":null,'
        f'"durability":"{promise.level}","seq":{outcome.seq},'
        f'"receipt":{quoted},{noted},"version":1,"tickets":[]}}'
    ).encode()


async def _own_booking(request: web.Request) -> bookings.Booking:
    """
    Return the booking of the path if it is the caller's; else 404, whatever it is (S8).

    A booking that PostgreSQL does not have may be so new that it is still on its way.
    """
    row = await find_booking(request.app[SERVICES], request.match_info["booking_id"])
    if row.user_id != request[PRINCIPAL].user_id:
        raise not_found()
    return row


async def find_booking(services: Services, own_id: str) -> bookings.Booking:
    """Return a booking, whoever has it; 404 if there is none."""
    if not is_id("bk", own_id):
        raise not_found()
    row = await bookings.by_id(services.pool, own_id)
    if row is None:
        up_to_date = await catch_up(services)
        row = await bookings.by_id(services.pool, own_id)
        if row is None and not up_to_date:
            raise unavailable("catching_up", "PostgreSQL is behind; try again shortly.")
    if row is None:
        raise not_found()
    return row


async def catch_up(services: Services) -> bool:
    """
    Wait until PostgreSQL has all that Redis has now; False if it takes too long.

    A Redis that is not in the reign, say for a FLUSHALL that nobody has noticed yet, cannot tell
    what there was: what it lacks must not be denied (F13).
    """

    async def one(shard: int) -> bool:
        reign = services.engine.reign(shard)
        epoch, state, seq = await services.engine.client(shard).hmget(
            keys.meta(shard), ["epoch", "state", "seq"]
        )
        if (epoch, state) != (str(reign.epoch).encode(), b"open"):
            return False
        return await services.watermark.reach(
            shard=shard,
            epoch=reign.epoch,
            seq=int(seq or 0),
            timeout_ms=services.catch_up_timeout_ms,
        )

    return all(await asyncio.gather(*(one(shard) for shard in range(services.shards))))


async def _from_rows(services: Services, rows: list[bookings.Booking]) -> list[Booking]:
    items = await bookings.items_of(services.pool, rows)
    answers = []
    for row in rows:
        known = await find_event(services, row.event_id)
        lines = tuple(
            Item(item.tier_no, item.quantity, item.unit_price_minor, item.seat_ids)
            for item in items.get(row.id, [])
        )
        answers.append(
            Booking(
                id=row.id,
                event_id=row.event_id,
                status=row.status,  # type: ignore[arg-type]  # The enum has the same values.
                items=items_of(known, lines),
                total=Money(row.total_minor, known.currency),
                created_at=row.created_at,
                cancelled_at=row.cancelled_at,
                durability="database",
                seq=row.seq,
                version=row.version,
                special_requests=row.special_requests or "",
                metadata=msgspec.json.decode(row.metadata) if row.metadata else {},
            )
        )
    return answers
