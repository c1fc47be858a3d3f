"""
Every route once, where it succeeds, with Redis's users as `evently up` makes them (F23).

One story walks the whole table: who adds a route adds its step, or the walk is not complete. Each
answer must be the route's own success, so a right that a role lacks, of a script or beside one,
shows as the 503 or 500 that buyers would get.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from api.routes import ROUTES
from engine.emptier import Emptier
from engine.ids import new_id
from engine.shard import Shard
from engine.sweeper import Sweeper
from store import preferences, push
from tests.api.authenticator import Authenticator
from tests.api.ears import listening
from tests.api.keepers import keeper
from tests.api.provider import TwistedProvider
from tests.api.shop import PUSH_KEY, subscription
from tests.api.test_holds import let_pass
from tests.api.test_seats import seated_event
from tests.api.world import Answer, Event, Serve, World, from_now, new_event

PASSWORD = "correct horse"
OPEN_TO_ALL = """
/healthz /readyz /metrics /openapi.json /docs /problems /v1/receipt-key /v1/ticket-key /v1/events
/v1/wallets
"""
BOOK = ("POST", "/v1/events/{event_id}/bookings")
HOLD = ("POST", "/v1/events/{event_id}/holds")
STATUSES = {(route.method, route.path): route.status for route in ROUTES}
#: What of its success each route says in headers.
TOLD = {
    (route.method, route.path): {"ETag": route.has_etag, "Location": route.is_located}
    for route in ROUTES
}


class Walk:
    """Calls routes by their place in the table, and remembers which."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.called: set[tuple[str, str]] = set()

    async def go(self, method: str, path: str, *own_ids: str, **request: Any) -> Answer:
        """Call the route at *path*, its parameters filled in by their order; it must succeed."""
        left = iter(own_ids)
        target = re.sub(r"\{[a-z_]+\}", lambda _: next(left), path)
        answer = await self.world.call(method, target, **request)
        assert STATUSES[method, path] == answer.status, f"{method} {path}: {answer.text}"
        told = {name: name in answer.headers for name in ("ETag", "Location")}
        assert TOLD[method, path] == told, f"{method} {path}"
        self.called.add((method, path))
        return answer


async def test_f23_every_route_with_the_users_of_redis(world: World, serve: Serve) -> None:
    """F23: every route of the table succeeds with the rights that each role has, and no others."""
    walk = Walk(world)
    await look_around(walk)
    buyer, friend = await make_account(walk), await make_account(walk)
    boss = await world.organizer()
    made = await walk.go("POST", "/v1/events", token=boss, json=new_event(3, 10))
    event = (
        await walk.go("POST", "/v1/events/{event_id}/publish", made.body["id"], token=boss)
    ).body
    for path in ("/v1/events/{event_id}", "/v1/events/{event_id}/availability"):
        await walk.go("GET", path, event["id"])
    await walk.go("GET", "/v1/events/{event_id}/stream", event["id"])
    async with listening(world, event["id"], token=buyer) as ear:
        await ear.until("following")
    await hold_and_book(walk, event, buyer)
    await wait_in_line(walk, event, buyer, friend)
    await pass_the_gate(walk, event, boss, buyer, friend)
    await take_in_hand(walk, event, buyer)
    await sit_down(walk, boss)
    await make_keys(walk, event)
    await be_told(walk, event)
    await keep_the_desk(walk, event, boss, friend)
    await change_and_cancel(walk, event, boss)
    await keep_a_catalogue(walk)
    await run_a_team(walk)
    await sign_in_otherwise(walk, serve)
    await be_pushed_to(walk)
    await take_leave(walk)

    assert set(STATUSES) == walk.called


async def look_around(walk: Walk) -> None:
    """Read what anybody may read."""
    for path in OPEN_TO_ALL.split():
        await walk.go("GET", path)
    await walk.go("GET", "/problems/{code}", "sold_out")


async def make_account(walk: Walk) -> str:
    """Register and log in; return the token."""
    person = {"email": f"{new_id('usr')}@example.org", "password": PASSWORD}
    await walk.go("POST", "/v1/auth/register", json=person | {"name": "Ann"})
    session = (await walk.go("POST", "/v1/auth/login", json=person)).body
    sent = {"refresh_token": session["refresh_token"]}
    session = (await walk.go("POST", "/v1/auth/refresh", json=sent)).body
    token: str = session["access_token"]
    await walk.go("PATCH", "/v1/me", token=token, json={"language": "de"})
    await walk.go("DELETE", "/v1/me/sessions", token=token)
    [seen] = (await walk.go("GET", "/v1/me/sessions", token=token)).body["data"]
    assert (session["session_id"], True) == (seen["id"], seen["is_current"])
    await walk.go("DELETE", "/v1/me/sessions/{id}", seen["id"], token=token)
    return await change_secrets(walk, person)


