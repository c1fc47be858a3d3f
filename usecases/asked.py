"""
What people ask of use cases, as values with their bounds; a face decodes its requests into them.

They forbid unknown fields, so that a misspelt or smuggled one is an error and never ignored.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.commands import ORDER_LINES_MAX
from engine.ids import ORDER_PLACES_MAX
from engine.seats import BLOCK_SEATS_MAX, SECTION_SEATS_MAX, SECTIONS_MAX
from store.webhooks import KINDS as WEBHOOK_KINDS
from store.webhooks import Kind as WebhookKind
from usecases.text import DECLARED_AS, Kind

Moment = Annotated[dt.datetime, Meta(tz=True)]
#: Scans that one upload may have.
SCANS_MAX = 100
#: Dates of a series that are made at once.
SERIES_DATES_MAX = 100


def _text(kind: Kind, most: int, *, least: int = 0, **schema: str) -> Meta:
    """Declare what a text is: its bounds, and the rules that `usecases.text` has for its kind."""
    return Meta(
        min_length=least or None,
        max_length=most,
        extra={DECLARED_AS: kind},
        extra_json_schema=schema or None,
    )


#: A promo code as people write it; case and blanks around do not matter.
PromoCode = Annotated[str, _text(Kind.CODE, 64, least=1, description="A-Z, 0-9, - and _")]
ShortText = Annotated[str, _text(Kind.LINE, 200, least=1)]
Name = Annotated[str, _text(Kind.LINE, 100, least=1)]
OptionalLine = Annotated[str, _text(Kind.LINE, 200)]
Category = Annotated[str, _text(Kind.LINE, 100)]
Description = Annotated[str, _text(Kind.LINES, 10_000)]
Slug = Annotated[str, _text(Kind.SLUG, 200)]
Summary = Annotated[str, _text(Kind.LINE, 300)]
WebAddress = Annotated[str, _text(Kind.URL, 2_000, description="http or https")]
PostalAddress = Annotated[str, _text(Kind.LINES, 500)]
AccessNotes = Annotated[str, _text(Kind.LINES, 2_000)]
#: A tag of BCP 47.
Language = Annotated[str, _text(Kind.LANGUAGE, 35, least=2, description="as `en`, `pt-BR`")]
Languages = Annotated[list[Language], Meta(max_length=20)]
#: An address that is looked up: one that is none is nobody's.
AddressOf = Annotated[str, _text(Kind.WORD, 254, least=3)]
Id = Annotated[str, _text(Kind.WORD, 64)]
SeatId = Annotated[str, _text(Kind.WORD, 16)]
#: Integers stay within 64 bits, as every reader of JSON can take them.
Scalar = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | bool | None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount in minor units of an ISO 4217 currency."""

    amount: Annotated[int, Meta(ge=0, le=100_000_000_000)]
    currency: Annotated[str, _text(Kind.CURRENCY, 8, description="ISO 4217, as `EUR`")]


class Register(Asked, frozen=True, kw_only=True):
    """A new account."""

    email: Annotated[str, _text(Kind.EMAIL, 254, least=3)]
    password: Annotated[str, _text(Kind.PASSWORD, 1024, least=8)]
    name: ShortText


class Login(Asked, frozen=True, kw_only=True):
    """Proof of an account."""

    email: AddressOf
    password: Annotated[str, _text(Kind.WORD, 1024, least=1)]


#: What a letter carries that opens something once.
LetterTokenText = Annotated[str, _text(Kind.WORD, 100, least=1)]


class Refresh(Asked, frozen=True, kw_only=True):
    """A refresh token, to be exchanged."""

    refresh_token: Annotated[str, _text(Kind.WORD, 100, least=1)]


class Logout(Asked, frozen=True, kw_only=True):
    """Which session to end; without a token, that of the access token."""

    refresh_token: Annotated[str, _text(Kind.WORD, 100, least=1)] | None = None


class MeChange(Asked, frozen=True, kw_only=True):
    """What is to change of one's account; what is not named stays."""

    name: ShortText | None = None
    language: Language | None = None


