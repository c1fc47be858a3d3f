"""
Structured logs: one JSON object per line on stdout, readable text on a terminal.

Owns the form of a log line. By convention the message is constant, the data are keys, and there is
always a key `action`. Log lines of libraries take the same form. Leaves what to say, and how
seldom, to the callers: nothing is logged per request on the booking path.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import Processor

from engine.printable import printable
from store.private import scrubbed

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, service: str) -> None:
    """
    Set up logging for this process; call it once, first.

    Args:
        level: Least severe level that is written: debug, info, warning or error.

        service: Name of the process in every line, such as `api` or `persister`.
    """
    is_terminal = sys.stdout.isatty()
    final: list[Processor] = (
        [
            _spell_out,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        if is_terminal
        else [structlog.processors.JSONRenderer(_dumps)]
    )
    final = [*PLAIN, *final]
    structlog.configure(
        processors=[*SHARED, *final],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    atexit.register(_let_go)
    structlog.contextvars.bind_contextvars(service=service)
    _configure_libraries(SHARED, final, service=service, level=LEVELS[level])


def to_stderr() -> None:
    """Let the lines of a one-shot command go to stderr: stdout is its answer's."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[*SHARED, *PLAIN, _spell_out, renderer],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _leave_out(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what errors quote of people and secrets (S28), traces included."""
    return {
        name: scrubbed(value) if isinstance(value, str) else value for name, value in event.items()
    }


def _spell_out(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep what strangers sent, such as a path, from steering the terminal; JSON does by itself."""
    return {
        name: printable(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


#: What every line begins with, and what is done with its words before it is written.
SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
PLAIN: list[Processor] = [structlog.processors.format_exc_info, _leave_out]


class _Lines:
    """
    Writes lines to stdout; one that cannot be written is lost, and nobody fails for it.

    The disk that a log goes to may be full, or its reader gone: what was to be logged has happened
    all the same, and whoever logs it has more to do.
    """

    def __init__(self, *_: Any) -> None:
        # Found anew for each logger: it may be replaced, as test runners do.
        self._file = sys.stdout.buffer

    def msg(self, line: str | bytes) -> None:
        """Write a line."""
        raw = line if isinstance(line, bytes) else line.encode(errors="replace")
        with contextlib.suppress(OSError, ValueError):
            self._file.write(raw + b"\n")
            self._file.flush()

    debug = info = warning = error = msg


def _let_go() -> None:
    """Give up what could not be written: an interpreter that ends with it says that it failed."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _configure_libraries(
    shared: list[Processor], final: list[Processor], *, service: str, level: int
) -> None:
    """Give the standard library's loggers (asyncio, aiohttp) the same form on the same stream."""

    def add_service(
        _: Any, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Their lines may come from threads and tasks that do not have our context.
        event.setdefault("service", service)
        event.setdefault("action", "library")
        return event

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, add_service],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_as_text(final)],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell at "info" what is no news to an operator.
    root.setLevel(max(level, logging.WARNING))


def _as_text(final: list[Processor]) -> list[Processor]:
    """Let the last step return text, which the standard library's handlers want."""
    *before, last = final

    def render(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        line = last(logger, name, event)
        return line.decode() if isinstance(line, bytes) else str(line)

    return [*before, render]


def _dumps(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)
