"""
The table of all routes: path, policy, what goes in, what comes out. OpenAPI is made from it.

A route without a policy cannot be written down, and a test holds the table against the router.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from api import schemas
from api.handlers import (
    accounts,
    availability,
    bookings,
    changes,
    events,
    gate,
    holds,
    ops,
    problems,
    receipts,
    seats,
    waitlist,
)
from api.policy import Handler, Policy
from api.problems import Code


class Route(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    policy: Policy
    #: Type of the JSON body; None if there is none.
    body: Any = None
    #: Type of the JSON answer; None if it is not JSON.
    answer: Any = None
    #: Status of success.
    status: int = 200
    #: Problem codes that are this route's own, with their HTTP status.
    problems: tuple[tuple[int, str], ...] = ()
    #: Whether the request must carry an Idempotency-Key.
    needs_key: bool = False
    #: Whether it heeds `Prefer: durability=...`.
    prefers: bool = False
    #: Whether it is served on the fast lane (`api.lane`); its answers are lean.
    is_hot: bool = False
    #: Names of query parameters.
    query: tuple[str, ...] = ()


_SALE = (
    (409, "sold_out"),
    (409, "all_held"),
    (409, "limit_reached"),
    (409, "sale_not_open"),
    (409, "sale_closed"),
    (409, "not_on_sale"),
    (409, "seat_taken"),
    (409, "not_together"),
    (409, "promo_exhausted"),
    (422, "idempotency_key_reused"),
    (503, "shard_recovering"),
    (503, "backpressure"),
    (503, "outcome_unknown"),
)
_LIMITED = (*_SALE, (429, "rate_limited"))
_SHUT = ((503, "shard_recovering"), (503, "outcome_unknown"))
_OWN = ((403, "forbidden"), (404, "not_found"))
_TICKET = ((409, "already_checked_in"), (410, "ticket_cancelled"), (410, "ticket_superseded"))
_HOLD = ((410, "hold_expired"), (410, "hold_released"))
_SEATS = (
    (403, "forbidden"),
    (404, "not_found"),
    (409, "not_on_sale"),
    (409, "seat_taken"),
    (503, "backpressure"),
)
_PAGE = ("limit", "after")

ROUTES: tuple[Route, ...] = (
    # The hot path stands first: the router tries routes in order.
    Route(
        "POST",
        "/v1/events/{event_id}/bookings",
        bookings.book,
        Policy.USER,
        schemas.Order,
        schemas.Booking,
        201,
        ((400, "idempotency_key_missing"), (404, "not_found"), *_LIMITED),
        needs_key=True,
        prefers=True,
        is_hot=True,
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/holds",
        holds.create,
        Policy.USER,
        schemas.Order,
        schemas.Hold,
        201,
        ((400, "idempotency_key_missing"), (404, "not_found"), *_SALE),
        needs_key=True,
        prefers=True,
        is_hot=True,
    ),
    Route(
        "POST",
        "/v1/holds/{hold_id}/confirm",
        holds.confirm,
        Policy.USER,
        None,
        schemas.Booking,
        201,
        ((404, "not_found"), *_HOLD, *_SHUT),
        prefers=True,
        is_hot=True,
    ),
    Route(
        "GET",
        "/v1/events/{event_id}/availability",
        availability.read,
        Policy.PUBLIC,
        None,
        schemas.Availability,
        200,
        ((404, "not_found"), (409, "not_on_sale"), *_SHUT),
        query=("promo_code",),
        is_hot=True,
    ),
    Route(
        "GET",
        "/v1/events/{event_id}/seats",
        seats.read,
        Policy.PUBLIC,
        None,
        schemas.SeatMap,
        200,
        ((404, "not_found"), (409, "not_on_sale"), *_SHUT),
        query=("since", "promo_code"),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/seats/block",
        seats.block,
        Policy.ORGANIZER,
        schemas.SeatIds,
        schemas.SeatsShifted,
        200,
        (*_SEATS, *_SHUT),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/seats/unblock",
        seats.unblock,
        Policy.ORGANIZER,
        schemas.SeatIds,
        schemas.SeatsShifted,
        200,
        (*_SEATS, *_SHUT),
    ),
    Route(
        "POST",
        "/v1/auth/register",
        accounts.register,
        Policy.PUBLIC,
        schemas.Register,
        schemas.Token,
        201,
        ((409, "email_taken"),),
    ),
    Route(
        "POST",
        "/v1/auth/login",
        accounts.login,
        Policy.PUBLIC,
        schemas.Login,
        schemas.Token,
        200,
        ((401, "wrong_credentials"),),
    ),
    Route("GET", "/v1/me", accounts.me, Policy.USER, None, schemas.Me),
    Route(
        "POST",
        "/v1/events",
        events.create,
        Policy.ORGANIZER,
        schemas.NewEvent,
        schemas.Event,
        201,
        ((403, "forbidden"),),
    ),
    Route(
        "GET",
        "/v1/events",
        events.listing,
        Policy.PUBLIC,
        None,
        schemas.EventPage,
        query=("q", "category", "from", "to", *_PAGE),
    ),
    Route(
        "GET",
        "/v1/events/{event_id}",
        events.read,
        Policy.PUBLIC,
        None,
        schemas.Event,
        200,
        ((404, "not_found"),),
        query=("promo_code",),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/publish",
        events.publish,
        Policy.ORGANIZER,
        None,
        schemas.Event,
        200,
        ((403, "forbidden"), (404, "not_found"), *_SHUT),
    ),
    Route(
        "GET",
        "/v1/holds/{hold_id}",
        holds.read,
        Policy.USER,
        None,
        schemas.Hold,
        200,
        ((404, "not_found"), (503, "shard_recovering")),
    ),
    Route(
        "POST",
        "/v1/holds/{hold_id}/extend",
        holds.extend,
        Policy.USER,
        None,
        schemas.Hold,
        200,
        ((404, "not_found"), (409, "extension_limit"), (409, "hold_confirmed"), *_HOLD, *_SHUT),
    ),
    Route(
        "DELETE",
        "/v1/holds/{hold_id}",
        holds.release,
        Policy.USER,
        None,
        None,
        204,
        ((404, "not_found"), (409, "hold_confirmed"), *_SHUT),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/waitlist",
        waitlist.join,
        Policy.USER,
        schemas.Join,
        schemas.WaitlistEntry,
        201,
        (
            (400, "idempotency_key_missing"),
            (404, "not_found"),
            (409, "already_waiting"),
            (409, "places_available"),
            (409, "waitlist_full"),
            (409, "limit_reached"),
            (409, "sale_not_open"),
            (409, "sale_closed"),
            (409, "not_on_sale"),
            (422, "idempotency_key_reused"),
            (503, "backpressure"),
            *_SHUT,
        ),
        needs_key=True,
    ),
    Route(
        "GET",
        "/v1/waitlist",
        waitlist.listing,
        Policy.USER,
        None,
        schemas.WaitlistPage,
        200,
        _SHUT,
        query=_PAGE,
    ),
    Route(
        "GET",
        "/v1/waitlist/{entry_id}",
        waitlist.read,
        Policy.USER,
        None,
        schemas.WaitlistEntry,
        200,
        ((404, "not_found"), (503, "shard_recovering")),
    ),
    Route(
        "DELETE",
        "/v1/waitlist/{entry_id}",
        waitlist.leave,
        Policy.USER,
        None,
        None,
        204,
        ((404, "not_found"), (409, "hold_confirmed"), *_SHUT),
    ),
    Route(
        "POST",
        "/v1/offers/{offer_id}/accept",
        waitlist.accept,
        Policy.USER,
        None,
        schemas.Booking,
        201,
        ((404, "not_found"), *_HOLD, *_SHUT),
        prefers=True,
    ),
    Route(
        "POST",
        "/v1/offers/{offer_id}/decline",
        waitlist.decline,
        Policy.USER,
        None,
        schemas.WaitlistEntry,
        200,
        ((404, "not_found"), (409, "hold_confirmed"), *_SHUT),
    ),
    Route(
        "GET", "/v1/bookings", bookings.listing, Policy.USER, None, schemas.BookingPage, query=_PAGE
    ),
    Route(
        "GET",
        "/v1/bookings/{booking_id}",
        bookings.read,
        Policy.USER,
        None,
        schemas.Booking,
        200,
        ((404, "not_found"), (503, "catching_up")),
    ),
    Route(
        "POST",
        "/v1/bookings/{booking_id}/cancel",
        bookings.cancel,
        Policy.USER,
        None,
        schemas.Booking,
        200,
        (
            (404, "not_found"),
            (409, "version_changed"),
            (409, "not_in_booking"),
            (409, "already_checked_in"),
            (428, "precondition_required"),
            *_SHUT,
        ),
    ),
    Route("GET", "/v1/receipt-key", receipts.keys, Policy.PUBLIC, None, schemas.ReceiptKeys),
    Route("GET", "/v1/ticket-key", gate.keys, Policy.PUBLIC, None, schemas.TicketKeys),
    Route("GET", "/v1/tickets", gate.listing, Policy.USER, None, schemas.TicketList),
    Route(
        "POST",
        "/v1/tickets/{code}/check-in",
        gate.check_in,
        Policy.STAFF,
        None,
        schemas.Scanned,
        200,
        ((403, "forbidden"), (404, "not_found"), *_TICKET, *_SHUT),
    ),
    Route(
        "POST",
        "/v1/tickets/{code}/undo",
        gate.undo,
        Policy.STAFF,
        None,
        schemas.Scanned,
        200,
        ((403, "forbidden"), (404, "not_found"), *_TICKET, (409, "not_checked_in"), *_SHUT),
    ),
    Route(
        "POST",
        "/v1/tickets/{ticket_id}/transfer",
        gate.transfer,
        Policy.USER,
        schemas.Transfer,
        schemas.Transferred,
        200,
        ((404, "not_found"), *_TICKET, *_SHUT),
    ),
    Route(
        "PATCH",
        "/v1/events/{event_id}",
        changes.change,
        Policy.ORGANIZER,
        schemas.EventChange,
        schemas.Event,
        200,
        (
            *_OWN,
            (409, "capacity_below_taken"),
            (409, "event_cancelled"),
            (412, "precondition_failed"),
            (428, "precondition_required"),
            *_SHUT,
        ),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/close",
        changes.close,
        Policy.ORGANIZER,
        None,
        schemas.Event,
        200,
        (*_OWN, (409, "not_on_sale"), *_SHUT),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/reopen",
        changes.reopen,
        Policy.ORGANIZER,
        schemas.Reopening,
        schemas.Event,
        200,
        (*_OWN, (409, "not_on_sale"), (409, "event_cancelled"), (409, "sale_closed"), *_SHUT),
    ),
    Route(
        "POST",
        "/v1/events/{event_id}/cancel",
        changes.cancel,
        Policy.ORGANIZER,
        None,
        schemas.Cancellation,
        202,
        (*_OWN, (409, "not_on_sale"), *_SHUT),
    ),
    Route(
        "GET",
        "/v1/events/{event_id}/cancel",
        changes.cancellation,
        Policy.ORGANIZER,
        None,
        schemas.Cancellation,
        200,
        (*_OWN, *_SHUT),
    ),
    Route("GET", "/healthz", ops.healthz, Policy.OPS, None, schemas.Health),
    Route("GET", "/readyz", ops.readyz, Policy.OPS, None, schemas.Health),
    Route("GET", "/metrics", ops.metrics_text, Policy.OPS),
    Route("GET", "/openapi.json", ops.openapi, Policy.PUBLIC),
    Route("GET", "/problems", problems.index, Policy.PUBLIC, None, problems.Codes),
    Route(
        "GET",
        "/problems/{code}",
        problems.page,
        Policy.PUBLIC,
        None,
        Code,
        200,
        ((404, "not_found"),),
    ),
)
