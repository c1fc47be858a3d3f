"""
The commands of `python -m reconciler`; `check` and `recover` stand here, others in `commands/`.

The one place of this package that knows the settings; all else takes plain values.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.printable import printable
from evently import logs
from evently.command import Group
from evently.settings import Settings, SettingsError
from reconciler.commands import explain as commands_explain
from reconciler.commands import mend as commands_mend
from reconciler.commands import quarantine as commands_quarantine
from reconciler.commands import receipts as commands_receipts
from reconciler.commands import records as commands_records
from reconciler.commands import repair as commands_repair
from reconciler.commands import shards as commands_shards
from reconciler.commands import watch as commands_watch
from reconciler.judge import report
from reconciler.judge.check import Result
from reconciler.judge.check import check as run_check
from reconciler.servers import Servers

#: Settings that every command but `receipts` needs.
SERVERS = ("redis_url", "database_url")
#: Seconds between two words on progress.
PROGRESS_INTERVAL_S = 1.0
#: Tries to have a thawed shard before a coordinator that runs beside, which does not rebuild.
THAW_TRIES = 10
THAW_PAUSE_S = 0.3

app = typer.Typer(
    name="reconciler",
    cls=Group,
    help="Prove that Redis and PostgreSQL agree; open shards after a fault.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _servers(*, with_logs: bool = False) -> Servers:
    """Read where the servers are from the settings; what each registered command is given."""
    settings = _settings(*SERVERS)
    if with_logs:
        logs.configure(settings.log_level, "reconciler")
    else:  # Stdout is the answer's.
        logs.to_stderr()
    return _servers_of(settings)


def _servers_of(settings: Settings) -> Servers:
    return Servers(
        redis_servers=settings.redis_servers_as("coordinator"),
        database_url=settings.database_url_as("coordinator"),
        redis_timeout_ms=settings.redis_timeout_ms,
        database_timeout_ms=settings.database_timeout_ms,
        journal_backlog_records_max=settings.journal_backlog_records_max,
        journal_backlog_bytes_max=settings.journal_backlog_bytes_max,
        journal_backlog_age_ms_max=settings.journal_backlog_age_ms_max,
        durability=settings.durability,
        hold_life_max_ms=settings.hold_life_max_ms,
        offer_ttl_ms=settings.offer_ttl_ms,
    )


commands_explain.register(app, _servers)
commands_mend.register(app, _servers)
commands_records.register(app, _servers)
commands_repair.register(app, _servers)
commands_shards.register(app, _servers)
commands_watch.register(app, _servers)


def _settings(*needed: str) -> Settings:
    return Settings.load().require(*needed)


def _own_keys() -> list[bytes]:
    settings = _settings()
    url = settings.database_url and settings.database_url_as("coordinator")
    return commands_receipts.own_keys(
        settings.ticket_signing_key, url, settings.database_timeout_ms
    )


commands_receipts.register(app, _own_keys, _servers)


@app.command()
def check(
    *,
    event: Annotated[str | None, typer.Option(help="Check this event alone.")] = None,
    shard: Annotated[int | None, typer.Option(min=0, help="Check this shard alone.")] = None,
    all_shards: Annotated[bool, typer.Option("--all", help="Check everything (default).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare Redis and PostgreSQL; exit code 0: clean, 1: drift, 2: could not check."""
    if (event is not None) + (shard is not None) + all_shards > 1:
        raise typer.BadParameter("give one of --event, --shard and --all")
    try:
        result = _checked(_settings(*SERVERS), event, shard)
    except SettingsError as error:
        result = Result(errors=[str(error)])
    if as_json:
        sys.stdout.write(report.document(result).decode())
        sys.stdout.flush()
    else:
        report.show(result, Console(file=sys.stdout), Console(file=sys.stderr))
    raise typer.Exit(result.exit_code)


@app.command()
def recover(
    *,
    watch: Annotated[bool, typer.Option(help="Keep the shards open until SIGTERM.")] = False,
    shard: Annotated[str, typer.Option(help="Number of a shard, or `all`.")] = "all",
    thaw: Annotated[
        int | None, typer.Option(min=0, help="Try this frozen shard again: you have looked.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option(help="With --thaw: take PostgreSQL alone; what only Redis has is lost.")
    ] = False,
    receipts: Annotated[
        Path | None,
        typer.Option(help="File of receipts, one a line: the last source, then redeemed."),
    ] = None,
) -> None:
    """Open shards: fence Redis, drain its journal, keep or rebuild it, open a new epoch."""
    settings = _settings(*SERVERS)
    if thaw is not None and (watch or shard != "all"):
        raise typer.BadParameter("--thaw names its shard, and stands without --watch and --shard")
    if rebuild and thaw is None:
        raise typer.BadParameter("--rebuild needs --thaw and the number of a frozen shard")
    word = shard if thaw is None else str(thaw)
    if word != "all" and not word.isdigit():
        raise typer.BadParameter("--shard is a number, or `all`")
    if receipts is not None and watch:
        raise typer.BadParameter("--receipts is for once; redeem them with `receipts redeem`")
    if watch:
        logs.configure(settings.log_level, "reconciler")
    else:  # Stdout is the answer's.
        logs.to_stderr()
    from reconciler.recover import keeper  # noqa: PLC0415  `check` needs none of it.

    more_records = None if receipts is None else commands_receipts.read(receipts, _own_keys)
    for number in range(THAW_TRIES if rebuild or receipts else 1):
        if thaw is not None and not _thawed(settings, thaw) and not number:
            if receipts is None:
                raise typer.BadParameter(f"shard {thaw} is not frozen")
            typer.echo(f"shard {thaw} is not frozen: its receipts are redeemed as it is", err=True)
            rebuild = False
        code = asyncio.run(
            keeper.run(
                _servers_of(settings),
                only=None if word == "all" else int(word),
                shards_at_first=settings.shards,
                watch=watch,
                is_rebuild_forced=rebuild,
                more_records=more_records,
                tell=lambda recovered: typer.echo("\n".join(map(printable, recovered.lines()))),
            )
        )
        if thaw is None or code == 0:
            break
        time.sleep(THAW_PAUSE_S)  # A running coordinator took it first, and has frozen it again.
    if receipts is not None:
        # Whether a shard was opened with them, or had opened by itself before.
        code = max(code, commands_receipts.redeem_file(_servers_of(settings), receipts, _own_keys))
    raise typer.Exit(code)


def _thawed(settings: Settings, shard: int) -> bool:
    from reconciler.recover import keeper  # noqa: PLC0415  `check` needs none of it.

    url, timeout_ms = settings.database_url_as("coordinator"), settings.database_timeout_ms
    return asyncio.run(keeper.thaw(database_url=url, shard=shard, database_timeout_ms=timeout_ms))


def _checked(settings: Settings, event: str | None, shard: int | None) -> Result:
    return asyncio.run(
        run_check(_servers_of(settings), shard=shard, event_id=event, progress=_Progress())
    )


def _find_database() -> tuple[str, int]:
    settings = _settings(*SERVERS)
    return settings.database_url_as("coordinator"), settings.database_timeout_ms


class _Progress:
    """Says on stderr what is going on, once a second at most and not before the first."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= PROGRESS_INTERVAL_S:
            self._said_at = now
            sys.stderr.write(text + "\n")


app.add_typer(commands_quarantine.make(_find_database), name="quarantine")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
