"""
What API keys and devices may call: one table of scopes and the routes that each opens (S40, S41).

A route that no scope names is closed to both, whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from usecases.asked import Scope
from usecases.bearers import DEVICE_SCOPES

_AT_EVENT = "/v1/events/{event_id}"
#: scope -> routes
OPENS: Mapping[str, tuple[str, ...]] = {
    # The organizer's own, drafts and hidden tiers as well; what is everybody's needs no scope.
    "events:read": (
        "GET /v1/events",
        "GET /v1/events/export",
        "GET /v1/organizers/{organizer_id}/events",
        f"GET {_AT_EVENT}",
        f"GET {_AT_EVENT}/availability",
        f"GET {_AT_EVENT}/seats",
        f"GET {_AT_EVENT}/cancel",
    ),
    "events:write": (
        "POST /v1/events",
        "POST /v1/events/import",
        "POST /v1/organizers/{organizer_id}/events",
        f"POST {_AT_EVENT}/duplicate",
        f"POST {_AT_EVENT}/series",
        f"PATCH {_AT_EVENT}",
        f"DELETE {_AT_EVENT}",
        f"POST {_AT_EVENT}/publish",
        f"POST {_AT_EVENT}/postpone",
        f"POST {_AT_EVENT}/close",
        f"POST {_AT_EVENT}/reopen",
        f"POST {_AT_EVENT}/cancel",
        f"POST {_AT_EVENT}/seats/block",
        f"POST {_AT_EVENT}/seats/unblock",
    ),
    # All of an event's; and what the key itself has sold.
    "orders:read": (
        f"GET {_AT_EVENT}/orders",
        f"GET {_AT_EVENT}/orders/{{booking_id}}",
        f"GET {_AT_EVENT}/waitlist",
        "GET /v1/bookings",
        "GET /v1/bookings/{booking_id}",
    ),
    # In the key's own name, at the organizer's events.
    "sell": (
        f"POST {_AT_EVENT}/bookings",
        f"POST {_AT_EVENT}/holds",
        "GET /v1/holds/{hold_id}",
        "POST /v1/holds/{hold_id}/confirm",
        "POST /v1/holds/{hold_id}/extend",
        "DELETE /v1/holds/{hold_id}",
        "GET /v1/bookings/{booking_id}",
        "POST /v1/bookings/{booking_id}/cancel",
        "GET /v1/bookings/{booking_id}/ticket.pdf",
        "GET /v1/bookings/{booking_id}/ticket.ics",
        "GET /v1/bookings/{booking_id}/qr.svg",
        "GET /v1/tickets/{ticket_id}/ticket.pdf",
        "GET /v1/tickets/{ticket_id}/ticket.ics",
        "GET /v1/tickets/{ticket_id}/qr.svg",
        "GET /v1/bookings/{booking_id}/ticket.pkpass",
        "GET /v1/bookings/{booking_id}/google-wallet",
        "GET /v1/tickets/{ticket_id}/ticket.pkpass",
        "GET /v1/tickets/{ticket_id}/google-wallet",
        "POST /v1/tickets/{ticket_id}/transfer",
    ),
    "check_in": (
        "POST /v1/tickets/{code}/check-in",
        "POST /v1/tickets/{code}/undo",
        f"POST {_AT_EVENT}/scans",
        f"GET {_AT_EVENT}/gate-list",
    ),
}
#: Devices have one scope, which no key can be made for.
OPENS_DEVICES = OPENS["check_in"]
assert set(get_args(Scope)) == OPENS.keys(), "every scope that can be asked for opens something"


def opening(method: str, path: str) -> frozenset[str]:
    """Return the scopes that open a route."""
    line = f"{method} {path}"
    found = {scope for scope, routes in OPENS.items() if line in routes}
    return frozenset(found | (DEVICE_SCOPES if line in OPENS_DEVICES else frozenset()))
