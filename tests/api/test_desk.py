"""The box office over HTTP: orders searched, sold, moved, cancelled, noted; refunds; who waits."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import pytest

from engine.ids import new_id
from evently.embedded import ValkeyServer
from reconciler.judge.check import check
from store import organizers
from tests.api.keepers import keeper, make_key, new_organizer
from tests.api.test_accounts import PASSWORD
from tests.api.test_sessions import signed_up
from tests.api.world import Answer, Event, World, check_problem
from tests.checks import servers_of
from tests.conftest import role_url

WHY = {"reason": "by telephone"}


class Desk(NamedTuple):
    """A house with an event of two tiers, somebody at its box office, and a buyer."""

    world: World
    event: Event
    #: Of the box office.
    clerk: str
    clerk_id: str
    #: Whose address is proved.
    buyer: str
    buyer_id: str
    email: str

    async def call(self, method: str, path: str = "", **request: Any) -> Answer:
        """Call a route of the event's orders as the box office."""
        target = f"/v1/events/{self.event['id']}/orders{path}"
        return await self.world.call(method, target, **({"token": self.clerk} | request))

    async def sell(self, tier_no: int, quantity: int, key: str, **fields: Any) -> Answer:
        """Sell for the buyer."""
        tier_id = self.event["tiers"][tier_no - 1]["id"]
        wish = {"items": [{"tier_id": tier_id, "quantity": quantity}], "user_id": self.buyer_id}
        return await self.call("POST", key=key, json=wish | WHY | fields)

    async def read(self, own_id: str) -> dict[str, Any]:
        """Read an order."""
        answer = await self.call("GET", f"/{own_id}")
        assert 200 == answer.status, answer.text
        return dict(answer.body)

    async def acts(self, own_id: str) -> list[tuple[str, str, str]]:
        """Return what is noted of an order, by whom and how it ended."""
        rows = await self.world.database.fetch(
            "SELECT act, actor, outcome::text FROM acts WHERE subject = $1 ORDER BY id", own_id
        )
        return [tuple(row) for row in rows]


async def clerk_of(world: World, organizer_id: str, *event_ids: str) -> tuple[str, str]:
    """Put somebody at an organizer's box office; return their id and token."""
    user_id, token = await keeper(world, None, "user")
    async with world.database.acquire() as connection:
        await organizers.set_member(
            connection, organizer_id, user_id, "box_office", list(event_ids) or None
        )
    return user_id, token


@pytest.fixture
async def desk(world: World) -> Desk:
    """Open a box office."""
    house = await new_organizer(world)
    _, boss = await keeper(world, house)
    event = await world.event(10, 3, token=boss, max_per_user=4)
    clerk_id, clerk = await clerk_of(world, house)
    session = await signed_up(world)
    buyer_id = await world.prove(session["email"])
    return Desk(world, event, clerk, clerk_id, world.token(buyer_id), buyer_id, session["email"])


async def require_clean(desk: Desk, valkey: ValkeyServer) -> None:
    """Let `reconciler check` look at the event."""
    result = await check(
        servers_of(role_url(valkey, "coordinator"), desk.world.database_url),
        shard=None,
        event_id=desk.event["id"],
        progress=lambda _: None,
    )
    assert [] == [one for one in result.violations if one.event_id == desk.event["id"]]


async def test_sells_for_somebody_also_beyond_the_limit(desk: Desk, valkey: ValkeyServer) -> None:
    """I12: the booking is the buyer's; beyond their limit it is sold with a reason alone."""
    sold = await desk.sell(1, 3, "a")
    assert 201 == sold.status, sold.text
    own_id = sold.body["id"]
    assert f"/v1/events/{desk.event['id']}/orders/{own_id}" == sold.headers["Location"]
    again = await desk.sell(1, 3, "a")
    assert (201, own_id, "true") == (
        again.status,
        again.body["id"],
        again.headers["Idempotent-Replayed"],
    )
    check_problem(await desk.sell(1, 2, "a"), 422, "idempotency_key_reused")
    # The same key of the buyer is another booking.
    own = await desk.world.book(desk.event, desk.buyer, (1, 1), key="a")
    assert 201 == own.status
    refused = await desk.sell(1, 2, "b")
    check_problem(refused, 409, "limit_reached")
    assert ("person", 4, 4) == tuple(refused.body[name] for name in ("scope", "max", "taken"))
    beyond = await desk.sell(1, 2, "c", beyond_limit=True)
    assert 201 == beyond.status, beyond.text
    check_problem(await desk.sell(2, 4, "d", beyond_limit=True), 409, "sold_out")
    check_problem(await desk.world.book(desk.event, desk.buyer, key="e"), 409, "limit_reached")
    mine = (await desk.world.call("GET", "/v1/bookings", token=desk.buyer)).body["data"]
    assert {own_id, own.body["id"], beyond.body["id"]} == {one["id"] for one in mine}
    assert (await desk.read(beyond.body["id"]))["is_beyond_limit"]
    assert not (await desk.read(own_id))["is_beyond_limit"]
    ended = [("order.sell", desk.clerk_id, word) for word in ("intended", "done")]
    assert ended == await desk.acts(beyond.body["id"])
    await require_clean(desk, valkey)
    part = {"items": [{"tier_id": desk.event["tiers"][0]["id"], "quantity": 1}], "version": 1}
    gone = await desk.call("POST", f"/{beyond.body['id']}/cancel", json=part | WHY)
    assert 200 == gone.status, gone.text
    await require_clean(desk, valkey)


