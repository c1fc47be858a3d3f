"""For operators and machines: health, metrics, the description of the API."""

from __future__ import annotations

import asyncio
import contextlib
import os

from aiohttp import web
from redis.exceptions import RedisError

from api import metrics
from api.answers import answer
from api.http import SERVICES
from api.problems import Problem
from api.schemas import Health
from engine.sweeper import measure_overdue
from store.pool import ping

CHECK_TIMEOUT_S = 2.0
MEASURE_TIMEOUT_S = 0.5
NO_STORE = {"Cache-Control": "no-store"}
OPENAPI: web.AppKey[bytes] = web.AppKey("openapi", bytes)


async def healthz(_: web.Request) -> web.StreamResponse | Problem:
    """Tell that the process answers; it says nothing about what is below."""
    return answer(Health(status="ok"), headers=NO_STORE)


async def readyz(request: web.Request) -> web.StreamResponse | Problem:
    """Tell whether bookings can be taken and read: every shard open, PostgreSQL there."""
    services = request.app[SERVICES]
    checks = {"shards": "shut", "database": "ok"}
    # A door may stand open under a reign that is over, and nobody has tried it yet.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            checks["shards"] = "ok" if await services.engine.is_heard() else "shut"
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await ping(services.pools.events)
    except Exception as error:  # noqa: BLE001  Whatever it is, we are not ready.
        checks["database"] = type(error).__name__
    is_ready = set(checks.values()) == {"ok"}
    body = Health(status="ok" if is_ready else "unavailable", checks=checks)
    # Processes share the port: who waits for all of them must know them apart (`evently.ready`).
    headers = NO_STORE | {"Evently-Process": str(os.getpid())}
    return answer(body, status=200 if is_ready else 503, headers=headers)


async def metrics_text(request: web.Request) -> web.StreamResponse | Problem:
    """Return all metrics in Prometheus's text format."""
    # Whoever reads them finds overdue holds even if no sweeper runs that would count them.
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            for shard in request.app[SERVICES].engine.shards:
                await measure_overdue(shard)
    metrics.flush()
    body = await asyncio.to_thread(metrics.exposition)
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE} | NO_STORE)


async def openapi(request: web.Request) -> web.StreamResponse | Problem:
    """Return the OpenAPI 3.1 description of this API."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json")
