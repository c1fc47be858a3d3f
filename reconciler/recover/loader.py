"""
What a recovery writes to Redis: the door, and the rows of a shard that is being rebuilt.

Whatever it writes passes only while its claim stands in `meta`, compared by Redis itself, so that
a recovery which has lost its shard changes nothing any more, however late it wakes up (F41).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from types import TracebackType
from typing import Any, NamedTuple

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys

#: Fields of one command: well under 5 ms in Redis.
PAIRS_MAX = 500
#: Bytes of one transaction: some thousand rows, a few ms in Redis.
BATCH_BYTES = 524_288

_no_words: Any = (b"MULTI",), (b"EXEC",)
_MULTI, _EXEC = map(hiredis.pack_command, _no_words)


class ClaimLost(Exception):
    """Another recovery has claimed the shard, or Redis lost what was written: begin anew."""


async def change_door(
    redis: Redis, shard: int, epoch: int, verb: str, fields: Mapping[str, Any]
) -> dict[bytes, bytes]:
    """
    Run `lua/recovery/claim.lua`: change `meta` and return what it was.

    Raises:
        ClaimLost: a later claim is there already, or what *verb* needs of ours is not.
    """
    words = [word for pair in fields.items() for word in pair]
    try:
        before: Any = await redis.eval(
            recovery_script("claim"), 1, keys.meta(shard), epoch, verb, *words
        )
    except ResponseError as error:
        if str(error).startswith("FENCED"):
            claim = str(error).split()[1]
            if claim == "lost":
                raise ClaimLost("Redis has lost what this recovery had written") from error
            raise ClaimLost(f"Redis is claimed under epoch {claim}") from error
        raise
    return dict(zip(before[::2], before[1::2], strict=True))


class Shut(NamedTuple):
    """An event that is shut, to be rebuilt alone."""

    event_id: str
    #: Of the rebuild.
    name: str
    #: The shard's last record at that moment.
    epoch: int
    seq: int
    #: Version that its seat map had; 0 if it had lost that as well.
    map_version: int


class Loader:
    """
    Writes one shard, or one event of it, over one connection; an async context.

    Batches are transactions that watch who may write: the claim in `meta` is read and found ours,
    then nothing but an unchanged `meta` lets the batch pass; of an event that is shut alone, the
    name of the rebuild. While one is on its way the next is put together.
    """

    def __init__(self, redis: Redis, shard: int, epoch: int, *, event: Shut | None = None) -> None:
        """
        Args:
            redis: Client of the shard's master.

            epoch: The claim.

            event: The only event that is written.
        """
        self._pool: Any = redis.connection_pool
        #: Key that is watched, its fields, and what they must say.
        self._watched = keys.meta(shard)
        self._fields: list[bytes] = [b"claim", b"state"]
        self._wanted = [str(epoch).encode(), b"rebuilding"]
        if event is not None:
            self._watched = keys.shut(shard, event.event_id)
            self._fields, self._wanted = [b"rebuild"], [event.name.encode()]
        self._connection: Any = None
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        #: Commands of the batch that is on its way; None if there is none.
        self._under_way: int | None = None
        #: Whether the batch that is sent next is the last, after which nobody need be found ours.
        self._is_over = False

    async def __aenter__(self) -> Loader:
        self._connection = await self._pool.get_connection()
        try:
            await self._connection.send_packed_command(self._look())
            await self._judge()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        # It watches a key, and answers of a batch may be on their way: not for others to use.
        await self._connection.disconnect()
        await self._pool.release(self._connection)

    async def put(self, key: str, fields: Mapping[Any, Any]) -> None:
        """Set fields of a hash, in commands of at most `PAIRS_MAX`."""
        words = [_word(word) for pair in fields.items() for word in pair]
        await self.put_words(key, words)

    async def put_words(self, key: str, words: list[bytes]) -> None:
        """Set fields of a hash: field, value, field, value, ..."""
        for start in range(0, len(words), 2 * PAIRS_MAX):
            await self._call(b"HSET", key, words[start : start + 2 * PAIRS_MAX])

    async def score(self, key: str, scores: Mapping[str, float]) -> None:
        """Add members to a sorted set."""
        words = [_word(word) for name, score in scores.items() for word in (f"{score:.0f}", name)]
        for start in range(0, len(words), 2 * PAIRS_MAX):
            await self._call(b"ZADD", key, words[start : start + 2 * PAIRS_MAX])

    async def add(self, key: str, members: Iterable[str]) -> None:
        """Add members to a set."""
        words = [member.encode() for member in members]
        for start in range(0, len(words), PAIRS_MAX):
            await self._call(b"SADD", key, words[start : start + PAIRS_MAX])

    async def count(self, key: str, field: str, by: int) -> None:
        """Add to a counter of a hash."""
        await self._call(b"HINCRBY", key, [field.encode(), b"%d" % by])

    async def open(self, shard: int, event: Shut, *, is_marked: bool) -> None:
        """
        Put the stock of an event that was shut alone in its place: from here on it sells.

        Args:
            is_marked: Whether its keys are; if not, the marks go that said that it is damaged.
        """
        await self.flush()  # All before in transactions before; this, in one.
        names, shut = keys.event(shard, event.event_id), keys.shut(shard, event.event_id)
        if not is_marked:
            for name in keys.hashes(names):
                await self._call(b"HDEL", name, [keys.MARK.encode()])
        await self._call(b"HDEL", shut, [b"rebuild"])
        await self._call(b"RENAME", shut, [names.stock.encode()])
        # The sweeper comes at once, and says itself when it must come again.
        await self.score(keys.due(shard), {event.event_id: 0})
        self._is_over = True
        await self.flush()

    async def mark(self, names: keys.EventKeys) -> None:
        """Mark the keys of an event, so that one that is lost is missed."""
        for name in keys.hashes(names):
            await self.put(name, {keys.MARK: 1})
        for name, score in keys.sorted_sets(names).items():
            await self._call(b"ZADD", name, [score.encode(), keys.MARK.encode()])

    async def remove(self, key: str) -> None:
        """Remove a key; Redis frees its memory in the background."""
        await self._call(b"UNLINK", key, [])

    async def flush(self) -> None:
        """Send what is packed and wait until Redis has it."""
        await self._send()
        await self._settle()

    async def _call(self, verb: bytes, key: str, words: list[bytes]) -> None:
        packed = _pack(verb, key, *words)
        self._packed.append(packed)
        self._packed_bytes += len(packed)
        if self._packed_bytes >= BATCH_BYTES:
            await self._send()

    async def _send(self) -> None:
        await self._settle()
        if self._packed:
            count = len(self._packed)
            batch = [_MULTI, *self._packed, _EXEC, *([] if self._is_over else self._look())]
            self._packed, self._packed_bytes = [], 0
            await self._connection.send_packed_command(batch)
            self._under_way = count

    async def _settle(self) -> None:
        """Wait for the batch that is on its way."""
        if self._under_way is None:
            return
        for _ in range(self._under_way + 1):  # OK of MULTI, and QUEUED for each.
            await self._connection.read_response()
        done = await self._connection.read_response()
        self._under_way = None
        if not self._is_over:
            await self._judge()
        if done is None:
            raise ClaimLost("the door was touched by somebody else")
        for reply in done:
            if isinstance(reply, Exception):
                raise reply

    def _look(self) -> list[bytes]:
        return [_pack(b"WATCH", self._watched), _pack(b"HMGET", self._watched, *self._fields)]

    async def _judge(self) -> None:
        """Read the answers of `_look`: from here on the claim is ours, or the next batch fails."""
        await self._connection.read_response()
        found = await self._connection.read_response()
        if found != self._wanted:
            raise ClaimLost(f"Redis says {found!r} of {self._watched}, not {self._wanted!r}")


def _pack(verb: bytes, key: str, *words: bytes) -> bytes:
    command: Any = (verb, key.encode(), *words)
    packed: bytes = hiredis.pack_command(command)
    return packed


def recovery_script(name: str) -> str:
    """Return the text of `lua/recovery/<name>.lua`: sent as it is, and loaded by no worker."""
    return resources.files("lua").joinpath("recovery", f"{name}.lua").read_text("utf-8")


def _word(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
