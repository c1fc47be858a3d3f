"""The notifier as a process, killed in the middle with its mail server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from evently.settings import Settings
from tests.notifier.conftest import SIGNING_KEY, House
from tests.store.records import booked

BOOKINGS = 40
KILLED_AT = (12, 30)


def start(house: House, database_url: str, folder: Path, **more: object) -> subprocess.Popen[bytes]:
    """Start a notifier of the house's database and mail server."""
    settings = Settings(
        database_url=database_url,
        smtp_url=f"smtp+plain://127.0.0.1:{house.mail.port}",
        data_dir=str(folder),
        notifier_workers=4,
        mail_from="tickets@example.org",
        ticket_signing_key=SIGNING_KEY,
        **more,  # type: ignore[arg-type]
    )
    env = dict(os.environ) | settings.to_env() | {"EVENTLY_PART": "notifier"}
    with (folder / "log").open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "notifier"], env=env, stdout=output)


@pytest.mark.processes
async def test_f44_killed_notifiers_tell_all(
    house: House, database_url: str, tmp_path: Path
) -> None:
    """F44: whatever is killed when, each booking is told, nothing else is, doubles are counted."""
    event = await house.event()
    people = [await house.person(domain=f"d{number % 9}.example") for number in range(BOOKINGS)]
    records = [booked(event, user_id=person) for person in people]
    process = start(house, database_url, tmp_path)
    try:
        for number, record in enumerate(records):
            await house.write(record)
            if number in KILLED_AT:
                async with asyncio.timeout(30):
                    while len(house.mail.letters()) < number // 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                process.kill()
                process.wait()
                house.mail.kill()
                house.mail.start()
                await house.hurry()
                process = start(house, database_url, tmp_path)
        async with asyncio.timeout(60):
            # Each has its letter, and its message in the account.
            while await house.states() != {"sent": 2 * BOOKINGS}:
                await house.hurry()
                await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.to_thread(process.wait, 20), (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    letters = house.mail.letters()
    told = Counter(str(one["Message-ID"]) for one in letters)
    bodies = [body.get_content() for one in letters if (body := one.get_body(("plain",)))]
    assert BOOKINGS == len(told)
    for record in records:
        assert any(record.booking_id in body for body in bodies)
    doubles = sum(told.values()) - BOOKINGS
    assert doubles <= await house.pool.fetchval("SELECT sum(doubts) FROM deliveries")
