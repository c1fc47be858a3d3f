"""
The API's receipts: one key, derived from the one that signs tickets, and how it is published.

What a receipt is stands in `engine.receipts` and docs/RECEIPTS.md; here is only who signs.
"""

from __future__ import annotations

import base64

from engine.outcomes import Booked
from engine.receipts import Sealer, derive_key, key_id


class Receipts:
    """Signs what was booked."""

    def __init__(self, ticket_signing_key: str) -> None:
        """
        Args:
            ticket_signing_key: 32 bytes in base64url; the receipts' key is derived from it.

        Raises:
            ValueError: it is not that.
        """
        key = derive_key(ticket_signing_key)
        self._public = key.public_key().public_bytes_raw()
        self._sealer = Sealer(key.sign, self._public)

    @property
    def key_id(self) -> str:
        """What names the key in a receipt, as hex."""
        return key_id(self._public).hex()

    @property
    def public_key(self) -> str:
        """The 32 bytes that verify a receipt, in base64url."""
        return base64.urlsafe_b64encode(self._public).decode().rstrip("=")

    def of(self, outcome: Booked, booking_id: str) -> str | None:
        """Return the receipt of a booking as the script told of it."""
        return None if outcome.batch is None else self._sealer.receipt(outcome.batch, booking_id)
