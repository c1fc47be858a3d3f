"""S27. Requests that are sent again with their Idempotency-Key: done once, answered alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from api.routes import ROUTES
from store import events, idempotency, retention
from store.sql import InTransaction
from tests.api.test_routes import named
from tests.api.world import Answer, World, check_problem, new_event

#: How else a repetition does no harm.
OTHERWISE = {
    "POST /v1/holds/{hold_id}/confirm": "a hold becomes one booking",
    "POST /v1/holds/{hold_id}/extend": "sets a deadline, and a hold has a longest life",
    "POST /v1/events/{event_id}/seats/block": "sets a state",
    "POST /v1/events/{event_id}/seats/unblock": "sets a state",
    "POST /v1/auth/register": "an address has one account; who has its password is signed in",
    "POST /v1/auth/login": "makes a session, which ends by itself",
    "POST /v1/auth/openid/{provider}/begin": "changes nothing",
    "POST /v1/auth/openid/{provider}/finish": "a flow ends once",
    "POST /v1/auth/passkeys/begin": "changes nothing",
    "POST /v1/auth/passkeys/finish": "a flow ends once",
    "POST /v1/me/identities/{provider}/begin": "changes nothing",
    "POST /v1/me/passkeys/begin": "changes nothing",
    "POST /v1/me/push": "an endpoint is subscribed once",
    "POST /v1/auth/logout": "sets a state",
    "POST /v1/auth/password/forgot": "the last letter counts",
    "POST /v1/auth/password/reset": "a letter is good once",
    "POST /v1/events/import": "an event is known by its id at the source",
    "POST /v1/events/{event_id}/publish": "sets a state",
    "POST /v1/events/{event_id}/postpone": "sets a state",
    "POST /v1/events/{event_id}/orders/{booking_id}/cancel": "sets a state, or names its version",
    "POST /v1/events/{event_id}/orders/{booking_id}/move": "a ticket that has moved moves no more",
    "POST /v1/events/{event_id}/orders/{booking_id}/refund": "once for each version of a booking",
    "POST /v1/events/{event_id}/close": "sets a state",
    "POST /v1/events/{event_id}/reopen": "sets a state",
    "POST /v1/events/{event_id}/cancel": "sets a state",
    "POST /v1/offers/{offer_id}/accept": "an offer becomes one booking",
    "POST /v1/offers/{offer_id}/decline": "sets a state",
    "POST /v1/bookings/{booking_id}/cancel": "sets a state, or names the version that it changes",
    "POST /v1/events/{event_id}/scans": "each scan has its id",
    "POST /v1/tickets/{ticket_id}/transfer": "a ticket is given once, and is then another's",
    "POST /v1/tickets/{ticket_id}/return": "sets a state",
    "POST /v1/gifts/{gift_id}/accept": "sets a state",
    "POST /v1/admin/users/{user_id}/disable": "sets a state",
    "POST /v1/admin/users/{user_id}/enable": "sets a state",
    "POST /v1/unsubscribe": "sets a state",
    "POST /v1/notifications/seen": "sets a state",
    "POST /v1/devices/enroll": "a code is good once",
}
REPLAYED = "Idempotent-Replayed"


def test_s27_every_change_says_how_it_is_repeated() -> None:
    """S27: each POST and PATCH has its key, or a reason why it needs none."""
    changes = [route for route in ROUTES if route.method in {"POST", "PATCH"}]
    without = {
        named(route)
        for route in changes
        if not (route.needs_key or route.is_keyed or route.is_kept)
    }
    assert set(OTHERWISE) == without


async def made_by(world: World, boss: str) -> list[str]:
    """Return the ids of all events of somebody."""
    [house] = (await world.call("GET", "/v1/organizers", token=boss)).body["data"]
    path = f"/v1/organizers/{house['id']}/events"
    return [one["id"] for one in (await world.call("GET", path, token=boss)).body["data"]]


async def create(world: World, boss: str, key: str, asked: dict[str, Any]) -> Answer:
    """Make an event."""
    return await world.call("POST", "/v1/events", token=boss, key=key, json=asked)


async def test_s27_the_same_key_makes_one_event(world: World) -> None:
    """S27: again it is the same answer; with another body none; another's key is another's."""
    boss, other, asked = await world.organizer(), await world.organizer(), new_event(3)
    first = await create(world, boss, "k", asked)
    again = await create(world, boss, "k", asked)
    assert (201, 201) == (first.status, again.status)
    assert first.text == again.text
    assert first.headers["Location"] == again.headers["Location"]
    assert (None, "true") == (first.headers.get(REPLAYED), again.headers.get(REPLAYED))
    assert [first.body["id"]] == await made_by(world, boss)
    changed = await create(world, boss, "k", asked | {"name": "Other"})
    check_problem(changed, 422, "idempotency_key_reused")
    others = await create(world, other, "k", asked)
    assert first.body["id"] != others.body["id"]
    copy = f"/v1/events/{first.body['id']}/duplicate"
    copies = [await world.call("POST", copy, token=boss, key="k") for _ in range(2)]
    assert copies[0].text == copies[1].text
    assert {first.body["id"], copies[0].body["id"]} == set(await made_by(world, boss))
    bad = await world.call("POST", copy, token=boss, headers={"Idempotency-Key": "a b"})
    check_problem(bad, 400, "idempotency_key_malformed")


async def test_s27_attempts_at_the_same_moment(world: World) -> None:
    """S27: of many at once one makes the event; the others get its answer, or come back."""
    boss, asked = await world.organizer(), new_event(3)
    await world.enter()
    answers = await asyncio.gather(*[create(world, boss, "k", asked) for _ in range(4)])
    made = await made_by(world, boss)
    assert 1 == len(made)
    for answer in answers:
        if answer.status == 201:
            assert made == [answer.body["id"]]
        else:
            check_problem(answer, 409, "request_in_progress")
            assert answer.headers["Retry-After"]


async def test_s27_a_refusal_leaves_the_key_free(world: World) -> None:
    """S27: what was refused has changed nothing, and may be mended with the same key."""
    boss, asked = await world.organizer(), new_event(3)
    bad = await create(world, boss, "k", asked | {"timezone": "Nowhere/At_All"})
    check_problem(bad, 422, "invalid", "/timezone")
    assert 201 == (await create(world, boss, "k", asked)).status


async def test_s27_what_is_told_once_is_not_kept(world: World) -> None:
    """S27: a second API key is not made, and the first is nowhere to be read."""
    boss, asked = await world.organizer(), {"name": "Shop", "scopes": ["sell"]}
    request: dict[str, Any] = {"token": boss, "key": "k", "json": asked}
    made = await world.call("POST", "/v1/api-keys", **request)
    assert 201 == made.status
    again = await world.call("POST", "/v1/api-keys", **request)
    check_problem(again, 409, "done_before")
    assert made.body["api_key"]["id"] == again.body["subject"]
    listed = await world.call("GET", "/v1/api-keys", token=boss)
    assert 1 == len(listed.body["data"])
    rows = await world.database.fetch("SELECT * FROM idempotency_keys")
    secret = made.body["key"].encode()
    assert not [row for row in rows if row["answer"] and secret in row["answer"]]


async def test_s27_an_answer_that_was_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """S27: a process that ends before it has kept the answer makes no second event."""
    boss, asked = await world.organizer(), new_event(3)

    async def fails(*_: object, **__: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(idempotency, "keep", fails)
    first = await create(world, boss, "k", asked)
    again = await create(world, boss, "k", asked)
    assert 201 == first.status
    check_problem(again, 409, "done_before")
    assert first.body["id"] == again.body["subject"]
    assert [first.body["id"]] == await made_by(world, boss)


async def test_s27_a_slow_attempt_does_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S27: whoever is overtaken by another attempt is rolled back at the mark."""
    boss, asked, add = await world.organizer(), new_event(3), events.add

    async def overtaken(connection: InTransaction, drafts: Sequence[events.Draft]) -> None:
        await world.database.execute(
            "UPDATE idempotency_keys SET attempt = decode(md5('other'), 'hex')"
        )
        await add(connection, drafts)

    monkeypatch.setattr(events, "add", overtaken)
    check_problem(await create(world, boss, "k", asked), 409, "request_in_progress")
    assert [] == await made_by(world, boss)


async def test_s27_a_key_runs_out(world: World) -> None:
    """S27: after its time a key is a new one, and retention takes what is over."""
    boss, asked = await world.organizer(), new_event(3)
    first = await create(world, boss, "k", asked)
    await world.database.execute("UPDATE idempotency_keys SET expires_at = now()")
    assert first.body["id"] != (await create(world, boss, "k", asked)).body["id"]
    await world.database.execute("UPDATE idempotency_keys SET expires_at = now()")
    now = await world.database.fetchval("SELECT clock_timestamp()")
    over = await retention.count_idempotency_keys(world.database, now)
    assert 1 <= over == await retention.prune_idempotency_keys(world.database, now)
    assert 0 == await retention.count_idempotency_keys(world.database, now)
