"""Teams over HTTP: places and what they may, invitations, and the owner who stays."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from engine.ids import new_id
from store import organizers, users
from tests.api.shop import BOOKED, Shop, event_asked, soon
from tests.api.world import Answer, World, check_problem
from usecases.rights import RIGHTS, Act

DOCS = Path(__file__).parents[2] / "docs" / "TEAMS.md"
ROLES: tuple[organizers.TeamRole, ...] = ("owner", "manager", "box_office", "gate")


@pytest.fixture
async def shop(world: World) -> Shop:
    """Open a shop with an event on sale and a draft."""
    return await Shop(world, secrets.token_hex(6)).open()


async def person(world: World, *, is_verified: bool = True) -> tuple[str, str, str]:
    """Make an account; return id, address and token."""
    email = f"{secrets.token_hex(8)}@example.org"
    user_id = await users.add(world.database, email=email, name="P", password_hash="x")
    assert user_id is not None
    if is_verified:
        await world.database.execute(
            "UPDATE users SET email_verified_at = now() WHERE id = $1", user_id
        )
    return user_id, email, world.token(user_id)


async def member(
    shop: Shop, role: organizers.TeamRole, event_ids: list[str] | None = None
) -> tuple[str, str]:
    """Put somebody on the shop's team; return their id, and a token that says nothing of it."""
    user_id, _, token = await person(shop.world)
    async with shop.world.database.acquire() as connection:
        await organizers.set_member(connection, shop.organizer_id, user_id, role, event_ids)
    return user_id, token


async def place(
    shop: Shop, user_id: str, token: str, role: str, event_ids: list[str] | None = None
) -> Answer:
    """Give a member another place."""
    path = f"/v1/organizers/{shop.organizer_id}/members/{user_id}"
    asked = {"role": role} | ({"event_ids": event_ids} if event_ids else {})
    return await shop.world.call("PUT", path, token=token, json=asked)


async def remove(shop: Shop, user_id: str, token: str) -> Answer:
    """Take a member off the team."""
    path = f"/v1/organizers/{shop.organizer_id}/members/{user_id}"
    return await shop.world.call("DELETE", path, token=token)


async def invite(shop: Shop, email: str, role: str = "gate", who: str = "owner") -> Answer:
    """Invite an address."""
    path = f"/v1/organizers/{shop.organizer_id}/invitations"
    asked = {"email": email, "role": role}
    return await shop.world.call("POST", path, token=shop.tokens[who], json=asked)


async def try_act(shop: Shop, act: Act, token: str) -> Answer:
    """Do what an act stands for; each may be repeated."""
    own, event = f"/v1/organizers/{shop.organizer_id}", f"/v1/events/{await shop.get('on sale')}"
    at = {"event_id": await shop.get("on sale"), "scan_id": "scan-0001"}
    email = f"{secrets.token_hex(6)}@example.org"
    requests: dict[Act, tuple[str, str, Any]] = {
        Act.SEE: ("GET", f"/v1/events/{await shop.get('draft')}", None),
        Act.CREATE: ("POST", f"{own}/events", event_asked("N")),
        Act.EDIT: ("PATCH", event, {"description": "Changed"}),
        Act.PUBLISH: ("POST", f"{event}/publish", None),
        Act.CLOSE: ("POST", f"{event}/reopen", {"sale_closes_at": soon()}),
        Act.CANCEL: ("POST", f"{event}/cancel", None),
        Act.DESK: ("POST", f"{event}/seats/block", {"seat_ids": ["s1-1"]}),
        Act.CHECK_IN: ("POST", f"/v1/tickets/{await shop.get('code')}/check-in", at),
        Act.SEE_TEAM: ("GET", f"{own}/members", None),
        Act.LEAD_TEAM: ("POST", f"{own}/invitations", {"email": email, "role": "gate"}),
        Act.WEBHOOKS: ("GET", f"{own}/webhooks", None),
        Act.OWN: ("PATCH", own, {"name": "Newer"}),
    }
    method, path, body = requests[act]
    headers = {"If-Match": "*"}
    return await shop.world.call(method, path, token=token, json=body, headers=headers)


