"""The commands `evently person export|erase`: what a person may ask for, done by an operator."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from evently.settings import Settings

app = typer.Typer(help="All data of a person, and its end.", no_args_is_help=True)

#: How long an erasure waits for PostgreSQL to have all that Redis has, in ms: nobody is in a hurry.
CATCH_UP_MS = 30_000

Who = Annotated[str, typer.Argument(help="Address or id of the account.")]


@app.command()
def export(
    person: Who,
    *,
    file: Annotated[Path | None, typer.Option(help="Where to write it; else to stdout.")] = None,
    why: Annotated[str, typer.Option(help="Who asked for it, and how: kept with the act.")] = "",
) -> None:
    """Write all that is kept of a person, as one JSON document."""
    asyncio.run(_export(Settings.load().require("database_url"), person, file, why))


@app.command()
def erase(
    person: Who,
    *,
    bookings: Annotated[
        str, typer.Option(help="What becomes of live ones of events to come: `keep` or `cancel`.")
    ] = "",
    why: Annotated[str, typer.Option(help="Who asked for it, and how: kept with the act.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget a person, as they may themselves; exit code 1: refused, and why."""
    from evently import logs  # noqa: PLC0415 - needed here alone

    if bookings not in ("", "keep", "cancel"):
        raise typer.BadParameter("--bookings is `keep` or `cancel`")
    logs.to_stderr()
    settings = Settings.load().require(
        "redis_url", "database_url", "jwt_secret", "ticket_signing_key"
    )
    if not yes:
        typer.confirm(f"Erase {person} for good?", abort=True)
    fate: Literal["keep", "cancel"] | None = bookings or None  # type: ignore[assignment]
    line = asyncio.run(_erase(settings, person, fate, why))
    if line:
        typer.echo(line, err=True)
        raise typer.Exit(1)


async def _export(settings: Settings, person: str, file: Path | None, why: str) -> None:
    from evently.admin import account_id  # noqa: PLC0415 - so that `--help` is quick
    from evently.operators import operator  # noqa: PLC0415 - the same
    from store import acts, privacy, users  # noqa: PLC0415 - the same
    from store.pool import create_pool  # noqa: PLC0415 - the same
    from usecases.privacy import document  # noqa: PLC0415 - the same

    url = settings.database_url_as("api")
    pool = await create_pool(url, connections_max=1, timeout_ms=settings.database_timeout_ms)
    try:
        user_id = await account_id(pool, person)
        user = await users.by_id(pool, user_id)
        # Of an account that is erased there may be something left to tell.
        since = user.created_at if user else dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
        await acts.add(pool, operator(), "person.export", user_id, why=why)
        parts = document(privacy.pieces(pool, user_id, since), user_id, dt.datetime.now(dt.UTC))
        if file is None:
            async for part in parts:
                sys.stdout.write(part.decode())
            sys.stdout.write("\n")
            return
        # Not in the place of one that is there, and for its owner's eyes.
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as stream:
            async for part in parts:
                stream.write(part)
    finally:
        await pool.close()


async def _erase(
    settings: Settings, person: str, fate: Literal["keep", "cancel"] | None, why: str
) -> str:
    """Do it; return what stands in the way, as a line."""
    from evently.admin import account_id  # noqa: PLC0415 - so that `--help` is quick
    from evently.operators import operator  # noqa: PLC0415 - the same
    from evently.options import services_of  # noqa: PLC0415 - the same
    from usecases.denials import Denied  # noqa: PLC0415 - the same
    from usecases.privacy import erased  # noqa: PLC0415 - the same
    from usecases.tokens import Principal  # noqa: PLC0415 - the same

    async with services_of(settings, catch_up_timeout_ms=CATCH_UP_MS) as services:
        user_id = await account_id(services.pools.sign_in, person)
        by = Principal(operator().id, "operator", None)
        try:
            done = await erased(services, by, user_id, fate, why=why)
        except Denied as denied:
            said = " ".join(f"{at} {how}".strip() for at, how in denied.errors)
            figures = " ".join(f"{name}={value}" for name, value in denied.fields.items())
            return f"{user_id}: {denied.why} {said} {figures}".rstrip()
        typer.echo(f"{user_id}: erased; {done.bookings_kept} bookings stay good")
        return ""
