"""The command `records-version`: which version of records the scripts write (docs/DATA.md)."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from engine.records import VERSIONS
from reconciler.servers import Load
from store import reigns
from store.pool import connect


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
        shards = range(servers.shards) if shard is None else [shard]

        async def raise_it() -> list[int]:
            database = await connect(servers.database_url, timeout_ms=servers.database_timeout_ms)
            try:
                return [
                    one
                    for one in shards
                    if not await reigns.set_records_version(database, one, version)
                ]
            finally:
                await database.close()

        unknown = asyncio.run(raise_it())
        if unknown:
            raise typer.BadParameter(f"no coordinator has opened the shards {unknown} yet")
        typer.echo(f"version {version}, from each shard's next reign on, which begins now")
