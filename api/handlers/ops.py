"""For operators and machines: health, metrics, the description of the API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from aiohttp import web

from api import metrics
from api.answers import answer
from api.draining import DRAINING
from api.http import SERVICES
from api.problems import Problem
from api.schemas import Dependency, Health, Readiness
from engine.errors import EngineError
from engine.shard import Shard
from engine.sweeper import measure_overdue
from store.deliveries import is_off
from store.pool import ping
from usecases.services import Services

Result = TypeVar("Result")

CHECK_TIMEOUT_S = 2.0
#: How it shows that what is asked says no.
REFUSED = "refused"
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


class Checked(NamedTuple):
    """What was found of all that is needed."""

    checks: dict[str, str]
    dependencies: list[Dependency]


READINESS: web.AppKey[Together[Checked]] = web.AppKey("readiness", Together)
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
    found = await _together(request)
    checks = dict(found.checks)
    is_whole = set(checks.values()) == {"ok"}
    is_ready = checks["shards"] != "shut" and checks["database"] == "ok"
    if request.app[DRAINING].is_on:
        checks["process"], is_ready = "stopping", False
    is_healthy = is_ready and all(one.state == "healthy" for one in found.dependencies)
    body = Readiness(
        status="ok" if is_whole and is_ready else "degraded" if is_ready else "unavailable",
        checks=checks,
        overall="healthy" if is_healthy else "degraded" if is_ready else "unhealthy",
        dependencies=found.dependencies,
    )
    # Processes share the port: who waits for all of them must know them apart (`evently.ready`).
    headers = NO_STORE | {"Evently-Process": str(os.getpid())}
    return answer(body, status=200 if is_ready else 503, headers=headers)


async def checks_of(request: web.Request) -> dict[str, str]:
    """Return how all is that is needed, by name: `ok`, or how it is."""
    return (await _together(request)).checks


async def _together(request: web.Request) -> Checked:
    """Look at what is below, once for all who ask at the same moment."""
    return await request.app[READINESS].do(partial(_checked, request.app[SERVICES]))


async def _checked(services: Services) -> Checked:
    shards = sorted(services.engine.shards.items())
    (database, how), (notifier, sends), found = await asyncio.gather(
        _timed("postgresql", ping(services.pools.events), CHECK_TIMEOUT_S),
        _timed("notifier", _sends(services), CHECK_TIMEOUT_S),
        asyncio.gather(*(_checked_shard(services, number, shard) for number, shard in shards)),
    )
    heard = [redis for redis, _ in found]
    shut = [
        str(number)
        for (number, _), redis in zip(shards, heard, strict=True)
        if redis.state != "healthy"
    ]
    said = "ok" if not shut else f"shut: {', '.join(shut[:SHARDS_NAMED])}"
    checks = {"shards": "shut" if len(shut) == len(shards) else said, "database": how}
    if sends == REFUSED:
        checks["notifier"] = "off"
    persisters = [persister for _, persister in found]
    return Checked(checks, [database, *heard, *persisters, notifier])


async def _sends(services: Services) -> bool:
    """Tell whether somebody sends mail, or nothing has to be sent."""
    return not await is_off(services.pools.events)


async def _checked_shard(
    services: Services, number: int, shard: Shard
) -> tuple[Dependency, Dependency]:
    """Return the state of a shard's Redis and persister."""
    # A door may stand open under a reign that is over, or before a replica that takes no writes,
    # and nobody has tried it yet.
    redis, _ = await _timed(f"redis-{number}", shard.is_heard(), CHECK_TIMEOUT_S)
    name = f"persister-{number}"
    if redis.state != "healthy":
        return redis, Dependency(name=name, state="unknown", response_ms=None)
    persister, _ = await _timed(name, services.catch_up({number}), MEASURE_TIMEOUT_S)
    return redis, persister


async def _timed(
    name: str, work: Awaitable[bool | None], timeout_s: float
) -> tuple[Dependency, str]:
    """Return the state of what *work* asks, and `ok` or why it is not; False is no good answer."""
    started_s, how = time.perf_counter(), "ok"
    try:
        async with asyncio.timeout(timeout_s):
            if await work is False:
                how = REFUSED
    except Exception as error:  # noqa: BLE001  Whatever it is, it is not as it should be.
        how = type(error).__name__
    took_ms = round((time.perf_counter() - started_s) * 1000, 1)
    state: Literal["healthy", "unhealthy"] = "healthy" if how == "ok" else "unhealthy"
    return Dependency(name=name, state=state, response_ms=took_ms), how


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
