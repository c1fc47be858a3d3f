"""The command `repair`: a plan, or with --apply its doing, under the fence."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from engine.printable import printable
from reconciler.judge import report
from reconciler.judge.check import CLEAN, DRIFT, UNCHECKED
from reconciler.recover.frozen import remedy
from reconciler.servers import Load
from store import reigns

if TYPE_CHECKING:
    from reconciler.repair.repairer import Outcome


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to *app*."""

    @app.command()
    def repair(
        *,
        apply: Annotated[bool, typer.Option("--apply", help="Shut the shard and do it.")] = False,
        pg: Annotated[
            bool,
            typer.Option("--pg", "--repair-pg", help="Derive what PostgreSQL has lost from Redis."),
        ] = False,
        shard: Annotated[int | None, typer.Option(min=0, help="This shard alone.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    ) -> None:
        """Say what a repair would do, or do it; exit code 0: clean, 1: drift, 2: could not."""
        servers = load()
        from reconciler.recover.coordinator import open_again  # noqa: PLC0415
        from reconciler.repair import repairer  # noqa: PLC0415  No other needs it.

        try:
            outcomes = asyncio.run(
                repairer.run(servers, only=shard, applies=apply, rewinds=pg, open_shard=open_again)
            )
        except reigns.NoShard as error:
            raise typer.BadParameter(str(error)) from error
        code = max(map(exit_code, outcomes))
        if as_json:
            document = {"applied": apply, "exit_code": code, "shards": list(map(_json, outcomes))}
            text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
        else:
            text = "\n".join(printable(line) for outcome in outcomes for line in lines_of(outcome))
            for line in (line for outcome in outcomes for line in outcome.errors):
                typer.echo(printable(line), err=True)
        sys.stdout.write(text + "\n" if text else "")
        raise typer.Exit(code)


def exit_code(outcome: Outcome) -> int:
    """Return 0 clean, 1 drift is there (or left), 2 nothing could be said or done."""
    if outcome.errors:
        return UNCHECKED
    left = outcome.left if outcome.is_applied else outcome.plan.violations
    return DRIFT if left or (outcome.plan.holes and not outcome.is_applied) else CLEAN


def lines_of(outcome: Outcome) -> list[str]:
    """Return what became of a shard, for people."""
    plan = outcome.plan
    lines = []
    for action in plan.actions:
        where = action.event_id or f"shard {action.shard}"
        lines.append(f"{action.verb} ({action.store}) {where}:")
        lines += [f"  because {v.invariant} {v.code}: {v.message}" for v in action.violations]
        lines += [f"  {effect}" for effect in action.effects]
    lines += [
        f"cannot: {v.invariant} {v.code} {v.booking_id or v.event_id or ''}: {why}"
        for v, why in plan.hopeless
    ]
    lines += [f"left: {v.invariant} {v.code}: {v.message}" for v in outcome.left]
    lines += [f"nothing was changed: {outcome.note}"] if outcome.note else []
    if outcome.epoch is not None:
        lines.append(f"shard {plan.shard}: open under epoch {outcome.epoch}")
    elif outcome.left:
        left = f"{len(outcome.left)} violations are left"
        lines.append(f"shard {plan.shard}: frozen, {left}: {remedy(plan.shard, left)}")
    elif outcome.is_applied:
        lines.append(f"shard {plan.shard}: stays shut")
    elif not outcome.errors:
        lines.append(
            f"shard {plan.shard}: {len(plan.violations)} violations, "
            f"{len(plan.actions)} actions; nothing was changed"
        )
    return lines


def _json(outcome: Outcome) -> dict[str, Any]:
    plan = outcome.plan
    return {
        "shard": plan.shard,
        "actions": [
            {
                "verb": action.verb,
                "store": action.store,
                "event_id": action.event_id,
                "effects": action.effects,
                "booking_ids": action.booking_ids,
                "violations": [report.as_document(v) for v in action.violations],
            }
            for action in plan.actions
        ],
        "cannot": [{"why": why, **report.as_document(v)} for v, why in plan.hopeless],
        "left": [report.as_document(v) for v in outcome.left],
        "epoch": outcome.epoch,
        "note": outcome.note,
        "errors": outcome.errors,
    }
