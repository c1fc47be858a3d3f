"""The scripts of one shard, called one at a time without asyncio, for Hypothesis."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

from redis import Redis

from engine import keys, scripts
from engine.calls import Bounds, Limit, call_of
from engine.commands import Expire, Publish, Seat, ShiftSeats
from engine.records import Record, read_entries
from engine.seats import Section
from engine.verbs import VERBS
from tests.checks import lines_of
from tests.shards import SHARDS

TTL_MS = 600_000
LIFE_MAX_MS = 1_200_000
OVERDUE_TTL_MS = 1
#: By how much the clock was ahead that made some holds, and was set back since.
AHEAD_MS = 10_000_000
#: Small, so that it is met; and so slow that no attempt comes back.
LIMIT = Limit(24, 86_400_000)
#: Of one person, and of one address.
BOUNDS = Bounds(2, 3, LIFE_MAX_MS, 0, 1)

_shas = cache(scripts.shas)


class Till:
    """A shard of its own, opened as the coordinator does."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.shard = next(SHARDS)
        self.epoch = 0
        self._past = itertools.count(1)
        self._ahead = itertools.count(1)
        self.open()

    def open(self) -> None:
        """Open the next epoch: new scripts, new journal, the state stays."""
        self.epoch += 1
        self._nonce = f"simulation-{self.epoch}"
        if not all(self.redis.script_exists(*_shas(self._nonce).values())):
            for name in scripts.NAMES:
                self.redis.script_load(scripts.render(name, self._nonce))
        door: dict[Any, Any] = {
            "epoch": self.epoch,
            "state": "open",
            "seq": 0,
            "persisted_seq": 0,
            "trimmed_seq": 0,
            "backlog_max": 1_000_000,
            "layout": keys.LAYOUT_VERSION,
        }
        self.redis.hset(keys.meta(self.shard), mapping=door)

    def publish(self, command: Publish) -> list[Any]:
        """Load an event."""
        reply: list[Any] = self._run("publish", command)
        return reply

    def seat(self, event_id: str, section: Section) -> None:
        """Load seats, before the event."""
        self._run("seat", Seat(event_id, section))

    def shift(self, verb: str, event_id: str, seats: tuple[str, ...]) -> list[Any]:
        """Block or unblock seats."""
        reply: list[Any] = self._run(verb, ShiftSeats(event_id, seats))
        return reply

    def run(self, verb: str, *commands: Any) -> list[list[Any]]:
        """Run one batch, or what travels alone."""
        found = self._run(verb, *commands)
        return [
            [int(w) if isinstance(w, bytes) and w.isdigit() else w for w in words_of(reply)]
            for reply in ([found] if VERBS[verb].form == "alone" else found)
        ]

    def expire(self, event_id: str, holds_max: int, ahead_ms: int) -> list[Any]:
        """Sweep an event."""
        reply: list[Any] = self._run("expire", Expire(event_id, holds_max, TTL_MS, ahead_ms))
        return reply

    def run_out(self, event_id: str, own_id: str) -> int:
        """Let a live hold's deadline lie in the past, after all that do; return it."""
        names, at_ms = keys.event(self.shard, event_id), next(self._past)
        self._rewrite(names.holds, own_id, 8, at_ms)
        self.redis.zadd(names.deadlines, {own_id: at_ms})
        return at_ms

    def run_ahead(self, event_id: str, own_id: str) -> int:
        """Let a live hold be made by a clock that is ahead, after all that were; return when."""
        names = keys.event(self.shard, event_id)
        seconds, _ = self.redis.time()
        number = next(self._ahead)
        at_ms = seconds * 1000 + AHEAD_MS // 2 + number
        self._rewrite(names.holds, own_id, 4, at_ms)
        self._rewrite(names.holds, own_id, 8, at_ms + 1)
        self.redis.zadd(names.deadlines, {own_id: at_ms + 1})
        return at_ms

    def lose_patience(self, event_id: str, entry_id: str) -> None:
        """Let an entry have stopped its list since long ago."""
        self._rewrite(keys.event(self.shard, event_id).entries, entry_id, 10, 1)

    def set_stock(self, event_id: str, **fields: int) -> None:
        """Let rules of an event be others, as time or its organizer may make them."""
        for name, value in fields.items():
            self.redis.hset(keys.event(self.shard, event_id).stock, name, str(value))

    def wait_past(self, at_ms: int) -> None:
        """Wait, on the server's clock, until *at_ms* has passed."""
        while True:
            seconds, micros = self.redis.time()
            if seconds * 1000 + micros // 1000 > at_ms:
                return

    def records(self) -> list[Record]:
        """Return all records of all epochs, in order."""
        found: list[Record] = []
        for epoch in range(1, self.epoch + 1):
            rows: Any = self.redis.xrange(keys.journal(self.shard, epoch))
            entries = [entry for row in rows for entry in read_entries(*row)]
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
            found += [entry.record for entry in entries]
        return found

    def _rewrite(self, name: str, field: str, word: int, value: int) -> None:
        row: Any = self.redis.hget(name, field)
        words = row.decode().split(" ")
        words[word] = str(value)
        self.redis.hset(name, field, " ".join(words))

    def _run(self, verb: str, *commands: Any) -> Any:
        call = call_of(VERBS[verb], self.shard, self.epoch, commands, limit=LIMIT, bounds=BOUNDS)
        sha, names = _shas(self._nonce)[verb], call.keys
        reply: Any = self.redis.execute_command(  # type: ignore[no-untyped-call]
            "EVALSHA", sha, len(names), *names, self.epoch, *call.words
        )
        return lines_of(reply, call.words) if isinstance(reply, bytes) else reply


def words_of(reply: Any) -> list[Any]:
    """Return the words of a reply; `book` may say them in a line."""
    words: list[Any] = reply.split(b" ") if isinstance(reply, bytes) else reply
    return words
