"""
Examples of bodies and answers, made from their types for the description of the API.

A value has the example of its name (`_NAMED`), or else the simplest that its type allows. A body's
example has what must be said; an answer's has all. A test holds each against its schema.
"""

from __future__ import annotations

from typing import Any

import msgspec.inspect as shapes

_SORTED = "065o2r8m9tq0a1b2c3d4e5f6g7"
_KEPT_BYTES = "kYb1mVn2Q3o4R5s6T7u8V9w0X1y2Z3a4B5c6D7e8F9g"
_MESSAGE = "msg_3b8c6f2a9d7e41f0a5c4b3d2e1f0a9b8"
_MOMENTS = {
    "created_at": "2027-03-01T09:00:00Z",
    "from": "2027-03-01T09:00:00Z",
    "to": "2027-03-02T09:00:00Z",
    "told_at": "2027-03-02T10:00:00Z",
    "made_at": "2027-03-01T09:00:00Z",
    "at": "2027-03-01T09:00:00Z",
    "as_of": "2027-03-01T09:00:00Z",
    "sale_opens_at": "2027-03-02T10:00:00Z",
    "doors_at": "2027-06-12T17:00:00Z",
    "starts_at": "2027-06-12T18:00:00Z",
    "ends_at": "2027-06-12T21:00:00Z",
    "sale_closes_at": "2027-06-12T18:00:00Z",
    "expires_at": "2027-03-02T10:10:00Z",
}
_MOMENT = "2027-03-02T10:00:00Z"
_IDS = {
    "event_id": "evt",
    "organizer_id": "org",
    "tier_id": "tier",
    "booking_id": "bk",
    "hold_id": "hold",
    "user_id": "usr",
    "owner_id": "usr",
    "person_id": "usr",
    "made_by": "usr",
    "actor": "usr",
    "subject": "evt",
    "session_id": "ses",
    "event_ids": "evt",
    "after_hold": "hold",
}
#: Ids of what has its own, by the name of its type.
_OWN_IDS = {
    "Event": "evt",
    "Tier": "tier",
    "TierChange": "tier",
    "Booking": "bk",
    "Hold": "hold",
    "Me": "usr",
    "Account": "usr",
    "Erasure": "usr",
    "SignedIn": "ses",
    "WaitlistEntry": "wl",
    "Offer": "offer",
    "Gift": "gift",
    "Organizer": "org",
    "Invitation": "inv",
    "ApiKey": "key",
    "Device": "dev",
    "Webhook": "whk",
    "Identity": "idn",
    "Passkey": "pky",
    "PushSubscription": "psh",
}
_TICKET = f"bk_{_SORTED}-1"
_WHOSE_ID_IS_A_TICKET = frozenset({"Ticket", "Scanned", "ListedTicket", "Transferred"})
_NAMED: dict[str, Any] = {
    "access_notes": "Step-free entrance from the yard; seats for wheelchairs in row A.",
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl",
    "act": "event.close",
    "address": "1 Harbour Street\n10115 Berlin",
    "algorithm": "Ed25519",
    "alg": -7,
    "amount": 2500,
    "available": 120,
    "bookings": "keep",
    "ahead_places": 4,
    "authorization_url": "https://id.example/authorize?client_id=evently&state=x",
    "capacity": 500,
    "category": "Music",
    "challenge": _KEPT_BYTES,
    "changes": None,
    "checks": {"shards": "ok", "database": "ok"},
    "code": "EARLYBIRD",
    "currency": "EUR",
    "current_password": "correct horse battery staple",
    "description": "An evening of chamber music.",
    "detail": "must be 1..200",
    "device": "Firefox on Linux",
    "direction": "offered",
    "durability": "fsync",
    "email": "ann@example.org",
    "errors": [{"pointer": "/items/0/quantity", "detail": "Expected int <= 10"}],
    "estimate_s": 420,
    "expires_in": 900,
    "refresh_expires_in": 2_592_000,
    "event_name": "Chamber music by the water",
    "field": "startDate",
    "flow": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "format": "jsonl",
    "gate": "North",
    "giver_name": "Ann",
    "has_password": True,
    "held": 8,
    "image": "https://pictures.example/harbour.jpg",
    "image_alt": "A quartet on a stage by the water",
    "instance": "/v1/events",
    "issuer": "https://id.example",
    "iss": "https://id.example",
    "key": f"evk_{_KEPT_BYTES}",
    "key_id": "a1b2c3d4",
    "kinds": "",
    "label": "1",
    "labels": None,
    "language": "en",
    "languages": ["en", "de"],
    "max_per_order": 10,
    "max_per_user": 10,
    "min_per_order": 1,
    "metadata": {"channel": "newsletter"},
    "method": "password",
    "name": "Chamber music by the water",
    "new_password": "correct horse battery staple",
    "next_cursor": None,
    "organizer_name": "Harbour Concerts",
    "origin": "192.0.2.0/24",
    "password": "correct horse battery staple",
    "place": "Berlin",
    "places_left": 12,
    "policy": "strict",
    "position": 3,
    "pointer": "/items/0/quantity",
    "prefix": "evk_kYb1mVn2",
    "problem": None,
    "provider": "example",
    "public_key": _KEPT_BYTES,
    "quantity": 2,
    "raw_id": _KEPT_BYTES,
    "receipt": _KEPT_BYTES,
    "refresh_token": f"evr_{_KEPT_BYTES}",
    "request_id": "b7a91c02d3e4-42",
    "rp_id": "tickets.example",
    "scan_id": "0b9e2f4a-6c1d-4e8f-9a3b-5d7c1e2f3a4b",
    "seat_id": "s1-12",
    "seat_ids": ["s1-12", "s1-13"],
    "section": "Stalls",
    "section_no": 1,
    "seq": 4711,
    "seats": 4,
    "signature": _KEPT_BYTES,
    "slug": "chamber-music-by-the-water",
    "special_requests": "",
    "starts": ["2027-07-10T18:00:00Z"],
    "state": _KEPT_BYTES,
    "summary": "Four strings, one harbour.",
    "tables": {"users": []},
    "ticket_id": _TICKET,
    "ticket_ids": [_TICKET],
    "sold": 372,
    "tier": "Stalls",
    "tier_name": "Stalls",
    "text": '{"@type": "Event", "name": "Chamber music", "startDate": "2027-06-12T18:00:00Z"}',
    "timeout": 300_000,
    "timezone": "Europe/Berlin",
    "title": "The request is not valid.",
    "token": _KEPT_BYTES,
    "transfers": "holder",
    "transports": ["internal"],
    "type": "/problems/invalid",
    "unit_price": {"amount": 2500, "currency": "EUR"},
    "unread": 3,
    "uses_max": 100,
    "user_verification": "required",
    "venue": "Harbour Hall",
    "version": 1,
    "waitlist_patience_s": 900,
    "waitlist_policy": "strict",
    "why": None,
}
#: Of one type alone.
_OF_TYPE: dict[tuple[str, str], Any] = {
    ("OrderChange", "why"): "asked by telephone",
    ("SeatSection", "status"): "fhsb",
    ("SeatChange", "status"): "s",
    ("SeatRow", "name"): "A",
    ("NewRow", "name"): "A",
    ("NewSection", "name"): "Stalls",
    ("SeatSection", "name"): "Stalls",
    ("SeatRow", "first_seat"): 1,
    ("TicketSeat", "row"): "A",
    ("TicketSeat", "id"): "s1-12",
    ("Tier", "name"): "Stalls",
    ("NewTier", "name"): "Stalls",
    ("Me", "name"): "Ann",
    ("Notification", "title"): "Your booking for Chamber music by the water",
    ("Notification", "page"): f"/b/bk_{_SORTED}",
    ("Notification", "kind"): "booking.confirmed",
    ("Notification", "id"): "4711",
    ("Register", "name"): "Ann",
    ("MeChange", "name"): "Ann",
    ("Account", "name"): "Ann",
    ("Member", "name"): "Ann",
    ("Organizer", "name"): "Harbour Concerts",
    ("OrganizerName", "name"): "Harbour Concerts",
    ("NewOrganizer", "name"): "Harbour Concerts",
    ("ApiKey", "name"): "Shop",
    ("NewApiKey", "name"): "Shop",
    ("Passkey", "name"): "Phone",
    ("PasskeyName", "name"): "Phone",
    ("NewPasskey", "name"): "Phone",
    ("PushSubscription", "name"): "Phone",
    ("PushSubscription", "failures"): 0,
    ("PushSubscription", "service"): "updates.push.services.mozilla.com",
    ("PushKey", "id"): "a1b2c3d4",
    ("PushEndpoint", "endpoint"): "https://updates.push.services.mozilla.com/wpush/v2/x",
    ("NewPush", "name"): "Phone",
    ("PushKeys", "auth"): "kYb1mVn2Q3o4R5s6T7u8VA",
    ("OpenIdProvider", "name"): "example",
    ("PasskeyRp", "id"): "tickets.example",
    ("PasskeyRp", "name"): "tickets.example",
    ("PasskeyUser", "id"): _KEPT_BYTES,
    ("PasskeyUser", "name"): "ann@example.org",
    ("PasskeyUser", "display_name"): "Ann",
    ("PasskeyDescriptor", "id"): _KEPT_BYTES,
    ("NewCredential", "id"): _KEPT_BYTES,
    ("UsedCredential", "id"): _KEPT_BYTES,
    ("NotedAct", "id"): 815,
    ("NotedAct", "before"): {"status": "published"},
    ("NotedAct", "after"): {"status": "closed"},
    ("NotedAct", "role"): "organizer",
    ("NotedAct", "why"): "",
    ("ApiKey", "scopes"): ["sell"],
    ("Webhook", "url"): "https://hooks.example/evently",
    ("NewWebhook", "url"): "https://hooks.example/evently",
    ("Webhook", "kinds"): ["booking.confirmed", "booking.cancelled"],
    ("NewWebhook", "kinds"): ["booking.confirmed", "booking.cancelled"],
    ("WebhookChange", "kinds"): ["booking.confirmed", "booking.cancelled"],
    ("Webhook", "state"): "active",
    ("Webhook", "disabled_why"): None,
    ("WebhookMade", "secret"): f"whsec_{_KEPT_BYTES}=",
    ("WebhookSent", "id"): _MESSAGE,
    ("WebhookDelivery", "id"): _MESSAGE,
    ("WebhookDelivery", "kind"): "booking.confirmed",
    ("WebhookDelivery", "state"): "sent",
    ("WebhookDelivery", "subject_id"): f"bk_{_SORTED}",
    ("WebhookDelivery", "answer"): "HTTP 204",
    ("Redelivered", "count"): 12,
    ("ProblemDetails", "code"): "invalid",
    ("ProblemDetails", "status"): 422,
    ("ProblemDetails", "detail"): "",
    ("ProblemDetails", "errors"): _NAMED["errors"],
    ("Code", "code"): "sold_out",
    ("Code", "http_status"): 409,
    ("Code", "title"): "Everything is sold.",
    ("Code", "meaning"): "All places are booked.",
    ("Code", "next_step"): "Join the waitlist.",
    ("Ticket", "code"): _KEPT_BYTES,
    ("PastScan", "code"): _KEPT_BYTES,
    ("Enrolment", "code"): "kYb1-mVn2-Q3o4",
    ("DeviceMade", "code"): "kYb1-mVn2-Q3o4",
    ("OpenIdReturn", "code"): "SplxlOBeZQQYbYS6WxSbIA",
    ("ScanAnswer", "scanned"): None,
    ("ScanAnswer", "problem"): {"type": "/problems/already_checked_in"},
    ("Hold", "booking_id"): None,
    ("WaitlistEntry", "booking_id"): None,
    ("WaitlistEntry", "offer"): None,
    ("Transferred", "gift"): None,
    ("Scan", "gate"): "North",
    # The simplest course of things.
    ("Event", "status"): "published",
    ("Event", "offer_ttl_s"): None,
    ("Booking", "status"): "confirmed",
    ("Hold", "status"): "held",
    ("Hold", "booking_status"): None,
    ("Ticket", "status"): "valid",
    ("Scanned", "status"): "checked_in",
    ("ListedTicket", "status"): "valid",
    ("WaitlistEntry", "status"): "waiting",
    ("WaitlistEntry", "booking_status"): None,
    ("TierAvailability", "status"): "available",
    ("TierAvailability", "returns_at"): None,
    ("Device", "status"): "enrolled",
    ("NotedAct", "outcome"): "done",
    ("Me", "role"): "user",
    ("Account", "role"): "user",
    ("Health", "status"): "ok",
    ("Readiness", "status"): "ok",
    ("Readiness", "overall"): "healthy",
    ("Dependency", "name"): "redis-0",
    ("Dependency", "state"): "healthy",
    ("Dependency", "response_ms"): 1.2,
    ("Tier", "sale_opens_at"): None,
    ("Tier", "sale_closes_at"): None,
}
#: What is shown in bodies beside what must be said.
_ALSO_SAID: dict[str, tuple[str, ...]] = {
    "NewEvent": ("venue", "category", "timezone", "ends_at"),
    "NewTier": ("capacity",),
    "OrderItem": ("tier_id", "quantity"),
    "CancelBooking": ("items", "version"),
    "Scan": ("gate", "scan_id"),
    "MeChange": ("language",),
    "EventChange": ("venue",),
    "Transfer": ("email",),
    "Copy": ("starts_at",),
    "Erase": ("password", "bookings"),
    "EventImport": ("dry_run", "timezone"),
    "PasswordChange": ("current_password",),
    "NewEmail": ("password",),
    "OpenIdReturn": ("code",),
    "PastScans": ("gate",),
    "WebhookChange": ("kinds",),
}
#: Times of what has not happened.
_NOT_YET = frozenset(
    {"cancelled_at", "revoked_at", "disabled_at", "checked_in_at", "scanned_at", "transferred_at"}
    | {"failing_since", "old_secret_until", "next_attempt_at"}
)