class SeenMessages(Asked, frozen=True, kw_only=True):
    """Which message of one's account was seen; or up to which all were."""

    notification_id: Id | None = None
    up_to: Id | None = None


class ChannelChange(Asked, frozen=True, kw_only=True):
    """By which channels one wants to be told; what is not named stays."""

    mail: bool | None = None
    push: bool | None = None


class PreferencesChange(Asked, frozen=True, kw_only=True):
    """What one wants to be told beside what is one's own business; what is not named stays."""

    #: A day and some hours before an event that one has tickets of.
    reminders: ChannelChange | None = None
    #: Before sales open that one has asked to be told of.
    sales: ChannelChange | None = None
    #: IANA name of the zone in which one is told times beside the venue's; empty: in that alone.
    timezone: Id | None = None


class PasswordChange(Asked, frozen=True, kw_only=True):
    """The password that one has, and the one that one wants."""

    #: Left out by who has none, and has signed in a moment ago.
    current_password: Annotated[str, _text(Kind.WORD, 1024, least=1)] | None = None
    new_password: Annotated[str, _text(Kind.PASSWORD, 1024, least=8)]


class Address(Asked, frozen=True, kw_only=True):
    """An address, whose account has forgotten its password."""

    email: AddressOf


class NewPassword(Asked, frozen=True, kw_only=True):
    """The token of a letter, and the password that one wants."""

    token: LetterTokenText
    password: Annotated[str, _text(Kind.PASSWORD, 1024, least=8)]


class NewEmail(Asked, frozen=True, kw_only=True):
    """The address that one wants, and one's password."""

    email: Annotated[str, _text(Kind.EMAIL, 254, least=3)]
    #: Once more: a token that was left lying about is not enough. Without it the sign-in must be
    #: recent: an account may have no password.
    password: Annotated[str, _text(Kind.WORD, 1024, least=1)] | None = None


class LetterToken(Asked, frozen=True, kw_only=True):
    """The token of a letter to an address, which proves whose that is."""

    token: LetterTokenText


#: The token of a sign-in under way.
FlowToken = Annotated[str, _text(Kind.WORD, 1_024, least=1)]


class OpenIdReturn(Asked, frozen=True, kw_only=True):
    """What came back from a provider, and the token with which one was sent there."""

    flow: FlowToken
    state: Annotated[str, _text(Kind.WORD, 128, least=1)]
    code: Annotated[str, _text(Kind.WORD, 4_096)] = ""
    #: Who answers, if the provider says it (RFC 9207).
    iss: Annotated[str, _text(Kind.WORD, 500)] = ""
    #: Instead of a code, if nothing came of it: `access_denied`.
    error: Annotated[str, _text(Kind.WORD, 64)] = ""


def _bytes(most: int) -> Meta:
    """Declare bytes in base64url, without padding, as WebAuthn writes them."""
    return Meta(pattern=rf"^[A-Za-z0-9_-]{{1,{most}}}\Z", extra={DECLARED_AS: Kind.WORD})


_CredentialId = Annotated[str, _bytes(1_364)]
_ClientData = Annotated[str, _bytes(8_192)]
_CredentialType = Literal["public-key"]


class Attestation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"client_data_json": "clientDataJSON", "attestation_object": "attestationObject"},
):
    """What a device says of a new credential; browsers may send more, which is not looked at."""

    client_data_json: _ClientData
    attestation_object: Annotated[str, _bytes(32_768)]
    transports: Annotated[list[Annotated[str, _text(Kind.WORD, 32)]], Meta(max_length=16)] = []


class Assertion(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "client_data_json": "clientDataJSON",
        "authenticator_data": "authenticatorData",
        "user_handle": "userHandle",
    },
):
    """What a device has signed; browsers may send more, which is not looked at."""

    client_data_json: _ClientData
    authenticator_data: Annotated[str, _bytes(4_096)]
    signature: Annotated[str, _bytes(2_048)]
    #: Whose it is: a passkey that is found without a name tells it.
    user_handle: Annotated[str, _bytes(88)]


class NewCredential(msgspec.Struct, frozen=True, kw_only=True, rename={"raw_id": "rawId"}):
    """`PublicKeyCredential.toJSON()` of a new passkey."""

    id: _CredentialId
    raw_id: _CredentialId
    type: _CredentialType
    response: Attestation


