"""S42. Acts: what staff, organizers and admins change is noted, with who and from where."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from api.http import SERVICES
from api.policy import Policy
from api.routes import ROUTES
from engine.engine import Engine
from engine.errors import OutcomeUnknown
from engine.ids import new_id
from tests.api.keepers import keeper, make_device, make_key, new_organizer
from tests.api.test_every_route import (
    Walk,
    be_told,
    change_and_cancel,
    hold_and_book,
    keep_a_catalogue,
    keep_the_desk,
    look_around,
    make_account,
    make_keys,
    pass_the_gate,
    run_a_team,
    sit_down,
    take_leave,
    wait_in_line,
)
from tests.api.world import Answer, Event, World, check_problem, from_now, new_event

#: What people and strangers do for themselves, and is noted nowhere else than with the thing.
OWN = {
    ("POST", "/v1/events/{event_id}/bookings"),
    ("POST", "/v1/events/{event_id}/holds"),
    ("POST", "/v1/events/{event_id}/waitlist"),
    ("POST", "/v1/holds/{hold_id}/confirm"),
    ("POST", "/v1/holds/{hold_id}/extend"),
    ("DELETE", "/v1/holds/{hold_id}"),
    ("POST", "/v1/offers/{offer_id}/accept"),
    ("POST", "/v1/offers/{offer_id}/decline"),
    ("DELETE", "/v1/waitlist/{entry_id}"),
    ("POST", "/v1/bookings/{booking_id}/cancel"),
    ("POST", "/v1/tickets/{ticket_id}/transfer"),
    ("POST", "/v1/tickets/{ticket_id}/return"),
    ("POST", "/v1/gifts/{gift_id}/accept"),
    ("DELETE", "/v1/gifts/{gift_id}"),
    ("POST", "/v1/auth/register"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/logout"),
    ("POST", "/v1/auth/password/forgot"),
    ("POST", "/v1/auth/password/reset"),
    ("PATCH", "/v1/me"),
    ("PATCH", "/v1/me/preferences"),
    ("POST", "/v1/notifications/seen"),
    ("POST", "/v1/unsubscribe"),
    ("PUT", "/v1/events/{event_id}/reminder"),
    ("DELETE", "/v1/events/{event_id}/reminder"),
    ("POST", "/v1/me/password"),
    ("POST", "/v1/me/email"),
    ("POST", "/v1/me/email/verification"),
    ("POST", "/v1/me/email/verify"),
    ("DELETE", "/v1/me/sessions"),
    ("DELETE", "/v1/me/sessions/{id}"),
    # Of who is more than a buyer, noted all the same: see the ways in of keepers.
    ("POST", "/v1/auth/openid/{provider}/begin"),
    ("POST", "/v1/auth/openid/{provider}/finish"),
    ("POST", "/v1/auth/passkeys/begin"),
    ("POST", "/v1/auth/passkeys/finish"),
    ("POST", "/v1/me/identities/{provider}/begin"),
    ("POST", "/v1/me/identities/{provider}/finish"),
    ("DELETE", "/v1/me/identities/{identity_id}"),
    ("POST", "/v1/me/passkeys/begin"),
    ("POST", "/v1/me/passkeys"),
    ("PATCH", "/v1/me/passkeys/{passkey_id}"),
    ("DELETE", "/v1/me/passkeys/{passkey_id}"),
    ("POST", "/v1/me/push"),
    ("DELETE", "/v1/me/push/{push_id}"),
    ("POST", "/v1/me/push/{push_id}/test"),
}
#: All other routes that change something: each act leaves a row, whoever it is.
CHANGING = {
    (route.method, route.path) for route in ROUTES if route.method not in {"GET", "HEAD"}
} - OWN
WAIT_S = 20


class NotingWalk(Walk):
    """Walks the table, and looks for the row of each act as soon as it is answered."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.without: list[str] = []

    async def go(self, method: str, path: str, *own_ids: str, **request: Any) -> Answer:
        """Call a route; note if it changed something and left no row."""
        name = f"act-{len(self.called)}-{new_id('evt')}"
        request["headers"] = dict(request.get("headers") or {}) | {"X-Request-Id": name}
        answer = await super().go(method, path, *own_ids, **request)
        if (method, path) in CHANGING and not await self._is_noted(name, answer):
            self.without.append(f"{method} {path}")
        return answer

    async def _is_noted(self, name: str, answer: Answer) -> bool:
        """Whether there is a row of this request, or of the scan that it answers with."""
        rows = await self.world.database.fetch("SELECT * FROM acts WHERE request_id = $1", name)
        if rows:
            return any(row["outcome"] == "done" for row in rows)
        body = answer.body or {}
        scans = [body, *(one.get("scanned") or {} for one in body.get("data", ()))]
        scan_ids = [scan["scan_id"] for scan in scans if "scan_id" in scan]
        return bool(scan_ids) and all([await self._has_scan(own_id) for own_id in scan_ids])

    async def _has_scan(self, scan_id: str) -> bool:
        find = "SELECT count(*) FROM acts WHERE after ->> 'scan_id' = $1 AND seq IS NOT NULL"
        for _ in range(WAIT_S * 20):  # The persister may be a moment behind.
            if await self.world.database.fetchval(find, scan_id):
                return True
            await asyncio.sleep(0.05)
        return False


