"""Profiles, as providers tell them of who signs in: what is taken of them, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usecases import text
from usecases.denials import Denied

NAME_CHARS_MAX = 200


def verified_email(profile: Mapping[str, Any]) -> str | None:
    """Return the address that a provider vouches for, in the form in which addresses are kept."""
    address = profile.get("email")
    # `true` to the letter: "false" is a text that is not empty.
    if profile.get("email_verified") is not True or not isinstance(address, str):
        return None
    try:
        return text.email("/email", address)
    except Denied:
        return None


def name_of(profile: Mapping[str, Any], email: str) -> str:
    """Return what to call somebody: as the provider does, or as their address begins."""
    given = profile.get("name")
    try:
        kept = text.line("/name", str(given or "")[:NAME_CHARS_MAX], chars_max=NAME_CHARS_MAX)
    except Denied:
        kept = ""
    return kept or email.partition("@")[0]
