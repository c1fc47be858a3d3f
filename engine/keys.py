"""
The names of all Redis keys, in one place; scripts receive them and never build one.

Every key of a shard carries the hash tag `{s<shard>}`, so that one script call may touch any of
them on Redis Cluster. docs/DATA.md tells what each key holds, who writes it and who reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: Version of the keys and of what is in them (2: decision 0011); it stands in `meta` and is
#: checked when a shard opens.
LAYOUT_VERSION = 2
#: What every key of an event has a row of, or a member, that it is never empty: one that is not
#: there is lost (`lua/lib/whole.lua`). Events of reigns that write version 1 have none.
MARK = "!"
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
    return _of_shard("meta", shard)


def journal(shard: int, epoch: int) -> str:
    """Stream: one record per state change of *epoch*, with ids `<seq>-1`."""
    return _of_shard("journal", shard, epoch)


def attempts(shard: int) -> tuple[str, str]:
    """
    Hashes: user_id -> when all their booking attempts are back; of even windows, of odd ones.

    Only on the master, and only for as long as a window and the next.
    """
    return _of_shard("attempts_even", shard), _of_shard("attempts_odd", shard)


def opened(shard: int) -> tuple[str, str]:
    """
    Hashes: event and person, or event and address -> holds that they opened; by turns, as above.

    Only on the master, and only for as long as two holds may live.
    """
    return _of_shard("opened_even", shard), _of_shard("opened_odd", shard)


def due(shard: int) -> str:
    """Sorted set: event_id by when its next hold runs out, or is forgotten."""
    return _of_shard("due", shard)


def events(shard: int) -> str:
    """Set: ids of the events that are loaded."""
    return _of_shard("events", shard)


def cancelling(shard: int) -> str:
    """Set: ids of the events that are cancelled and not empty yet."""
    return _of_shard("cancelling", shard)


def event(shard: int, event_id: str) -> EventKeys:
    """Return the keys of one event."""
    return EventKeys(*_of_event(EventKeys._fields, shard, event_id))


def hashes(names: EventKeys) -> list[str]:
    """Return those keys of an event that are hashes."""
    sets = sorted_sets(names)
    return [name for name in names if name not in sets]


def sorted_sets(names: EventKeys) -> dict[str, str]:
    """Return those that are sorted sets, each with the score of its mark: no hold's, no entry's."""
    return {names.deadlines: "+inf", names.ended: "+inf", names.waitlist: "0"}


def shut(shard: int, event_id: str) -> str:
    """Hash: the stock of an event that is being rebuilt alone, and whose rebuild it is."""
    return f"{tag(shard)}:e:{event_id}:shut"


class Layout(NamedTuple):
    """Which keys a script takes, by the names that its header has for them, in order."""

    #: Of the shard.
    before: tuple[str, ...]
    #: Of each event: fields of `EventKeys`.
    of_event: tuple[str, ...]
    #: Of the shard.
    after: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Layout:
        """Read names, with a star for all the keys of an event."""
        names = text.replace("*", " ".join(EventKeys._fields)).split()
        of_event = tuple(name for name in names if name in EventKeys._fields)
        at = names.index(of_event[0]) if of_event else len(names)
        return cls(tuple(names[:at]), of_event, tuple(names[at + len(of_event) :]))

    def names(self, shard: int, epoch: int, event_ids: Iterable[str] = ()) -> list[str]:
        """Return the names of the keys for a call about these events."""
        found = [_of_shard(name, shard, epoch) for name in self.before]
        for event_id in event_ids:
            found += _of_event(self.of_event, shard, event_id)
        return found + [_of_shard(name, shard, epoch) for name in self.after]


def _of_shard(name: str, shard: int, epoch: int = 0) -> str:
    own = f"log:{epoch}" if name == "journal" else name.replace("_", ":")
    return f"{tag(shard)}:{own}"


def _of_event(names: Iterable[str], shard: int, event_id: str) -> list[str]:
    prefix = f"{tag(shard)}:e:{event_id}:"
    return [prefix + name for name in names]