@pytest.mark.parametrize("act", Act)
async def test_s9_each_act_is_for_the_places_that_the_table_says(shop: Shop, act: Act) -> None:
    """S9: every act over HTTP, as each place on the team: the one table of rights decides."""
    people: dict[str, str] = {role: (await member(shop, role))[1] for role in ROLES}
    _, _, stranger = await person(shop.world)
    people["admin"] = shop.world.token(role="admin")
    answers = {who: await try_act(shop, act, token) for who, token in reversed(people.items())}
    may = {who for who, answer in answers.items() if answer.status < 400}
    assert RIGHTS[act] | {"admin"} == may
    assert {answers[who].status for who in answers.keys() - may} <= {403, 404}
    assert (await try_act(shop, act, stranger)).status in {403, 404}


def test_docs_show_the_table_of_rights() -> None:
    """The table in docs/TEAMS.md is the one that use cases ask."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \|(.*)\|$", DOCS.read_text(), re.MULTILINE)
    told = {
        act: {role for role, cell in zip(ROLES, cells.split("|"), strict=True) if cell.strip()}
        for act, cells in rows
    }
    assert {act.value: set(roles) for act, roles in RIGHTS.items()} == told


async def test_s9_demoted_organizer_makes_no_more_events(shop: Shop) -> None:
    """S9: whose place was taken is out at once, whatever their token says."""
    user_id, _ = await member(shop, "manager")
    own = shop.organizer_id
    # Of a version that is not over by this: the row alone decides.
    token = shop.world.token(user_id, role="organizer", organizer_id=own, version=99)
    path = "/v1/events"
    made = await shop.world.call("POST", path, token=token, json=event_asked("One"))
    assert 201 == made.status, made.text
    assert 204 == (await remove(shop, user_id, shop.tokens["owner"])).status
    again = await shop.world.call("POST", path, token=token, json=event_asked("Two"))
    check_problem(again, 403, "forbidden")
    path = f"/v1/events/{made.body['id']}"
    check_problem(await shop.world.call("GET", path, token=token), 404, "not_found")
    check_problem(await shop.world.publish(made.body["id"], token), 403, "forbidden")


async def test_new_member_needs_no_new_token(shop: Shop) -> None:
    """Who joins a team may at once what the place is for, with the token that they have."""
    _, token = await member(shop, "manager")
    made = await shop.world.call("POST", "/v1/events", token=token, json=event_asked("One"))
    assert (201, shop.organizer_id) == (made.status, made.body["organizer_id"])


async def test_who_makes_events_for_several_names_one(shop: Shop) -> None:
    """Nobody's event is made for the wrong organizer: of several one must be named."""
    user_id, token = await member(shop, "manager")
    other = await Shop(shop.world, secrets.token_hex(6)).open()
    async with shop.world.database.acquire() as connection:
        await organizers.set_member(connection, other.organizer_id, user_id, "owner", None)
    asked = event_asked("One")
    answer = await shop.world.call("POST", "/v1/events", token=token, json=asked)
    check_problem(answer, 403, "forbidden")
    path = f"/v1/organizers/{other.organizer_id}/events"
    made = await shop.world.call("POST", path, token=token, json=asked)
    assert (201, other.organizer_id) == (made.status, made.body["organizer_id"])
    listed = (await shop.world.call("GET", path, token=token)).body["data"]
    assert [made.body] == listed
    own = (await shop.world.call("GET", "/v1/organizers", token=token)).body["data"]
    found = {one["id"]: one["role"] for one in own}
    assert {shop.organizer_id: "manager", other.organizer_id: "owner"} == found


