"""What use cases tell, as values: a face encodes them, or shows them on its pages."""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from engine.durability import Durability
from usecases.asked import Money, Scalar, TeamRoleName

View = TypeVar("View")


class Page(NamedTuple, Generic[View]):
    """Part of a list."""

    data: list[View]
    #: Moment and id of its last row if there are more.
    last: tuple[dt.datetime, str] | None
    #: False if PostgreSQL is behind and the newest rows may be missing here.
    up_to_date: bool = True


class Seen(NamedTuple, Generic[View]):
    """What is shown, and whether not to everybody."""

    view: View
    is_private: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Me(Told, frozen=True, kw_only=True):
    """The caller's account."""

    id: str
    email: str
    #: Whether it is proved that letters to the address come to the caller.
    email_verified: bool
    #: Whether a password signs in; who has none may choose one soon after signing in.
    has_password: bool
    name: str
    #: BCP 47; null: not told.
    language: str | None
    role: Literal["user", "staff", "organizer", "admin"]
    created_at: dt.datetime


class Session(Told, frozen=True, kw_only=True):
    """A session that begins, or goes on."""

    session_id: str
    #: To be sent as `Authorization: Bearer ...`.
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme
    #: Seconds until it expires.
    expires_in: int
    #: Good once, for the next two: `POST /v1/auth/refresh`.
    refresh_token: str
    #: Seconds until it expires unless it is used.
    refresh_expires_in: int


class SignedIn(Told, frozen=True, kw_only=True):
    """Where one is signed in."""

    id: str
    #: How: `password`, `openid`, `passkey`.
    method: str
    #: As the device named itself.
    device: str
    opened_at: dt.datetime
    #: When its refresh token was last exchanged.
    used_at: dt.datetime
    expires_at: dt.datetime
    #: Whether the request is of this one.
    is_current: bool


class Erasure(Told, frozen=True, kw_only=True):
    """An account that is nobody's any more."""

    id: str
    #: Live bookings that stay good for whoever has their tickets' codes.
    bookings_kept: int


class NotedAct(Told, frozen=True, kw_only=True):
    """What one of the staff, an organizer, an admin or an operator did."""

    id: int
    at: dt.datetime
    #: Id of an account, or `operator:<name>`.
    actor: str
    role: str
    organizer_id: str | None
    #: As `event.close`.
    act: str
    #: Id of what it was done to.
    subject: str
    #: `intended` was noted before the act: another row names it as `intent_id` and says how it
    #: ended. Without one it was cut off, and the journal says whether it was done.
    outcome: Literal["intended", "done", "refused", "unknown"]
    intent_id: int | None
    before: Any
    after: Any
    why: str
    #: The network that the request came from, the gate, or the operator's machine.
    origin: str
    request_id: str


class OpenIdProvider(Told, frozen=True, kw_only=True):
    """A provider that one can sign in by."""

    #: As it stands in addresses here.
    name: str
    issuer: str


class OpenIdFlow(Told, frozen=True, kw_only=True):
    """A sign-in by a provider that has begun."""

    #: Keep it where the page that the provider leads back to finds it, and nobody else.
    flow: str
    #: Where to send the person.
    authorization_url: str
    #: Seconds until it is over.
    expires_in: int


class Identity(Told, frozen=True, kw_only=True):
    """Who the caller is at a provider."""

    id: str
    #: Null if one cannot sign in by it any more.
    provider: str | None
    issuer: str
    #: As the provider told it; null if it did not.
    email: str | None
    created_at: dt.datetime
    used_at: dt.datetime


class Passkey(Told, frozen=True, kw_only=True):
    """A passkey of the caller."""

    id: str
    name: str
    #: Whether its maker keeps copies of it elsewhere.
    is_synced: bool
    created_at: dt.datetime
    #: Null until it is first used.
    used_at: dt.datetime | None


class PushKey(Told, frozen=True, kw_only=True):
    """The key that a browser subscribes with."""

    id: str
    #: `applicationServerKey`: a point of P-256, uncompressed, in base64url.
    public_key: str


class PushSubscription(Told, frozen=True, kw_only=True):
    """A browser on which the caller is told."""

    id: str
    name: str
    #: The host of its push service.
    service: str
    #: Of the key that it was subscribed with.
    key_id: str
    created_at: dt.datetime
    #: When its service took a message last; null if it never has.
    last_delivered_at: dt.datetime | None
    #: Messages that it has refused since.
    failures: int


