"""
The servers' settings: files in `deploy/`, shared by the embedded servers and docker-compose.

Owns finding and reading them. One file per server is the whole truth about durability, so that a
laptop and a container promise the same. Leaves what differs per instance (paths, ports) to the
servers here and to `docker-compose.yml` there.
"""

from __future__ import annotations

from pathlib import Path

from evently.embedded.errors import ServerError

DEPLOY_PATH = Path(__file__).resolve().parents[2] / "deploy"
VALKEY_CONFIG = DEPLOY_PATH / "redis" / "valkey.conf"
POSTGRES_CONFIG = DEPLOY_PATH / "postgres" / "postgresql.conf"


def read_config(path: Path) -> str:
    """Return a shared settings file, ending in a newline."""
    try:
        return path.read_text().rstrip() + "\n"
    except OSError as error:
        raise ServerError(f"cannot read {path}: {error.strerror}") from error
