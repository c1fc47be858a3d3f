"""
A list of servers that is changed while tickets are sold, over HTTP and with real processes (F46).

`OTHER_TREE=<checkout>` lets the code of another checkout run, which needs a `.venv` there: the
code before shards had homes sells 300 of 200 places here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from engine.ids import new_id
from evently.embedded import ValkeyServer
from evently.embedded.process import spawn
from evently.ports import free_port
from evently.settings import Settings
from loadtests.backstage import Backstage
from loadtests.events import described, priced, publish
from loadtests.person import Person
from loadtests.server import LOOPBACK, Server, open_folder, send

#: See `make proofs`.
pytestmark = pytest.mark.slow

CAPACITY = 200
SHARDS = 4
#: Of the event: by the old rule it lives on number 0 of two servers, and on number 2 of three.
SHARD = 2
START_S, TURN_S = 60.0, 10.0
TREE = os.environ.get("OTHER_TREE")


def listed(urls: Sequence[str]) -> str:
    """Return the setting; the code of another checkout knows no names."""
    names = [url if TREE else f"{number}={url}" for number, url in enumerate(urls)]
    return ",".join(names if TREE else reversed(names))


@contextlib.asynccontextmanager
async def process(server: Server, *words: str, **settings: str) -> AsyncIterator[None]:
    """Run one more process of the same Evently, with other settings."""
    own = {f"EVENTLY_{name.upper()}": value for name, value in settings.items()}
    child = spawn(
        [server.python, "-m", *words],
        death_signal=signal.SIGTERM,
        env=server.environ | own,
        log_path=server.log_path.with_suffix(f".{words[0]}"),
        cwd=Path(TREE) if TREE else None,
    )
    try:
        yield
    finally:
        child.kill()
        child.wait()


async def book(base_url: str, event: dict[str, Any], person: Person) -> int:
    """Ask for one place; return the status, 0 for no answer."""
    body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]}
    headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": new_id("key")}
    try:
        async with (
            aiohttp.ClientSession(base_url, headers=headers) as session,
            session.post(f"/v1/events/{event['id']}/bookings", json=body) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


async def sell(base_url: str, event: dict[str, Any], people: Sequence[Person]) -> int:
    """Let each try to buy a place, one after the other; return how many were told that they did."""
    statuses = [await book(base_url, event, person) for person in people]
    return statuses.count(201)


@pytest.mark.timeout(240)
async def test_f46_url_list_changed_while_selling() -> None:
    """F46: with a server added, and one process that has not heard of it, nothing is oversold."""
    with open_folder() as folder, contextlib.ExitStack() as stack:
        valkeys = [ValkeyServer(folder / f"valkey-{number}") for number in range(3)]
        for valkey in valkeys:
            valkey.start()
            stack.callback(valkey.stop)
        urls = [valkey.url for valkey in valkeys]
        old, new = listed(urls[:2]), listed(urls)
        tree = Path(TREE) if TREE else None
        server = Server(folder / "data", tree=tree, redis_url=old, shards=SHARDS, api_processes=1)
        try:
            await server.start()
            told = await _tell(server, new)
        finally:
            await server.stop()
    epochs = told.pop("epochs")
    assert {"acknowledged": CAPACITY, "places": CAPACITY, "conflicts": 0} == told
    assert epochs <= 3


async def _tell(server: Server, new: str) -> dict[str, int]:
    """Sell half of an event, change the list for all but one process, and sell on at both."""
    noted = msgspec.json.decode((server.data_path / "running.json").read_bytes())
    fields = {name: noted[name] for name in Settings.__struct_fields__ if name in noted}
    settings = Settings(**fields | {"redis_url": "", "data_dir": str(server.data_path)})
    async with Backstage(settings) as backstage:
        token = await backstage.admin_token()
        people = await backstage.people(2 * CAPACITY)
        read = backstage.database.fetchval
        while True:
            tiers = [priced("Standing", CAPACITY)]
            event = await publish(
                server.base_url, token, described("F46", person_max=1, tiers=tiers)
            )
            if SHARD == await read("SELECT shard FROM events WHERE id = $1", event["id"]):
                break
        acknowledged = await sell(server.base_url, event, people[: CAPACITY // 2])
        places = "SELECT coalesce(sum(quantity), 0) FROM items WHERE event_id = $1"
        while await read(places, event["id"]) < acknowledged:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        port = free_port()
        other = f"http://{LOOPBACK}:{port}"
        with server.supervisor_stopped():
            send(server.pids("coordinator"), signal.SIGKILL)
            send(server.pids("persister"), signal.SIGKILL)
            async with (
                process(server, "reconciler", "recover", "--watch", redis_url=new),
                process(server, "api", redis_url=new, http_port=str(port)),
                process(server, "persister", "--shard", str(SHARD), redis_url=new),
            ):
                rest = people[CAPACITY // 2 :]
                async with asyncio.timeout(START_S):
                    status = 0
                    while status not in {201, 409}:
                        await asyncio.sleep(0.2)
                        status = await book(other, event, rest[-1])
                # The old process first: it is the one that may be wrong.
                acknowledged += status == 201
                acknowledged += await sell(server.base_url, event, rest[:CAPACITY])
                acknowledged += await sell(other, event, rest[CAPACITY:-1])
                await asyncio.sleep(TURN_S)
        return {
            "acknowledged": acknowledged,
            "places": await read(places, event["id"]),
            "conflicts": await read("SELECT count(*) FROM conflicts"),
            "epochs": await read("SELECT epoch FROM shard_epoch WHERE shard = $1", SHARD),
        }
