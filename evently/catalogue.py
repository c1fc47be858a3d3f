"""
`evently events import` and `export`: catalogues in and out of PostgreSQL.

Says on stdout what is wrong, row by row, and what became of all, and shows a bar on stderr where
that is a terminal. How files are read and what is taken of them, `usecases.imports` knows.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.ids import is_id
from engine.printable import printable
from evently.embedded.errors import ServerError
from evently.operators import operator
from evently.settings import Settings
from store import imports as rows
from store import reigns
from store.pool import Pool, create_pool
from usecases import exports, imports, told
from usecases.candidates import Defaults

__all__ = ["Defaults", "export_file", "import_file"]

FILE_BYTES_MAX = 512 * 1024 * 1024
#: Of a statement, which here writes hundreds of events.
TIMEOUT_MS = 60_000
EXPORT_EVENTS = 1_000
#: Forms of files by the ends of their names.
_FORMS = {
    ".csv": "csv",
    ".json": "jsonld",
    ".jsonld": "jsonld",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


async def import_file(
    settings: Settings,
    file: Path,
    *,
    organizer: str,
    form: str,
    defaults: Defaults,
    is_dry_run: bool,
) -> told.Imported:
    """
    Make drafts of the events of a file; say what cannot be sold, row by row, and the sum.

    Raises:
        ServerError: the file is too large or of no known format, or it is not clear whose events
            these are to be.
    """
    format_ = cast("imports.Format", _form(file, form))
    content = _content(file)
    pool = await create_pool(settings.database_url, connections_max=1, timeout_ms=TIMEOUT_MS)
    started_s = time.monotonic()
    try:
        shards = [row.shard for row in await reigns.shards(pool) if not row.is_reserved]
        if not shards:
            raise ServerError("there is no shard yet for events to live on: `evently up` makes one")
        target = imports.Target(pool, await _organizer(pool, organizer), shards, operator())
        with _bar() as bar:
            task = bar.add_task("events", total=None)
            done = await imports.run(
                target,
                format_,
                content,
                defaults,
                is_dry_run=is_dry_run,
                on_problem=_say,
                on_rows=lambda row, total: bar.update(task, completed=row, total=total),
            )
    finally:
        await pool.close()
    typer.echo(
        f"IMPORT{' dry-run' if is_dry_run else ''} rows={done.rows} events={done.events} "
        f"made={done.made} changed={done.changed} unchanged={done.unchanged} "
        f"refused={done.refused} seconds={time.monotonic() - started_s:.1f}"
    )
    return done


async def export_file(settings: Settings, file: Path, *, organizer: str, form: str) -> int:
    """Write an organizer's events into a file; return how many there were."""
    shape = exports.FORMS[_form(file, form)]
    pool = await create_pool(settings.database_url, connections_max=1, timeout_ms=TIMEOUT_MS)
    count, after_id, mark = 0, "", shape.head
    try:
        organizer_id = await _organizer(pool, organizer)
        with _out(file) as out, _bar() as bar:
            task = bar.add_task("events", total=None)
            while True:
                part = await exports.part_of(
                    pool, organizer_id, form=shape, after_id=after_id, limit=EXPORT_EVENTS
                )
                out.write((mark + shape.between.join(part.events)).encode())
                count += len(part.events)
                bar.update(task, completed=count)
                after_id, mark = part.last_id, shape.between
                if not after_id:
                    break
            out.write(shape.foot.encode())
    finally:
        await pool.close()
    return count


@contextlib.contextmanager
def _out(file: Path) -> Iterator[BinaryIO]:
    """Open what is written to; stdout stays open."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with file.open("wb") as out:
            yield out


def _say(problem: told.RowProblem) -> None:
    """Say what is wrong with a row."""
    kind = "refused" if problem.is_refused else "taken"
    field = f"{problem.field}: " if problem.field else ""
    typer.echo(printable(f"row {problem.row}: {kind}: {field}{problem.detail}"))


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _form(file: Path, form: str) -> str:
    found = form or _FORMS.get(file.suffix.lower(), "")
    if found not in exports.FORMS:
        raise ServerError(f"say by --format what the file is: {', '.join(exports.FORMS)}")
    return found


def _content(file: Path) -> bytes:
    stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    with stream:
        content = stream.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ServerError(f"the file has more than {FILE_BYTES_MAX >> 20} MiB: split it")
    return content


async def _organizer(pool: Pool, given: str) -> str:
    """Return the organizer whose the events are; the only one if none is named."""
    if given:
        if not is_id("org", given) or not await rows.has_organizer(pool, given):
            raise ServerError(f"there is no organizer {given}")
        return given
    found = await rows.organizers(pool)
    if len(found) != 1:
        raise ServerError("say by --organizer whose events these are")
    return found[0]