async def change_secrets(walk: Walk, person: dict[str, Any]) -> str:
    """Reset and change the password, change the address, prove it; return the token."""
    world, email = walk.world, person["email"]
    await walk.go("POST", "/v1/auth/password/forgot", json={"email": email})
    letter = {"token": await world.letter(email, "account.reset"), "password": "battery staple"}
    await walk.go("POST", "/v1/auth/password/reset", json=letter)
    login = {"email": email, "password": "battery staple"}
    token: str = (await walk.go("POST", "/v1/auth/login", json=login)).body["access_token"]
    change = {"current_password": "battery staple", "new_password": PASSWORD}
    token = (await walk.go("POST", "/v1/me/password", token=token, json=change)).body[
        "access_token"
    ]
    await walk.go("POST", "/v1/me/email/verification", token=token)
    wish = {"email": f"new-{email}", "password": PASSWORD}
    await walk.go("POST", "/v1/me/email", token=token, json=wish)
    proof = {"token": await world.letter(wish["email"], "account.email")}
    await walk.go("POST", "/v1/me/email/verify", token=token, json=proof)
    await walk.go("POST", "/v1/auth/logout", token=token)
    return str((await walk.go("POST", "/v1/auth/login", json=wish)).body["access_token"])


async def be_pushed_to(walk: Walk) -> None:
    """Subscribe a browser to what one is told, try it and take it off."""
    await push.put_keys(walk.world.database, [PUSH_KEY])
    found = await walk.go("GET", "/v1/push/key")
    token, own_path = await make_account(walk), "/v1/me/push/{push_id}"
    wanted = subscription(found.body["id"])
    made = await walk.go("POST", "/v1/me/push", token=token, json=wanted)
    await walk.go("GET", "/v1/me/push", token=token)
    await walk.go("POST", f"{own_path}/test", made.body["id"], token=token)
    await walk.go("DELETE", own_path, made.body["id"], token=token)


async def sign_in_otherwise(walk: Walk, serve: Serve) -> None:
    """Sign in by a provider and by a passkey; name them, take them away."""
    world, provider, device = walk.world, TwistedProvider(), Authenticator()
    await provider.start()
    own = new_id("usr")
    provider.claims = {"sub": own, "email": f"{own}@example.org", "email_verified": True}
    try:
        async with serve(**provider.options()) as walk.world:
            await walk.go("GET", "/v1/auth/openid")
            token = ""
            for room in ("auth/openid", "me/identities"):
                request = {"token": token} if token else {}
                provider.claims["sub"] = new_id("usr")
                begin = await walk.go("POST", f"/v1/{room}/{{provider}}/begin", "mock", **request)
                back = provider.consent(begin.body["authorization_url"])
                body = {"flow": begin.body["flow"]} | back
                path = f"/v1/{room}/{{provider}}/finish"
                answer = await walk.go("POST", path, "mock", json=body, **request)
                token = token or answer.body["access_token"]
            begin = await walk.go("POST", "/v1/me/passkeys/begin", token=token)
            body = {"flow": begin.body["flow"], "name": "Phone"}
            body |= {"credential": device.create(begin.body["options"])}
            made = await walk.go("POST", "/v1/me/passkeys", token=token, json=body)
            begin = await walk.go("POST", "/v1/auth/passkeys/begin")
            body = {"flow": begin.body["flow"], "credential": device.get(begin.body["options"])}
            await walk.go("POST", "/v1/auth/passkeys/finish", json=body)
            path, own_id = "/v1/me/passkeys/{passkey_id}", made.body["id"]
            await walk.go("PATCH", path, own_id, token=token, json={"name": "Old phone"})
            await walk.go("GET", "/v1/me/passkeys", token=token)
            await walk.go("DELETE", path, own_id, token=token)
            rows = (await walk.go("GET", "/v1/me/identities", token=token)).body["data"]
            path = "/v1/me/identities/{identity_id}"
            await walk.go("DELETE", path, rows[0]["id"], token=token)
    finally:
        walk.world = world
        await provider.stop()


