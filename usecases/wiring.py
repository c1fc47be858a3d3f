"""
Wiring: opens what use cases work with, and ties the engine to PostgreSQL.

The engine knows no PostgreSQL and the store no script; here each is told what it needs of the
other.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog

from engine import scripts
from engine.calls import Bounds, Limit
from engine.door import ReadReign, Reign, ReportSeen
from engine.durability import Durability
from engine.engine import Engine
from engine.homes import Published
from engine.outward import Network, Outside
from engine.redis_client import connect
from engine.redo import Horizon, Redo, RedoBuffer
from engine.replicas import ROUND_MS, GroupWaiter
from engine.watcher import ReadShards
from papers.press import Press
from papers.wallet import Wallets
from store import journal, redo, reigns, revocations
from store.notices import EVENTS, REIGNS, REVOCATIONS, Hear, Notices
from store.pool import Database, Pool, create_pool
from store.sessions import Life
from store.standby import Standby
from store.watermark import Watermark
from usecases import metrics, rights
from usecases.acks import Acks
from usecases.attempts import REGISTRATIONS, REQUESTS, SIGN_IN, Attempts
from usecases.bearers import Bearers
from usecases.buckets import Buckets, Rate
from usecases.catalog import Catalog
from usecases.keyring import Keyring
from usecases.openid_provider import Provider, Registration
from usecases.outside import Fetch, nobody
from usecases.passwords import Passwords
from usecases.present import is_loaded
from usecases.quotas import Quotas
from usecases.revocations import Revocations
from usecases.sealing import Sealing
from usecases.services import PasskeySite, Pools, Services, WebhookSite

log = structlog.get_logger()

#: Connections for what selling and recovery stand on: short statements, one at a time each.
ENGINE_CONNECTIONS_MAX = 3
#: Connections for who calls: short statements as well.
CALLERS_CONNECTIONS_MAX = 2
#: Codes of devices that may be tried from one address, and the time in which they come back.
ENROLMENTS_MAX = 200
ENROLMENTS_WINDOW_MS = 600_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What use cases need to know; units as in the settings of the same names."""

    redis_servers: Mapping[str, str]
    database_url: str
    #: A standby of it to read from; empty: there is none.
    database_read_url: str
    jwt_secret: str
    ticket_signing_key: str
    access_token_ttl_s: int
    session_idle_s: int
    session_life_max_s: int
    password_hashes_max: int
    passwords_waiting_max: int
    redis_timeout_ms: int
    batch_commands_max: int
    batches_in_flight_max: int
    commands_waiting_max: int
    database_pool_max: int
    database_timeout_ms: int
    database_sign_in_pool_max: int
    database_sign_in_timeout_ms: int
    database_own_pool_max: int
    database_own_timeout_ms: int
    database_organizers_pool_max: int
    database_organizers_timeout_ms: int
    database_search_pool_max: int
    database_search_timeout_ms: int
    catch_up_timeout_ms: int
    booking_limit_attempts: int
    booking_limit_window_ms: int
    hold_ttl_ms: int
    hold_life_max_ms: int
    hold_scarce_percent: int
    hold_ttl_min_ms: int
    holds_per_person_max: int
    holds_per_address_max: int
    registration_limit_attempts: int
    registration_limit_window_ms: int
    sign_in_limit_failures: int
    sign_in_limit_failures_of_all: int
    sign_in_limit_window_ms: int
    request_limit_attempts: int
    request_limit_staff_attempts: int
    request_limit_window_ms: int
    offer_ttl_ms: int
    waitlist_entries_max: int
    drain_timeout_s: int
    durability: Durability
    durability_timeout_ms: int
    replicas_min: int
    redo_records_max: int
    redo_bytes_max: int
    receipts: Literal["on", "off"]
    #: Issuer, id and secret as a client of each provider that one can sign in by, by its name here.
    openid_providers: Mapping[str, tuple[str, str, str]]
    openid_redirect_url: str
    #: Empty: nobody can have a passkey.
    passkey_rp_id: str
    passkey_origins: tuple[str, ...]
    admin_passkeys: Literal["optional", "required"]
    #: Empty: there are no webhooks.
    webhook_key: str
    push_hosts: tuple[str, ...]
    #: Networks within which servers that people name may be asked all the same.
    outward_networks: tuple[Network, ...]
    #: Those of phones that tickets can be put into.
    wallets: Wallets


