"""
Why somebody was promoted from a waitlist, or nobody was: the ordered story, from the journal.

Every decision of a list stands in a record, made with the change itself, so that the story is
what happened and not what a later look makes of it. Read from PostgreSQL's journal and, for what
it does not have yet, from the stream. People are named by their entries alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.hindsight import at_text
from engine.ids import entry_of_offer
from engine.pools import Pool, parse
from engine.records import (
    Amended,
    Booked,
    Cancelled,
    CapacitySet,
    Confirmed,
    Expired,
    Held,
    Item,
    Joined,
    Left,
    Offered,
    Published,
    Record,
    Released,
    Stalled,
)
from engine.waitlist import Reason, reason_to_wait
from reconciler.servers import Servers
from reconciler.tell.explain import records
from store import audit
from store.waitlist import OFFER_PREFIX

_Tell = Callable[..., None]


_WHY = {
    "owner": "by its owner",
    "limit": "since its owner has as many places as one may have",
    "too_large": "since the tier can never have so many places free",
    "event_cancelled": "since the event was called off",
}


class Line(NamedTuple):
    """One step of the story."""

    epoch: int
    seq: int
    at_ms: int
    tier_no: int
    #: Entries that the step is about.
    entries: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        """Write the step as people read it."""
        return f"{at_text(self.at_ms)}  {self.epoch}:{self.seq}  tier {self.tier_no}  {self.text}"


class _Waiting(NamedTuple):
    join_no: str
    quantity: int
    at_ms: int
    user_id: str


class WaitlistStory:
    """Follows the records of one event and tells what its lists did, and why."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._capacities: Counter[int] = Counter()
        self._taken: Counter[int] = Counter()
        self._pools: list[Pool] = []
        self._lists: dict[int, dict[str, _Waiting]] = defaultdict(dict)
        self._status: dict[str, tuple[str, int]] = {}
        self._policy, self._patience_ms = "strict", 0
        self._stalled: dict[str, int] = {}
        #: Who has which live hold or offer.
        self._undecided: dict[str, str] = {}

    def follow(self, epoch: int, seq: int, record: Record) -> None:
        """Take the next record of the event."""

        def tell(tier_no: int, text: str, *entries: str) -> None:
            self.lines.append(Line(epoch, seq, record.at_ms, tier_no, entries, text))

        if isinstance(record, Held | Offered):
            self._undecided[record.hold_id] = record.user_id
        elif isinstance(record, Confirmed | Released | Expired):
            self._undecided.pop(record.hold_id, None)
        match record:
            case Published():
                self._capacities = Counter({one.tier_no: one.capacity for one in record.tiers})
                self._pools = parse(record.rules.pools)
            case CapacitySet() | Amended():
                for one in record.tiers:
                    self._capacities[one.tier_no] = one.capacity
                self._pools = parse(record.pools) or self._pools
            case Booked() | Held():
                self._move(record.items, -1)
            case Confirmed():
                if record.was_expired:
                    self._move(record.items, -1)
                self._end(record.hold_id, "accepted", record.items[0].tier_no, tell)
            case Released() | Expired() | Cancelled():
                self._return(record, tell)
            case Joined():
                self._join(record, tell)
            case Stalled():
                self._stalled[record.entry_id] = record.at_ms
                tell(
                    record.tier_no,
                    f"{record.entry_id} heads the list and needs "
                    f"{_places(record.quantity)}, {record.available} free: the list waits for it "
                    f"(policy strict), at most {self._patience_ms / 1000:g} s",
                    record.entry_id,
                )
            case Offered():
                self._offer(record, tell)
            case Left():
                self._lists[record.tier_no].pop(record.entry_id, None)
                status = "left" if record.why == "owner" else record.why
                self._status[record.entry_id] = (status, record.tier_no)
                text = f"{record.entry_id} left the list {_WHY[record.why]}"
                tell(record.tier_no, text, record.entry_id)
            case _:
                pass

    def is_waiting(self, entry_id: str) -> bool:
        """Tell whether an entry waits still."""
        return self._status.get(entry_id, ("", 0))[0] == "waiting"

    def verdict(self, entry_id: str | None) -> list[str]:
        """Say why those who wait, or the one entry, were not promoted."""
        if entry_id is not None:
            status, tier_no = self._status.get(entry_id, ("unknown to the journal", 0))
            if status != "waiting":
                return [f"{entry_id} is {status}."]
            return [self._why(entry_id, tier_no)]
        told = []
        for tier_no, waiting in sorted(self._lists.items()):
            if waiting:
                head = min(waiting, key=lambda key: waiting[key].join_no)
                told.append(
                    f"Tier {tier_no}: {len(waiting)} wait, {self._left(tier_no)} free. "
                    + self._why(head, tier_no)
                )
        return told or ["Nobody waits."]

    def _why(self, entry_id: str, tier_no: int) -> str:
        waiting, free = self._lists[tier_no], self._left(tier_no)
        own = waiting[entry_id]
        ahead = sorted(one.join_no for one in waiting.values() if one.join_no < own.join_no)
        start = f"{entry_id} is number {len(ahead) + 1} and waits: "
        reason = reason_to_wait(
            free=free,
            quantity=own.quantity,
            is_undecided=own.user_id in self._undecided.values(),
            is_head=not ahead,
            policy=self._policy,
        )
        if reason is Reason.NO_PLACE:
            return start + "no place is free."
        if reason is Reason.TOO_FEW:
            until = self._stalled.get(entry_id)
            patience = (
                ""
                if until is None
                else (
                    f"; it may be passed {self._patience_ms / 1000:g} s after it stopped the list"
                )
            )
            return start + f"it needs {_places(own.quantity)}, {free} free{patience}."
        if reason is Reason.UNDECIDED:
            return start + "its owner has an offer or a hold that is not decided."
        if reason is Reason.BEHIND_HEAD:
            head = min(waiting, key=lambda key: waiting[key].join_no)
            return start + (
                f"the head {head} needs {_places(waiting[head].quantity)}, {free} free, and under "
                "strict nobody passes it before its patience has run out."
            )
        return start + f"{free} free; the next step of the list or the sweeper offers them."

    def _join(self, record: Joined, tell: _Tell) -> None:
        self._policy, self._patience_ms = record.policy, record.patience_ms
        waiting = self._lists[record.tier_no]
        place = 1 + sum(one.join_no < record.join_no for one in waiting.values())
        waiting[record.entry_id] = _Waiting(
            record.join_no, record.quantity, record.at_ms, record.user_id
        )
        self._status[record.entry_id] = ("waiting", record.tier_no)
        what = "lost" if record.after_hold.startswith("bk_") else "expired"
        first = f", first after the {what} {record.after_hold}" if record.after_hold else ""
        tell(
            record.tier_no,
            f"{record.entry_id} joined for {_places(record.quantity)} as number "
            f"{place}{first} (policy {record.policy})",
            record.entry_id,
        )

    def _offer(self, record: Offered, tell: _Tell) -> None:
        tier_no, quantity = record.items[0].tier_no, record.items[0].quantity
        self._lists[tier_no].pop(record.entry_id, None)
        self._status[record.entry_id] = ("offered", tier_no)
        free = self._left(tier_no)
        self._move(record.items, -1)
        if not record.passed:
            why = "it headed the list"
        elif record.reason == "skip":
            why = f"it passed {', '.join(record.passed)}, who need more (policy skip)"
        else:
            why = f"it passed {', '.join(record.passed)}, whose patience had run out"
        if record.limited:
            why += (
                f"; {', '.join(record.limited)} may have no more places unless they let go of an "
                "offer or a hold, and keep their place"
            )
        cause = f"freed by record {record.cause_seq}" if record.cause_seq else "free since earlier"
        text = f"{record.entry_id} was offered {_places(quantity)} of {free} ({cause}): {why}"
        tell(tier_no, text, record.entry_id, *record.passed, *record.limited)

    def _return(self, record: Released | Expired | Cancelled, tell: _Tell) -> None:
        self._move(record.items, 1)
        if isinstance(record, Cancelled):
            source, how = record.booking_id, "was cancelled"
        else:
            source = record.hold_id
            how, status = "ran out", "expired"
            if isinstance(record, Released):
                how = "ended with the event" if record.reason else "was given back"
                status = record.reason or "declined"
            self._end(record.hold_id, status, record.items[0].tier_no, None)
        entry = (entry_of_offer(source),) if source.startswith(OFFER_PREFIX) else ()
        for item in record.items:
            if self._lists[item.tier_no] or entry:
                tell(
                    item.tier_no,
                    f"{source} {how}: {_places(item.quantity)} returned, "
                    f"{self._left(item.tier_no)} free",
                    *entry,
                )

    def _end(self, hold_id: str, status: str, tier_no: int, tell: _Tell | None) -> None:
        if hold_id.startswith(OFFER_PREFIX):
            entry = entry_of_offer(hold_id)
            self._status[entry] = (status, tier_no)
            if tell is not None:
                tell(tier_no, f"{entry} accepted its offer", entry)

    def _move(self, items: Iterable[Item], sign: int) -> None:
        for item in items:
            self._taken[item.tier_no] -= sign * item.quantity

    def _left(self, tier_no: int) -> int:
        """Return what can be had of a tier: what is free of it, and no more than of its pool."""
        free = self._capacities[tier_no] - self._taken[tier_no]
        return min(
            [free, *(one.left(self._taken) for one in self._pools if tier_no in one.tier_nos)]
        )


