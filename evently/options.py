"""
The settings as use cases take them: for the processes that serve, and for commands that sell or
erase as one of those would.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from engine.redis_client import connect as connect_redis
from evently.embedded.errors import ServerError
from evently.operators import operator
from evently.settings import Settings
from papers.wallet import Wallets
from store.pool import connect
from usecases.acts import ASKING, Asking
from usecases.services import Services
from usecases.wiring import Options, opened

#: Time in which the shards must be open for a command, in seconds.
OPEN_WAIT_S = 60.0
_POLL_S = 0.05


def options_of(settings: Settings) -> Options:
    """Return what use cases need to know of the settings; logins are the API's."""
    fields = msgspec.structs.asdict(settings) | {
        "redis_servers": settings.redis_servers_as("api"),
        "database_url": settings.database_url_as("api"),
        "database_read_url": settings.database_read_url_as("api"),
        "openid_providers": settings.openid_providers,
        "passkey_origins": settings.passkey_sites,
        # No command puts a ticket into a wallet.
        "wallets": Wallets(),
    }
    return Options(**{name: fields[name] for name in Options.__slots__})


async def _knock(settings: Settings) -> None:
    """Ask each server for an answer: one that is away is told of in a line, and at once."""
    database = await connect(
        settings.database_url_as("api"), timeout_ms=settings.database_timeout_ms
    )
    await database.close()
    for url in settings.redis_servers_as("api").values():
        redis = connect_redis(url, timeout_ms=settings.redis_timeout_ms)
        try:
            await redis.ping()
        finally:
            await redis.aclose()


@contextlib.asynccontextmanager
async def services_of(settings: Settings, **changes: Any) -> AsyncIterator[Services]:
    """
    Open what use cases work with, as an API process does, for an operator; wait for the shards.

    Args:
        changes: Options that are other for this command.

    Raises:
        ServerError: not all shards are open.
    """
    ASKING.set(lambda: Asking(operator().origin))
    await _knock(settings)
    async with opened(dataclasses.replace(options_of(settings), **changes)) as services:
        try:
            async with asyncio.timeout(OPEN_WAIT_S):
                while not services.engine.is_open:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise ServerError("not all shards are open: see `evently shards list`") from error
        yield services