class UsedCredential(msgspec.Struct, frozen=True, kw_only=True, rename={"raw_id": "rawId"}):
    """`PublicKeyCredential.toJSON()` of a passkey that has signed."""

    id: _CredentialId
    raw_id: _CredentialId
    type: _CredentialType
    response: Assertion


class PasskeySignIn(Asked, frozen=True, kw_only=True):
    """The end of a sign-in by a passkey."""

    flow: FlowToken
    credential: UsedCredential


class NewPasskey(Asked, frozen=True, kw_only=True):
    """A passkey that was made, and what to call it."""

    flow: FlowToken
    name: Name
    credential: NewCredential


class PasskeyName(Asked, frozen=True, kw_only=True):
    """What to call a passkey."""

    name: Name


class PushKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What messages to a browser are sealed for."""

    p256dh: Annotated[str, _bytes(88)]
    auth: Annotated[str, _bytes(24)]


class PushEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`PushSubscription.toJSON()`, of which the rest is not looked at."""

    endpoint: Annotated[str, _text(Kind.WORD, 1_024, least=1)]
    keys: PushKeys


class NewPush(Asked, frozen=True, kw_only=True):
    """A browser on which one wants to be told."""

    subscription: PushEndpoint
    #: Of the key that it was subscribed with (`GET /v1/push/key`).
    key_id: Annotated[str, _text(Kind.WORD, 64, least=1)]
    #: What to call it; the browser's own word if it is not said.
    name: Name | None = None


class Erase(Asked, frozen=True, kw_only=True):
    """The wish to be forgotten."""

    #: Once more: a token that was left lying about is not enough. Without it the sign-in must be
    #: recent: an account may have no password.
    password: Annotated[str, _text(Kind.WORD, 1024, least=1)] | None = None
    #: What becomes of live bookings of events to come, and of tickets that others gave: they stay
    #: good, or are given back.
    bookings: Literal["keep", "cancel"] | None = None


class NewTier(Asked, frozen=True, kw_only=True):
    """A kind of ticket of a new event."""

    name: Name
    price: Money
    #: May be left out where the tier has seats: it is their number; or in a pool: it is the pool's.
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    max_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] = ORDER_PLACES_MAX
    #: An order that has places of this tier has at least so many.
    min_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] = 1
    #: Over all orders of a person; beside `max_per_user` of the event.
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] | None = None
    #: Sale window of this tier, within that of the event.
    sale_opens_at: Moment | None = None
    sale_closes_at: Moment | None = None
    #: Shown and sold only to who sends a promo code that names the tier; it has no waitlist.
    is_hidden: bool = False
    #: Sold although the event is over, as a recording may be; all others are not.
    sells_after_end: bool = False


class NewSeat(Asked, frozen=True, kw_only=True, omit_defaults=True):
    """A seat of a new row."""

    label: Annotated[str, _text(Kind.LINE, 10, least=1)]
    accessible: bool = False
    restricted_view: bool = False
    aisle: bool = False


class NewRow(Asked, frozen=True, kw_only=True):
    """A row of seats: their number, or each of them."""

    name: Annotated[str, _text(Kind.LINE, 20, least=1)]
    seats: (
        Annotated[int, Meta(ge=1, le=SECTION_SEATS_MAX)]
        | Annotated[list[NewSeat], Meta(min_length=1, max_length=SECTION_SEATS_MAX)]
    )


class NewSection(Asked, frozen=True, kw_only=True):
    """A section of seats of a new event, the rows nearest the stage first."""

    name: Name
    #: Name of the tier, or its index from 0.
    tier: Name | int
    rows: Annotated[list[NewRow], Meta(min_length=1, max_length=500)]


