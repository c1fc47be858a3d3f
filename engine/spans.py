"""
Spans: what was done, from when to when, as traces tell it (OpenTelemetry).

Services say what they have done by values of `Span`, when it is over, to whoever wants to know;
`evently.telemetry` sends them away. Nobody who is not asked makes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Span(NamedTuple):
    """Something that was done."""

    name: str
    #: Unix time in ns.
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, str | int]
    #: The `traceparent` that it was asked with, well-formed; "" if it begins a trace.
    parent: str = ""
    #: What kind of failure it was; "" if none.
    error: str = ""
    #: Whether somebody else's request was answered by it.
    is_served: bool = False
    #: Whether a busy system does it thousands of times a second: few of them are told.
    is_frequent: bool = False


#: Told of each span; never fails, never waits.
SpanTeller = Callable[[Span], None]


def ended_now(seconds: float) -> tuple[int, int]:
    """Return when something began that has lasted for *seconds*, and now: Unix times in ns."""
    now_ns = time.time_ns()
    return now_ns - round(seconds * 1e9), now_ns
