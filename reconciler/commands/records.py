"""The command `records-version`: which version of records the scripts write (docs/DATA.md)."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from engine.records import VERSIONS
from reconciler.servers import Load, chosen
from store import reigns


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to *app*."""

    @app.command("records-version")
    def records_version(
        version: Annotated[int, typer.Argument(min=VERSIONS[0], max=VERSIONS[-1])],
        *,
        shard: Annotated[int | None, typer.Option(min=0, help="This shard alone.")] = None,
    ) -> None:
        """Let scripts write records of a version, once no code that cannot read it is left."""
        servers = load(with_logs=False)

        async def raise_it() -> None:
            async with servers.database() as database:
                for one in await chosen(database, shard):
                    await reigns.set_records_version(database, one, version)

        try:
            asyncio.run(raise_it())
        except reigns.NoShard as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(f"version {version}, from each shard's next reign on, which begins now")
