"""The fixtures themselves: real servers with the settings that the promises rest on."""

from __future__ import annotations

import os

import asyncpg
import pytest
from redis.asyncio import Redis

from evently.settings import ENV_FILE
from store.sql import queries
from tests.checks import ask


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
        ("no-appendfsync-on-rewrite", "no"),
    ],
)
async def test_valkey_is_durable(redis: Redis, name: str, expected: str) -> None:
    """The Valkey of the tests runs with the durability of production."""
    assert {name: expected} == await ask(redis, "CONFIG GET", name)


async def test_postgres_is_migrated(database: asyncpg.Pool) -> None:
    """The PostgreSQL of the tests has every migration, and every named query fits its schema."""
    assert "on" == await database.fetchval("SHOW synchronous_commit")
    async with database.acquire() as connection:
        for text in queries().values():
            await connection.prepare(text)


def test_environment_is_scrubbed() -> None:
    """No setting of the developer's shell reaches a test."""
    settings = {name: text for name, text in os.environ.items() if name.startswith("EVENTLY_")}
    assert {ENV_FILE: os.devnull} == settings
