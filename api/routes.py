"""
The table of all routes: path, policy, what goes in, what comes out. OpenAPI is made from it.

A route without a policy cannot be written down, and a test holds the table against the router.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from api import schemas
from api.codes import Code
from api.handlers import (
    accounts,
    availability,
    bookings,
    catalogue,
    changes,
    desk,
    devices,
    docs,
    events,
    gate,
    gifts,
    holds,
    keys,
    live,
    notifications,
    openid,
    operators,
    ops,
    organizers,
    papers,
    passkeys,
    preferences,
    privacy,
    problems,
    pushes,
    receipts,
    reminders,
    seats,
    sessions,
    waitlist,
    webhooks,
)
from api.policy import Handler, Policy
from usecases import asked, told


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
    #: Problem codes that are this route's own, with their HTTP status; what follows from its
    #: policy, body, key and query, `api.openapi` adds.
    problems: tuple[tuple[int, str], ...] = ()
    #: Whether the request must carry an Idempotency-Key.
    needs_key: bool = False
    #: Whether it heeds `Prefer: durability=...`.
    prefers: bool = False
    #: Whether it is served on the fast lane (`api.lane`); its answers are lean.
    is_hot: bool = False
    #: Whether it may come without its body.
    may_be_bare: bool = False
    #: Names of query parameters.
    query: tuple[str, ...] = ()
    #: If the answer is a stream: the types of its events by their names.
    events: tuple[tuple[str, Any], ...] = ()
    #: Whether success has an ETag; as a GET it heeds If-None-Match.
    has_etag: bool = False
    #: Whether it must say by If-Match which version it changes.
    needs_match: bool = False
    #: Whether success tells by Location where what was made is read.
    is_located: bool = False
    #: Whether an Idempotency-Key is the name of what it does, without being needed.
    is_keyed: bool = False
    #: Whether a request with a key is done once, and its answer kept for repetitions; but for what
    #: is secret of it.
    is_kept: bool = False
    is_secret: bool = False
    #: What it answers with if that is not JSON alone.
    media: tuple[str, ...] = ()


def _route(
    line: str,
    handler: Handler,
    answer: Any = None,
    problems: str = "",
    *,
    body: Any = None,
    media: tuple[str, ...] = (),
) -> Route:
    """
    Read a row of the table.

    Args:
        line: Method and path, with the names of what may stand in the query; then who may call,
            the status of success if it is not 200, the media type if it is a file, and whether it
            is `hot`, needs a `key`, `prefers`, may come `bare` of its body, has an `etag`, needs a
            `match` by one, and tells where what it made is `located`. How it is repeated: `keyed`
            by the key that it may have, its answer `kept` by that, or known to be done if it is
            `secret`.

        problems: HTTP status and code of each problem that is its own.
    """
    method, target, policy, *words = line.split()
    path, _, query = target.partition("?")
    codes = problems.split()
    own = tuple(dict.fromkeys(zip(map(int, codes[::2]), codes[1::2], strict=True)))
    return Route(
        method,
        path,
        handler,
        Policy(policy),
        body,
        answer,
        next((int(word) for word in words if word.isdigit()), 200),
        own,
        needs_key="key" in words,
        prefers="prefers" in words,
        is_hot="hot" in words,
        may_be_bare="bare" in words,
        query=tuple(query.split(",")) if query else (),
        has_etag="etag" in words,
        needs_match="match" in words,
        is_located="located" in words,
        is_keyed="keyed" in words,
        is_kept=bool({"kept", "secret"} & set(words)),
        is_secret="secret" in words,
        media=(*media, *(word for word in words if "/" in word)),
    )


_STORED = "503 database_busy 503 database_unavailable"
_SIGN_IN = f"503 backpressure {_STORED}"
_ME = f"404 not_found {_STORED}"
_PASSWORD = f"401 wrong_credentials 403 sign_in_again 403 passkey_required 503 backpressure {_ME}"
_SHUT = f"503 shard_recovering 503 event_recovering 503 outcome_unknown 503 backpressure {_STORED}"
_READ = f"404 not_found 503 shard_recovering 503 event_recovering 503 redis_unavailable {_STORED}"
_LOOK = f"404 not_found {_SHUT}"
_SEE = f"409 not_on_sale {_LOOK}"
_BOOK = (
    "409 sold_out 409 all_held 409 kept_for_waitlist 409 limit_reached "
    "409 sale_not_open 409 event_cancelled 409 sale_closed 409 event_ended "
    "409 seat_taken 409 not_together 409 promo_exhausted "
    f"422 idempotency_key_reused 429 rate_limited {_SEE}"
)
_HOLD = f"{_BOOK} 429 too_many_holds 503 redis_unavailable"
_ACCEPT = (
    "409 event_cancelled 409 event_ended 410 hold_expired 410 hold_released "
    f"503 redis_unavailable {_LOOK}"
)
_CONFIRM = (
    "409 sale_closed 409 sale_not_open 409 limit_reached 409 promo_exhausted 409 price_changed "
    f"409 not_on_sale 422 invalid {_ACCEPT}"
)
_RELEASE = f"409 hold_confirmed 503 redis_unavailable {_LOOK}"
_EXTEND = (
    "409 extension_limit 409 hold_confirmed 409 sale_closed 409 sale_not_open 409 not_on_sale "
    f"{_ACCEPT}"
)
_JOIN = (
    "409 already_waiting 409 places_available 409 waitlist_full 409 limit_reached "
    "409 party_too_large 409 event_cancelled 409 sale_not_open 409 sale_closed 409 event_ended "
    f"422 idempotency_key_reused 429 rate_limited 503 redis_unavailable {_SEE}"
)
_GIVE_BACK = (
    "409 version_changed 409 not_in_booking 409 seats_not_named 409 below_minimum "
    "409 already_checked_in 409 ticket_transferred 409 not_upgraded 428 precondition_required "
    f"503 catching_up 503 redis_unavailable {_LOOK}"
)
_TICKET = (
    f"409 event_cancelled 409 already_checked_in 410 ticket_cancelled 503 redis_unavailable {_LOOK}"
)
_PAPER = f"404 not_found 410 ticket_cancelled 503 catching_up {_STORED}"
_ENTRY = f"404 not_found 503 catching_up {_STORED}"
_RETURN = f"409 no_transfers 503 catching_up {_TICKET}"
_SCAN = (
    "400 idempotency_key_malformed 409 wrong_event 410 ticket_superseded "
    f"422 idempotency_key_reused {_TICKET}"
)
_UNDO = f"409 not_checked_in {_SCAN}"
_CLOSE = f"409 not_on_sale {_LOOK}"
_REOPEN = f"409 event_cancelled 409 event_ended 409 sale_closed {_CLOSE}"
_SEATS = f"409 seat_taken {_CLOSE}"
_RETURNED = f"401 sign_in_over 401 sign_in_refused 404 not_found 503 provider_unavailable {_STORED}"
_PROVE = f"403 sign_in_again 403 passkey_required {_STORED}"
_AMEND = f"409 capacity_below_taken 409 tier_has_seats 409 sale_differs 409 not_upgraded {_REOPEN}"
_CHANGE = f"412 precondition_failed 428 precondition_required {_AMEND}"

_TEAM = f"403 forbidden 404 not_found {_STORED}"
_HOOK = f"404 webhooks_off {_TEAM}"
_HOOKS = "/v1/organizers/{organizer_id}/webhooks"
_ACCOUNT = f"404 not_found 409 last_admin {_STORED}"

ROUTES: tuple[Route, ...] = (
    # The hot path stands first: the router tries routes in order.
    _route(
        "POST /v1/events/{event_id}/bookings user 201 key prefers hot located",
        bookings.book,
        told.Booking,
        _BOOK,
        body=asked.Order,
    ),
    _route(
        "POST /v1/events/{event_id}/holds user 201 key prefers hot located",
        holds.create,
        told.Hold,
        _HOLD,
        body=asked.Order,
    ),
    _route(
        "POST /v1/holds/{hold_id}/confirm user 201 prefers hot located",
        holds.confirm,
        told.Booking,
        _CONFIRM,
    ),
    _route(
        "GET /v1/events/{event_id}/availability?promo_code public hot",
        availability.read,
        told.Availability,
        _SEE,
    ),
    _route(
        "GET /v1/events/{event_id}/stream public",
        live.read,
        None,
        f"403 origin_not_allowed 404 not_found 409 not_on_sale 429 too_many_streams {_STORED}",
    )._replace(events=schemas.STREAM),
    _route(
        "GET /v1/events/{event_id}/seats?since,promo_code public etag",
        seats.read,
        told.SeatMap,
        _SEE,
    ),
    _route(
        "POST /v1/events/{event_id}/seats/block staff",
        seats.block,
        told.SeatsShifted,
        _SEATS,
        body=asked.SeatIds,
    ),
    _route(
        "POST /v1/events/{event_id}/seats/unblock staff",
        seats.unblock,
        told.SeatsShifted,
        _SEATS,
        body=asked.SeatIds,
    ),
    _route(
        "POST /v1/auth/register public 201",
        accounts.register,
        told.Session,
        f"401 wrong_credentials 429 rate_limited {_SIGN_IN}",
        body=asked.Register,
    ),
    _route(
        "POST /v1/auth/login public",
        accounts.login,
        told.Session,
        f"401 wrong_credentials 403 account_disabled 429 rate_limited {_SIGN_IN}",
        body=asked.Login,
    ),
    _route("GET /v1/auth/openid public", openid.providers, schemas.OpenIdProviders),
    _route(
        "POST /v1/auth/openid/{provider}/begin public",
        openid.begin,
        told.OpenIdFlow,
        "404 not_found 503 backpressure 503 provider_unavailable",
    ),
    _route(
        "POST /v1/auth/openid/{provider}/finish public",
        openid.finish,
        told.Session,
        f"409 address_unverified 409 link_needed 429 rate_limited 503 backpressure "
        f"401 wrong_credentials 403 account_disabled {_RETURNED}",
        body=asked.OpenIdReturn,
    ),
    _route(
        "POST /v1/auth/passkeys/begin public", passkeys.begin, told.PasskeyFlow, "404 passkeys_off"
    ),
    _route(
        "POST /v1/auth/passkeys/finish public",
        passkeys.finish,
        told.Session,
        "401 sign_in_over 401 sign_in_refused 401 wrong_credentials 403 account_disabled "
        f"404 passkeys_off {_STORED}",
        body=asked.PasskeySignIn,
    ),
    _route("GET /v1/me/identities user", openid.listing, schemas.Identities, _STORED),
    _route(
        "POST /v1/me/identities/{provider}/begin user",
        openid.begin_link,
        told.OpenIdFlow,
        f"404 not_found 503 backpressure 503 provider_unavailable {_PROVE}",
    ),
    _route(
        "POST /v1/me/identities/{provider}/finish user 201 kept",
        openid.finish_link,
        told.Identity,
        "403 passkey_required 409 identity_taken 409 too_many_ways_in 503 backpressure "
        f"{_RETURNED}",
        body=asked.OpenIdReturn,
    ),
    _route(
        "DELETE /v1/me/identities/{identity_id} user 204",
        openid.unlink,
        None,
        f"404 not_found 409 last_way_in {_PROVE}",
    ),
    _route("GET /v1/me/passkeys user", passkeys.listing, schemas.Passkeys, _STORED),
    _route(
        "POST /v1/me/passkeys/begin user",
        passkeys.begin_adding,
        told.NewPasskeyFlow,
        f"404 not_found 404 passkeys_off {_PROVE}",
    ),
    _route(
        "POST /v1/me/passkeys user 201 kept",
        passkeys.add,
        told.Passkey,
        "401 sign_in_over 401 sign_in_refused 403 passkey_required 404 passkeys_off "
        f"409 passkey_known 409 too_many_ways_in {_STORED}",
        body=asked.NewPasskey,
    ),
    _route(
        "PATCH /v1/me/passkeys/{passkey_id} user kept",
        passkeys.rename,
        told.Passkey,
        f"404 not_found {_STORED}",
        body=asked.PasskeyName,
    ),
    _route(
        "DELETE /v1/me/passkeys/{passkey_id} user 204",
        passkeys.remove,
        None,
        f"404 not_found 409 last_way_in {_PROVE}",
    ),
    _route("GET /v1/push/key public", pushes.key, told.PushKey, f"404 push_off {_STORED}"),
    _route("GET /v1/me/push user", pushes.listing, schemas.PushSubscriptions, _STORED),
    _route(
        "POST /v1/me/push user",
        pushes.subscribe,
        told.PushSubscription,
        f"404 push_off 409 too_many_browsers {_STORED}",
        body=asked.NewPush,
    ),
    _route("DELETE /v1/me/push/{push_id} user 204", pushes.remove, None, _ME),
    _route(
        "POST /v1/me/push/{push_id}/test user 202 kept", pushes.test, None, f"404 push_off {_ME}"
    ),
    _route(
        "POST /v1/auth/refresh public keyed",
        sessions.refresh,
        told.Session,
        f"400 idempotency_key_malformed 401 session_over {_STORED}",
        body=asked.Refresh,
    ),
    _route(
        "POST /v1/auth/logout public 204 bare",
        sessions.log_out,
        None,
        f"401 session_over {_STORED}",
        body=asked.Logout,
    ),
    _route(
        "POST /v1/auth/password/forgot public 202",
        accounts.forget_password,
        None,
        _STORED,
        body=asked.Address,
    ),
    _route(
        "POST /v1/auth/password/reset public 204",
        accounts.reset_password,
        None,
        f"410 link_over {_SIGN_IN}",
        body=asked.NewPassword,
    ),
    _route("GET /v1/me user", accounts.me, told.Me, _ME),
    _route("PATCH /v1/me user kept", accounts.change, told.Me, _ME, body=asked.MeChange),
    _route(
        "POST /v1/me/password user secret",
        accounts.change_password,
        told.Session,
        _PASSWORD,
        body=asked.PasswordChange,
    ),
    _route(
        "POST /v1/me/email user 202 kept",
        accounts.change_email,
        None,
        _PASSWORD,
        body=asked.NewEmail,
    ),
    _route("POST /v1/me/email/verification user 202 kept", accounts.ask_for_proof, None, _ME),
    _route(
        "POST /v1/me/email/verify user kept",
        accounts.prove,
        told.Me,
        f"410 link_over {_ME}",
        body=asked.LetterToken,
    ),
    _route("GET /v1/me/sessions user", sessions.listing, schemas.SignedInList, _STORED),
    _route("DELETE /v1/me/sessions user 204", sessions.end_others, None, _STORED),
    _route("DELETE /v1/me/sessions/{id} user 204", sessions.end, None, _ME),
    _route(
        "PUT /v1/events/{event_id}/reminder user 204",
        reminders.ask,
        None,
        f"404 not_found 409 sale_has_opened 409 too_many_reminders {_STORED}",
    ),
    _route(
        "DELETE /v1/events/{event_id}/reminder user 204",
        reminders.end,
        None,
        f"404 not_found {_STORED}",
    ),
    _route("GET /v1/me/preferences user", preferences.read, told.Preferences, _ME),
    _route(
        "PATCH /v1/me/preferences user kept",
        preferences.change,
        told.Preferences,
        _ME,
        body=asked.PreferencesChange,
    ),
    _route(
        "GET /v1/unsubscribe?token public", preferences.page, None, _STORED, media=("text/html",)
    ),
    _route(
        "POST /v1/unsubscribe?token public",
        preferences.unsubscribe,
        None,
        _STORED,
        media=("text/html",),
    ),
    _route(
        "GET /v1/notifications?limit,after user",
        notifications.listing,
        schemas.NotificationPage,
        _STORED,
    ),
    _route(
        "POST /v1/notifications/seen user",
        notifications.see,
        told.Unread,
        _ME,
        body=asked.SeenMessages,
    ),
    _route(
        "GET /v1/me/export user",
        privacy.export,
        schemas.Export,
        f"404 not_found 429 rate_limited 503 catching_up {_STORED}",
    ),
    _route(
        "DELETE /v1/me user",
        privacy.erase,
        told.Erasure,
        "401 wrong_credentials 404 not_found 409 bookings_open 409 last_admin 409 last_owner "
        f"403 sign_in_again 403 passkey_required 503 catching_up 503 redis_unavailable {_SHUT}",
        body=asked.Erase,
    ),
    _route(
        "GET /v1/admin/audit?actor,subject,act,limit,after admin",
        privacy.audit,
        schemas.ActPage,
        _STORED,
    ),
    _route(
        "POST /v1/events organizer 201 located kept",
        events.create,
        told.Event,
        _STORED,
        body=asked.NewEvent,
    ),
    _route(
        "GET /v1/events?q,category,place,from,to,limit,after public",
        events.listing,
        schemas.EventPage,
        _STORED,
    ),
    _route(
        "POST /v1/events/import organizer",
        catalogue.import_,
        told.Imported,
        f"404 not_found 503 shard_recovering {_STORED}",
        body=asked.EventImport,
    ),
    _route(
        "GET /v1/events/export?organizer_id,format,limit,after staff",
        catalogue.export,
        None,
        f"404 not_found {_STORED}",
        media=("text/csv", "application/ld+json", "application/x-ndjson"),
    ),
    _route(
        "POST /v1/events/{event_id}/duplicate organizer 201 bare located kept",
        catalogue.duplicate,
        told.Event,
        _LOOK,
        body=asked.Copy,
    ),
    _route(
        "POST /v1/events/{event_id}/series organizer 201 kept",
        catalogue.series,
        schemas.Events,
        _LOOK,
        body=asked.Series,
    ),
    _route(
        "DELETE /v1/events/{event_id} organizer 204",
        catalogue.delete,
        None,
        f"404 not_found 409 not_a_draft {_STORED}",
    ),
    _route(
        "GET /v1/events/{event_id}?promo_code public etag",
        events.read,
        told.Event,
        f"403 passkey_required {_LOOK}",
    ),
    _route(
        "POST /v1/events/{event_id}/publish organizer",
        events.publish,
        told.Event,
        f"409 not_upgraded 422 invalid {_LOOK}",
    ),
    _route("GET /v1/holds/{hold_id} user", holds.read, told.Hold, _READ),
    _route("POST /v1/holds/{hold_id}/extend user", holds.extend, told.Hold, _EXTEND),
    _route("DELETE /v1/holds/{hold_id} user 204", holds.release, None, _RELEASE),
    _route(
        "POST /v1/events/{event_id}/waitlist user 201 key located",
        waitlist.join,
        told.WaitlistEntry,
        _JOIN,
        body=asked.Join,
    ),
    _route("GET /v1/waitlist?limit,after user", waitlist.listing, schemas.WaitlistPage, _STORED),
    _route("GET /v1/waitlist/{entry_id} user", waitlist.read, told.WaitlistEntry, _READ),
    _route("DELETE /v1/waitlist/{entry_id} user 204", waitlist.leave, None, _RELEASE),
    _route(
        "POST /v1/offers/{offer_id}/accept user 201 prefers located",
        waitlist.accept,
        told.Booking,
        _ACCEPT,
    ),
    _route(
        "POST /v1/offers/{offer_id}/decline user", waitlist.decline, told.WaitlistEntry, _RELEASE
    ),
    _route("GET /v1/bookings?limit,after user", bookings.listing, schemas.BookingPage, _STORED),
    _route(
        "GET /v1/bookings/{booking_id} user",
        bookings.read,
        told.Booking,
        f"404 not_found 503 catching_up {_STORED}",
    ),
    _route(
        "POST /v1/bookings/{booking_id}/cancel user bare",
        bookings.cancel,
        told.Booking,
        _GIVE_BACK,
        body=asked.CancelBooking,
    ),
    _route(
        f"GET /v1/bookings/{{booking_id}}/ticket.pdf?language user {papers.PDF}",
        papers.sheets_of_booking,
        problems=f"409 ticket_transferred {_PAPER}",
    ),
    _route(
        f"GET /v1/bookings/{{booking_id}}/ticket.ics?language user {papers.CALENDAR}",
        papers.entry_of_booking,
        problems=_ENTRY,
    ),
    _route(
        f"GET /v1/bookings/{{booking_id}}/qr.svg user {papers.SVG}",
        papers.code_of_booking,
        problems=f"409 several_tickets 409 ticket_transferred {_PAPER}",
    ),
    _route(
        f"GET /v1/tickets/{{ticket_id}}/ticket.pdf?language user {papers.PDF}",
        papers.sheet_of_ticket,
        problems=_PAPER,
    ),
    _route(
        f"GET /v1/tickets/{{ticket_id}}/ticket.ics?language user {papers.CALENDAR}",
        papers.entry_of_ticket,
        problems=_ENTRY,
    ),
    _route(
        f"GET /v1/tickets/{{ticket_id}}/qr.svg user {papers.SVG}",
        papers.code_of_ticket,
        problems=_PAPER,
    ),
    _route(
        f"GET /v1/bookings/{{booking_id}}/ticket.pkpass?language user {papers.PKPASS}",
        papers.pass_of_booking,
        problems=f"404 wallet_off 409 several_tickets 409 ticket_transferred {_PAPER}",
    ),
    _route(
        f"GET /v1/tickets/{{ticket_id}}/ticket.pkpass?language user {papers.PKPASS}",
        papers.pass_of_ticket,
        problems=f"404 wallet_off {_PAPER}",
    ),
    _route(
        "GET /v1/bookings/{booking_id}/google-wallet?language user",
        papers.link_of_booking,
        told.WalletLink,
        f"404 wallet_off 409 several_tickets 409 ticket_transferred {_PAPER}",
    ),
    _route(
        "GET /v1/tickets/{ticket_id}/google-wallet?language user",
        papers.link_of_ticket,
        told.WalletLink,
        f"404 wallet_off {_PAPER}",
    ),
    _route("GET /v1/wallets public", papers.wallets, told.Wallets),
    _route("GET /v1/receipt-key public", receipts.keys, schemas.ReceiptKeys),
    _route("GET /v1/ticket-key public", gate.keys, schemas.TicketKeys),
    _route("GET /v1/tickets?limit,after user", gate.listing, schemas.TicketPage, _STORED),
    _route(
        "POST /v1/tickets/{code}/check-in staff keyed",
        gate.check_in,
        told.Scanned,
        _SCAN,
        body=asked.Scan,
    ),
    _route(
        "POST /v1/tickets/{code}/undo staff keyed", gate.undo, told.Scanned, _UNDO, body=asked.Scan
    ),
    _route(
        "POST /v1/events/{event_id}/scans staff",
        gate.upload,
        schemas.ScanAnswers,
        f"503 redis_unavailable {_LOOK}",
        body=asked.PastScans,
    ),
    _route(
        "POST /v1/tickets/{ticket_id}/transfer user",
        gifts.transfer,
        told.Transferred,
        _RETURN,
        body=asked.Transfer,
    ),
    _route(
        "POST /v1/tickets/{ticket_id}/return user",
        gifts.give_back,
        told.Transferred,
        f"422 invalid {_RETURN}",
    ),
    _route("GET /v1/gifts?limit,after user", gifts.listing, schemas.GiftPage, _STORED),
    _route(
        "POST /v1/gifts/{gift_id}/accept user",
        gifts.accept,
        told.Transferred,
        f"409 no_transfers {_TICKET}",
    ),
    _route("DELETE /v1/gifts/{gift_id} user 204", gifts.end, None, _ME),
    _route(
        "PATCH /v1/events/{event_id} organizer etag match kept",
        changes.change,
        told.Event,
        _CHANGE,
        body=asked.EventChange,
    ),
    _route(
        "POST /v1/events/{event_id}/postpone organizer etag",
        changes.postpone,
        told.Event,
        _AMEND,
        body=asked.Postponement,
    ),
    _route("POST /v1/events/{event_id}/close organizer etag", changes.close, told.Event, _CLOSE),
    _route(
        "POST /v1/events/{event_id}/reopen organizer etag",
        changes.reopen,
        told.Event,
        _REOPEN,
        body=asked.Reopening,
    ),
    _route(
        "POST /v1/events/{event_id}/cancel organizer 202", changes.cancel, told.Cancellation, _CLOSE
    ),
    _route(
        "GET /v1/events/{event_id}/cancel organizer",
        changes.cancellation,
        told.Cancellation,
        _CLOSE,
    ),
    _route("GET /v1/organizers user", organizers.mine, told.Organizers, _STORED),
    _route(
        "GET /v1/organizers/{organizer_id} user",
        organizers.read,
        told.Organizer,
        f"403 passkey_required 404 not_found {_STORED}",
    ),
    _route(
        "PATCH /v1/organizers/{organizer_id} organizer kept",
        organizers.rename,
        told.Organizer,
        _TEAM,
        body=asked.OrganizerName,
    ),
    _route(
        "GET /v1/organizers/{organizer_id}/events?status,limit,after staff",
        organizers.list_events,
        schemas.EventPage,
        _TEAM,
    ),
    _route(
        "POST /v1/organizers/{organizer_id}/events organizer 201 located kept",
        organizers.create_event,
        told.Event,
        f"503 shard_recovering {_TEAM}",
        body=asked.NewEvent,
    ),
    _route(
        "GET /v1/organizers/{organizer_id}/members?limit,after organizer",
        organizers.members,
        schemas.MemberPage,
        _TEAM,
    ),
    _route(
        "PUT /v1/organizers/{organizer_id}/members/{user_id} organizer",
        organizers.change_member,
        told.Member,
        f"409 last_owner {_TEAM}",
        body=asked.TeamPlace,
    ),
    _route(
        "DELETE /v1/organizers/{organizer_id}/members/{user_id} staff 204",
        organizers.remove_member,
        None,
        f"409 last_owner {_TEAM}",
    ),
    _route(
        "GET /v1/organizers/{organizer_id}/invitations?limit,after organizer",
        organizers.invitations,
        schemas.InvitationPage,
        _TEAM,
    ),
    _route(
        "POST /v1/organizers/{organizer_id}/invitations organizer 201 kept",
        organizers.invite,
        told.Invitation,
        f"409 team_full {_TEAM}",
        body=asked.Invite,
    ),
    _route(
        "DELETE /v1/organizers/{organizer_id}/invitations/{invitation_id} organizer 204",
        organizers.withdraw,
        None,
        _TEAM,
    ),
    _route(
        f"POST {_HOOKS} organizer 201 secret",
        webhooks.make,
        told.WebhookMade,
        f"409 too_many_webhooks {_HOOK}",
        body=asked.NewWebhook,
    ),
    _route(f"GET {_HOOKS} organizer", webhooks.listing, told.Webhooks, _HOOK),
    _route(f"GET {_HOOKS}/{{webhook_id}} organizer", webhooks.read, told.Webhook, _HOOK),
    _route(
        f"PATCH {_HOOKS}/{{webhook_id}} organizer kept",
        webhooks.change,
        told.Webhook,
        _HOOK,
        body=asked.WebhookChange,
    ),
    _route(f"DELETE {_HOOKS}/{{webhook_id}} organizer 204", webhooks.delete, None, _HOOK),
    _route(
        f"POST {_HOOKS}/{{webhook_id}}/rotate organizer secret",
        webhooks.rotate,
        told.WebhookMade,
        _HOOK,
    ),
    _route(
        f"POST {_HOOKS}/{{webhook_id}}/ping organizer 202 kept",
        webhooks.ping,
        told.WebhookSent,
        f"409 webhook_off {_HOOK}",
    ),
    _route(
        f"GET {_HOOKS}/{{webhook_id}}/deliveries?limit,after organizer",
        webhooks.log,
        schemas.WebhookDeliveryPage,
        _HOOK,
    ),
    _route(
        f"POST {_HOOKS}/{{webhook_id}}/deliveries/{{message_id}}/redeliver organizer 202 kept",
        webhooks.redeliver,
        told.WebhookSent,
        f"409 webhook_off {_HOOK}",
    ),
    _route(
        f"POST {_HOOKS}/{{webhook_id}}/redeliver organizer 202 kept",
        webhooks.redeliver_span,
        told.Redelivered,
        f"409 webhook_off {_HOOK}",
        body=asked.Redelivery,
    ),
    _route("GET /v1/invitations user", organizers.invitations_to, told.Invitations, _STORED),
    _route(
        "POST /v1/invitations/{invitation_id}/accept user kept",
        organizers.accept,
        told.Organizer,
        f"404 not_found 409 already_member 409 team_full {_STORED}",
    ),
    _route(
        "POST /v1/invitations/{invitation_id}/decline user 204 kept",
        organizers.decline,
        None,
        f"404 not_found {_STORED}",
    ),
    _route(
        "GET /v1/admin/users?q,role,limit,after admin",
        operators.search,
        schemas.AccountPage,
        _STORED,
    ),
    _route(
        "GET /v1/admin/users/{user_id} admin",
        operators.read,
        told.Account,
        f"404 not_found {_STORED}",
    ),
    _route(
        "PATCH /v1/admin/users/{user_id} admin kept",
        operators.change,
        told.Account,
        f"409 last_owner {_ACCOUNT}",
        body=asked.AccountChange,
    ),
    _route(
        "POST /v1/admin/users/{user_id}/disable admin", operators.disable, told.Account, _ACCOUNT
    ),
    _route(
        "POST /v1/admin/users/{user_id}/enable admin",
        operators.enable,
        told.Account,
        f"404 not_found {_STORED}",
    ),
    _route(
        "GET /v1/admin/organizers?q,limit,after admin",
        operators.find_organizers,
        schemas.OrganizerPage,
        _STORED,
    ),
    _route(
        "POST /v1/admin/organizers admin 201 kept",
        operators.add_organizer,
        told.Organizer,
        _STORED,
        body=asked.NewOrganizer,
    ),
    _route(
        "POST /v1/api-keys organizer 201 secret",
        keys.make,
        told.ApiKeyMade,
        f"404 not_found 409 too_many_keys {_STORED}",
        body=asked.NewApiKey,
    ),
    _route(
        "GET /v1/api-keys?organizer_id,limit,after organizer",
        keys.listing,
        schemas.ApiKeyPage,
        f"404 not_found {_STORED}",
    ),
    _route(
        "DELETE /v1/api-keys/{key_id} organizer 204", keys.revoke, None, f"404 not_found {_STORED}"
    ),
    _route(
        "POST /v1/events/{event_id}/devices staff 201 secret",
        devices.make,
        told.DeviceMade,
        f"404 not_found 409 too_many_keys {_STORED}",
        body=asked.NewDevice,
    ),
    _route(
        "GET /v1/events/{event_id}/devices?limit,after staff",
        devices.listing,
        schemas.DevicePage,
        f"404 not_found {_STORED}",
    ),
    _route(
        "DELETE /v1/devices/{device_id} staff 204", devices.revoke, None, f"404 not_found {_STORED}"
    ),
    _route(
        "POST /v1/devices/enroll public 201",
        devices.enroll,
        told.DeviceEnrolled,
        f"429 rate_limited {_STORED}",
        body=asked.Enrolment,
    ),
    _route(
        "GET /v1/events/{event_id}/gate-list?only,limit,after staff",
        devices.gate_list,
        schemas.GateList,
        f"404 not_found {_STORED}",
    ),
    _route(
        "GET /v1/events/{event_id}/orders?q,status,limit,after staff",
        desk.listing,
        schemas.EventOrderPage,
        f"404 not_found {_STORED}",
    ),
    _route(
        "POST /v1/events/{event_id}/orders staff 201 key prefers located",
        desk.sell,
        told.Booking,
        _BOOK,
        body=asked.OrderFor,
    ),
    _route(
        "GET /v1/events/{event_id}/orders/{booking_id} staff",
        desk.read,
        told.OrderInFull,
        f"503 catching_up {_TEAM}",
    ),
    _route(
        "POST /v1/events/{event_id}/orders/{booking_id}/cancel staff",
        desk.cancel,
        told.Booking,
        _GIVE_BACK,
        body=asked.CancelOrder,
    ),
    _route(
        "POST /v1/events/{event_id}/orders/{booking_id}/move staff",
        desk.move,
        told.OrderInFull,
        _RETURN,
        body=asked.MoveOrder,
    ),
    _route(
        "POST /v1/events/{event_id}/orders/{booking_id}/notes staff 201 key",
        desk.note,
        told.OrderNote,
        f"409 too_many_notes 422 idempotency_key_reused 503 catching_up {_TEAM}",
        body=asked.NewOrderNote,
    ),
    _route(
        "POST /v1/events/{event_id}/orders/{booking_id}/refund staff",
        desk.settle_refund,
        told.OrderInFull,
        f"409 refund_not_due 409 too_many_notes 409 version_changed 503 catching_up {_TEAM}",
        body=asked.SettledRefund,
    ),
    _route(
        "GET /v1/events/{event_id}/waitlist?limit,after staff",
        desk.waiting,
        schemas.WaitingPage,
        _SEE,
    ),
    _route("GET /healthz ops", ops.healthz, schemas.Health),
    _route("GET /readyz ops", ops.readyz, schemas.Readiness),
    _route("GET /metrics ops", ops.metrics_text, media=("text/plain",)),
    _route("GET /openapi.json public", ops.openapi, media=("application/json",)),
    _route("GET /docs public", docs.docs, media=("text/html",)),
    _route("GET /problems public", problems.index, problems.Codes, media=("text/html",)),
    _route(
        "GET /problems/{code} public", problems.page, Code, "404 not_found", media=("text/html",)
    ),
)
