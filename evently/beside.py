"""A command of ours that `evently up` runs once in a while, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping

from evently.embedded import process
from evently.embedded.errors import ServerError
from evently.settings import Settings

POLL_S = 0.2


async def run_beside(settings: Settings, environ: Mapping[str, str], *words: str) -> None:
    """
    Run `evently` with some words to its end; it is ended if this is cancelled.

    Raises:
        ServerError: it did not end well.
    """
    env = dict(environ) | settings.to_env()
    argv = (sys.executable, "-m", "evently", *words)
    child = process.spawn(argv, death_signal=signal.SIGTERM, env=env)
    try:
        while child.poll() is None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(POLL_S)
    finally:
        if child.poll() is None:
            child.terminate()
    if child.returncode:
        raise ServerError(f"`evently {' '.join(words)}` ended with {child.returncode}")