async def test_sells_by_a_promo_code_beyond_the_limit(desk: Desk, valkey: ValkeyServer) -> None:
    """I12: mark and promo code go together: the price is the code's, and its use is counted."""
    _, boss = await keeper(desk.world, desk.event["organizer_id"])
    promo = {"code": "HALF", "percent_off": 50, "uses_max": 1}
    event = await desk.world.event(9, token=boss, max_per_user=1, promo_codes=[promo])
    own = desk._replace(event=event)
    sold = await own.sell(1, 3, "a", beyond_limit=True, promo_code="half")
    assert (201, 1500) == (sold.status, sold.body["total"]["amount"]), sold.text
    used = await own.sell(1, 1, "b", beyond_limit=True, promo_code="HALF")
    check_problem(used, 409, "promo_exhausted")
    await require_clean(own, valkey)
    gone = await own.call("POST", f"/{sold.body['id']}/cancel", json=WHY)
    assert 200 == gone.status
    assert 1500 == (await own.read(sold.body["id"]))["refund"]["amount"]["amount"]
    again = await own.sell(1, 2, "c", beyond_limit=True, promo_code="HALF")
    assert 201 == again.status, again.text
    await require_clean(own, valkey)


async def test_sells_by_address(desk: Desk) -> None:
    """An address counts once it is proved; who is named must be somebody, one, and another."""
    by_address = {"email": desk.email.upper(), "user_id": None}
    sold = await desk.sell(1, 1, "a", **by_address)
    assert 201 == sold.status, sold.text
    claimed = await signed_up(desk.world)
    before = await desk.world.state()
    for fields, pointer in (
        ({"email": claimed["email"], "user_id": None}, "/email"),
        ({"email": "nobody@example.org", "user_id": None}, "/email"),
        ({"email": desk.email}, ""),
        ({"user_id": None}, ""),
        ({"user_id": new_id("usr")}, "/user_id"),
        ({"user_id": "usr_x"}, "/user_id"),
        ({"user_id": desk.clerk_id}, "/user_id"),
        ({"reason": ""}, "/reason"),
        ({"beyond_limit": "yes"}, "/beyond_limit"),
        ({"items": []}, "/items"),
        ({"items": [{"tier_id": new_id("tier"), "quantity": 1}]}, "/items/0/tier_id"),
    ):
        check_problem(await desk.sell(1, 1, "b", **fields), 422, "invalid", pointer)
    no_key = await desk.call("POST", json={"items": [], "user_id": desk.buyer_id} | WHY)
    check_problem(no_key, 400, "idempotency_key_missing")
    assert before == await desk.world.state()


