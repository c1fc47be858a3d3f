"""
The API's receipts: keys derived from those that sign tickets, and how they are published.

What a receipt is stands in `engine.receipts` and docs/RECEIPTS.md; here is only who signs.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from engine.batches import Batch, Told
from engine.commands import Own
from engine.outcomes import Booked
from engine.receipts import Receipt, Sealer, derive_key, key_id, verify
from engine.values import Booking, item_rows


class Receipts:
    """Signs what was booked."""

    def __init__(self, ticket_signing_key: str) -> None:
        """
        Args:
            ticket_signing_key: 32 bytes in base64url; the receipts' key is derived from it.

        Raises:
            ValueError: it is not that.
        """
        self.use([ticket_signing_key])

    def use(self, ticket_signing_keys: Sequence[str]) -> None:
        """Sign from now on with the key of the first of these, and publish all of them."""
        keys = [derive_key(text) for text in ticket_signing_keys]
        self._public = [key.public_key().public_bytes_raw() for key in keys]
        self._sealer = Sealer(keys[0].sign, self._public[0])

    @property
    def public_keys(self) -> dict[str, str]:
        """The 32 bytes that verify receipts, in base64url, by what names the key, as hex."""
        return {
            key_id(raw).hex(): base64.urlsafe_b64encode(raw).decode().rstrip("=")
            for raw in self._public
        }

    def of(self, outcome: Booked, booking_id: str) -> str | None:
        """Return the receipt of a booking as the script told of it."""
        return None if outcome.batch is None else self._sealer.receipt(outcome.batch, booking_id)

    def again(self, shard: int, event_id: str, booking_id: str, kept: Booking) -> str:
        """
        Return the receipt of a booking as Redis has it.

        Cost: one signature.
        """
        own = Own(event_id, booking_id, kept.user_id)
        made_with = kept.items + (f"/{kept.cuts}" if kept.cuts else "")
        place = (kept.epoch, kept.seq, kept.at_ms)
        told = Told(own, False, *place, item_rows(made_with), kept.fingerprint)
        return self._sealer.receipt(Batch(shard, kept.epoch, [told]), booking_id)

    def verified(self, text: str) -> Receipt:
        """
        Return what a receipt says.

        Raises:
            InvalidReceipt: none of the keys that are published has signed it.
        """
        return verify(text, {key_id(raw): raw for raw in self._public})