def order(event: Event, tier_no: int, quantity: int) -> dict[str, Any]:
    """Make an order of one line."""
    return {"items": [{"tier_id": event["tiers"][tier_no - 1]["id"], "quantity": quantity}]}


async def hold_and_book(walk: Walk, event: Event, buyer: str) -> None:
    """Hold, look, extend, confirm; hold and let go; book and look."""
    for key, end in (("h1", "confirm"), ("h2", "")):
        made = await walk.go(*HOLD, event["id"], token=buyer, key=key, json=order(event, 2, 1))
        own_id = made.body["id"]
        await walk.go("GET", "/v1/holds/{hold_id}", own_id, token=buyer)
        await walk.go("POST", "/v1/holds/{hold_id}/extend", own_id, token=buyer)
        if end:
            await walk.go("POST", "/v1/holds/{hold_id}/confirm", own_id, token=buyer)
        else:
            await walk.go("DELETE", "/v1/holds/{hold_id}", own_id, token=buyer)
    await walk.go("GET", "/v1/bookings", token=buyer)


async def wait_in_line(walk: Walk, event: Event, buyer: str, friend: str) -> None:
    """Sell the first tier out; wait, leave, decline and accept what a cancellation frees."""
    booked = await walk.go(*BOOK, event["id"], token=buyer, key="b1", json=order(event, 1, 3))
    entries = []
    for token, key in ((friend, "w0"), (friend, "w1"), (walk.world.token(), "w2")):
        wish = {"tier_id": event["tiers"][0]["id"], "quantity": 3}
        made = await walk.go(
            "POST", "/v1/events/{event_id}/waitlist", event["id"], token=token, key=key, json=wish
        )
        entries.append((made.body["id"], token))
        if key == "w0":  # One person waits once at a time.
            await walk.go("DELETE", "/v1/waitlist/{entry_id}", made.body["id"], token=token)
    await walk.go("POST", "/v1/bookings/{booking_id}/cancel", booked.body["id"], token=buyer)
    for (own_id, token), end in zip(entries[1:], ("decline", "accept"), strict=True):
        entry = (await walk.go("GET", "/v1/waitlist/{entry_id}", own_id, token=token)).body
        await walk.go("POST", f"/v1/offers/{{offer_id}}/{end}", entry["offer"]["id"], token=token)
        await walk.go("GET", "/v1/waitlist", token=token)


async def pass_the_gate(walk: Walk, event: Event, boss: str, buyer: str, friend: str) -> None:
    """Book, scan a ticket, take that back, give the ticket away, and give it back."""
    booked = await walk.go(*BOOK, event["id"], token=buyer, key="b2", json=order(event, 2, 2))
    seen = await walk.go("GET", "/v1/bookings/{booking_id}", booked.body["id"], token=buyer)
    ticket = seen.body["tickets"][0]
    code, at = ticket["code"], {"event_id": event["id"]}
    await walk.go("POST", "/v1/tickets/{code}/check-in", code, token=boss, json=at)
    await walk.go("POST", "/v1/tickets/{code}/undo", code, token=boss, json=at)
    past = {"code": code, "scan_id": "scan-0001", "scanned_at": dt.datetime.now(dt.UTC)}
    path, sent = "/v1/events/{event_id}/scans", {"scans": [past]}
    [one] = (await walk.go("POST", path, event["id"], token=boss, json=sent)).body["data"]
    assert "checked_in" == one["scanned"]["status"]
    await walk.go("POST", "/v1/tickets/{code}/undo", code, token=boss, json=at)
    receiver = (await walk.go("GET", "/v1/me", token=friend)).body
    path, to = "/v1/tickets/{ticket_id}/transfer", {"email": receiver["email"]}
    offered = (await walk.go("POST", path, ticket["id"], token=buyer, json=to)).body["gift"]
    await walk.go("DELETE", "/v1/gifts/{gift_id}", offered["id"], token=friend)
    await walk.go("POST", path, ticket["id"], token=buyer, json=to)
    [gift] = (await walk.go("GET", "/v1/gifts", token=friend)).body["data"]
    await walk.go("POST", "/v1/gifts/{gift_id}/accept", gift["id"], token=friend)
    assert 1 == len((await walk.go("GET", "/v1/tickets", token=friend)).body["data"])
    await walk.go("POST", "/v1/tickets/{ticket_id}/return", ticket["id"], token=friend)