async def test_s8_gate_of_one_event_lets_in_there_alone(shop: Shop) -> None:
    """S8: who is at the gate of one event lets nobody in at another of the same organizer."""
    owner, code = shop.tokens["owner"], await shop.get("code")
    other = await shop.world.event(5, token=owner)
    _, token = await member(shop, "gate", [other["id"]])
    path = f"/v1/tickets/{code}/check-in"
    at = {"event_id": await shop.get("on sale")}
    check_problem(await shop.world.call("POST", path, token=token, json=at), 404, "not_found")
    at = {"event_id": other["id"]}
    wrong = await shop.world.call("POST", path, token=token, json=at)
    check_problem(wrong, 409, "wrong_event")
    assert "event_name" not in wrong.body
    buyer = shop.world.token()
    made = await shop.world.book(other, buyer)
    path = f"/v1/bookings/{made.body['id']}"
    code = (await shop.world.call("GET", path, token=buyer)).body["tickets"][0]["code"]
    path = f"/v1/tickets/{code}/check-in"
    assert 200 == (await shop.world.call("POST", path, token=token, json=at)).status


async def test_last_owner_stays(shop: Shop) -> None:
    """The last owner neither leaves nor is made less, by themselves, another, or an admin."""
    owner_id, owner = shop.ids["owner"], shop.tokens["owner"]
    admin = shop.world.token(role="admin")
    for token in (owner, admin):
        check_problem(await remove(shop, owner_id, token), 409, "last_owner")
        check_problem(await place(shop, owner_id, token, "manager"), 409, "last_owner")
    other_id, other = await member(shop, "owner")
    assert 200 == (await place(shop, owner_id, owner, "manager")).status
    check_problem(await remove(shop, other_id, other), 409, "last_owner")
    assert 200 == (await place(shop, owner_id, other, "owner")).status
    assert 204 == (await remove(shop, other_id, other)).status


async def test_managers_give_the_places_below_their_own(shop: Shop) -> None:
    """S9: a manager leads desk and gate, and makes nobody, themselves included, more than that."""
    own_id, manager = await member(shop, "manager")
    peer_id, _ = await member(shop, "manager")
    desk_id, _ = await member(shop, "box_office")
    before = await shop.world.state()
    for user_id, role in (
        (own_id, "owner"),
        (desk_id, "manager"),
        (peer_id, "gate"),
        (shop.ids["owner"], "gate"),
    ):
        check_problem(await place(shop, user_id, manager, role), 403, "forbidden")
    check_problem(await remove(shop, peer_id, manager), 403, "forbidden")
    path = f"/v1/organizers/{shop.organizer_id}/invitations"
    asked = {"email": "a@example.org", "role": "owner"}
    answer = await shop.world.call("POST", path, token=manager, json=asked)
    check_problem(answer, 403, "forbidden")
    assert before == await shop.world.state()
    given = await place(shop, desk_id, manager, "gate")
    assert (200, "gate") == (given.status, given.body["role"])
    assert 204 == (await remove(shop, desk_id, manager)).status
    assert 204 == (await remove(shop, own_id, manager)).status


async def test_place_for_some_events(shop: Shop) -> None:
    """A place is for the organizer's own events alone, and an owner's for all."""
    user_id, token = await member(shop, "box_office")
    owner, event_id = shop.tokens["owner"], await shop.get("on sale")
    for foreign in (new_id("evt"), "x", "evt_\0"):
        answer = await place(shop, user_id, owner, "gate", [event_id, foreign])
        check_problem(answer, 422, "invalid", "/event_ids/1")
    answer = await place(shop, user_id, owner, "owner", [event_id])
    check_problem(answer, 422, "invalid", "/event_ids")
    given = await place(shop, user_id, owner, "box_office", [event_id])
    assert [event_id] == given.body["event_ids"]
    draft = f"/v1/events/{await shop.get('draft')}"
    check_problem(await shop.world.call("GET", draft, token=token), 404, "not_found")
    assert 200 == (await place(shop, user_id, owner, "box_office")).status
    assert 200 == (await shop.world.call("GET", draft, token=token)).status