@contextlib.asynccontextmanager
async def opened(options: Options, fetch: Fetch = nobody) -> AsyncIterator[Services]:
    """
    Open what use cases work with, and close it again; the servers may be away.

    Args:
        fetch: Asks servers outside; nobody is asked without it.
    """
    pools = await _pools(options)
    engine, watermark = _engine(options, pools.engine), Watermark(pools.engine)
    acks = _acks(options, engine, watermark)
    passwords = _passwords(options)
    keyring = _keyring(options, pools.callers)
    standings = rights.Standings(pools.organizers, keyring.tokens.wants_passkey)
    services = Services(
        engine=engine,
        pools=pools,
        watermark=watermark,
        acks=acks,
        catalog=_catalog(pools, engine, standings),
        standings=standings,
        tokens=keyring.tokens,
        keyring=keyring,
        bearers=Bearers(pools.callers),
        enrolments=Buckets(Rate("enrolments", ENROLMENTS_MAX, ENROLMENTS_WINDOW_MS)),
        revocations=_revocations(options, pools, engine),
        session_life=Life(options.session_idle_s, options.session_life_max_s),
        passwords=passwords,
        flows=keyring.flows,
        openid=_providers(options, fetch),
        passkey_site=_passkey_site(options),
        webhooks=_webhook_site(options),
        push_services=Outside(hosts=options.push_hosts, also=options.outward_networks),
        ticket_codes=keyring.ticket_codes,
        press=Press(),
        wallets=options.wallets,
        receipts=keyring.receipts,
        hold_ttl_ms=options.hold_ttl_ms,
        hold_life_max_ms=options.hold_life_max_ms,
        hold_scarce_percent=options.hold_scarce_percent,
        hold_ttl_min_ms=options.hold_ttl_min_ms,
        attempts=_attempts(pools.sign_in, options),
        quotas=_quotas(pools.sign_in, options),
        offer_ttl_ms=options.offer_ttl_ms,
        waitlist_entries_max=options.waitlist_entries_max,
        catch_up_timeout_ms=options.catch_up_timeout_ms,
        standby=await _standby(options, pools),
    )
    engine.start()
    await keyring.start()
    notices, sealing = _notices(options, services), Sealing(pools.organizers)
    for begun in (notices, services.quotas, sealing):
        begun.start()
    if services.standby is not None:
        services.standby.start()
    try:
        await services.revocations.start()
        yield services
    finally:
        for part in (
            *(sealing, services.quotas, notices, services.revocations, keyring),
            *(services.bearers, services.press, acks),
        ):
            await part.close()
        if services.standby is not None:
            await services.standby.close()
        await engine.stop(timeout_s=options.drain_timeout_s)
        passwords.close()
        for one in (getattr(pools, name) for name in Pools.__slots__):
            await one.close()


def _notices(options: Options, services: Services) -> Notices:
    hears: dict[str, Hear] = {
        REIGNS: lambda _: services.engine.wake(),
        REVOCATIONS: lambda _: services.revocations.wake(),
        EVENTS: services.catalog.hear,
    }
    return Notices(options.database_url, hears, timeout_ms=options.database_timeout_ms)


def _catalog(pools: Pools, engine: Engine, standings: rights.Standings) -> Catalog:
    return Catalog(pools.events, partial(is_loaded, engine), partial(rights.sees, standings))


