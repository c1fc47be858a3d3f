"""
Ticket codes: what stands in the QR code at the door, signed, and verifiable without us.

A code is base64url of 100 bytes: format (1), key id (4), booking (17), rest of the event's id (10),
number of the ticket (1), tier (1), the ticket's version (2), and the Ed25519 signature of all that
(64). A gate without a network can check the signature with the key of `GET /v1/ticket-key`; only
the script can say whether somebody is in already, or whether the ticket was cancelled or given
away since. Codes are computed whenever they are read and kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.errors import KeysUnknown
from engine.ids import ID_CHARS, TIME_CHARS, ticket_id
from engine.receipts import signing_seed

FORMAT = 1
_HEAD = struct.Struct(">B4s17s10sBBH")
_SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 4
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


class InvalidCode(Exception):
    """The code is malformed, or not signed by us."""


class TicketCode(NamedTuple):
    """What a code says."""

    event_id: str
    booking_id: str
    #: Of the ticket within its booking, from 1.
    number: int
    tier_no: int
    #: Of the ticket; grows when it is given away.
    version: int

    @property
    def ticket_id(self) -> str:
        """The ticket's id."""
        return ticket_id(self.booking_id, self.number)


class TicketCodes:
    """Signs codes with one key, and reads those that any of some keys has signed."""

    def __init__(self, signing_key: str) -> None:
        """
        Args:
            signing_key: 32 bytes in base64url, the seed of an Ed25519 key; the only one until
                `use` tells others.

        Raises:
            ValueError: it is not that.
        """
        #: Until when, by the monotonic clock, a key that is not here is known not to be ours.
        self.fresh_until_s = math.inf
        self.use([signing_key])

    def use(self, signing_keys: Sequence[str]) -> None:
        """
        Sign with the first of these keys from now on, and read what any of them signed.

        Raises:
            ValueError: one is none.
        """
        made = [_private(text) for text in signing_keys]
        self._key = made[0]
        self._public = {_key_id(key): key.public_key() for key in made}
        self._key_id = _key_id(self._key)

    @property
    def public_keys(self) -> dict[str, str]:
        """The 32 bytes that verify codes, in base64url, by what names the key in them, as hex."""
        return {
            key_id.hex(): _text(public.public_bytes_raw())
            for key_id, public in self._public.items()
        }

    def issue(self, ticket: TicketCode) -> str:
        """Return the code of *ticket*."""
        head = _HEAD.pack(
            FORMAT,
            self._key_id,
            _number(ticket.booking_id.removeprefix("bk_")).to_bytes(17, "big"),
            _number(ticket.event_id.removeprefix("evt_")[TIME_CHARS:]).to_bytes(10, "big"),
            ticket.number,
            ticket.tier_no,
            ticket.version,
        )
        return _text(head + self._key.sign(head))

    def read(self, code: str) -> TicketCode:
        """
        Verify and read a code.

        Raises:
            InvalidCode: it is malformed, or not signed by us.

            KeysUnknown: it is of no key that we know, and there may be others.
        """
        try:
            raw = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidCode("not base64url") from error
        # The very text, so that one ticket has one code.
        if len(raw) != _HEAD.size + _SIGNATURE_BYTES or _text(raw) != code:
            raise InvalidCode("another length or spelling")
        head = raw[: _HEAD.size]
        kind, key_id, booking, event, number, tier_no, version = _HEAD.unpack(head)
        if kind != FORMAT:
            raise InvalidCode("another format")
        try:
            self._public_key(key_id).verify(raw[_HEAD.size :], head)
        except InvalidSignature as error:
            raise InvalidCode("the signature is wrong") from error
        own = _digits(int.from_bytes(booking, "big"), ID_CHARS)
        tail = _digits(int.from_bytes(event, "big"), ID_CHARS - TIME_CHARS)
        return TicketCode(f"evt_{own[:TIME_CHARS]}{tail}", f"bk_{own}", number, tier_no, version)

    def _public_key(self, key_id: bytes) -> Ed25519PublicKey:
        found = self._public.get(key_id)
        if found is None:
            if time.monotonic() > self.fresh_until_s:
                raise KeysUnknown
            raise InvalidCode("of no key of ours")
        return found


def ticket_key_id(signing_key: str) -> str:
    """Return what names a key in its codes, as hex; `ValueError` if it is none."""
    return _key_id(_private(signing_key)).hex()


def ticket_public_key(signing_key: str) -> bytes:
    """Return the 32 bytes that verify the codes of a key; `ValueError` if it is none."""
    return _private(signing_key).public_key().public_bytes_raw()


def _private(signing_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(signing_seed(signing_key))


def _key_id(key: Ed25519PrivateKey) -> bytes:
    return sha256(key.public_key().public_bytes_raw()).digest()[:_KEY_ID_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _number(digits: str) -> int:
    return int(digits, 32)


def _digits(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(length)))