async def keep_the_desk(walk: Walk, event: Event, boss: str, friend: str) -> None:
    """Sell for somebody, look at the order, note, move and cancel it, settle what is due."""
    path, own_id = "/v1/events/{event_id}/orders", event["id"]
    receiver = (await walk.go("GET", "/v1/me", token=friend)).body["id"]
    why = {"reason": "by telephone"}
    wish = order(event, 2, 1) | {"user_id": receiver} | why
    sold = (await walk.go("POST", path, own_id, token=boss, key="d1", json=wish)).body["id"]
    await walk.go("GET", path, own_id, token=boss)
    one, at = f"{path}/{{booking_id}}", (own_id, sold)
    await walk.go("GET", one, *at, token=boss)
    await walk.go("POST", f"{one}/notes", *at, token=boss, key="d2", json={"text": "Ring first."})
    to = {"user_id": (await walk.go("GET", "/v1/me", token=await make_account(walk))).body["id"]}
    await walk.go("POST", f"{one}/move", *at, token=boss, json=to | why)
    await walk.go("POST", f"{one}/move", *at, token=boss, json={"user_id": receiver} | why)
    await walk.go("POST", f"{one}/cancel", *at, token=boss, json=why)
    settled = {"state": "done", "version": 2, "note": "In cash."}
    await walk.go("POST", f"{one}/refund", *at, token=boss, json=settled)
    await walk.go("GET", "/v1/events/{event_id}/waitlist", own_id, token=boss)


async def take_in_hand(walk: Walk, event: Event, buyer: str) -> None:
    """Book one place, and read its papers."""
    booked = await walk.go(*BOOK, event["id"], token=buyer, key="b3", json=order(event, 2, 1))
    own_id = booked.body["id"]
    ticket_id = own_id.replace("bk_", "tkt_") + "_1"
    for paper in ("ticket.pdf", "ticket.ics", "qr.svg", "ticket.pkpass", "google-wallet"):
        await walk.go("GET", f"/v1/bookings/{{booking_id}}/{paper}", own_id, token=buyer)
        await walk.go("GET", f"/v1/tickets/{{ticket_id}}/{paper}", ticket_id, token=buyer)


async def make_keys(walk: Walk, event: Event) -> None:
    """Make, list and revoke API keys and devices; read what they are made for."""
    _, keeper_token = await keeper(walk.world, event["organizer_id"])
    wish = {"name": "n", "scopes": ["orders:read"]}
    made = await walk.go("POST", "/v1/api-keys", token=keeper_token, json=wish)
    path = "/v1/events/{event_id}/orders"
    await walk.go("GET", path, event["id"], token=made.body["key"])
    await walk.go("GET", "/v1/api-keys", token=keeper_token)
    own_id = made.body["api_key"]["id"]
    await walk.go("DELETE", "/v1/api-keys/{key_id}", own_id, token=keeper_token)
    path = "/v1/events/{event_id}/devices"
    made = await walk.go("POST", path, event["id"], token=keeper_token, json={"gate": "a"})
    code = {"code": made.body["code"]}
    enrolled = await walk.go("POST", "/v1/devices/enroll", json=code)
    token = enrolled.body["token"]
    await walk.go("GET", "/v1/events/{event_id}/gate-list", event["id"], token=token)
    await walk.go("GET", path, event["id"], token=keeper_token)
    own_id = made.body["device"]["id"]
    await walk.go("DELETE", "/v1/devices/{device_id}", own_id, token=keeper_token)


async def be_told(walk: Walk, event: Event) -> None:
    """Make a webhook, look at it, change it, rotate its secret, tell it again; take it away."""
    house, (_, boss) = event["organizer_id"], await keeper(walk.world, event["organizer_id"])
    path = "/v1/organizers/{organizer_id}/webhooks"
    wish = {"url": "https://hooks.example/evently", "kinds": ["booking.confirmed"]}
    made = await walk.go("POST", path, house, token=boss, json=wish)
    await walk.go("GET", path, house, token=boss)
    own = (house, made.body["webhook"]["id"])
    one = f"{path}/{{webhook_id}}"
    await walk.go("GET", one, *own, token=boss)
    await walk.go("PATCH", one, *own, token=boss, json={"kinds": ["event.closed"]})
    await walk.go("POST", f"{one}/rotate", *own, token=boss)
    sent = await walk.go("POST", f"{one}/ping", *own, token=boss)
    await walk.go("GET", f"{one}/deliveries", *own, token=boss)
    again = f"{one}/deliveries/{{message_id}}/redeliver"
    await walk.go("POST", again, *own, sent.body["id"], token=boss)
    span = {"from": from_now(days=-1), "to": from_now(days=1)}
    await walk.go("POST", f"{one}/redeliver", *own, token=boss, json=span)
    await walk.go("DELETE", one, *own, token=boss)


