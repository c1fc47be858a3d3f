"""The sample of a newcomer's first minute: added once, removed wholly, never in production."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from evently import newcomer, sample_events
from evently.newcomer import SIGN_INS_FILE, kept
from evently.settings import Settings
from loadtests.server import Server, running
from store.pool import connect
from tests.checks import eventually
from tests.evently.test_cli import evently, run, servers
from usecases.drafts import rows_of

__all__ = ["servers"]
pytestmark = pytest.mark.processes


def test_the_catalogue_is_worth_looking_at() -> None:
    """Twelve events that can be sold, of many zones and currencies; one in a hall of 20 000."""
    now = dt.datetime.now(dt.UTC)
    found = sample_events.samples(now, opens_in_s=60)
    assert 12 == len(found) == len({one.source_id for one in found})
    assert len({one.asked.timezone for one in found}) >= 8
    assert len({one.asked.tiers[0].price.currency for one in found}) >= 8
    assert all(rows_of(one.asked, "org_x", [0]) for one in found)
    halls = [one.asked.sections for one in found if one.asked.sections]
    assert [[20]] == [list({len(part.rows) for part in hall}) for hall in halls]
    assert sample_events.HALL_SEATS == 20_000
    [rush] = [one for one in found if one.course is sample_events.Course.RUSH]
    assert now + dt.timedelta(seconds=60) == rush.asked.sale_opens_at


@contextlib.asynccontextmanager
async def newcomers(folder: Path, **settings: str) -> AsyncIterator[Server]:
    """Start Evently as somebody does who has just found it."""
    own = {"environment": "development", "reconciler_watch_s": "0", "smtp_url": "smtp://x.invalid"}
    async with running(folder, **(own | settings)) as server:
        yield server


async def listed(server: Server) -> list[str]:
    """Return the names of all events that visitors find."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.base_url}/v1/events?limit=100") as answer,
    ):
        return [one["name"] for one in (await answer.json())["data"]]


async def until_whole(server: Server) -> None:
    """Wait until the sample is there."""

    def is_whole() -> bool:
        found = kept(server.settings)
        return found is not None and found.is_whole

    assert await eventually(is_whole)


async def checked(server: Server) -> tuple[int, str, str]:
    """Ask the reconciler whether Redis and the ledger agree."""
    return await run("reconciler", "check", env=server.environ)


@pytest.mark.slow
async def test_a_newcomer_finds_a_sample_once_and_takes_it_away(folder: Path) -> None:
    """Added after the start, not again at the second, and removed wholly; the ledger agrees."""
    async with newcomers(folder) as server:
        await until_whole(server)
        names = await listed(server)
        assert 12 == len(names) == len(set(names))
        assert f"{server.base_url}/manage" in server.log_text()
        found = kept(server.settings)
        assert found is not None
        assert found.organizer_password not in server.log_text()
        assert 0o600 == (server.data_path / SIGN_INS_FILE).stat().st_mode & 0o777
        signed_in = {"email": found.organizer_email, "password": found.organizer_password}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.base_url}/v1/auth/login", json=signed_in) as answer,
        ):
            assert 200 == answer.status
        assert 0 == (await checked(server))[0]
        await server.stop()
        await server.start()
        assert names == await listed(server)
        assert "is being added" not in server.log_text().rpartition("is open")[2]
        code, text, log = await evently("sample", "remove", **told(server))
        assert (0, "SAMPLE removed=12\n") == (code, text), log
        assert [] == await listed(server)
        assert not (server.data_path / SIGN_INS_FILE).exists()
        assert 0 == (await checked(server))[0]
        database = await connect(server.settings.database_url, timeout_ms=5_000)
        try:
            left = await database.fetchval(
                "SELECT count(*) FROM users WHERE email LIKE '%@sample.evently.localhost'"
            )
        finally:
            await database.close()
        assert 0 == left
        assert "SAMPLE removed=0" in (await evently("sample", "remove", **told(server)))[1]
        await server.stop()
        await server.start()
        assert [] == await listed(server)


def told(server: Server) -> dict[str, str]:
    """Return the settings by which commands find a server."""
    return {"data_dir": str(server.data_path), "environment": "development"}


async def test_not_in_production_nor_where_it_is_off(
    servers: dict[str, str], tmp_path: Path
) -> None:
    """Neither by itself nor by hand; and tests are no newcomers."""
    for own in ({"environment": "production"}, {"environment": "test"}, {"sample": "off"}):
        settings = Settings(data_dir=str(tmp_path), **own)  # type: ignore[arg-type]
        assert await newcomer.prepare(settings, "secret") is None
    own = servers | {"environment": "production", "redis_url": "main=redis://127.0.0.1:1"}
    own |= {"jwt_secret": "x" * 48, "ticket_signing_key": "A" * 43}
    for word in ("add", "remove"):
        code, _, log = await evently("sample", word, **own)
        assert (2, True) == (code, "there is no sample in production" in log), log
