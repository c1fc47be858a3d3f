"""
The porter: looks at every new connection to Redis before it carries a command (F10, F12).

A connection does not outlive its server's process, so what is found at its beginning holds to its
end. The porter asks who the server is and how it is configured, lets the config guard judge, and
tells whoever wants to know, who may refuse as well: the shards compare the server with the one
that was opened. What is refused is closed, and nothing was sent on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError, RedisError

from engine import guard
from engine.durability import Durability
from engine.guard import Facts, Finding, User

#: Called with the server of a new connection; raises `ServerRefused` if it is the wrong one.
Look = Callable[[Facts], None]

#: What was found behind each connection that a porter has let through.
_FOUND: WeakKeyDictionary[AbstractConnection, Facts] = WeakKeyDictionary()


class ServerRefused(RedisError):
    """The server is not one to send commands to; nothing was sent."""


class UnsafeServer(ServerRefused):
    """The server may lose what it acknowledges; the message names each setting and its remedy."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            "Redis is not configured to keep a booking: " + "; ".join(map(str, findings))
        )
        self.findings = findings


class OtherServer(ServerRefused):
    """The server is not the one that the coordinator opened, or has another history since."""


def post(client: Redis, *, level: Durability, look: Look | None = None) -> None:
    """
    Put a porter before *client*, whose connections must not be open yet.

    Args:
        client: Made by `engine.redis_client.connect`.

        level: What answers promise.

        look: See `Look`.
    """

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        facts = await examine(connection)
        refuse(guard.judge(facts, level))
        if look is not None:
            look(facts)
        _FOUND[connection] = facts

    client.connection_pool.connection_kwargs["redis_connect_func"] = greet


def found_behind(connection: AbstractConnection) -> Facts | None:
    """Return what a porter has found behind a connection; None if none stands before it."""
    return _FOUND.get(connection)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise `UnsafeServer` if a finding refuses to serve."""
    grave = [finding for finding in findings if finding.refuses]
    if grave:
        raise UnsafeServer(grave)


async def examine(connection: AbstractConnection, *, users: bool = False) -> Facts:
    """
    Ask a server what it is, over one connection and in one round trip.

    Args:
        users: Ask for the default user as well, which only a coordinator may.

    Raises:
        UnsafeServer: the configuration may not be read, so it cannot be vouched for.
    """
    words = [("INFO", "server"), ("INFO", "replication"), ("CONFIG", "GET", *guard.SETTINGS)]
    if users:
        words.append(("ACL", "GETUSER", "default"))
    for command in words:
        await connection.send_command(*command)
    replies: list[Any] = []
    for _ in words:
        try:
            replies.append(await connection.read_response())
        except NoPermissionError as error:
            replies.append(error)
    for command, reply in zip(words, replies, strict=True):
        if isinstance(reply, NoPermissionError):
            raise UnsafeServer([_not_allowed(" ".join(command[:2]), reply)])
    info = guard.read_info(f"{_text(replies[0])}\n{_text(replies[1])}")
    return guard.facts(info, _pairs(replies[2]), _user(replies[3]) if users else None)


async def examine_server(client: Redis, *, users: bool = False) -> Facts:
    """Ask the server behind *client*; raises as `examine` does, or `RedisError`."""
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        return await examine(connection, users=users)
    except BaseException:
        # Replies may be left on it that nobody would read.
        await connection.disconnect()
        raise
    finally:
        await pool.release(connection)


def _not_allowed(command: str, error: NoPermissionError) -> Finding:
    return Finding(
        setting=command,
        value=f"not allowed: {error}",
        must_be="allowed",
        why="a configuration that cannot be read cannot be vouched for",
        fix="use the users of `evently acl`",
    )


def _user(reply: Any) -> User | None:
    """Read ACL GETUSER; before Redis 7 keys and channels came as lists."""
    if reply is None:
        return None
    rows = {_text(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}

    def words(name: str) -> str:
        value = rows.get(name, b"")
        return " ".join(map(_text, value)) if isinstance(value, list) else _text(value)

    return User(
        flags=tuple(_text(flag) for flag in rows.get("flags", ())),
        commands=words("commands"),
        keys=words("keys"),
        channels=words("channels"),
    )


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    words = [_text(word) for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


def _text(word: bytes | str) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else word
