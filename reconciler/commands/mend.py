"""The command `mend`: one event is loaded anew from PostgreSQL, while the others sell."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.servers import Load, Servers


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to *app*."""

    @app.command()
    def mend(event: Annotated[str, typer.Argument(help="Its id.")]) -> None:
        """Load one event anew from PostgreSQL while the others sell; exit code 2: could not."""
        from reconciler.judge.check import AWAY, CannotCheck, said  # noqa: PLC0415
        from reconciler.recover.mend import OF_ONE  # noqa: PLC0415  No other needs it.

        try:
            told = asyncio.run(_mend(load(), event))
        except OF_ONE as error:
            typer.echo(f"{event} stays shut: {error}", err=True)
            raise typer.Exit(2) from error
        except (*AWAY, CannotCheck) as error:
            typer.echo(said(error), err=True)
            raise typer.Exit(2) from error
        typer.echo(told)


async def _mend(servers: Servers, event_id: str) -> str:
    from engine.keys import EventKeys  # noqa: PLC0415
    from reconciler.judge.check import CannotCheck, find_shard  # noqa: PLC0415
    from reconciler.recover.coordinator import make_mender  # noqa: PLC0415
    from reconciler.recover.mend import MARKS_SINCE  # noqa: PLC0415
    from store import audit, damage, reigns  # noqa: PLC0415

    async with servers.database() as database:
        shard = await find_shard(database, servers, event_id)
        reign = await reigns.read(database, shard)
        if reign is None or reign.state != "open":
            raise CannotCheck(f"shard {shard} is not open: `recover` looks at all its events")
        async with servers.redis(shard) as redis, damage.mending(database, shard) as is_ours:
            if not is_ours:
                raise CannotCheck("a coordinator rebuilds an event of this shard: try again")
            mender = make_mender(shard, redis, database, servers.hold_life_max_ms)
            lost = (await mender.look([event_id], reign.epoch))[event_id]
            row = (await audit.event_rows(database, [event_id])).get(event_id)
            if len(lost) == len(EventKeys._fields) and (row is None or row.status == "draft"):
                # Shut, it could not be published any more.
                raise CannotCheck(f"{event_id} is a draft: there is nothing to load")
            await mender.rebuild(
                event_id,
                lost or ["none"],
                epoch=reign.epoch,
                state="open",
                marks=reign.records_version >= MARKS_SINCE,
            )
    return f"{event_id}: rebuilt from PostgreSQL; it had lost {' '.join(lost) or 'nothing'}"
