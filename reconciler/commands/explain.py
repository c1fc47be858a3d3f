"""The command `explain`: stories of bookings, holds, people and events, and of waitlists."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import orjson
import typer
from typer.core import TyperGroup

from engine.printable import printable
from reconciler.servers import Load


class _Explain(TyperGroup):
    """A group whose first word may be an id instead of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["story", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer, load: Load) -> None:
    """Add the commands to *app*."""
    explain = typer.Typer(
        cls=_Explain,
        help="Tell what happened and why: `explain ID`, or `explain waitlist EVENT`.",
        no_args_is_help=True,
    )
    app.add_typer(explain, name="explain")
    explain.command("story")(_story(load))
    explain.command("waitlist")(_waitlist(load))


def _story(load: Load) -> Any:
    def story(
        target: Annotated[str, typer.Argument(help="Id of an event, booking, hold or user.")],
        *,
        at: Annotated[str | None, typer.Option(help="ISO 8601 or Unix ms: ask for then.")] = None,
        tier: Annotated[int, typer.Option(min=1, help="Number of the tier asked for.")] = 1,
        quantity: Annotated[int, typer.Option(min=1, help="Places asked for.")] = 1,
        user: Annotated[str | None, typer.Option(help="Whose order it was: limits count.")] = None,
        shard: Annotated[int | None, typer.Option(min=0, help="Read this shard alone.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    ) -> None:
        """Tell what happened to ID in order; with --at, why an order of EVENT was refused then."""
        from reconciler.tell import explain as telling  # noqa: PLC0415  No other needs it.

        try:
            question = at and telling.Question(
                at_ms=telling.parse_at(at), tier_no=tier, quantity=quantity, user_id=user
            )
            answer = asyncio.run(telling.explain(load(), target, question or None, shard=shard))
        except (LookupError, ValueError) as error:
            raise typer.BadParameter(str(error)) from error
        if as_json:
            text = orjson.dumps(answer.document(), option=orjson.OPT_INDENT_2).decode()
        else:
            text = "\n".join(map(printable, [*map(str, answer.lines), *answer.verdict]))
        sys.stdout.write(text + "\n")

    return story


def _waitlist(load: Load) -> Any:
    def waitlist(event: str, entry: Annotated[str | None, typer.Argument()] = None) -> None:
        """Tell why entries of an event's waitlist were promoted or not, from the journal."""
        servers = load()
        from reconciler.tell import waitlist as story  # noqa: PLC0415  No other needs it.

        try:
            lines = asyncio.run(story.explain_waitlist(servers, event, entry))
        except LookupError as error:
            raise typer.BadParameter(str(error)) from error
        sys.stdout.write("\n".join(map(printable, lines)) + "\n")

    return waitlist
