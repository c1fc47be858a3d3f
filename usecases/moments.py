"""Times over HTTP: RFC 3339 in UTC with a `Z`; in the engine: Unix milliseconds."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

_UNIX_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def moment_of(at_ms: int) -> dt.datetime:
    """Return a Unix time in ms as a UTC time, which encodes as RFC 3339."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def ms_of(moment: dt.datetime) -> int:
    """Return a time as Unix ms, rounded down; exactly, as PostgreSQL has it as well."""
    return (moment - _UNIX_EPOCH) // _MS


@lru_cache(maxsize=256)
def moment_text(at_ms: int) -> str:
    """Return a Unix time in ms as RFC 3339; those who are booked together have the same."""
    return moment_of(at_ms).isoformat().removesuffix("+00:00") + "Z"
