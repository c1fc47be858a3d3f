"""
What all of Locust's users share: an account, choices of their own, requests that are written down.

A refusal that a scenario expects counts as success under a name of its own, `book [sold_out]`, so
that Locust's failures are errors and nothing else. What was not answered, or answered "later", is
repeated with the same Idempotency-Key. Whoever is acknowledged anything has it in the history.
"""

from __future__ import annotations

import random
import select
import uuid
from collections.abc import Collection
from typing import Any, NamedTuple

import gevent
import geventhttpclient.connectionpool
import orjson
from gevent.monkey import get_original
from locust import FastHttpUser
from locust.exception import StopUser

from engine.ids import booking_id
from loadtests.chaos.history import Line, Verb, attempt
from loadtests.locust.live import Live, current
from loadtests.locust.plan import SCENARIOS, scenario_of

#: Attempts at one request, the pauses between them given by `Retry-After`.
ATTEMPTS_MAX = 30
#: Pause where nothing was answered, and so nothing said when to come again.
PAUSE_S = 0.5
#: Says "later": not now, come again.
LATER = {429, 503}
#: Between two looks of somebody who waits before the doors; connections must not fall asleep.
LOOK_INTERVAL_S = (8.0, 16.0)
#: What may become of an order.
NO_SALE = frozenset({"sold_out", "all_held", "kept_for_waitlist", "limit_reached", "not_together"})
PLACES_PER_ORDER = (1, 1, 2, 2, 3, 4)

_poll = get_original("select", "poll")
# Even an address of digits is else looked up in ten threads, which get their turn only when the
# users leave them one: the last of thousands of new connections would wait there for half a minute.
gevent.config.resolver = "block"


def _is_alive(_: object, sock: Any) -> bool:
    """
    Tell whether an idle connection still stands: nothing may be readable on it.

    Takes the place of geventhttpclient's own test, which asks `select`: that knows no descriptor
    above 1023, and so, from the thousandth user on, would make a new connection for each request.
    """
    if sock is None or sock.fileno() < 0:
        return False
    poller = _poll()
    poller.register(sock.fileno())
    return not any(events & ~select.POLLOUT for _, events in poller.poll(0))


_Pool = geventhttpclient.connectionpool.ConnectionPool
_Pool._is_socket_alive = _is_alive  # type: ignore[method-assign, assignment]  # noqa: SLF001


class Answer(NamedTuple):
    """What came of a request."""

    #: HTTP status; 0 if nothing was answered.
    status: int
    #: Problem code of a refusal.
    code: str
    body: dict[str, Any]
    retry_after_s: float

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300


