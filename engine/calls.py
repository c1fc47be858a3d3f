"""
Script calls: the words that commands of one verb travel as, and what the script's reply means.

Most commands are rows of words. Orders are columns: what many of them share travels once, which is
what they ask for, by kind, and in the reply epoch, time and items, where all of a batch were
plainly booked. Redis is one thread that pays for every word; the lines that the journal then gets
are put together here for the same reason (docs/decisions/0011-one-check-per-entry.md).

A call reads its own reply, once: into an outcome for each command, the last record that the reply
tells of, and, of a witnessed verb, the batch that has landed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from engine.batches import Batch, Told
from engine.commands import Order
from engine.errors import EngineError
from engine.ids import promo_of
from engine.outcomes import Booked, Refused, now, refused
from engine.records import Item
from engine.values import item_rows, parse_live_items
from engine.verbs import Verb

#: How a reply begins that tells of all orders at once.
_ALL = b"ALL "
#: How the line of an order begins that was not refused.
_TOLD = (b"BOOKED ", b"REPLAYED ")
#: The byte of the first kind.
_FIRST_KIND = 48
_NO_DETAIL = b"{}"


class Limit(NamedTuple):
    """How often a person may try to take places: a bucket that fills at a steady rate."""

    #: 1.. at most `window_ms`.
    attempts_max: int
    #: Time in which an empty bucket is full again, in ms; at most a day.
    window_ms: int


class Bounds(NamedTuple):
    """What bounds the holds of an event, beside its own limits."""

    #: Holds that one person, and one address, may have open; 0 for as many as they like.
    person_max: int
    address_max: int
    #: Longest life of a hold, in ms.
    life_max_ms: int
    #: Share of a tier's places, in percent, below which holds are shorter; 0 for never.
    scarce_percent: int
    #: How short they may get, in ms.
    ttl_min_ms: int

    def word(self, orders: Sequence[Order]) -> str:
        """Write them as `hold` takes them, with where each order comes from."""
        return " ".join([*map(str, self), *(order.origin or "-" for order in orders)])


class Reading(NamedTuple):
    """What a script's reply means."""

    #: One for each command, in order; an exception for a reply that nobody can read.
    outcomes: Sequence[Any]
    #: The last record that the script says it has made, or has counted; 0 if it says none.
    last_seq: int = 0
    #: What a worker bears witness to; None if all were refused, or the verb has no witness.
    batch: Batch | None = None


