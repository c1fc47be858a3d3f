"""
The waitlist as Redis keeps it: entries as values, and where in its list one stands.

Plain reads, all of one moment. Who waits, and who is offered what, is decided by the scripts
alone (`lua/join.lua`, `lua/lib/waitlist.lua`); I9 is theirs to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from engine.errors import EventRecovering
from engine.keys import EventKeys
from engine.reads import Ask
from engine.values import MEMBER_HEAD_CHARS, WaitEntry, member, parse_entry

#: Entries ahead whose places are added up; beyond it the sum is not told.
AHEAD_MAX = 200


class Reason(StrEnum):
    """Why an entry waits still."""

    NO_PLACE = "no_place_free"
    #: Its party needs more than is free.
    TOO_FEW = "too_few_free"
    #: Its person has an offer or a hold, and may not have these places as well.
    UNDECIDED = "undecided"
    #: A strict list waits for its head, whose party does not fit.
    BEHIND_HEAD = "behind_head"
    #: It is offered places by the next step of the list, or by the sweeper.
    NEXT = "next"


def reason_to_wait(
    *, free: int, quantity: int, is_undecided: bool, is_head: bool, policy: str
) -> Reason:
    """
    Say why a party waits still, by what its tier has free: the first reason that applies.

    Args:
        free: Places that are nobody's.

        is_undecided: Whether its person has an offer or a hold of the event.

        policy: `strict` or `skip`.
    """
    if free <= 0:
        return Reason.NO_PLACE
    if quantity > free:
        return Reason.TOO_FEW
    if is_undecided:
        return Reason.UNDECIDED
    return Reason.NEXT if is_head or policy != "strict" else Reason.BEHIND_HEAD


class Position(NamedTuple):
    """Where a waiting entry stands; 1 is the head of its tier's list."""

    position: int
    #: Places that those before it wait for; None if they are too many to add up.
    ahead_places: int | None


async def placed(
    ask: Ask, names: EventKeys, rows: Mapping[str, bytes]
) -> dict[str, tuple[WaitEntry, Position | None]]:
    """
    Return entries of one event by their rows, and the positions of those that wait.

    Raises:
        EventRecovering: what was there a moment ago is gone.
    """
    found: dict[str, tuple[WaitEntry, Position | None]] = {}
    for entry_id, row in rows.items():
        entry = parse_entry(row)
        where = await _position(ask, names, entry_id, entry)
        if where is None and entry.status == "waiting":
            # It was promoted between the two reads.
            [now] = await ask(("HGET", names.entries, entry_id))
            if now is None:
                raise EventRecovering
            entry = parse_entry(now)
        found[entry_id] = (entry, where)
    return found


async def _position(ask: Ask, names: EventKeys, entry_id: str, entry: WaitEntry) -> Position | None:
    if entry.status != "waiting":
        return None
    own, first = member(entry_id, entry), f"[{entry.tier_no:03}:"
    *_, (score, position, ahead) = await ask(
        ("MULTI",),
        ("ZSCORE", names.waitlist, own),
        ("ZLEXCOUNT", names.waitlist, first, f"[{own}"),
        ("ZRANGEBYLEX", names.waitlist, first, f"({own}", "LIMIT", 0, AHEAD_MAX),
        ("EXEC",),
    )
    if score is None:
        return None
    if position - 1 > len(ahead):
        return Position(position, None)
    places = 0
    if ahead:
        ids = [name[MEMBER_HEAD_CHARS:] for name in ahead]
        [rows] = await ask(("HMGET", names.entries, *ids))
        if None in rows:
            raise EventRecovering
        places = sum(parse_entry(row).quantity for row in rows)
    return Position(position, places)
