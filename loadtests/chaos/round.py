"""
One round: a fresh Evently, clients at work, faults, healing, and the judgement on all of it.

Owns the order of a round and what is read from PostgreSQL for the checkers. Guarantees: the round
ends within bounds whatever happens; a site that does not get well again is a violation (I18).
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson

from engine.seats import Section, seat_id
from loadtests.backstage import Backstage, read_ledger
from loadtests.chaos import checkers, denials, history, letters
from loadtests.chaos.audit import Audit
from loadtests.chaos.checkers import Ledger, Violation
from loadtests.chaos.clients import Client, Tier
from loadtests.chaos.nemesis import Nemesis, any_is, is_wide_round, plan
from loadtests.chaos.site import Site
from loadtests.events import described, priced
from loadtests.person import Person, person_of
from store.pool import UNANSWERED

#: How long clients work, and in which part of it faults begin.
WORK_S = 14.0
FAULTS_S = 10.0
#: I18: after healing, all must be well within this time; the machine may be loaded.
WELL_TIMEOUT_S = 90.0
PEOPLE = 120
CLIENTS_MIN, CLIENTS_MAX = 8, 16
#: Rows of the hall's two sections.
ROWS = (8, 8, 8)
PLACES = (40, 25)
#: Of the event that people wait for.
SCARCE_PLACES = 8
PROBE_PLACES = 5
#: Events that are fought for: places, seats, and places that are sold out; one more is a probe.
FOUGHT_FOR = 3
PERSON_MAX = 1_000
_SHARDS_OF = "SELECT id, shard FROM events WHERE id = ANY($1::text[])"


class Traits(NamedTuple):
    """What the seed makes of a round, besides its faults."""

    clients: int
    api_processes: int
    hold_ttl_ms: int

    @property
    def holds_end(self) -> bool:
        """Whether holds run out while the round lasts."""
        return self.hold_ttl_ms < 60_000


@dataclass
class Progress:
    """What a round shows of itself while it runs."""

    stage: str = "starting"
    fault: str = ""


@dataclass
class Verdict:
    """What came of a round."""

    seed: int
    faults: int = 0
    acked: int = 0
    calls: int = 0
    undecided: int = 0
    violations: list[Violation] = field(default_factory=list)
    #: The story of what was violated, or of all faults.
    timeline: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return the number of violations of one kind."""
        return sum(violation.kind == kind for violation in self.violations)


def traits(seed: int) -> Traits:
    """Return the traits of the round of *seed*."""
    choices = random.Random(f"traits-{seed}")
    return Traits(
        clients=choices.randint(CLIENTS_MIN, CLIENTS_MAX),
        api_processes=choices.choice((1, 2)),
        hold_ttl_ms=choices.choice((600_000, 600_000, 1_500)),
    )


