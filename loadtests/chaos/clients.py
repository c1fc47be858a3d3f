"""
Clients that keep a history: they book, hold and confirm, wait, cancel, look at what they have, and
repeat what was not answered.

Owns what they ask for and how they read answers. Guarantees: each attempt is written down before
it is sent; an attempt without a clear answer is repeated with the same key; the choices of a
client depend on the seed and on what it was told alone. They do not think between requests.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
from evently_client import Request

from engine.ids import (
    booking_id,
    booking_of_hold,
    booking_of_offer,
    entry_id,
    hold_id,
    offer_of_entry,
)
from loadtests.asker import Asker
from loadtests.chaos.history import Line, Recorder, Verb, attempt
from loadtests.chaos.looker import Looker, Thing
from loadtests.person import Person

#: Attempts at one request before a client gives up and moves on.
ATTEMPTS_MAX = 8
#: Pause before the second attempt; doubles with each.
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 1.0
TIMEOUT_S = 5.0
#: Share of attempts whose client hangs up after this, while the server works on.
IMPATIENT_SHARE = 0.05
IMPATIENT_TIMEOUT_S = (0.005, 0.1)
#: Share of bookings after which another order is sent under the same key.
MISUSE_SHARE = 0.05
#: Share of holds that are not confirmed.
ABANDON_SHARE = 0.2
#: Share of offers that are taken; the others are left.
ACCEPT_SHARE = 0.7
#: Entries that a client has on waitlists at a time.
WAITING_MAX = 3
#: What a client does next, and how often.
ACTIONS = {
    "book_places": 6,
    "book_seats": 6,
    "book_scarce": 2,
    "hold_places": 2,
    "hold_seats": 3,
    "cancel": 6,
    "wait": 2,
    "tend": 3,
    "look": 5,
}


class Tier(NamedTuple):
    """Something to buy from: places, or seats by name."""

    event_id: str
    tier_no: int
    tier_id: str
    seats: tuple[str, ...] = ()
    #: Whether it is as good as sold out, so that people wait for it.
    is_scarce: bool = False


class Wish(NamedTuple):
    """One order, as text for the server and as figures for the history."""

    tier: Tier
    places: int
    seats: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The request's body."""
        if self.seats:
            return {"items": [{"seat_ids": self.seats}]}
        return {"items": [{"tier_id": self.tier.tier_id, "quantity": self.places}]}


