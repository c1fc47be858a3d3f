"""
The three approaches behind the service's own HTTP layer: aiohttp, uvloop, no access log.

Token, Idempotency-Key and body are checked by the same code as in the service, in one process.
"""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import orjson
from aiohttp import web

from api.http import idempotency_key, read_body
from api.problems import Problem
from engine.ids import booking_id
from engine.redis_client import connect
from loadtests.baselines import redis_lock, row_lock, version
from loadtests.baselines.tables import Order, Refused, find
from store.pool import create_pool
from usecases.asked import Order as OrderBody
from usecases.tokens import InvalidToken, Tokens

CONNECTIONS_MAX = 32
TIMEOUT_MS = 30_000
APPROACHES = {"version": version.book, "redis_lock": redis_lock.book, "row_lock": row_lock.book}
PATH = "/{approach}/events/{event_id}/bookings"
_ORDER = msgspec.json.Decoder(OrderBody)


class Options(msgspec.Struct, frozen=True):
    """Where the servers are, and who signs tokens."""

    database_url: str
    redis_url: str
    jwt_secret: str


class _Service:
    """One handler for the three approaches."""

    def __init__(self, options: Options, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._tokens = Tokens(options.jwt_secret, ttl_s=3_600)
        self._redis = connect(
            options.redis_url, timeout_ms=TIMEOUT_MS, connections_max=CONNECTIONS_MAX
        )

    async def handle(self, request: web.Request) -> web.Response:
        try:
            body, status = await self._book(request), 201
        except Refused as refused:
            body, status = {"code": str(refused)}, 503 if str(refused) == "too_busy" else 409
        except InvalidToken:
            body, status = {"code": "unauthorized"}, 401
        except Problem as problem:
            body, status = {"code": problem.code}, problem.status
        return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")

    async def _book(self, request: web.Request) -> dict[str, object]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user_id = self._tokens.check(token).user_id
        key = idempotency_key(request)
        wanted = await read_body(request, _ORDER)
        event_id = request.match_info["event_id"]
        order = Order(
            id=booking_id(event_id=event_id, user_id=user_id, idempotency_key=key),
            event_id=event_id,
            user_id=user_id,
            idempotency_key=key,
            quantity=sum(item.quantity or 0 for item in wanted.items),
        )
        book = APPROACHES[request.match_info["approach"]]
        try:
            own_id = await book(self._pool, self._redis, order)
        except asyncpg.UniqueViolationError:  # The same key at the same time.
            async with self._pool.acquire() as database:
                known = await find(database, order)
            assert known is not None, "the key was used"
            own_id = known
        return {"id": own_id, "event_id": event_id, "status": "confirmed"}


async def serve(options: Options) -> None:
    """Listen on a port of the system's choice; say which."""
    pool = await create_pool(
        options.database_url, connections_max=CONNECTIONS_MAX, timeout_ms=TIMEOUT_MS
    )
    app = web.Application()
    app.router.add_post(PATH, _Service(options, pool).handle)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
