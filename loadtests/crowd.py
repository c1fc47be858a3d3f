"""
A crowd of buyers at one event: impatient, repeating, sending twice, keeping what they were told.

Each buyer is a task with its own token. A request that is not answered, or answered with 503, is
repeated at once with the same key; some are sent twice at the same time on purpose. What the
crowd was promised is its history, which `loadtests.verdict` holds against the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

REQUEST_TIMEOUT_S = 10.0
#: Pause before a repetition, so that a server that is down is not asked in a tight loop.
REPEAT_PAUSE_S = 0.02
#: Answers of a service that does not sell for the moment.
SHUT_CODES = frozenset({"shard_recovering", "outcome_unknown"})
DUPLICATE_SHARE = 0.2
PLACES_PER_ORDER = (1, 1, 2, 2, 3, 4)


@dataclass(slots=True)
class History:
    """What the crowd did and was told."""

    #: idempotency key -> the answers that confirmed it, as (booking id, places, seq)
    confirmed: dict[str, set[tuple[str, int, int]]] = field(default_factory=dict)
    #: idempotency key -> (booking id, token, tier id, places) of what it confirmed
    owners: dict[str, tuple[str, str, str, int]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    #: Buyers who gave up without an answer.
    unanswered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    #: Seconds during which the sale was shut: from the first answer that said so (or the first
    #: that did not come) to the next answer to a request that was sent after it.
    shut_s: float = 0.0
    shut_since_s: float | None = None
    started_s: float = field(default_factory=time.perf_counter)

    @property
    def places(self) -> int:
        """Places confirmed so far, each key counted once."""
        return sum(next(iter(answers))[1] for answers in self.confirmed.values())

    @property
    def requests(self) -> int:
        """Requests answered so far."""
        return len(self.latencies_s)

    def note_shut(self, now_s: float) -> None:
        """The service said that it is shut, or said nothing."""
        if self.shut_since_s is None:
            self.shut_since_s = now_s

    def note_open(self, sent_s: float, now_s: float) -> None:
        """A request that was sent at *sent_s* was answered."""
        if self.shut_since_s is not None and sent_s > self.shut_since_s:
            self.shut_s += now_s - self.shut_since_s
            self.shut_since_s = None

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
        event_id: str,
        tier_ids: Sequence[str],
        *,
        seed: int,
        deadline_s: float,
        orders_max: int = 1,
    ) -> None:
        """
        Args:
            base_url: Where the API is.

            event_id: What is bought.

            tier_ids: Its tiers.

            seed: Makes the choices repeatable.

            deadline_s: Time after which buyers give up, in seconds from now.

            orders_max: Orders that one buyer places, one after another.
        """
        self.history = History()
        self._url = f"{base_url}/v1/events/{event_id}/bookings"
        self._tier_ids = tier_ids
        self._seed = seed
        self._orders_max = orders_max
        self._deadline_s = time.perf_counter() + deadline_s

    async def rush(self, tokens: Sequence[str]) -> History:
        """Let one buyer per token in, all at once; return when the last has left."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(
                *(self._buy(session, number, token) for number, token in enumerate(tokens))
            )
        return self.history

    async def _buy(self, session: aiohttp.ClientSession, number: int, token: str) -> None:
        """One buyer: tries the tiers in random order; takes fewer places where fewer are left."""
        choices = random.Random(self._seed * 1_000_003 + number)
        for _ in range(self._orders_max):
            await self._buy_once(session, choices, token)

    async def _buy_once(
        self, session: aiohttp.ClientSession, choices: random.Random, token: str
    ) -> None:
        tiers = list(self._tier_ids)
        choices.shuffle(tiers)
        for tier_id in tiers:
            places = choices.choice(PLACES_PER_ORDER)
            while places:
                key = str(uuid.UUID(int=choices.getrandbits(128), version=4))
                order = {"items": [{"tier_id": tier_id, "quantity": places}]}
                answer = await self._ask(session, choices, token, key, order)
                if answer is None:
                    return
                if answer.get("code") not in {"sold_out", "not_together"}:
                    if "id" in answer:
                        self.history.owners[key] = (answer["id"], token, tier_id, places)
                    return
                places = min(places - 1, answer["available"])

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        choices: random.Random,
        token: str,
        key: str,
        order: dict[str, Any],
    ) -> dict[str, Any] | None:
        """Send an order, perhaps twice at once; return the first answer, or None for none."""
        copies = 2 if choices.random() < DUPLICATE_SHARE else 1
        answers = await asyncio.gather(
            *(self._ask_until_answered(session, token, key, order) for _ in range(copies))
        )
        return answers[0]

    async def _ask_until_answered(
        self, session: aiohttp.ClientSession, token: str, key: str, order: dict[str, Any]
    ) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        body = orjson.dumps(order)
        while time.perf_counter() < self._deadline_s:
            started_s = time.perf_counter()
            try:
                async with session.post(self._url, data=body, headers=headers) as response:
                    status, answer = response.status, orjson.loads(await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError):
                status, answer = 0, {}
            if status not in {0, 500, 503}:
                self.history.note_open(started_s, time.perf_counter())
                self.history.latencies_s.append(time.perf_counter() - started_s)
                self._note(key, status, answer)
                return answer if isinstance(answer, dict) else {}
            if status == 0 or answer.get("code") in SHUT_CODES:
                self.history.note_shut(time.perf_counter())
            self.history.repeated += 1
            await asyncio.sleep(REPEAT_PAUSE_S)
        self.history.unanswered += 1
        return None

    def _note(self, key: str, status: int, answer: dict[str, Any]) -> None:
        if status == 201:
            places = sum(item["quantity"] for item in answer["items"])
            told = (answer["id"], places, answer["seq"])
            self.history.confirmed.setdefault(key, set()).add(told)
        else:
            self.history.refused[answer.get("code", str(status))] += 1