class Call:
    """What a script is called with whose commands are rows of words, one after the other."""

    def __init__(
        self,
        verb: Verb[Any, Any],
        shard: int,
        epoch: int,
        commands: Sequence[Any],
        limit: Limit | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Put keys and words of the commands together; see `call_of`."""
        self._limit = limit if verb.is_limited else None
        self._bounds = bounds
        self.verb = verb
        self.shard = shard
        self.epoch = epoch
        self.commands = commands
        #: The words that follow the epoch.
        self.words: list[Any] = []
        event_ids = self._put(commands)
        #: The names of the keys.
        self.keys = verb.keys.names(shard, epoch, event_ids)

    def _put(self, commands: Sequence[Any]) -> Sequence[str]:
        """Fill `words`; return the ids of the events, in the order in which the keys follow."""
        numbers: dict[str, int] = {}
        words: list[Any] = []
        for command in commands:
            words.append(numbers.setdefault(command.event_id, len(numbers) + 1))
            words += _words(command)
            if self.verb.is_limited:
                words += self._limit or (0, 0)
        self.words = [*numbers, *words]
        return list(numbers)

    def read(self, reply: Any) -> Reading:
        """Read the script's reply to this call."""
        outcomes = [_outcome(self.verb, row) for row in reply]
        batch = self._landed(reply, outcomes) if self.verb.witness else None
        return Reading(outcomes, self._last_seq(reply), batch)

    def _last_seq(self, rows: Sequence[Any]) -> int:
        made, seq_at = self.verb.made_words, self.verb.seq_at
        if seq_at:
            for row in reversed(rows):
                if row[0] in made:
                    return int(row[seq_at])
        return 0

    def _landed(self, rows: Sequence[list[Any]], outcomes: list[Any]) -> Batch | None:
        """Make the batch; bookings are told which one they are of."""
        batch = Batch(self.shard, self.epoch, [])
        witness = self.verb.witness
        has_bookings = witness == "bookings"
        for number, (command, row) in enumerate(zip(self.commands, rows, strict=True)):
            is_made = row[0] in self.verb.made_words
            if not is_made and not (has_bookings and row[0] == b"REPLAYED"):
                continue
            place = int(row[1]), int(row[2]), int(row[3])
            if has_bookings:
                more = [word.decode() for word in row[4:]]
                # Of a booking that has changed since, a replay tells more; a witness needs no more.
                known = more if is_made else more[:2]
                batch.told.append(Told(command, is_made, *place, item_rows(more[0]), *known[1:]))
                outcomes[number] = outcomes[number]._replace(batch=batch)
            elif witness == "holds":
                batch.told.append(
                    Told(command, True, *place, item_rows(row[4].decode()), record=str(row[5]))
                )
            else:  # The record is the last word, a line each where the command made several.
                epoch, last_seq, at_ms = place
                lines = row[-1].decode().split("\n")
                for seq, line in enumerate(lines, start=last_seq - len(lines) + 1):
                    batch.told.append(Told(command, True, epoch, seq, at_ms, record=line))
        return batch if batch.told else None


class LoneCall(Call):
    """What a script is called with that takes one command, or none at all."""

    def _put(self, commands: Sequence[Any]) -> Sequence[str]:
        # Who journals names the event in the record; to others its keys are enough.
        names_event = "journal" in self.verb.keys.before
        for command in commands:
            self.words = [*command[: int(names_event)], *_words(command)]
        return [command.event_id for command in commands]

    def read(self, reply: Any) -> Reading:
        """Read the script's reply: there is one."""
        return super().read([reply])


class ReadCall(Call):
    """What `availability` is called with: each question once, however many ask it."""

    def _put(self, commands: Sequence[Any]) -> Sequence[str]:
        self._numbers = {asked: number for number, asked in enumerate(dict.fromkeys(commands))}
        self.words = [code for _, code in self._numbers]
        return [event_id for event_id, _ in self._numbers]

    def read(self, reply: Any) -> Reading:
        """Read the script's reply: one for each question, which all who ask it share."""
        reading = super().read(reply)
        told = [reading.outcomes[self._numbers[asked]] for asked in self.commands]
        return reading._replace(outcomes=told)


class OrderCall(Call):
    """What `book` and `hold` are called with."""

    def _put(self, commands: Sequence[Any]) -> Sequence[str]:
        numbers: dict[str, int] = {}
        kinds: dict[tuple[Any, ...], int] = {}
        asked: list[str] = []
        kind_of: list[int] = []
        for event_id, _, _, fingerprint, _, lines, ttl_ms, _ in commands:
            key = event_id, lines, ttl_ms, promo_of(fingerprint)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = len(kinds)
                number = numbers.setdefault(event_id, len(numbers) + 1)
                told = ";".join(":".join(map(str, line)) for line in lines)
                asked.append(f"{number} {ttl_ms} ~{key[3]} {told}")
            kind_of.append(kind)
        attempts_max, window_ms = self._limit or (0, 0)
        details = [order.detail for order in commands]
        if all(detail == _NO_DETAIL for detail in details):
            details = []
        self.words = [
            *numbers,
            f"{len(commands)} {len(asked)} {4 if details else 3} {attempts_max} {window_ms}",
            bytes([_FIRST_KIND + kind for kind in kind_of]),
            *asked,
            *[order.id for order in commands],
            *[order.user_id for order in commands],
            *[order.fingerprint for order in commands],
            *details,
            self._last_word(commands, kind_of, details),
        ]
        self._kind_of = kind_of
        return list(numbers)

    def _last_word(self, orders: Sequence[Order], kind_of: list[int], details: list[bytes]) -> str:
        """Return the journal's lines of bookings, and the bounds of holds."""
        if not orders[0].ttl_ms:
            return _lines(orders, kind_of, details)
        return self._bounds.word(orders) if self._bounds is not None else ""

    def read(self, reply: Any) -> Reading:
        """Read the script's reply: of `hold` rows, of `book` a line an order, or one for all."""
        if not isinstance(reply, bytes):
            return super().read(reply)
        batch = Batch(self.shard, self.epoch, [])
        if reply.startswith(_ALL):
            return self._read_all(reply, batch)
        outcomes: list[Any] = []
        last_seq = 0
        for order, line in zip(self.commands, reply.split(b"\n"), strict=True):
            if not line.startswith(_TOLD):
                outcomes.append(_refused_line(line))
                continue
            status, epoch, seq, at_ms, text, *changed = line.split(b" ")
            is_made, (items, rows) = status != b"REPLAYED", _items(text)
            place = int(epoch), int(seq), int(at_ms)
            batch.told.append(Told(order, is_made, *place, rows))
            outcomes.append(now(Booked(*place, not is_made, items, batch), changed))
            if is_made:
                last_seq = place[1]
        return Reading(outcomes, last_seq, batch if batch.told else None)

    def _read_all(self, reply: bytes, batch: Batch) -> Reading:
        """Read what is said of all orders at once: the last one's place, and each kind's items."""
        _, _, *place, texts = reply.split(b" ", 5)
        epoch, last_seq, at_ms = map(int, place)
        kinds = [_items(text) for text in texts.split(b" ")]
        told, outcomes = batch.told, []
        seq = last_seq - len(self.commands)
        for order, kind in zip(self.commands, self._kind_of, strict=True):
            seq += 1
            items, rows = kinds[kind]
            told.append(Told(order, True, epoch, seq, at_ms, rows))
            outcomes.append(Booked(epoch, seq, at_ms, False, items, batch))
        return Reading(outcomes, last_seq, batch)


_FORMS = {"alone": LoneCall, "orders": OrderCall, "reads": ReadCall, "rows": Call}


def call_of(
    verb: Verb[Any, Any],
    shard: int,
    epoch: int,
    commands: Sequence[Any] = (),
    *,
    limit: Limit | None = None,
    bounds: Bounds | None = None,
) -> Call:
    """
    Make the call of some commands of one verb, at most 128, or the one of a verb that goes alone.

    Args:
        limit: Of the verbs that are limited; None for no limit.

        bounds: Of holds; None for none.
    """
    return _FORMS[verb.form](verb, shard, epoch, commands, limit, bounds)


def _words(command: Any) -> Sequence[Any]:
    """Return what a command says to its script, behind the event."""
    words: Sequence[Any] = command.words() if hasattr(command, "words") else command[1:]
    return words


def _outcome(verb: Verb[Any, Any], row: Any) -> Any:
    """Read one reply; one that nobody can read is its own command's failure, not its batch's."""
    try:
        return verb.read(row)
    except ValueError as error:
        return EngineError(f"{verb.name} replied {row!r}: {error}")


@lru_cache(maxsize=4_096)
def _items(text: bytes) -> tuple[tuple[Item, ...], str]:
    """
    Read items; in a rush the same few come repeatedly.

    Returns:
        Those that the booking has now, and as rows of a record those it was made with.
    """
    items = text.decode()
    return parse_live_items(items), item_rows(items)


@lru_cache(maxsize=4_096)
def _refused_line(line: bytes) -> Refused | EngineError:
    """Read a refusal; once an event is sold out, all are told the same."""
    words = [int(word) if word.isdigit() else word for word in line.split(b" ")]
    try:
        refusal = refused(words)
    except ValueError as error:
        return EngineError(f"book replied {line!r}: {error}")
    return refusal or EngineError(f"book replied {line!r}")


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
