"""What API tests talk to: the served application, and the servers below it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import orjson
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDictProxy
from redis.asyncio import Redis
from yarl import URL

from api.http import SERVICES
from api.lane import LaneRunner
from engine import keys
from engine.errors import ShardRecovering
from engine.ids import new_id
from reconciler.recover.coordinator import Coordinator
from store import outbox, users
from store.pool import connect
from tests import checks
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.store.databases import Content, content
from usecases.tokens import Principal

SHARD = 0
BACKLOG_MAX = 100_000
PROBLEM = "application/problem+json"
#: Long enough for HS512, so that a token of another algorithm is refused for that alone.
TICKET_SIGNING_KEY = "t" * 43
JWT_SECRET = "test-secret-" + 6 * "0123456789"

Event = dict[str, Any]
Client = TestClient[web.Request, web.Application]


class Server(TestServer):
    """Serves the application as `python -m api` does: with its fast lane."""

    __test__ = False

    async def _make_runner(self, **kwargs: Any) -> LaneRunner:
        return LaneRunner(self.app, **kwargs)


class Answer(NamedTuple):
    """One response: `body` is the decoded JSON, or None if it is not JSON."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any
    text: str


class State(NamedTuple):
    """Everything that the servers keep; equal means that nothing was changed."""

    redis: dict[bytes, bytes]
    database: Content


@dataclass(frozen=True, kw_only=True)
class World:
    """The API over HTTP, and what is below it for tests to look at."""

    client: Client
    database: asyncpg.Pool
    database_url: str
    redis: Redis
    #: Of tokens that were made: who is not in the database yet, and who was put there.
    coming: dict[str, Principal] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        key: str | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; *path* goes out as it stands."""
        await self.enter()
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        if key is not None:
            given["Idempotency-Key"] = key
        raw = orjson.dumps(json) if json is not None else data
        url = URL(path, encoded=True)
        async with self.client.request(method, url, data=raw, headers=given) as response:
            # A stream has no end to wait for: it has begun, and is left.
            is_stream = response.content_type == "text/event-stream"
            text = "" if is_stream else await response.text()
            is_json = "json" in response.content_type
            body = orjson.loads(text) if is_json and text else None
            return Answer(response.status, response.headers, body, text)

    def token(
        self,
        user_id: str | None = None,
        *,
        role: str = "user",
        organizer_id: str | None = None,
        version: int = 0,
        is_fresh: bool = False,
    ) -> str:
        """
        Make a token, of a new user if nobody is named.

        Who is more than a user has an account by the first call: a token alone makes nobody it.

        Args:
            version: Of the account's tokens; a high one is not over when the account is made less.

            is_fresh: Whether it is of somebody who has signed in just now, by password; else it is
                as older code made them, which does not say.
        """
        person = user_id or new_id("usr")
        principal = Principal(person, role, organizer_id, token_version=version)
        if is_fresh:
            principal = principal._replace(method="password", signed_in_s=int(time.time()))
        if user_id is None and role in {"staff", "organizer", "admin"}:
            self.coming[principal.user_id] = principal
        return self.client.app[SERVICES].tokens.issue(principal)

    async def enter(self) -> None:
        """Give those an account whose tokens say that they are more than a user."""
        while self.coming:
            user_id, person = self.coming.popitem()
            if person.organizer_id is not None:
                added = await self.database.execute(
                    "INSERT INTO organizers (id, name) VALUES ($1, 'Other') ON CONFLICT DO NOTHING",
                    person.organizer_id,
                )
                self.entered.update([person.organizer_id] if added.endswith("1") else [])
            await self.database.execute(
                "INSERT INTO users (id, email, name, password_hash, role, organizer_id)"
                " VALUES ($1, $1 || '@example.org', 'N', 'x', $2::text::user_role, $3)",
                user_id,
                person.role,
                person.organizer_id,
            )
            self.entered.add(user_id)

    async def prove(self, email: str) -> str:
        """Have an account prove its address by the letter to it; return its id."""
        user = await users.by_email(self.database, [email])
        assert user is not None
        token = await self.letter(email, "account.verify")
        path, mine = "/v1/me/email/verify", self.token(user.id)
        answer = await self.call("POST", path, token=mine, json={"token": token})
        assert 200 == answer.status, answer.text
        return user.id

    async def letter(self, email: str, kind: str) -> str:
        """Return the token of the last letter of a kind to an address."""
        token: str | None = await self.database.fetchval(
            "SELECT payload ->> 'token' FROM outbox "
            "WHERE kind = $1 AND payload ->> 'to' = $2 ORDER BY id DESC LIMIT 1",
            kind,
            email,
        )
        assert token is not None, f"no letter of {kind} to {email}"
        return token

    async def organizer(self) -> str:
        """Make an organizer; return the token of one who works for it."""
        organizer_id = await users.add_organizer(self.database, "House")
        return self.token(role="organizer", organizer_id=organizer_id)

    async def book(
        self,
        event: Event,
        token: str | None,
        *items: tuple[int, int] | Mapping[str, Any],
        what: str = "bookings",
        key: str | None = "k-1",
        prefer: str = "",
        **fields: Any,
    ) -> Answer:
        """
        Book places, or hold them.

        Args:
            token: Somebody new's if it is None.

            items: Pairs of tier number (from 1) and quantity, or items as they are sent; one place
                of tier 1 by default.

            fields: What else the order has.
        """
        lines = [
            {"tier_id": event["tiers"][item[0] - 1]["id"], "quantity": item[1]}
            if isinstance(item, tuple)
            else item
            for item in items or ((1, 1),)
        ]
        return await self.call(
            "POST",
            f"/v1/events/{event['id']}/{what}",
            token=token or self.token(),
            key=key,
            json={"items": lines} | fields,
            headers={"Prefer": prefer} if prefer else None,
        )

    async def hold(
        self, event: Event, token: str | None, *lines: tuple[int, int], **fields: Any
    ) -> Answer:
        """Hold places as `book` books them."""
        return await self.book(event, token, *lines, what="holds", **fields)

    async def cancel(self, booking_id: str, token: str) -> Answer:
        """Cancel a booking."""
        return await self.call("POST", f"/v1/bookings/{booking_id}/cancel", token=token)

    async def draft(self, token: str, *capacities: int, **fields: Any) -> Event:
        """Make a draft with tiers of *capacities*; *fields* replace those of `new_event`."""
        made = await self.call(
            "POST", "/v1/events", token=token, json=new_event(*capacities) | fields
        )
        assert 201 == made.status, made.text
        return dict(made.body)

    async def publish(self, event_id: str, token: str) -> Answer:
        """Publish an event."""
        return await self.call("POST", f"/v1/events/{event_id}/publish", token=token)

    async def event(self, *capacities: int, token: str = "", **fields: Any) -> Event:
        """Make an organizer, if none is given by *token*, and a published event."""
        token = token or await self.organizer()
        made = await self.draft(token, *capacities, **fields)
        answer = await self.publish(made["id"], token)
        assert 200 == answer.status, answer.text
        return dict(answer.body)

    async def settle(self) -> None:
        """Wait until PostgreSQL has all that Redis has, and Redis knows."""
        while True:
            seq, persisted = await ask(
                self.redis, "HMGET", keys.meta(SHARD), "seq", "persisted_seq"
            )
            if seq == persisted:
                return
            await asyncio.sleep(0)

    async def told(self) -> list[outbox.Notice]:
        """Wait until all is quiet; return all there is to tell of this reign, other tests' too."""
        await self.settle()
        epoch, last_seq = map(
            int, await ask(self.redis, "HMGET", keys.meta(SHARD), "epoch", "persisted_seq")
        )
        read = partial(outbox.read, self.database, shard=SHARD, epoch=epoch)
        notices: list[outbox.Notice] = []
        after_seq = 0
        while after_seq < last_seq:
            found = await read(after_seq=after_seq)
            assert found.last_seq > after_seq
            notices += found.notices
            after_seq = found.last_seq
        return notices

    async def state(self) -> State:
        """Wait until all is quiet; return everything the servers keep, but for who was entered."""
        await self.settle()
        kept = {
            table: [row for row in rows if not any(own in row for own in self.entered)]
            if table in {"organizers", "users", "team_members"}
            else rows
            for table, rows in (await content(self.database)).items()
        }
        return State(await checks.digests(self.redis, SHARD), kept)

    async def recover(self) -> int:
        """Do what the coordinator does, and wait until the API has seen it; return the epoch."""
        epoch = await recover(self.redis, self.database_url)
        engine = self.client.app[SERVICES].engine
        # A door that nobody has knocked at since still shows the last reign.
        with contextlib.suppress(ShardRecovering):
            await engine.availability(SHARD, new_id("evt"))
        while not engine.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return epoch

    async def is_ready(self) -> bool:
        """Ask `/readyz`."""
        return 200 == (await self.call("GET", "/readyz")).status


