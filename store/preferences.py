"""
What people want to be told of what is not their business's own: topics, by channel.

All is told but what somebody has muted. A letter of a topic carries a token that mutes it: it names
person and topic, and is signed by a key of this database, which opens nothing else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from typing import Literal, NamedTuple, get_args

from store.sql import Executor, InTransaction, columns, query

Topic = Literal["reminders", "sales"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
#: Which channels can be muted; what stands in the account disturbs nobody.
CHANNELS = ("mail", "push")
_TAG_CHARS = 32
_TOKEN = re.compile(rf"(usr_[0-9a-v]{{26}})\.([a-z]{{1,20}})\.([0-9a-f]{{{_TAG_CHARS}}})")


class Muted(NamedTuple):
    """What somebody does not want to be told."""

    user_id: str
    topic: str
    channel: str


async def muted_of(database: Executor, user_id: str) -> set[tuple[str, str]]:
    """Return what somebody has muted: topics and channels."""
    return {
        (row["topic"], row["channel"]) for row in await database.fetch(query("muted_of"), user_id)
    }


async def muted_among(database: Executor, asked: Collection[Muted]) -> set[Muted]:
    """Return those of some that are muted."""
    rows = await database.fetch(query("muted_among"), *columns(list(asked), width=3))
    return {Muted(**row) for row in rows}


async def mute(database: Executor, user_id: str, what: Collection[tuple[str, str]]) -> None:
    """Mute topics by channel, of an account that is there; what is muted stays so."""
    await database.execute(query("mute"), user_id, *columns(list(what), width=2))


async def change(
    connection: InTransaction,
    user_id: str,
    *,
    muted: Collection[tuple[str, str]],
    unmuted: Collection[tuple[str, str]],
    timezone: str | None,
) -> None:
    """Change what somebody is told, and the zone in which; None: it stays."""
    await mute(connection, user_id, muted)
    await connection.execute(query("unmute"), user_id, *columns(list(unmuted), width=2))
    if timezone is not None:
        await connection.execute(query("change_timezone"), user_id, timezone)


async def timezone_of(database: Executor, user_id: str) -> str | None:
    """Return somebody's zone, empty if they have told none; None if there is no such account."""
    zone: str | None = await database.fetchval(query("timezone_of"), user_id)
    return zone


async def secret(database: Executor) -> str:
    """Return what signs tokens."""
    found: str = await database.fetchval(query("unsubscribe_secret"))
    return found


def token_of(key: str, user_id: str, topic: str) -> str:
    """Return the token that mutes the mail of a topic."""
    return f"{user_id}.{topic}.{_tag(key, user_id, topic)}"


def opened(key: str, token: str) -> tuple[str, Topic] | None:
    """Return person and topic of a token; None if it is none of ours."""
    found = _TOKEN.fullmatch(token)
    topic = next((one for one in TOPICS if found is not None and found[2] == one), None)
    if found is None or topic is None:
        return None
    is_ours = hmac.compare_digest(_tag(key, found[1], topic), found[3])
    return (found[1], topic) if is_ours else None


def _tag(key: str, user_id: str, topic: str) -> str:
    said = f"evently unsubscribe {user_id} {topic}".encode()
    return hmac.digest(key.encode(), said, "sha256").hex()[:_TAG_CHARS]
