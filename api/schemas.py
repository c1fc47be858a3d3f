"""
What is told over HTTP alone: pages of a list, keys, tokens, health, problems.

All else that clients send and get are the use cases' own values (`usecases.asked` and `told`):
validation, encoding and OpenAPI come from these types.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from usecases.told import (
    Account,
    ApiKey,
    Booking,
    Device,
    Event,
    EventOrder,
    Gift,
    Identity,
    Invitation,
    ListedTicket,
    LiveBye,
    LiveChange,
    LiveFollowing,
    LiveMessage,
    LiveSeats,
    LiveState,
    LiveTiers,
    LiveUnread,
    Member,
    NotedAct,
    Notification,
    OpenIdProvider,
    Organizer,
    Passkey,
    PushSubscription,
    Scanned,
    SignedIn,
    Ticket,
    Told,
    WaitingParty,
    WaitlistEntry,
    WebhookDelivery,
)


class SignedInList(Told, frozen=True, kw_only=True):
    """Where one is signed in, the last used first; there is a bound to them, and no pages."""

    data: list[SignedIn]


class GiftPage(Told, frozen=True, kw_only=True):
    """One page of tickets that one offers, or is offered, the latest first."""

    data: list[Gift]
    has_more: bool
    next_cursor: str | None


class NotificationPage(Told, frozen=True, kw_only=True):
    """One page of the messages in one's account, newest first."""

    data: list[Notification]
    has_more: bool
    next_cursor: str | None
    #: Of all, not of this page alone.
    unread: int


class OpenIdProviders(Told, frozen=True, kw_only=True):
    """All providers that one can sign in by."""

    data: list[OpenIdProvider]


class Identities(Told, frozen=True, kw_only=True):
    """All identities of the caller at providers, the oldest first."""

    data: list[Identity]


class Passkeys(Told, frozen=True, kw_only=True):
    """All passkeys of the caller, the oldest first."""

    data: list[Passkey]


class PushSubscriptions(Told, frozen=True, kw_only=True):
    """All browsers on which the caller is told, the oldest first."""

    data: list[PushSubscription]


class TicketPage(Told, frozen=True, kw_only=True):
    """One page of the tickets that others gave to the caller, the latest changed first."""

    data: list[Ticket]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest changes may be missing here.
    up_to_date: bool


class ScanAnswer(Told, frozen=True, kw_only=True):
    """What became of one scan of an upload: the check-in, or the problem that it met."""

    scan_id: str
    #: Whether this is the answer that the same scan got before.
    is_replay: bool
    scanned: Scanned | None = None
    #: As `ProblemDetails`, with the figures of its code.
    problem: dict[str, Any] | None = None


class ScanAnswers(Told, frozen=True, kw_only=True):
    """What became of the scans of an upload, in their order."""

    data: list[ScanAnswer]


class TicketKey(Told, frozen=True, kw_only=True):
    """A key that verifies ticket codes."""

    #: Bytes 2 to 5 of a code, as hex.
    key_id: str
    algorithm: Literal["Ed25519"] = "Ed25519"
    #: 32 bytes in base64url.
    public_key: str


class ReceiptKey(Told, frozen=True, kw_only=True):
    """A key that verifies receipts."""

    #: Bytes 2 to 5 of a receipt's proof, as hex.
    key_id: str
    algorithm: Literal["Ed25519"] = "Ed25519"
    #: 32 bytes in base64url.
    public_key: str


class ReceiptKeys(Told, frozen=True, kw_only=True):
    """All keys that verify receipts."""

    data: list[ReceiptKey]


class TicketKeys(Told, frozen=True, kw_only=True):
    """All keys that verify ticket codes."""

    data: list[TicketKey]


class BookingPage(Told, frozen=True, kw_only=True):
    """One page of bookings, newest first."""

    data: list[Booking]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest bookings may be missing here.
    up_to_date: bool


class ApiKeyPage(Told, frozen=True, kw_only=True):
    """One page of an organizer's API keys, newest first; revoked ones as well."""

    data: list[ApiKey]
    has_more: bool
    next_cursor: str | None


class WebhookDeliveryPage(Told, frozen=True, kw_only=True):
    """One page of what a webhook was told, newest first."""

    data: list[WebhookDelivery]
    has_more: bool
    next_cursor: str | None


