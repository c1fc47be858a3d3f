"""
Script calls: the words that a batch of commands travels as, and a reply for each of them.

Most commands are rows of words. Orders are columns: what many of them share travels once, which is
what they ask for, by kind, and in the reply epoch, time and items, where all of a batch were
plainly booked. Redis is one thread that pays for every word; the lines that the journal then gets
are put together here for the same reason (docs/decisions/0011-one-check-per-entry.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.commands import Batched, Order, Row
from engine.ids import promo_of

#: How a reply begins that tells of all orders at once.
_ALL = b"ALL "
#: The byte of the first kind.
_FIRST_KIND = 48
_NO_DETAIL = b"{}"


class Limit(NamedTuple):
    """How many bookings a person may try within a while: a bucket that fills at a steady rate."""

    #: 1.. at most `window_ms`.
    attempts_max: int
    #: Time in which an empty bucket is full again, in ms; at most a day.
    window_ms: int


def call_of(commands: Sequence[Batched], limit: Limit | None = None) -> OrderCall | RowCall:
    """
    Make the call of a batch of commands of one verb, at most 128.

    Args:
        limit: Of `book`; None for no limit, and for all other verbs.
    """
    if isinstance(commands[0], Order):
        return OrderCall(commands, limit)  # type: ignore[arg-type]  # All are, as the first is.
    return RowCall(commands)  # type: ignore[arg-type]


class RowCall:
    """What a script is called with whose commands are rows of words."""

    __slots__ = ("events", "words")

    def __init__(self, commands: Sequence[Row]) -> None:
        """Put the words of the commands together."""
        numbers: dict[str, int] = {}
        #: The words that follow the events' ids.
        self.words: list[Any] = []
        for command in commands:
            self.words.append(numbers.setdefault(command.event_id, len(numbers) + 1))
            self.words += command.words()
        #: The events' ids, in the order in which the words count them.
        self.events = list(numbers)

    def replies(self, reply: Any) -> Sequence[Any]:
        """Return a reply for each command, in order: the script's are that already."""
        return reply  # type: ignore[no-any-return]


class OrderCall:
    """What `book` and `hold` are called with."""

    __slots__ = ("_kind_of", "events", "words")

    def __init__(self, orders: Sequence[Order], limit: Limit | None) -> None:
        """Put the words of the orders together."""
        numbers: dict[str, int] = {}
        kinds: dict[tuple[Any, ...], int] = {}
        asked: list[str] = []
        kind_of: list[int] = []
        for event_id, _, _, fingerprint, _, lines, ttl_ms in orders:
            key = event_id, lines, ttl_ms, promo_of(fingerprint)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = len(kinds)
                number = numbers.setdefault(event_id, len(numbers) + 1)
                told = ";".join(":".join(map(str, line)) for line in lines)
                asked.append(f"{number} {ttl_ms} ~{key[3]} {told}")
            kind_of.append(kind)
        attempts_max, window_ms = limit or (0, 0)
        details = [order.detail for order in orders]
        if all(detail == _NO_DETAIL for detail in details):
            details = []
        #: The events' ids, in the order in which the words count them.
        self.events = list(numbers)
        #: The words that follow those ids.
        self.words: list[Any] = [
            f"{len(orders)} {len(asked)} {4 if details else 3} {attempts_max} {window_ms}",
            bytes([_FIRST_KIND + kind for kind in kind_of]),
            *asked,
            *[order.id for order in orders],
            *[order.user_id for order in orders],
            *[order.fingerprint for order in orders],
            *details,
            "" if orders[0].ttl_ms else _lines(orders, kind_of, details),
        ]
        self._kind_of = kind_of

    def replies(self, reply: Any) -> Sequence[Any]:
        """Return a reply for each order, in order: its words, or its line."""
        if not isinstance(reply, bytes):
            return reply  # type: ignore[no-any-return]  # Of `hold`: an array already.
        if not reply.startswith(_ALL):
            return reply.split(b"\n")
        _, booked, epoch, last_seq, at_ms, *items = reply.split(b" ")
        first_seq = int(last_seq) - len(self._kind_of) + 1
        return [
            [booked, epoch, b"%d" % seq, at_ms, items[kind]]
            for seq, kind in enumerate(self._kind_of, start=first_seq)
        ]


def _lines(orders: Sequence[Order], kind_of: list[int], details: list[bytes]) -> str:
    """Return the journal's lines of orders that are all booked (`engine.framing`)."""
    if not details:
        return "\n".join(
            [
                f"{kind}\t{order.id}\t{order.user_id}\t{order.fingerprint}"
                for kind, order in zip(kind_of, orders, strict=True)
            ]
        )
    templates: dict[tuple[int, bool], int] = {}
    lines = []
    for kind, order in zip(kind_of, orders, strict=True):
        has_detail = order.detail != _NO_DETAIL
        number = templates.setdefault((kind, has_detail), len(templates))
        end = f"\t{order.detail.decode()}" if has_detail else ""
        lines.append(f"{number}\t{order.id}\t{order.user_id}\t{order.fingerprint}{end}")
    return "\n".join(lines)
