"""
Ids: a prefix, an underscore, 26 characters that sort by time and say nothing else.

The 26 characters are 128 bits in base32hex (RFC 4648 §7, lower case), whose alphabet keeps the
order of the bits. The first 48 bits are a Unix time in ms, as in UUIDv7 (RFC 9562 §5.7). The same
text stands in Redis, PostgreSQL and HTTP, so that one search finds an id everywhere.

A booking's id is not drawn but derived: from its event's time, the user, and the key that the
client made before its first attempt. That is what makes a repeated request find its own booking
(docs/decisions/0001-booking-id-is-the-idempotency-key.md).
"""

from __future__ import annotations

import re
import secrets
import time
from base64 import b32hexencode
from hashlib import blake2b

ID_CHARS = 26
#: Characters of an id that carry its time: 50 bits, of which 48 are the ms.
TIME_CHARS = 10
IDEMPOTENCY_KEY_CHARS_MAX = 255
#: Characters of what names a key that signs tokens.
KEY_NAME_CHARS = 10
#: Places of one order, and so the highest number that a ticket has within its booking.
ORDER_PLACES_MAX = 10

_EVENT_PREFIX = "evt_"
#: Marks the fingerprint of what may exceed the limit per person; codes and hashes do not have it.
_BEYOND = "!"
_IDS = {
    prefix: re.compile(rf"{prefix}_[0-9a-v]{{{ID_CHARS}}}")
    for prefix in (
        *("evt", "tier", "bk", "hold", "usr", "org", "inv", "wl", "offer", "ses", "gift"),
        *("key", "dev", "whk", "psh"),
    )
}


def new_id(prefix: str, *, at_ms: int | None = None) -> str:
    """
    Draw a new id: 48 bits of time, 80 random bits.

    Args:
        prefix: `evt`, `tier`, `usr`, `org`, `inv`, `ses`, `gift`, `key`, `dev`, `whk`, `psh`,
            `idn` or `pky`.

        at_ms: Unix time in ms that the id sorts by; now if not given.
    """
    moment_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    raw = moment_ms.to_bytes(6, "big") + secrets.token_bytes(10)
    return f"{prefix}_{_base32(raw)}"


def first_id(prefix: str, *, at_ms: int) -> str:
    """Return the smallest id of that moment: the bound of a partition."""
    return f"{prefix}_{_base32(at_ms.to_bytes(6, 'big') + bytes(10))}"


def is_id(prefix: str, text: str) -> bool:
    """Tell whether *text* is a well-formed id of that prefix: nothing else may become a key."""
    return _IDS[prefix].fullmatch(text) is not None


def booking_id(*, event_id: str, user_id: str, idempotency_key: str) -> str:
    """
    Derive the id of the one booking that this key of this user can make of this event.

    The event's time stands first, so that a booking's id alone tells its partition; 80 bits of
    BLAKE2b over user, event and key follow.
    """
    return f"bk_{_derive(b'book', event_id, user_id, idempotency_key)}"


def hold_id(*, event_id: str, user_id: str, idempotency_key: str) -> str:
    """Derive the id of the one hold that this key of this user can make, as `booking_id` does."""
    return f"hold_{_derive(b'hold', event_id, user_id, idempotency_key)}"


def booking_of_hold(hold: str) -> str:
    """Return the id of the booking that a hold becomes: the same but for the prefix."""
    return f"bk_{hold.removeprefix('hold_')}"


def entry_id(*, event_id: str, user_id: str, idempotency_key: str) -> str:
    """Derive the id of the one waitlist entry that this key of this user can make."""
    return f"wl_{_derive(b'wait', event_id, user_id, idempotency_key)}"


def note_id(*, event_id: str, user_id: str, idempotency_key: str) -> str:
    """Derive the id of the one note on an order that this key of this user can make."""
    return f"note_{_derive(b'note', event_id, user_id, idempotency_key)}"


def offer_of_entry(entry: str) -> str:
    """Return the id of the one offer that a waitlist entry can get: the same but for the prefix."""
    return f"offer_{entry.removeprefix('wl_')}"


def entry_of_offer(offer: str) -> str:
    """Return the id of the waitlist entry that an offer was made to."""
    return f"wl_{offer.removeprefix('offer_')}"


def booking_of_offer(offer: str) -> str:
    """Return the id of the booking that an offer becomes, as `booking_of_hold` does."""
    return f"bk_{offer.removeprefix('offer_')}"


def ticket_id(booking: str, number: int) -> str:
    """Return the id of ticket *number* (from 1) of a booking: derived, so that replays agree."""
    return f"tkt_{booking.removeprefix('bk_')}_{number}"


def event_id_range(own_id: str) -> tuple[str, str]:
    """Return the bounds (inclusive) of the id of the event of this booking or hold."""
    moment = own_id.partition("_")[2][:TIME_CHARS]
    rest = ID_CHARS - TIME_CHARS
    return f"{_EVENT_PREFIX}{moment}{'0' * rest}", f"{_EVENT_PREFIX}{moment}{'v' * rest}"


def key_name(raw: bytes, *, chars: int = KEY_NAME_CHARS) -> str:
    """Return the first characters of *raw* in the alphabet of ids: what names a key."""
    return b32hexencode(raw)[:chars].decode().lower()


def _base32(raw: bytes) -> str:
    return key_name(raw, chars=ID_CHARS)


#: Ten bits as two characters: a booking's id is made for every request, and the library's encoder
#: takes ten times as long.
_PAIRS = tuple(
    one + other
    for one in "0123456789abcdefghijklmnopqrstuv"
    for other in "0123456789abcdefghijklmnopqrstuv"
)


def _derive(kind: bytes, event_id: str, user_id: str, idempotency_key: str) -> str:
    digest = blake2b(
        f"{user_id}\0{event_id}\0{idempotency_key}".encode(), digest_size=10, person=kind
    ).digest()
    start, n, pairs = len(_EVENT_PREFIX), int.from_bytes(digest, "big"), _PAIRS
    return (
        f"{event_id[start : start + TIME_CHARS]}{pairs[n >> 70]}{pairs[n >> 60 & 1023]}"
        f"{pairs[n >> 50 & 1023]}{pairs[n >> 40 & 1023]}{pairs[n >> 30 & 1023]}"
        f"{pairs[n >> 20 & 1023]}{pairs[n >> 10 & 1023]}{pairs[n & 1023]}"
    )


def with_promo(fingerprint: str, code: str | None) -> str:
    """Return a request's fingerprint as it is kept: with its promo code, if it has one."""
    return f"{fingerprint}~{code}" if code else fingerprint


def with_beyond(fingerprint: str) -> str:
    """
    Return the fingerprint of an order that the box office sells beyond what one person may have.

    Scripts heed it, and whoever judges the limit leaves such bookings out. It stays with the
    booking wherever that is kept: in Redis, in its record, in the ledger and in its receipt.
    """
    plain, tilde, code = fingerprint.partition("~")
    return f"{plain}{_BEYOND}{tilde}{code}"


def is_beyond(fingerprint: str) -> bool:
    """Tell whether a booking of this fingerprint may exceed the limit per person."""
    return _BEYOND in fingerprint


def promo_of(fingerprint: str) -> str:
    """Return the promo code of a fingerprint; empty if it has none."""
    return fingerprint.partition("~")[2]
