"""
The command `evently`.

Owns the commands' names, options and what they print. An error that the operator can mend is one
line on stderr and exit code 2, never a traceback. Each command imports what it needs when it runs,
so that `evently --help` is quick. Leaves the work to the modules that the commands call.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from evently.embedded.errors import ServerError
from evently.settings import ENV_PREFIX, REDIS_PASSWORDS, Settings, SettingsError, environment

app = typer.Typer(
    name="evently",
    help="Redis-first booking engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(config, name="config")


def main() -> None:
    """Run the command line; errors for the operator are one line and exit code 2."""
    try:
        app()
    except (SettingsError, ServerError) as error:
        typer.echo(f"evently: {error}", err=True)
        raise SystemExit(2) from None


@app.command()
def up() -> None:
    """Run everything here: servers, coordinator, persisters and API, until Ctrl-C."""
    from evently import logs  # noqa: PLC0415
    from evently.up import up as run_up  # noqa: PLC0415

    # Not `load()`: a note left by a killed run must not be taken for servers of one's own.
    settings = Settings.from_env(environment())
    logs.configure(settings.log_level, "supervisor")
    raise typer.Exit(run_up(settings, os.environ))


@app.command()
def api() -> None:
    """Run one API process."""
    _become("api")


@app.command()
def persister(
    shard: Annotated[int, typer.Option(min=0, help="Number of the shard, from 0.")],
) -> None:
    """Run the persister of one shard."""
    _become("persister", "--shard", str(shard))


@app.command()
def sweeper() -> None:
    """Run the sweeper, which ends overdue holds on all shards."""
    import uvloop  # noqa: PLC0415 - needed here alone

    from evently.logs import configure  # noqa: PLC0415 - needed here alone
    from evently.sweep import sweep  # noqa: PLC0415 - needed here alone

    settings = Settings.load().require("redis_url", "database_url")
    configure(settings.log_level, "sweeper")
    uvloop.run(sweep(settings))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    canary: Annotated[bool, typer.Option(help="Try a replay on a scratch server.")] = True,
) -> None:
    """Say whether the servers keep what is booked: 0 yes, 1 no, 2 could not be asked."""
    from evently import doctor as practice  # noqa: PLC0415

    settings = Settings.load().require("database_url")
    report = asyncio.run(practice.examine(settings))
    if canary:
        practice.add_canary(report)
    practice.show(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


@app.command()
def acl() -> None:
    """Print the ACL file for a Redis of one's own, from EVENTLY_REDIS_*_PASSWORD."""
    from engine import acl as users  # noqa: PLC0415

    settings = Settings.load().require(*REDIS_PASSWORDS)
    words = {
        role: users.credential(getattr(settings, f"redis_{role}_password")) for role in users.ROLES
    }
    typer.echo(users.file(words), nl=False)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    from store.migrate import MigrationError  # noqa: PLC0415
    from store.migrate import migrate as run_migrate  # noqa: PLC0415
    from store.pool import UNANSWERED  # noqa: PLC0415

    settings = Settings.load().require("database_url")
    try:
        applied = asyncio.run(
            run_migrate(settings.database_url, passwords=settings.database_passwords)
        )
    except (MigrationError, *UNANSWERED) as error:
        raise ServerError(f"the database cannot be made ready: {error}") from error
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@app.command()
def seed(
    users: Annotated[int, typer.Option(min=1, help="Number of users.")],
    tokens: Annotated[Path, typer.Option(help="File that the users' tokens are written to.")],
    force: Annotated[bool, typer.Option("--force", help="Even in production.")] = False,
) -> None:
    """Make users for a trial and write a token of each to a file."""
    from evently.seed import seed_users  # noqa: PLC0415

    settings = Settings.load().require("database_url", "jwt_secret")
    if settings.environment == "production" and not force:
        raise SettingsError("seeding is refused in production; --force overrides")
    asyncio.run(seed_users(settings, users=users, tokens=tokens))


@config.command()
def show() -> None:
    """Show every setting, its value (secrets hidden) and where it comes from."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    own = Settings.from_env(environment())
    effective = Settings.load()
    table = Table("variable", "value", "from")
    for field, value in effective.masked().items():
        variable = ENV_PREFIX + field.upper()
        table.add_row(variable, value, _origin(field, own, effective))
    Console().print(table)


def _origin(field: str, own: Settings, effective: Settings) -> str:
    """Tell where a setting's value comes from."""
    variable = ENV_PREFIX + field.upper()
    if os.environ.get(variable):
        return "environment"
    if environment().get(variable):
        return ".env"
    return "default" if getattr(own, field) == getattr(effective, field) else "running"


def _become(*words: str) -> None:
    """Go on as `python -m words`: one process, whose signals and exit code are its own."""
    os.execv(sys.executable, [sys.executable, "-m", *words])  # noqa: S606 - our own module
