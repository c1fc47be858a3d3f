"""
The command `evently`.

Owns the commands' names, options and what they print. Each command imports what it needs when it
runs, so that `evently --help` is quick. Leaves the work to the modules that the commands call, and
how one ends that could not do it to `command.py`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.printable import printable, table
from evently import audit, person
from evently.admin_commands import admin
from evently.command import Group
from evently.embedded.errors import ServerError
from evently.settings import ENV_PREFIX, REDIS_PASSWORDS, Settings, SettingsError, environment

app = typer.Typer(
    name="evently",
    cls=Group,
    help="Redis-first booking engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(config, name="config")
redis_log = typer.Typer(help="The append-only log of Redis.", no_args_is_help=True)
app.add_typer(redis_log, name="redis-log")
app.add_typer(admin, name="admin")
app.add_typer(audit.app, name="audit")
app.add_typer(person.app, name="person")
shards = typer.Typer(help="The shards, and the servers they live on.", no_args_is_help=True)
app.add_typer(shards, name="shards")
events = typer.Typer(help="The catalogue: events in and out as files.", no_args_is_help=True)
app.add_typer(events, name="events")
sample = typer.Typer(help="A sample of events, to look at.", no_args_is_help=True)
app.add_typer(sample, name="sample")
keys = typer.Typer(help="The keys that sign tokens and tickets.", no_args_is_help=True)
app.add_typer(keys, name="keys")
#: Settings that `evently keys` seals new keys with.
SEALED_WITH = ("database_url", "jwt_secret", "ticket_signing_key")
#: What those need who sell as an API process does.
SAMPLE_NEEDS = ("redis_url", *SEALED_WITH)
limits = typer.Typer(help="Limits of how much somebody may try.", no_args_is_help=True)
app.add_typer(limits, name="limits")


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def up() -> None:
    """Run everything here: servers, coordinator, persisters and API, until Ctrl-C."""
    from evently import logs, telemetry  # noqa: PLC0415
    from evently.up import up as run_up  # noqa: PLC0415

    # Not `load()`: a note left by a killed run must not be taken for servers of one's own.
    settings = Settings.from_env(environment())
    logs.configure(settings.log_level, "supervisor")
    telemetry.require()
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


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def notifier(context: typer.Context) -> None:
    """Run the notifier: mail and webhooks; or one of its commands: `evently notifier --help`."""
    _become("notifier", *context.args)


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


@app.command()
def retention(
    *, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False
) -> None:
    """Take what was kept long enough, and what erased persons wrote; once a day is good."""
    from evently.retention import run  # noqa: PLC0415 - so that `--help` is quick

    settings = Settings.load().require("database_url")
    gone = asyncio.run(
        run(settings, applies=not dry_run, tell=lambda text: typer.echo(text, err=True))
    )
    for kind, rows in gone.items():
        typer.echo(f"{kind}: {rows} {'would go' if dry_run else 'gone'}")


@limits.command("lift")
def lift_limits(
    email: Annotated[str, typer.Option(help="Address of an account.")] = "",
    address: Annotated[str, typer.Option(help="Network address, IPv4 or IPv6.")] = "",
) -> None:
    """Give an account or a network address all its attempts again."""
    from evently import logs  # noqa: PLC0415
    from evently.limits import lift  # noqa: PLC0415

    settings = Settings.load().require("database_url", "jwt_secret")
    if not (email or address):
        raise SettingsError("whose limits? name --email or --address")
    logs.to_stderr()
    number = asyncio.run(lift(settings, email=email, address=address))
    typer.echo(f"{number} limits lifted")


@admin.command("forget-passkeys")
def forget_passkeys(
    email: Annotated[str, typer.Option(help="The admin's address, if it is another.")] = "",
) -> None:
    """Delete the admin's passkeys, whose devices are lost; new ones are made after the password."""
    from evently import admin as practice  # noqa: PLC0415
    from evently import logs  # noqa: PLC0415

    settings = Settings.load().require("database_url")
    logs.to_stderr()
    email = email or settings.admin_email
    count = asyncio.run(practice.forget_passkeys(settings, email))
    typer.echo(f"{email}  {count} passkeys deleted")


