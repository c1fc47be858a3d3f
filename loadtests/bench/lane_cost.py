"""
What a request costs one API process in user space: on the fast lane, on aiohttp's way, and bare.

    python -m loadtests.bench.lane_cost

Requests go straight into the protocol and answers into a transport that drops them, so that the
kernel is left out; Redis's replies are canned. Decision 0012 has the figures.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import uvloop
from aiohttp import web

from api.addresses import ADDRESSES, Addresses
from api.admission import ADMISSION, Admission, Work
from api.app import add_routes
from api.cors import CORS, Cors
from api.http import SERVICES
from api.lane import HOT_ROUTES, LaneRunner, hot_route
from api.lean import LeanAnswer
from api.leftovers import LEFTOVERS, Leftovers
from api.middleware import middleware
from engine.door import Reign
from engine.engine import Engine
from engine.ids import new_id
from engine.redis_client import connect
from engine.scripts import shas
from loadtests.bench import bare
from usecases.acks import Acks
from usecases.buckets import Rate
from usecases.catalog import Catalog, Known
from usecases.quotas import Quotas
from usecases.receipts import Receipts
from usecases.revocations import Revocations
from usecases.services import Services
from usecases.tokens import Principal, Tokens

#: Counted as always, and never reached.
UNREACHED = Rate("requests", 1_000_000_000, 900_000)
REQUESTS = 64
ROUNDS = 300
ANSWERS_S_MAX = 10.0
EVENT, TIER = new_id("evt"), new_id("tier")
AT_MS = 1_764_000_000_123
ORDER = b'{"items":[{"tier_id":"%s","quantity":1}]}' % TIER.encode()
BOOKINGS = f"/v1/events/{EVENT}/bookings"

Reply = Callable[[Sequence[Any]], Any]


class Drain(asyncio.Transport):
    """Drops what is written, and tells when all requests of a round are answered."""

    left = 0
    done = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is nothing to tell."""
        return default

    def is_closing(self) -> bool:
        """It never is."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits to be sent."""
        return 0

    def write(self, data: Any) -> None:
        """Count an answer."""
        Drain.left -= 1
        if not Drain.left:
            Drain.done.set()

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Nothing is open."""


def booked(words: Sequence[Any]) -> bytes:
    """Reply that all orders of a call are booked."""
    count = int(next(word for word in words if isinstance(word, str) and " 3 " in word).split()[0])
    return b"ALL BOOKED 1 %d %d 1:1:5000" % (count, AT_MS)


def sold_out(words: Sequence[Any]) -> bytes:
    """Reply that nobody gets a place."""
    count = int(booked(words).split()[3])
    return b"\n".join([b"SOLD_OUT 1 0"] * count)


def stock(_: Sequence[Any]) -> list[Any]:
    """Reply what is left."""
    fields = [b"1.available", b"5", b"1.held", b"0", b"1.sold", b"0", b"1.capacity", b"5"]
    return [[b"STOCK", 1, AT_MS, *fields]]


def nobody_over(ttl_s: int) -> Revocations:
    """Return revocations as a process has them: of others, and looked at just now."""

    async def unread(*_: Any) -> Any:
        raise AssertionError("it never looks")

    known = Revocations(unread, unread, unread, ttl_s=ttl_s)
    for _ in range(1_000):
        known.note(new_id("ses"))
    known.is_shut = False
    return known


def make_app(reply: Reply, tokens: Tokens) -> web.Application:
    """Make the application with all but its stores."""

    async def unread(_: int) -> None:
        raise AssertionError("the door is open")

    engine = Engine({"0": connect("redis://127.0.0.1:1", timeout_ms=1_000)}, unread, shards=[0])
    shard: Any = engine.shards[0]
    shard.door._reign = Reign(  # noqa: SLF001
        shard=0, epoch=1, script_shas=shas("n"), redis_run_id="r", redis_replid="h"
    )

    async def opened() -> None:
        return None

    async def call(*words: Any) -> Any:
        return reply(words)

    shard.wire.call = call
    shard.wire.open = opened
    catalog = Catalog(*cast("tuple[Any, Any, Any]", (None, None, None)))
    known = Known(0, "org", "EUR", {TIER: 1}, {1: TIER}, {})
    catalog._known._found[EVENT] = known, math.inf  # noqa: SLF001
    nothing = cast("Any", None)
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    app = web.Application(middlewares=[middleware])
    app[SERVICES] = Services(
        engine=engine,
        pools=nothing,
        watermark=nothing,
        catalog=catalog,
        standings=nothing,
        tokens=tokens,
        revocations=nobody_over(tokens.ttl_s),
        session_life=nothing,
        keyring=nothing,
        bearers=nothing,
        enrolments=nothing,
        acks=Acks(
            floor="fsync",
            replicas_min=0,
            timeout_ms=1_000,
            engine=engine,
            watermark=nothing,
            waiters={},
        ),
        passwords=nothing,
        flows=nothing,
        openid={},
        passkey_site=None,
        webhooks=None,
        push_services=nothing,
        ticket_codes=nothing,
        **dict.fromkeys(("press", "wallets"), nothing),
        receipts=Receipts(key),
        hold_ttl_ms=1,
        hold_life_max_ms=1,
        hold_scarce_percent=0,
        hold_ttl_min_ms=1,
        attempts=nothing,
        quotas=Quotas(nothing, people=UNREACHED, staff=UNREACHED),
        offer_ttl_ms=1,
        waitlist_entries_max=1,
        catch_up_timeout_ms=1,
    )
    app[LEFTOVERS] = Leftovers(age_ms_max=100)
    app[ADDRESSES], app[CORS] = Addresses(), Cors()
    app[ADMISSION] = Admission(dict.fromkeys(Work, 1_000_000))
    add_routes(app)
    return app


async def nothing(request: web.Request) -> web.StreamResponse:
    """Do nothing."""
    await request.read()
    return LeanAnswer(200, bare.ANSWER)


def small_app(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    """Make an application of one handler, hot and not."""
    app = web.Application()
    app[CORS] = Cors()
    app.router.add_post("/v1/events/{event_id}/bookings", handler)
    app[HOT_ROUTES] = [hot_route("POST", "/v1/events/{event_id}/bookings", handler)]
    return app


async def cost_us(runner: web.AppRunner, tokens: Tokens, method: str, path: str) -> float:
    """Return the CPU time of a request in a batch, in us: the best round's."""
    await runner.setup()
    assert runner.server is not None
    lanes: list[Any] = [runner.server() for _ in range(REQUESTS)]
    for lane in lanes:
        lane.connection_made(Drain())
    await asyncio.sleep(0.01)
    bearers = [tokens.issue(Principal(new_id("usr"), "user", None)) for _ in lanes]
    best_s = float("inf")
    for number in range(ROUNDS):
        requests = []
        for bearer in bearers:
            body = ORDER if method == "POST" else b""
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
            if method == "POST":
                head += (
                    f"Authorization: Bearer {bearer}\r\nIdempotency-Key: key-{number:09d}\r\n"
                    f"Content-Length: {len(body)}\r\n"
                )
            requests.append(f"{head}\r\n".encode() + body)
        Drain.left = len(requests)
        Drain.done.clear()
        started_s = time.process_time()
        for lane, request in zip(lanes, requests, strict=True):
            lane.data_received(request)
        # What broke answers nothing.
        async with asyncio.timeout(ANSWERS_S_MAX):
            await Drain.done.wait()
        best_s = min(best_s, time.process_time() - started_s)
    for lane in lanes:
        lane.connection_lost(None)
    return 1e6 * best_s / REQUESTS


async def measure() -> None:
    """Print the table."""
    tokens = Tokens("s" * 64, ttl_s=86_400)
    left = f"/v1/events/{EVENT}/availability"
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    for title, runner, method, path in (
        ("bare aiohttp handler", web.AppRunner(small_app(bare.handle)), "POST", BOOKINGS),
        (
            "a handler that does nothing, on the lane",
            LaneRunner(small_app(nothing)),
            "POST",
            BOOKINGS,
        ),
        (
            "a whole booking, on aiohttp's way",
            web.AppRunner(make_app(booked, tokens)),
            "POST",
            BOOKINGS,
        ),
        ("a whole booking, on the lane", LaneRunner(make_app(booked, tokens)), "POST", BOOKINGS),
        ("sold out, on the lane", LaneRunner(make_app(sold_out, tokens)), "POST", BOOKINGS),
        (
            "what is left, from memory, on the lane",
            LaneRunner(make_app(stock, tokens)),
            "GET",
            left,
        ),
    ):
        print(f"{await cost_us(runner, tokens, method, path):6.1f} us  {title}", flush=True)


if __name__ == "__main__":
    uvloop.run(measure())
