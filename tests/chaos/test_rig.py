"""The rig as a whole: faults really strike, are healed, and what they do is noticed."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from engine import keys
from loadtests.chaos import history
from loadtests.chaos.nemesis import Fault, Nemesis
from loadtests.chaos.round import Progress, Round
from loadtests.chaos.site import Site
from loadtests.server import PROCESSES
from tests.checks import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

WELL_S = 90.0


@pytest.fixture
async def site(folder: Path) -> AsyncIterator[Site]:
    """Run an Evently behind proxies."""
    site = Site(folder / "data", environment="test", api_processes="1")
    await site.start()
    yield site
    await site.stop()


async def test_faults_strike_and_heal(site: Site, folder: Path) -> None:
    """Each family does what it says to a real site, which is well again after it."""
    nemesis = Nemesis(site, history.Recorder(folder / "history"), on_fault=lambda _: None)
    # Without a mail server nobody is told.
    assert all(site.server.pids(process) for process in PROCESSES if process != "notifier")

    async def well() -> None:
        await nemesis.heal()
        assert "" == await site.wait_until_well(WELL_S)

    async def changes(process: str, act: Callable[[], Awaitable[None]]) -> None:
        before = set(site.server.pids(process))
        await act()
        assert await eventually(lambda: bool(set(site.server.pids(process)) - before))

    for name in ("kill api", "kill persister", "kill redis", "kill postgres", "kill coordinator"):
        await changes(name.split()[1], partial(nemesis.run, [Fault(0, name, 0.1, 1)]))
    await well()
    await changes("redis", lambda: nemesis.run([Fault(0, "restart redis", 0.1, 1)]))
    await well()
    epoch = await site.redis.hget(keys.meta(0), "epoch")
    await nemesis.run([Fault(0, "flush scripts", 0.1, 1)])
    await well()
    assert int(epoch or 0) < int(await site.redis.hget(keys.meta(0), "epoch") or 0)


async def test_proxies_come_back_after_every_restart(site: Site) -> None:
    """Whoever restarts, the parts soon speak through the proxies again."""
    for process in ("redis", "postgres"):
        site.send(process, signal.SIGKILL)
    assert "" == await site.wait_until_well(WELL_S)

    for proxy in (site.redis_proxy, site.postgres_proxy):
        # These two always have a connection; the API makes one when it is asked something.
        for who in ("persister", "coordinator"):
            assert await eventually(
                lambda proxy=proxy, word=PROCESSES[who]: any(  # type: ignore[misc]
                    word in one.who for one in proxy.links
                )
            )


async def test_a_round_of_faults(folder: Path) -> None:
    """A round with lost replies, a killed Redis and a COMMIT that is cut keeps all promises."""
    one = Round(folder, 20_261_124, progress=Progress(), work_s=7)
    one.faults = [
        Fault(1.0, "network swallow api redis", 1.0, 5),
        Fault(3.0, "network cut_after_commit persister postgres", 1.0, 5),
        Fault(4.5, "kill redis", 0.0, 5),
    ]
    verdict = await one.run()

    assert [] == [violation.text for violation in verdict.violations]
    assert 0 == verdict.undecided
    assert 3 == verdict.faults
    assert verdict.acked > 20
