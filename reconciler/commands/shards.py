"""The command `move`: a shard lives on another server from then on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.servers import Load


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to *app*."""

    @app.command()
    def move(
        shard: Annotated[int, typer.Argument(min=0, help="Number of the shard.")],
        *,
        to: Annotated[str, typer.Option("--to", help="Name of its new server.")],
        old_home_is_gone: Annotated[
            str,
            typer.Option(
                help="Why the old server, which cannot be fenced, will never sell again: it is "
                "switched off for good. What it alone had is lost, and your word is logged."
            ),
        ] = "",
    ) -> None:
        """Move a shard to another server; exit code 2: it could not, and the message says why."""
        from reconciler.judge.check import AWAY, said  # noqa: PLC0415
        from reconciler.recover.decide import CannotOpen  # noqa: PLC0415
        from reconciler.recover.move import move as run_move  # noqa: PLC0415

        try:
            asyncio.run(run_move(load(), shard, to, said_gone=old_home_is_gone, tell=typer.echo))
        except CannotOpen as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from error
        except AWAY as error:
            hint = "" if old_home_is_gone else "; see --old-home-is-gone if it is the old server"
            typer.echo(f"{said(error)}{hint}", err=True)
            raise typer.Exit(2) from error