@redis_log.command("check")
def check_log() -> None:
    """Say whether the log of the embedded Redis, which must not run, is whole: 0 yes, 1 no."""
    _examine_log(fix=False)


@redis_log.command("fix")
def fix_log() -> None:
    """Copy that log, then cut it at its damage; what follows is lost. 0: it is whole, 1: not."""
    _examine_log(fix=True)


@redis_log.command("rewrite")
def rewrite_log() -> None:
    """Have the running Redis write its log anew, from what it has in memory."""
    from evently.redis_log import rewrite  # noqa: PLC0415

    settings = Settings.load().require("redis_url")
    for name in asyncio.run(rewrite(settings)):
        typer.echo(f"server {name}: its log is written anew")


@config.command()
def show() -> None:
    """Show every setting, its value (secrets hidden) and where it comes from."""
    own = Settings.from_env(environment())
    effective = Settings.load()
    rows = [
        (ENV_PREFIX + field.upper(), value, _origin(field, own, effective))
        for field, value in effective.masked().items()
    ]
    _print_table(("variable", "value", "from"), rows)


@shards.command("list")
def list_shards() -> None:
    """Show which shards there are, where they live, and whether they are open."""
    from evently.shards import listed  # noqa: PLC0415
    from reconciler.recover.frozen import remedy  # noqa: PLC0415

    settings = Settings.load().require("redis_url", "database_url")
    found = asyncio.run(listed(settings))
    rows = [
        (
            one.shard,
            one.home if one.home in settings.redis_servers else f"{one.home} (not in settings)",
            one.state,
            one.epoch,
            "by hand alone" if one.is_reserved else "yes",
        )
        for one in found
    ]
    _print_table(("shard", "server", "state", "epoch", "new events"), rows)
    for one in found:
        if one.state == "frozen":
            text = f"shard {one.shard} is frozen: {one.reason}; {remedy(one.shard, one.reason)}"
            typer.echo(printable(text))


@shards.command("add")
def add_shards(
    count: Annotated[int, typer.Argument(min=1, max=64, help="How many.")] = 1,
    home: Annotated[str, typer.Option(help="Name of the server; else the one with fewest.")] = "",
    reserved: Annotated[
        bool, typer.Option("--reserved", help="Only for events that are put there by hand.")
    ] = False,
) -> None:
    """Add shards; all processes see them within a second, and a coordinator opens them."""
    from evently.shards import add  # noqa: PLC0415

    settings = Settings.load().require("redis_url", "database_url")
    for number in asyncio.run(add(settings, count, home=home, is_reserved=reserved)):
        typer.echo(f"shard {number}: added")


@shards.command("move")
def move_shard(
    shard: Annotated[int, typer.Argument(min=0, help="Number of the shard.")],
    to: Annotated[str, typer.Option("--to", help="Name of its new server.")],
    old_home_is_gone: Annotated[str, typer.Option(help="See `reconciler move`.")] = "",
) -> None:
    """Move a shard to another server, as `reconciler move` does."""
    gone = ("--old-home-is-gone", old_home_is_gone) if old_home_is_gone else ()
    _become("reconciler", "move", str(shard), "--to", to, *gone)


@keys.command("list")
def list_keys() -> None:
    """Show which keys count, which of them sign, and until when the others verify."""
    from evently import keys as ring  # noqa: PLC0415

    found = asyncio.run(ring.listed(Settings.load().require(*SEALED_WITH)))
    rows = [
        (one.kid, one.purpose, one.state, _time(one.signs_at), _time(one.retires_at))
        for one in found
    ]
    _print_table(("key", "signs what", "state", "signs from", "verifies until"), rows)


@keys.command()
def rotate(
    what: Annotated[
        Literal["tokens", "tickets"], typer.Argument(help="Whose key is to be new.")
    ] = "tokens",
) -> None:
    """Make a new key: it verifies everywhere at once, and signs a little later."""
    from evently import keys as ring  # noqa: PLC0415
    from evently import logs  # noqa: PLC0415

    settings = Settings.load().require(*SEALED_WITH)
    logs.to_stderr()
    made = asyncio.run(ring.rotate(settings, what))
    typer.echo(f"{made.kid}: signs {what} from {_time(made.signs_at)}")