async def test_invitation(shop: Shop) -> None:
    """An invitation is for the verified address: its holder joins by it, once, and nobody else."""
    user_id, email, token = await person(shop.world)
    _, _, stranger = await person(shop.world)
    made = await invite(shop, email.upper(), "box_office")
    assert 201 == made.status, made.text
    path = f"/v1/invitations/{made.body['id']}"
    for verb in ("accept", "decline"):
        answer = await shop.world.call("POST", f"{path}/{verb}", token=stranger)
        check_problem(answer, 404, "not_found")
    [seen] = (await shop.world.call("GET", "/v1/invitations", token=token)).body["data"]
    assert (made.body["id"], "box_office") == (seen["id"], seen["role"])
    assert f"House {shop.mark}" == seen["organizer_name"]
    joined = await shop.world.call("POST", f"{path}/accept", token=token)
    assert (200, "box_office") == (joined.status, joined.body["role"])
    again = await shop.world.call("POST", f"{path}/accept", token=token)
    check_problem(again, 404, "not_found")
    team = f"/v1/organizers/{shop.organizer_id}/members"
    listed = (await shop.world.call("GET", team, token=shop.tokens["owner"])).body["data"]
    assert (user_id, email) in {(one["user_id"], one["email"]) for one in listed}


async def test_s7_invitation_does_not_tell_who_has_an_account(shop: Shop) -> None:
    """S7: the answer is the same for an address with an account, without, and not proved."""
    _, email, _ = await person(shop.world)
    _, unproved, token = await person(shop.world, is_verified=False)
    answers = [await invite(shop, one) for one in (email, unproved, "nobody@example.org")]
    same = {
        (answer.status, *(answer.body[name] for name in ("role", "organizer_id", "event_ids")))
        for answer in answers
    }
    assert 1 == len(same)
    listed = await shop.world.call("GET", "/v1/invitations", token=token)
    assert [] == listed.body["data"], "whoever registers another's address gets nothing of theirs"
    path = f"/v1/invitations/{answers[1].body['id']}/accept"
    check_problem(await shop.world.call("POST", path, token=token), 404, "not_found")


async def test_invitations_end(shop: Shop) -> None:
    """An invitation that was withdrawn, made anew, or has run out leads nowhere; they are few."""
    _, email, token = await person(shop.world)
    owner, path = shop.tokens["owner"], f"/v1/organizers/{shop.organizer_id}/invitations"
    first = (await invite(shop, email)).body["id"]
    second = (await invite(shop, email, "box_office")).body["id"]
    [listed] = (await shop.world.call("GET", path, token=owner)).body["data"]
    assert (second, "box_office") == (listed["id"], listed["role"])
    assert 204 == (await shop.world.call("DELETE", f"{path}/{second}", token=owner)).status
    third = (await invite(shop, email)).body["id"]
    await shop.world.database.execute(
        "UPDATE team_invitations SET expires_at = now() WHERE id = $1", third
    )
    for own_id in (first, second, third):
        accept = f"/v1/invitations/{own_id}/accept"
        check_problem(await shop.world.call("POST", accept, token=token), 404, "not_found")
    assert [] == (await shop.world.call("GET", path, token=owner)).body["data"]


async def test_teams_are_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither invitations nor members grow without end."""
    _, email, token = await person(shop.world)
    made = await invite(shop, email)
    monkeypatch.setattr("usecases.teams.INVITATIONS_MAX", 1)
    check_problem(await invite(shop, "other@example.org"), 409, "team_full")
    monkeypatch.setattr("usecases.teams.MEMBERS_MAX", 2)
    path = f"/v1/invitations/{made.body['id']}/accept"
    check_problem(await shop.world.call("POST", path, token=token), 409, "team_full")
    monkeypatch.undo()
    assert 200 == (await shop.world.call("POST", path, token=token)).status
    again = await invite(shop, email)
    path = f"/v1/invitations/{again.body['id']}/accept"
    check_problem(await shop.world.call("POST", path, token=token), 409, "already_member")


async def test_hidden_tiers_are_shown_to_the_team(shop: Shop) -> None:
    """Who sees drafts sees hidden tiers; the gate and strangers do not."""
    path = f"/v1/events/{await shop.get('on sale')}"
    count = {}
    for who in ("owner", "gate", "buyer"):
        event = await shop.world.call("GET", path, token=shop.tokens[who])
        left = await shop.world.call("GET", f"{path}/availability", token=shop.tokens[who])
        count[who] = (len(event.body["tiers"]), len(left.body["tiers"]))
    assert {"owner": (4, 4), "gate": (3, 3), "buyer": (3, 3)} == count
    assert BOOKED == 0
