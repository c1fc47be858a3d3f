"""Addresses of pages: one place makes them, and reads what stands in them."""

from __future__ import annotations

import re
from urllib.parse import quote

from usecases import told

_EVENT = re.compile(r"(?:.{0,200}-)?(evt_[0-9a-v]{26})")


def event_path(event: told.Event) -> str:
    """Return where an event's page is: its slug for people, its id for us."""
    return path_of(event.id, event.slug)


def path_of(event_id: str, slug: str) -> str:
    """Return where the page of an event is of which no more is known."""
    return f"/e/{quote(slug, safe='')}-{event_id}"


def event_id_of(name: str) -> str | None:
    """Return the id in the last part of an address; None if there is none."""
    match = _EVENT.fullmatch(name)
    return match[1] if match else None