async def sit_down(walk: Walk, boss: str) -> None:
    """Publish a hall, read its map, block and unblock, book a seat by its number and the best."""
    made = await walk.go("POST", "/v1/events", token=boss, json=seated_event())
    own_id = made.body["id"]
    await walk.go("POST", "/v1/events/{event_id}/publish", own_id, token=boss)
    await walk.go("GET", "/v1/events/{event_id}/seats", own_id)
    for verb in ("block", "unblock"):
        path, seats = f"/v1/events/{{event_id}}/seats/{verb}", {"seat_ids": ["s1-1"]}
        await walk.go("POST", path, own_id, token=boss, json=seats)
    tier_id = made.body["tiers"][0]["id"]
    items = [{"seat_ids": ["s1-1"]}, {"tier_id": tier_id, "quantity": 2}]
    for number, item in enumerate(items):
        await walk.go(*BOOK, own_id, token=boss, key=f"s{number}", json={"items": [item]})


async def change_and_cancel(walk: Walk, event: Event, boss: str) -> None:
    """Change capacities, postpone, close, reopen, call the event off."""
    own_id = event["id"]
    etag = (await walk.go("GET", "/v1/events/{event_id}", own_id, token=boss)).headers["ETag"]
    change = {"tiers": [{"id": event["tiers"][1]["id"], "capacity": 20}]}
    path, seen = "/v1/events/{event_id}", {"If-Match": etag}
    await walk.go("PATCH", path, own_id, token=boss, json=change, headers=seen)
    later = {"starts_at": from_now(days=90)}
    await walk.go("POST", "/v1/events/{event_id}/postpone", own_id, token=boss, json=later)
    await walk.go("POST", "/v1/events/{event_id}/close", own_id, token=boss)
    later = {"sale_closes_at": from_now(days=2)}
    await walk.go("POST", "/v1/events/{event_id}/reopen", own_id, token=boss, json=later)
    cancelled = await walk.go("POST", "/v1/events/{event_id}/cancel", own_id, token=boss)
    assert 0 == cancelled.body["places_left"]
    await walk.go("GET", "/v1/events/{event_id}/cancel", own_id, token=boss)


async def keep_a_catalogue(walk: Walk) -> None:
    """Import, list, copy, repeat, export and delete drafts."""
    boss = await walk.world.organizer()
    rows = f"name,starts_at,price,currency,capacity\nShow,{from_now(days=9)},0,EUR,5"
    sent = {"format": "csv", "text": rows}
    await walk.go("POST", "/v1/events/import", token=boss, json=sent)
    house = (await walk.go("GET", "/v1/organizers", token=boss)).body["data"][0]["id"]
    path = "/v1/organizers/{organizer_id}/events"
    [draft] = (await walk.go("GET", path, house, token=boss)).body["data"]
    later = {"starts": [from_now(days=10)]}
    await walk.go("POST", "/v1/events/{event_id}/series", draft["id"], token=boss, json=later)
    copy = await walk.go("POST", "/v1/events/{event_id}/duplicate", draft["id"], token=boss)
    await walk.go("GET", "/v1/events/export", token=boss)
    await walk.go("DELETE", "/v1/events/{event_id}", copy.body["id"], token=boss)


