"""
A crowd of buyers at one event: impatient, repeating, sending twice, keeping what they were told.

Each buyer is a task with an account of its own. A request that is not answered, or answered with
503, is repeated at once with the same key; some are sent twice at the same time on purpose. What
the crowd was told is in its history, which the verdict holds against the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
from evently_client import Request

from engine.ids import booking_id
from loadtests.asker import Answer, Asker
from loadtests.chaos.history import Line, Recorder, attempt
from loadtests.person import Person

#: Pause before a repetition, so that a server that is down is not asked in a tight loop.
REPEAT_PAUSE_S = 0.02
#: Answers of a service that does not sell for the moment.
SHUT_CODES = frozenset({"shard_recovering", "event_recovering", "outcome_unknown"})
DUPLICATE_SHARE = 0.2
PLACES_PER_ORDER = (1, 1, 2, 2, 3, 4)


class Bought(NamedTuple):
    """A booking that somebody has."""

    booking_id: str
    person: Person
    tier_no: int
    places: int


@dataclass(slots=True)
class Tally:
    """How it goes, while it goes on: for who looks on, and for who is to strike in mid-sale."""

    #: By booking.
    bought: dict[str, Bought] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    #: Requests that were given up without an answer.
    unanswered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    #: Seconds during which the sale was shut: from the first answer that said so (or the first
    #: that did not come) to the next answer to a request that was sent after it.
    shut_s: float = 0.0
    shut_since_s: float | None = None
    started_s: float = field(default_factory=time.perf_counter)

    @property
    def places(self) -> int:
        """Places confirmed so far."""
        return sum(one.places for one in self.bought.values())

    @property
    def requests(self) -> int:
        """Requests answered so far."""
        return len(self.latencies_s)

    def note(self, answer: Answer, sent_s: float) -> None:
        """Count an attempt that was sent at *sent_s*."""
        now_s = time.perf_counter()
        if answer.status not in {0, 500, 503}:
            self.latencies_s.append(now_s - sent_s)
            if self.shut_since_s is not None and sent_s > self.shut_since_s:
                self.shut_s += now_s - self.shut_since_s
                self.shut_since_s = None
            if not answer.is_ok:
                self.refused[answer.code] += 1
            return
        self.repeated += 1
        if self.shut_since_s is None and (not answer.status or answer.code in SHUT_CODES):
            self.shut_since_s = now_s

    def percentile_ms(self, share: float) -> float:
        """Return the latency that *share* of the answered requests stayed under, in ms."""
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Crowd:
    """Buys at one event until it is sold out or the time is up."""

    def __init__(
        self,
        base_url: str,
        event: dict[str, Any],
        recorder: Recorder,
        *,
        seed: int,
        deadline_s: float,
        orders_max: int = 1,
    ) -> None:
        """
        Args:
            base_url: Where the API is.

            event: What is bought, as the API tells it.

            recorder: Where the history goes.

            seed: Makes the choices repeatable.

            deadline_s: Time after which buyers give up, in seconds from now.

            orders_max: Orders that one buyer places, one after another.
        """
        self.tally = Tally()
        self.event_id: str = event["id"]
        self.tier_ids: list[str] = [tier["id"] for tier in event["tiers"]]
        self._base_url = base_url
        self._recorder = recorder
        self._seed = seed
        self._orders_max = orders_max
        self._deadline_s = time.perf_counter() + deadline_s

    async def rush(self, people: Sequence[Person]) -> Tally:
        """Let everybody in, all at once; return when the last has left."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self._base_url, connector=connector) as session:
            self._asker = Asker(session, self._recorder)
            await asyncio.gather(*(self._buy(*numbered) for numbered in enumerate(people)))
        return self.tally

    async def _buy(self, number: int, person: Person) -> None:
        """One buyer: tries the tiers in random order; takes fewer places where fewer are left."""
        choices = random.Random(self._seed * 1_000_003 + number)
        for _ in range(self._orders_max):
            await self._buy_once(choices, person)

    async def _buy_once(self, choices: random.Random, person: Person) -> None:
        tier_nos = list(range(1, len(self.tier_ids) + 1))
        choices.shuffle(tier_nos)
        for tier_no in tier_nos:
            places = choices.choice(PLACES_PER_ORDER)
            while places:
                key = str(uuid.UUID(int=choices.getrandbits(128), version=4))
                copies = 2 if choices.random() < DUPLICATE_SHARE else 1
                orders = (self._order(person, key, tier_no, places) for _ in range(copies))
                answer = (await asyncio.gather(*orders))[0]
                if answer is None or answer.code not in {"sold_out", "not_together"}:
                    return
                places = min(places - 1, answer.body["available"])

    async def _order(self, person: Person, key: str, tier_no: int, places: int) -> Answer | None:
        """Send an order until it is answered; return None if it never was."""
        own_id = booking_id(event_id=self.event_id, user_id=person.user_id, idempotency_key=key)
        item = {"tier_id": self.tier_ids[tier_no - 1], "quantity": places}
        request = Request(f"/v1/events/{self.event_id}/bookings", {"items": [item]}, key)
        line = attempt("book", own_id, self.event_id, tier_no, places)
        answer = await ask_until_answered(
            self._asker, self.tally, person, request, line, deadline_s=self._deadline_s
        )
        if answer and answer.is_ok:
            self.tally.bought[own_id] = Bought(own_id, person, tier_no, places)
        return answer


async def ask_until_answered(
    asker: Asker,
    tally: Tally,
    person: Person,
    request: Request,
    line: Line | None = None,
    *,
    deadline_s: float,
) -> Answer | None:
    """Repeat a request until it is answered; return None if that is not by *deadline_s*."""
    while (sent_s := time.perf_counter()) < deadline_s:
        answer = await asker.ask(person, request, line)
        tally.note(answer, sent_s)
        if answer.status not in {0, 500, 503}:
            return answer
        await asyncio.sleep(REPEAT_PAUSE_S)
    tally.unanswered += 1
    return None
