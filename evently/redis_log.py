"""
The append-only log of Redis: is it whole, cut it at its damage, write it anew.

`valkey-check-aof` is the server's own program under another name, and run here as that: it comes
with every server. It is given the files of commands one by one, since it takes the base of a Valkey
9, which says so in its first word, for damaged. Checking and cutting are for the embedded server,
whose folder is held meanwhile, so that no running one is harmed. Guarantees: nothing is cut before
the log was copied, and of the last file alone.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from engine.acl import COORDINATOR
from engine.redis_client import connect
from evently.embedded import DataLock, ServerError
from evently.embedded.binaries import find_valkey
from evently.embedded.valkey import LOG_FOLDER
from evently.settings import Settings

#: A log is read at some 200 MB per second.
CHECK_TIMEOUT_S = 3_600.0
REWRITE_TIMEOUT_S = 3_600.0
REWRITE_POLL_S = 0.05


def examine(data_path: Path, *, fix: bool) -> tuple[bool, str]:
    """
    Check the embedded Redis's log; with *fix*, cut it at its damage, which loses what follows.

    Args:
        data_path: The folder of all data.

    Returns:
        Whether the log is whole (now), and what was found and done.

    Raises:
        ServerError: there is no log, or a server runs on it.
    """
    folder = data_path / "redis" / LOG_FOLDER
    with DataLock(folder.parent):
        files = _files(folder)
        said = []
        if fix:
            copy = folder.with_name(f"{LOG_FOLDER}.before-{time.time_ns()}")
            shutil.copytree(folder, copy)
            said.append(f"copied the log to {copy}; remove it when all is well\n")
            said.append(_check(files[-1], "--fix")[1])
        found = [_check(file) for file in files]
        return all(is_whole for is_whole, _ in found), "".join(
            [*said, *(text for _, text in found)]
        )


def _files(folder: Path) -> list[Path]:
    """Return the files of commands that the log has now, in their order."""
    for manifest in folder.glob("*.manifest"):
        rows = [line.split() for line in manifest.read_text().splitlines()]
        names = [row[1] for row in rows if len(row) >= 6 and row[5] == "i"]
        if names:
            return [folder / name for name in names]
    raise ServerError(f"there is no log in {folder}")


def _check(file: Path, *options: str) -> tuple[bool, str]:
    server = find_valkey()
    try:
        done = subprocess.run(
            [server.name.replace("server", "check-aof"), *options, str(file)],
            executable=server,
            input="y\n",  # It asks before it cuts; whoever gave `fix` has answered.
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"cannot check {file}: {error}") from error
    return done.returncode == 0, done.stdout + done.stderr


async def rewrite(settings: Settings) -> list[str]:
    """
    Have each Redis write its log anew from what it has in memory, and wait until it has.

    Returns:
        The names of the servers.

    Raises:
        ServerError: one could not; the old log stays, and is written to.
        RedisError: one does not answer.
    """
    for name, url in settings.redis_servers_as(COORDINATOR).items():
        client = connect(url, timeout_ms=settings.redis_timeout_ms)
        try:
            await client.bgrewriteaof()
            deadline_s = time.monotonic() + REWRITE_TIMEOUT_S
            while True:
                found: Any = await client.info("persistence")
                if not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]:
                    break
                if time.monotonic() > deadline_s:
                    raise ServerError(f"server {name} has not written its log in time")
                await asyncio.sleep(REWRITE_POLL_S)
            if found["aof_last_bgrewrite_status"] != "ok":
                raise ServerError(f"server {name} could not write its log: its own log says why")
        finally:
            await client.aclose()
    return list(settings.redis_servers)