async def test_finds_orders(desk: Desk) -> None:
    """Orders are found by the beginning of an id, an address or a word of a name, and by status."""
    await desk.world.database.execute(
        "UPDATE users SET name = 'Ann Marie_Lu' WHERE id = $1", desk.buyer_id
    )
    sold = (await desk.sell(1, 1, "a")).body["id"]
    other = (await desk.world.book(desk.event, None)).body["id"]
    assert 200 == (await desk.call("POST", f"/{other}/cancel", json=WHY)).status

    async def found(query: str, **request: Any) -> list[str]:
        answer = await desk.call("GET", f"?{query}", **request)
        assert 200 == answer.status, answer.text
        return [row["booking"]["id"] for row in answer.body["data"]]

    assert sorted([sold, other]) == await found("limit=9")
    for text in ("ann", "MARIE_L", desk.email[:6].upper(), sold[:25], sold):
        assert [sold] == await found(f"q={text}"), text
    for text in ("mar%25", "arie", "x" * 50):
        assert [] == await found(f"q={text}")
    assert [sold] == await found("status=confirmed")
    assert [other] == await found("status=cancelled")
    check_problem(await desk.call("GET", "?status=new"), 422, "invalid", "/query/status")
    [row] = (await desk.call("GET", "?q=ann")).body["data"]
    assert {"id": desk.buyer_id, "name": "Ann Marie_Lu", "email": desk.email} == row["buyer"]

    _, boss = await keeper(desk.world, desk.event["organizer_id"])
    key = (await make_key(desk.world, boss, "orders:read"))["key"]
    assert [] == await found("q=ann", token=key)
    assert [sold] == await found(f"q={sold}", token=key)
    whole = await desk.call("GET", f"/{sold}", token=key)
    assert (200, None) == (whole.status, whole.body["buyer"])
    check_problem(
        await desk.call("POST", f"/{sold}/cancel", token=key, json=WHY), 403, "insufficient_scope"
    )


async def test_cancels_and_settles_what_is_due(desk: Desk, valkey: ValkeyServer) -> None:
    """What is given back is due until it is settled, at each version once; acts are noted."""
    own_id = (await desk.sell(1, 3, "a")).body["id"]
    path = f"/{own_id}"

    def money(state: str, amount: int, settled: int) -> dict[str, Any]:
        figures = {"amount": amount, "settled": settled}
        told = {name: {"amount": n, "currency": "EUR"} for name, n in figures.items()}
        return {"state": state} | told

    assert money("none", 0, 0) == (await desk.read(own_id))["refund"]
    settled = {"state": "waived", "version": 1, "note": "Agreed."}
    check_problem(await desk.call("POST", f"{path}/refund", json=settled), 409, "refund_not_due")
    part = {"items": [{"tier_id": desk.event["tiers"][0]["id"], "quantity": 1}], "version": 1}
    gone = await desk.call("POST", f"{path}/cancel", json=part | WHY)
    assert (200, 2) == (gone.status, gone.body["version"])
    assert [None] * 3 == [ticket["code"] for ticket in gone.body["tickets"]]
    assert money("due", 1000, 0) == (await desk.read(own_id))["refund"]
    check_problem(await desk.call("POST", f"{path}/refund", json=settled), 409, "version_changed")
    settled["version"] = 2
    for is_replay in (False, True):
        answer = await desk.call("POST", f"{path}/refund", json=settled)
        assert 200 == answer.status, answer.text
        assert is_replay == ("Idempotent-Replayed" in answer.headers)
        assert money("waived", 1000, 1000) == answer.body["refund"]
    other = settled | {"state": "done"}
    check_problem(await desk.call("POST", f"{path}/refund", json=other), 409, "refund_not_due")
    for is_replay in (False, True):
        gone = await desk.call("POST", f"{path}/cancel", json=WHY)
        assert (200, "cancelled") == (gone.status, gone.body["status"])
        assert is_replay == ("Idempotent-Replayed" in gone.headers)
    whole = await desk.read(own_id)
    assert money("due", 3000, 1000) == whole["refund"]
    done = {"state": "done", "version": whole["booking"]["version"], "note": "In cash."}
    answer = await desk.call("POST", f"{path}/refund", json=done)
    assert money("done", 3000, 3000) == answer.body["refund"]
    assert [("waived", 1000), ("done", 2000)] == [
        (note["refund"], note["amount"]["amount"]) for note in answer.body["notes"]
    ]
    [row] = (await desk.call("GET")).body["data"]
    assert money("done", 3000, 3000) == row["refund"]
    history = [(change["what"], change["why"]) for change in answer.body["history"]]
    assert [
        *("booked", "order.sell", "places_cancelled", "order.cancel", "order.refund"),
        *("cancelled", "order.cancel", "order.cancel", "order.refund"),
    ] == [what for what, _ in history]
    assert ("order.cancel", "by telephone") in history
    assert {"done", "intended"} == {outcome for _, _, outcome in await desk.acts(own_id)}
    await require_clean(desk, valkey)


