"""For operators and machines: health, metrics, the description of the API."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from aiohttp import web

from api import metrics
from api.answers import answer
from api.draining import DRAINING
from api.http import SERVICES
from api.problems import Problem
from api.schemas import Health
from engine.errors import EngineError
from engine.sweeper import measure_overdue
from store.deliveries import is_off
from store.pool import ping
from usecases.services import Services

Result = TypeVar("Result")

CHECK_TIMEOUT_S = 2.0
#: Shut shards that an answer names at most.
SHARDS_NAMED = 16
MEASURE_TIMEOUT_S = 0.5
NO_STORE = {"Cache-Control": "no-store"}
OPENAPI: web.AppKey[bytes] = web.AppKey("openapi", bytes)


class Together(Generic[Result]):
    """
    Work that is done once for all who ask while it is under way.

    These routes have no quota, and each asks the servers: however many ask, one does.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Result] | None = None

    async def do(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Do *work*, or wait for what is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(work())
        return await asyncio.shield(self._task)


READINESS: web.AppKey[Together[dict[str, str]]] = web.AppKey("readiness", Together)
EXPOSITION: web.AppKey[Together[bytes]] = web.AppKey("exposition", Together)


async def healthz(_: web.Request) -> web.StreamResponse | Problem:
    """Tell that the process answers; it says nothing about what is below."""
    return answer(Health(status="ok"), headers=NO_STORE)


async def readyz(request: web.Request) -> web.StreamResponse | Problem:
    """
    Tell whether bookings can be taken and read: PostgreSQL there, and a shard open at least.

    One dead server among several is no reason to take the process from those whose shards sell: it
    is `degraded` then, and says which shards are shut. So it is while nobody sends mail. A process
    that is to stop is not ready.
    """
    services = request.app[SERVICES]
    checks = dict(await request.app[READINESS].do(partial(_checked, services)))
    is_whole = set(checks.values()) == {"ok"}
    is_ready = checks["shards"] != "shut" and checks["database"] == "ok"
    if request.app[DRAINING].is_on:
        checks["process"], is_ready = "stopping", False
    body = Health(
        status="ok" if is_whole and is_ready else "degraded" if is_ready else "unavailable",
        checks=checks,
    )
    # Processes share the port: who waits for all of them must know them apart (`evently.ready`).
    headers = NO_STORE | {"Evently-Process": str(os.getpid())}
    return answer(body, status=200 if is_ready else 503, headers=headers)


async def _checked(services: Services) -> dict[str, str]:
    checks = {"shards": "shut", "database": "ok"}
    # A door may stand open under a reign that is over, or before a replica that takes no writes,
    # and nobody has tried it yet.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            heard = await services.engine.heard()
            if any(heard.values()):
                shut = [str(shard) for shard, is_heard in sorted(heard.items()) if not is_heard]
                checks["shards"] = f"shut: {', '.join(shut[:SHARDS_NAMED])}" if shut else "ok"
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await ping(services.pools.events)
            # Sales need nobody who sends mail: without, we are degraded.
            if await is_off(services.pools.events):
                checks["notifier"] = "off"
    except Exception as error:  # noqa: BLE001  Whatever it is, we are not ready.
        checks["database"] = type(error).__name__
    return checks


async def metrics_text(request: web.Request) -> web.StreamResponse | Problem:
    """Return all metrics in Prometheus's text format."""
    body = await request.app[EXPOSITION].do(partial(_exposed, request.app[SERVICES]))
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE} | NO_STORE)


async def _exposed(services: Services) -> bytes:
    # Whoever reads them finds overdue holds even if no sweeper runs that would count them.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            for shard in list(services.engine.shards.values()):
                with contextlib.suppress(EngineError):
                    await measure_overdue(shard)
    metrics.flush()
    return await asyncio.to_thread(metrics.exposition)


async def openapi(request: web.Request) -> web.StreamResponse | Problem:
    """Return the OpenAPI 3.1 description of this API."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json")
