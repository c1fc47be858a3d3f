"""For operators and machines: health, metrics, the description of the API."""

from __future__ import annotations

import asyncio
import contextlib
import os

from aiohttp import web

from api import metrics
from api.answers import answer
from api.http import SERVICES
from api.problems import Problem
from api.schemas import Health
from engine.errors import EngineError
from engine.sweeper import measure_overdue
from store.pool import ping

CHECK_TIMEOUT_S = 2.0
#: Shut shards that an answer names at most.
SHARDS_NAMED = 16
MEASURE_TIMEOUT_S = 0.5
NO_STORE = {"Cache-Control": "no-store"}
OPENAPI: web.AppKey[bytes] = web.AppKey("openapi", bytes)


async def healthz(_: web.Request) -> web.StreamResponse | Problem:
    """Tell that the process answers; it says nothing about what is below."""
    return answer(Health(status="ok"), headers=NO_STORE)


async def readyz(request: web.Request) -> web.StreamResponse | Problem:
    """
    Tell whether bookings can be taken and read: PostgreSQL there, and a shard open at least.

    One dead server among several is no reason to take the process from those whose shards sell: it
    is `degraded` then, and says which shards are shut.
    """
    services = request.app[SERVICES]
    checks = {"shards": "shut", "database": "ok"}
    is_whole = False
    # A door may stand open under a reign that is over, or before a replica that takes no writes,
    # and nobody has tried it yet.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            heard = await services.engine.heard()
            is_whole = bool(heard) and all(heard.values())
            if any(heard.values()):
                shut = [str(shard) for shard, is_heard in sorted(heard.items()) if not is_heard]
                checks["shards"] = f"shut: {', '.join(shut[:SHARDS_NAMED])}" if shut else "ok"
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await ping(services.pools.events)
    except Exception as error:  # noqa: BLE001  Whatever it is, we are not ready.
        checks["database"] = type(error).__name__
    is_ready = checks["shards"] != "shut" and checks["database"] == "ok"
    body = Health(
        status="ok" if is_whole and is_ready else "degraded" if is_ready else "unavailable",
        checks=checks,
    )
    # Processes share the port: who waits for all of them must know them apart (`evently.ready`).
    headers = NO_STORE | {"Evently-Process": str(os.getpid())}
    return answer(body, status=200 if is_ready else 503, headers=headers)


async def metrics_text(request: web.Request) -> web.StreamResponse | Problem:
    """Return all metrics in Prometheus's text format."""
    # Whoever reads them finds overdue holds even if no sweeper runs that would count them.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            for shard in list(request.app[SERVICES].engine.shards.values()):
                with contextlib.suppress(EngineError):
                    await measure_overdue(shard)
    metrics.flush()
    body = await asyncio.to_thread(metrics.exposition)
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE} | NO_STORE)


async def openapi(request: web.Request) -> web.StreamResponse | Problem:
    """Return the OpenAPI 3.1 description of this API."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json")