def _engine(options: Options, pool: Pool) -> Engine:
    return Engine(
        {
            name: connect(url, timeout_ms=options.redis_timeout_ms)
            for name, url in options.redis_servers.items()
        },
        reign_reader(pool),
        report_seen=seen_reporter(pool),
        read_shards=shards_reader(pool),
        commands_max=options.batch_commands_max,
        in_flight_max=options.batches_in_flight_max,
        waiting_max=options.commands_waiting_max,
        durability=options.durability,
        make_redo=redo_maker(pool, options.redo_records_max, options.redo_bytes_max),
        booking_limit=_booking_limit(options),
        hold_bounds=_hold_bounds(options),
    )


def _acks(options: Options, engine: Engine, watermark: Watermark) -> Acks:
    return Acks(
        floor=options.durability,
        replicas_min=options.replicas_min,
        timeout_ms=options.durability_timeout_ms,
        engine=engine,
        watermark=watermark,
        waiters=_group_waiters(engine, options),
    )


def _hold_bounds(options: Options) -> Bounds:
    return Bounds(
        options.holds_per_person_max,
        options.holds_per_address_max,
        options.hold_life_max_ms,
        options.hold_scarce_percent,
        options.hold_ttl_min_ms,
    )


def _keyring(options: Options, pool: Pool) -> Keyring:
    return Keyring(
        pool,
        jwt_secret=options.jwt_secret,
        ticket_signing_key=options.ticket_signing_key,
        token_ttl_s=options.access_token_ttl_s,
        makes_receipts=options.receipts == "on",
        passkey_roles={"admin"} if options.admin_passkeys == "required" else frozenset(),
    )


async def _pools(options: Options) -> Pools:
    """Return the connections, none of which is open yet."""

    async def make(connections_max: int, timeout_ms: int, *, plans_anew: bool = False) -> Pool:
        return await create_pool(
            options.database_url,
            connections_max=connections_max,
            timeout_ms=timeout_ms,
            plans_anew=plans_anew,
        )

    return Pools(
        engine=await make(ENGINE_CONNECTIONS_MAX, options.database_timeout_ms),
        events=await make(options.database_pool_max, options.database_timeout_ms),
        sign_in=await make(options.database_sign_in_pool_max, options.database_sign_in_timeout_ms),
        own=await make(options.database_own_pool_max, options.database_own_timeout_ms),
        organizers=await make(
            options.database_organizers_pool_max, options.database_organizers_timeout_ms
        ),
        search=await make(
            options.database_search_pool_max, options.database_search_timeout_ms, plans_anew=True
        ),
        callers=await make(CALLERS_CONNECTIONS_MAX, options.database_sign_in_timeout_ms),
    )


async def _standby(options: Options, pools: Pools) -> Standby | None:
    """Return what reads from a standby: as many connections there as the primary has for it."""
    if not options.database_read_url:
        return None
    make = partial(create_pool, options.database_read_url, is_standby=True)
    return Standby(
        {
            "own": await make(
                connections_max=options.database_own_pool_max,
                timeout_ms=options.database_own_timeout_ms,
            ),
            "organizers": await make(
                connections_max=options.database_organizers_pool_max,
                timeout_ms=options.database_organizers_timeout_ms,
            ),
            "search": await make(
                connections_max=options.database_search_pool_max,
                timeout_ms=options.database_search_timeout_ms,
                plans_anew=True,
            ),
        },
        judged_by=await make(connections_max=1, timeout_ms=1_000),
        primary=pools.events,
        count=metrics.count_standby,
    )


def _booking_limit(options: Options) -> Limit | None:
    attempts_max, window_ms = options.booking_limit_attempts, options.booking_limit_window_ms
    return Limit(attempts_max, window_ms) if attempts_max else None


def _webhook_site(options: Options) -> WebhookSite | None:
    if not options.webhook_key:
        return None
    return WebhookSite(options.webhook_key, Outside(also=options.outward_networks))


def _passwords(options: Options) -> Passwords:
    return Passwords(
        at_once_max=options.password_hashes_max, waiting_max=options.passwords_waiting_max
    )


