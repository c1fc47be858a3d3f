"""The acts of the nemesis, each on a real site: it does what it says, and is over by itself."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine import keys
from loadtests.backstage import Backstage
from loadtests.chaos import history, letters
from loadtests.chaos.nemesis import Fault, Nemesis
from loadtests.chaos.pair import NAMES, Pair
from loadtests.chaos.site import Site
from loadtests.chaos.volume import Volume
from loadtests.events import described, priced, publish
from tests.checks import eventually

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(400)]

WELL_S = 90.0
HOUR_S = 3_600.0


class Rig:
    """A site, its nemesis, and what the nemesis noted."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.site = Site(folder / "data", environment="test", api_processes="1", **settings)
        self._path = folder / "history"
        self.nemesis = Nemesis(self.site, history.Recorder(self._path), on_fault=lambda _: None)

    async def strike(self, name: str, *, number: int = 0, duration_s: float = 0.3) -> str:
        """Inflict one fault to its end; return what was noted."""
        seen = len(history.read(self._path))
        await self.nemesis.run([Fault(0, name, duration_s, number)])
        return "\n".join(line.code for line in history.read(self._path)[seen:])

    async def well(self) -> None:
        """Heal, and wait until all is well."""
        await self.nemesis.heal()
        assert [] == self.nemesis.complaints
        assert "" == await self.site.wait_until_well(WELL_S)

    async def comes_back(self, key: str) -> None:
        """Wait until Redis has a key again."""
        async with asyncio.timeout(WELL_S):
            while not await self.site.redis.exists(key):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def event(self) -> str:
        """Put an event on sale."""
        async with Backstage(self.site.settings) as backstage:
            token = await backstage.admin_token()
        body = described("An event", person_max=10, tiers=[priced("All", 5)])
        for _ in range(50):  # The proxies may just have thrown everybody out.
            with contextlib.suppress(aiohttp.ClientError, OSError):
                return str((await publish(self.site.server.base_url, token, body))["id"])
            await asyncio.sleep(0.2)
        raise AssertionError("no event could be published")


@pytest.fixture
def make_rig(folder: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Rig]]:
    """Return what runs an Evently with a nemesis."""

    @contextlib.asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Rig]:
        rig = Rig(folder, **settings)
        try:
            await rig.site.start()
            yield rig
        finally:
            await rig.site.stop()

    return make


MakeRig = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]


async def epoch_of(site: Site, shard: int = 0) -> int:
    """Return the epoch that a shard's Redis has."""
    home = (await site.homes())[shard]
    return int(await site.redis_of(home).hget(keys.meta(shard), "epoch") or 0)


def _is_replaced(site: Site, pids: list[int]) -> bool:
    return len(site.pids("redis")) == len(pids) and site.pids("redis") != pids


async def test_deaths_and_keys(make_rig: MakeRig) -> None:
    """Redis dies five times, the coordinator in mid-recovery, an event loses each of its keys."""
    async with make_rig() as rig:
        before = await epoch_of(rig.site)
        noted = await rig.strike("kill redis five times")
        assert 5 == noted.count("shut for")
        await rig.well()
        assert before + 5 <= await epoch_of(rig.site)

        coordinator = rig.site.pids("coordinator")
        assert "in mid-recovery" in await rig.strike("kill coordinator in recovery")
        assert await eventually(lambda: rig.site.pids("coordinator") not in ([], coordinator))
        await rig.well()

        event = await rig.event()
        for name in ("stock", "bookings", "persons", "holds", "entries", "seats"):
            assert "deleted" in await rig.strike(f"lose {name}")
            await rig.comes_back(getattr(keys.event(0, event), name))
        await rig.well()


async def test_demoted(make_rig: MakeRig) -> None:
    """Redis is a replica for a while, of nobody or of an empty one, and is recovered after it."""
    async with make_rig() as rig:
        await rig.event()
        role: Callable[[], Awaitable[Any]] = rig.site.redis.role
        striking = asyncio.create_task(rig.strike("demote redis", duration_s=2))
        seen = []
        while not striking.done():
            seen.append((await role())[0])
            await asyncio.sleep(0.05)
        assert b"slave" in seen
        assert b"master" == (await role())[0]
        await rig.well()

        await rig.strike("demote redis below another", duration_s=0.1)
        assert b"master" == (await role())[0]
        await rig.well()


async def test_wide(make_rig: MakeRig) -> None:
    """Shards are added and moved and come back, other lists change nothing, either server dies."""
    async with make_rig(is_wide=True) as rig:
        site = rig.site
        assert {0: "0", 1: "b"} == await site.homes()
        assert ": 0" in await rig.strike("add shard")
        assert 3 == len(await site.homes())
        await rig.well()

        before = await epoch_of(site)
        noted = await rig.strike("move shard", number=1)
        assert 2 == noted.count(": 0")
        assert "b" == (await site.homes())[1]
        await rig.strike("move shard", number=3)  # Its first mover dies.
        await rig.well()
        assert before < await epoch_of(site)

        for name in ("list without", "list turned"):
            await rig.strike(name, number=1)
            await rig.well()
        for number in range(2):
            pids = site.pids("redis")
            await rig.strike("kill redis", number=number)
            assert await eventually(partial(_is_replaced, site, pids))
            await rig.well()