class NewPromo(Asked, frozen=True, kw_only=True):
    """
    A promo code of a new event: percent_off or amount_off, and the hidden tiers it unlocks.

    An access code takes nothing off: it names at least one hidden tier.
    """

    code: PromoCode
    percent_off: Annotated[int, Meta(ge=1, le=100)] | None = None
    #: Minor units of the event's currency, off each place.
    amount_off: Annotated[int, Meta(ge=1, le=100_000_000_000)] | None = None
    #: Names of tiers, or their indexes from 0; all that are not hidden if none is named.
    tiers: Annotated[list[Name | int], Meta(max_length=100)] = []
    #: Orders that may use it.
    uses_max: Annotated[int, Meta(ge=1, le=10_000_000)]


class NewPool(Asked, frozen=True, kw_only=True):
    """Places that tiers of a new event share, as adults and children do one room."""

    name: Name
    #: All its tiers have together; each may have less by a capacity of its own.
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)]
    #: Names of tiers, or their indexes from 0; tiers without seats, each in one pool at most.
    tiers: Annotated[list[Name | int], Meta(min_length=2, max_length=100)]


class NewEvent(Asked, frozen=True, kw_only=True):
    """A new event; it is a draft until published."""

    name: ShortText
    description: Description = ""
    category: Category = ""
    venue: OptionalLine = ""
    #: How it is named in the address of its page; after its name if left out.
    slug: Slug = ""
    #: What stands in a list.
    summary: Summary = ""
    #: Web address of a picture, and what it shows to who cannot see it.
    image: WebAddress = ""
    image_alt: Summary = ""
    #: Of the venue, in lines as on a letter.
    address: PostalAddress = ""
    #: Town or district, by which it is found.
    place: Category = ""
    #: What people with disabilities want to know before they come.
    access_notes: AccessNotes = ""
    #: That the texts are in.
    languages: Languages = []
    #: IANA name of the venue's zone.
    timezone: Id = "UTC"
    #: In the future.
    starts_at: Moment
    #: Not after the start.
    doors_at: Moment | None = None
    #: Nothing is sold from then on, but by tiers that say so. Without it: a day after the start.
    ends_at: Moment | None = None
    sale_opens_at: Moment | None = None
    #: Not after the event's end. Without it: the start, or the end if the sale opens after that.
    sale_closes_at: Moment | None = None
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] = 10
    #: `strict`: the head waits until its party fits; `skip`: smaller parties may pass it.
    waitlist_policy: Literal["strict", "skip"] = "strict"
    #: How long a head that does not fit may stop a strict waitlist.
    waitlist_patience_s: Annotated[int, Meta(ge=0, le=2_592_000)] = 900
    #: Whose a ticket is that was given away: its `holder`'s, who alone may give it back, or still
    #: its `buyer`'s, who may cancel it; `none`: tickets cannot be given away. Fixed by publishing.
    transfers: Literal["holder", "buyer", "none"] = "holder"
    #: How long who waits may think about an offer. If left out, a hundredth of the time until the
    #: sale ends, 24 hours at most, 15 minutes at least.
    offer_ttl_s: Annotated[int, Meta(ge=1, le=604_800)] | None = None
    tiers: Annotated[list[NewTier], Meta(min_length=1, max_length=100)]
    #: Places that tiers share. Fixed by publishing, but for their capacities.
    pools: Annotated[list[NewPool], Meta(max_length=50)] = []
    #: Of tiers with reserved seats; in the order in which best available fills them.
    sections: Annotated[list[NewSection], Meta(max_length=SECTIONS_MAX)] = []
    promo_codes: Annotated[list[NewPromo], Meta(max_length=100)] = []


class OrderItem(Asked, frozen=True, kw_only=True, omit_defaults=True):
    """
    One line of an order: a tier and how many, or seats.

    Of a tier with seats, a quantity means the best available.
    """

    tier_id: Id | None = None
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] | None = None
    seat_ids: Annotated[list[SeatId], Meta(min_length=1, max_length=ORDER_PLACES_MAX)] | None = None
    #: Let the server choose seats side by side, as near the middle of the front as there are.
    best_available: bool = False
    #: With best_available: seats apart are better than none.
    split: bool = False
    #: With best_available: at least one of the seats must be accessible.
    accessible: bool = False


