"""Times over HTTP: RFC 3339 in UTC with a `Z`; in the engine: Unix milliseconds."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from usecases.denials import invalid

#: Years that an event and its sale may lie in.
YEAR_MIN = 2000
YEAR_MAX = 2999
#: When an event is over whose end nobody told, after its start.
END_AFTER = dt.timedelta(days=1)
_UNIX_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def moment_of(at_ms: int) -> dt.datetime:
    """Return a Unix time in ms as a UTC time, exactly; it encodes as RFC 3339."""
    return _UNIX_EPOCH + at_ms * _MS


def ms_of(moment: dt.datetime) -> int:
    """Return a time as Unix ms, rounded down; exactly, as PostgreSQL has it as well."""
    return (moment - _UNIX_EPOCH) // _MS


def in_utc(name: str, moment: dt.datetime) -> dt.datetime:
    """Bring a time that was asked for to UTC; the calendar's ends cannot be brought from afar."""
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise invalid(f"/{name}", "is out of range") from error
    if not YEAR_MIN <= utc.year <= YEAR_MAX:
        raise invalid(f"/{name}", f"must lie in the years {YEAR_MIN} to {YEAR_MAX}")
    return utc


@lru_cache(maxsize=256)
def moment_text(at_ms: int) -> str:
    """Return a Unix time in ms as RFC 3339; those who are booked together have the same."""
    return moment_of(at_ms).isoformat().removesuffix("+00:00") + "Z"


def over_at(starts_at: dt.datetime, ends_at: dt.datetime) -> dt.datetime:
    """Return when an event is over: at its end, or a day after its start if nobody told its end."""
    return ends_at if ends_at > starts_at else starts_at + END_AFTER