class PasskeyRequest(Told, frozen=True, kw_only=True, rename="camel"):
    """For `navigator.credentials.get`, by `parseRequestOptionsFromJSON`."""

    #: 32 bytes in base64url, as all bytes here.
    challenge: str
    rp_id: str
    #: In ms.
    timeout: int
    user_verification: Literal["required"] = "required"


class PasskeyRp(Told, frozen=True, kw_only=True):
    """For which site a passkey is."""

    id: str
    name: str


class PasskeyUser(Told, frozen=True, kw_only=True, rename="camel"):
    """For whom a passkey is."""

    id: str
    name: str
    display_name: str


class PasskeyAlgorithm(Told, frozen=True, kw_only=True):
    """A kind of signature that is taken."""

    type: Literal["public-key"] = "public-key"
    #: In COSE's numbers.
    alg: int


class PasskeyDescriptor(Told, frozen=True, kw_only=True):
    """A passkey that is there already."""

    type: Literal["public-key"] = "public-key"
    id: str
    transports: list[str]


class PasskeySelection(Told, frozen=True, kw_only=True, rename="camel"):
    """What the device must be able to do."""

    resident_key: Literal["required"] = "required"
    require_resident_key: bool = True
    user_verification: Literal["required"] = "required"


class PasskeyCreation(Told, frozen=True, kw_only=True, rename="camel"):
    """For `navigator.credentials.create`, by `parseCreationOptionsFromJSON`."""

    challenge: str
    rp: PasskeyRp
    user: PasskeyUser
    pub_key_cred_params: list[PasskeyAlgorithm]
    exclude_credentials: list[PasskeyDescriptor]
    authenticator_selection: PasskeySelection = PasskeySelection()
    attestation: Literal["none"] = "none"
    #: In ms.
    timeout: int


class PasskeyFlow(Told, frozen=True, kw_only=True):
    """A sign-in by a passkey that has begun."""

    #: To be brought back with what the passkey signs.
    flow: str
    options: PasskeyRequest
    #: Seconds until it is over.
    expires_in: int


class NewPasskeyFlow(Told, frozen=True, kw_only=True):
    """The making of a passkey that has begun."""

    #: To be brought back with the passkey.
    flow: str
    options: PasskeyCreation
    #: Seconds until it is over.
    expires_in: int


class Tier(Told, frozen=True, kw_only=True):
    """A kind of ticket."""

    id: str
    name: str
    price: Money
    capacity: int
    max_per_order: int
    min_per_order: int
    #: Null where the tier has no rule of its own.
    max_per_user: int | None
    sale_opens_at: dt.datetime | None
    sale_closes_at: dt.datetime | None
    #: True only in what its organizer, or who has a code for it, gets.
    is_hidden: bool
    sells_after_end: bool


class SharedPool(Told, frozen=True, kw_only=True):
    """Places that tiers share: whichever is booked, there is one less for all of them."""

    name: str
    capacity: int
    #: Those of them that are shown.
    tier_ids: list[str]


class Event(Told, frozen=True, kw_only=True):
    """An event."""

    id: str
    organizer_id: str
    status: Literal["draft", "published", "closed", "cancelled"]
    name: str
    description: str
    category: str
    venue: str
    #: Never empty: after the name if the event has none of its own.
    slug: str
    summary: str
    image: str
    image_alt: str
    address: str
    place: str
    access_notes: str
    #: Tags of BCP 47.
    languages: list[str]
    timezone: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    doors_at: dt.datetime | None
    #: The start that was told first, of an event that was put off; else null.
    postponed_from: dt.datetime | None
    sale_opens_at: dt.datetime
    sale_closes_at: dt.datetime
    max_per_user: int
    version: int
    created_at: dt.datetime
    published_at: dt.datetime | None
    #: Who is served when places return: see `NewEvent`.
    waitlist_policy: Literal["strict", "skip"]
    waitlist_patience_s: int
    #: Whose a ticket is that was given away: see `NewEvent`.
    transfers: Literal["holder", "buyer", "none"]
    #: Null: a hundredth of the time until the sale ends, 24 hours at most, 15 minutes at least.
    offer_ttl_s: int | None
    tiers: list[Tier]
    pools: list[SharedPool]


