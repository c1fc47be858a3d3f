"""
The API, served for real: a Valkey and a database of the package's own, opened and persisted.

The Valkey has the users of `evently up`, and each process is its own: a right that is missing
shows here (F23).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis

from api.admission import Work
from api.app import create_app
from api.streams import StreamBounds
from engine.engine import Engine
from engine.outward import networks
from engine.redis_client import connect
from engine.shard import Shard
from evently.embedded import PostgresServer, ValkeyServer
from persister import persister
from store import redo, roles
from store.pool import create_pool
from tests.api.authenticator import ORIGIN, RP_ID
from tests.api.provider import TwistedProvider
from tests.api.world import (
    JWT_SECRET,
    SHARD,
    TICKET_SIGNING_KEY,
    Event,
    Serve,
    Server,
    World,
    recover,
)
from tests.conftest import PASSWORDS, TIMEOUT_MS, role_url
from tests.papers import made_up
from tests.store.databases import let_roles_in, migrated_database
from usecases.wiring import Options, reign_reader

#: Long, so that no journal is trimmed within a test.
RETENTION_S = 86_400
BODY_BYTES_MAX = 65_536


@pytest.fixture(scope="package")
def database_url(postgres: PostgresServer) -> str:
    """Make the package's database, whose roles may log in: a right that is missing shows."""
    url = migrated_database(postgres.url)
    asyncio.run(let_roles_in(url))
    return url


def as_role(url: str, role: str) -> str:
    """Return a database's URL with one of its roles logged in."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{roles.user(role)}@{rest.rpartition('@')[2]}"


@pytest.fixture(scope="package")
def valkey(server_dir: Path, database_url: str) -> Iterator[ValkeyServer]:
    """Run the package's Valkey, whose shard 0 is free, and open that shard."""
    # Anew for each setup, as the database is: a worker may come back to this package.
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), passwords=PASSWORDS)
    server.start()

    async def open_it() -> None:
        client = connect(role_url(server, "coordinator"), timeout_ms=TIMEOUT_MS)
        await recover(client, database_url)
        await client.aclose()

    try:
        asyncio.run(open_it())
        yield server
    finally:
        server.stop()


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Connect as who may do everything."""
    client = connect(role_url(valkey, "coordinator"), timeout_ms=TIMEOUT_MS)
    yield client
    await client.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the services do."""
    pool = await create_pool(database_url, connections_max=4, timeout_ms=TIMEOUT_MS)
    yield pool
    await pool.close()


@pytest.fixture
async def persisting(valkey: ValkeyServer, database_url: str) -> AsyncIterator[None]:
    """Run the real persister for as long as the test runs."""
    redis = connect(role_url(valkey, "persister"), timeout_ms=None, connections_max=2)
    options = persister.Options(
        shard=SHARD, records_max=1_000, retention_s=RETENTION_S, database_timeout_ms=TIMEOUT_MS
    )
    task = asyncio.create_task(
        persister.Persister({"0": redis}, as_role(database_url, "persister"), options).run()
    )
    yield
    # Not by `stop`, which is heard only at the end of a blocking read.
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await redis.aclose()


