"""
The hashes of an event in Redis, scanned: they may be of any size, and change meanwhile.

Plain read commands only, so that a fenced shard can be read as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio import Redis

from engine import keys
from engine.values import parse_booking, parse_entry, parse_hold, parse_ticket

#: Fields that one HSCAN call asks for.
SCAN_COUNT = 1_000


async def read_hashes(redis: Redis, names: keys.EventKeys) -> dict[str, Any]:
    """
    Read what is there of people and their places, as the fields of `view.InRedis` of that name.

    Persons first, bookings last: what a count includes is then seen among holds and bookings.
    """
    unreadable: list[tuple[str, str]] = []
    marked: set[str] = set()

    #: Fields of `entries` that are none.
    pointers: dict[str, str] = {}

    async def scan(
        kind: str, parse: Callable[[bytes], Any] | type[int], prefix: str = ""
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        async for name, value in scan_hash(redis, getattr(names, kind)):
            if name == keys.MARK:
                marked.add(kind)
            elif name.startswith(prefix):
                try:
                    found[name] = parse(value)
                except ValueError as error:
                    unreadable.append((name, str(error)))
            else:
                pointers[name] = value.decode(errors="replace")
        return found

    persons = await scan("persons", int)
    tickets = await scan("tickets", parse_ticket)
    holds = await scan("holds", parse_hold)
    sets = {
        kind: await _scan_members(redis, getattr(names, kind))
        for kind in ("deadlines", "ended", "waitlist")
    }
    marked |= {kind for kind, members in sets.items() if members.pop(keys.MARK, None) is not None}
    deadlines = sets["deadlines"]
    return {
        "persons": persons,
        "tickets": tickets,
        "holds": holds,
        "deadlines": deadlines,
        "ended": set(sets["ended"]),
        "endless": [own for own, hold in holds.items() if hold.is_live and own not in deadlines],
        "members": list(sets["waitlist"]),
        # Beside the entries stand pointers from persons and holds to them.
        "entries": await scan("entries", parse_entry, "wl_"),
        "pointers": pointers,
        "bookings": await scan("bookings", parse_booking),
        "unreadable": unreadable,
        "marked": marked,
    }


async def _scan_members(redis: Redis, key: str) -> dict[str, float]:
    members: dict[str, float] = {}
    cursor: Any = 0
    while True:
        cursor, found = await ask(redis, "ZSCAN", key, cursor, "COUNT", SCAN_COUNT)
        members |= {name.decode(errors="replace"): float(score) for name, score in found}
        if int(cursor) == 0:
            return members


async def scan_events(redis: Redis, shard: int) -> set[str]:
    """Return the events that Redis has loaded; those loaded meanwhile may be missing."""
    found: set[str] = set()
    cursor = 0
    while True:
        cursor, members = await ask(redis, "SSCAN", keys.events(shard), cursor, "COUNT", SCAN_COUNT)
        found.update(member.decode() for member in members)
        if int(cursor) == 0:
            return found


async def scan_hash(redis: Redis, key: str) -> AsyncIterator[tuple[str, bytes]]:
    """Yield (field, value) of a hash; a field that is there all the time comes at least once."""
    cursor: Any = 0
    while True:
        cursor, fields = await ask(redis, "HSCAN", key, cursor, "COUNT", SCAN_COUNT)
        for name, value in fields.items():
            yield name.decode(), value
        if int(cursor) == 0:
            return


def take_mark(kind: str, texts: dict[str, str], marked: set[str]) -> dict[str, str]:
    """Take the mark out of a hash that was read whole, and note of which key it is."""
    if texts.pop(keys.MARK, None) is not None:
        marked.add(kind)
    return texts


async def read_texts(redis: Redis, key: str) -> dict[str, str]:
    """Return a hash of figures and words, which is as large as an event has tiers or sections."""
    return texts_of(await ask(redis, "HGETALL", key))


async def ask(redis: Redis, *words: Any) -> Any:
    """Run one command as it is written."""
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


def texts_of(fields: dict[bytes, bytes]) -> dict[str, str]:
    """Return a hash as text, whatever stands in it."""
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in fields.items()
    }