async def explain_waitlist(
    servers: Servers, event_id: str, entry_id: str | None = None
) -> list[str]:
    """
    Return the story of an event's waitlist, or of one entry of it, and the verdict at its end.

    Cost: reads the journal of the event's shard once.

    Raises:
        LookupError: there is no such event.
    """
    async with servers.database() as database:
        row = (await audit.event_rows(database, [event_id])).get(event_id)
    if row is None:
        raise LookupError(f"no such event: {event_id}")
    story = WaitlistStory()
    async for epoch, seq, record in records(servers, row.shard):
        if record.event_id == event_id:
            story.follow(epoch, seq, record)
    lines = [line for line in story.lines if entry_id is None or _concerns(line, entry_id, story)]
    return [*map(str, lines), *story.verdict(entry_id)]


def _concerns(line: Line, entry_id: str, story: WaitlistStory) -> bool:
    """Tell whether a step is part of one entry's story: its own, and its list's since it joined."""
    own = next((one for one in story.lines if entry_id in one.entries), None)
    if own is None or line.tier_no != own.tier_no:
        return False
    last = max((one.epoch, one.seq) for one in story.lines if entry_id in one.entries)
    place = (line.epoch, line.seq)
    return (own.epoch, own.seq) <= place and (story.is_waiting(entry_id) or place <= last)


def _places(count: int) -> str:
    return f"{count} place" if count == 1 else f"{count} places"
