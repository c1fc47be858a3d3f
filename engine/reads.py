"""
Plain reads of Redis, beside the scripts: what is asked in one round trip, and of whom.

A script looks at the shard's `meta` before it says anything; a plain read does not. So what it
finds may be believed, and what it does not find is nowhere only if it was looked for in the reign:
on a connection to the server that was opened, and with `meta` behind it, which says that the reign
is not over (`Shard.ask`, `Shard.ask_surely`). Else a Redis that has lost everything would deny it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import porter
from engine.door import Reign

#: Words of one command; a reply is what Redis said, bytes as they are.
Words = tuple[Any, ...]
Ask = Callable[..., Awaitable[list[Any]]]


async def ask(client: Redis, *commands: Words, reign: Reign | None = None) -> list[Any]:
    """
    Send commands in one round trip and return their replies, of one server.

    Args:
        reign: Under which they are asked; see `exchange`.

    Raises:
        RedisError: the first error among the replies, `OtherServer`, or no answer came.
    """
    replies = await exchange(client, commands, () if reign is None else (reign,))
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def exchange(
    client: Redis, commands: Sequence[Words], reigns: Collection[Reign]
) -> list[Any]:
    """
    Send commands in one round trip and return their replies, errors as values.

    Args:
        reigns: Under which they are asked: no connection to another server than one that was opened
            carries them, also one that was opened before, or since the door was shut. Empty:
            any.

    Raises:
        RedisError: `OtherServer`, or no answer came.
    """
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        if not _leads_to(connection, reigns):
            await connection.disconnect()
            await connection.connect()  # Whoever greets it may refuse it (`engine.porter`).
            if not _leads_to(connection, reigns):
                raise porter.OtherServer("Redis is not the one that was opened")
        await connection.send_packed_command(connection.pack_commands(commands))
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        # Replies may be left on it that nobody would read.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return replies


def _leads_to(connection: Any, reigns: Collection[Reign]) -> bool:
    """Tell whether a connection leads to a server that was opened, as far as that is known."""
    facts = porter.found_behind(connection)
    if not reigns or facts is None:
        return True
    return any(reign.is_of(facts.run_id, facts.replid) for reign in reigns)