class Buyer(FastHttpUser):
    """A user with an account."""

    abstract = True
    concurrency = 1

    def on_start(self) -> None:
        """Become somebody."""
        live = current()
        if live is None:
            raise StopUser("nothing was prepared")
        self.live: Live = live
        scenario = scenario_of(type(self).__name__)
        self.stage = live.plan.stages[scenario]
        live.unfinished += SCENARIOS[scenario].is_finite
        number, self.person = live.next_user()
        self.choices = random.Random(f"{live.plan.order.seed}-{number}")
        self.event_path = f"/v1/events/{self.stage.event_id}"
        self._headers = {"Authorization": f"Bearer {self.person.token}"}

    def wait_time(self) -> float:
        """Think, before the next task, for a time in seconds."""
        return self.choices.uniform(1.0, 3.0)

    def wait_for_doors(self) -> None:
        """Wait until all users have come; look now and then what there is."""
        # Not of the user's own choices: how often it is drawn depends on how long all take.
        while not self.live.doors.wait(random.uniform(*LOOK_INTERVAL_S)):
            self.look()

    def pause(self, shortest_s: float, longest_s: float) -> None:
        """Think; leave if the run is over meanwhile."""
        if self.live.over.wait(self.choices.uniform(shortest_s, longest_s)):
            raise StopUser

    def leave(self) -> None:
        """
        Be done with all one came for.

        Nobody leaves before all have come, or Locust would bring another in their place.
        """
        self.live.unfinished -= 1
        self.wait_for_doors()
        raise StopUser

    def look(self) -> Answer:
        """Ask what is left."""
        return self.ask("availability", "GET", f"{self.event_path}/availability")

    def book(
        self,
        name: str,
        tier_no: int,
        places: int,
        *,
        key: str = "",
        verb: Verb = "book",
        expected: Collection[str] = NO_SALE,
    ) -> Answer:
        """Order *places* of a tier, under *key* if there is one already."""
        key = key or self.new_key()
        order = {"items": [{"tier_id": self.stage.tier_ids[tier_no - 1], "quantity": places}]}
        own_id = booking_id(
            event_id=self.stage.event_id, user_id=self.person.user_id, idempotency_key=key
        )
        line = self.line(verb, own_id, tier_no, places)
        return self.ask(
            name,
            "POST",
            f"{self.event_path}/bookings",
            body=order,
            key=key,
            expected=expected,
            line=line,
        )

    def shop(self, name: str = "book") -> Answer:
        """Try the tiers in an order of one's own; take fewer places where fewer are left."""
        answer = Answer(0, "", {}, 0.0)
        for tier_no in self.choices.sample(
            range(1, len(self.stage.tier_ids) + 1), len(self.stage.tier_ids)
        ):
            places = self.choices.choice(PLACES_PER_ORDER)
            while places and not self.live.over.is_open:
                answer = self.book(name, tier_no, places)
                if answer.code not in {"sold_out", "not_together"}:
                    return answer
                places = min(places - 1, answer.body["available"])
        return answer

    def cancel(self, own_id: str, tier_no: int, places: int) -> Answer:
        """Give a booking back."""
        line = self.line("cancel", own_id, tier_no, places)
        return self.ask("cancel", "POST", f"/v1/bookings/{own_id}/cancel", line=line)

    def line(self, verb: Verb, own_id: str, tier_no: int, places: int) -> Line:
        """Return the line that a request has in the history."""
        return attempt(verb, own_id, self.stage.event_id, tier_no, places)

    def new_key(self) -> str:
        """Draw an Idempotency-Key."""
        return str(uuid.UUID(int=self.choices.getrandbits(128), version=4))

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        key: str = "",
        expected: Collection[str] = (),
        line: Line | None = None,
    ) -> Answer:
        """
        Send a request, again and again with the same key while it is not answered or answered
        "later".

        Args:
            name: In Locust's tables.

            expected: Codes of refusals that are no errors.

            line: What the history is told of it.
        """
        headers = dict(self._headers)
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        payload = None if body is None else orjson.dumps(body)
        for _ in range(ATTEMPTS_MAX):
            invoked = None
            if line is not None:
                invoked = self.live.recorder.invoke(line)
            answer = self._send(name, method, path, payload, headers, expected)
            if invoked is not None:
                self.live.recorder.answered(invoked, answer.status, answer.body)
            if answer.status not in LATER | {0}:
                return answer
            # Nor this: it depends on the server.
            if self.live.over.wait(answer.retry_after_s * random.uniform(1.0, 1.5)):
                return answer
        self.environment.events.request.fire(
            request_type=method,
            name=f"{name} gave up",
            response_time=0,
            response_length=0,
            exception=TimeoutError(f"{ATTEMPTS_MAX} times {answer.code}"),
            context={},
        )
        return answer

    def _send(
        self,
        name: str,
        method: str,
        path: str,
        payload: bytes | None,
        headers: dict[str, str],
        expected: Collection[str],
    ) -> Answer:
        with self.client.request(
            method,
            path,
            name=name,
            data=payload,  # type: ignore[arg-type]  # Locust passes bytes on as they are.
            headers=headers,
            catch_response=True,
        ) as response:
            status, content = response.status_code, response.content
            if not status or content is None:
                response.failure(getattr(response, "error", None) or "no answer")
                return Answer(0, "no answer", {"code": "no answer"}, PAUSE_S)
            answer: dict[str, Any] = orjson.loads(content) if content else {}
            if status < 300:
                return Answer(status, "", answer, 0.0)
            code = str(answer.get("code", status))
            retry_after = (response.headers or {}).get("Retry-After")
            if code in expected or (status in LATER and retry_after):
                response.request_meta["name"] = f"{name} [{code}]"
                response.success()
            else:
                response.failure(f"{status} {code} {answer.get('detail', '')}".strip())
            return Answer(status, code, answer, float(retry_after or PAUSE_S))
