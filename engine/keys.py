"""
The names of all Redis keys, in one place; scripts receive them and never build one.

Every key of a shard carries the hash tag `{s<shard>}`, so that one script call may touch any of
them on Redis Cluster. docs/DATA.md tells what each key holds, who writes it and who reads it.
"""

from __future__ import annotations

from typing import NamedTuple

#: Version of the keys and of what is in them (2: decision 0011); it stands in `meta` and is
#: checked when a shard opens.
LAYOUT_VERSION = 2
#: What every key of every shard matches: all that the services may touch.
PATTERN = "{s*}:*"


class EventKeys(NamedTuple):
    """The keys of one event, in the order in which scripts take them."""

    #: Hash: sale window, limits, and per tier what is left, held and sold.
    stock: str
    #: Hash: booking_id -> booking.
    bookings: str
    #: Hash: user_id -> places held or booked.
    persons: str
    #: Hash: hold_id -> hold; ended ones stay for a while.
    holds: str
    #: Sorted set: hold_id by expires_at_ms, live holds alone.
    deadlines: str
    #: Sorted set: hold_id by when it ended.
    ended: str
    #: Hash: the seats of each section.
    seats: str
    #: Sorted set: who waits for which tier, in order of joining.
    waitlist: str
    #: Hash: entry_id -> waitlist entry.
    entries: str
    #: Hash: ticket_id -> check-in, for tickets that were.
    tickets: str
    #: Hash: promo codes and how often each was used.
    promos: str


def tag(shard: int) -> str:
    """Return the hash tag that all keys of *shard* share."""
    return f"{{s{shard}}}"


def meta(shard: int) -> str:
    """Hash: epoch, state, seq, and what else the shard's door needs."""
    return f"{tag(shard)}:meta"


def journal(shard: int, epoch: int) -> str:
    """Stream: one record per state change of *epoch*, with ids `<seq>-1`."""
    return f"{tag(shard)}:log:{epoch}"


def attempts(shard: int) -> tuple[str, str]:
    """
    Hashes: user_id -> when all their booking attempts are back; of even windows, of odd ones.

    Only on the master, and only for as long as a window and the next.
    """
    return f"{tag(shard)}:attempts:even", f"{tag(shard)}:attempts:odd"


def due(shard: int) -> str:
    """Sorted set: event_id by when its next hold runs out, or is forgotten."""
    return f"{tag(shard)}:due"


def events(shard: int) -> str:
    """Set: ids of the events that are loaded."""
    return f"{tag(shard)}:events"


def cancelling(shard: int) -> str:
    """Set: ids of the events that are cancelled and not empty yet."""
    return f"{tag(shard)}:cancelling"


def event(shard: int, event_id: str) -> EventKeys:
    """Return the keys of one event."""
    prefix = f"{tag(shard)}:e:{event_id}"
    return EventKeys(*(f"{prefix}:{name}" for name in EventKeys._fields))
