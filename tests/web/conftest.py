"""The pages, served with the API by one application; what it stands on is the API's tests'."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient

from tests.api.conftest import (
    database,
    database_url,
    make_app,
    options,
    organizer,
    persisting,
    redis,
    valkey,
)
from tests.api.conftest import world as api_world
from tests.api.world import Server, World
from usecases.wiring import Options
from web.app import add_pages

__all__ = [
    "api_world",
    "database",
    "database_url",
    "options",
    "organizer",
    "persisting",
    "redis",
    "valkey",
]
SITE = "https://tickets.example"


#: What serves the application with its pages, with some options other than usual.
ServePages = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def serve_pages(api_world: World, options: Options) -> ServePages:
    """Return what serves the application with its pages, as a site that is found over http."""
    faces = [partial(add_pages, public_url="http://tickets.example")]

    @asynccontextmanager
    async def serving(**changes: Any) -> AsyncIterator[World]:
        app = make_app(options, faces=faces, **changes)
        async with TestClient(Server(app), cookie_jar=CookieJar(unsafe=True)) as client:
            yield replace(api_world, client=client)

    return serving


@pytest.fixture
async def world(serve_pages: ServePages) -> AsyncIterator[World]:
    """Serve the application with its pages."""
    async with serve_pages() as served:
        yield served