class RowProblem(Told, frozen=True, kw_only=True):
    """What is wrong with one row of an import."""

    #: From 1: of a table the line as spreadsheets number it, else the object.
    row: int
    #: As the file names it; empty if it is the whole row.
    field: str
    detail: str
    #: Whether the row is not taken; else the event is, without what is named.
    is_refused: bool


class Imported(Told, frozen=True, kw_only=True):
    """What became of the rows of an import, or would become of them."""

    is_dry_run: bool
    #: Rows of the file, and events in them; what is none (a place, an organizer) is passed over.
    rows: int
    events: int
    #: Drafts that were made; events that the source has changed; that were there as they are.
    made: int
    changed: int
    unchanged: int
    #: Rows that were not taken, and why.
    refused: int
    problems: list[RowProblem]


def edition(event: Event) -> str:
    """Name what is seen of an event: another state of it, or another view, has another name."""
    return f"{event.version}-{_digest(event)}"


def shows(seen: str, event: Event) -> bool:
    """
    Tell whether the edition *seen* shows all that the event is now.

    Its version does not count: it grows once more when PostgreSQL has what Redis had decided, and
    was shown, before.
    """
    return seen.rpartition("-")[2] == _digest(event)


def _digest(event: Event) -> str:
    unversioned = msgspec.structs.replace(event, version=0)
    return blake2b(msgspec.json.encode(unversioned), digest_size=8).hexdigest()


class TierAvailability(Told, frozen=True, kw_only=True):
    """What is left of one tier."""

    tier_id: str
    capacity: int
    #: Where the tier shares places, no more than its pool has left.
    available: int
    held: int
    sold: int
    #: How many wait for it; free places are theirs.
    waiting: int
    #: `all_held` may change back without anybody cancelling; `sold_out` will not. What is free is
    #: `kept_for_waitlist` while people wait: join them.
    status: Literal["available", "kept_for_waitlist", "all_held", "sold_out", "event_cancelled"]
    #: Where it is `all_held`: when the first of its holds runs out, unless its owner buys. Null
    #: where people wait, who get what returns, and where it is not known.
    returns_at: dt.datetime | None = None


class Availability(Told, frozen=True, kw_only=True):
    """What is left of an event, all counters of one moment."""

    event_id: str
    as_of: dt.datetime
    tiers: list[TierAvailability]


class LiveSale(Told, frozen=True, kw_only=True):
    """Where a sale stands."""

    #: `all_held` may become `open` again without anybody cancelling. `paused`: nothing is sold for
    #: a while, for a `reason` of ours.
    status: Literal[
        "not_open", "open", "all_held", "sold_out", "paused", "closed", "ended", "cancelled"
    ]
    #: Why it is paused, by the code of the problem that an order gets meanwhile.
    reason: str | None
    #: Null while they are not known.
    opens_at: dt.datetime | None
    closes_at: dt.datetime | None
    starts_at: dt.datetime | None


class LiveState(Told, frozen=True, kw_only=True):
    """All that a stream tells of an event, at one moment: what each listener is told first."""

    event_id: str
    as_of: dt.datetime
    sale: LiveSale
    tiers: list[TierAvailability]
    #: Of the seat map; later changes follow as `seats`. Null: there are none.
    seats_version: int | None


class LiveTiers(Told, frozen=True, kw_only=True):
    """Those tiers of which something else is left now."""

    as_of: dt.datetime
    tiers: list[TierAvailability]


class LiveChange(LiveSale, frozen=True, kw_only=True):
    """Where a sale stands now, and in a word what has happened."""

    change: Literal[
        "opened", "reopened", "all_held", "sold_out", "available", "paused", "resumed",
        "closed", "ended", "cancelled", "postponed", "moved"
    ]  # fmt: skip
    as_of: dt.datetime


class SeatChange(Told, frozen=True, kw_only=True):
    """Seats that went to another status together."""

    version: int
    status: str
    seat_ids: list[str]


class LiveSeats(Told, frozen=True, kw_only=True):
    """What changed in the seat map up to a version; null: read the map anew."""

    version: int
    changes: list[SeatChange] | None


class Channels(Told, frozen=True, kw_only=True):
    """By which channels one is told."""

    mail: bool
    push: bool


