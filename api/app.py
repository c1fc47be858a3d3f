"""Puts the API together: connections, services, routes; and takes it apart again."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import asyncpg
import structlog
from aiohttp import web

from api import metrics
from api.acks import Acks
from api.catalog import Catalog
from api.handlers.ops import OPENAPI
from api.lane import HOT_ROUTES, HotRoute, hot_route
from api.leftovers import Leftovers
from api.middleware import middleware
from api.openapi import describe
from api.passwords import Passwords
from api.policy import enforce
from api.receipts import Receipts
from api.routes import ROUTES
from api.services import SERVICES, Services
from api.ticket_codes import TicketCodes
from api.tokens import Tokens
from engine import scripts
from engine.calls import Limit
from engine.door import ReadReign, Reign, ReportSeen
from engine.durability import Durability
from engine.engine import Engine
from engine.redis_client import connect
from engine.redo import Horizon, Redo, RedoBuffer
from engine.replicas import ROUND_MS, GroupWaiter
from store import journal, redo, reigns
from store.pool import create_pool
from store.sql import Executor
from store.watermark import Watermark

log = structlog.get_logger()

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the API needs to know; units as in the settings of the same names."""

    redis_urls: Sequence[str]
    database_url: str
    jwt_secret: str
    ticket_signing_key: str
    access_token_ttl_s: int
    password_hashes_max: int
    shards: int
    redis_timeout_ms: int
    batch_commands_max: int
    batches_in_flight_max: int
    commands_waiting_max: int
    database_pool_max: int
    database_timeout_ms: int
    catch_up_timeout_ms: int
    availability_age_ms_max: int
    booking_limit_attempts: int
    booking_limit_window_ms: int
    hold_ttl_ms: int
    hold_life_max_ms: int
    offer_ttl_ms: int
    waitlist_entries_max: int
    body_bytes_max: int
    drain_timeout_s: int
    durability: Durability
    durability_timeout_ms: int
    replicas_min: int
    redo_records_max: int
    redo_bytes_max: int
    receipts: Literal["on", "off"]


def booking_limit(options: Options) -> Limit | None:
    """Return how often a person may try to book; None if there is no limit."""
    if not options.booking_limit_attempts:
        return None
    return Limit(options.booking_limit_attempts, options.booking_limit_window_ms)


def create_app(options: Options) -> web.Application:
    """
    Make the application; connections open when it starts and close when it stops.

    It starts with PostgreSQL and Redis away, and says by `/readyz` that it is not ready.
    """
    app = web.Application(middlewares=[middleware], client_max_size=options.body_bytes_max)

    async def services(app: web.Application) -> AsyncIterator[None]:
        pool = await create_pool(
            options.database_url,
            connections_max=options.database_pool_max,
            timeout_ms=options.database_timeout_ms,
        )

        engine = Engine(
            [connect(url, timeout_ms=options.redis_timeout_ms) for url in options.redis_urls],
            reign_reader(pool),
            report_seen=seen_reporter(pool),
            shards=options.shards,
            commands_max=options.batch_commands_max,
            in_flight_max=options.batches_in_flight_max,
            waiting_max=options.commands_waiting_max,
            durability=options.durability,
            make_redo=redo_maker(pool, options),
            booking_limit=booking_limit(options),
        )
        watermark = Watermark(pool)
        acks = Acks(
            floor=options.durability,
            replicas_min=options.replicas_min,
            timeout_ms=options.durability_timeout_ms,
            engine=engine,
            watermark=watermark,
            waiters=group_waiters(engine, options),
        )
        passwords = Passwords(at_once_max=options.password_hashes_max)
        app[SERVICES] = Services(
            engine=engine,
            pool=pool,
            watermark=watermark,
            acks=acks,
            catalog=Catalog(pool),
            leftovers=Leftovers(age_ms_max=options.availability_age_ms_max),
            tokens=Tokens(options.jwt_secret, ttl_s=options.access_token_ttl_s),
            passwords=passwords,
            ticket_codes=TicketCodes(options.ticket_signing_key),
            receipts=Receipts(options.ticket_signing_key) if options.receipts == "on" else None,
            shards=options.shards,
            hold_ttl_ms=options.hold_ttl_ms,
            hold_life_max_ms=options.hold_life_max_ms,
            offer_ttl_ms=options.offer_ttl_ms,
            waitlist_entries_max=options.waitlist_entries_max,
            catch_up_timeout_ms=options.catch_up_timeout_ms,
        )
        engine.start()
        flushing = asyncio.create_task(metrics.keep_flushing())
        yield
        flushing.cancel()
        await acks.close()
        await engine.stop(timeout_s=options.drain_timeout_s)
        passwords.close()
        await pool.close()

    app.cleanup_ctx.append(services)
    app[OPENAPI] = describe(ROUTES)
    add_routes(app)
    return app


