"""Webhooks over HTTP: where they may lead, what is shown of them, and telling things again."""

from __future__ import annotations

from typing import Any

import pytest

from store import deliveries, webhooks
from store.sealed import unseal
from tests.api.keepers import keeper, new_organizer
from tests.api.world import Answer, World, check_problem, from_now
from usecases.webhooks import REDELIVERED_MAX, WEBHOOKS_MAX

WISH = {"url": "https://hooks.example/a?b", "kinds": ["event.closed", "booking.confirmed"]}


class Own:
    """An organizer's owner, and its webhooks."""

    def __init__(self, world: World, house: str, token: str) -> None:
        self.world = world
        self.house = house
        self.token = token

    async def ask(self, method: str, path: str = "", **request: Any) -> Answer:
        """Ask for webhooks, or one of them."""
        target = f"/v1/organizers/{self.house}/webhooks{path}"
        return await self.world.call(method, target, token=self.token, **request)

    async def make(self, **changes: Any) -> tuple[str, str]:
        """Make a webhook; return its path here and its secret."""
        made = await self.ask("POST", json=WISH | changes)
        assert 201 == made.status, made.text
        return f"/{made.body['webhook']['id']}", made.body["secret"]

    async def log(self, path: str) -> list[dict[str, Any]]:
        """Return what a webhook was told."""
        found: list[dict[str, Any]] = (await self.ask("GET", f"{path}/deliveries")).body["data"]
        return found


@pytest.fixture
async def own(world: World) -> Own:
    """Return a new organizer's owner."""
    house = await new_organizer(world)
    return Own(world, house, (await keeper(world, house))[1])


async def test_the_secret_is_shown_once_and_kept_sealed(own: Own) -> None:
    """S17: what signs is in one answer, and in no row but sealed with the setting."""
    path, secret = await own.make()
    read = await own.ask("GET", path)
    assert (WISH["url"], "active") == (read.body["url"], read.body["state"])
    assert ["event.closed", "booking.confirmed"] == read.body["kinds"]
    listed = await own.ask("GET")
    assert [read.body] == listed.body["data"]
    assert secret not in read.text + listed.text
    row = await own.world.database.fetchrow(
        "SELECT * FROM webhook_endpoints WHERE id = $1", path[1:]
    )
    assert row is not None
    opened = unseal("w" * 32, webhooks.PURPOSE, path[1:], row["sealed"])
    assert (32, None) == (len(opened or b""), unseal("x", webhooks.PURPOSE, "x", row["sealed"]))
    assert secret not in str(dict(row))
    [ping] = await own.log(path)
    assert ("webhook.ping", "waiting", 0) == (ping["kind"], ping["state"], ping["attempts"])


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://hooks.example:8443/",
        "https://10.0.0.1/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://localhost/",
        "https://a:b@hooks.example/",
    ],
)
async def test_s16_urls_that_lead_inside(own: Own, url: str) -> None:
    """S16: an address that leads inside, or not by https, is refused, new and as a change."""
    path, _ = await own.make()
    for answer in (
        await own.ask("POST", json=WISH | {"url": url}),
        await own.ask("PATCH", path, json={"url": url}),
    ):
        check_problem(answer, 422, "invalid", "/url")
    assert [WISH["url"]] == [one["url"] for one in (await own.ask("GET")).body["data"]]


async def test_bad_wishes_change_nothing(own: Own) -> None:
    """Kinds that are none, none at all, and a span that ends before it begins are refused."""
    path, _ = await own.make()
    check_problem(await own.ask("POST", json=WISH | {"kinds": ["x"]}), 422, "invalid", "/kinds/0")
    check_problem(await own.ask("PATCH", path, json={"kinds": []}), 422, "invalid", "/kinds")
    check_problem(await own.ask("PATCH", path, json={"state": "x"}), 422, "invalid", "/state")
    span = {"from": from_now(days=1), "to": from_now(days=-1)}
    check_problem(await own.ask("POST", f"{path}/redeliver", json=span), 422, "invalid", "/to")
    check_problem(await own.ask("GET", "/whk_x"), 404, "not_found")
    again = await own.ask("POST", f"{path}/deliveries/msg_x/redeliver")
    check_problem(again, 404, "not_found")
    [kept] = (await own.ask("GET")).body["data"]
    assert (path[1:], "active") == (kept["id"], kept["state"])


async def test_there_is_a_bound(own: Own) -> None:
    """An organizer has so many and no more, until one is taken away."""
    paths = [(await own.make())[0] for _ in range(WEBHOOKS_MAX)]
    full = await own.ask("POST", json=WISH)
    check_problem(full, 409, "too_many_webhooks")
    assert WEBHOOKS_MAX == full.body["webhooks_max"]
    assert 204 == (await own.ask("DELETE", paths[0])).status
    check_problem(await own.ask("GET", paths[0]), 404, "not_found")
    await own.make()