class Preferences(Told, frozen=True, kw_only=True):
    """What one is told beside what is one's own business; that cannot be turned off."""

    reminders: Channels
    sales: Channels
    #: In which one is told times beside the venue's; null: in the venue's alone.
    timezone: str | None


class Notification(Told, frozen=True, kw_only=True):
    """A message in the account: something has happened to what one has."""

    id: str
    #: `booking.confirmed`, `waitlist.offered` and the like.
    kind: str
    event_id: str | None
    #: Booking, ticket, waitlist entry or hold.
    subject_id: str
    #: What it says, in the language of the account.
    title: str
    #: Of the title, BCP 47.
    language: str
    #: Path of the site's page that it leads to.
    page: str
    at: dt.datetime
    #: From then on nothing can be done about it any more.
    until: dt.datetime | None
    #: When its person has first seen it.
    seen_at: dt.datetime | None


class Notifications(NamedTuple):
    """A page of messages, and how many there are that were not seen."""

    page: Page[Notification]
    unread: int


class Unread(Told, frozen=True, kw_only=True):
    """How many messages there are that were not seen."""

    unread: int


class LiveMessage(Told, frozen=True, kw_only=True):
    """Something that concerns the account, and is written: read the subject for what it is now."""

    #: `booking.confirmed`, `waitlist.offered`, `account.password_changed` and the like.
    kind: str
    event_id: str | None
    #: Booking, ticket, waitlist entry, hold or account.
    subject_id: str


class LiveUnread(Told, frozen=True, kw_only=True):
    """How many messages of the account its person has not seen, since there are new ones."""

    unread: int


class LiveFollowing(Told, frozen=True, kw_only=True):
    """From now on messages are told; what was before is in the lists."""


class LiveBye(Told, frozen=True, kw_only=True):
    """The stream ends."""

    reason: Literal["stopping", "signed_out"]


class BookingItem(Told, frozen=True, kw_only=True):
    """One line of a booking."""

    tier_id: str
    quantity: int
    seat_ids: list[str] = []
    unit_price: Money


class TicketSeat(Told, frozen=True, kw_only=True):
    """A seat by what stands on it."""

    id: str
    section: str
    row: str
    label: str


class _Shown(Told, frozen=True, kw_only=True):
    id: str
    event_id: str
    event_name: str
    starts_at: dt.datetime
    #: IANA name of the venue's zone.
    timezone: str
    venue: str
    booking_id: str
    tier_id: str
    tier_name: str
    #: Null where the tier has no seats.
    seat: TicketSeat | None


class Ticket(_Shown, frozen=True, kw_only=True):
    """A ticket: one place of a booking."""

    status: Literal["valid", "checked_in", "cancelled"]
    #: What the door scans; null for all but its holder, and if it is cancelled.
    code: str | None
    #: Whether somebody else than who booked it has it.
    is_transferred: bool
    #: When somebody came in on it, which stays on record where its event is cancelled.
    checked_in_at: dt.datetime | None = None
    gate: str | None = None


class WalletLink(Told, frozen=True, kw_only=True):
    """Where a ticket is saved in a wallet; whoever has the address has the ticket's code."""

    url: str


class Wallets(Told, frozen=True, kw_only=True):
    """Which wallets of phones tickets can be put into here."""

    apple: bool
    google: bool


class Booking(Told, frozen=True, kw_only=True):
    """A booking."""

    id: str
    event_id: str
    status: Literal["confirmed", "cancelled"]
    items: list[BookingItem]
    total: Money
    created_at: dt.datetime
    cancelled_at: dt.datetime | None = None
    #: What the booking survives: `memory` a process, `fsync` the power, `replicated` a server,
    #: `database` all of Redis.
    durability: Durability
    #: Place in the shard's journal.
    seq: int
    #: Signed receipt; null while the server makes none, and of a cancelled booking.
    receipt: str | None = None
    special_requests: str = ""
    metadata: dict[str, Scalar] = {}
    #: Grows with every change; to be sent when some places are cancelled.
    version: int = 1
    #: Where one booking is read.
    tickets: list[Ticket] = []


class Scanned(_Shown, frozen=True, kw_only=True):
    """A ticket that was let in, or whose check-in was taken back."""

    status: Literal["checked_in", "valid"]
    at: dt.datetime
    gate: str | None
    #: Of the scan, as it was sent; made here if none was.
    scan_id: str
    scanned_at: dt.datetime | None