def of_answer(kind: type) -> Any:
    """Return an example of an answer, as JSON that is decoded."""
    return _of(shapes.type_info(kind), "", "", is_whole=True)


def of_body(kind: type) -> Any:
    """Return an example of a body: what must be said, and little else."""
    return _of(shapes.type_info(kind), "", "", is_whole=False)


def own_id(prefix: str) -> str:
    """Return an id of that prefix, the same each time."""
    return f"{prefix}_{_SORTED}"


def _of(shape: shapes.Type, owner: str, name: str, *, is_whole: bool) -> Any:
    """Return the example of a value by the name that it has in its owner, or by its shape."""
    if isinstance(shape, shapes.StructType):
        return _of_struct(shape, is_whole=is_whole)
    if (owner, name) in _OF_TYPE:
        return _OF_TYPE[owner, name]
    match shape:
        case shapes.Metadata(type=inner):
            return _of(inner, owner, name, is_whole=is_whole)
        case shapes.UnionType(types=kinds):
            return _of_union(kinds, owner, name, is_whole=is_whole)
        case shapes.LiteralType(values=values):
            return _NAMED[name] if _NAMED.get(name) in values else values[0]
        case shapes.ListType(item_type=inner) if name not in _NAMED:
            return [_of(inner, owner, name, is_whole=is_whole)]
        case shapes.DateTimeType():
            return _MOMENTS.get(name, _MOMENT)
        case shapes.BoolType():
            return bool(_NAMED.get(name, False))
        case shapes.IntType(ge=least):
            return _NAMED.get(name, least or 0)
    return _of_words(owner, name, shape)


