"""
Seeding: accounts and access tokens for demos and load tests.

Accounts are `buyer-<n>@seed.evently.localhost` and share one password hash, since hashing each
would take 25 ms; nobody knows its password, the tokens are the way in.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import asyncpg

from evently.embedded.place import write_atomically
from evently.settings import Settings
from store import keys
from store import users as accounts
from store.pool import connect
from usecases.keyring import use_for_tokens
from usecases.passwords import hash_now
from usecases.tokens import Principal, Tokens

EMAIL_DOMAIN = "seed.evently.localhost"
ACCOUNTS_PER_STATEMENT = 5_000


async def seed_users(settings: Settings, *, users: int, tokens: Path) -> None:
    """Make sure that *users* seed accounts exist and write one access token a line."""
    issued = await seed_tokens(settings, count=users)
    _write(tokens, issued)


async def seed_tokens(settings: Settings, *, count: int) -> list[str]:
    """Make sure that *count* seed accounts exist; return an access token for each."""
    emails = [f"buyer-{number}@{EMAIL_DOMAIN}" for number in range(1, count + 1)]
    password_hash = hash_now(secrets.token_urlsafe(32))
    ids: list[str] = []
    connection = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        for start in range(0, count, ACCOUNTS_PER_STATEMENT):
            part = emails[start : start + ACCOUNTS_PER_STATEMENT]
            ids += await accounts.ensure_many(connection, part, password_hash=password_hash)
        signer = await signer_of(settings, connection)
    finally:
        await connection.close()
    return [signer.issue(Principal(user_id, "user", None)) for user_id in ids]


async def signer_of(settings: Settings, connection: asyncpg.Connection) -> Tokens:
    """Return what signs tokens as the API does, by the keys that count now."""
    signer = Tokens(settings.jwt_secret, ttl_s=settings.access_token_ttl_s)
    use_for_tokens(signer, settings.jwt_secret, await keys.read(connection))
    return signer


def _write(path: Path, tokens: list[str]) -> None:
    """Write one token a line, for the owner's eyes: who reads them may book as these accounts."""
    text = "".join(f"{token}\n" for token in tokens)
    if path.exists() and not path.is_file():  # Such as /dev/stdout, or a pipe.
        path.write_text(text, encoding="utf-8")
    else:  # A new file in the place of one that is there: its mode and its readers are not ours.
        write_atomically(path, text.encode())
