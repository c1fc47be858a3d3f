"""
Draining: a process that is to stop says so, and finishes what it has begun.

First it is no longer ready, so that whoever spreads the callers leaves it out, and serves on for a
while. Each answer from then on is its connection's last. Then it takes no more connections, but
for those that the kernel has taken already, answers what has been sent on those that are there, and
waits for what is under way.
"""

from __future__ import annotations

from aiohttp import web


class Draining:
    """Whether the process is to stop."""

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on = False


DRAINING = web.AppKey("draining", Draining)