async def test_clock(make_rig: MakeRig) -> None:
    """Redis's clock jumps by an hour and comes back; nothing else of its time does."""
    async with make_rig(is_wide=True) as rig:
        assert rig.site.pair is not None
        if rig.site.pair.library is None:
            pytest.skip("no compiler: clocks cannot be moved here")
        for name, by_s in (("clock back", -HOUR_S), ("clock ahead", HOUR_S)):
            striking = asyncio.create_task(rig.strike(name, duration_s=1.5))
            await asyncio.sleep(0.5)
            assert abs((await rig.site.redis.time())[0] - time.time() - by_s) < 5
            await striking
            assert abs((await rig.site.redis.time())[0] - time.time()) < 5
            await rig.well()


async def test_journal_and_checkpoint(make_rig: MakeRig) -> None:
    """The journal is shortened and the checkpoint moved: what it takes to see how that ends."""
    async with make_rig() as rig:
        await rig.event()
        epoch = await epoch_of(rig.site)
        assert "took" in await rig.strike("shorten journal", number=1)
        assert not await rig.site.redis.exists(keys.journal(0, epoch))
        for name in ("edit checkpoint back", "edit checkpoint ahead"):
            assert "UPDATE 1" in await rig.strike(name)


async def test_machine(make_rig: MakeRig) -> None:
    """A full disk and a supervisor without files are there, and over: what was limited is not."""
    async with make_rig(has_volume=True) as rig:
        supervisor = rig.site.server.process
        assert supervisor is not None
        files = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
        assert "may open no file" in await rig.strike("starve supervisor")
        with contextlib.suppress(ProcessLookupError):
            assert files == resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
        noted = await rig.strike("fill volume", number=2)
        assert "no room left" in noted or "write no file" in noted
        (rig.site.server.data_path / "room").write_bytes(bytes(1_000_000))


async def test_the_late_witness(make_rig: MakeRig) -> None:
    """The API sleeps while Redis loses the end of its log, and wakes up; PostgreSQL is retired."""
    async with make_rig() as rig:
        await rig.event()
        started_s = time.monotonic()
        noted = await rig.strike("freeze api")
        assert "while the API sleeps" in noted
        assert time.monotonic() - started_s >= 8
        await rig.well()
        postmaster = rig.site.pids("postgres")[0]
        await rig.strike("retire postgres")
        log = (rig.site.server.data_path / "logs" / "postgres.log").read_text
        assert await eventually(lambda: "smart shutdown" in log())
        assert postmaster in rig.site.pids("postgres")


async def test_a_pair_is_kept_running(folder: Path) -> None:
    """A server that dies is started again, unless it is wanted down."""
    pair = Pair(folder / "pair")
    pair.start()
    try:
        with pair.left_down("b"):
            for server in pair.servers.values():
                server.kill()
            assert await eventually(lambda: 1 == len(pair.pids("0")))
            assert [] == pair.pids("b")
        assert await eventually(lambda: len(NAMES) == len(pair.pids()))
    finally:
        await pair.stop()
    assert [] == pair.pids()


def test_a_volume_is_full_and_has_room(folder: Path) -> None:
    """A disk without room takes no byte; where none can be mounted, nothing is left behind."""
    volume = Volume(folder / "data")
    volume.mount()
    try:
        if "no room" in volume.fill([]):
            with pytest.raises(OSError, match="No space left"):
                (folder / "data" / "x").write_bytes(bytes(100_000))
        volume.free()
        (folder / "data" / "x").write_bytes(bytes(100_000))
    finally:
        volume.unmount()


async def test_f44_notifier_and_mail_server_die(make_rig: MakeRig) -> None:
    """F44: both are killed, both come back, and what was sold meanwhile is told once they are."""
    async with make_rig(has_mail=True) as rig:
        assert rig.site.mail is not None
        [before] = rig.site.pids("notifier")
        assert str(before) in await rig.strike("kill notifier")
        await rig.strike("kill mail")
        await rig.well()
        assert await eventually(lambda: rig.site.pids("notifier") not in ([], [before]))
        event = await rig.event()
        async with Backstage(rig.site.settings) as backstage:
            [person] = await backstage.people(1)
            tier = await backstage.database.fetchval(
                "SELECT id FROM tiers WHERE event_id = $1", event
            )
            order = {"items": [{"tier_id": tier, "quantity": 1}]}
            headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": "k" * 20}
            async with (
                aiohttp.ClientSession(rig.site.server.base_url, headers=headers) as session,
                session.post(f"/v1/events/{event}/bookings", json=order) as answer,
            ):
                assert 201 == answer.status, await answer.text()
            await backstage.drain()
            assert "" == await letters.settle(backstage.database, timeout_s=WELL_S)
            facts = await letters.facts_of(backstage.database)
        came = [str(one["Message-ID"]) for one in rig.site.mail.letters()]
        assert (1, []) == (len(facts.confirmed), letters.told_wrong(came, facts))