@keys.command()
def retire(
    key: Annotated[str, typer.Argument(help="Its name, as `evently keys list` shows it.")],
) -> None:
    """End a key now: what it signed lets nobody in any more."""
    from evently import keys as ring  # noqa: PLC0415
    from evently import logs  # noqa: PLC0415

    settings = Settings.load().require(*SEALED_WITH)
    logs.to_stderr()
    what = asyncio.run(ring.retire(settings, key))
    typer.echo(f"{key}: retired; {what} that it signed end within a second")


def _time(moment: dt.datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%SZ}"


@events.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(help="CSV, or events of schema.org as JSON; - is stdin.")],
    organizer: Annotated[str, typer.Option(help="Id; may be left out if there is one.")] = "",
    form: Annotated[str, typer.Option("--format", help="csv, jsonld or jsonl; by the name.")] = "",
    timezone: Annotated[str, typer.Option(help="Zone of rows that name none.")] = "UTC",
    capacity: Annotated[
        int, typer.Option(min=-1, max=10_000_000, help="Places of rows that name none.")
    ] = -1,
    currency: Annotated[str, typer.Option(help="Currency of rows that name none.")] = "",
    weeks_later: Annotated[
        int, typer.Option(min=0, max=2_000, help="Move all times: a sample of an old catalogue.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make nothing, say all.")] = False,
) -> None:
    """Make drafts of a catalogue: 0 all were taken, 1 not all, 2 it could not be done."""
    from evently import catalogue  # noqa: PLC0415

    settings = Settings.load().require("database_url")
    defaults = catalogue.Defaults(
        timezone, None if capacity < 0 else capacity, currency.strip().upper(), weeks_later
    )
    done = asyncio.run(
        catalogue.import_file(
            settings, file, organizer=organizer, form=form, defaults=defaults, is_dry_run=dry_run
        )
    )
    raise typer.Exit(1 if done.refused else 0)


@events.command("export")
def export_events(
    file: Annotated[Path, typer.Argument(help="Where to; - is stdout.")],
    organizer: Annotated[str, typer.Option(help="Id; may be left out if there is one.")] = "",
    form: Annotated[str, typer.Option("--format", help="csv, jsonld or jsonl; by the name.")] = "",
) -> None:
    """Write an organizer's events as a table, or as objects of schema.org."""
    from evently import catalogue  # noqa: PLC0415

    settings = Settings.load().require("database_url")
    count = asyncio.run(catalogue.export_file(settings, file, organizer=organizer, form=form))
    typer.echo(f"EXPORT events={count}", err=True)


@sample.command("add")
def add_sample() -> None:
    """Add twelve events, one of which opens in a minute to a small crowd; never in production."""
    from evently import logs  # noqa: PLC0415
    from evently import sample as practice  # noqa: PLC0415

    settings = Settings.load().require(*SAMPLE_NEEDS)
    logs.to_stderr()
    typer.echo(f"SAMPLE added={asyncio.run(practice.add(settings))}")


@sample.command("remove")
def remove_sample() -> None:
    """Take the sample away: its events go off view, its bookings end, its accounts are erased."""
    from evently import logs  # noqa: PLC0415
    from evently import sample as practice  # noqa: PLC0415

    settings = Settings.load().require(*SAMPLE_NEEDS)
    logs.to_stderr()
    typer.echo(f"SAMPLE removed={asyncio.run(practice.remove(settings))}")


def _examine_log(*, fix: bool) -> None:
    from evently.redis_log import examine  # noqa: PLC0415

    is_whole, text = examine(Settings.load().data_path, fix=fix)
    typer.echo(text, nl=False)
    typer.echo("the log is whole" if is_whole else "the log is damaged")
    raise typer.Exit(0 if is_whole else 1)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo("\n".join(table(headings, rows, width=width)))


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
