"""
When an Evently is ready: every one of its API processes is.

They share one port, and the kernel chooses who gets a connection; one that is ready says nothing
of the others. Each names itself in its answer, and all are waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import aiohttp

#: Header by which a process names itself (`api.handlers.ops.readyz`).
PROCESS_HEADER = "Evently-Process"
POLL_S = 0.05
REQUEST_TIMEOUT_S = 2.0


async def wait_until_ready(
    base_url: str, *, processes: int, timeout_s: float, goes_on: Callable[[], bool] = lambda: True
) -> bool:
    """
    Wait until as many processes as there are have said that they are ready, one after the other.

    Args:
        goes_on: Tells whether to wait any longer.

    Returns:
        Whether they have, in time.
    """
    deadline_s = time.monotonic() + timeout_s
    ready: set[str] = set()
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    # A connection for each question, since each goes to one process.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while time.monotonic() < deadline_s and goes_on():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.get(f"{base_url}/readyz") as answer:
                    if answer.status == 200 and _is_whole(await answer.json()):
                        ready.add(answer.headers.get(PROCESS_HEADER, ""))
                        if len(ready) >= processes:
                            return True
                        continue
            # Who answered so far may belong to a run that is ending.
            ready.clear()
            await asyncio.sleep(POLL_S)
    return False


def _is_whole(said: dict[str, Any]) -> bool:
    """Tell whether all is well with a process, but for mail, which it can do without."""
    others = {check for name, check in said.get("checks", {}).items() if name != "notifier"}
    return said["status"] == "ok" or others == {"ok"}