class Order(Asked, frozen=True, kw_only=True):
    """What a buyer asks for: at most ten places, each tier on one line."""

    items: Annotated[list[OrderItem], Meta(min_length=1, max_length=ORDER_LINES_MAX)]
    special_requests: Annotated[str, _text(Kind.LINES, 500)] = ""
    metadata: Annotated[dict[str, Scalar], Meta(max_length=50, extra={DECLARED_AS: Kind.DATA})] = {}
    promo_code: PromoCode | None = None


class CancelledItem(Asked, frozen=True, kw_only=True):
    """Places to be given back."""

    tier_id: Id
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)]


class CancelBooking(Asked, frozen=True, kw_only=True):
    """
    Which places of a booking to give back; all without a body.

    One of the three: tickets by their ids, seats by theirs, or so many of some tiers, which are
    never tickets that were given away or are used.
    """

    items: Annotated[list[CancelledItem], Meta(min_length=1, max_length=ORDER_LINES_MAX)] | None = (
        None
    )
    ticket_ids: Annotated[list[Id], Meta(min_length=1, max_length=ORDER_PLACES_MAX)] | None = None
    seat_ids: Annotated[list[SeatId], Meta(min_length=1, max_length=ORDER_PLACES_MAX)] | None = None
    #: Of the booking, as read before: what makes a repeated request harmless.
    version: Annotated[int, Meta(ge=1, le=1000)] | None = None


#: Why the box office does something: for the log of acts, so no names of people.
Reason = Annotated[str, _text(Kind.LINE, 500, least=1)]
NoteText = Annotated[str, _text(Kind.LINES, 2_000, least=1)]


class OrderFor(Order, frozen=True, kw_only=True):
    """An order that the box office makes for somebody: for an account, or a proved address."""

    email: AddressOf | None = None
    user_id: Id | None = None
    #: May exceed what one person may have of the event and of its tiers.
    beyond_limit: bool = False
    reason: Reason


class CancelOrder(CancelBooking, frozen=True, kw_only=True):
    """Which places of an order the box office gives back, all if none are named, and why."""

    reason: Reason


class MoveOrder(Asked, frozen=True, kw_only=True):
    """Who gets an order's tickets: an account, or who has proved an address; and why."""

    email: AddressOf | None = None
    user_id: Id | None = None
    #: All that live if not given.
    ticket_ids: Annotated[list[Id], Meta(min_length=1, max_length=ORDER_PLACES_MAX)] | None = None
    reason: Reason


class NewOrderNote(Asked, frozen=True, kw_only=True):
    """A note on an order."""

    text: NoteText


class SettledRefund(Asked, frozen=True, kw_only=True):
    """That all is settled which is due of an order at this version of its booking."""

    state: Literal["done", "waived"]
    version: Annotated[int, Meta(ge=1, le=1000)]
    note: NoteText


#: Name of a gate.
GateName = Annotated[str, _text(Kind.GATE, 64, least=1)]
ScanId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{8,64}\Z", extra={DECLARED_AS: Kind.WORD})]


class Scan(Asked, frozen=True, kw_only=True):
    """Whose door a ticket is scanned at, and which scan it is."""

    #: The event whose door it is; tickets of others do not pass.
    event_id: Id
    gate: GateName | None = None
    #: Made by the gate for this one scan (a UUID is good), and sent again with every repetition.
    #: The Idempotency-Key stands for it where it is left out.
    scan_id: ScanId | None = None
    #: When it was scanned, if that is not now.
    scanned_at: Moment | None = None


class PastScan(Asked, frozen=True, kw_only=True):
    """A scan that a gate made while it was offline."""

    #: What was scanned.
    code: Annotated[str, _text(Kind.WORD, 256, least=1)]
    scan_id: ScanId
    scanned_at: Moment


class PastScans(Asked, frozen=True, kw_only=True):
    """Scans of one gate that are sent later, in the order in which they were made."""

    gate: GateName | None = None
    scans: Annotated[list[PastScan], Meta(min_length=1, max_length=SCANS_MAX)]


#: What an API key may be made for; which routes each opens, the face says.
Scope = Literal["events:read", "events:write", "orders:read", "sell", "check_in"]


