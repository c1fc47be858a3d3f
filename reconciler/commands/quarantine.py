"""
The commands `python -m reconciler quarantine list|replay|discard|thaw`.

Words of the command line alone; `reconciler.judge.quarantine` does the work. Exit codes: 0 done, or
would be done; 1 refused (`list`: something waits); 2 PostgreSQL did not answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import asyncpg
import orjson
import typer

from reconciler.judge import quarantine
from reconciler.judge.quarantine import AWAY, Document
from store.pool import connect

#: Returns the URL of PostgreSQL and the time that one statement may take, in ms.
FindDatabase = Callable[[], tuple[str, int]]

_Work = Callable[[asyncpg.Connection], Awaitable[tuple[int, Document]]]

By = Annotated[str, typer.Option("--by", help="Who answers for it.")]
Why = Annotated[str, typer.Option("--why", help="Why.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; otherwise only try.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def make(find_database: FindDatabase) -> typer.Typer:
    """Return the commands, for the database that *find_database* names when one is called."""
    app = typer.Typer(help="Records that could not be persisted.", no_args_is_help=True)

    @app.command("list")
    def list_(
        *,
        shard: Annotated[int | None, typer.Option(min=0, help="This shard alone.")] = None,
        resolved: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show parked records and conflicts; exit code 1 if any waits."""
        _run(
            find_database,
            lambda database: quarantine.listing(database, shard, resolved=resolved),
            as_json=as_json,
        )

    @app.command()
    def replay(
        shard: int,
        epoch: int,
        seq: int,
        file: Annotated[Path, typer.Argument(help="The mended record, JSON.", exists=True)],
        *,
        by: By,
        why: Why = "",
        apply: Apply = False,
        as_json: AsJson = False,
    ) -> None:
        """Write a mended record in the place of a parked one."""
        body = file.read_bytes()
        _run(
            find_database,
            lambda database: quarantine.replay(
                database, (shard, epoch, seq), body, by=by, why=why, applies=apply
            ),
            as_json=as_json,
        )

    @app.command()
    def discard(
        shard: int,
        epoch: int,
        seq: int,
        *,
        by: By,
        why: Why,
        apply: Apply = False,
        as_json: AsJson = False,
    ) -> None:
        """Give a parked record up for good."""
        _run(
            find_database,
            lambda database: quarantine.discard(
                database, (shard, epoch, seq), by=by, why=why, applies=apply
            ),
            as_json=as_json,
        )

    @app.command()
    def thaw(shard: int, *, apply: Apply = False, as_json: AsJson = False) -> None:
        """Let the coordinator take up a frozen shard of which no record waits."""
        _run(
            find_database,
            lambda database: quarantine.thaw(database, shard, applies=apply),
            as_json=as_json,
        )

    return app


def _run(find_database: FindDatabase, work: _Work, *, as_json: bool) -> None:
    """Do *work* with a connection, write its document, and exit with its code."""
    url, timeout_ms = find_database()

    async def run() -> tuple[int, Document]:
        database = await connect(url, timeout_ms=timeout_ms)
        try:
            return await work(database)
        finally:
            await database.close(timeout=timeout_ms / 1000)

    try:
        code, document = asyncio.run(run())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        code, document = AWAY, {"error": f"PostgreSQL: {type(error).__name__}: {error}"}
    if as_json:
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(document | {"exit_code": code}, option=option).decode())
    else:
        sys.stdout.write("\n".join(_lines(document)) + "\n")
    raise typer.Exit(code)


def _lines(document: Document) -> list[str]:
    """Return a document as people read it."""
    if "quarantine" in document:
        lines = [
            f"{row['shard']}:{row['epoch']}:{row['seq']}  {row['state']}  {row['reason']}"
            + (f"  by {row['changed_by']}: {row['note']}" if row["changed_by"] else "")
            for row in document["quarantine"]
        ] + [
            f"{row['shard']}:{row['epoch']}:{row['seq']}  conflict  {row['reason']}"
            for row in document["conflicts"]
        ]
        return lines or ["nothing waits"]
    lines = [f"{key}: {value}" for key, value in document.items()]
    if document.get("applied") is False and not document.keys() & {"refused", "error"}:
        lines.append("not done yet: add --apply")
    return lines