class Gift(Told, frozen=True, kw_only=True):
    """A ticket that waits for who has proved an address; until then it is its giver's."""

    id: str
    ticket_id: str
    event_id: str
    event_name: str
    starts_at: dt.datetime
    #: IANA name of the venue's zone.
    timezone: str
    venue: str
    #: Whether the caller gives it, or is offered it.
    direction: Literal["given", "offered"]
    #: That it waits for.
    email: str
    #: Null of one's own.
    giver_name: str | None
    made_at: dt.datetime
    expires_at: dt.datetime


class ListedTicket(Told, frozen=True, kw_only=True):
    """A ticket of an event as its gates must know it; nothing of whose it is."""

    id: str
    booking_id: str
    tier_id: str
    #: Null where the tier has no seats.
    seat_id: str | None
    #: Of its code: one with a lower version was given away, and lets nobody in.
    version: int
    status: Literal["valid", "checked_in", "cancelled"]
    checked_in_at: dt.datetime | None
    gate: str | None


class Buyer(Told, frozen=True, kw_only=True):
    """A person as the box office of an event sees them."""

    id: str
    name: str
    email: str


class Refund(Told, frozen=True, kw_only=True):
    """What becomes of the money for places that a booking gave up."""

    #: `none`: nothing is given back. `due`, until the box office says `done` or `waived`; and again
    #: if more places are given up.
    state: Literal["none", "due", "done", "waived"]
    #: What the places cost that were given up, all together.
    amount: Money
    #: What of that is settled, done or waived.
    settled: Money


class EventOrder(Told, frozen=True, kw_only=True):
    """A booking of an event, as its organizer sees it."""

    #: Who booked: an account, or an API key.
    user_id: str
    booking: Booking
    #: Null of an account that was erased, of an API key, and for API keys.
    buyer: Buyer | None
    refund: Refund
    #: Whether the box office sold it beyond what one person may have.
    is_beyond_limit: bool


class OrderNote(Told, frozen=True, kw_only=True):
    """A note of the box office on an order."""

    id: str
    written_by: str
    written_at: dt.datetime
    #: Empty once its person is forgotten, or its event is long over.
    text: str
    #: How it settles a refund; null of other notes.
    refund: Literal["done", "waived"] | None
    amount: Money | None


class OrderChange(Told, frozen=True, kw_only=True):
    """What happened to an order."""

    at: dt.datetime
    #: `booked`, `cancelled`, `places_cancelled`, `ticket_given`, `scan_in`, `scan_undone`,
    #: `scan_refused`; or an act of the box office, as `order.sell`.
    what: str
    #: Id of an account, a key or a device; null where nobody is named.
    by: str | None
    #: Tickets that it is about; none: the whole.
    ticket_ids: list[str] = []
    #: Where it was scanned.
    gate: str | None = None
    #: The reason that was given.
    why: str = ""


class TicketHolder(Told, frozen=True, kw_only=True):
    """Who has a ticket that was given away."""

    ticket_id: str
    user_id: str
    #: Null of an account that was erased, and for API keys.
    holder: Buyer | None


class OrderInFull(EventOrder, frozen=True, kw_only=True):
    """An order with all that the ledger knows of it. Codes of tickets are their holders' alone."""

    #: Of tickets that somebody else than the buyer has.
    holders: list[TicketHolder]
    #: The oldest first, as the next.
    notes: list[OrderNote]
    history: list[OrderChange]
    #: False if PostgreSQL is behind and the newest changes may be missing here.
    up_to_date: bool


class WaitingParty(Told, frozen=True, kw_only=True):
    """Who waits at an event, as its box office sees them."""

    id: str
    user_id: str
    #: Null of an account that was erased, and for API keys.
    buyer: Buyer | None
    tier_id: str
    quantity: int
    status: Literal["waiting", "offered"]
    #: 1 is the head; null of who has an offer.
    position: int | None
    #: Places that those ahead wait for.
    ahead_places: int | None
    joined_at: dt.datetime
    offered_at: dt.datetime | None
    #: Why it waits still: `sale_over`, nothing is offered; `no_place_free`; `too_few_free`, its
    #: party needs more; `undecided`, its person has an offer to decide on; `behind_head`, a strict
    #: list waits for its head; `next`, it is offered places soon. Null of who has an offer.
    why: (
        Literal["sale_over", "no_place_free", "too_few_free", "undecided", "behind_head", "next"]
        | None
    )