def _of_words(owner: str, name: str, shape: shapes.Type) -> Any:
    if name == "id" and owner in _WHOSE_ID_IS_A_TICKET:
        return _TICKET
    prefix = _OWN_IDS.get(owner) if name == "id" else _IDS.get(name)
    if prefix is not None:
        return own_id(prefix)
    if name in _NAMED:
        return _NAMED[name]
    if isinstance(shape, shapes.DictType):
        return {}
    least = getattr(shape, "min_length", None) or 0
    pattern = getattr(shape, "pattern", None)
    return _KEPT_BYTES if pattern else "x" * least


def _of_union(kinds: tuple[shapes.Type, ...], owner: str, name: str, *, is_whole: bool) -> Any:
    real = [kind for kind in kinds if not isinstance(kind, shapes.NoneType)]
    can_be_nothing = len(real) < len(kinds)
    if can_be_nothing and (name in _NOT_YET or _NAMED.get(name, 0) is None):
        return None
    return _of(real[0], owner, name, is_whole=is_whole)


def _of_struct(shape: shapes.StructType, *, is_whole: bool) -> dict[str, Any]:
    owner = shape.cls.__name__
    said = _ALSO_SAID.get(owner, ())
    return {
        field.encode_name: _of(field.type, owner, field.name, is_whole=is_whole)
        for field in shape.fields
        if is_whole or field.required or field.name in said
    }
