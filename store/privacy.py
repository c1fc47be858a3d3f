"""What PostgreSQL has of one person: told to them, and taken from it when they ask for that."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from store import limits
from store.personal import HOLDINGS
from store.sql import Executor, query
from store.tenants import Connection

#: Rows of one table, and batches of the archive, that one statement reads.
ROWS_PER_READ = 500
BATCHES_PER_READ = 20
#: How far before the making of an account its first record may seem to lie, by other clocks.
CLOCKS_APART = dt.timedelta(days=1)
#: Stands for accounts of others in what a person is told.
ANOTHER = "another"

_JOURNAL = "journal"
#: Erased by themselves: last, since the others go by its address; and by the address alone.
_OF_USERS = HOLDINGS["users"].erasure
_OF_ORIGINS = HOLDINGS["familiar_origins"].erasure
_ACCOUNT = re.compile(r"usr_[0-9a-v]{26}")
_CHECK_CHARS = 8
_START = (-1, -1, -1, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))


class Piece(NamedTuple):
    """Rows of a table that are of a person, each as JSON."""

    table: str
    rows: list[str]


async def pieces(database: Executor, user_id: str, since: dt.datetime) -> AsyncIterator[Piece]:
    """
    Yield all that the tables have of a person, every table that may have some at least once.

    Ids of others are left out. Nobody is kept waiting: a statement reads some rows, and the
    connection is free between two. What is written meanwhile may be in it or not.

    Cost: the archive from *since* on is looked through.

    Args:
        since: When the account was made.
    """
    for table, holding in HOLDINGS.items():
        if not holding.export:
            continue
        yield Piece(table, [])
        if table == _JOURNAL:
            async for piece in _of_journal(database, user_id, since - CLOCKS_APART):
                yield piece
            continue
        after = ""
        while True:
            rows = await database.fetch(query(holding.export), user_id, after, ROWS_PER_READ)
            if rows:
                yield Piece(table, [_own(row["row"], user_id) for row in rows])
            if len(rows) < ROWS_PER_READ:
                break
            after = rows[-1]["place"]


async def _of_journal(database: Executor, user_id: str, since: dt.datetime) -> AsyncIterator[Piece]:
    place = _START
    while True:
        rows = await database.fetch(
            query(HOLDINGS[_JOURNAL].export), user_id, since, *place, BATCHES_PER_READ
        )
        lines = [line for row in rows for line in row["lines"] or ()]
        if lines:
            yield Piece(_JOURNAL, [_own(line[_CHECK_CHARS:], user_id) for line in lines])
        if len(rows) < BATCHES_PER_READ:
            return
        place = tuple(rows[-1].values())[:4]


def _own(text: str, user_id: str) -> str:
    """Return a row without the ids of others."""
    return _ACCOUNT.sub(lambda found: found[0] if found[0] == user_id else ANOTHER, text)


async def open_bookings(database: Executor, user_id: str) -> list[str]:
    """Return the ids of a person's live bookings of events that are not over."""
    return await _ids(database, query("open_bookings"), user_id)


async def open_tickets(database: Executor, user_id: str) -> list[str]:
    """Return the ids of tickets that others gave to a person, and that are still to be used."""
    return await _ids(database, query("open_tickets"), user_id)


async def open_waits(database: Executor, user_id: str) -> list[str]:
    """Return the ids of the waitlist entries by which a person waits, or has an offer."""
    return await _ids(database, query("open_waits"), user_id)


async def _ids(database: Executor, text: str, user_id: str) -> list[str]:
    found: list[str] = []
    while True:
        after = found[-1] if found else ""
        rows = await database.fetch(text, user_id, after, ROWS_PER_READ)
        found += [row["id"] for row in rows]
        if len(rows) < ROWS_PER_READ:
            return found


async def erase(connection: Connection, user_id: str) -> bool:
    """
    Take name, address and password from an account, within the caller's transaction, and what else
    there is of names and secrets (`store.personal`); its sessions, keys and places on teams end.

    What the person wrote is taken from the ledger's texts afterwards (`store.redaction`), which
    the note that is made here asks for.

    Returns:
        False if there is no such account, or no longer.
    """
    row = await connection.fetchrow(query("address_to_erase"), user_id)
    if row is None:
        return False
    if not row["is_claim"]:  # Else where its owner has signed in is not this person's.
        await limits.forget_account(connection, row["email"])
    for erasure in dict.fromkeys(holding.erasure for holding in HOLDINGS.values()):
        if erasure not in {"", _OF_USERS, _OF_ORIGINS}:
            await connection.execute(query(erasure), user_id)
    await connection.execute(query(_OF_USERS), user_id)
    await connection.execute(query("insert_erasure"), user_id)
    return True
