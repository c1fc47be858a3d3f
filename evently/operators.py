"""
Operators: who runs a command, and the note of what it did (`store.acts`).

Every command is in one table here: it reads, runs a part, or acts. What acts is noted before it
begins and when it has ended, unless it notes itself in the transaction that does it; who cannot
note cannot act, but for what mends a log while no server runs. `tests/evently/test_operators.py`
holds the table to the commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import structlog
import typer
from typer.exceptions import TyperException

from evently.embedded.errors import ServerError
from evently.settings import Settings

if TYPE_CHECKING:  # So that `--help` is quick.
    from store.acts import Actor

log = structlog.get_logger()

#: What a command does: looks on; is a process of the service; notes itself; is noted here, always
#: or only with `--apply`; acts while no server runs, so that there is only a line in the log.
Deed = Literal["reads", "runs", "notes itself", "acts", "applies", "offline"]

COMMANDS: dict[str, Deed] = {
    "evently up": "runs",
    "evently api": "runs",
    "evently persister": "runs",
    "evently sweeper": "runs",
    # Goes on as `notifier`, whose commands are noted.
    "evently notifier": "runs",
    "evently doctor": "reads",
    "evently acl": "reads",
    # The tables that notes stand in are made by it; `migrations` says what was applied when.
    "evently migrate": "runs",
    "evently seed": "acts",
    "evently config show": "reads",
    "evently admin add": "notes itself",
    "evently admin role": "notes itself",
    "evently admin disable": "notes itself",
    "evently admin enable": "notes itself",
    "evently admin organizer": "notes itself",
    "evently admin list": "reads",
    "evently admin reset": "notes itself",
    "evently admin forget-passkeys": "notes itself",
    "evently keys list": "reads",
    "evently keys rotate": "notes itself",
    "evently keys retire": "notes itself",
    "evently limits lift": "notes itself",
    "evently audit show": "reads",
    "evently audit verify": "reads",
    "evently audit seal": "runs",
    "evently person export": "notes itself",
    "evently person erase": "notes itself",
    "evently retention": "notes itself",
    "evently events import": "notes itself",
    "evently events export": "reads",
    "evently redis-log check": "reads",
    "evently redis-log fix": "offline",
    "evently redis-log rewrite": "acts",
    "evently sample add": "acts",
    "evently sample remove": "acts",
    "evently shards list": "reads",
    "evently shards add": "acts",
    # Goes on as `reconciler move`, which is noted.
    "evently shards move": "runs",
    "notifier dead list": "reads",
    "notifier dead retry": "acts",
    "notifier dead discard": "acts",
    # Changes nothing here: the setting is the operator's.
    "notifier keys make": "reads",
    "notifier preview": "reads",
    "notifier send-test": "acts",
    # Of a mail server, for each report.
    "notifier bounce": "runs",
    "reconciler check": "reads",
    "reconciler explain story": "reads",
    "reconciler explain waitlist": "reads",
    "reconciler mend": "acts",
    "reconciler move": "acts",
    "reconciler quarantine list": "reads",
    "reconciler quarantine replay": "applies",
    "reconciler quarantine discard": "applies",
    "reconciler quarantine thaw": "applies",
    "reconciler receipts redeem": "acts",
    "reconciler records-version": "acts",
    "reconciler recover": "acts",
    "reconciler repair": "applies",
    "reconciler verify-receipt": "reads",
    "reconciler watch": "runs",
}
#: With these words a command does something else: tells how it is used, or runs as a part.
_OTHERWISE = {"--help", "--watch"}
WORDS_MAX = 30
WORD_CHARS_MAX = 200


def own_name() -> str:
    """Return who runs this process: the account of the machine."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def operator() -> Actor:
    """Return who acts: whoever runs this process, on this machine."""
    from store.acts import Actor  # noqa: PLC0415 - so that `--help` is quick

    return Actor(f"operator:{own_name()}", "operator", origin=f"host {socket.gethostname()}")


@contextlib.contextmanager
def noting(program: str, words: Sequence[str]) -> Iterator[None]:
    """
    Note a command that acts before it begins, and how it ended.

    Raises:
        ServerError: it cannot be noted, so it must not begin.
    """
    name = command_of(program, words)
    deed = COMMANDS.get(name, "runs")
    if _OTHERWISE & set(words) or (deed == "applies" and "--apply" not in words):
        deed = "reads"
    if deed == "offline":
        log.warning("operator acts", action="operator", command=name, by=own_name())
    if deed not in {"acts", "applies"}:
        yield
        return
    settings = Settings.load()
    if not settings.database_url:
        yield  # It says so itself, and does nothing.
        return
    said = {"words": [word[:WORD_CHARS_MAX] for word in words[:WORDS_MAX]]}
    act = f"operator.{name.partition(' ')[2].replace(' ', '.').replace('-', '_')}"
    intent_id = asyncio.run(_note(settings, act, "intended", None, said))
    outcome, after = "done", dict[str, Any]()
    try:
        yield
    except typer.Exit as error:
        outcome, after = ("refused" if error.exit_code else "done"), {"exit_code": error.exit_code}
        raise
    except TyperException:  # It was called wrongly.
        outcome = "refused"
        raise
    except BaseException as error:
        outcome, after = "unknown", {"error": type(error).__name__}
        raise
    finally:
        with contextlib.suppress(ServerError):  # The intent stands, and says enough.
            asyncio.run(_note(settings, act, outcome, intent_id, after))


def command_of(program: str, words: Sequence[str]) -> str:
    """Return the name of the command that *words* call, as `COMMANDS` has it; empty for none."""
    plain = [word for word in words if not word.startswith("-")]
    for count in (2, 1):
        name = " ".join([program, *plain[:count]])
        if name in COMMANDS:
            return name
    # `explain` tells a story unless it is told otherwise.
    name = f"{program} {plain[0]} story" if plain else ""
    return name if name in COMMANDS else ""


async def _note(
    settings: Settings, act: str, outcome: str, intent_id: int | None, after: dict[str, Any]
) -> int:
    from store import acts  # noqa: PLC0415 - so that `--help` is quick
    from store.pool import UNANSWERED, connect  # noqa: PLC0415 - the same

    timeout_ms = settings.database_timeout_ms
    try:
        database = await connect(settings.database_url_as("coordinator"), timeout_ms=timeout_ms)
        try:
            return await acts.add(
                database, operator(), act, "", outcome=outcome, intent_id=intent_id, after=after
            )
        finally:
            await database.close(timeout=timeout_ms / 1000)
    except UNANSWERED as error:
        if type(error).__name__ == "UndefinedTableError":
            raise ServerError("there is no log of acts: run `evently migrate` first") from error
        raise ServerError(f"PostgreSQL does not take the note of this act: {error}") from error
