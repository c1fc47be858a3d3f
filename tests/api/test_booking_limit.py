"""The booking limit over HTTP: refused with 429, told by `RateLimit` and `Retry-After`."""

from __future__ import annotations

import re

from tests.api.world import Event, Serve, World, check_problem

WINDOW_MS = 86_400_000


async def test_s12_booking_limit(world: World, serve: Serve, event: Event, user: str) -> None:
    """Who has used all attempts is told how many there are, and when to come again."""
    async with serve(booking_limit_attempts=2, booking_limit_window_ms=WINDOW_MS) as limited:
        first = await limited.book(event, user, key="k-1")
        assert 201 == first.status
        check_problem(await limited.book(event, user, (2, 90), key="k-2"), 422, "invalid")
        assert 201 == (await limited.book(event, user, key="k-2")).status
        answer = await limited.book(event, user, key="k-3")
        check_problem(answer, 429, "rate_limited")
        wait_ms = answer.body["retry_after_ms"]
        assert WINDOW_MS // 2 - 60_000 < wait_ms <= WINDOW_MS // 2
        wait_s = -(-wait_ms // 1000)
        assert str(wait_s) == answer.headers["Retry-After"]
        assert '"bookings";q=2;w=86400' == answer.headers["RateLimit-Policy"]
        assert f'"bookings";r=0;t={wait_s}' == answer.headers["RateLimit"]
        # What is booked is told again, whatever the limit says (I6).
        again = await limited.book(event, user, key="k-1")
        assert (201, first.body["id"]) == (again.status, again.body["id"])
        assert 201 == (await limited.book(event, world.token(), key="k-3")).status


async def test_no_limit(world: World, event: Event, user: str) -> None:
    """Switched off, the limit is not there, and nothing tells of one."""
    for number in range(10):
        answer = await world.book(event, user, key=f"k-{number}")
        assert answer.status in {201, 409}
        assert not [name for name in answer.headers if re.match("ratelimit", name, re.IGNORECASE)]
