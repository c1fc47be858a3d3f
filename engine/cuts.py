"""
Cuts: places that a booking gave up while keeping others, and with them which of its tickets went.

Redis keeps them behind a booking's items, PostgreSQL in `bookings.cuts`, as one text: the items
that the booking was made with, then each cut, `epoch-seq-at_ms-items#tickets`, between slashes and
with `x` for `:`. The tickets are numbers joined by `+`, in the order of the first items. A cut that
a record of version 1 tells of has none: it took the last tickets of each tier. The scripts read and
write the same (`lua/lib/bookings.lua`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

#: What stands before the tickets that a cut names.
NAMES = "#"

_SEATS = r"(xs\d+-\d+(\+s\d+-\d+)*)?"
_LINES = r"\d+x\d+x\d+(,\d+x\d+x\d+)*"
#: The whole text, if there is a cut.
CUTS = re.compile(
    rf"\d+x\d+x\d+{_SEATS}(,\d+x\d+x\d+{_SEATS})*(/\d+-\d+-\d+-{_LINES}(#\d+(\+\d+)*)?)+"
)


class Cut(NamedTuple):
    """Places that a booking lost."""

    epoch: int
    seq: int
    at_ms: int
    #: `tier_no:quantity:price_minor[:seat+seat],...`
    items: str
    #: Numbers of the tickets that went.
    tickets: tuple[int, ...]
    #: Whether the record names them, or they follow from how many went.
    is_named: bool

    @property
    def named(self) -> tuple[int, ...]:
        """The tickets that the record names."""
        return self.tickets if self.is_named else ()


class _Ticket(NamedTuple):
    tier_no: str
    price: str
    seat_id: str


def split_cuts(cuts: str) -> tuple[str, list[Cut]]:
    """Read cuts: the first items, and the cuts in order."""
    first, *rest = cuts.replace("x", ":").split("/")
    tickets, gone = _tickets(first), set[int]()
    found = []
    for text in rest:
        place, _, names = text.partition(NAMES)
        epoch, seq, at_ms, items = place.split("-")
        numbers = tuple(map(int, names.split("+"))) if names else _last(tickets, items, gone)
        gone.update(numbers)
        told = ",".join(_with_seats(line, tickets, numbers) for line in items.split(","))
        found.append(Cut(int(epoch), int(seq), int(at_ms), told, numbers, bool(names)))
    return first, found


def join_cuts(first: str, cuts: Sequence[Cut]) -> str | None:
    """Write what `split_cuts` reads; None if there is no cut."""
    if not cuts:
        return None
    return "/".join([first, *map(_cut_text, cuts)]).replace(":", "x")


def items_left(first: str, cuts: Sequence[Cut]) -> str:
    """Return the items that are left of *first* after *cuts*."""
    gone = {number for cut in cuts for number in cut.tickets}
    return _items(first, lambda number: number not in gone)


def tickets_gone(cuts: str | None) -> frozenset[int]:
    """Return the numbers of the tickets that a booking has lost by its cuts."""
    if not cuts:
        return frozenset()
    return frozenset(number for cut in split_cuts(cuts)[1] for number in cut.tickets)


def _tickets(items: str) -> list[_Ticket]:
    """Return the tickets of items, in their order: the first is number 1."""
    found = []
    for line in filter(None, items.split(",")):
        tier_no, quantity, price, *seats = line.split(":")
        seat_ids = seats[0].split("+") if seats else [""] * int(quantity)
        found += [_Ticket(tier_no, price, seat_id) for seat_id in seat_ids]
    return found


def _last(tickets: Sequence[_Ticket], items: str, gone: set[int]) -> tuple[int, ...]:
    """Return the tickets that a cut took which names none: of each tier the last ones."""
    numbers: list[int] = []
    for line in items.split(","):
        tier_no, quantity, _ = line.split(":")
        own = [n for n, one in enumerate(tickets, 1) if one.tier_no == tier_no and n not in gone]
        numbers += own[max(0, len(own) - int(quantity)) :]
    return tuple(sorted(numbers))


def _with_seats(line: str, tickets: Sequence[_Ticket], numbers: Iterable[int]) -> str:
    tier_no = line.partition(":")[0]
    own = (tickets[n - 1] for n in numbers if 0 < n <= len(tickets))
    seats = [one.seat_id for one in own if one.tier_no == tier_no and one.seat_id]
    return f"{line}:{'+'.join(seats)}" if seats else line


def _items(first: str, has: Callable[[int], bool]) -> str:
    """Write those tickets of the first items as items, of which *has* says that they are in."""
    lines: dict[str, list[_Ticket]] = {}
    for number, ticket in enumerate(_tickets(first), start=1):
        if has(number):
            lines.setdefault(ticket.tier_no, []).append(ticket)
    texts = []
    for tier_no, own in lines.items():
        seats = "+".join(filter(None, (ticket.seat_id for ticket in own)))
        texts.append(f"{tier_no}:{len(own)}:{own[0].price}" + (f":{seats}" if seats else ""))
    return ",".join(texts)


def _cut_text(cut: Cut) -> str:
    lines = (":".join(line.split(":")[:3]) for line in cut.items.split(","))
    names = NAMES + "+".join(map(str, cut.tickets)) if cut.is_named else ""
    return f"{cut.epoch}-{cut.seq}-{cut.at_ms}-{','.join(lines)}{names}"
