"""
The commands `python -m reconciler quarantine list|replay|discard|thaw`.

The store's part is `store.quarantine`. Exit codes: 0 done, or would be done; 1 refused (`list`:
something waits); 2 PostgreSQL did not answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import orjson
import typer

from engine.errors import CorruptRecord
from engine.printable import printable
from engine.records import seal
from store import quarantine, reigns
from store.pool import UNANSWERED, connect
from store.quarantine import CannotResolve

DONE, REFUSED, AWAY = 0, 1, 2

Document = dict[str, Any]

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
            lambda database: _listing(database, shard, resolved=resolved),
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
            lambda database: _replay(
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
            lambda database: _discard(database, (shard, epoch, seq), by=by, why=why, applies=apply),
            as_json=as_json,
        )

    @app.command()
    def thaw(shard: int, *, apply: Apply = False, as_json: AsJson = False) -> None:
        """Let the coordinator take up a frozen shard of which no record waits."""
        _run(find_database, lambda database: _thaw(database, shard, applies=apply), as_json=as_json)

    return app


async def _listing(
    database: asyncpg.Connection, shard: int | None, *, resolved: bool
) -> tuple[int, Document]:
    """Return what waits for a human; code 1 if anything does."""
    rows = await quarantine.rows_of(database, shard, resolved=resolved)
    conflicts = await quarantine.conflicts(database, shard)
    waiting = sum(row.state == "held" for row in rows) + len(conflicts)
    return REFUSED if waiting else DONE, {
        "quarantine": [
            row._asdict() | {"record": row.record.decode(errors="backslashreplace")} for row in rows
        ],
        "conflicts": [conflict._asdict() for conflict in conflicts],
    }


async def _replay(
    database: asyncpg.Connection,
    place: tuple[int, int, int],
    body: bytes,
    *,
    by: str,
    why: str,
    applies: bool,
) -> tuple[int, Document]:
    """Write the mended record *body*, JSON without a check, in the place of a parked one."""
    try:
        again = await quarantine.replay(
            database, place=place, raw=seal(body.strip()), by=by, why=why, applies=applies
        )
    except (CannotResolve, CorruptRecord) as error:
        return REFUSED, _refused(place, str(error))
    return DONE, _done("replayed", place, applies) | {
        "written_again": [{"epoch": epoch, "seq": seq} for epoch, seq in again]
    }


async def _discard(
    database: asyncpg.Connection, place: tuple[int, int, int], *, by: str, why: str, applies: bool
) -> tuple[int, Document]:
    """Give a parked record up."""
    try:
        await quarantine.discard(database, place=place, by=by, why=why, applies=applies)
    except CannotResolve as error:
        return REFUSED, _refused(place, str(error))
    return DONE, _done("discarded", place, applies)


async def _thaw(database: asyncpg.Connection, shard: int, *, applies: bool) -> tuple[int, Document]:
    """Let the coordinator take up a frozen shard of which no record waits any more."""
    document: Document = {"shard": shard, "applied": False}
    held = await quarantine.held(database, shard)
    row = await reigns.read(database, shard)
    if held:
        return REFUSED, document | {"refused": f"{held} records are in quarantine still"}
    if row is None or row.state != "frozen":
        return REFUSED, document | {"refused": "the shard is not frozen"}
    if applies and not await reigns.thaw(database, shard):
        return REFUSED, document | {"refused": "the shard is not frozen any more"}
    return DONE, document | {"applied": applies, "was_frozen_for": row.reason}


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
    except UNANSWERED as error:
        code, document = AWAY, {"error": f"PostgreSQL: {type(error).__name__}: {error}"}
    if as_json:
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(document | {"exit_code": code}, option=option).decode())
    elif "error" in document:
        typer.echo(printable(document["error"]), err=True)
    else:
        sys.stdout.write("\n".join(map(printable, _lines(document))) + "\n")
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
    if document.get("applied") is False and "refused" not in document:
        lines.append("not done yet: add --apply")
    return lines


def _place(place: tuple[int, int, int]) -> Document:
    return dict(zip(("shard", "epoch", "seq"), place, strict=True))


def _refused(place: tuple[int, int, int], why: str) -> Document:
    return _place(place) | {"applied": False, "refused": why}


def _done(what: str, place: tuple[int, int, int], applies: bool) -> Document:
    return _place(place) | {"state": what, "applied": applies}
