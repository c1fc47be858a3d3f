"""A connection to PostgreSQL that fails at a point of the test's choice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction

from persister import persister as module
from store import pool

#: Called at every point with its name: before and after each statement and each commit.
Hook = Callable[[str, asyncpg.Connection], Awaitable[None]]


class _FaultyTransaction:
    """A transaction with a point before and after its commit."""

    def __init__(self, real: asyncpg.Connection, hook: Hook) -> None:
        self._real = real
        self._hook = hook
        self._transaction: Transaction = real.transaction()

    async def __aenter__(self) -> None:
        await self._transaction.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            try:
                await self._hook("before commit", self._real)
            except BaseException as fault:
                await self._transaction.__aexit__(type(fault), fault, None)
                raise
        await self._transaction.__aexit__(kind, error, trace)
        if kind is None:
            await self._hook("after commit", self._real)


class Faulty:
    """Stands for a connection: every statement has a point before and after it."""

    def __init__(self, real: asyncpg.Connection, hook: Hook) -> None:
        self._real = real
        self._hook = hook

    def transaction(self) -> _FaultyTransaction:
        """Begin a transaction."""
        return _FaultyTransaction(self._real, self._hook)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name not in {"execute", "fetch", "fetchrow", "fetchval", "copy_records_to_table"}:
            return method

        async def faulty(*args: Any, **options: Any) -> Any:
            await self._hook(f"before {args[0]}", self._real)
            result = await method(*args, **options)
            await self._hook(f"after {args[0]}", self._real)
            return result

        return faulty


def install(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    """Let every persister connect through a `Faulty`."""
    connect = pool.connect

    async def faulty(url: str, *, timeout_ms: int) -> Faulty:
        return Faulty(await connect(url, timeout_ms=timeout_ms), hook)

    monkeypatch.setattr(module, "connect", faulty)
