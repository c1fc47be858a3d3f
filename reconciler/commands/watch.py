"""The command `watch`: the check without an end, with metrics."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import structlog
import typer

from reconciler.event.violation import Violation
from reconciler.judge import report
from reconciler.judge.check import UNCHECKED
from reconciler.servers import Load

log = structlog.get_logger()

#: Port of the metrics, beside those that Prometheus' own exporters use.
DEFAULT_PORT = 9464


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to *app*."""

    @app.command()
    def watch(
        *,
        port: Annotated[
            int, typer.Option(min=0, max=65535, help="Port of the metrics; 0: none.")
        ] = DEFAULT_PORT,
        interval: Annotated[
            float, typer.Option(min=0.01, help="Shortest rest between two steps, in seconds.")
        ] = 1.0,
        shard: Annotated[int | None, typer.Option(min=0, help="Watch this shard alone.")] = None,
        once: Annotated[bool, typer.Option("--once", help="End after one whole pass.")] = False,
        fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 on drift.")] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="One JSON document per violation on stdout.")
        ] = False,
    ) -> None:
        """Check without an end, some events at a time; exit code 1: drift, with --fail."""
        servers = load(with_logs=not as_json)
        from reconciler.judge import watch as watching  # noqa: PLC0415  No other needs it.

        def say(violation: Violation) -> None:
            if as_json:
                sys.stdout.write(report.line_json(violation) + "\n")
                sys.stdout.flush()
            else:
                log.error("drift", action="watch_drift", **report.as_document(violation))

        code = asyncio.run(
            watching.run(
                servers, only=shard, interval_s=interval, port=port, once=once, fail=fail, say=say
            )
        )
        if once and code == UNCHECKED and not as_json:
            typer.echo("reconciler: not all could be checked: the log says why", err=True)
        raise typer.Exit(code)