async def test_bad_cancellations_change_nothing(desk: Desk) -> None:
    """A cancellation names its reason, one kind of places, and what is there."""
    own_id = (await desk.sell(1, 2, "a")).body["id"]
    before = await desk.world.state()
    for body, pointer in (
        ({}, "/reason"),
        (WHY | {"items": [], "version": 1}, "/items"),
        (WHY | {"ticket_ids": ["tkt_x_1"], "version": 1}, "/ticket_ids/0"),
        (WHY | {"seat_ids": ["x"], "version": 1}, "/seat_ids/0"),
    ):
        answer = await desk.call("POST", f"/{own_id}/cancel", json=body)
        check_problem(answer, 422, "invalid", pointer)
    unread = await desk.call("POST", f"/{own_id}/cancel", json=WHY | {"seat_ids": ["s1-1"]})
    check_problem(unread, 428, "precondition_required", "/version")
    after = await desk.world.state()
    assert before.redis == after.redis


async def test_moves_the_tickets(desk: Desk, valkey: ValkeyServer) -> None:
    """Tickets move to another account, whoever has them; old codes are over, the booking stays."""
    world, own_id = desk.world, (await desk.sell(1, 2, "a")).body["id"]
    session = await signed_up(world)
    heir = await world.prove(session["email"])
    path = f"/{own_id}/move"
    for body, pointer in (
        ({"user_id": new_id("usr")}, "/user_id"),
        ({}, ""),
        ({"email": "nobody@example.org"}, "/email"),
        ({"user_id": heir, "ticket_ids": ["tkt_x_1"]}, "/ticket_ids/0"),
    ):
        check_problem(await desk.call("POST", path, json=WHY | body), 422, "invalid", pointer)
    for is_replay in (False, True):
        moved = await desk.call("POST", path, json=WHY | {"email": session["email"]})
        assert 200 == moved.status, moved.text
        assert is_replay == ("Idempotent-Replayed" in moved.headers)
    tickets = [ticket["id"] for ticket in moved.body["booking"]["tickets"]]
    assert [(own, heir, session["email"]) for own in tickets] == [
        (one["ticket_id"], one["holder"]["id"], one["holder"]["email"])
        for one in moved.body["holders"]
    ]
    assert desk.buyer_id == moved.body["user_id"]
    given = (await world.call("GET", "/v1/tickets", token=world.token(heir))).body["data"]
    assert set(tickets) == {ticket["id"] for ticket in given}
    # Back again, one of them; then somebody is in on the other.
    wish = WHY | {"user_id": desk.buyer_id, "ticket_ids": tickets[:1]}
    back = await desk.call("POST", path, json=wish)
    assert [tickets[1]] == [one["ticket_id"] for one in back.body["holders"]]
    code = next(ticket["code"] for ticket in given if ticket["id"] == tickets[1])
    scan = {"event_id": desk.event["id"], "gate": "North"}
    path_in = f"/v1/tickets/{code}/check-in"
    assert 200 == (await world.call("POST", path_in, token=desk.clerk, json=scan)).status
    late = await desk.call("POST", path, json=WHY | {"user_id": heir})
    check_problem(late, 409, "already_checked_in")
    whole = await desk.read(own_id)
    assert [tickets[1]] == [one["ticket_id"] for one in whole["holders"]]
    assert ("scan_in", "North") in {(one["what"], one["gate"]) for one in whole["history"]}
    check_problem(await desk.call("POST", f"/{own_id}/cancel", json=WHY), 409, "already_checked_in")
    await require_clean(desk, valkey)


async def test_notes_go_with_their_person(desk: Desk) -> None:
    """S43: a note is written once, told to its person, and gone with them; the order can go on."""
    own_id = (await desk.sell(1, 2, "a")).body["id"]
    path, text = f"/{own_id}/notes", "Comes with a guide dog."
    ids = set()
    for _ in range(2):
        made = await desk.call("POST", path, key="n", json={"text": text})
        assert 201 == made.status, made.text
        ids.add(made.body["id"])
    assert 1 == len(ids)
    other = await desk.call("POST", path, key="n", json={"text": "Another."})
    check_problem(other, 422, "idempotency_key_reused")
    check_problem(
        await desk.call("POST", path, key="m", json={"text": ""}), 422, "invalid", "/text"
    )
    assert [text] == [note["text"] for note in (await desk.read(own_id))["notes"]]
    own = (await desk.world.call("GET", "/v1/me/export", token=desk.buyer)).body
    assert [text] == [row["text"] for row in own["tables"]["order_notes"]]
    assert desk.clerk_id not in str(own["tables"]["order_notes"])

    fresh = desk.world.token(desk.buyer_id, is_fresh=True)
    erase = {"password": PASSWORD, "bookings": "keep"}
    gone = await desk.world.call("DELETE", "/v1/me", token=fresh, json=erase)
    assert 200 == gone.status, gone.text
    whole = await desk.read(own_id)
    assert ([], None, "confirmed") == (whole["notes"], whole["buyer"], whole["booking"]["status"])
    assert desk.email not in str(whole)
    # What was kept good can still be cancelled at the desk, by ids alone, and is due to nobody.
    done = await desk.call("POST", f"/{own_id}/cancel", json=WHY)
    assert (200, "cancelled") == (done.status, done.body["status"])
    assert "due" == (await desk.read(own_id))["refund"]["state"]
    check_problem(await desk.sell(1, 1, "b"), 422, "invalid", "/user_id")


