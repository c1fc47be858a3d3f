"""
Lists from a real streaming standby: it lags, stops, comes back, and nobody misses what they wrote.

What a reader waits for is there within milliseconds, or never as replay is paused: the tests give
it seconds where it comes, and none where it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import pytest

from api.http import SERVICES
from evently.doctor import examine
from evently.embedded import PostgresServer, ValkeyServer
from evently.settings import Settings
from loadtests.server import open_folder
from store import standby
from tests.api.conftest import as_role
from tests.api.world import Event, Serve, World
from tests.conftest import memory, role_url
from tests.store.standbys import make_standby


@pytest.fixture(scope="module")
def follower(postgres: PostgresServer, database_url: str) -> Iterator[PostgresServer]:
    """Run one standby for all tests here."""
    with open_folder(memory()) as folder:
        server = asyncio.run(make_standby(postgres, folder))
        try:
            yield server
        finally:
            server.kill()


@dataclass(frozen=True, kw_only=True)
class Near:
    """An application that reads from the standby, and how its reads went."""

    world: World
    follower: PostgresServer
    follower_url: str
    ends: list[str]

    @property
    def standby(self) -> standby.Standby:
        """Return what reads from it."""
        found = self.world.client.app[SERVICES].standby
        assert found is not None
        return found

    async def judged(self, verdict: str) -> None:
        """Wait until it is judged so."""
        while self.standby.verdict != verdict:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def ids(self, path: str, token: str | None = None) -> tuple[list[str], list[str]]:
        """Return the ids of a list, and how its reads went."""
        self.ends.clear()
        answer = await self.world.call("GET", path, token=token)
        assert 200 == answer.status, answer.text
        return [one["id"] for one in answer.body["data"]], list(self.ends)

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let the standby replay nothing."""
        connection = await asyncpg.connect(self.follower_url)
        await connection.execute("SELECT pg_wal_replay_pause()")
        while await connection.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
            # It takes notice with the next record.
            await self.world.database.execute("SELECT pg_logical_emit_message(true, 't', 't')")
        try:
            yield
        finally:
            await connection.execute("SELECT pg_wal_replay_resume()")
            await connection.close()


@pytest.fixture
async def near(
    follower: PostgresServer, database_url: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Near]:
    """Serve the application with the standby, once that is used."""
    monkeypatch.setattr(standby, "JUDGE_INTERVAL_S", 0.02)
    monkeypatch.setattr(standby, "BACK_OFF_MAX_S", 0.1)
    monkeypatch.setattr(standby, "PATIENCE_S", 10.0)
    url = urlsplit(follower.url)._replace(path=urlsplit(database_url).path).geturl()
    async with serve(database_read_url=as_role(url, "api")) as world:
        made = Near(world=world, follower=follower, follower_url=url, ends=[])
        monkeypatch.setattr(made.standby, "_count", made.ends.append)
        await made.judged("used")
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what lets readers wait for a short time alone."""
    return lambda: monkeypatch.setattr(standby, "PATIENCE_S", 0.05)


async def test_what_one_wrote_is_read_at_the_standby(
    near: Near, event: Event, user: str, boss: str
) -> None:
    """Bookings and drafts are in one's own lists at once, and come from the standby."""
    made = await near.world.book(event, user)
    assert ([made.body["id"]], ["standby"]) == await near.ids("/v1/bookings", user)
    own = f"/v1/organizers/{event['organizer_id']}/events"
    assert ([event["id"]], ["standby"]) == await near.ids(own, boss)
    later = await near.world.event(5, token=boss, category="Read near")
    assert ([later["id"]], ["standby"]) == await near.ids("/v1/events?category=Read+near", boss)
    assert ["standby"] == (await near.ids("/v1/events"))[1]


async def test_nobody_misses_what_they_wrote_while_it_lags(
    near: Near, event: Event, user: str, boss: str, impatient: Callable[[], None]
) -> None:
    """What the standby does not have is read from the primary; visitors are told what it has."""
    own = f"/v1/organizers/{event['organizer_id']}/events"
    assert ["standby"] == (await near.ids(own, boss))[1]
    async with near.paused():
        impatient()
        made = await near.world.book(event, user)
        assert ([made.body["id"]], ["behind"]) == await near.ids("/v1/bookings", user)
        later = await near.world.event(5, token=boss, category="Unseen")
        found, ends = await near.ids(own, boss)
        assert ({later["id"], event["id"]}, ["behind"]) == (set(found), ends)
        assert ([later["id"]], ["behind"]) == await near.ids("/v1/events?category=Unseen", boss)
        assert [] == (await near.ids("/v1/events?category=Unseen"))[0]


async def test_one_that_is_far_behind_is_left_out(
    near: Near, event: Event, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lags for longer than the limit is not read from, until it has caught up."""
    monkeypatch.setattr(standby, "LAG_MAX_S", 0.5)
    async with near.paused():
        later = await near.world.event(5, token=boss, category="Late")
        await near.judged("lagging")
        assert ([later["id"]], ["lagging"]) == await near.ids("/v1/events?category=Late")
    await near.judged("used")
    assert ([later["id"]], ["standby"]) == await near.ids("/v1/events?category=Late", boss)


async def test_it_stops_and_comes_back(near: Near, event: Event, user: str) -> None:
    """One that dies under its readers costs them nothing, and is used again when it is back."""
    made = await near.world.book(event, user)
    await near.ids("/v1/bookings", user)
    near.follower.kill()
    try:
        found, ends = await near.ids("/v1/bookings", user)
        assert [made.body["id"]] == found
        assert ends in (["failed"], ["away"])
        await near.judged("away")
        assert ([made.body["id"]], ["away"]) == await near.ids("/v1/bookings", user)
    finally:
        near.follower.start()
    await near.judged("used")
    assert ([made.body["id"]], ["standby"]) == await near.ids("/v1/bookings", user)


async def test_no_standby_is_not_read_from(
    near: Near, serve: Serve, options_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that follows nobody, as after a promotion, may have another history: left out."""
    async with serve(database_read_url=options_url) as world:
        other = Near(world=world, follower=near.follower, follower_url=near.follower_url, ends=[])
        monkeypatch.setattr(other.standby, "_count", other.ends.append)
        await other.judged("no_standby")
        assert ["no_standby"] == (await other.ids("/v1/events"))[1]


async def test_the_doctor_tells_of_it(near: Near, database_url: str, valkey: ValkeyServer) -> None:
    """`evently doctor` says whether it follows our primary."""
    for url, grade in ((near.follower_url, "good"), (database_url, "bad")):
        names = {"DATABASE_URL": database_url, "DATABASE_READ_URL": url}
        names["REDIS_URL"] = role_url(valkey, "coordinator")
        settings = Settings.from_env({f"EVENTLY_{name}": value for name, value in names.items()})
        [row] = [row for row in (await examine(settings)).rows if row.what == "follows"]
        assert grade == row.grade, row


@pytest.fixture
def options_url(database_url: str) -> str:
    """Return the primary's URL as the API has it."""
    return as_role(database_url, "api")