async def run_a_team(walk: Walk) -> None:
    """Make an organizer and its owner, invite, accept, decline, change, remove, keep out."""
    admin = walk.world.token(role="admin")
    own_id, member_id = [
        (await walk.go("GET", "/v1/me", token=await make_account(walk))).body["id"]
        for _ in range(2)
    ]
    await walk.world.database.execute(
        "UPDATE users SET email_verified_at = now() WHERE id = ANY ($1)", [own_id, member_id]
    )
    owner, member = (walk.world.token(one, version=99) for one in (own_id, member_id))
    new = {"name": "New House", "owner_id": own_id}
    made = await walk.go("POST", "/v1/admin/organizers", token=admin, json=new)
    await walk.go("GET", "/v1/admin/organizers", token=admin)
    house = made.body["id"]
    path = "/v1/organizers/{organizer_id}"
    await walk.go("GET", path, house, token=owner)
    await walk.go("PATCH", path, house, token=owner, json={"name": "Newer House"})
    await walk.go("POST", f"{path}/events", house, token=owner, json=new_event(3))
    await walk.go("GET", f"{path}/events", house, token=owner)
    address = (await walk.go("GET", "/v1/me", token=member)).body["email"]
    ends = ("withdraw", "decline", "accept")
    for end in ends:
        wish = {"email": address, "role": "box_office"}
        invited = await walk.go("POST", f"{path}/invitations", house, token=owner, json=wish)
        await walk.go("GET", f"{path}/invitations", house, token=owner)
        await walk.go("GET", "/v1/invitations", token=member)
        if end == "withdraw":
            one = f"{path}/invitations/{{invitation_id}}"
            await walk.go("DELETE", one, house, invited.body["id"], token=owner)
        else:
            one = f"/v1/invitations/{{invitation_id}}/{end}"
            await walk.go("POST", one, invited.body["id"], token=member)
    await walk.go("GET", "/v1/organizers", token=member)
    await walk.go("GET", f"{path}/members", house, token=owner)
    one = f"{path}/members/{{user_id}}"
    await walk.go("PUT", one, house, member_id, token=owner, json={"role": "manager"})
    await walk.go("DELETE", one, house, member_id, token=owner)
    await walk.go("GET", "/v1/admin/users", token=admin)
    one = "/v1/admin/users/{user_id}"
    await walk.go("GET", one, member_id, token=admin)
    change = {"role": "staff", "organizer_id": house}
    await walk.go("PATCH", one, member_id, token=admin, json=change)
    await walk.go("POST", f"{one}/disable", member_id, token=admin)
    await walk.go("POST", f"{one}/enable", member_id, token=admin)


async def take_leave(walk: Walk) -> None:
    """Read what is known of oneself, be forgotten; and see as an admin what was done."""
    token = await make_account(walk)
    await walk.go("GET", "/v1/notifications", token=token)
    me = (await walk.go("GET", "/v1/me", token=token)).body["id"]
    await walk.go("GET", "/v1/me/preferences", token=token)
    soon = await walk.world.event(1, sale_opens_at=from_now(days=2))
    for method in ("PUT", "DELETE"):
        await walk.go(method, "/v1/events/{event_id}/reminder", soon["id"], token=token)
    await walk.go("PATCH", "/v1/me/preferences", token=token, json={"sales": {"mail": False}})
    key = await preferences.secret(walk.world.database)
    for method in ("GET", "POST"):
        path = "/v1/unsubscribe"
        query = f"{path}?token={preferences.token_of(key, me, 'sales')}"
        assert 200 == (await walk.world.call(method, query)).status
        walk.called.add((method, path))
    await walk.go("POST", "/v1/notifications/seen", token=token, json={"up_to": "1"})
    await walk.go("GET", "/v1/me/export", token=token)
    await walk.go("DELETE", "/v1/me", token=token, json={"password": PASSWORD})
    await walk.go("GET", "/v1/admin/audit", token=walk.world.token(role="admin"))


async def test_f23_sweeper_with_its_user_of_redis(
    world: World, event: Event, swept: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F23: the sweeper ends overdue holds and empties cancelled events as its own user."""
    buyer, boss = world.token(), world.token(role="admin")
    path = f"/v1/events/{event['id']}"
    held = await world.hold(event, buyer)
    await let_pass(world, event["id"], held.body["id"])
    assert 1 <= await Sweeper(swept).sweep()  # Those of earlier tests may have run out as well.
    assert 201 == (await world.book(event, buyer)).status
    monkeypatch.setattr("engine.emptier.STEPS_MAX", 0)  # The answer does not wait for it.
    left = (await world.call("POST", f"{path}/cancel", token=boss)).body["places_left"]
    monkeypatch.undo()
    assert 1 == left
    assert 1 <= await Emptier(swept).turn()
    progress = await world.call("GET", f"{path}/cancel", token=boss)
    assert ("cancelled", 0) == (progress.body["status"], progress.body["places_left"])
