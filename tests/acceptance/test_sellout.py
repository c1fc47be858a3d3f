"""
A sale to the last place while processes are killed: nothing acknowledged is lost, none oversold.

Each test runs the demo's crowd against `evently up` in a folder of its own, with the reconciler's
verdict at the end.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtests.backstage import Backstage
from loadtests.chaos.history import Recorder, calls, read
from loadtests.crowd import Crowd, Tally
from loadtests.demo import strike
from loadtests.events import make_event
from loadtests.server import Server, descendants, living, running, send

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

BUYERS = 1_500
CAPACITY = 1_200
SEED = 20_261_123
DEADLINE_S = 90.0
#: In small batches, one after the other, so that the sale is not over when trouble comes.
SETTINGS: dict[str, Any] = {
    "environment": "test",
    "api_processes": "2",
    "batch_commands_max": "16",
    "batches_in_flight_max": "1",
}

Trouble = Callable[[Server, Tally], Awaitable[None]]


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    """Run a whole Evently."""
    async with running(folder, **SETTINGS) as server:
        yield server


async def sale(server: Server, trouble: Trouble) -> Tally:
    """Let the crowd in, make trouble once a quarter is sold, and judge; return how it went."""
    path = server.data_path.with_name("history")
    async with Backstage(server.settings) as backstage:
        people = await backstage.people(BUYERS)
        event = await make_event(server.base_url, await backstage.admin_token(), capacity=CAPACITY)
        crowd = Crowd(server.base_url, event, Recorder(path), seed=SEED, deadline_s=DEADLINE_S)
        rush = asyncio.create_task(crowd.rush(people))
        while crowd.tally.places < CAPACITY // 4 and not rush.done():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert not rush.done(), "the sale was over before the trouble began"
        await trouble(server, crowd.tally)
        tally = await rush
    await server.wait_until_ready()
    # The supervisor may be another one now, its servers at other places.
    async with Backstage(server.settings) as backstage:
        verdict = await backstage.judge(calls(read(path)), [event["id"]])
    assert verdict.holds, verdict
    assert (CAPACITY, CAPACITY, 0) == (verdict.sold, tally.places, tally.unanswered)
    return tally


@pytest.mark.slow
async def test_a_quiet_sale_ends_sold(server: Server) -> None:
    """Without trouble, every place is sold exactly once."""

    async def nothing(_: Server, __: Tally) -> None:
        return

    await sale(server, nothing)


@pytest.mark.slow
async def test_f1_kill_api(server: Server) -> None:
    """F1: an API process killed under load loses no acknowledged booking and doubles none."""

    pids = server.pids("api")  # Looked up beforehand: the sale is over in less time.

    async def trouble(server: Server, tally: Tally) -> None:
        # Stopped first, so that requests are under way in them when they die.
        send(pids, signal.SIGSTOP)
        await asyncio.sleep(0.1)
        send(pids, signal.SIGKILL)
        await asyncio.sleep(0.3)
        send(server.pids("api")[:1], signal.SIGKILL)

    assert (await sale(server, trouble)).repeated > 0


@pytest.mark.slow
async def test_f25_kill_persister(server: Server) -> None:
    """F25: a persister killed under load writes every booking exactly once in the end."""

    async def trouble(server: Server, tally: Tally) -> None:
        for _ in range(3):
            send(server.pids("persister"), signal.SIGKILL)
            await asyncio.sleep(0.3)

    await sale(server, trouble)


@pytest.mark.slow
async def test_kill_supervisor(server: Server) -> None:
    """The whole supervisor killed under load and started again: the sale goes on and holds."""

    async def trouble(server: Server, tally: Tally) -> None:
        server.kill()
        await server.start()

    assert (await sale(server, trouble)).repeated > 0


async def test_f4_kill_redis(server: Server) -> None:
    """F4: Redis killed under load comes back with its log; the shard reopens by itself."""

    pids = server.pids("redis")

    async def trouble(server: Server, tally: Tally) -> None:
        send(pids, signal.SIGKILL)

    assert (await sale(server, trouble)).repeated > 0


async def lose_redis(server: Server, trouble: Trouble) -> None:
    """Sell out while Redis loses what it had; the API goes on, and nobody helps."""
    assert (await sale(server, trouble)).shut_s > 0
    assert '"path":"rebuild"' in server.log_text()


@pytest.mark.slow
async def test_f5_log_cut(server: Server) -> None:
    """F5: Redis killed and its log cut, as by the demo: what it lost is found with the workers."""
    said = []

    async def trouble(server: Server, tally: Tally) -> None:
        said.append(await strike(server, "redis_tail", tally, CAPACITY))

    await lose_redis(server, trouble)

    assert "bytes off appendonly.aof" in said[0]


@pytest.mark.slow
async def test_f6_data_deleted(server: Server) -> None:
    """F6: Redis killed and its folder deleted, as by the demo: rebuilt, correctly sold out."""

    async def trouble(server: Server, tally: Tally) -> None:
        await strike(server, "redis_deleted", tally, CAPACITY)

    await lose_redis(server, trouble)


@pytest.mark.slow
async def test_f6_data_deleted_under_a_running_redis(server: Server) -> None:
    """F6: the folder deleted while Redis runs: it is stopped before it acknowledges for nobody."""

    async def trouble(server: Server, tally: Tally) -> None:
        shutil.rmtree(server.data_path / "redis")

    await lose_redis(server, trouble)

    assert '"action":"server_lost_data"' in server.log_text()


async def test_stop_leaves_nothing_and_data_stays(folder: Path) -> None:
    """Ctrl-C leaves no process behind, and a second start still has the data."""
    server = Server(folder / "data", **SETTINGS)
    await server.start()
    async with Backstage(server.settings) as backstage:
        event = await make_event(server.base_url, await backstage.admin_token(), capacity=10)
    assert server.process is not None
    before = descendants(server.process.pid)
    exit_code = await server.stop()
    left = before.keys() & living()

    assert 0 == exit_code
    assert before
    assert set() == left

    await server.start()
    url = f"{server.base_url}/v1/events/{event['id']}/availability"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        answer = await response.json()
    await server.stop()

    assert 10 == sum(tier["available"] for tier in answer["tiers"])