class Round:
    """One seed's round."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        progress: Progress,
        only: Collection[str] = (),
        work_s: float = WORK_S,
    ) -> None:
        """
        Args:
            folder: Empty; the site's data, logs and history are left in it.

            seed: Of the round.

            progress: Kept up to date while the round runs.

            only: Names of faults to choose from; empty for all.

            work_s: How long clients work at least, in seconds.
        """
        self._work_s = work_s
        self.seed = seed
        self.faults = plan(seed, window_s=FAULTS_S, only=only)
        self._traits = traits(seed)
        if any_is(self.faults, "has_one_api"):
            self._traits = self._traits._replace(api_processes=1)
        self._progress = progress
        self._history_path = folder / "history.jsonl"
        self._recorder = history.Recorder(self._history_path)
        self._site = Site(
            folder / "data",
            is_wide=is_wide_round(seed, only),
            has_volume=any_is(self.faults, "has_volume"),
            has_mail=any_is(self.faults, "has_mail"),
            environment="test",
            api_processes=str(self._traits.api_processes),
            hold_ttl_ms=str(self._traits.hold_ttl_ms),
            log_level="info",
        )

    async def run(self) -> Verdict:
        """Run the round; raises only if the site could not even be started."""
        verdict = Verdict(self.seed)
        try:
            await self._site.start()
            await self._prepare()
            await self._work(verdict)
            self._progress.stage = "healing"
            wrong = await self._heal()
            self._progress.stage = "judging"
            if not wrong:
                wrong = await self._audit()
            await self._judge(verdict, wrong)
        finally:
            self._recorder.close()
            await self._site.stop()
        return verdict

    async def _prepare(self) -> None:
        async with Backstage(self._site.settings) as backstage:
            self._people = await backstage.people(PEOPLE)
            self._admin: Person = person_of(await backstage.admin_token())
        headers = {"Authorization": f"Bearer {self._admin.token}"}
        self._events = [
            await self._publish(headers, body)
            for body in (_general(), _hall(), _scarce(), _probe())
        ]
        database = await self._site.database()
        try:
            rows = await database.fetch(_SHARDS_OF, [event["id"] for event in self._events])
            self._shard_of = {row["id"]: row["shard"] for row in rows}
        finally:
            await database.close(timeout=5)

    async def _publish(self, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """Make and publish an event; patient, since the proxies have just thrown everybody out."""
        async with aiohttp.ClientSession(self._site.server.base_url, headers=headers) as session:
            event = await _ask_until(session, "/v1/events", 201, body)
            await _ask_until(session, f"/v1/events/{event['id']}/publish", 200)
        return event

    async def _work(self, verdict: Verdict) -> None:
        """Let clients and nemesis loose for their time."""
        self._progress.stage = "working"
        stop = asyncio.Event()
        tiers = _tiers(self._events[:FOUGHT_FOR])
        clients = [
            Client(
                number,
                self._site.server.base_url,
                tiers,
                self._people,
                self._recorder,
                seed=self.seed,
            )
            for number in range(self._traits.clients)
        ]
        running = [asyncio.create_task(client.run(stop)) for client in clients]
        self._nemesis = Nemesis(self._site, self._recorder, on_fault=self._note_fault)
        try:
            struck, _ = await asyncio.gather(
                self._nemesis.run(self.faults), asyncio.sleep(self._work_s), return_exceptions=True
            )
            if isinstance(struck, BaseException):
                raise struck
        finally:
            stop.set()
            await asyncio.gather(*running)
        verdict.faults = self._nemesis.inflicted

    async def _audit(self) -> str:
        """Ask for everything that was acknowledged; return what went wrong, but for denials."""
        audit = Audit(self._site.server.base_url, self._recorder, self._people, self._admin)
        wrong = await audit.run(history.calls(history.read(self._history_path)))
        return wrong or await self._site.wait_until_well(WELL_TIMEOUT_S)

    def _note_fault(self, name: str) -> None:
        self._progress.fault = name

    async def _heal(self) -> str:
        """Heal and wait until all is well; return what is not."""
        started_s = time.monotonic()
        try:
            await self._nemesis.heal()
        except RuntimeError as error:
            return f"the supervisor did not come up: {error}"
        wrong = await self._site.wait_until_well(WELL_TIMEOUT_S)
        if not wrong:
            # What was held in a black hole arrives now; whatever it changes is in the ledger too.
            await asyncio.sleep(0.5)
            wrong = await self._site.wait_until_well(WELL_TIMEOUT_S) or await self._sell()
        self._recorder.nemesis(f"well after {time.monotonic() - started_s:.1f} s: {wrong or 'yes'}")
        return wrong

    async def _sell(self) -> str:
        """Buy a free place as anybody would; return what went wrong."""
        event, person = self._events[FOUGHT_FOR], self._people[0]
        headers = {
            "Authorization": f"Bearer {person.token}",
            "Idempotency-Key": str(uuid.UUID(int=self.seed, version=4)),
        }
        order = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]}
        async with aiohttp.ClientSession(self._site.server.base_url, headers=headers) as session:
            try:
                await _ask_until(session, f"/v1/events/{event['id']}/bookings", 201, order)
            except TimeoutError as error:
                return f"a free place could not be sold: {error}"
        return ""

    async def _judge(self, verdict: Verdict, wrong: str) -> None:
        lines = history.read(self._history_path)
        calls = history.calls(lines)
        found: list[Violation] = []
        found += [Violation("other", "I18", text) for text in self._nemesis.complaints]
        if wrong:
            found.append(Violation("other", "I18", wrong))
        try:
            ledger = await self._ledger()
        except UNANSWERED as error:
            found.append(Violation("other", "I18", f"PostgreSQL cannot be read: {error}"))
        else:
            may_be_gone = any_is(self.faults, "loses_data")
            clock_moved = any_is(self.faults, "moves_clock")
            may_end = self._traits.holds_end or may_be_gone or clock_moved
            seats, verdict.undecided = checkers.linearizable(calls, ledger, holds_may_end=may_end)
            found += [
                *checkers.lost(calls, ledger),
                *checkers.phantoms(calls, ledger),
                *checkers.duplicates(calls),
                *checkers.oversold(calls, ledger),
                *checkers.holds_kept(calls, holds_may_end=may_end),
                *checkers.failed_closed(calls, self._site.shut, self._shard_of),
                *checkers.unforeseen(calls),
                *denials.denied(calls, lives_run=not clock_moved),
                *seats,
            ]
        if not wrong:
            found += await self._reconcile() + await self._told()
        verdict.violations = found
        verdict.calls = len(calls)
        verdict.acked = len(checkers.acknowledged(calls))
        if found:
            shortest = min(found, key=lambda one: len(one.booking_ids) or 1_000)
            verdict.timeline = history.timeline(
                lines, booking_ids=shortest.booking_ids, seats=shortest.seats
            )

    async def _reconcile(self) -> list[Violation]:
        """Ask the reconciler about each event, as an operator would."""
        found = []
        async with Backstage(self._site.settings) as backstage:
            for event in self._events:
                drift = await backstage.count_drift(event["id"])
                if drift:
                    text = f"the reconciler finds {drift} violations in {event['id']}"
                    found.append(Violation("other", "I8", text))
        return found

    async def _told(self) -> list[Violation]:
        """Wait until people are told of all, and hold their letters against what is true (F44)."""
        mail = self._site.mail
        if mail is None:
            return []
        database = await self._site.database()
        try:
            if wrong := await letters.settle(database, timeout_s=WELL_TIMEOUT_S):
                return [Violation("other", "I18", wrong)]
            facts = await letters.facts_of(database)
        finally:
            await database.close(timeout=5)
        return letters.told_wrong([str(one["Message-ID"]) for one in mail.letters()], facts)

    async def _ledger(self) -> Ledger:
        """Read what PostgreSQL has of the events that were fought for."""
        event_ids = [event["id"] for event in self._events[:FOUGHT_FOR]]
        database = await self._site.database()
        try:
            return await read_ledger(database, event_ids)
        finally:
            await database.close(timeout=5)


async def _ask_until(
    session: aiohttp.ClientSession, path: str, status: int, body: Any = None
) -> dict[str, Any]:
    """Post until the answer has that status; raise TimeoutError with the last one otherwise."""
    deadline_s = time.monotonic() + WELL_TIMEOUT_S
    told = "nothing was answered"
    while time.monotonic() < deadline_s:
        try:
            async with session.post(path, json=body) as response:
                text = await response.text()
                if response.status == status:
                    answer: dict[str, Any] = orjson.loads(text)
                    return answer
                told = f"{response.status} {text[:300]}"
        except (aiohttp.ClientError, OSError) as error:
            told = repr(error)
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{path}: {told}")


def _general() -> dict[str, Any]:
    tiers = [priced(f"Tier {number}", places) for number, places in enumerate(PLACES)]
    return described("General admission", person_max=PERSON_MAX, tiers=tiers)


def _hall() -> dict[str, Any]:
    rows = [{"name": str(number), "seats": seats} for number, seats in enumerate(ROWS, start=1)]
    sections = [{"name": f"Block {tier}", "tier": tier, "rows": rows} for tier in range(2)]
    tiers = [priced(f"Category {number}") for number in range(2)]
    return described("Hall", person_max=PERSON_MAX, tiers=tiers, sections=sections)


def _scarce() -> dict[str, Any]:
    return described("Scarce", person_max=PERSON_MAX, tiers=[priced("All", SCARCE_PLACES)])


def _probe() -> dict[str, Any]:
    return described("Probe", person_max=PERSON_MAX, tiers=[priced("All", PROBE_PLACES)])


def _tiers(events: Sequence[dict[str, Any]]) -> list[Tier]:
    """Return what there is to buy: the tiers of each event, the seats of the second by name."""
    general, hall, scarce = events
    tiers = [
        Tier(general["id"], number, tier["id"])
        for number, tier in enumerate(general["tiers"], start=1)
    ]
    for number, tier in enumerate(hall["tiers"], start=1):
        section = Section(number, number, ROWS)
        seats = tuple(
            seat_id(number, first + place)
            for first, count in zip(section.first_seats, ROWS, strict=True)
            for place in range(count)
        )
        tiers.append(Tier(hall["id"], number, tier["id"], seats))
    tiers.append(Tier(scarce["id"], 1, scarce["tiers"][0]["id"], is_scarce=True))
    return tiers