class NewApiKey(Asked, frozen=True, kw_only=True):
    """An API key for an integration."""

    #: By which people know it again.
    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=10)]
    #: Null: until it is revoked.
    expires_at: Moment | None = None
    #: Whose events it is for; an admin may name any organizer, others have their own.
    organizer_id: Id | None = None


WebhookKinds = Annotated[list[WebhookKind], Meta(min_length=1, max_length=len(WEBHOOK_KINDS))]


class NewWebhook(Asked, frozen=True, kw_only=True):
    """Where an organizer is told what happens to its events, and of what."""

    #: By https; of the public internet.
    url: WebAddress
    kinds: WebhookKinds


class WebhookChange(Asked, frozen=True, kw_only=True):
    """What is to change of a webhook; what is not named stays."""

    url: WebAddress | None = None
    kinds: WebhookKinds | None = None
    state: Literal["active", "disabled"] | None = None


class Redelivery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """A time of which messages are to be sent again."""

    since: Moment
    #: The first moment that is not in it.
    until: Moment
    #: Leave out what has arrived.
    only_failed: bool = True


class NewDevice(Asked, frozen=True, kw_only=True):
    """A device at a gate of an event."""

    #: The gate that it stands at, under which all its scans are noted.
    gate: GateName


class Enrolment(Asked, frozen=True, kw_only=True):
    """The code that makes a device what it was announced as."""

    code: Annotated[str, _text(Kind.WORD, 64, least=1)]


class Transfer(Asked, frozen=True, kw_only=True):
    """Who gets a ticket, one of the two: whoever proves an address, or an account at once."""

    email: AddressOf | None = None
    user_id: Id | None = None


class TierChange(Asked, frozen=True, kw_only=True):
    """What is to change of a tier, for orders from then on; what is not named stays."""

    id: Id
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    #: In the event's currency.
    price: Money | None = None
    max_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] | None = None
    min_per_order: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)] | None = None
    #: Only of a tier that has such a limit: else nobody has counted.
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] | None = None
    #: Null: as that of the event.
    sale_opens_at: Moment | msgspec.UnsetType | None = msgspec.UNSET
    sale_closes_at: Moment | msgspec.UnsetType | None = msgspec.UNSET


class PromoChange(Asked, frozen=True, kw_only=True):
    """
    A promo code that is new, or one that may be used so often from now on.

    What a code takes off, and of what, stays: of one that is there `uses_max` alone is told.
    """

    code: PromoCode
    percent_off: Annotated[int, Meta(ge=1, le=100)] | None = None
    amount_off: Annotated[int, Meta(ge=1, le=100_000_000_000)] | None = None
    #: Names of tiers, or their indexes from 0, those that are added after those that are there.
    tiers: Annotated[list[Name | int], Meta(max_length=100)] = []
    #: 0 stops the code; who holds places with it keeps its price.
    uses_max: Annotated[int, Meta(ge=0, le=10_000_000)]


class PoolChange(Asked, frozen=True, kw_only=True):
    """A pool's new capacity; its tiers that have no lower one of their own have the same then."""

    name: Name
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)]


class EventChange(Asked, frozen=True, kw_only=True):
    """What is to change of an event; what is not named stays."""

    name: ShortText | None = None
    description: Description | None = None
    category: Category | None = None
    venue: OptionalLine | None = None
    slug: Slug | None = None
    summary: Summary | None = None
    image: WebAddress | None = None
    image_alt: Summary | None = None
    address: PostalAddress | None = None
    place: Category | None = None
    access_notes: AccessNotes | None = None
    languages: Languages | None = None
    #: With its start move end and doors, and the end of a sale that ends with it, unless they are
    #: given as well. A sale that has opened does not open again.
    timezone: Id | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    sale_opens_at: Moment | None = None
    #: Null: it is not told any more.
    doors_at: Moment | msgspec.UnsetType | None = msgspec.UNSET
    sale_closes_at: Moment | None = None
    max_per_user: Annotated[int, Meta(ge=1, le=1000)] | None = None
    #: As of `NewEvent`; null: the longer the further the sale's end is.
    offer_ttl_s: Annotated[int, Meta(ge=1, le=604_800)] | msgspec.UnsetType | None = msgspec.UNSET
    tiers: Annotated[list[TierChange], Meta(max_length=100)] = []
    pools: Annotated[list[PoolChange], Meta(max_length=50)] = []
    #: Tiers without seats, numbered behind those that are there.
    add_tiers: Annotated[list[NewTier], Meta(max_length=100)] = []
    promo_codes: Annotated[list[PromoChange], Meta(max_length=100)] = []


