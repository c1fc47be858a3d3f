"""
An account on whose behalf load is made.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import orjson


class Person(NamedTuple):
    """An account and its token."""

    user_id: str
    token: str


def person_of(token: str) -> Person:
    """Return who a token belongs to, as it says itself."""
    payload = token.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return Person(claims["sub"], token)
