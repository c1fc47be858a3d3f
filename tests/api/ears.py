"""Listens to event streams as a browser does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import ClientResponse

from api.schemas import STREAM
from tests.api.world import World
from tests.conftest import TIMEOUT_MS

TIMEOUT_S = TIMEOUT_MS / 1000


class Heard(NamedTuple):
    """One event of a stream."""

    name: str
    data: Any
    id: str


class Ear:
    """One listener."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        #: What came with the end of the last event: when to come again, in ms.
        self.retry_ms = 0
        self.last_id = ""

    async def next(self, *names: str) -> Heard:
        """Return the next event; it must be one of *names*, if any are given."""
        heard = await self.block()
        while heard is None:
            heard = await self.block()
        assert not names or heard.name in names, heard
        return heard

    async def until(self, name: str) -> Heard:
        """Return the next event of a name; others are passed over."""
        while True:
            heard = await self.next()
            if heard.name == name:
                return heard

    async def block(self) -> Heard | None:
        """Read up to an empty line; None if there was no event in it, but a comment or a time."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(TIMEOUT_S):
            while (line := await self.response.content.readline()) != b"\n":
                assert line, "the stream has ended"
                name, _, value = line.decode().rstrip("\n").partition(": ")
                fields[name] = value
        self.retry_ms = int(fields.get("retry", self.retry_ms))
        if "event" not in fields:
            return None
        self.last_id = fields.get("id", self.last_id)
        # What is told is what is described.
        msgspec.json.decode(fields["data"], type=dict(STREAM)[fields["event"]])
        return Heard(fields["event"], orjson.loads(fields["data"]), fields.get("id", ""))

    async def end(self) -> None:
        """Wait for the end of the stream, with nothing more before it."""
        async with asyncio.timeout(TIMEOUT_S):
            assert b"" == await self.response.content.read()


@contextlib.asynccontextmanager
async def listening(
    world: World, event_id: str, *, token: str | None = None, **headers: str
) -> AsyncIterator[Ear]:
    """Open a stream; it must begin."""
    await world.enter()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    path = f"/v1/events/{event_id}/stream"
    async with world.client.get(path, headers=given) as response:
        assert 200 == response.status, await response.text()
        yield Ear(response)
