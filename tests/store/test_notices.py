"""`store/notices.py`: whatever a connection dies of, the next one is listened to."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from store import notices
from store.notices import REIGNS, Notices
from store.pool import connect

#: What asyncpg raises where PostgreSQL dies in the middle of something.
DEATHS = [
    OSError("away"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
]


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
async def test_listens_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, death: Exception
) -> None:
    """A connection that dies while it is made is replaced, and notices are heard on the next."""
    dying, heard = [death], asyncio.Event()

    async def connect_late(*words: Any, **more: Any) -> asyncpg.Connection:
        if dying:
            raise dying.pop()
        return await connect(*words, **more)

    monkeypatch.setattr(notices, "connect", connect_late)
    monkeypatch.setattr(notices, "RETRY_INTERVAL_S", 0.01)
    listener = Notices(database_url, {REIGNS: lambda _: heard.set()}, timeout_ms=10_000)
    listener.start()
    try:
        async with asyncio.timeout(30):
            await heard.wait()
    finally:
        await listener.close()
