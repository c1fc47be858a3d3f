"""Keys that sign tokens and tickets, beside those of the settings; what is secret is sealed."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import asyncpg

from store.sql import Executor, query


class SigningKey(NamedTuple):
    """A key that still counts, or one of the settings; `purpose` is tokens or tickets."""

    kid: str
    purpose: str
    #: It is the setting itself, and has no secret here.
    is_setting: bool
    sealed: bytes | None
    made_at: dt.datetime
    signs_at: dt.datetime
    retires_at: dt.datetime | None
    #: By PostgreSQL's clock, when it was asked.
    signs_in_s: float
    retires_in_s: float | None

    @property
    def has_begun(self) -> bool:
        """Whether it may sign."""
        return self.signs_in_s <= 0

    @property
    def is_over(self) -> bool:
        """Whether nothing that it signed counts any more."""
        return self.retires_in_s is not None and self.retires_in_s <= 0


class NewKey(NamedTuple):
    """A key to be added, or the setting's to be noted."""

    kid: str
    purpose: str
    sealed: bytes | None
    #: Public keys; None of tokens.
    ticket_key: bytes | None
    receipt_key: bytes | None


async def read(database: Executor) -> list[SigningKey]:
    """Return all keys, those of a purpose in the order in which they sign."""
    return [SigningKey(**row) for row in await database.fetch(query("signing_keys"))]


async def receipt_keys(database: Executor) -> dict[bytes, bool]:
    """Return the public keys of receipts, and whether what each signed still counts."""
    rows = await database.fetch(query("receipt_keys"))
    return {row["receipt_key"]: row["counts"] for row in rows}


async def alone(connection: asyncpg.Connection) -> None:
    """Keep all others from changing keys until the transaction ends."""
    await connection.execute(query("lock_signing_keys"))


async def note_setting(connection: asyncpg.Connection, key: NewKey) -> None:
    """Note the key of a setting, unless that was done before."""
    await connection.execute(
        query("note_setting_key"), key.kid, key.purpose, key.ticket_key, key.receipt_key
    )


async def add(connection: asyncpg.Connection, key: NewKey, *, signs_in_s: float) -> bool:
    """Add a key that signs later on; False if another has its id."""
    kid = await connection.fetchval(query("insert_signing_key"), *key, signs_in_s)
    return kid is not None


async def end_others(
    connection: asyncpg.Connection, purpose: str, kid: str, *, after_s: float
) -> None:
    """Let all keys but *kid* that have no end yet retire *after_s* after it begins to sign."""
    await connection.execute(query("end_other_keys"), purpose, kid, after_s)


async def retire(connection: asyncpg.Connection, purpose: str, kid: str) -> None:
    """End a key now, and forget its secret."""
    await connection.execute(query("retire_key"), purpose, kid)


async def forget_retired(connection: asyncpg.Connection) -> None:
    """Forget the secrets of keys that are over."""
    await connection.execute(query("forget_retired_keys"))
