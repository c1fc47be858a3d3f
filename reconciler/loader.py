"""
What a recovery writes to Redis: the door, and the rows of a shard that is being rebuilt.

Every command is one call of `lua/recovery/load.lua`, which compares the claim first, so that a
recovery which has lost its shard changes nothing any more (F41). Calls are pipelined; a window
bounds what is under way, and each is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from types import TracebackType
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys

#: Fields of one command: well under 5 ms in Redis, and under what Lua's `unpack` can take.
PAIRS_MAX = 500
#: Bytes that are packed before they leave, and calls that may be unanswered.
SEND_BYTES = 262_144
WINDOW_CALLS = 32


class ClaimLost(Exception):
    """Another recovery has claimed the shard, or Redis lost what was written: begin anew."""


async def change_door(
    redis: Redis, shard: int, epoch: int, verb: str, fields: Mapping[str, Any]
) -> dict[bytes, bytes]:
    """
    Run `lua/recovery/claim.lua`: change `meta` and return what it was.

    Raises:
        ClaimLost: a later claim is there already.
    """
    words = [word for pair in fields.items() for word in pair]
    try:
        before: Any = await redis.eval(_script("claim"), 1, keys.meta(shard), epoch, verb, *words)
    except ResponseError as error:
        if str(error).startswith("FENCED"):
            raise ClaimLost(f"Redis is claimed under epoch {str(error).split()[1]}") from error
        raise
    return dict(zip(before[::2], before[1::2], strict=True))


class Loader:
    """Writes one shard over one connection; an async context."""

    def __init__(self, redis: Redis, shard: int, epoch: int) -> None:
        """
        Args:
            redis: Client of the shard's master.

            epoch: The claim.
        """
        self._redis = redis
        self._meta = keys.meta(shard).encode()
        self._claim = str(epoch).encode()
        self._connection: Any = None
        self._sha = b""
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._packed_calls = 0
        self._unanswered = 0

    async def __aenter__(self) -> Loader:
        self._sha = str(await self._redis.script_load(_script("load"))).encode()
        pool: Any = self._redis.connection_pool
        self._connection = await pool.get_connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._unanswered:
            await self._connection.disconnect()  # Its answers are nobody's.
        await self._redis.connection_pool.release(self._connection)

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

    async def remove(self, key: str) -> None:
        """Remove a key; Redis frees its memory in the background."""
        await self._call(b"UNLINK", key, [])

    async def flush(self) -> None:
        """Send what is packed and wait for all answers."""
        await self._send()
        await self._settle(0)

    async def _call(self, verb: bytes, key: str, words: list[bytes]) -> None:
        command: Any = (
            b"EVALSHA", self._sha, b"2", self._meta, key.encode(), self._claim, verb, *words,
        )  # fmt: skip
        packed = hiredis.pack_command(command)
        self._packed.append(packed)
        self._packed_bytes += len(packed)
        self._packed_calls += 1
        if self._packed_bytes >= SEND_BYTES or self._packed_calls >= WINDOW_CALLS:
            await self._send()
            await self._settle(WINDOW_CALLS)

    async def _send(self) -> None:
        if self._packed:
            packed, calls = self._packed, self._packed_calls
            self._packed, self._packed_bytes, self._packed_calls = [], 0, 0
            await self._connection.send_packed_command(packed)
            self._unanswered += calls

    async def _settle(self, unanswered_max: int) -> None:
        while self._unanswered > unanswered_max:
            try:
                await self._connection.read_response()
            except ResponseError as error:
                self._unanswered -= 1
                if str(error).startswith("FENCED"):
                    raise ClaimLost(str(error)) from error
                raise
            self._unanswered -= 1


def _script(name: str) -> str:
    return resources.files("lua").joinpath("recovery", f"{name}.lua").read_text("utf-8")


def _word(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
