"""
Looks at what people have, as they would: one thing, or the list that it must stand in.

Each look has its lines in the history, for `denials.py` to judge. Leaves to its users what to look
at, and when.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
from evently_client import Request

from loadtests.asker import Answer, Asker
from loadtests.chaos.history import Line, Recorder, Verb
from loadtests.person import Person

#: Longer than the server waits for PostgreSQL to catch up.
LOOK_TIMEOUT_S = 8.0
PAGE_ROWS_MAX = 100
#: Pages of one person's list that are read: of so few people nobody has more.
PAGES_MAX = 20
_PATHS: dict[Verb, tuple[str, str]] = {
    "see": ("/v1/bookings/", "bk_"),
    "see_hold": ("/v1/holds/", "hold_"),
    "see_entry": ("/v1/waitlist/", "wl_"),
}
_LISTS: dict[Verb, tuple[str, str]] = {
    "list": ("/v1/bookings", "bk_"),
    "list_entry": ("/v1/waitlist", "wl_"),
}


class Thing(NamedTuple):
    """Something to look at: the line that the look begins with, and whose it is."""

    line: Line
    person: Person


class Looker:
    """Looks over one session."""

    def __init__(self, session: aiohttp.ClientSession, recorder: Recorder) -> None:
        self._asker = Asker(session, recorder)
        self._recorder = recorder

    async def see(self, thing: Thing) -> Line:
        """Look once; return how it ended."""
        line, person = thing
        verb: Any = line.verb
        if verb in _LISTS:
            return await self._find(thing)
        path, prefix = _PATHS[verb]
        own_id = line.booking_id.removeprefix("bk_")
        request = Request(f"{path}{prefix}{own_id}", method="GET")
        answer = await self._asker.ask(person, request, line, timeout_s=LOOK_TIMEOUT_S)
        assert answer.end, "it has a line"
        return answer.end

    async def _find(self, thing: Thing) -> Line:
        """Look for it in its owner's list; one that says that it may be behind proves nothing."""
        line, person = thing
        verb: Any = line.verb
        path, prefix = _LISTS[verb]
        own_id = prefix + line.booking_id.removeprefix("bk_")
        invoked = self._recorder.invoke(line)
        cursor = ""
        for _ in range(PAGES_MAX):
            target = f"{path}?limit={PAGE_ROWS_MAX}" + (f"&after={cursor}" if cursor else "")
            request = Request(target, method="GET")
            answer = await self._asker.ask(person, request, timeout_s=LOOK_TIMEOUT_S)
            if not answer.is_ok:
                return self._recorder.answered(invoked, answer.status, answer.body)
            if any(row["id"] == own_id for row in answer.body["data"]):
                return self._recorder.end(invoked, "ok")
            if not answer.body["up_to_date"]:
                return self._recorder.end(invoked, "info", "not up to date")
            cursor = answer.body["next_cursor"] or ""
            if not cursor:
                return self._recorder.end(invoked, "fail", "left_out")
        return self._recorder.end(invoked, "info", "too many pages")

    async def scan(self, thing: Thing, doorman: Person) -> Line | None:
        """Let somebody in on the first ticket of a booking; None if there is none to be had."""
        line, person = thing
        look = Request(f"/v1/bookings/{line.booking_id}", method="GET")
        seen: Answer = await self._asker.ask(person, look, timeout_s=LOOK_TIMEOUT_S)
        codes = [one["code"] for one in seen.body.get("tickets", ()) if one.get("code")]
        if not codes:
            return None
        request = Request(
            f"/v1/tickets/{codes[0]}/check-in", {"event_id": line.event_id}, line.booking_id
        )
        answer = await self._asker.ask(doorman, request, line, timeout_s=LOOK_TIMEOUT_S)
        return answer.end
