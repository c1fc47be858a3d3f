"""
What messages say, in each language: `<language>.toml`, one table for each kind.

Letters have all of it, messages in the account their titles alone; both are written here, so that
one fact is never told in two ways.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

_FIELD = re.compile(r"\{\{ (\w+) \}\}")

#: What is told in the account as well, and the page of the site that it leads to.
IN_ACCOUNT: Final[Mapping[str, str]] = {
    "booking.confirmed": "/b/{about_id}",
    "booking.cancelled": "/b/{about_id}",
    "booking.changed": "/b/{about_id}",
    "event.cancelled": "/e/{event_id}",
    "event.changed": "/e/{event_id}",
    "ticket.transferred": "/t/{about_id}",
    "ticket.given": "/me",
    "ticket.cancelled": "/e/{event_id}",
    "waitlist.offered": "/wait/{about_id}",
    "waitlist.expired": "/e/{event_id}",
    "waitlist.limit": "/me",
    "waitlist.too_large": "/e/{event_id}",
    "waitlist.event_cancelled": "/e/{event_id}",
}


@cache
def sentences(language: str) -> dict[str, Any]:
    """Return the words of a language, by kind; it is one of `papers.words.LANGUAGES`."""
    file = resources.files("papers.messages") / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def filled(text: str, fields: Mapping[str, str]) -> str:
    """
    Return a sentence with its fields put in as they are, whatever is written in them.

    Raises:
        KeyError: a field that nobody tells: a sentence with a hole is not sent.
    """
    return _FIELD.sub(lambda found: fields[found[1]], text)


def title(kind: str, language: str, fields: Mapping[str, str]) -> str:
    """Return what a message says in one line; raises `KeyError` as `filled` does."""
    return filled(sentences(language)[kind]["subject"], fields)
