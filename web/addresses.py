"""Addresses of pages: one place makes them, and reads what stands in them."""

from __future__ import annotations

import re
from urllib.parse import quote

from usecases import told

_EVENT = re.compile(r"(?:.{0,200}-)?(evt_[0-9a-v]{26})")


def event_path(event: told.Event) -> str:
    """Return where an event's page is: its slug for people, its id for us."""
    return f"/e/{quote(event.slug, safe='')}-{event.id}"


def event_id_of(name: str) -> str | None:
    """Return the id in the last part of an address; None if there is none."""
    match = _EVENT.fullmatch(name)
    return match[1] if match else None
