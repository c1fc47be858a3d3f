"""
Every setting of Evently, read once from the environment and the file `.env`.

Owns the names `EVENTLY_*`, their defaults, bounds and relations. No other module reads the
environment. Services get plain values from here through their `__main__`; they never import
this module elsewhere (see docs/ARCHITECTURE.md, "Three floors").
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from dotenv.parser import parse_stream
from msgspec import Meta

ENV_PREFIX = "EVENTLY_"
#: Names the file of settings if it is not `.env`; `/dev/null`: there is none.
ENV_FILE = "EVENTLY_ENV_FILE"
#: Users of Redis, each with a setting `redis_<role>_password`; what each may do: engine/acl.py.
REDIS_ROLES = ("api", "persister", "sweeper", "coordinator")
REDIS_PASSWORDS = tuple(f"redis_{role}_password" for role in REDIS_ROLES)
#: Roles of PostgreSQL, each with a setting `database_<role>_password`: `store.roles`.
DATABASE_ROLES = ("api", "persister", "sweeper", "coordinator", "notifier", "reader")
DATABASE_PASSWORDS = (
    "database_owner_password",
    *(f"database_{role}_password" for role in DATABASE_ROLES),
)
#: Settings that are secret as a whole, and those with a password in a URL.
_KEYS = frozenset(
    {
        "jwt_secret",
        "ticket_signing_key",
        "openid_client_secrets",
        "smtp_url",
        "webhook_key",
        "vapid_keys",
        "apple_pass_key",
        "google_wallet_account",
        *REDIS_PASSWORDS,
        *DATABASE_PASSWORDS,
    }
)
SECRET_FIELDS = _KEYS | {"redis_url", "database_url", "database_read_url"}
JWT_SECRET_BYTES_MIN = 32
VAPID_KEYS_MAX = 2
#: Names the part of `evently up` that a process is: it has its secrets, and looks for no others.
PART = "EVENTLY_PART"
#: The secrets of each kind of part; all parts have the servers' addresses.
SECRETS_OF: Mapping[str, frozenset[str]] = {
    "api": frozenset(
        {
            *("jwt_secret", "ticket_signing_key", "openid_client_secrets", "webhook_key"),
            *("apple_pass_key", "google_wallet_account"),
            "redis_api_password",
        }
    ),
    "persister": frozenset({"redis_persister_password"}),
    "sweeper": frozenset({"redis_sweeper_password"}),
    "notifier": frozenset({"smtp_url", "ticket_signing_key", "webhook_key", "vapid_keys"}),
    "mailbox": frozenset(),
    "coordinator": frozenset({"redis_coordinator_password"}),
    "watch": frozenset({"redis_coordinator_password"}),
}
#: Written by the supervisor, read by every command that is pointed at no server of its own.
RUNNING_FILE = "running.json"

#: As browsers send it: scheme and host in small letters, a port if it is not the usual one.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_TICKET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=?")

#: An issuer: over TLS, or on this very machine, for trials; no query, no user.
_ISSUER = re.compile(
    r"https://[a-z0-9.-]+(:[0-9]{1,5})?(/[^?#\s]*)?"
    r"|http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?(/[^?#\s]*)?"
)
_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?")
#: Where mail is handed in, and an address of ours: as a header and an envelope may have them.
_MAIL_SERVER = re.compile(
    r"(smtp|smtps|smtp\+plain)://([^\s@/]+@)?([a-zA-Z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?"
)
_SUBJECT = re.compile(r"mailto:[A-Za-z0-9._=+-]+@[A-Za-z0-9.-]+|https://[a-z0-9.-]+(/[!-~]*)?")
_PUSH_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")
_ADDRESS = re.compile(r"[A-Za-z0-9._=-]+@[A-Za-z0-9.-]+")
_NAMED_VALUE = re.compile(r"([a-z0-9][a-z0-9_-]{0,31})=(.+)")
#: Name of a server that has none.
ONLY_SERVER = "0"
#: A server with its name: `a=redis://host`.
_NAMED_SERVER = re.compile(r"([a-z0-9][a-z0-9_-]{0,31})=(\w+://.*)")
#: `?password=`, `&sslpassword=`, `?token=`: what a query of a URL may hold that is secret.
_QUERY_SECRET = re.compile(
    r"([?&][^=&#]*(?:pass|pwd|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE
)

Positive = Annotated[int, Meta(ge=1)]


class SettingsError(ValueError):
    """A setting is missing or has a bad value; the message names the variable."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One process's configuration. Build it with `Settings.load()` or `Settings.from_env()`."""

    #: Kind of deployment. `production` refuses seeding and made-up secrets.
    environment: Literal["development", "test", "production"] = "development"
    #: Whether `up` adds a sample of twelve events in development where there are none: auto or off.
    sample: Literal["auto", "off"] = "auto"
    #: Folder of the embedded servers' data, the lock and generated secrets.
    data_dir: str = ".evently"
    #: Redis or Valkey of one's own: `name=url` for each server, comma-separated. Empty: embedded.
    redis_url: str = ""
    #: Password of Redis's user `api`, if it has the users of `evently acl`. Empty: no login.
    redis_api_password: str = ""
    #: Password of Redis's user `persister`. Empty: no login.
    redis_persister_password: str = ""
    #: Password of Redis's user `sweeper`. Empty: no login.
    redis_sweeper_password: str = ""
    #: Password of Redis's user `coordinator`, who may do all. Empty: no login.
    redis_coordinator_password: str = ""
    #: PostgreSQL of one's own. Empty: embedded.
    database_url: str = ""
    #: A streaming standby of it to read lists from. Empty: all is read from the primary.
    database_read_url: str = ""
    #: Password of the embedded PostgreSQL's owner, for migrations. Empty: made by `evently up`.
    database_owner_password: str = ""
    #: Password of PostgreSQL's role `evently_api`. Empty: the role of the URL.
    database_api_password: str = ""
    #: Password of PostgreSQL's role `evently_persister`. Empty: the role of the URL.
    database_persister_password: str = ""
    #: Password of PostgreSQL's role `evently_sweeper`. Empty: the role of the URL.
    database_sweeper_password: str = ""
    #: Password of PostgreSQL's role `evently_coordinator`. Empty: the role of the URL.
    database_coordinator_password: str = ""
    #: Password of PostgreSQL's role `evently_notifier`. Empty: the role of the URL.
    database_notifier_password: str = ""
    #: Password of PostgreSQL's role `evently_reader`, who only looks. Empty: the role of the URL.
    database_reader_password: str = ""

    #: Address the API listens on.
    http_host: str = "127.0.0.1"
    #: Port the API listens on; every API process shares it.
    http_port: Annotated[int, Meta(ge=1, le=65535)] = 8080
    #: Number of API processes.
    api_processes: Annotated[int, Meta(ge=1, le=64)] = 1
    #: Largest request body, in bytes.
    body_bytes_max: Annotated[int, Meta(ge=1024, le=16_777_216)] = 65_536
    #: Sites whose pages may use the API from a browser, comma-separated, as `https://example.org`.
    cors_origins: str = ""
    #: Time from the begin of a connection, or of a later request, to its whole head, in seconds.
    head_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 5
    #: Time in which a body arrives after its head, in seconds.
    body_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 10
    #: How long a connection may be idle between requests, in seconds.
    idle_timeout_s: Annotated[int, Meta(ge=1, le=3_600)] = 15
    #: How fast an answer must be read on the average, in bytes per second; 0: as slow as one likes.
    reader_bytes_per_s_min: Annotated[int, Meta(ge=0, le=1_048_576)] = 4_096
    #: Connections of one address to an API process at a time; 0: any number.
    connections_per_address_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 2_000
    #: Requests under way at a time, per API process, that take places or give them back; one more
    #: is told to come back, and so below.
    sales_under_way_max: Positive = 8_192
    #: Requests under way that look at one event.
    looks_under_way_max: Positive = 2_048
    #: Requests under way for lists of events and whatever else is everybody's.
    lists_under_way_max: Positive = 512
    #: Requests under way for one's own bookings, tickets and waitlist entries.
    own_under_way_max: Positive = 1_024
    #: Requests under way for accounts: registering, signing in, oneself.
    sign_ins_under_way_max: Positive = 256
    #: Requests under way of organizers and gates.
    changes_under_way_max: Positive = 512
    #: Event streams that an API process may have open at a time, and no more than three in four
    #: of its connections.
    streams_max: Positive = 20_000
    #: Event streams of one address to an API process at a time; 0: any number.
    streams_per_address_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 500
    #: Event streams of one account to an API process at a time; 0: any number.
    streams_per_account_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    #: Networks of the proxies that tell whom they speak for, comma-separated. Empty: none does.
    trusted_proxies: str = ""
    #: Seconds in which a stopping process says that it is not ready and serves all the same, so
    #: that a balancer in front sends nothing more.
    drain_notice_s: Annotated[int, Meta(ge=0, le=300)] = 0
    #: Seconds that a stopping process may take to finish requests under way.
    drain_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 10

    #: First key of access tokens, which seals later ones; at least 32 bytes. Empty: made by `up`.
    jwt_secret: str = ""
    #: First key of tickets, which seals later ones; 32 bytes in base64url. Empty: made by `up`.
    ticket_signing_key: str = ""
    #: What seals the secrets of webhooks, for API and notifier; at least 32 bytes. Empty: made by
    #: `up` in development, and elsewhere there are no webhooks.
    webhook_key: str = ""
    #: Life of an access token, in seconds.
    access_token_ttl_s: Annotated[int, Meta(ge=60, le=604_800)] = 3_600
    #: How long a session lasts without being used, in seconds.
    session_idle_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 2_592_000
    #: How long a session lasts at all, in seconds.
    session_life_max_s: Annotated[int, Meta(ge=60, le=63_072_000)] = 15_552_000
    #: Password hashes computed at the same time, per API process; more wait.
    password_hashes_max: Annotated[int, Meta(ge=1, le=64)] = 2
    #: How many may wait for that; the next is told to come back.
    passwords_waiting_max: Annotated[int, Meta(ge=0, le=10_000)] = 64
    #: Address of the admin account that the first start makes.
    admin_email: str = "admin@evently.localhost"

    #: OpenID providers to sign in by: `name=issuer` for each, comma-separated. Empty: none.
    openid_issuers: str = ""
    #: What this service is called there: `name=client_id` for each.
    openid_client_ids: str = ""
    #: What it proves that with: `name=secret` for each that has one.
    openid_client_secrets: str = ""
    #: Address of the page that providers lead back to, as registered there.
    openid_redirect_url: str = ""
    #: Hosts that providers name for tokens and keys beside their issuer's, comma-separated.
    openid_hosts: str = ""
    #: Domain that passkeys are good on, such as `example.org`. Empty: there are no passkeys.
    passkey_rp_id: str = ""
    #: Where pages use them, comma-separated, as `https://tickets.example.org`.
    passkey_origins: str = ""
    #: Whether an admin's rights come by a passkey alone: optional or required.
    admin_passkeys: Literal["optional", "required"] = "optional"

    #: Number of shards that a new deployment begins with; `evently shards add` makes more.
    shards: Annotated[int, Meta(ge=1, le=4096)] = 1
    #: Time one script call may take before its outcome counts as unknown, in milliseconds.
    redis_timeout_ms: Annotated[int, Meta(ge=50, le=60_000)] = 2_000
    #: Commands that leave in one script call at most.
    batch_commands_max: Annotated[int, Meta(ge=1, le=128)] = 128
    #: Script calls of one kind under way at once, per shard and process.
    batches_in_flight_max: Annotated[int, Meta(ge=1, le=16)] = 2
    #: Commands that may wait in one process before the next is refused with `backpressure`.
    commands_waiting_max: Positive = 20_000
    #: Bookings, holds and waits a person may try within `booking_limit_window_ms`; 0: any number.
    booking_limit_attempts: Annotated[int, Meta(ge=0, le=1_000)] = 10
    #: Time in which all those attempts come back, at a steady rate, in milliseconds.
    booking_limit_window_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 60_000
    #: How long a hold lasts, in milliseconds.
    hold_ttl_ms: Annotated[int, Meta(ge=1_000, le=7_200_000)] = 600_000
    #: Longest life of a hold with all its extensions, in milliseconds.
    hold_life_max_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 1_800_000
    #: Holds of one event that a person may have open at a time; 0: as many as they like.
    holds_per_person_max: Annotated[int, Meta(ge=0, le=1_000)] = 4
    #: Holds of one event that may be open at a time from one address; 0: as many as they like.
    holds_per_address_max: Annotated[int, Meta(ge=0, le=10_000)] = 20
    #: Share of a tier's places, in percent, below which its holds are shorter; 0: never.
    hold_scarce_percent: Annotated[int, Meta(ge=0, le=100)] = 10
    #: How short they may get, in milliseconds.
    hold_ttl_min_ms: Annotated[int, Meta(ge=1_000, le=7_200_000)] = 120_000
    #: Accounts that may be made from one address within the window; 0: any number.
    registration_limit_attempts: Annotated[int, Meta(ge=0, le=100_000)] = 20
    #: Time in which all those attempts come back, at a steady rate, in milliseconds.
    registration_limit_window_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 3_600_000
    #: Passwords that may be missed of one account, and from one address, within the window; 0: any.
    sign_in_limit_failures: Annotated[int, Meta(ge=0, le=100_000)] = 5
    #: Passwords that may be missed of all accounts together within it; 0: any number.
    sign_in_limit_failures_of_all: Annotated[int, Meta(ge=0, le=100_000_000)] = 10_000
    #: Time in which all those attempts come back, at a steady rate, in milliseconds.
    sign_in_limit_window_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 900_000
    #: Requests of any kind that an account, or an address without one, may send within the window;
    #: 0: any number.
    request_limit_attempts: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 1_000
    #: The same of accounts that work for an organizer: gates and boxes ask more often.
    request_limit_staff_attempts: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 10_000
    #: Time in which all those requests come back, at a steady rate, in milliseconds.
    request_limit_window_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 900_000
    #: Least time that an offer of returned places lasts, unless its event says it, in milliseconds.
    offer_ttl_ms: Annotated[int, Meta(ge=1_000, le=604_800_000)] = 900_000
    #: Entries that the waitlist of one tier may have.
    waitlist_entries_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    #: Records a journal may hold that PostgreSQL does not have yet; then sales pause.
    journal_backlog_records_max: Annotated[int, Meta(ge=1_000)] = 1_000_000
    #: Bytes of such records; then sales pause.
    journal_backlog_bytes_max: Annotated[int, Meta(ge=1_048_576)] = 536_870_912
    #: Age of the oldest such record, in milliseconds; then sales pause.
    journal_backlog_age_ms_max: Annotated[int, Meta(ge=1_000, le=604_800_000)] = 1_800_000
    #: Time a record stays in the journal after PostgreSQL has it, in seconds.
    journal_retention_s: Annotated[int, Meta(ge=0, le=604_800)] = 600

    #: Connections to PostgreSQL per API process for reading single events. Other kinds of
    #: requests have their own, below, so that none of them waits for another.
    database_pool_max: Annotated[int, Meta(ge=1, le=100)] = 4
    #: Time one SQL statement may take, in milliseconds.
    database_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 10_000
    #: Connections per API process for accounts: register, log in, see oneself.
    database_sign_in_pool_max: Annotated[int, Meta(ge=1, le=100)] = 2
    #: Time a statement of theirs, or the wait for a connection, may take, in milliseconds.
    database_sign_in_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 2_000
    #: Connections per API process for one's own bookings, tickets and waitlist entries.
    database_own_pool_max: Annotated[int, Meta(ge=1, le=100)] = 4
    #: Time a statement of theirs, or the wait for a connection, may take, in milliseconds.
    database_own_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 3_000
    #: Connections per API process for what organizers do to their events.
    database_organizers_pool_max: Annotated[int, Meta(ge=1, le=100)] = 2
    #: Time a statement of theirs, or the wait for a connection, may take, in milliseconds.
    database_organizers_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 5_000
    #: Connections per API process for lists of events and their search.
    database_search_pool_max: Annotated[int, Meta(ge=1, le=100)] = 2
    #: Time a statement of theirs, or the wait for a connection, may take, in milliseconds.
    database_search_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 1_000
    #: Records the persister writes in one transaction at most.
    persist_records_max: Annotated[int, Meta(ge=1, le=10_000)] = 4_000
    #: Shortest time from one of the persister's transactions to the next, in milliseconds.
    persist_interval_ms: Annotated[int, Meta(ge=0, le=1_000)] = 50
    #: Shortest rest of the continuous check between two groups of events, in seconds; 0: no check.
    reconciler_watch_s: Annotated[int, Meta(ge=0, le=3_600)] = 5
    #: Time a read waits for PostgreSQL to catch up with Redis, in milliseconds.
    catch_up_timeout_ms: Annotated[int, Meta(ge=0, le=60_000)] = 3_000
    #: How old the answer to what is left of an event, or its seat map, may be, in milliseconds; 0
    #: asks Redis always.
    availability_age_ms_max: Annotated[int, Meta(ge=0, le=10_000)] = 100

    #: What every answer of a booking promises; a request may ask for more, never for less.
    durability: Literal["memory", "fsync", "replicated", "database"] = "fsync"
    #: Time an answer waits for the level promised before it is `outcome_unknown`, in milliseconds.
    durability_timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 3_000
    #: Replicas that must have a booking at level `replicated`. 0: there are none to ask.
    replicas_min: Annotated[int, Meta(ge=0, le=16)] = 0
    #: Acknowledged records a worker keeps per shard until PostgreSQL has them. 0: none.
    redo_records_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 20_000
    #: Memory that they may take, in bytes, about.
    redo_bytes_max: Annotated[int, Meta(ge=1_048_576)] = 67_108_864
    #: Whether the answer of a booking carries a signed receipt.
    receipts: Literal["on", "off"] = "on"

    #: Where mail is handed in: `smtp://user:password@host:port`, which demands STARTTLS, `smtps://`
    #: with TLS, `smtp+plain://` with neither. Empty: a mailbox of `evently up` in development.
    smtp_url: str = ""
    #: Address that mail comes from.
    mail_from: Annotated[str, Meta(max_length=254)] = "tickets@evently.localhost"
    #: Address, with `+` and the letter's number before its `@`, that reports of what did not arrive
    #: go to. Empty: the one that mail comes from, and nothing is learned of them.
    mail_bounces: Annotated[str, Meta(max_length=200)] = ""
    #: Whether letters enclose tickets, as PDF and for calendars. Off: they are behind a link alone.
    mail_tickets: Literal["on", "off"] = "on"
    #: Where browsers find the service, for links in mail, as `https://tickets.example.org`. Empty:
    #: this machine.
    public_url: str = ""
    #: Networks within which servers that people name may be asked all the same, comma-separated,
    #: by plain HTTP and at any port as well: `10.8.0.0/16`. Empty: public ones alone.
    outward_networks: str = ""
    #: Letters that a notifier hands in at a time.
    notifier_workers: Annotated[int, Meta(ge=1, le=200)] = 8
    #: Messages to webhooks that a notifier sends at a time; four to one webhook.
    webhook_workers: Annotated[int, Meta(ge=1, le=200)] = 32
    #: Keys that browsers know us by, of `evently notifier keys make`: the one for new
    #: subscriptions, and the one before it. Empty: nothing is pushed; `up` makes one in
    #: development.
    vapid_keys: str = ""
    #: Where the people of a push service reach ours, `mailto:` or `https:`. Empty: the address that
    #: mail comes from.
    vapid_subject: Annotated[str, Meta(max_length=254)] = ""
    #: Push services that browsers may name, comma-separated; `*.` stands for all below a domain.
    push_hosts: str = (
        "fcm.googleapis.com,*.push.services.mozilla.com,*.notify.windows.com,web.push.apple.com"
    )
    #: Certificate of a pass type of Apple's wallet: PEM, or the path of a file of it. Empty: no
    #: tickets go there.
    apple_pass_certificate: str = ""
    #: Its private key, RSA without a password: PEM, or the path of a file of it.
    apple_pass_key: str = ""
    #: What signed the certificate, Apple's WWDR intermediate: PEM, or the path of a file of it.
    apple_pass_authority: str = ""
    #: Number of the issuer in Google's wallet. Empty: no tickets go there.
    google_wallet_issuer_id: str = ""
    #: Key of the service account that signs for the issuer: JSON, or the path of a file of it.
    google_wallet_account: str = ""
    #: Folder of mail that did not leave, shown at `/dev/mailbox`; refused in production. `up` sets
    #: it in development.
    mailbox_dir: str = ""

    #: Days after an event's end for which what buyers wrote beside orders is kept; 0: for ever.
    retention_texts_days: Annotated[int, Meta(ge=0, le=36_500)] = 90
    #: Days for which acts of staff, organizers, admins and operators are kept; 0: for ever.
    retention_acts_days: Annotated[int, Meta(ge=0, le=36_500)] = 1_095
    #: Days for which messages are kept after they were sent, or written and not sent; 0: for ever.
    retention_outbox_days: Annotated[int, Meta(ge=0, le=36_500)] = 30
    #: Days for which records in quarantine are kept after they were resolved; 0: for ever.
    retention_quarantine_days: Annotated[int, Meta(ge=0, le=36_500)] = 365

    #: Least severe level that is logged.
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        if self.jwt_secret and len(self.jwt_secret.encode()) < JWT_SECRET_BYTES_MIN:
            raise ValueError(f"EVENTLY_JWT_SECRET is shorter than {JWT_SECRET_BYTES_MIN} bytes")
        if self.webhook_key and len(self.webhook_key.encode()) < JWT_SECRET_BYTES_MIN:
            raise ValueError(f"EVENTLY_WEBHOOK_KEY is shorter than {JWT_SECRET_BYTES_MIN} bytes")
        if self.ticket_signing_key and not _TICKET_KEY.fullmatch(self.ticket_signing_key):
            raise ValueError("EVENTLY_TICKET_SIGNING_KEY is not 32 bytes in base64url")
        if self.redis_url and not self.redis_servers:
            raise ValueError("EVENTLY_REDIS_URL names no server")
        if self.durability == "replicated" and not self.replicas_min:
            raise ValueError("EVENTLY_DURABILITY is replicated, but EVENTLY_REPLICAS_MIN is 0")
        for field in ("trusted_proxies", "outward_networks"):
            for network in _listed(getattr(self, field)):
                try:
                    ipaddress.ip_network(network)
                except ValueError as error:
                    raise ValueError(f"{ENV_PREFIX}{field.upper()}: {error}") from error
        self._check_openid()
        self._check_passkeys()
        self._check_mail()
        self._check_push()
        self._check_wallets()
        for origin in self.cors_allowed:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"EVENTLY_CORS_ORIGINS: {origin} is not like https://example.org")
        if self.hold_ttl_ms > self.hold_life_max_ms:
            raise ValueError("EVENTLY_HOLD_TTL_MS is above EVENTLY_HOLD_LIFE_MAX_MS")
        if self.persist_records_max > self.journal_backlog_records_max:
            raise ValueError(
                "EVENTLY_PERSIST_RECORDS_MAX is above EVENTLY_JOURNAL_BACKLOG_RECORDS_MAX"
            )

    def _check_openid(self) -> None:
        issuers = _named("EVENTLY_OPENID_ISSUERS", self.openid_issuers)
        for issuer in issuers.values():
            if _ISSUER.fullmatch(issuer) is None:
                raise ValueError(
                    f"EVENTLY_OPENID_ISSUERS: {issuer} is not like https://accounts.example.org"
                )
        if len(set(issuers.values())) < len(issuers):
            raise ValueError("EVENTLY_OPENID_ISSUERS names an issuer twice")
        clients = _named("EVENTLY_OPENID_CLIENT_IDS", self.openid_client_ids)
        if clients.keys() != issuers.keys():
            raise ValueError("EVENTLY_OPENID_CLIENT_IDS does not name those of the issuers")
        secrets = _named("EVENTLY_OPENID_CLIENT_SECRETS", self.openid_client_secrets)
        # A part that has no secrets is given none: `of_part`.
        if secrets.keys() - issuers.keys():
            raise ValueError("EVENTLY_OPENID_CLIENT_SECRETS names one that is no issuer")
        for host in self.openid_hosts_allowed:
            if _HOST.fullmatch(host) is None:
                raise ValueError(f"EVENTLY_OPENID_HOSTS: {host} is not like keys.example.org")
        if issuers and _ISSUER.fullmatch(self.openid_redirect_url) is None:
            raise ValueError(
                "EVENTLY_OPENID_REDIRECT_URL is not like https://tickets.example.org/sign-in"
            )

    def _check_mail(self) -> None:
        if self.smtp_url and _MAIL_SERVER.fullmatch(self.smtp_url) is None:
            raise ValueError("EVENTLY_SMTP_URL is not like smtp://user:password@host:587")
        if _ADDRESS.fullmatch(self.mail_from) is None:
            raise ValueError("EVENTLY_MAIL_FROM is not like tickets@example.org")
        if self.mail_bounces and _ADDRESS.fullmatch(self.mail_bounces) is None:
            raise ValueError("EVENTLY_MAIL_BOUNCES is not like bounces@example.org")
        if self.public_url and _ORIGIN.fullmatch(self.public_url) is None:
            raise ValueError("EVENTLY_PUBLIC_URL is not like https://tickets.example.org")
        if self.mailbox_dir and self.environment == "production":
            raise ValueError("EVENTLY_MAILBOX_DIR shows everybody's mail: not in production")

    def _check_push(self) -> None:
        keys = self.vapid_private_keys
        if len(keys) > VAPID_KEYS_MAX or not all(map(_TICKET_KEY.fullmatch, keys)):
            raise ValueError(
                "EVENTLY_VAPID_KEYS is not one key of `evently notifier keys make`, or two"
            )
        if self.vapid_subject and _SUBJECT.fullmatch(self.vapid_subject) is None:
            raise ValueError("EVENTLY_VAPID_SUBJECT is not like mailto:push@example.org")
        for host in self.push_hosts_allowed:
            if _PUSH_HOST.fullmatch(host) is None:
                raise ValueError(f"EVENTLY_PUSH_HOSTS: {host} is not like *.push.example.org")

    def _check_wallets(self) -> None:
        if bool(self.apple_pass_certificate) != bool(self.apple_pass_authority):
            raise ValueError(
                "EVENTLY_APPLE_PASS_CERTIFICATE and EVENTLY_APPLE_PASS_AUTHORITY are set together"
            )
        # A part that has no secrets is given none: `of_part`.
        if self.apple_pass_key and not self.apple_pass_certificate:
            raise ValueError("EVENTLY_APPLE_PASS_KEY is set without its certificate")
        issuer_id = self.google_wallet_issuer_id
        if issuer_id and not (issuer_id.isascii() and issuer_id.isdecimal()):
            raise ValueError("EVENTLY_GOOGLE_WALLET_ISSUER_ID has more in it than digits")
        if self.google_wallet_account and not issuer_id:
            raise ValueError("EVENTLY_GOOGLE_WALLET_ACCOUNT is set without the issuer's number")

    def _check_passkeys(self) -> None:
        if self.admin_passkeys == "required" and not self.passkey_rp_id:
            raise ValueError(
                "EVENTLY_ADMIN_PASSKEYS is required, but EVENTLY_PASSKEY_RP_ID is empty"
            )
        if bool(self.passkey_rp_id) != bool(self.passkey_sites):
            raise ValueError("EVENTLY_PASSKEY_RP_ID and EVENTLY_PASSKEY_ORIGINS are set together")
        for origin in self.passkey_sites:
            host = urlsplit(origin).hostname or ""
            is_below = host == self.passkey_rp_id or host.endswith(f".{self.passkey_rp_id}")
            if _ORIGIN.fullmatch(origin) is None or not is_below:
                raise ValueError(
                    f"EVENTLY_PASSKEY_ORIGINS: {origin} is not like https://{self.passkey_rp_id}"
                )
            # Browsers have WebAuthn in secure contexts alone: TLS, or this very machine.
            if not origin.startswith("https:") and not f".{host}".endswith(".localhost"):
                raise ValueError(f"EVENTLY_PASSKEY_ORIGINS: {origin} is not over https")

    @property
    def redis_servers(self) -> dict[str, str]:
        """
        URLs of the Redis servers by name.

        A single URL without a name is server `0`. Which shard lives where is written in PostgreSQL:
        the order of the list means nothing, and a name is one server's for life.
        """
        return _servers(self.redis_url)

    @property
    def public_url_or_own(self) -> str:
        """Where browsers find the service: `public_url`, or this machine's port."""
        own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - told apart, not bound
            self.http_host, self.http_host
        )
        shown = f"[{own}]" if ":" in own else own
        return self.public_url or f"http://{shown}:{self.http_port}"

    @property
    def cors_allowed(self) -> tuple[str, ...]:
        """Sites whose pages may use the API."""
        return _listed(self.cors_origins)

    @property
    def openid_providers(self) -> dict[str, tuple[str, str, str]]:
        """Issuer, client id and secret of each provider by its name; the secret may be empty."""
        clients = _named("EVENTLY_OPENID_CLIENT_IDS", self.openid_client_ids)
        secrets = _named("EVENTLY_OPENID_CLIENT_SECRETS", self.openid_client_secrets)
        issuers = _named("EVENTLY_OPENID_ISSUERS", self.openid_issuers)
        return {
            name: (issuer, clients[name], secrets.get(name, "")) for name, issuer in issuers.items()
        }

    @property
    def openid_hosts_allowed(self) -> tuple[str, ...]:
        """Hosts that may be asked beside the issuers' own."""
        return _listed(self.openid_hosts)

    @property
    def vapid_private_keys(self) -> tuple[str, ...]:
        """Keys that browsers know us by, the one for new subscriptions first."""
        return _listed(self.vapid_keys)

    @property
    def vapid_subject_or_own(self) -> str:
        """Where the people of a push service reach ours."""
        return self.vapid_subject or f"mailto:{self.mail_from}"

    @property
    def push_hosts_allowed(self) -> tuple[str, ...]:
        """Push services that browsers may name."""
        return _listed(self.push_hosts)

    @property
    def passkey_sites(self) -> tuple[str, ...]:
        """Origins of pages that may use passkeys."""
        return _listed(self.passkey_origins)

    def redis_servers_as(self, role: str) -> dict[str, str]:
        """Return the URLs with *role* logged in, unless it has no password or the URL names who."""
        password = str(getattr(self, f"redis_{role}_password"))
        found = self.redis_servers
        if not password:
            return found
        return {name: _with_user(url, role, password) for name, url in found.items()}

    def database_url_as(self, role: str) -> str:
        """Return PostgreSQL's URL with *role* logged in; as it is if the role has no password."""
        return self._as_database_role(self.database_url, role)

    def database_read_url_as(self, role: str) -> str:
        """Return the standby's URL likewise; empty if there is none."""
        return self.database_read_url and self._as_database_role(self.database_read_url, role)

    def _as_database_role(self, url: str, role: str) -> str:
        password = str(getattr(self, f"database_{role}_password"))
        if not password:
            return url
        scheme, separator, rest = url.partition("://")
        host = rest.rpartition("@")[2]
        return f"{scheme}{separator}evently_{role}:{quote(password, safe='')}@{host}"

    @property
    def database_passwords(self) -> dict[str, str]:
        """Passwords of PostgreSQL's roles, of those that have one."""
        found = {role: str(getattr(self, f"database_{role}_password")) for role in DATABASE_ROLES}
        return {role: password for role, password in found.items() if password}

    @property
    def data_path(self) -> Path:
        """`data_dir` as an absolute path."""
        return Path(self.data_dir).absolute()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """
        Read the settings from *environ*.

        Raises:
            SettingsError: a value is out of range, of the wrong type, or an `EVENTLY_*` name
                is not a setting (a misspelt setting would otherwise be silently ignored).
        """
        fields = set(cls.__struct_fields__)
        given: dict[str, str] = {}
        for variable, value in environ.items():
            if not variable.startswith(ENV_PREFIX) or variable in {ENV_FILE, PART}:
                continue
            field = variable.removeprefix(ENV_PREFIX).lower()
            if field not in fields:
                raise SettingsError(f"{variable} is not a setting; see .env.example")
            if value != "":
                given[field] = value
        for field, value in given.items():
            _convert_one(cls, field, value)
        try:
            return msgspec.convert(given, cls, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise SettingsError(str(error)) from error

    @classmethod
    def load(cls) -> Settings:
        """
        Read environment and `.env`; what they leave open comes from a running `evently up`.

        The supervisor notes where its servers listen in `<data_dir>/running.json`, so that
        `evently seed` or `python -m reconciler` in another terminal need no settings at all.
        """
        settings = cls.from_env(environment())
        return settings if os.environ.get(PART) else settings.with_running()

    @classmethod
    def load_or_exit(cls, program: str, *needed: str) -> Settings:
        """Do `load` and `require`; an error is one line on stderr and exit code 2."""
        try:
            return cls.load().require(*needed)
        except SettingsError as error:
            sys.stderr.write(f"{program}: {error}\n")
            raise SystemExit(2) from None

    def require(self, *needed: str) -> Settings:
        """
        Return these settings, in which no field of *needed* is empty.

        Raises:
            SettingsError: some are; the message names each.
        """
        empty = [ENV_PREFIX + field.upper() for field in needed if not getattr(self, field)]
        if empty:
            raise SettingsError(
                f"{', '.join(empty)}: empty, and no `evently up` runs in {self.data_path}; "
                "set it in the environment or in .env"
            )
        return self

    def with_running(self) -> Settings:
        """Return these settings, what they leave open filled from a running `evently up`."""
        running = self.data_path / RUNNING_FILE
        try:
            noted: dict[str, Any] = msgspec.json.decode(running.read_bytes(), type=dict[str, Any])
        except (FileNotFoundError, PermissionError, msgspec.DecodeError):
            return self
        fields = ["redis_url", "database_url", "jwt_secret", "ticket_signing_key", "smtp_url"]
        fields += ["webhook_key", "vapid_keys"]
        if not self.redis_url:  # The passwords are those of that server and of no other.
            fields += REDIS_PASSWORDS
        if not self.database_url:
            fields += DATABASE_PASSWORDS
        fills = {
            field: noted[field] for field in fields if field in noted and not getattr(self, field)
        }
        return msgspec.structs.replace(self, **fills)

    def to_env(self) -> dict[str, str]:
        """Return the variables that make these settings and no others: what a child is given."""
        return {ENV_FILE: os.devnull} | {
            ENV_PREFIX + field.upper(): str(value)
            for field, value in msgspec.structs.asdict(self).items()
        }

    def of_part(self, kind: str) -> Settings:
        """Return these settings with the secrets of one kind of part, and no others."""
        others = dict.fromkeys(_KEYS - SECRETS_OF[kind], "")
        # A mailbox keeps files and knows no database.
        role = {"watch": "coordinator"}.get(kind, kind)
        own_url = "" if kind == "mailbox" else self.database_url_as(role)
        # The API alone reads from a standby.
        read_url = self.database_read_url_as(kind) if kind == "api" else ""
        urls = {"database_url": own_url, "database_read_url": read_url}
        return msgspec.structs.replace(self, **others | urls)

    def masked(self) -> dict[str, str]:
        """Return every setting as text, with secrets and passwords in URLs hidden."""
        return {
            field: _mask(field, str(value)) for field, value in msgspec.structs.asdict(self).items()
        }

    def __repr__(self) -> str:
        inside = ", ".join(f"{field}={value!r}" for field, value in self.masked().items())
        return f"Settings({inside})"


def open_telemetry(name: str) -> str:
    """Return what `OTEL_<name>` is, which its libraries read from the environment as well."""
    return os.environ.get(f"OTEL_{name}", "")


def environment() -> dict[str, str]:
    """
    Return the process's environment, and from `.env` in the current folder what it does not set.

    Raises:
        SettingsError: the file cannot be read, or names a setting that there is not.
    """
    return read_env_file(os.environ.get(ENV_FILE, "")) | os.environ


def read_env_file(named: str) -> dict[str, str]:
    """Return the settings in the file *named*, or in `.env` if there is one; raises as above."""
    path = Path(named or ".env")
    known = {ENV_PREFIX + field.upper() for field in Settings.__struct_fields__}
    given: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            lines = list(parse_stream(stream))
    except FileNotFoundError as error:
        if named:
            raise SettingsError(f"{ENV_FILE}: there is no {path}") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    for line in lines:
        text = line.original.string
        blank = text[: len(text) - len(text.lstrip())].count("\n")
        where = f"{path}, line {line.original.line + blank}"
        if line.error or (line.key and line.value is None):
            raise SettingsError(f"{where}: not of the form NAME=value")
        # Other names are other programs': POSTGRES_PASSWORD is Compose's.
        if line.key and line.key.startswith(ENV_PREFIX):
            if line.key not in known:
                raise SettingsError(f"{where}: {line.key} is not a setting; see .env.example")
            given[line.key] = line.value or ""
    return given


def _listed(text: str) -> tuple[str, ...]:
    """Return what stands between the commas of a setting."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _named(variable: str, text: str) -> dict[str, str]:
    """Return the values of `name=value,...` by name; raises `ValueError`, telling no value."""
    found: dict[str, str] = {}
    for number, part in enumerate(_listed(text)):
        match = _NAMED_VALUE.fullmatch(part)
        if match is None or match[1] in found:
            raise ValueError(f"{variable}: number {number} is not of the form name=value, once")
        found[match[1]] = match[2]
    return found


def _servers(text: str) -> dict[str, str]:
    """Return the servers of `EVENTLY_REDIS_URL` by name; raises `ValueError` for a bad list."""
    parts = _listed(text)
    if len(parts) == 1 and not _NAMED_SERVER.fullmatch(parts[0]):
        return {ONLY_SERVER: parts[0]}
    found: dict[str, str] = {}
    for number, part in enumerate(parts):
        match = _NAMED_SERVER.fullmatch(part)
        if match is None:
            raise ValueError(
                f"EVENTLY_REDIS_URL: server number {number} has no name; write name=url for each, "
                f"and 0=url,1=url,... for a list that had none"
            )
        if match[1] in found:
            raise ValueError(f"EVENTLY_REDIS_URL names two servers {match[1]}")
        found[match[1]] = match[2]
    return found


def _convert_one(settings: type[Settings], field: str, value: str) -> None:
    """Convert one value alone, so that the error can name its variable."""
    try:
        msgspec.convert({field: value}, settings, strict=False)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ValueError):
            return  # A relation between settings: judged when all are known.
        reason = str(error).partition(" - at ")[0]
        raise SettingsError(f"{ENV_PREFIX}{field.upper()}: {reason}") from error


def _mask(field: str, value: str) -> str:
    if field not in SECRET_FIELDS or not value:
        return value
    if field in _KEYS:
        return "********"
    return ",".join(_mask_url(url) for url in value.split(","))


def _mask_url(url: str) -> str:
    """Hide the passwords of one URL: before the host, and in the query."""
    url = _QUERY_SECRET.sub(r"\1********", url)
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at or ":" not in credentials:
        return url
    user = credentials.partition(":")[0]
    return f"{scheme}{separator}{user}:********@{host}"


def _with_user(url: str, user: str, password: str) -> str:
    """Put user and password into a URL that names none."""
    scheme, separator, rest = url.partition("://")
    if "@" in rest:
        return url
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{rest}"