class ApiKey(Told, frozen=True, kw_only=True):
    """An API key, without what is secret of it."""

    id: str
    organizer_id: str
    name: str
    #: How the key begins, by which it is known again.
    prefix: str
    scopes: list[str]
    #: The account that made it, and without which it may do nothing.
    made_by: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    #: To the minute.
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class ApiKeyMade(Told, frozen=True, kw_only=True):
    """A new API key; the key itself is told this once."""

    key: str
    api_key: ApiKey


WebhookState = Literal["active", "disabled"]


class Webhook(Told, frozen=True, kw_only=True):
    """Where an organizer is told what happens to its events, without what signs it."""

    id: str
    organizer_id: str
    url: str
    kinds: list[str]
    state: WebhookState
    #: Who manages it asked for it; it answered that it is gone; for three days nothing arrived.
    disabled_why: Literal["asked", "gone", "failing"] | None
    disabled_at: dt.datetime | None
    #: Since when nothing has arrived; null: the last message did.
    failing_since: dt.datetime | None
    #: Until when the secret before signs as well.
    old_secret_until: dt.datetime | None
    made_by: str
    created_at: dt.datetime


class Webhooks(Told, frozen=True, kw_only=True):
    """All webhooks of an organizer, the oldest first; there is a bound to them, and no pages."""

    data: list[Webhook]


class WebhookMade(Told, frozen=True, kw_only=True):
    """A webhook and its secret, which is told this once."""

    secret: str
    webhook: Webhook


class WebhookSent(Told, frozen=True, kw_only=True):
    """A message that is to be sent, by the `webhook-id` that it bears."""

    id: str


class WebhookDelivery(Told, frozen=True, kw_only=True):
    """What a webhook was told, and how far that is."""

    #: The `webhook-id` that it bears.
    id: str
    #: Its type.
    kind: str
    event_id: str | None
    subject_id: str
    #: `delayed`: it is tried again; `dead`: given up; `skipped`: the webhook was off.
    state: Literal["waiting", "sending", "sent", "delayed", "unknown", "dead", "skipped"]
    attempts: int
    #: Of the last attempt: `HTTP 503`, or why there was no answer.
    answer: str
    told_at: dt.datetime
    ended_at: dt.datetime | None
    next_attempt_at: dt.datetime | None


class Redelivered(Told, frozen=True, kw_only=True):
    """How many messages are sent again."""

    count: int


class Device(Told, frozen=True, kw_only=True):
    """A device at a gate; it is good until a day after its event."""

    id: str
    event_id: str
    gate: str
    #: `announced`: its code has not been used.
    status: Literal["announced", "enrolled", "revoked"]
    made_by: str
    created_at: dt.datetime
    enrolled_at: dt.datetime | None
    #: To the minute.
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class DeviceMade(Told, frozen=True, kw_only=True):
    """A device that was announced; its code is told this once, and good once."""

    code: str
    code_expires_at: dt.datetime
    device: Device


