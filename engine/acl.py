"""
Who may do what on Redis: one user for each role, with the commands it needs and no others (S24).

The one source of the ACL file: of the embedded servers, of docker-compose.yml, and of
`evently acl` for servers of one's own. No role but the coordinator may send or load a script's
text, flush, configure or replicate; so a worker that is taken over can run the scripts that are
loaded, and nothing else that moves many keys. A script runs with the rights of its caller:
hence the commands that scripts use stand here too, and a test holds them together (F23).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.guard import Finding

#: The role that opens shards, checks and repairs; it may do everything.
COORDINATOR = "coordinator"

#: What redis-py sends by itself, and what the porter asks (`engine.porter`). CONFIG GET tells
#: the passwords `requirepass` and `masterauth` as well; with these users the first is not set.
CONNECTION = ("client|setname", "config|get", "info", "ping", "select")
#: What the scripts call, all of them together, but for the persister's own.
SCRIPTS = (
    "exists",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hmget",
    "hset",
    "pexpireat",
    "sadd",
    "sismember",
    "srem",
    "time",
    "xadd",
    "zadd",
    "zcard",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrem",
    "zscore",
)
#: Commands of each role, beside `CONNECTION`.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    # The position on a waitlist is read beside the scripts, in a transaction; a cancelled event's
    # bookings are looked through.
    "api": ("evalsha", "exec", "hscan", "multi", "wait", "zlexcount", *SCRIPTS),
    "persister": ("evalsha", "hmget", "hset", "time", "xrange", "xread", "xtrim"),
    "sweeper": ("evalsha", "hscan", "srandmember", *SCRIPTS),
}
ROLES = (*COMMANDS, COORDINATOR)

#: The log is replayed as the default user, so it keeps its rights while nobody can log in as it:
#: it is off, and its password is the SHA-256 of nothing anybody knows (F7).
DEFAULT_USER = f"user default off #{'0' * 64} ~* &* +@all"

#: A call of each command that does nothing, for ACL DRYRUN; `KEY` stands for a key of a shard.
_KEY = "KEY"
_CALLS: Mapping[str, tuple[str, ...]] = {
    "client|setname": ("client", "setname", "evently"),
    "config|get": ("config", "get", "appendonly"),
    "exec": ("exec",),
    "multi": ("multi",),
    "zlexcount": ("zlexcount", _KEY, "-", "+"),
    "evalsha": ("evalsha", "0" * 40, "1", _KEY),
    "exists": ("exists", _KEY),
    "hdel": ("hdel", _KEY, "f"),
    "hexists": ("hexists", _KEY, "f"),
    "hget": ("hget", _KEY, "f"),
    "hgetall": ("hgetall", _KEY),
    "hincrby": ("hincrby", _KEY, "f", "1"),
    "hmget": ("hmget", _KEY, "f"),
    "hscan": ("hscan", _KEY, "0"),
    "hset": ("hset", _KEY, "f", "v"),
    "info": ("info",),
    "pexpireat": ("pexpireat", _KEY, "1"),
    "ping": ("ping",),
    "sadd": ("sadd", _KEY, "m"),
    "select": ("select", "0"),
    "sismember": ("sismember", _KEY, "m"),
    "srandmember": ("srandmember", _KEY),
    "srem": ("srem", _KEY, "m"),
    "time": ("time",),
    "wait": ("wait", "1", "1"),
    "xadd": ("xadd", _KEY, "1-1", "f", "v"),
    "xrange": ("xrange", _KEY, "-", "+"),
    "xread": ("xread", "streams", _KEY, "0"),
    "xtrim": ("xtrim", _KEY, "minid", "1"),
    "zadd": ("zadd", _KEY, "1", "m"),
    "zcard": ("zcard", _KEY),
    "zrange": ("zrange", _KEY, "0", "1"),
    "zrangebylex": ("zrangebylex", _KEY, "-", "+"),
    "zrangebyscore": ("zrangebyscore", _KEY, "0", "1"),
    "zrem": ("zrem", _KEY, "m"),
    "zscore": ("zscore", _KEY, "m"),
}


def file(credentials: Mapping[str, str]) -> str:
    """
    Return the text of the ACL file.

    Args:
        credentials: Of each role of `ROLES`, a word such as `credential` makes.
    """
    return "\n".join([DEFAULT_USER, *(_line(role, credentials[role]) for role in ROLES)]) + "\n"


def credential(password: str) -> str:
    """Return what stands for *password* in an ACL file: its hash."""
    return f"#{sha256(password.encode()).hexdigest()}"


def _line(role: str, word: str) -> str:
    if role == COORDINATOR:
        return f"user {role} on {word} ~* &* +@all"
    allowed = " ".join(f"+{command}" for command in _commands(role))
    return f"user {role} on {word} ~{keys.PATTERN} resetchannels -@all {allowed}"


def _commands(role: str) -> list[str]:
    return sorted({*CONNECTION, *COMMANDS[role]})


async def drift(redis: Redis) -> list[Finding]:
    """
    Ask Redis whether each role that it has a user for may do all that it needs.

    A server without these users has none to drift: there all is done as the default user.

    Cost: two round trips.
    """
    roles = [role for role in COMMANDS if await _has_user(redis, role)]
    asked = [(role, command) for role in roles for command in _commands(role)]
    async with redis.pipeline(transaction=False) as pipeline:
        for role, command in asked:
            words = [keys.meta(0) if word is _KEY else word for word in _CALLS[command]]
            pipeline.execute_command("ACL DRYRUN", role, *words)
        answers: list[Any] = await pipeline.execute(raise_on_error=False) if asked else []
    return [
        Finding(
            setting=f"user {role}",
            value=f"without {command}: {answer.decode() if isinstance(answer, bytes) else answer}",
            must_be=f"+{command} on ~{keys.PATTERN}",
            why="a script would stop half-way for want of the right (F23)",
            fix="load the ACL file that `evently acl` prints",
        )
        for (role, command), answer in zip(asked, answers, strict=True)
        if answer != b"OK"
    ]


async def _has_user(redis: Redis, role: str) -> bool:
    user: Any = await redis.execute_command("ACL GETUSER", role)  # type: ignore[no-untyped-call]
    return user is not None