@pytest.fixture
def options(valkey: ValkeyServer, database_url: str) -> Options:
    """Return the options of the served application."""
    return Options(
        redis_servers={"0": role_url(valkey, "api")},
        database_url=as_role(database_url, "api"),
        database_read_url="",
        jwt_secret=JWT_SECRET,
        ticket_signing_key=TICKET_SIGNING_KEY,
        access_token_ttl_s=3600,
        session_idle_s=86_400,
        session_life_max_s=864_000,
        password_hashes_max=2,
        passwords_waiting_max=64,
        redis_timeout_ms=TIMEOUT_MS,
        batch_commands_max=128,
        batches_in_flight_max=2,
        commands_waiting_max=20_000,
        database_pool_max=4,
        database_timeout_ms=TIMEOUT_MS,
        database_sign_in_pool_max=2,
        database_sign_in_timeout_ms=TIMEOUT_MS,
        database_own_pool_max=4,
        database_own_timeout_ms=TIMEOUT_MS,
        database_organizers_pool_max=2,
        database_organizers_timeout_ms=TIMEOUT_MS,
        database_search_pool_max=2,
        database_search_timeout_ms=TIMEOUT_MS,
        hold_ttl_ms=60_000,
        hold_life_max_ms=120_000,
        hold_scarce_percent=0,
        hold_ttl_min_ms=1_000,
        holds_per_person_max=0,
        holds_per_address_max=0,
        registration_limit_attempts=0,
        registration_limit_window_ms=3_600_000,
        # Counted as always, and out of reach.
        sign_in_limit_failures=100_000,
        sign_in_limit_failures_of_all=100_000,
        sign_in_limit_window_ms=900_000,
        request_limit_attempts=1_000_000,
        request_limit_staff_attempts=1_000_000,
        request_limit_window_ms=900_000,
        offer_ttl_ms=60_000,
        waitlist_entries_max=1_000,
        booking_limit_attempts=0,
        booking_limit_window_ms=60_000,
        catch_up_timeout_ms=TIMEOUT_MS,
        drain_timeout_s=5,
        durability="fsync",
        durability_timeout_ms=TIMEOUT_MS,
        replicas_min=0,
        redo_records_max=20_000,
        redo_bytes_max=32 * 1024 * 1024,
        receipts="on",
        openid_providers={},
        openid_redirect_url="https://tickets.example/sign-in",
        passkey_rp_id=RP_ID,
        passkey_origins=(ORIGIN,),
        admin_passkeys="optional",
        webhook_key="w" * 32,
        push_hosts=("push.example.org", "*.push.example.org"),
        outward_networks=networks("127.0.0.0/8"),
        wallets=made_up.wallets(),
    )


def make_app(options: Options, **changes: Any) -> web.Application:
    """Make the application, with some options other than usual."""
    app_options: dict[str, Any] = {
        "body_bytes_max": BODY_BYTES_MAX,
        "availability_age_ms_max": 0,
        "trusted_proxies": (),
        "cors_origins": (),
        "openid_hosts": (),
        "under_way_max": dict.fromkeys(Work, 1_000),
        "stream_bounds": StreamBounds(),
        "mailbox": "",
        "faces": (),
    }
    app_options |= {name: changes.pop(name) for name in app_options.keys() & changes}
    return create_app(replace(options, **changes), **app_options)


@pytest.fixture
async def world(
    options: Options, database: asyncpg.Pool, database_url: str, redis: Redis, persisting: None
) -> AsyncIterator[World]:
    """Serve the application and wait until it is ready."""
    async with TestClient(Server(make_app(options))) as client:
        made = World(client=client, database=database, database_url=database_url, redis=redis)
        if await redo.has_rows(database, SHARD):
            # Of a test whose door was shut while PostgreSQL lacked something: none opens before
            # that is merged (F70).
            await made.recover()
        while not await made.is_ready():  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield made


@pytest.fixture
def serve(world: World, options: Options) -> Serve:
    """Return what serves the application a second time, with other options."""

    @contextlib.asynccontextmanager
    async def serving(**changes: Any) -> AsyncIterator[World]:
        async with TestClient(Server(make_app(options, **changes))) as client:
            other = replace(world, client=client)
            while not await other.is_ready():  # noqa: ASYNC110
                await asyncio.sleep(0)
            yield other

    return serving


@pytest.fixture
async def provider() -> AsyncIterator[TwistedProvider]:
    """Run a provider that knows somebody with a verified address."""
    provider = TwistedProvider()
    own = secrets.token_hex(8)
    provider.claims = {"sub": own, "email": f"{own}@example.org", "email_verified": True}
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def event(world: World) -> Event:
    """Publish an event with two tiers of 100 places."""
    return await world.event(100, 100)


@pytest.fixture
def user(world: World) -> str:
    """Return the token of a user."""
    return world.token()


@pytest.fixture
def boss(world: World, event: Event) -> str:
    """Return the token of the event's organizer."""
    return world.token(role="organizer", organizer_id=event["organizer_id"])


@pytest.fixture
async def organizer(world: World) -> str:
    """Return the token of an organizer."""
    return await world.organizer()


@pytest.fixture
async def swept(valkey: ValkeyServer, database: asyncpg.Pool) -> AsyncIterator[Shard]:
    """Return the shard as the sweeper's process has it: its own engine, its own user of Redis."""
    client = connect(role_url(valkey, "sweeper"), timeout_ms=TIMEOUT_MS)
    engine = Engine({"0": client}, reign_reader(database), shards=[SHARD])
    engine.start()
    while not engine.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0)
    yield engine.shards[SHARD]
    await engine.stop(timeout_s=5)
