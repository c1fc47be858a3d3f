"""The commands `evently audit show|verify|seal`: the log of acts, read and proved."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import orjson
import typer

from engine.printable import printable, table
from evently.settings import Settings

if TYPE_CHECKING:
    import asyncpg

Done = TypeVar("Done")

app = typer.Typer(help="What staff, organizers, admins and operators did.", no_args_is_help=True)

LIMIT_MAX = 10_000


@app.command()
def show(
    *,
    actor: Annotated[str, typer.Option(help="Acts of this account, or `operator:<name>`.")] = "",
    subject: Annotated[str, typer.Option(help="Acts on this id.")] = "",
    act: Annotated[str, typer.Option(help="Acts of this kind, as `event.close`.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many.")] = 50,
    before: Annotated[int, typer.Option(min=1, help="Only those before this id.")] = 2**63 - 1,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document a line.")] = False,
) -> None:
    """Show acts, the newest first."""
    from store import acts  # noqa: PLC0415 - needed here alone

    async def read(database: asyncpg.Connection) -> list[acts.ActRow]:
        return await acts.page(
            database,
            before_id=before,
            actor=actor or None,
            subject=subject or None,
            act=act or None,
            limit=limit,
        )

    rows = asked(read)
    if as_json:
        for row in rows:
            changes = {"before": _parsed(row.before), "after": _parsed(row.after)}
            sys.stdout.write(orjson.dumps(row._asdict() | changes).decode() + "\n")
        return
    cells = [
        (
            row.id,
            f"{row.at:%Y-%m-%d %H:%M:%S}",
            row.actor,
            row.act,
            row.subject,
            row.outcome if row.intent_id is None else f"{row.outcome} ({row.intent_id})",
            row.origin,
            row.request_id,
            printable(" -> ".join(text for text in (row.before, row.after) if text)),
            printable(row.why),
        )
        for row in rows
    ]
    words = "id time actor act subject outcome from request change why"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo("\n".join(table(words.split(), cells, width=width)))


@app.command()
def verify(
    *,
    known: Annotated[
        list[str] | None,
        typer.Option("--hash", help="A hash that was kept elsewhere, as 2026-01-31=HASH."),
    ] = None,
) -> None:
    """Compare every day's hash with its rows and the day before; 0: all agree, 1: not all do."""
    from store import acts  # noqa: PLC0415 - needed here alone

    wanted = dict(_day_of(text) for text in known or ())
    verdict = asked(lambda database: acts.verify(database, wanted))
    for fault in verdict.faults:
        typer.echo(fault)
    if verdict.last is not None:
        typer.echo(f"last day {verdict.last.day}, hash {verdict.last.hash}")
    typer.echo(f"{verdict.days} days, {verdict.rows} acts, {len(verdict.faults)} faults")
    raise typer.Exit(1 if verdict.faults else 0)


@app.command()
def seal() -> None:
    """Make the hash of every day that is over and has none; API processes do so by themselves."""
    from evently import logs  # noqa: PLC0415 - needed here alone
    from usecases.sealing import seal as make  # noqa: PLC0415 - needed here alone

    logs.to_stderr()
    for one in asked(make):
        typer.echo(f"{one.day}: {one.rows} acts, hash {one.hash}")


def asked(ask: Callable[[asyncpg.Connection], Awaitable[Done]]) -> Done:
    """Ask PostgreSQL over one connection, as the API does."""
    from store.pool import connect  # noqa: PLC0415 - so that `--help` is quick

    settings = Settings.load().require("database_url")

    async def run() -> Done:
        timeout_ms = settings.database_timeout_ms
        database = await connect(settings.database_url_as("api"), timeout_ms=timeout_ms)
        try:
            return await ask(database)
        finally:
            await database.close(timeout=timeout_ms / 1000)

    return asyncio.run(run())


def _day_of(text: str) -> tuple[dt.date, str]:
    day, separator, value = text.partition("=")
    try:
        return dt.date.fromisoformat(day), value.lower() if separator else ""
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not like 2026-01-31=HASH") from error


def _parsed(text: str | None) -> object:
    return None if text is None else orjson.loads(text)