async def test_off_and_on_again(own: Own) -> None:
    """One that is off is sent nothing; on again it begins anew."""
    path, _ = await own.make()
    off = await own.ask("PATCH", path, json={"state": "disabled"})
    assert ("disabled", "asked") == (off.body["state"], off.body["disabled_why"])
    [ping] = await own.log(path)
    span = {"from": from_now(days=-1), "to": from_now(days=1)}
    for target, body in (
        ("/ping", None),
        (f"/deliveries/{ping['id']}/redeliver", None),
        ("/redeliver", span),
    ):
        check_problem(await own.ask("POST", f"{path}{target}", json=body), 409, "webhook_off")
    await own.world.database.execute(
        "UPDATE webhook_endpoints SET failing_since = now(), warned = 2, disabled_why = 'failing'"
        " WHERE id = $1",
        path[1:],
    )
    on = await own.ask("PATCH", path, json={"state": "active", "kinds": ["event.closed"]})
    assert ("active", None, None) == tuple(
        on.body[name] for name in ("state", "disabled_why", "failing_since")
    )
    assert ["event.closed"] == on.body["kinds"]
    warned = "SELECT warned FROM webhook_endpoints WHERE id = $1"
    assert 0 == await own.world.database.fetchval(warned, path[1:])
    failed = "UPDATE webhook_endpoints SET failing_since = now() WHERE id = $1"
    await own.world.database.execute(failed, path[1:])
    same = await own.ask("PATCH", path, json={"url": WISH["url"]})
    moved = await own.ask("PATCH", path, json={"url": "https://hooks.example/b"})
    assert (True, None) == (bool(same.body["failing_since"]), moved.body["failing_since"])


async def test_what_was_told_is_told_again(own: Own) -> None:
    """One message, or those of a time that never arrived, or all of them, wait again."""
    path, _ = await own.make()
    await own.ask("POST", f"{path}/ping")
    older, newer = reversed(await own.log(path))
    end = "UPDATE deliveries SET state = $2::delivery_state, ended_at = now() WHERE target = $1"
    database, own_id = own.world.database, path[1:]
    of_message = f"{end} AND webhook_message_id(fact, target) = $3"
    await database.execute(of_message, own_id, "sent", older["id"])
    await database.execute(of_message, own_id, "dead", newer["id"])
    assert 0 == await deliveries.retry(database, None)  # An operator sends none of them.
    span: dict[str, Any] = {"from": from_now(days=-1), "to": from_now(days=1)}

    async def states() -> list[str]:
        return [one["state"] for one in reversed(await own.log(path))]

    again = await own.ask("POST", f"{path}/redeliver", json=span)
    assert ({"count": 1}, ["sent", "waiting"]) == (again.body, await states())
    one = await own.ask("POST", f"{path}/deliveries/{older['id']}/redeliver")
    assert (202, ["waiting"] * 2) == (one.status, await states())
    await database.execute(end, own_id, "sent")
    every = await own.ask("POST", f"{path}/redeliver", json=span | {"only_failed": False})
    assert ({"count": 2}, ["waiting"] * 2) == (every.body, await states())
    before = {"from": from_now(days=-2), "to": from_now(days=-1)}
    none = await own.ask("POST", f"{path}/redeliver", json=before)
    assert {"count": 0} == none.body


async def test_a_span_is_bounded(own: Own) -> None:
    """More messages than are told again at a time are refused, and none of them is."""
    path, _ = await own.make()
    await own.world.database.execute(
        "INSERT INTO deliveries (fact, channel, target, kind, lane, user_id, subject_id, state,"
        " ended_at) SELECT 'f/' || number, 'webhook', $1, 'event.closed', 2, '', 'evt', 'dead',"
        " now() FROM generate_series(1, $2) AS number",
        *(path[1:], REDELIVERED_MAX + 1),
    )
    span = {"from": from_now(days=-1), "to": from_now(days=1)}
    check_problem(await own.ask("POST", f"{path}/redeliver", json=span), 422, "invalid", "/to")
    page = await own.ask("GET", f"{path}/deliveries?limit=2")
    assert (["dead"] * 2, True) == (
        [one["state"] for one in page.body["data"]],
        page.body["has_more"],
    )
    cursor = page.body["next_cursor"]
    behind = await own.ask("GET", f"{path}/deliveries?limit=2&after={cursor}")
    ids = {one["id"] for answer in (page, behind) for one in answer.body["data"]}
    assert 4 == len(ids)


async def test_a_secret_is_rotated(own: Own) -> None:
    """Another secret, told once; the one before signs until tomorrow."""
    path, first = await own.make()
    rotated = await own.ask("POST", f"{path}/rotate")
    assert first != rotated.body["secret"]
    assert rotated.body["webhook"]["old_secret_until"]
    row = await own.world.database.fetchrow(
        "SELECT sealed, sealed_before FROM webhook_endpoints WHERE id = $1", path[1:]
    )
    assert row is not None
    opened = [unseal("w" * 32, webhooks.PURPOSE, path[1:], sealed) for sealed in row]
    assert None not in opened
    assert 2 == len(set(opened))


async def test_s42_acts_on_webhooks(own: Own) -> None:
    """S42: what is done to a webhook is noted; its address, which may hold a secret, is not."""
    path, _ = await own.make()
    await own.ask("PATCH", path, json={"kinds": ["event.closed"]})
    await own.ask("POST", f"{path}/rotate")
    await own.ask("POST", f"{path}/ping")
    await own.ask("DELETE", path)
    rows = await own.world.database.fetch(
        "SELECT act, before, after, outcome FROM acts WHERE subject = $1 ORDER BY id", path[1:]
    )
    assert ["make", "change", "rotate", "ping", "delete"] == [
        row["act"].removeprefix("webhook.") for row in rows
    ]
    assert "hooks.example" not in str([dict(row) for row in rows])


async def test_without_a_key_there_are_none(world: World, serve: Any) -> None:
    """An operator who has set no key has no webhooks, and nobody is promised any."""
    house = await new_organizer(world)
    _, token = await keeper(world, house)
    async with serve(webhook_key="") as other:
        answer = await other.call("GET", f"/v1/organizers/{house}/webhooks", token=token)
        check_problem(answer, 404, "webhooks_off")
