"""
The keys that browsers know us by (VAPID, RFC 8292): a push service takes messages signed by them.

A subscription is bound to the key that it was made with, so a new key takes over as browsers come
back: two are alive, the first for new subscriptions and the one before it for those that are there.
"""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from yarl import URL

from engine.ids import key_name
from store.push import PushKey

KEYS_MAX = 2
SECRET_BYTES = 32
#: How long a signature is good, in seconds; services refuse more than a day.
SIGNED_FOR_S = 12 * 3_600


class VapidKey(NamedTuple):
    """One of our keys."""

    public: PushKey
    signer: Vapid02

    @property
    def id(self) -> str:
        """Its name."""
        return self.public.id

    def authorization(self, endpoint: str, subject: str) -> str:
        """
        Return the header that proves to an endpoint's service who pushes.

        Args:
            subject: Where the service's people reach ours: `mailto:` or `https:`.
        """
        # Made anew each time: what is reused would name another service's origin.
        claims = {
            "aud": str(URL(endpoint).origin()),
            "exp": int(time.time()) + SIGNED_FOR_S,
            "sub": subject,
        }
        header: str = self.signer.sign(claims)["Authorization"]
        return header


def make() -> str:
    """Return a new key as the setting has it."""
    return secrets.token_urlsafe(SECRET_BYTES)


def read(texts: Sequence[str]) -> list[VapidKey]:
    """
    Return the keys of a setting.

    Raises:
        ValueError: one of them is none.
    """
    return [_read(text) for text in texts]


def _read(text: str) -> VapidKey:
    signer = Vapid02.from_raw(text.encode())
    point = signer.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    public = urlsafe_b64encode(point).rstrip(b"=").decode()
    # Past the byte that says "uncompressed", which all of them have.
    return VapidKey(PushKey(key_name(point[1:]), public), signer)
