"""The watch over connections, by a clock of the test's own: whom it ends, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from api.watch import READER_GRACE_S, Limits, Watched, look

LIMITS = Limits(head_s=5, body_s=10, idle_s=15, reader_bytes_per_s=100)


class Caller:
    """A connection as the watch sees it, and what the watch did to it."""

    def __init__(self, **state: Any) -> None:
        self.done: list[str] = []
        self.unsent_bytes = 0
        self.lane: Any = SimpleNamespace(
            watched=Watched(0.0),
            requests_count=0,
            has_part_of_head=False,
            is_waiting=True,
            lacks_body=False,
            is_stream=False,
            dismiss=lambda _: self.done.append("told"),
            force_close=lambda: self.done.append("closed"),
            end_body=lambda _: self.done.append("body ended"),
        )
        self.transport: Any = SimpleNamespace(
            get_write_buffer_size=lambda: self.unsent_bytes,
            is_closing=lambda: False,
            abort=lambda: self.done.append("aborted"),
        )
        self.now(**state)

    def now(self, **state: Any) -> None:
        """Let it have got on."""
        vars(self.lane).update(state)

    def look(self, *moments_s: float) -> list[str]:
        """Look at it at these moments; return what has been done to it since it began."""
        for now_s in moments_s:
            look(self.lane, self.transport, LIMITS, now_s)
        return self.done


@pytest.mark.parametrize(
    ("state", "limit_s", "end"),
    [
        ({}, 5, "closed"),
        ({"has_part_of_head": True}, 5, "told"),
        ({"requests_count": 1, "has_part_of_head": True}, 5, "told"),
        ({"requests_count": 1}, 15, "closed"),
        ({"requests_count": 1, "is_waiting": False, "lacks_body": True}, 10, "body ended"),
    ],
)
def test_each_wait_has_its_own_limit(state: dict[str, Any], limit_s: float, end: str) -> None:
    """S15: head, body and next request are waited for as long as is set for each, and no longer."""
    caller = Caller(**state)
    assert [] == caller.look(0, limit_s - 0.1)
    assert [end] == caller.look(limit_s)


def test_who_waits_for_us_is_not_ended() -> None:
    """However long an answer takes, the caller has not failed."""
    caller = Caller(requests_count=1, is_waiting=False)
    assert [] == caller.look(1, 1_000)


def test_each_request_begins_anew() -> None:
    """Who goes on asking is never idle too long; bytes of one head now and then are no request."""
    caller = Caller()
    for number in range(1, 9):
        caller.now(requests_count=number)
        assert [] == caller.look(number * 10)
    caller.now(has_part_of_head=True)
    assert [] == caller.look(90, 92, 94)
    assert ["told"] == caller.look(95)


def test_a_reader_has_a_rate() -> None:
    """S15: by the most that it has left unread: slow by a little is well, for ever is not."""
    caller = Caller(requests_count=1)
    caller.unsent_bytes = 1_000
    assert [] == caller.look(0)
    caller.unsent_bytes = 1
    assert [] == caller.look(READER_GRACE_S + 10)
    assert ["aborted"] == caller.look(READER_GRACE_S + 10.1)


def test_stream_is_waited_for_while_it_is_read() -> None:
    """S15: a stream has no end to wait for; but who does not take what waits is let go."""
    caller = Caller(requests_count=1, is_waiting=False, is_stream=True)
    assert [] == caller.look(0, 1_000, 100_000)
    caller.unsent_bytes = 100
    assert [] == caller.look(200_000, 200_000 + READER_GRACE_S)
    assert ["aborted"] == caller.look(200_000 + READER_GRACE_S + 2)