class Postponement(Asked, frozen=True, kw_only=True):
    """When an event that was published is to be instead; the rest moves along."""

    #: In the future.
    starts_at: Moment
    #: As long after the start as before if left out; so are the doors.
    ends_at: Moment | None = None
    doors_at: Moment | None = None


class Copy(Asked, frozen=True, kw_only=True):
    """A copy of an event, which is a draft; all its times move with its start."""

    #: In the future; as that of the event if left out.
    starts_at: Moment | None = None
    name: ShortText | None = None


class Series(Asked, frozen=True, kw_only=True):
    """Further dates of an event: a draft for each, alike but for its times."""

    #: In the future, each once.
    starts: Annotated[list[Moment], Meta(min_length=1, max_length=SERIES_DATES_MAX)]


class EventImport(Asked, frozen=True, kw_only=True):
    """Events of another catalogue, as text of a file, and what is missing in it."""

    #: Whose the events become; may be left out by who makes events for one organizer alone.
    organizer_id: Id | None = None
    #: `jsonl`: one object of schema.org a line; `jsonld`: one, an array, or a `@graph` of them.
    format: Literal["csv", "jsonld", "jsonl"]
    text: Annotated[str, Meta(min_length=1, max_length=4_000_000, extra={DECLARED_AS: Kind.WORD})]
    #: Say what would become of each event, and make none.
    dry_run: bool = False
    #: Zone of those that name none.
    timezone: Id = "UTC"
    #: Places of those that do not say how many they have; without it they are refused.
    capacity: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    #: Of prices that name none, ISO 4217.
    currency: Annotated[str, _text(Kind.CURRENCY, 8)] = ""
    #: All times are later by so many weeks: an old catalogue may serve as a sample.
    weeks_later: Annotated[int, Meta(ge=0, le=2_000)] = 0


class Reopening(Asked, frozen=True, kw_only=True):
    """Until when to sell on."""

    sale_closes_at: Moment


class SeatIds(Asked, frozen=True, kw_only=True):
    """Seats of an event."""

    seat_ids: Annotated[list[SeatId], Meta(min_length=1, max_length=BLOCK_SEATS_MAX)]


class Join(Asked, frozen=True, kw_only=True):
    """What one waits for: the whole party or nothing."""

    tier_id: Id
    quantity: Annotated[int, Meta(ge=1, le=ORDER_PLACES_MAX)]
    #: A hold of one's own that expired: gives the first place, once.
    after_hold: Id | None = None


#: What somebody is on a team: see docs/TEAMS.md.
TeamRoleName = Literal["owner", "manager", "box_office", "gate"]
#: Events that a place on a team is for.
EventIds = Annotated[list[Id], Meta(min_length=1, max_length=100)]


class TeamPlace(Asked, frozen=True, kw_only=True):
    """What somebody is on a team, and for which events; for all without `event_ids`."""

    role: TeamRoleName
    event_ids: EventIds | None = None


class Invite(TeamPlace, frozen=True, kw_only=True):
    """An address that is asked to join a team."""

    email: Annotated[str, _text(Kind.EMAIL, 254, least=3)]


class OrganizerName(Asked, frozen=True, kw_only=True):
    """What an organizer is called."""

    name: ShortText


class NewOrganizer(Asked, frozen=True, kw_only=True):
    """A new organizer."""

    name: ShortText
    #: The account that owns it.
    owner_id: Id | None = None


class AccountChange(Asked, frozen=True, kw_only=True):
    """
    What an account is to be.

    Staff is on the team of `organizer_id` for the gate, an organizer owns it; a user leaves all
    teams, an admin stays on theirs.
    """

    role: Literal["user", "staff", "organizer", "admin"]
    organizer_id: Id | None = None
