"""
How load over aiohttp asks: one attempt at one request, written down before it is sent.

What may make or end a booking has a line in the history (`chaos/history.py`), and its end there.
Leaves to its users what they want, and how often they try.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
from evently_client import Request, attempt

from loadtests.chaos.history import Line, Recorder
from loadtests.person import Person

TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """What came of one attempt."""

    #: HTTP status; 0 if nothing was answered.
    status: int
    body: dict[str, Any]
    #: The end of its line in the history, if it has one.
    end: Line | None

    @property
    def code(self) -> str:
        """Problem code of a refusal, or what went wrong; empty if it was done."""
        return str(self.body.get("code", "" if self.is_ok else self.status))

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300


class Asker:
    """Asks on behalf of people over one session."""

    def __init__(self, session: aiohttp.ClientSession, recorder: Recorder) -> None:
        self._session = session
        self._recorder = recorder

    async def ask(
        self,
        person: Person,
        request: Request,
        line: Line | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """
        Send a request once.

        Args:
            line: Of the history, if it may make or end a booking.

            timeout_s: After which the asker hangs up, whatever the server does.
        """
        invoked = self._recorder.invoke(line, person.user_id) if line else None
        answer = await attempt(self._session, request, token=person.token, timeout_s=timeout_s)
        body = answer.body
        worker = answer.headers.get("X-Request-Id", "").partition("-")[0]
        end = None
        if invoked:
            end = self._recorder.answered(invoked, answer.status, body, worker=worker)
        return Answer(answer.status, body, end)
