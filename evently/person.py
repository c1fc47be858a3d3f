"""The commands `evently person export|erase`: what a person may ask for, done by an operator."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from evently.embedded.errors import ServerError
from evently.settings import Settings

if TYPE_CHECKING:
    from usecases.services import Services

app = typer.Typer(help="All data of a person, and its end.", no_args_is_help=True)

#: Time in which the shards must be open, in seconds.
OPEN_WAIT_S = 30
_POLL_S = 0.05

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
    from evently.operators import operator  # noqa: PLC0415 - so that `--help` is quick
    from store import acts, privacy, users  # noqa: PLC0415 - the same
    from store.pool import create_pool  # noqa: PLC0415 - the same
    from usecases.privacy import document  # noqa: PLC0415 - the same

    pool = await create_pool(
        settings.database_url, connections_max=1, timeout_ms=settings.database_timeout_ms
    )
    try:
        user_id = await _find(pool, person)
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
    from evently.operators import operator  # noqa: PLC0415 - so that `--help` is quick
    from usecases.denials import Denied  # noqa: PLC0415 - the same
    from usecases.privacy import erased  # noqa: PLC0415 - the same
    from usecases.tokens import Principal  # noqa: PLC0415 - the same

    async with _opened(settings) as services:
        user_id = await _find(services.pools.sign_in, person)
        by = Principal(operator().id, "operator", None)
        try:
            done = await erased(services, by, user_id, fate, why=why)
        except Denied as denied:
            said = " ".join(f"{at} {how}".strip() for at, how in denied.errors)
            figures = " ".join(f"{name}={value}" for name, value in denied.fields.items())
            return f"{user_id}: {denied.why} {said} {figures}".rstrip()
        typer.echo(f"{user_id}: erased; {done.bookings_kept} bookings stay good")
        return ""


async def _find(database: object, person: str) -> str:
    from engine.ids import is_id  # noqa: PLC0415 - so that `--help` is quick
    from store import users  # noqa: PLC0415 - the same
    from usecases.text import email_forms  # noqa: PLC0415 - the same

    if is_id("usr", person):
        return person
    found = await users.by_email(database, email_forms(person))  # type: ignore[arg-type]
    if found is None:
        raise ServerError("there is no account with this address")
    return found.id


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Services]:
    """Open what use cases work with, as an API process does, and wait until shards are open."""
    from evently.operators import operator  # noqa: PLC0415 - the same
    from usecases.acts import ASKING, Asking  # noqa: PLC0415 - so that `--help` is quick
    from usecases.wiring import Options, opened  # noqa: PLC0415 - the same

    fields = msgspec.structs.asdict(settings) | {
        "redis_servers": settings.redis_servers_as("api"),
        "database_url": settings.database_url_as("api"),
    }
    options = Options(**{name: fields[name] for name in Options.__slots__})
    ASKING.set(lambda: Asking(operator().origin))
    async with opened(options) as services:
        try:
            async with asyncio.timeout(OPEN_WAIT_S):
                while not services.engine.is_open:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise ServerError("not all shards are open: see `evently shards list`") from error
        yield services
