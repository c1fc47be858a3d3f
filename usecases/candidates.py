"""
Candidates: events of another catalogue on their way to drafts, whatever file they stand in.

A reader of a format turns each row into a candidate: the members of `asked.NewEvent`, under which
name each stands in the file, and what is wrong with it. What is wrong is said by row and field. An
event that can be sold is taken: what is not needed for that (a picture, when doors open) is left
out if it is bad, and said as well.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from engine.currencies import DIGITS, amount_of
from engine.pools import parse
from store import events
from usecases.asked import NewEvent
from usecases.denials import Denied
from usecases.drafts import rows_of
from usecases.text import tidy

SOURCE_ID_CHARS_MAX = 300
TIER_NAME = "Ticket"
#: Members without which an event can be sold, and which are left out if they are bad.
_NOT_NEEDED = ("slug", "summary", "image", "image_alt", "access_notes", "languages", "doors_at")
_AT = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


class Defaults(NamedTuple):
    """What a file leaves out."""

    #: Zone of rows that name none.
    timezone: str = "UTC"
    #: Places of a tier that does not say how many it has; None: such a row is refused.
    capacity: int | None = None
    #: Of a price without one; "": such a row is refused.
    currency: str = ""
    #: All times are later by so many weeks, at the same time of day.
    weeks_later: int = 0


@dataclass(slots=True)
class Candidate:
    """One event of a file."""

    row: int
    source_id: str = ""
    #: As a request would have them, with times as such.
    members: dict[str, Any] = field(default_factory=dict)
    #: Field and what is wrong: it cannot be sold, or has lost what is not needed.
    faults: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    #: Under which names the file has the members.
    names: Mapping[str, str] = field(default_factory=dict)
    #: The row of each tier, where they have rows of their own.
    tier_rows: Sequence[int] = ()

    def print_of(self) -> str:
        """Return a digest of what the source says of the event."""
        return blake2b(msgspec.json.encode(self.members), digest_size=16).hexdigest()


class Share(NamedTuple):
    """What a tier of a file says of the pool that it is in."""

    name: str
    #: Of the pool; None if it is not said here.
    capacity: int | None


class ReadRows(NamedTuple):
    """A file that is read: how many rows it has, and what of them is an event, one by one."""

    rows: int
    candidates: Iterator[Candidate]


class Unreadable(Exception):
    """The file, or what is left of it, cannot be read."""

    def __init__(self, row: int, name: str, detail: str) -> None:
        super().__init__(f"row {row}: {name}: {detail}")
        self.row, self.name, self.detail = row, name, detail


def draft_of(
    one: Candidate, organizer_id: str, shards: Sequence[int]
) -> tuple[NewEvent, events.Draft] | None:
    """Return what a candidate asks for, and its rows; None if it cannot be sold (`faults`)."""
    while not one.faults:
        try:
            asked = tidy(msgspec.convert(one.members, NewEvent))
            draft = rows_of(asked, organizer_id, shards)
        except msgspec.ValidationError as error:
            detail, at = _parts(str(error))
            _blame(one, at, detail)
        except Denied as denied:
            pointer, detail = denied.errors[0] if denied.errors else ("", denied.detail)
            _blame(one, pointer, detail)
        else:
            event = draft.event._replace(source_id=one.source_id, source_print=one.print_of())
            return asked, draft._replace(event=event)
    return None


def _parts(message: str) -> tuple[str, str]:
    """Split what msgspec says into how a value is wrong and, as a pointer, which one."""
    match = _AT.fullmatch(message)
    assert match is not None
    at = re.sub(r"\[(\d+)\]", r"/\1", match[2] or "").replace(".", "/")
    missing = _MISSING.fullmatch(match[1])
    return ("is missing", f"{at}/{missing[1]}") if missing else (match[1], at)


def _blame(one: Candidate, pointer: str, detail: str) -> None:
    """Note a fault; a member that is not needed is left out, and that is said."""
    member, _, rest = pointer.strip("/").partition("/")
    name = named(one, pointer)
    index = rest.partition("/")[0]
    if member == "tiers" and index.isdecimal() and int(index) < len(one.tier_rows):
        detail = in_row(one, one.tier_rows[int(index)], detail)
    if member in _NOT_NEEDED and member in one.members:
        del one.members[member]
        one.notes.append((name, f"{detail}; left out"))
    else:
        one.faults.append((name, detail))


def in_row(one: Candidate, row: int, detail: str) -> str:
    """Say in which row of its event something is wrong, unless it is the first."""
    return detail if row == one.row else f"{detail}, in row {row}"


def pools_of(
    one: Candidate, shares: Sequence[Share | None], capacity: int | None
) -> list[dict[str, Any]]:
    """
    Return the pools that the tiers of an event share, in the order in which they are named.

    Args:
        shares: What each tier says, in their order; None: it shares nothing.

        capacity: Of a pool that no tier tells one of; None: such a pool is a fault.
    """
    names = list(dict.fromkeys(share.name for share in shares if share is not None))
    return [_pool(one, name, shares, capacity) for name in names]


def _pool(
    one: Candidate, name: str, shares: Sequence[Share | None], capacity: int | None
) -> dict[str, Any]:
    """Return a pool; note a fault if no tier says how large it is, or two say otherwise."""
    found: int | None = None
    tiers = []
    for index, share in enumerate(shares):
        if share is None or share.name != name:
            continue
        tiers.append(index)
        if found is not None and share.capacity not in (None, found):
            detail = f"of {name[:60]} is {share.capacity}, and {found} by a tier before"
            _blame(one, f"/tiers/{index}/pool_capacity", detail)
        found = share.capacity if found is None else found
    found = capacity if found is None else found
    if found is None:
        detail = f"is missing: how many places {name[:60]} has"
        _blame(one, f"/tiers/{tiers[0]}/pool_capacity", detail)
    if len(tiers) == 1:
        _blame(one, f"/tiers/{tiers[0]}/pool", "is named by no other tier: two at least share one")
    return {"name": name, "capacity": found, "tiers": tiers}


def named(one: Candidate, pointer: str) -> str:
    """Return how the file names what a pointer names: the longest part of it that has a name."""
    parts = [part for part in pointer.split("/") if part and not part.isdecimal()]
    while parts:
        known = one.names.get("/".join(parts))
        if known is not None:
            return known
        parts.pop()
    return pointer.strip("/")


def zone_of(one: Candidate, name: str, text: str) -> dt.tzinfo:
    """Return a time zone; UTC, and a fault, if there is none of this name."""
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        one.faults.append((name, f"is not an IANA time zone: {text[:60]}"))
        return dt.UTC


def moment_of(
    one: Candidate, name: str, text: object, zone: dt.tzinfo, weeks_later: int
) -> dt.datetime | None:
    """Return a time (ISO 8601); one without an offset is of *zone*, a date alone its midnight."""
    if text is None or text == "":
        return None
    try:
        moment = dt.datetime.fromisoformat(str(text).strip())
        moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
        return (moment + dt.timedelta(weeks=weeks_later)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        one.faults.append((name, f"is not a time: {str(text)[:60]}"))
        return None


def price_of(one: Candidate, name: str, given: object, currency: str) -> int | None:
    """Return a price in minor units; None, and a fault, if it is none."""
    digits = DIGITS.get(currency)
    if digits is None:
        what = (
            f"is no currency that prices can be in: {currency[:20]}" if currency else "is missing"
        )
        one.faults.append((one.names.get("tiers/price/currency", "currency"), what))
        return None
    try:
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise InvalidOperation
        amount = Decimal(str(given).strip()).scaleb(digits)
        if not amount.is_finite() or not 0 <= amount <= 100_000_000_000:
            raise InvalidOperation
    except InvalidOperation:
        one.faults.append((name, f"is not a price: {str(given)[:60]}"))
        return None
    if amount != amount.to_integral_value():
        one.faults.append((name, f"has more digits than {currency} has: {str(given)[:60]}"))
        return None
    return int(amount)


def shares_of(event: events.Event) -> dict[int, Share]:
    """Return the pool that each tier of an event is in, by the tier's number."""
    pools = zip(event.pool_names.split("\n"), parse(event.pools), strict=False)
    return {
        tier_no: Share(name, pool.capacity) for name, pool in pools for tier_no in pool.tier_nos
    }


def price_text(minor: int, currency: str) -> str:
    """Write a price as people and catalogues do: 15.00, or 1500 where there is no smaller coin."""
    return str(amount_of(minor, currency))


def source_id_of(given: object, *else_of: object) -> str:
    """Return an id at the source, or one that is made of what tells events apart."""
    text = str(given).strip() if isinstance(given, str | int) else ""
    if text and len(text) <= SOURCE_ID_CHARS_MAX and text.isprintable():
        return text
    parts = msgspec.json.encode([text, *map(str, else_of)] if not text else [text])
    return f"blake2b:{blake2b(parts, digest_size=16).hexdigest()}"