def test_s42_nothing_of_staff_is_their_own() -> None:
    """S42: what is not noted are routes that are there, and none of staff, organizers or admins."""
    policies = {(route.method, route.path): route.policy for route in ROUTES}
    assert policies.keys() >= OWN
    assert {policies[one] for one in OWN} == {Policy.PUBLIC, Policy.USER}


async def test_s42_no_act_without_a_row(world: World) -> None:
    """S42: each route that changes something which is not one's own alone leaves a row."""
    walk = NotingWalk(world)
    await look_around(walk)
    buyer, friend = await make_account(walk), await make_account(walk)
    boss = await world.organizer()
    made = await walk.go("POST", "/v1/events", token=boss, json=new_event(3, 10))
    path = "/v1/events/{event_id}/publish"
    event = (await walk.go("POST", path, made.body["id"], token=boss)).body
    await hold_and_book(walk, event, buyer)
    await wait_in_line(walk, event, buyer, friend)
    await pass_the_gate(walk, event, boss, buyer, friend)
    await sit_down(walk, boss)
    await make_keys(walk, event)
    await be_told(walk, event)
    await keep_the_desk(walk, event, boss, friend)
    await change_and_cancel(walk, event, boss)
    await keep_a_catalogue(walk)
    await run_a_team(walk)
    await take_leave(walk)

    assert [] == walk.without
    assert walk.called >= CHANGING
    assert len(CHANGING) > 25


async def rows_of(world: World, subject: str) -> list[asyncpg.Record]:
    """Return the rows of a subject, in order."""
    rows: list[asyncpg.Record] = await world.database.fetch(
        "SELECT * FROM acts WHERE subject = $1 ORDER BY id", subject
    )
    return rows


async def test_s42_intent_and_outcome(world: World, event: Event, boss: str) -> None:
    """S42: what a script does is noted before and after, with who, from where and what changed."""
    headers = {"X-Request-Id": "the-one"}
    await world.call("POST", f"/v1/events/{event['id']}/close", token=boss, headers=headers)
    intent, done = (await rows_of(world, event["id"]))[-2:]
    assert ("intended", "done") == (intent["outcome"], done["outcome"])
    assert intent["id"] == done["intent_id"]
    for row in (intent, done):
        said = [row[name] for name in ("act", "role", "request_id", "origin", "organizer_id")]
        assert ["event.close", "organizer", "the-one", "127.0.0.0/24"] == said[:4]
        assert event["organizer_id"] == said[4]
        assert "published" == json.loads(row["before"])["status"]
    assert {"status": "closed"} == json.loads(done["after"])


async def test_s42_change_with_before_and_after(world: World, event: Event, boss: str) -> None:
    """S42: a change says of each thing that was changed what it was and what it is."""
    tier = event["tiers"][0]["id"]
    wish = {"name": "Matinee", "tiers": [{"id": tier, "capacity": 120}]}
    path, seen = f"/v1/events/{event['id']}", {"If-Match": "*"}
    done = await world.call("PATCH", path, token=boss, json=wish, headers=seen)
    assert 200 == done.status
    row = (await rows_of(world, event["id"]))[-1]
    assert ("event.change", "done") == (row["act"], row["outcome"])
    assert {"name": event["name"], "capacities": {tier: 100}} == json.loads(row["before"])
    assert {"name": "Matinee", "capacities": {tier: 120}} == json.loads(row["after"])


