"""
The verbs of selling: one row for each, with all that differs between them.

A verb is a script (`lua/<name>.lua`) and what is said here: what it takes and replies, in which
form it travels, who bears witness to it, and what becomes of it when memory is short. Shards,
calls, rights, documents and tests read this table; tests/engine/test_verbs.py holds it against the
scripts' headers (CONTRIBUTING.md, "Add a verb").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from engine import commands, outcomes
from engine.commands import OfEvent, Order, Own, ShiftSeats
from engine.keys import Layout
from engine.outcomes import applied, booked, refused

Command = TypeVar("Command")
Outcome = TypeVar("Outcome")

#: Keys: of most scripts three of the shard's, and all of each event's.
_MOST = Layout.of("meta journal due *")
_BOOK = Layout.of("meta journal due attempts_even attempts_odd *")
_HOLD = Layout.of("meta journal due attempts_even attempts_odd opened_even opened_odd *")
_CANCEL_EVENT = Layout.of("meta journal due * cancelling")
_PUBLISH = Layout.of("meta journal events *")
_SEAT = Layout.of("meta stock seats")
_SEATS = Layout.of("meta seats stock promos")
_STOCK = Layout.of("meta stock promos holds deadlines")
_DOOR = Layout.of("meta journal")


@dataclass(frozen=True, eq=False)
class Verb(Generic[Command, Outcome]):
    """One thing that can be asked of a shard."""

    #: Of its script, and of the method of `Engine`.
    name: str
    takes: type[Command]
    #: Turns one reply of the script into a value.
    read: Callable[[Any], Outcome]
    #: What the script replies when it has done it in this very call; one word, or several.
    made: str
    #: Which word of such a reply is the seq of the shard's last record; 0 if none is.
    seq_at: int = 2
    #: The keys that the script takes.
    keys: Layout = _MOST
    #: How commands travel: alone, or in batches of one of the other forms (`engine.calls`).
    form: Literal["orders", "rows", "reads", "alone"] = "rows"
    #: What a worker bears witness to until PostgreSQL has it: bookings, which a repeated reply
    #: tells of as well; or what this call alone has changed, be it holds, whose records follow from
    #: the orders, or changes, whose replies end with their records (`engine.batches`).
    witness: Literal["bookings", "holds", "changes"] | None = None
    #: Whether it is limited how often a person may try (`engine.calls.Limit`).
    is_limited: bool = False
    #: What Redis does with the script while its memory is full: it refuses it before it starts,
    #: or lets it run, because it gives places back or only reads (F16).
    memory: Literal["refused", "allowed", "read"] = "refused"
    #: Whether the script refuses while too many records wait for PostgreSQL.
    is_held_back: bool = True
    #: Who calls it: roles of `engine.acl`.
    roles: str = "api"

    @cached_property
    def made_words(self) -> frozenset[bytes]:
        """The words of `made`, as Redis replies them."""
        return frozenset(self.made.encode().split())


BOOK = Verb(
    "book", Order, booked, "BOOKED", 2, _BOOK, "orders", witness="bookings", is_limited=True
)
HOLD = Verb(
    "hold", Order, outcomes.held, "HELD", 2, _HOLD, "orders", witness="holds", is_limited=True
)
CONFIRM = Verb("confirm", Own, booked, "CONFIRMED", witness="bookings")
RELEASE = Verb("release", Own, applied, "RELEASED", memory="allowed", witness="changes")
EXTEND = Verb("extend", commands.Extend, outcomes.extended, "EXTENDED", witness="changes")
CANCEL = Verb("cancel", Own, applied, "CANCELLED", memory="allowed", witness="changes")
CANCEL_ITEM = Verb(
    "cancel_item",
    commands.CancelItem,
    applied,
    "CANCELLED ITEM_CANCELLED",
    memory="allowed",
    witness="changes",
)
JOIN = Verb("join", commands.Join, applied, "JOINED", 2, _BOOK, witness="changes", is_limited=True)
LEAVE = Verb("leave", Own, applied, "LEFT", memory="allowed", witness="changes")
CHECKIN = Verb(
    "checkin", commands.Scan, outcomes.scanned, "CHECKED_IN SCAN_REFUSED", witness="changes"
)
UNDO_CHECKIN = Verb("undo_checkin", commands.Scan, applied, "CHECK_IN_UNDONE", witness="changes")
TRANSFER = Verb("transfer", commands.Transfer, applied, "TRANSFERRED", witness="changes")
CLOSE = Verb("close", OfEvent, applied, "CLOSED", memory="allowed", witness="changes")
REOPEN = Verb("reopen", commands.Reopen, applied, "REOPENED", witness="changes")
SET_CAPACITY = Verb(
    "set_capacity", commands.SetCapacity, applied, "CAPACITY_SET", witness="changes"
)
AMEND = Verb("amend", commands.Amend, applied, "AMENDED", form="alone", witness="changes")
BLOCK = Verb("block", ShiftSeats, applied, "BLOCKED", form="alone", witness="changes")
UNBLOCK = Verb("unblock", ShiftSeats, applied, "UNBLOCKED", form="alone", witness="changes")
PUBLISH = Verb(
    "publish",
    commands.Publish,
    applied,
    "PUBLISHED",
    2,
    _PUBLISH,
    "alone",
    witness="changes",
    is_held_back=False,
)
SEAT = Verb("seat", commands.Seat, refused, "SEATED", 0, _SEAT, "alone", is_held_back=False)
CANCEL_EVENT = Verb(
    "cancel_event",
    OfEvent,
    applied,
    "CANCELLED",
    2,
    _CANCEL_EVENT,
    "alone",
    witness="changes",
    memory="allowed",
)
EMPTY_EVENT = Verb(
    "empty_event",
    commands.EmptyEvent,
    outcomes.emptied,
    "EMPTIED",
    0,
    _CANCEL_EVENT,
    "alone",
    memory="allowed",
    is_held_back=False,
    roles="sweeper",
)
EXPIRE = Verb(
    "expire",
    commands.Expire,
    outcomes.swept,
    "SWEPT",
    0,
    _MOST,
    "alone",
    memory="allowed",
    is_held_back=False,
    roles="sweeper",
)
SEATS = Verb(
    "seats",
    commands.ReadSeats,
    outcomes.seat_map,
    "SEATS SEATS_CHANGED",
    0,
    _SEATS,
    "alone",
    memory="read",
    is_held_back=False,
)
AVAILABILITY = Verb(
    "availability",
    commands.ReadStock,
    outcomes.availability,
    "STOCK",
    1,
    _STOCK,
    "reads",
    memory="read",
    is_held_back=False,
    roles="api sweeper",
)
WAITMARK = Verb(
    "waitmark", tuple, refused, "MARKED", 0, _DOOR, "alone", is_held_back=False, roles="api sweeper"
)
PERSISTED = Verb(
    "persisted",
    tuple,
    refused,
    "PERSISTED",
    1,
    _DOOR,
    "alone",
    memory="allowed",
    is_held_back=False,
    roles="persister",
)

#: Every verb by its name.
VERBS = {verb.name: verb for verb in list(vars().values()) if isinstance(verb, Verb)}
#: Called with no command it changes nothing that counts: it tells whether a shard's Redis takes
#: writes in this reign.
WRITE_PROBE = WAITMARK
