"""
How a command ends that could not do its work: one line on stderr and exit code 2, no traceback;
and the note of those that act (`operators.py`).

For every command of `evently` and `reconciler`, whatever it is about: a server that is away, a
setting that is missing, a thing that is not there. What nobody foresaw keeps its traceback.
"""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Any

import typer
from typer.core import TyperGroup

from engine.printable import printable
from evently.embedded.errors import ServerError
from evently.operators import noting
from evently.settings import SettingsError

COULD_NOT = 2


class Group(TyperGroup):
    """A group of commands that end so."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        # The whole line, before it is read.
        words = [*ctx._protected_args, *ctx.args]  # noqa: SLF001
        try:
            with noting(self.name or "", words):
                return super().invoke(ctx)
        except typer.BadParameter as error:
            if error.param is not None:
                raise  # A wrong option: how it is used is told as well.
            line = error.message
        except Exception as error:
            found = said(error)
            if found is None:
                raise
            line = found
        typer.echo(f"{self.name}: {printable(line)}", err=True)
        raise typer.Exit(COULD_NOT)


def said(error: Exception) -> str | None:
    """Say in words what kept a command from its work; None of what is a fault of ours."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - so that `--help` is quick

    from store.ledger import LedgerError  # noqa: PLC0415
    from store.pool import UNANSWERED  # noqa: PLC0415

    if isinstance(error, SettingsError | ServerError | LedgerError):
        return str(error)
    if isinstance(error, RedisError):
        return f"Redis does not answer: {_named(error)}"
    is_file = isinstance(error, OSError) and not _is_of_database(error)
    if isinstance(error, UNANSWERED) and not is_file:
        return f"PostgreSQL does not answer: {_named(error)}"
    if isinstance(error, OSError) and error.errno != errno.EPIPE:  # Of `| head`, Typer knows.
        return _named(error)
    return None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_of_database(error: OSError) -> bool:
    """Tell whether it came through PostgreSQL's driver, and not from a file."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "asyncpg":
            return True
        trace = trace.tb_next
    return False
