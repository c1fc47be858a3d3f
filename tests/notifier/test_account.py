"""Messages in accounts: there with their fact, whatever becomes of the mail."""

from __future__ import annotations

import pytest

from notifier import account
from notifier.follower import Teller
from store import notifications
from tests.conftest import TIMEOUT_MS
from tests.notifier.conftest import House
from tests.store.records import booked, cancelled


@pytest.fixture
def follower() -> Teller:
    """Return a follower that puts messages into accounts."""
    return Teller("", timeout_ms=TIMEOUT_MS, fans=[account.fan])


async def test_messages_are_there_with_their_facts(house: House, follower: Teller) -> None:
    """A fact of an account's things is there once, without a worker; what the account alone is
    told, such as a reset, is not."""
    house.follower = follower
    person = await house.person()
    record = booked(await house.event(), user_id=person)
    await house.write(record)
    await house.tell("account.reset", person, to="x@example.net", token="secret-token")
    await house.follow()
    await house.pool.execute("DELETE FROM told WHERE shard = $1", house.shard)
    await house.follow()
    await house.write(cancelled(record))
    await house.follow()
    assert {"sent": 2, "superseded": 1, "waiting": 2} == await house.states()
    [ended, made] = await notifications.of_person(
        house.pool, person, before_id=notifications.NEWEST_ID, limit=9
    )
    assert ("booking.cancelled", "booking.confirmed") == (ended.kind, made.kind)
    assert {record.booking_id} == {ended.subject_id, made.subject_id}
    assert "Summer Night" == made.event_name
    assert 2 == await notifications.count_unseen(house.pool, person)
    async with house.working():
        await house.until(sent=4, superseded=1)
    assert 2 == len(house.mail.letters())