async def test_s42_refused_and_unknown(
    world: World, event: Event, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S42: what was refused, or is not known to be done, is noted as that; a stranger's is not."""
    path, known = f"/v1/events/{event['id']}", len(await rows_of(world, event["id"]))
    wish = {"tiers": [{"id": event["tiers"][0]["id"], "capacity": 0}]}
    seen = {"If-Match": "*"}
    held = await world.hold(event, None)
    assert 201 == held.status
    refused = await world.call("PATCH", path, token=boss, json=wish, headers=seen)
    check_problem(refused, 409, "capacity_below_taken")
    stranger = await world.organizer()
    check_problem(await world.call("POST", f"{path}/close", token=stranger), 404, "not_found")

    async def lost(*_: object) -> None:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(Engine, "close", lost)
    check_problem(await world.call("POST", f"{path}/close", token=boss), 503, "outcome_unknown")
    rows = (await rows_of(world, event["id"]))[known:]
    assert ["intended", "refused", "intended", "unknown"] == [row["outcome"] for row in rows]
    assert {"why": "CAPACITY_BELOW_TAKEN"} == json.loads(rows[1]["after"])
    assert {"error": "OutcomeUnknown"} == json.loads(rows[3]["after"])


async def test_s42_no_note_no_act(
    world: World, event: Event, boss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S42: where the intent cannot be noted, the script is not asked."""

    async def broken(*_: object, **__: object) -> None:
        raise asyncpg.CannotConnectNowError("starting up")

    before = await world.state()
    with monkeypatch.context() as patch:
        patch.setattr("store.acts.add", broken)
        answer = await world.call("POST", f"/v1/events/{event['id']}/cancel", token=boss)
        made = await world.call("POST", "/v1/events", token=boss, json=new_event())
    check_problem(answer, 503, "database_unavailable")
    check_problem(made, 503, "database_unavailable")
    assert before == await world.state()


async def test_s42_scans(world: World, event: Event, boss: str, user: str) -> None:
    """S42: a scan is noted once, by whom and at which gate, however often it is sent."""
    booked = await world.book(event, user)
    path = f"/v1/bookings/{booked.body['id']}"
    ticket = (await world.call("GET", path, token=user)).body["tickets"][0]
    scan = {"event_id": event["id"], "gate": "North", "scan_id": "scan-of-one"}
    path = f"/v1/tickets/{ticket['code']}/check-in"
    for _ in range(2):
        assert 200 == (await world.call("POST", path, token=boss, json=scan)).status
    late = await world.call("POST", path, token=boss, json=scan | {"scan_id": "scan-of-two"})
    check_problem(late, 409, "already_checked_in")
    rows: list[asyncpg.Record] = []
    async with asyncio.timeout(WAIT_S):
        while len(rows) < 2:
            rows = await rows_of(world, ticket["id"])
            await asyncio.sleep(0.02)
    assert ["ticket.check_in", "ticket.scan_refused"] == [row["act"] for row in rows]
    assert {"gate North"} == {row["origin"] for row in rows}
    who = world.client.app[SERVICES].tokens.check(boss).user_id
    assert {who} == {row["actor"] for row in rows}


async def test_s42_audit_is_read_by_admins(world: World, event: Event, boss: str) -> None:
    """S42: admins read the log by pages, filtered by actor, subject and act; nobody else does."""
    path, admin = "/v1/admin/audit", world.token(role="admin")
    for verb in ("close", "reopen", "close"):
        later = {"sale_closes_at": from_now(days=2)} if verb == "reopen" else None
        done = await world.call("POST", f"/v1/events/{event['id']}/{verb}", token=boss, json=later)
        assert 200 == done.status
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    for token in (boss, world.token(), staff):
        check_problem(await world.call("GET", path, token=token), 403, "forbidden")
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        query = f"?subject={event['id']}&act=event.close&limit=3{cursor}"
        page = (await world.call("GET", path + query, token=admin)).body
        found += page["data"]
        if not page["has_more"]:
            break
        cursor = f"&after={page['next_cursor']}"
    assert ["done", "intended", "done", "intended"] == [row["outcome"] for row in found]
    assert sorted((row["id"] for row in found), reverse=True) == [row["id"] for row in found]
    who = world.client.app[SERVICES].tokens.check(boss).user_id
    own = (await world.call("GET", f"{path}?actor={who}", token=admin)).body["data"]
    assert {who} == {row["actor"] for row in own}
    assert [] == (await world.call("GET", f"{path}?actor=usr_x", token=admin)).body["data"]
    check_problem(await world.call("GET", f"{path}?after=eA", token=admin), 422, "invalid")


def parsed(text: str | None) -> Any:
    """Read what was kept with an act."""
    return None if text is None else json.loads(text)


async def acts_of(world: World, *subjects: str) -> list[tuple[str, str, Any, Any]]:
    """Return what was done to some things, in order: who did what, before and after."""
    rows = await world.database.fetch(
        "SELECT actor, act, before, after FROM acts WHERE subject = ANY ($1) ORDER BY id",
        list(subjects),
    )
    return [(row["actor"], row["act"], *map(parsed, (row["before"], row["after"]))) for row in rows]


async def test_s42_acts_on_a_team(world: World) -> None:
    """S42: who joins, rises and leaves is noted by ids, with what they were; no address is."""
    house = await new_organizer(world)
    owner, boss = await keeper(world, house)
    member, token = await keeper(world, None, "user")
    email = await world.database.fetchval(
        "UPDATE users SET email_verified_at = now() WHERE id = $1 RETURNING email", member
    )
    path = f"/v1/organizers/{house}"
    wish = {"email": email, "role": "gate"}
    invited = await world.call("POST", f"{path}/invitations", token=boss, json=wish)
    own_id = invited.body["id"]
    joined = await world.call("POST", f"/v1/invitations/{own_id}/accept", token=token)
    assert 200 == joined.status, joined.text
    raised = {"role": "manager"}
    await world.call("PUT", f"{path}/members/{member}", token=boss, json=raised)
    await world.call("DELETE", f"{path}/members/{member}", token=boss)
    await world.call("PATCH", path, token=boss, json={"name": "Home"})
    gate = {"organizer_id": house, "role": "gate", "event_ids": None}
    manager = gate | raised
    assert [
        (owner, "team.invite", None, gate),
        (member, "team.accept", None, gate),
        (owner, "team.change", gate, manager),
        (owner, "team.remove", manager, None),
        (owner, "organizer.rename", {"name": "House"}, {"name": "Home"}),
    ] == await acts_of(world, own_id, member, house)
    kept = await world.database.fetchval("SELECT string_agg(acts::text, '') FROM acts")
    assert email not in kept


async def test_s42_acts_of_admins(world: World) -> None:
    """S42: a role that is given, somebody kept out: with what was before; a refusal leaves none."""
    house = await new_organizer(world)
    somebody, _ = await keeper(world, None, "user")
    admin = world.token(role="admin")
    who = world.client.app[SERVICES].tokens.check(admin).user_id
    path = f"/v1/admin/users/{somebody}"
    change = {"role": "organizer", "organizer_id": house}
    assert 200 == (await world.call("PATCH", path, token=admin, json=change)).status
    last = await world.call("PATCH", path, token=admin, json={"role": "user"})
    check_problem(last, 409, "last_owner")
    for verb in ("disable", "enable"):
        assert 200 == (await world.call("POST", f"{path}/{verb}", token=admin)).status
    role, out, back = await acts_of(world, somebody)
    user = {"role": "user", "organizer_id": None}
    assert (who, "account.role", user, change) == role
    assert (who, "account.disable", {"disabled_at": None}, None) == out
    assert (who, "account.enable") == back[:2]
    assert back[2]["disabled_at"]


async def test_s42_acts_of_machines(world: World) -> None:
    """S42: keys and devices are noted when they are made and ended, and so is what they do."""
    house = await new_organizer(world)
    maker, boss = await keeper(world, house)
    event = await world.event(5, token=boss)
    made = await make_key(world, boss, "events:write")
    key_id = made["api_key"]["id"]
    closed = await world.call("POST", f"/v1/events/{event['id']}/close", token=made["key"])
    assert 200 == closed.status, closed.text
    device = (await make_device(world, boss, event["id"]))["device"]["id"]
    for path in (f"/v1/api-keys/{key_id}", f"/v1/devices/{device}"):
        assert 204 == (await world.call("DELETE", path, token=boss)).status
    assert [
        (maker, "api_key.make", "organizer"),
        (key_id, "event.close", "organizer api_key"),
        (key_id, "event.close", "organizer api_key"),
        (maker, "device.make", "organizer"),
        (device, "device.enroll", "staff device"),
        (maker, "api_key.revoke", "organizer"),
        (maker, "device.revoke", "organizer"),
    ] == [
        (row["actor"], row["act"], row["role"])
        for row in await world.database.fetch(
            "SELECT * FROM acts WHERE subject = ANY ($1) OR actor = $2 ORDER BY id",
            [key_id, device],
            key_id,
        )
    ]


@pytest.mark.parametrize("what", ["invite", "role", "key"])
async def test_s42_no_note_no_act_of_tables(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S42: where PostgreSQL alone does it, the act is gone with its note."""
    house = await new_organizer(world)
    somebody, boss = await keeper(world, house)
    admin = world.token(role="admin")
    await world.enter()
    wishes: dict[str, tuple[str, str, str, dict[str, Any]]] = {
        "invite": (
            "POST",
            f"/v1/organizers/{house}/invitations",
            boss,
            {"email": "a@example.org", "role": "gate"},
        ),
        "role": (
            "PATCH",
            f"/v1/admin/users/{somebody}",
            admin,
            {"role": "admin", "organizer_id": house},
        ),
        "key": ("POST", "/v1/api-keys", boss, {"name": "n", "scopes": ["sell"]}),
    }
    method, path, token, wish = wishes[what]

    async def broken(*_: object, **__: object) -> None:
        raise asyncpg.CannotConnectNowError("starting up")

    count = "SELECT count(*) FROM api_keys"
    before, keys = await world.state(), await world.database.fetchval(count)
    with monkeypatch.context() as patch:
        patch.setattr("store.acts.add", broken)
        answer = await world.call(method, path, token=token, json=wish)
    check_problem(answer, 503, "database_unavailable")
    assert (before, keys) == (await world.state(), await world.database.fetchval(count))
    again = await world.call(method, path, token=token, json=wish)
    assert again.status in {200, 201}, again.text