async def recover(redis: Redis, database_url: str) -> int:
    """Open the shard by the real coordinator."""
    connection = await connect(database_url, timeout_ms=TIMEOUT_MS)
    try:
        coordinator = Coordinator(SHARD, redis, connection, backlog_records_max=BACKLOG_MAX)
        epoch = await coordinator.recover()
        assert epoch is not None
        return epoch
    finally:
        await connection.close()


#: What serves the application a second time, with other options.
Serve = Callable[..., contextlib.AbstractAsyncContextManager["World"]]


def from_now(**delta: float) -> str:
    """Return a moment relative to now, as RFC 3339."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(**delta)).isoformat()


def new_event(*capacities: int) -> dict[str, Any]:
    """Make the request for an event with tiers of *capacities*."""
    return {
        "name": "Concert",
        "starts_at": from_now(days=30),
        "tiers": [
            {
                "name": f"Tier {n}",
                "price": {"amount": 1000 * n, "currency": "EUR"},
                "capacity": capacity,
            }
            for n, capacity in enumerate(capacities or (100,), start=1)
        ],
    }


def check_limit(headers: Mapping[str, str]) -> None:
    """Hold the fields of an answer that a limit has refused against each other."""
    policy = re.fullmatch(
        r'("[a-z-]+");q=[1-9]\d*;(w=[1-9]\d*|qu="concurrent-requests")', headers["RateLimit-Policy"]
    )
    assert policy, headers["RateLimit-Policy"]
    wait_s = int(headers["Retry-After"])
    assert wait_s >= 1
    assert f"{policy[1]};r=0;t={wait_s}" == headers["RateLimit"]


def check_problem(answer: Answer, status: int, code: str, pointer: str | None = None) -> None:
    """
    Compare an answer with the problem expected.

    Raises:
        AssertionError: another status or code, another field named, or not RFC 9457.
    """
    assert (status, code) == (answer.status, answer.body and answer.body.get("code")), answer.text
    assert PROBLEM == answer.headers["Content-Type"]
    body = answer.body
    assert status == body["status"]
    assert f"/problems/{code}" == body["type"]
    assert body["title"]
    assert answer.headers["X-Request-Id"] == body["request_id"]
    if status == 429:
        check_limit(answer.headers)
    if pointer is not None:
        assert [pointer] == [error["pointer"] for error in body["errors"]]
        assert body["errors"][0]["detail"]