def add_routes(app: web.Application) -> None:
    """Put every route behind its policy, and the hot ones onto the fast lane as well."""
    hot: list[HotRoute] = []
    for route in ROUTES:
        handler = enforce(route.policy, route.handler)
        # The middleware turns problems that are returned into responses.
        app.router.add_route(route.method, route.path, cast("WebHandler", handler))
        if route.is_hot:
            hot.append(hot_route(route.method, route.path, handler))
    app[HOT_ROUTES] = hot


def group_waiters(engine: Engine, options: Options) -> list[GroupWaiter]:
    """Return who waits for replicas: one per Redis master, on a connection of its own."""
    if not options.replicas_min:
        return []
    timeout_ms = options.redis_timeout_ms + ROUND_MS
    return [
        engine.wait_for_replicas(
            connect(url, timeout_ms=timeout_ms, connections_max=1),
            master,
            replicas_min=options.replicas_min,
        )
        for master, url in enumerate(options.redis_urls)
    ]


def redo_maker(pool: asyncpg.Pool, options: Options) -> Callable[[int], RedoBuffer] | None:
    """Return what makes each shard's redo buffer; None if this deployment has none."""
    if not options.redo_records_max:
        return None
    worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def make(shard: int) -> RedoBuffer:
        label = str(shard)

        async def read_horizon(epoch: int) -> Horizon:
            return Horizon(*await reigns.horizon(pool, shard, epoch))

        async def write(rows: Sequence[Redo]) -> None:
            first_seq, last_seq = rows[0].seq, rows[-1].seq
            known = await journal.records(
                pool, shard=shard, epoch=rows[0].epoch, first_seq=first_seq, last_seq=last_seq
            )
            # To the letter: recovery journals what it gives up for lost under the same seqs.
            kept = [redo.Row(*row) for row in rows if known.get(row.seq) != row.record]
            if kept:
                await redo.write(pool, shard=shard, worker=worker, rows=kept)
                metrics.REDO_WRITTEN.labels(label).inc(len(kept))
                log.warning(
                    "redo written",
                    action="redo_written",
                    shard=shard,
                    epoch=kept[0].epoch,
                    records=len(kept),
                )

        return RedoBuffer(
            shard,
            read_horizon=read_horizon,
            write=write,
            records_max=options.redo_records_max,
            bytes_max=options.redo_bytes_max,
            on_drop=metrics.REDO_DROPPED.labels(label).inc,
        )

    return make


def reign_reader(pool: Executor) -> ReadReign:
    """Return what the engine's doors ask for the shard's reign: the row in PostgreSQL."""

    async def read(shard: int) -> Reign | None:
        row = await reigns.read(pool, shard)
        if row is None or row.state != "open":
            return None
        return Reign(
            shard=shard,
            epoch=row.epoch,
            script_shas=scripts.shas(row.nonce),
            redis_run_id=row.redis_run_id,
            redis_replid=row.redis_replid,
        )

    return read


def seen_reporter(pool: Executor) -> ReportSeen:
    """Return whom a fenced door tells what it has seen: the shard's row in PostgreSQL."""

    async def report(shard: int, epoch: int, seen_seq: int, has_lost: bool) -> None:
        await reigns.note_seen(pool, shard, epoch=epoch, seen_seq=seen_seq, has_lost=has_lost)

    return report