async def test_who_waits_and_why(desk: Desk) -> None:
    """I9: the list in order, with the reason why each waits still."""
    world, tier = desk.world, desk.event["tiers"][1]["id"]
    sold = (await desk.sell(2, 3, "a")).body
    people = [world.token() for _ in range(3)]
    entries = []
    for token, quantity in zip(people, (2, 2, 1), strict=True):
        wish = {"tier_id": tier, "quantity": quantity}
        target = f"/v1/events/{desk.event['id']}/waitlist"
        made = await world.call("POST", target, token=token, key="w", json=wish)
        assert 201 == made.status, made.text
        entries.append(made.body["id"])

    async def listed(query: str = "") -> list[tuple[Any, ...]]:
        target = f"/v1/events/{desk.event['id']}/waitlist{query}"
        answer = await world.call("GET", target, token=desk.clerk)
        assert 200 == answer.status, answer.text
        names = ("id", "status", "position", "ahead_places", "why")
        return [tuple(row[name] for name in names) for row in answer.body["data"]]

    full = "no_place_free"
    assert [
        (entries[0], "waiting", 1, 0, full),
        (entries[1], "waiting", 2, 2, full),
        (entries[2], "waiting", 3, 4, full),
    ] == await listed()
    target = f"/v1/events/{desk.event['id']}/waitlist"
    first = (await world.call("GET", f"{target}?limit=2", token=desk.clerk)).body
    assert 2 == len(first["data"])
    assert [entries[2]] == [row[0] for row in await listed(f"?after={first['next_cursor']}")]
    strange = base64.urlsafe_b64encode(b"1970-01-01T00:00:00+00:00 x:y").decode().rstrip("=")
    answer = await world.call("GET", f"{target}?after={strange}", token=desk.clerk)
    check_problem(answer, 422, "invalid", "/query/after")
    done = await desk.call("POST", f"/{sold['id']}/cancel", json=WHY)
    assert 200 == done.status
    assert [
        (entries[0], "offered", None, None, None),
        (entries[1], "waiting", 1, 0, "too_few_free"),
        (entries[2], "waiting", 2, 2, "behind_head"),
    ] == await listed()
    _, boss = await keeper(world, desk.event["organizer_id"])
    await world.call("POST", f"/v1/events/{desk.event['id']}/close", token=boss)
    assert {None, "sale_over"} == {row[4] for row in await listed()}


async def test_s8_other_desks(desk: Desk) -> None:
    """S8: orders of others are not there, by any route; nor is another event's, confined or not."""
    world, own_id = desk.world, (await desk.sell(1, 1, "a")).body["id"]
    house = await new_organizer(world)
    _, stranger = await clerk_of(world, house)
    _, boss = await keeper(world, desk.event["organizer_id"])
    other = await world.event(5, token=boss)
    _, confined = await clerk_of(world, desk.event["organizer_id"], other["id"])
    gate, buyer = world.token(role="staff", organizer_id=house), desk.buyer
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("GET", "", {}),
        ("GET", f"/{own_id}", {}),
        ("POST", f"/{own_id}/cancel", {"json": WHY}),
        ("POST", f"/{own_id}/move", {"json": WHY | {"user_id": desk.buyer_id}}),
        ("POST", f"/{own_id}/notes", {"json": {"text": "n"}, "key": "n"}),
        ("POST", f"/{own_id}/refund", {"json": {"state": "done", "version": 1, "note": "n"}}),
    )
    before = await world.state()
    for method, path, request in requests:
        for token in (stranger, confined, gate):
            answer = await desk.call(method, path, token=token, **request)
            check_problem(answer, 404, "not_found")
        check_problem(await desk.call(method, path, token=buyer, **request), 403, "forbidden")
        if path:
            # The order of one event is not there at another's desk.
            target = f"/v1/events/{other['id']}/orders{path}"
            answer = await world.call(method, target, token=desk.clerk, **request)
            check_problem(answer, 404, "not_found")
    assert before == await world.state()
