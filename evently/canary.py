"""
F7's canary: does this configuration bring back what a script has written?

A server that replays its log with too few rights drops every script's effect and opens as if
nothing had happened. No setting tells for sure, so it is tried: a scratch server with the
deployed settings and users runs one script with two writes, is killed, starts again and is looked
at. It runs the embedded binary, which may be another version than the deployed one.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine import acl
from evently.embedded import ServerError, ValkeyServer

#: Settings of the deployed server that the scratch server takes over.
SETTINGS = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "aof-load-truncated",
    "aof-use-rdb-preamble",
    "propagation-error-behavior",
    "maxmemory-policy",
)

_SCRIPT = """#!lua
redis.call('SET', KEYS[1], 'kept')
redis.call('SET', KEYS[2], 'kept')
"""
_KEYS = ("{canary}:1", "{canary}:2")
READY_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 10.0


class Song(StrEnum):
    """How the trial ended."""

    #: Both writes came back.
    KEPT = "kept"
    #: The server opened without them: what was acknowledged is lost.
    LOST = "lost"
    #: The server did not start again: nothing is lost, but somebody must mend its log.
    STOPPED = "stopped"


def sing(config: Mapping[str, str], users: Sequence[str]) -> Song:
    """
    Write with a script, kill, start again, and look.

    Args:
        config: The deployed server's settings; those of `SETTINGS` are taken.

        users: Lines of its ACL LIST.

    Raises:
        ServerError: the scratch server did not start the first time.
    """
    password = secrets.token_urlsafe(16)
    lines = [line for line in users if line.split()[1] != acl.COORDINATOR]
    lines.append(f"user {acl.COORDINATOR} on {acl.credential(password)} ~* &* +@all")
    with tempfile.TemporaryDirectory(prefix="evently-canary-") as folder:
        server = ValkeyServer(
            Path(folder),
            settings={name: config[name] for name in SETTINGS if name in config},
            passwords={acl.COORDINATOR: password},
            users="\n".join(lines) + "\n",
        )
        try:
            server.start(ready_timeout_s=READY_TIMEOUT_S)
            with _connect(server, password) as client:
                client.eval(_SCRIPT, len(_KEYS), *_KEYS)
            server.kill()
            try:
                server.start(ready_timeout_s=READY_TIMEOUT_S)
            except ServerError:
                return Song.STOPPED
            with _connect(server, password) as client:
                return Song.KEPT if client.exists(*_KEYS) == len(_KEYS) else Song.LOST
        finally:
            server.kill()


def _connect(server: ValkeyServer, password: str) -> Redis:
    scheme, _, path = server.url.partition("://")
    return Redis.from_url(
        f"{scheme}://{acl.COORDINATOR}:{quote(password)}@{path}",
        socket_timeout=REPLY_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