def _revocations(options: Options, pools: Pools, engine: Engine) -> Revocations:
    async def read(xmin: int, age_s: int) -> tuple[int, Sequence[revocations.Over]]:
        return await revocations.since(pools.engine, xmin, age_s=age_s)

    async def tidy(age_s: int) -> None:
        await revocations.tidy(pools.sign_in, age_s=age_s)

    return Revocations(read, engine.persisted, tidy, ttl_s=options.access_token_ttl_s)


def _attempts(pool: Pool, options: Options) -> Attempts:
    window_ms = options.sign_in_limit_window_ms
    return Attempts(
        pool,
        sign_in=Rate(SIGN_IN, options.sign_in_limit_failures, window_ms),
        sign_in_of_all=Rate(SIGN_IN, options.sign_in_limit_failures_of_all, window_ms),
        registrations=Rate(
            REGISTRATIONS, options.registration_limit_attempts, options.registration_limit_window_ms
        ),
    )


def _quotas(pool: Pool, options: Options) -> Quotas:
    window_ms = options.request_limit_window_ms
    return Quotas(
        pool,
        people=Rate(REQUESTS, options.request_limit_attempts, window_ms),
        staff=Rate(REQUESTS, options.request_limit_staff_attempts, window_ms),
    )


def _providers(options: Options, fetch: Fetch) -> dict[str, Provider]:
    return {
        name: Provider(
            Registration(name, *own), redirect_url=options.openid_redirect_url, fetch=fetch
        )
        for name, own in options.openid_providers.items()
    }


def _passkey_site(options: Options) -> PasskeySite | None:
    if not options.passkey_rp_id:
        return None
    return PasskeySite(options.passkey_rp_id, options.passkey_origins)


def redo_maker(pool: Pool, records_max: int, bytes_max: int) -> Callable[[int], RedoBuffer] | None:
    """Return what makes each shard's redo buffer; None if this deployment has none."""
    if not records_max:
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
            records_max=records_max,
            bytes_max=bytes_max,
            on_drop=metrics.REDO_DROPPED.labels(label).inc,
        )

    return make


def reign_reader(pool: Database) -> ReadReign:
    """Return what the engine's doors ask for the shard's reign: the row in PostgreSQL."""

    async def read(shard: int) -> Reign | None:
        row = await redo.open_reign(pool, shard)
        if row is None:
            return None
        return Reign(
            shard=shard,
            epoch=row.epoch,
            script_shas=scripts.shas(row.nonce, row.records_version),
            records_version=row.records_version,
            redis_run_id=row.redis_run_id,
            redis_replid=row.redis_replid,
            home=row.home,
        )

    return read


def shards_reader(pool: Database) -> ReadShards:
    """Return what the engine's watcher asks for the shards that there are: their rows."""

    async def read() -> list[Published]:
        return [
            Published(row.shard, row.epoch, row.state == "open", row.home, row.is_reserved)
            for row in await reigns.shards(pool)
        ]

    return read


def seen_reporter(pool: Database) -> ReportSeen:
    """Return whom a fenced door tells what it has seen: the shard's row in PostgreSQL."""

    async def report(shard: int, epoch: int, seen_seq: int, has_lost: bool) -> None:
        await reigns.note_seen(pool, shard, epoch=epoch, seen_seq=seen_seq, has_lost=has_lost)

    return report


def _group_waiters(engine: Engine, options: Options) -> dict[str, GroupWaiter]:
    """Return who waits for replicas: one per Redis master, on a connection of its own."""
    if not options.replicas_min:
        return {}
    timeout_ms = options.redis_timeout_ms + ROUND_MS
    return {
        name: engine.wait_for_replicas(
            connect(url, timeout_ms=timeout_ms, connections_max=1),
            name,
            replicas_min=options.replicas_min,
        )
        for name, url in options.redis_servers.items()
    }
