"""The pages, served with the API by one application; what it stands on is the API's tests'."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

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


@pytest.fixture
async def world(api_world: World, options: Options) -> AsyncIterator[World]:
    """Serve the application with its pages, as a site that browsers find over http."""
    faces = [partial(add_pages, public_url="http://tickets.example")]
    app = make_app(options, faces=faces)
    async with TestClient(Server(app), cookie_jar=CookieJar(unsafe=True)) as client:
        yield replace(api_world, client=client)
