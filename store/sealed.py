"""
Secrets in rows, closed with a setting that is not there: neither opens anything alone.

AES-256-GCM; the key is drawn from setting and purpose, and what a secret is for is signed with it,
so that one moved to another row does not open there.
"""

from __future__ import annotations

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


def seal(setting: str, purpose: str, name: str, secret: bytes) -> bytes:
    """
    Close a secret.

    Args:
        setting: What closes it.

        purpose: What secrets of its kind are for.

        name: Which of them it is.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _lock(setting, purpose).encrypt(nonce, secret, _label(purpose, name))


def unseal(setting: str, purpose: str, name: str, sealed: bytes) -> bytes | None:
    """Return a secret; None if another setting has closed it, or it is damaged."""
    nonce, closed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return _lock(setting, purpose).decrypt(nonce, closed, _label(purpose, name))
    except InvalidTag:
        return None


def _lock(setting: str, purpose: str) -> AESGCM:
    return AESGCM(hmac.digest(setting.encode(), f"evently key ring {purpose}".encode(), "sha256"))


def _label(purpose: str, name: str) -> bytes:
    return f"{purpose} {name}".encode()
