"""
The audit: when all is well again, everything that was acknowledged is asked for, over HTTP.

Owns what is asked: each booking and its place in its owner's list, each hold within its life, which
is confirmed as well, each waitlist entry; some people are let in on their tickets. All of it has
its lines in the history, for the checkers. Leaves to `denials.py` what an answer must not say.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import aiohttp
from evently_client import Request

from loadtests.asker import Asker
from loadtests.chaos.checkers import MAKES
from loadtests.chaos.history import Call, Line, Recorder, Verb, attempt
from loadtests.chaos.looker import Looker, Thing
from loadtests.person import Person

#: Requests under way at once.
AT_ONCE_MAX = 16
#: Attempts at one, for as long as it is answered with 503; then the site is not well.
ATTEMPTS_MAX = 40
PAUSE_S = 0.25
#: A hold that is confirmed must have so much of its life before it.
CONFIRM_S = 5.0
#: Bookings on whose tickets somebody is let in, and things that are looked for in lists.
SCANS_MAX = 20
LISTED_MAX = 200

#: A question: asked again, it is asked anew.
Ask = Callable[[], Awaitable[Line | None]]


class Audit:
    """Asks for everything that a history says was acknowledged."""

    def __init__(
        self, base_url: str, recorder: Recorder, people: Sequence[Person], doorman: Person
    ) -> None:
        """
        Args:
            base_url: Where the API is.

            recorder: Of the history.

            people: All on whose behalf something was asked.

            doorman: Who may let people in.
        """
        self._base_url = base_url
        self._recorder = recorder
        self._people = {person.user_id: person for person in people}
        self._doorman = doorman
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._unanswered: list[str] = []

    async def run(self, calls: Sequence[Call]) -> str:
        """Ask; return what was never answered, empty if all was."""
        async with aiohttp.ClientSession(self._base_url) as session:
            looker, asker = Looker(session, self._recorder), Asker(session, self._recorder)
            made = _acknowledged(calls, MAKES)
            ended = {call.booking_id for call in calls if call.verb == "cancel"}
            kept = {own_id: call for own_id, call in made.items() if own_id not in ended}
            held = _acknowledged(calls, {"hold"})
            entries = _acknowledged(calls, {"join"})
            looks: list[tuple[Verb, Sequence[Call]]] = [
                ("see", list(made.values())),
                ("list", list(kept.values())[-LISTED_MAX:]),
                ("see_hold", list(held.values())),
                ("see_entry", list(entries.values())),
                ("list_entry", list(entries.values())[-LISTED_MAX:]),
            ]
            await self._all(
                partial(looker.see, self._thing(verb, call))
                for verb, group in looks
                for call in group
            )
            await self._all(
                partial(self._confirm, asker, call)
                for own_id, call in held.items()
                if own_id not in made and _is_live(call)
            )
            chosen = sorted(kept)
            random.Random(len(chosen)).shuffle(chosen)
            await self._all(
                partial(looker.scan, self._thing("scan", kept[own_id]), self._doorman)
                for own_id in chosen[:SCANS_MAX]
            )
        return f"never answered: {self._unanswered[:5]}" if self._unanswered else ""

    async def _all(self, questions: Iterable[Ask]) -> None:
        """Ask all of them, some at a time."""
        await asyncio.gather(*map(self._answered, questions))

    async def _answered(self, ask: Ask) -> None:
        """Ask until the answer is certain."""
        async with self._slots:
            for _ in range(ATTEMPTS_MAX):
                end = await ask()
                if end is None or end.kind != "info":
                    return
                await asyncio.sleep(PAUSE_S)
        assert end is not None, "it was asked"
        self._unanswered.append(f"{end.verb} {end.booking_id}: {end.code}")

    async def _confirm(self, asker: Asker, call: Call) -> Line | None:
        thing = self._thing("confirm", call)
        rest = call.booking_id.removeprefix("bk_")
        request = Request(f"/v1/holds/hold_{rest}/confirm")
        return (await asker.ask(thing.person, request, thing.line)).end

    def _thing(self, verb: Verb, call: Call) -> Thing:
        line = attempt(verb, call.booking_id, call.event_id, call.tier_no, call.places, call.seats)
        return Thing(line, self._people[call.user_id])


def _acknowledged(calls: Sequence[Call], verbs: set[str]) -> dict[str, Call]:
    return {call.booking_id: call for call in calls if call.verb in verbs and call.outcome == "ok"}


def _is_live(call: Call) -> bool:
    return call.end is not None and call.end.until_s > time.monotonic() + CONFIRM_S
