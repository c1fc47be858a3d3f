"""What a hand may do to a shop, column by column and field by field; and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Edit(NamedTuple):
    """A change by hand, and what is told of it."""

    #: What is set; empty: the row is deleted.
    change: str
    #: A violation that names it.
    code: str
    #: Which row is taken; all of them will do if it is empty.
    where: str = ""
    is_mended: bool = True


class Free(NamedTuple):
    """A change that nothing is told of, and why nothing need be."""

    why: str


Column = Edit | Free


def _edit(change: str, code: str, where: str = "") -> Edit:
    return Edit(change, code, where)


def _people(change: str, code: str, where: str = "") -> Edit:
    return Edit(change, code, where, is_mended=False)


_SHOWN = Free("words for people; no record has them")
_NOTE = Free("a note of ours about something else, and never read to decide")
_OWN_KEY = Free("the row's place in its table: nothing refers to it")
_KEPT = Free("belongs to the API's own accounts, which no journal has")
_NEXT = Free("the next opening, reign or note writes it anew")

_LATER = "{0} = {0} + interval '1 second'"

BOOKINGS: Mapping[str, Column] = {
    "": _edit("", "row_missing"),
    "id": _people("id = 'bk_' || reverse(substr(id, 4))", "row_missing"),
    "event_id": _people("event_id = 'evt_" + "0" * 26 + "'", "row_missing"),
    "user_id": _edit("user_id = 'usr_x'", "row_differs"),
    "status": _edit(
        "status = 'cancelled', cancelled_at = now()", "row_differs", "status = 'confirmed'"
    ),
    "version": _edit("version = version + 1", "row_differs"),
    "total_minor": _edit("total_minor = total_minor + 1", "total_differs"),
    "shard": _edit("shard = 30000", "row_missing"),
    "epoch": _edit("epoch = epoch + 7", "row_differs"),
    "seq": _edit("seq = seq + 1", "row_differs"),
    "created_at": _edit(_LATER.format("created_at"), "row_differs"),
    "cancelled_at": _edit(_LATER.format("cancelled_at"), "row_differs", "status = 'cancelled'"),
    "fingerprint": _edit("fingerprint = 'x'", "row_differs"),
    "special_requests": _edit("special_requests = 'x'", "row_differs"),
    "metadata": _edit("""metadata = '{"x": 1}'""", "row_differs"),
    "cuts": _edit("cuts = NULL", "row_differs", "cuts IS NOT NULL"),
    "promo_code": Free("made by PostgreSQL of the fingerprint"),
    "cancelled_epoch": _edit("cancelled_epoch = 77", "row_differs", "status = 'cancelled'"),
    "cancelled_seq": _edit(
        "cancelled_seq = cancelled_seq + 1", "row_differs", "status = 'cancelled'"
    ),
}
ITEMS: Mapping[str, Column] = {
    "": _edit("", "row_differs"),
    "event_id": _edit("event_id = 'evt_" + "0" * 26 + "'", "row_differs"),
    "booking_id": _edit("booking_id = 'bk_x'", "line_without_booking"),
    "line": Free("only the order of lines means anything, and a moved one that changes it differs"),
    "tier_no": _edit("tier_no = tier_no + 50", "row_differs"),
    "quantity": _edit("quantity = quantity % 10 + 1", "row_differs"),
    "unit_price_minor": _edit("unit_price_minor = unit_price_minor + 1", "row_differs"),
    "seat_ids": _edit("seat_ids = 's9-9'", "row_differs"),
}
_CHANGED = "seq IS NOT NULL"
TICKETS: Mapping[str, Column] = {
    "": _edit("", "tickets_differ"),
    "event_id": _edit("event_id = 'evt_" + "0" * 26 + "'", "tickets_differ"),
    "id": _edit("id = id || '9'", "tickets_differ"),
    "booking_id": _edit("booking_id = 'bk_x'", "ticket_without_booking"),
    "tier_no": _edit("tier_no = tier_no + 50", "tickets_differ"),
    "seat_id": _edit("seat_id = 's9-9'", "tickets_differ", "seat_id IS NOT NULL AND is_live"),
    "is_live": _edit("is_live = false", "tickets_differ", "seat_id IS NOT NULL AND is_live"),
    "status": _edit(
        "status = 'undone'", "ticket_differs", "status <> 'undone' AND seq IS NOT NULL"
    ),
    "version": _edit("version = version + 1", "ticket_differs", _CHANGED),
    "holder_id": _edit("holder_id = 'usr_x'", "ticket_differs", _CHANGED),
    "changed_at": _edit(_LATER.format("changed_at"), "ticket_differs", _CHANGED),
    "gate": _edit("gate = 'x'", "ticket_differs", _CHANGED),
    "changed_by": _edit("changed_by = 'x'", "ticket_differs", _CHANGED),
    "epoch": _edit("epoch = epoch + 1", "ticket_differs", _CHANGED),
    "seq": _edit("seq = seq + 1", "ticket_differs", _CHANGED),
    "scans": _edit("scans = NULL", "ticket_differs", "scans IS NOT NULL"),
}
SCANS: Mapping[str, Column] = {
    "": _edit("", "scan_missing"),
    "event_id": _people("event_id = 'evt_" + "0" * 26 + "'", "scan_missing"),
    "epoch": _people("epoch = epoch + 7", "scan_missing"),
    "seq": _people("seq = seq + 10000", "scan_missing"),
    "ticket_id": _edit("ticket_id = 'tkt_x'", "scan_row_differs"),
    "booking_id": _edit("booking_id = 'bk_x'", "scan_row_differs"),
    "scan_id": _edit("scan_id = 'x'", "scan_row_differs"),
    "what": _edit("what = CASE what WHEN 'in' THEN 'undone' ELSE 'in' END", "scan_row_differs"),
    "gate": _edit("gate = 'x'", "scan_row_differs"),
    "scanned_by": _edit("scanned_by = 'x'", "scan_row_differs"),
    "scanned_at": _edit("scanned_at = now()", "scan_row_differs"),
    "at": _edit(_LATER.format("at"), "scan_row_differs"),
}
_OTHER = "entry_row_differs"
ENTRIES: Mapping[str, Column] = {
    "": _edit("", "entry_row_missing"),
    "event_id": _people("event_id = 'evt_" + "0" * 26 + "'", "entry_row_missing"),
    "id": _people("id = 'wl_x'", "entry_row_missing"),
    "user_id": _edit("user_id = 'usr_x'", _OTHER),
    "tier_no": _edit("tier_no = tier_no + 50", _OTHER),
    "quantity": _edit("quantity = quantity % 10 + 1", _OTHER),
    "join_no": _edit("join_no = '999999999999'", _OTHER),
    "status": _edit("status = 'left'", _OTHER, "status <> 'left'"),
    "version": _edit("version = version % 3 + 1", _OTHER),
    "fingerprint": _edit("fingerprint = 'x'", _OTHER),
    "shard": _edit("shard = 30000", "entry_row_missing"),
    "epoch": _edit("epoch = epoch + 7", _OTHER),
    "seq": _edit("seq = seq + 1", _OTHER),
    "joined_at": _edit(_LATER.format("joined_at"), _OTHER),
    "stalled_at": _edit("stalled_at = now()", _OTHER),
    "offered_at": _edit("offered_at = now()", _OTHER),
    "changed_epoch": _edit("changed_epoch = changed_epoch + 7", _OTHER),
    "changed_seq": _edit("changed_seq = changed_seq + 1", _OTHER),
    "changed_at": _edit(_LATER.format("changed_at"), _OTHER),
}
JOURNAL: Mapping[str, Column] = {
    "": _edit("", "record_missing"),
    # Next, as long as the stream of the first epoch is kept: each repair begins another one.
    "records": _edit("records = 'x' || substr(records, 2)", "record_corrupt"),
    "shard": Free("as if it were deleted"),
    "epoch": _people("epoch = epoch + 50", "record_missing"),
    "first_seq": _people("first_seq = first_seq + 1", "record_missing", "last_seq > first_seq"),
    "last_seq": _people("last_seq = last_seq + 1", "journal_overlap", "last_seq > first_seq"),
    "first_at": _edit(_LATER.format("first_at"), "journal_moment_differs"),
}
_PUBLISHED = "status = 'published'"
#: Of a publishing that says its rules.
_RULED = "id IN (SELECT event_id FROM tiers WHERE sells_after_end)"
_EVENTS: dict[str, Column] = {
    "": Free("tiers, sections and codes refer to it: PostgreSQL refuses"),
    "id": Free("tiers, sections and codes refer to it: PostgreSQL refuses"),
    "organizer_id": _KEPT,
    "shard": _edit("shard = 30000", "event_row_differs", _PUBLISHED),
    "status": _edit("status = 'closed'", "event_status_differs", _PUBLISHED),
    "name": _SHOWN,
    "description": _SHOWN,
    "category": _SHOWN,
    "venue": _SHOWN,
    "timezone": _SHOWN,
    "currency": _SHOWN,
    "starts_at": Free("told to people; the rule in force stands in the record of the publishing"),
    "ends_at": Free("told to people; the rule in force stands in the record of the publishing"),
    "sale_opens_at": _edit(_LATER.format("sale_opens_at"), "event_row_differs", _PUBLISHED),
    "sale_closes_at": _edit("sale_closes_at = now()", "event_row_differs", _PUBLISHED),
    "person_max": _edit("person_max = 7", "event_row_differs", _PUBLISHED),
    "version": Free("tells an organizer's client that something was changed"),
    "created_at": _NOTE,
    "published_at": _edit(_LATER.format("published_at"), "event_row_differs", _PUBLISHED),
    "waitlist_policy": Free("said anew by whoever joins next, and kept with their record"),
    "waitlist_patience_ms": Free("said anew by whoever joins next, and kept with their record"),
    "cancelled_at": _edit(
        _LATER.format("cancelled_at"), "event_row_differs", "cancelled_at IS NOT NULL"
    ),
    "transfers": _edit("transfers = 'none'", "event_row_differs", _RULED),
    "offer_ttl_ms": _edit("offer_ttl_ms = 77", "event_row_differs", _RULED),
    "pools": _edit("pools = 'p7t1t2t'", "event_row_differs", _RULED),
    "pool_names": _SHOWN,
    "publishing_at": Free("asked of drafts alone"),
}
EVENTS: Mapping[str, Column] = _EVENTS | dict.fromkeys(
    (
        "slug",
        "summary",
        "image",
        "image_alt",
        "address",
        "place",
        "doors_at",
        "access_notes",
        "languages",
        "source_id",
        "source_print",
    ),
    _SHOWN,
)
TIERS: Mapping[str, Column] = {
    "organizer_id": _KEPT,
    "": _people("", "tier_row_missing", "event_id NOT IN (SELECT event_id FROM sections)"),
    "event_id": Free("its event and sections refer to it: as if it were deleted"),
    "tier_no": _people("tier_no = 99", "tier_row_missing"),
    "id": Free("shown to clients; orders name tiers by it, and are refused if it is another"),
    "name": _SHOWN,
    "price_minor": _edit("price_minor = price_minor + 1", "tier_row_differs"),
    "capacity": _edit("capacity = capacity + 1", "tier_row_differs"),
    "order_max": _edit("order_max = order_max % 10 + 1", "tier_row_differs", "order_min < 2"),
    "order_min": _edit("order_min = 1 - order_min % 2", "tier_row_differs"),
    "person_max": _edit("person_max = person_max + 1", "tier_row_differs"),
    "sale_opens_at": _edit("sale_opens_at = '2001-01-01Z'", "tier_row_differs"),
    "sale_closes_at": _edit("sale_closes_at = '2999-01-01Z'", "tier_row_differs"),
    "is_hidden": _edit("is_hidden = NOT is_hidden", "tier_row_differs"),
    "sells_after_end": _edit(
        "sells_after_end = NOT sells_after_end",
        "tier_row_differs",
        "event_id IN (SELECT event_id FROM tiers WHERE sells_after_end)",
    ),
}
PROMOS: Mapping[str, Column] = {
    "organizer_id": _KEPT,
    "": _edit("", "promo_row_differs"),
    "event_id": Free("refers to its event: as if it were deleted"),
    "code": _edit("code = 'OTHER'", "promo_row_differs"),
    "uses_max": _edit("uses_max = uses_max + 1", "promo_row_differs"),
    "percent": _edit("percent = 1", "promo_row_differs"),
    "amount_minor": _edit("amount_minor = 7", "promo_row_differs"),
    "tier_nos": _edit("tier_nos = '{2}'", "promo_row_differs"),
}
SECTIONS: Mapping[str, Column] = {
    "organizer_id": _KEPT,
    "": _people("", "section_differs"),
    "event_id": Free("refers to its event: as if it were deleted"),
    "section_no": _people("section_no = 99", "section_differs"),
    "tier_no": Free("refers to a tier; with another one of the event, `section_differs`"),
    "name": _SHOWN,
    "row_seats": _people("row_seats = row_seats || ',1'", "section_differs"),
    "kinds": _people("kinds = '7' || substr(kinds, 2)", "section_differs", "kinds <> ''"),
    "rows": _SHOWN,
}
BLOCKED: Mapping[str, Column] = {
    "": _edit("", "blocked_row_differs"),
    "event_id": _edit("event_id = 'evt_" + "0" * 26 + "'", "blocked_row_differs"),
    "seat_id": _edit("seat_id = 's1-6'", "blocked_row_differs"),
    "tier_no": _edit("tier_no = tier_no + 50", "blocked_row_differs"),
    "blocked_at": _NOTE,
}
CHECKPOINT: Mapping[str, Column] = {
    "": _edit("", "checkpoint_behind", "last_seq > 0"),
    "shard": _edit("shard = 30000", "checkpoint_behind", "last_seq > 0"),
    "epoch": _edit("epoch = epoch + 5000", "checkpoint_behind", "last_seq > 0"),
    "last_seq": _edit("last_seq = last_seq - 1", "checkpoint_behind", "last_seq > 0"),
    "changed_at": _NOTE,
    "bytes": Free("only back-pressure rests on it, and the next opening begins at 0"),
}
_REIGN: dict[str, Column] = {
    "": Free("`check` of all shards says `shard_unknown`: a test of its own"),
    "shard": Free("as if it were deleted"),
    "epoch": _edit("epoch = epoch - 1", "epoch_differs"),
    "state": Free("a recovery begins at once; frozen ones are told by `doctor`"),
}
REIGN: Mapping[str, Column] = _REIGN | dict.fromkeys(
    (
        "holder",
        "lease_until",
        "nonce",
        "redis_run_id",
        "reason",
        "changed_at",
        "redis_replid",
        "seen_seq",
        "has_merged",
        "records_version",
        "home",
        "is_reserved",
    ),
    _NEXT,
)
_USERS: dict[str, Column] = {
    "": _people("", "user_missing"),
    "id": _people("id = 'usr_" + "0" * 26 + "'", "user_missing"),
}
USERS: Mapping[str, Column] = _USERS | dict.fromkeys(
    (
        "email",
        "name",
        "password_hash",
        "role",
        "organizer_id",
        "created_at",
        "account_key",
        "disabled_at",
        "erased_at",
        "token_version",
        "email_verified_at",
        "is_claim",
        "has_password",
        "language",
    ),
    _KEPT,
)
WALKED: Mapping[str, Mapping[str, Column]] = {
    "bookings": BOOKINGS,
    "items": ITEMS,
    "tickets": TICKETS,
    "scans": SCANS,
    "waitlist_entries": ENTRIES,
    "journal": JOURNAL,
    "events": EVENTS,
    "tiers": TIERS,
    "promos": PROMOS,
    "sections": SECTIONS,
    "blocked_seats": BLOCKED,
    "shard_checkpoint": CHECKPOINT,
    "shard_epoch": REIGN,
    "users": USERS,
}
#: Tables of which no row is looked at, and why.
NOT_WALKED = {
    "event_search": "the sweeper compares it with the events, and mends it (F79)",
    "organizers": "accounts of the API; what refers to them PostgreSQL keeps",
    "team_members": "accounts of the API; what refers to them PostgreSQL keeps",
    "team_invitations": "accounts of the API; what refers to them PostgreSQL keeps",
    "signing_keys": "keys of the API; without their rows people sign in again",
    "api_keys": "belong to the API's own accounts, which no journal has",
    "devices": "belong to the API's own accounts, which no journal has",
    "quarantine": "tests/reconciler/test_quarantine.py: what is held is told until a human ends it",
    "conflicts": "a human deletes them",
    "redo": "witnesses of the workers: lost ones are losses of a second copy",
    "outbox": "a list of what is to be told; of sales it is also in the journal's archive",
    "sessions": "accounts of the API: whose session is gone logs in again",
    "account_tokens": "accounts of the API: whose link is gone asks for another",
    "identities": "accounts of the API: whose link to a provider is gone signs in otherwise",
    "passkeys": "accounts of the API: whose passkey is gone signs in otherwise, and makes another",
    "spent_flows": "sign-ins that ended; each is good for minutes, and once at its provider",
    "idempotency_keys": "requests of a day; whose row is gone looks whether it was done",
    "revocations": "for as long as tokens live; sessions and accounts are what is kept",
    "gifts": "wishes: a ticket is whose the journal says",
    "script_sets": "kept anew by the next opening",
    "damaged_events": "notes for people; the mender looks for itself",
    "moves": "notes for people",
    "drift": "notes of the watch, which makes them anew",
    "watches": "notes of the watch, which makes them anew",
    "gone_users": "notes of a trigger; without them a deleted account is not told",
    "acts": "`evently audit verify` tells",
    "act_days": "`evently audit verify` tells",
    "erasures": "wishes of people; done ones are notes",
    "buckets": "counts of attempts; who has none has all attempts again",
    "familiar_origins": "notes of the API; without them a place is strange once more",
    "migrations": "`evently migrate` compares them with its files",
}

#: Fields of Redis, as `key field`, of which nothing is told, and why.
FREE_FIELDS = {
    r"stock waitlist\.(policy|patience_ms|offer_ttl_ms)": "said anew by whoever joins next",
    r"seats (version|log\..*)": "what changed since; in doubt clients get the whole map",
}
#: Keys whose scores alone are free: when an ended hold is forgotten, and a list in order of names.
FREE_SCORES = {"ended", "waitlist"}
