"""What the code uses of asyncpg, over links: connections, transactions, pools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from types import TracebackType
from typing import Any

import asyncpg

from store.sql import queries
from tests.determinism.network import Link
from tests.determinism.postgres_server import PostgresServer, Row

#: What `persister.persister` says itself.
LOCK = "SELECT pg_try_advisory_lock($1, $2)"


@cache
def _names() -> dict[str, str]:
    return {text: name for name, text in queries().items()} | {LOCK: "try_lock"}


class _Queries:
    """What asyncpg's connections and pools have in common, on top of `fetch`."""

    async def fetch(self, statement: str, *args: Any) -> list[Row]:
        """See asyncpg."""
        raise AssertionError("each has its own")

    async def fetchrow(self, statement: str, *args: Any) -> Row | None:
        """See asyncpg."""
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *args: Any) -> Any:
        """See asyncpg."""
        rows = await self.fetch(statement, *args)
        return rows[0][0] if rows else None

    async def execute(self, statement: str, *args: Any) -> str:
        """See asyncpg."""
        await self.fetch(statement, *args)
        return ""


class Connection(_Queries):
    """One connection; it stays broken once it is."""

    def __init__(self, link: Link, server: PostgresServer) -> None:
        self._link, self._server = link, server
        self.depth = 0

    async def ask(self, name: str, *args: Any) -> list[Row]:
        """Have a statement executed, by its name."""
        if self._link.is_cut and self._link.process.is_alive:
            raise asyncpg.InterfaceError("connection is closed")
        rows: list[Row] = await self._link.call(
            name, lambda reply: self._server.serve(self._link, name, args, reply)
        )
        return rows

    async def fetch(self, statement: str, *args: Any) -> list[Row]:
        """See asyncpg."""
        return await self.ask(_names()[statement], *args)

    async def copy_records_to_table(
        self, table: str, *, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> str:
        """See asyncpg."""
        assert columns
        await self.ask("copy", table, records)
        return ""

    def transaction(self, *, isolation: str = "", readonly: bool = False) -> _Transaction:
        """See asyncpg; of one snapshot alone where nobody else writes meanwhile."""
        assert readonly == (isolation == "repeatable_read")
        return _Transaction(self)

    async def cursor(self, statement: str, *args: Any, prefetch: int) -> AsyncIterator[Row]:
        """See asyncpg; all rows come at once."""
        assert prefetch
        for row in await self.fetch(statement, *args):
            yield row

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109  asyncpg has it so.
        """See asyncpg."""
        assert timeout
        self._link.cut()


class _Transaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        connection = self._connection
        await connection.ask("SAVE" if connection.depth else "BEGIN")
        connection.depth += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._connection
        connection.depth -= 1
        if connection.depth:
            await connection.ask("BACK" if error is not None else "RELEASE")
        else:
            await connection.ask("ROLLBACK" if error is not None else "COMMIT")


class Pool(_Queries):
    """Statements on their own, each over a connection that works."""

    def __init__(self, connect: Callable[[], Link], server: PostgresServer) -> None:
        self._connect, self._server = connect, server
        self._free: list[Link] = []

    async def fetch(self, statement: str, *args: Any) -> list[Row]:
        """See asyncpg."""
        while self._free and self._free[-1].is_cut:
            self._free.pop()
        link = self._free.pop() if self._free else self._connect()
        try:
            return await Connection(link, self._server).fetch(statement, *args)
        finally:
            self._free.append(link)