class DevicePage(Told, frozen=True, kw_only=True):
    """One page of an event's devices, newest first; revoked ones as well."""

    data: list[Device]
    has_more: bool
    next_cursor: str | None


class GateList(Told, frozen=True, kw_only=True):
    """One page of an event's tickets as its gates must know them, by id."""

    data: list[ListedTicket]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest changes may be missing here.
    up_to_date: bool


class EventOrderPage(Told, frozen=True, kw_only=True):
    """One page of an event's bookings, by id."""

    data: list[EventOrder]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest bookings may be missing here.
    up_to_date: bool


class WaitingPage(Told, frozen=True, kw_only=True):
    """One page of those who wait at an event, by tier and in the order of its list."""

    data: list[WaitingParty]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest changes may be missing here.
    up_to_date: bool


class EventPage(Told, frozen=True, kw_only=True):
    """One page of events, by start."""

    data: list[Event]
    has_more: bool
    next_cursor: str | None


class Events(Told, frozen=True, kw_only=True):
    """Events that were made together, in the order in which they were asked for."""

    data: list[Event]


class MemberPage(Told, frozen=True, kw_only=True):
    """One page of a team, the longest there first."""

    data: list[Member]
    has_more: bool
    next_cursor: str | None


class InvitationPage(Told, frozen=True, kw_only=True):
    """One page of an organizer's open invitations, newest first."""

    data: list[Invitation]
    has_more: bool
    next_cursor: str | None


class AccountPage(Told, frozen=True, kw_only=True):
    """One page of accounts, those made first first."""

    data: list[Account]
    has_more: bool
    next_cursor: str | None


class OrganizerPage(Told, frozen=True, kw_only=True):
    """One page of organizers, those made first first."""

    data: list[Organizer]
    has_more: bool
    next_cursor: str | None


class WaitlistPage(Told, frozen=True, kw_only=True):
    """One page of waitlist entries, newest first."""

    data: list[WaitlistEntry]
    has_more: bool
    next_cursor: str | None
    #: False if PostgreSQL is behind and the newest entries may be missing here.
    up_to_date: bool


class ActPage(Told, frozen=True, kw_only=True):
    """One page of the log of acts, newest first."""

    data: list[NotedAct]
    has_more: bool
    next_cursor: str | None


class Export(Told, frozen=True, kw_only=True):
    """All that is kept of a person, with the columns of the tables; ids of others are left out."""

    format: Literal["evently-export-1"]
    person_id: str
    made_at: dt.datetime
    #: By name of the table; `journal` has the records themselves, as they were made.
    tables: dict[str, list[dict[str, Any]]]


class Health(Told, frozen=True, kw_only=True):
    """State of the service and what it needs."""

    #: `degraded`: some shards are shut, and the others sell.
    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, str] = msgspec.field(default_factory=dict)


class Dependency(Told, frozen=True, kw_only=True):
    """State of one thing that the service needs."""

    #: `redis-N` and `persister-N` of shard N; `postgresql`; `notifier`: who sends mail.
    name: str
    #: `unknown`: a persister whose shard is shut.
    state: Literal["healthy", "unhealthy", "unknown"]
    #: How long it took to answer, or until it was given up; of a persister, to catch up.
    response_ms: float | None


class Readiness(Health, frozen=True, kw_only=True):
    """Whether the service can sell, and the state of each thing that it needs."""

    #: `degraded`: it sells, and something is not as it should be.
    overall: Literal["healthy", "degraded", "unhealthy"]
    dependencies: list[Dependency]


class ProblemError(Told, frozen=True, kw_only=True):
    """One bad value."""

    #: JSON pointer into the request.
    pointer: str
    detail: str


class ProblemDetails(Told, frozen=True, kw_only=True):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    instance: str
    request_id: str
    detail: str = ""
    errors: list[ProblemError] = msgspec.field(default_factory=list)


#: What the stream of an event tells: the data of each of its events, by name.
STREAM: tuple[tuple[str, type[Told]], ...] = (
    ("state", LiveState),
    ("tiers", LiveTiers),
    ("sale", LiveChange),
    ("seats", LiveSeats),
    ("following", LiveFollowing),
    ("message", LiveMessage),
    ("unread", LiveUnread),
    ("bye", LiveBye),
)
