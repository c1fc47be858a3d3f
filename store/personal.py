"""
What each table holds of people: every column that could, by name (docs/PRIVACY.md).

A table or column that is not named here fails a test: whoever adds one says what it holds of whom,
how a person is told it, and what becomes of it when they ask to be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Holding(NamedTuple):
    """What a table holds. Columns are named, with blanks between; other types hold no words."""

    #: Names, addresses and secrets of people: gone with an erasure.
    names: str = ""
    #: What people wrote in their own words, or records that hold it: gone with an erasure.
    words: str = ""
    #: Ids of accounts, which lead to nobody once the account is erased.
    ids: str = ""
    #: Text and bytes that are of nobody: of events, machines, or the service itself.
    plain: str = ""
    #: The query that tells a person its rows (`store/queries/privacy.sql`); empty: see `why`.
    export: str = ""
    #: Why its rows are told to nobody.
    why: str = ""
    #: The query that takes a person's names from it in the transaction of their erasure.
    erasure: str = ""


_OF_EVENTS = "of events, not of people"
_OF_SERVICE = "of the service, not of people"

HOLDINGS: Mapping[str, Holding] = {
    "users": Holding(
        names="email name password_hash account_key language timezone",
        ids="id",
        plain="organizer_id",
        export="export_users",
        erasure="erase_user",
    ),
    "erasures": Holding(ids="user_id", export="export_erasures"),
    "gone_users": Holding(ids="id", why="of accounts that are not there any more"),
    "sessions": Holding(
        names="device family_hash token_hash salt last_hash last_key_hash",
        ids="user_id",
        plain="id method",
        export="export_sessions",
        erasure="erase_sessions",
    ),
    "account_tokens": Holding(
        names="token_hash email",
        ids="user_id",
        plain="purpose",
        export="export_account_tokens",
        erasure="drop_account_tokens",
    ),
    "identities": Holding(
        names="issuer subject email",
        ids="user_id",
        plain="id",
        export="export_identities",
        erasure="erase_identities",
    ),
    "passkeys": Holding(
        names="credential_id public_key transports name",
        ids="user_id",
        plain="id",
        export="export_passkeys",
        erasure="erase_passkeys",
    ),
    "push_keys": Holding(plain="id public_key", why=_OF_SERVICE),
    "push_subscriptions": Holding(
        names="endpoint host p256dh auth name",
        ids="user_id",
        plain="id key_id",
        export="export_push_subscriptions",
        erasure="erase_push_subscriptions",
    ),
    "spent_flows": Holding(plain="id", why="sign-ins that ended, by numbers drawn at random"),
    "idempotency_keys": Holding(
        names="key_hash request_hash attempt headers answer",
        ids="caller subject",
        export="export_idempotency_keys",
        erasure="erase_idempotency_keys",
    ),
    "revocations": Holding(
        ids="subject", why="which tokens are over, by id, for as long as any can live"
    ),
    "familiar_origins": Holding(
        names="account origin", export="export_familiar_origins", erasure="forget_account"
    ),
    "buckets": Holding(
        plain="name", why="counts by ids and words for addresses, gone within their window"
    ),
    "gifts": Holding(
        names="email address_key",
        ids="giver_id taken_by",
        plain="id event_id booking_id",
        export="export_gifts",
        erasure="erase_gifts",
    ),
    "organizers": Holding(plain="id name", why="names of houses, not of people"),
    "team_members": Holding(
        ids="user_id", plain="organizer_id event_ids", export="export_team_members"
    ),
    "team_invitations": Holding(
        names="email account_key",
        plain="organizer_id id event_ids",
        export="export_team_invitations",
        # By a trigger of `users`.
        erasure="erase_user",
    ),
    "api_keys": Holding(
        names="hash",
        ids="made_by",
        plain="id organizer_id name scopes prefix",
        export="export_api_keys",
        erasure="erase_api_keys",
    ),
    "devices": Holding(
        ids="made_by",
        plain="id event_id organizer_id gate code_hash prefix hash",
        export="export_devices",
    ),
    "order_notes": Holding(
        names="text",
        ids="user_id written_by",
        plain="id organizer_id event_id booking_id refund",
        export="export_order_notes",
        erasure="erase_order_notes",
    ),
    "webhook_endpoints": Holding(
        ids="made_by",
        plain="id organizer_id url kinds sealed sealed_before disabled_why",
        export="export_webhook_endpoints",
    ),
    "signing_keys": Holding(plain="kid purpose sealed ticket_key receipt_key", why=_OF_SERVICE),
    "bookings": Holding(
        words="special_requests metadata",
        ids="user_id",
        plain="id event_id fingerprint cuts promo_code",
        export="export_bookings",
    ),
    "items": Holding(plain="event_id booking_id seat_ids", export="export_items"),
    "tickets": Holding(
        ids="holder_id changed_by scans",
        plain="event_id id booking_id seat_id status gate",
        export="export_tickets",
    ),
    "scans": Holding(
        ids="scanned_by",
        plain="event_id ticket_id booking_id scan_id what gate",
        export="export_scans",
    ),
    "waitlist_entries": Holding(
        ids="user_id", plain="event_id id join_no fingerprint", export="export_waitlist_entries"
    ),
    "journal": Holding(words="records", export="export_journal"),
    "redo": Holding(words="record", plain="worker", export="export_redo"),
    "conflicts": Holding(words="record", plain="reason", export="export_conflicts"),
    "quarantine": Holding(
        words="record reason", ids="changed_by", plain="note", export="export_quarantine"
    ),
    "outbox": Holding(
        names="payload",
        ids="user_id",
        plain="kind event_id subject_id mark",
        export="export_outbox",
        erasure="erase_outbox",
    ),
    "deliveries": Holding(
        names="target",
        ids="user_id fact",
        plain="channel kind event_id subject_id booking_id domain reason",
        export="export_deliveries",
        erasure="erase_deliveries",
    ),
    "suppressions": Holding(
        names="address_key",
        plain="reason",
        export="export_suppressions",
        erasure="erase_suppressions",
    ),
    "muted_messages": Holding(
        names="topic channel",
        ids="user_id",
        export="export_muted_messages",
        erasure="erase_muted_messages",
    ),
    "sale_reminders": Holding(
        names="event_id",
        ids="user_id",
        export="export_sale_reminders",
        erasure="erase_sale_reminders",
    ),
    "reminder_plans": Holding(plain="event_id kind last_id", why=_OF_SERVICE),
    "unsubscribe_key": Holding(plain="secret", why=_OF_SERVICE),
    "told": Holding(why=_OF_SERVICE),
    "notifier_beat": Holding(why=_OF_SERVICE),
    "acts": Holding(
        ids="actor subject",
        plain="role organizer_id act before after why origin request_id",
        export="export_acts",
    ),
    "act_days": Holding(plain="before hash", why=_OF_SERVICE),
    "events": Holding(
        plain="id organizer_id name description category venue timezone currency transfers"
        " slug summary image image_alt address place access_notes languages"
        " source_id source_print pools pool_names",
        why=_OF_EVENTS,
    ),
    "event_search": Holding(plain="event_id", why=_OF_EVENTS),
    "tiers": Holding(plain="event_id organizer_id id name", why=_OF_EVENTS),
    "promos": Holding(plain="event_id organizer_id code", why=_OF_EVENTS),
    "sections": Holding(plain="event_id organizer_id name row_seats kinds rows", why=_OF_EVENTS),
    "blocked_seats": Holding(plain="event_id seat_id", why=_OF_EVENTS),
    "damaged_events": Holding(plain="event_id lost", why=_OF_EVENTS),
    "drift": Holding(plain="identity invariant code event_id booking_id message", why=_OF_SERVICE),
    "watches": Holding(why=_OF_SERVICE),
    "moves": Holding(plain="from_home to_home said_gone", why=_OF_SERVICE),
    "script_sets": Holding(plain="digest texts", why=_OF_SERVICE),
    "shard_checkpoint": Holding(why=_OF_SERVICE),
    "shard_epoch": Holding(
        plain="holder nonce redis_run_id redis_replid reason home", why=_OF_SERVICE
    ),
    "migrations": Holding(plain="name sha256", why=_OF_SERVICE),
}


def asked_of_persons() -> set[str]:
    """Return the names of all queries that tell a person's rows, or take their names."""
    named = {name for one in HOLDINGS.values() for name in (one.export, one.erasure)}
    return named - {""}