class DeviceEnrolled(Told, frozen=True, kw_only=True):
    """A device that is enrolled; its token is told this once."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme
    device: Device


class Transferred(Told, frozen=True, kw_only=True):
    """A ticket that was given away, or is offered."""

    id: str
    #: Null while it waits.
    transferred_at: dt.datetime | None
    #: Of a ticket that was offered to an address.
    gift: Gift | None = None


class Cancellation(Told, frozen=True, kw_only=True):
    """How far the cancellation of an event is."""

    event_id: str
    status: Literal["cancelling", "cancelled"]
    #: Places still held or booked.
    places_left: int
    as_of: dt.datetime


class Hold(Told, frozen=True, kw_only=True):
    """Places set aside."""

    id: str
    event_id: str
    #: `held` until confirmed, released, or expired.
    status: Literal["held", "confirmed", "released", "expired"]
    items: list[BookingItem]
    total: Money
    created_at: dt.datetime
    #: Confirm before this time.
    expires_at: dt.datetime
    #: The booking it became.
    booking_id: str | None
    #: What became of that since; null while there is none.
    booking_status: Literal["confirmed", "cancelled"] | None = None
    #: Place in the shard's journal.
    seq: int
    #: What the answer to the request that made it promises, as of a booking; else null.
    durability: Durability | None = None


class SeatRow(Told, frozen=True, kw_only=True):
    """A row of seats; those of null labels are labelled 1, 2, 3, ..."""

    name: str
    #: Number of its first seat within the section.
    first_seat: int
    seats: int
    labels: list[str] | None = None


class SeatSection(Told, frozen=True, kw_only=True):
    """A section: seat n of it has the id `s<section_no>-<n>`."""

    section_no: int
    name: str
    tier_id: str
    rows: list[SeatRow]
    #: Empty, or at each seat's place what it is: accessible 1, restricted view 2, aisle 4, added.
    kinds: str
    #: At each seat's place f(ree), h(eld), s(old) or b(locked); a slash ends a row.
    status: str


class SeatMap(Told, frozen=True, kw_only=True):
    """The seats of an event at one version: all of them, or what changed since another."""

    event_id: str
    version: int
    sections: list[SeatSection] | None = None
    changes: list[SeatChange] | None = None


class SeatsShifted(Told, frozen=True, kw_only=True):
    """Seats that are blocked now, or free."""

    event_id: str
    status: Literal["blocked", "free"]
    seat_ids: list[str]
    #: Place in the shard's journal.
    seq: int


class Offer(Told, frozen=True, kw_only=True):
    """Places that are kept for one who waited, once."""

    id: str
    #: Accept before this time; later they are offered to the next.
    expires_at: dt.datetime


class WaitlistEntry(Told, frozen=True, kw_only=True):
    """One's place on the waitlist of a tier."""

    id: str
    event_id: str
    tier_id: str
    quantity: int
    #: `waiting`, then `offered` or `left`; an offer is accepted, declined, or expires.
    status: Literal[
        "waiting", "offered", "accepted", "declined", "expired", "left", "event_cancelled"
    ]
    #: Why it ended if that was not its owner's wish: `limit`, they have as many places as one may
    #: have; `too_large`, the tier can never have so many places free.
    why: Literal["limit", "too_large", "event_cancelled"] | None
    #: How this event's list is led.
    policy: Literal["strict", "skip"]
    #: 1 is the head; null once one waits no longer.
    position: int | None
    #: Places that those ahead wait for; null if they are too many to add up.
    ahead_places: int | None
    #: Seconds at the rate of the last hour; null where too little returned to tell.
    estimate_s: int | None
    joined_at: dt.datetime
    offer: Offer | None
    #: The booking that the accepted offer became.
    booking_id: str | None
    #: What became of that since; null while there is none.
    booking_status: Literal["confirmed", "cancelled"] | None = None
    #: Place in the shard's journal.
    seq: int


class Organizer(Told, frozen=True, kw_only=True):
    """Who makes events."""

    id: str
    name: str
    created_at: dt.datetime
    #: The caller's place on the team; null if they are not on it.
    role: TeamRoleName | None
    #: Events that the place is for; null: all.
    event_ids: list[str] | None


class Organizers(Told, frozen=True, kw_only=True):
    """The organizers on whose teams one is."""

    data: list[Organizer]


class Member(Told, frozen=True, kw_only=True):
    """Somebody on a team."""

    user_id: str
    email: str
    name: str
    role: TeamRoleName
    event_ids: list[str] | None
    added_at: dt.datetime


class Invitation(Told, frozen=True, kw_only=True):
    """An address that is asked to join a team."""

    id: str
    organizer_id: str
    organizer_name: str
    email: str
    role: TeamRoleName
    event_ids: list[str] | None
    created_at: dt.datetime
    expires_at: dt.datetime


class Invitations(Told, frozen=True, kw_only=True):
    """Open invitations to one's own address."""

    data: list[Invitation]


class Membership(Told, frozen=True, kw_only=True):
    """A team that an account is on."""

    organizer_id: str
    role: TeamRoleName
    event_ids: list[str] | None


class Account(Told, frozen=True, kw_only=True):
    """An account as admins see it; `teams` where it is read alone."""

    id: str
    email: str
    name: str
    role: Literal["user", "staff", "organizer", "admin"]
    created_at: dt.datetime
    disabled_at: dt.datetime | None
    email_verified_at: dt.datetime | None
    teams: list[Membership]