class Client:
    """One client: one request at a time, one connection."""

    def __init__(
        self,
        number: int,
        base_url: str,
        tiers: Sequence[Tier],
        people: Sequence[Person],
        recorder: Recorder,
        *,
        seed: int,
    ) -> None:
        """
        Args:
            number: Which client; it is a part of the seed.

            base_url: Where the API is.

            tiers: What there is to buy.

            people: On whose behalf it asks; nobody else may.

            recorder: Where the history goes.

            seed: Of the round.
        """
        self._choices = random.Random(f"{seed}-{number}")
        self._base_url = base_url
        self._scarce = [tier for tier in tiers if tier.is_scarce]
        self._places = [tier for tier in tiers if not tier.seats and not tier.is_scarce]
        self._seated = [tier for tier in tiers if tier.seats]
        self._people = people
        self._recorder = recorder
        #: Bookings that were acknowledged and not cancelled, with their owner.
        self._own: list[tuple[str, Wish, Person]] = []
        #: Holds that were left to themselves, and entries of waitlists.
        self._held: list[tuple[str, Wish, Person]] = []
        self._waiting: list[tuple[str, Wish, Person]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Buy and cancel until told to stop."""
        names, weights = list(ACTIONS), list(ACTIONS.values())
        async with aiohttp.ClientSession(self._base_url) as session:
            self._asker = Asker(session, self._recorder)
            self._looker = Looker(session, self._recorder)
            while not stop.is_set():
                action = self._choices.choices(names, weights)[0]
                await self._do(action)
                await asyncio.sleep(0)  # A server that refuses at once must not stop the others.

    async def _do(self, action: str) -> None:
        match action:
            case "cancel":
                await self._cancel()
            case "wait":
                await self._wait()
            case "tend":
                await self._tend()
            case "look":
                await self._look()
            case "book_scarce":
                await self._book(self._scarce_wish())
            case "book_places" | "book_seats":
                await self._book(self._wish(is_seated=action == "book_seats"))
            case _:
                await self._hold(self._wish(is_seated=action == "hold_seats"))

    def _scarce_wish(self) -> Wish:
        return Wish(self._choices.choice(self._scarce), self._choices.choice((1, 1, 2)))

    def _wish(self, *, is_seated: bool) -> Wish:
        tier = self._choices.choice(self._seated if is_seated else self._places)
        places = self._choices.choice((1, 1, 2, 3))
        if not is_seated:
            return Wish(tier, places)
        seats = tuple(self._choices.sample(tier.seats, min(places, 2)))
        return Wish(tier, len(seats), seats)

    async def _book(self, wish: Wish) -> None:
        person, key = self._choices.choice(self._people), self._key()
        own_id = booking_id(
            event_id=wish.tier.event_id, user_id=person.user_id, idempotency_key=key
        )
        request = Request(f"/v1/events/{wish.tier.event_id}/bookings", wish.body, key)
        end = await self._ask_until_answered("book", own_id, wish, person, request)
        if end.kind != "ok":
            return
        self._own.append((own_id, wish, person))
        if self._choices.random() < MISUSE_SHARE:
            other = self._wish(is_seated=not wish.seats and bool(self._seated))
            if other.tier.event_id == wish.tier.event_id and other.body != wish.body:
                request = request._replace(body=other.body)
                await self._ask("misuse", own_id, other, person, request)

    async def _hold(self, wish: Wish) -> None:
        person, key = self._choices.choice(self._people), self._key()
        own_hold = hold_id(event_id=wish.tier.event_id, user_id=person.user_id, idempotency_key=key)
        own_id = booking_of_hold(own_hold)
        request = Request(f"/v1/events/{wish.tier.event_id}/holds", wish.body, key)
        end = await self._ask_until_answered("hold", own_id, wish, person, request)
        if end.kind != "ok":
            return
        if self._choices.random() < ABANDON_SHARE:
            self._held.append((own_id, wish, person))
            return
        request = Request(f"/v1/holds/{own_hold}/confirm")
        end = await self._ask_until_answered("confirm", own_id, wish, person, request)
        if end.kind == "ok":
            self._own.append((own_id, wish, person))

    async def _cancel(self) -> None:
        if not self._own:
            return
        at = self._choices.randrange(len(self._own))
        own_id, wish, person = self._own.pop(at)
        request = Request(f"/v1/bookings/{own_id}/cancel")
        await self._ask_until_answered("cancel", own_id, wish, person, request)

    async def _wait(self) -> None:
        """Join the waitlist of what is sold out; where places are free it is refused."""
        if len(self._waiting) >= WAITING_MAX:
            return
        wish, person, key = self._scarce_wish(), self._choices.choice(self._people), self._key()
        event_id = wish.tier.event_id
        entry = entry_id(event_id=event_id, user_id=person.user_id, idempotency_key=key)
        body = {"tier_id": wish.tier.tier_id, "quantity": wish.places}
        request = Request(f"/v1/events/{event_id}/waitlist", body, key)
        own_id = booking_of_entry(entry)
        end = await self._ask_until_answered("join", own_id, wish, person, request)
        if end.kind == "ok":
            self._waiting.append((own_id, wish, person))

    async def _tend(self) -> None:
        """Look where one stands on a waitlist; take the offer, or leave it."""
        if not self._waiting:
            return
        at = self._choices.randrange(len(self._waiting))
        own_id, wish, person = self._waiting[at]
        end = await self._looker.see(_thing("see_entry", own_id, wish, person))
        if end.kind != "ok" or end.state == "waiting":
            return
        self._waiting.pop(at)
        if end.state != "offered":
            return
        rest = own_id.removeprefix("bk_")
        if self._choices.random() < ACCEPT_SHARE:
            request = Request(f"/v1/offers/offer_{rest}/accept")
            end = await self._ask_until_answered("confirm", own_id, wish, person, request)
            if end.kind == "ok":
                self._own.append((own_id, wish, person))
        else:
            request = Request(f"/v1/waitlist/wl_{rest}", method="DELETE")
            await self._ask_until_answered("leave", own_id, wish, person, request)

    async def _look(self) -> None:
        """Look at something that one has, or at the list that it stands in."""
        verbs: list[tuple[Verb, list[tuple[str, Wish, Person]]]] = [
            ("see", self._own),
            ("list", self._own),
            ("see_hold", self._held),
            ("list_entry", self._waiting),
        ]
        verb, things = self._choices.choice(verbs)
        if things:
            own_id, wish, person = self._choices.choice(things)
            await self._looker.see(_thing(verb, own_id, wish, person))

    async def _ask_until_answered(
        self, verb: Verb, own_id: str, wish: Wish, person: Person, request: Request
    ) -> Line:
        """Send a request and repeat it with the same key until it is answered, or give up."""
        pause_s = PAUSE_FIRST_S
        for _ in range(ATTEMPTS_MAX):
            end = await self._ask(verb, own_id, wish, person, request)
            if end.kind != "info":
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        return end

    async def _ask(
        self, verb: Verb, own_id: str, wish: Wish, person: Person, request: Request
    ) -> Line:
        """Send a request once; return how it ended."""
        timeout_s = TIMEOUT_S
        if self._choices.random() < IMPATIENT_SHARE:
            timeout_s = self._choices.uniform(*IMPATIENT_TIMEOUT_S)
        tier = wish.tier
        line = attempt(verb, own_id, tier.event_id, tier.tier_no, wish.places, wish.seats)
        answer = await self._asker.ask(person, request, line, timeout_s=timeout_s)
        assert answer.end, "it has a line"
        return answer.end

    def _key(self) -> str:
        return str(uuid.UUID(int=self._choices.getrandbits(128), version=4))


def booking_of_entry(entry: str) -> str:
    """Return the id of the booking that a waitlist entry's offer may become."""
    return booking_of_offer(offer_of_entry(entry))


def _thing(verb: Verb, own_id: str, wish: Wish, person: Person) -> Thing:
    tier = wish.tier
    return Thing(
        attempt(verb, own_id, tier.event_id, tier.tier_no, wish.places, wish.seats), person
    )
