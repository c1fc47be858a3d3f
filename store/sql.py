"""
Named queries: SQL lives in `store/queries/*.sql`, Python knows the names.

A file holds sections `-- name --`, each a description and one statement. Names are unique across
files. Parameters only; no statement is ever put together from text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

#: What a query is asked of.
Executor = asyncpg.Connection | asyncpg.Pool | PoolConnectionProxy
#: A connection whose caller has begun a transaction, and ends it.
InTransaction = asyncpg.Connection | PoolConnectionProxy

_UNIX_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECTION = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


@cache
def queries() -> dict[str, str]:
    """Return all statements by name."""
    found: dict[str, str] = {}
    for file in sorted(resources.files("store.queries").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _SECTION.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"query {name} stands twice")
            found[name] = text.strip()
    return found


def query(name: str) -> str:
    """Return one statement; an unknown name is a bug and raises KeyError."""
    return queries()[name]


def columns(rows: Sequence[tuple[Any, ...]], width: int = 0) -> list[list[Any]]:
    """Turn rows into columns, as `unnest` takes them; *width* empty ones if there is no row."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def moment(at_ms: int) -> dt.datetime:
    """
    Return a Unix time in ms as PostgreSQL has it, exactly.

    Seconds as a float would be off by a millisecond, rounded down again, from the year 2242 on.
    """
    return _UNIX_EPOCH + dt.timedelta(milliseconds=at_ms)
