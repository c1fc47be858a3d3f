"""
S8. The matrix: nobody reaches what is another's, by no route and no kind of id.

It is made from the table of routes. Each name in a path, a query or a body is either an id of a
kind that `tests.api.shop` can make, or plain, by the lists below: who adds a route with a new name
says which, or this fails. Then each id of each route is another's, the others being the caller's
own, and each caller who has no business there is refused: nothing is told, and nothing changed.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from msgspec import inspect

from api.policy import OF_STANDING, Policy
from api.routes import ROUTES, Route
from tests.api.shop import MAKERS, Shop, event_asked, soon, subscription
from tests.api.test_routes import named
from tests.api.world import Answer, World
from usecases import asked

#: Ids, by their names in paths, queries and bodies: the kinds of things that they may lead to.
KINDS: dict[str, tuple[str, ...]] = {
    "event_id": ("draft", "on sale"),
    "event_ids": ("draft", "on sale"),
    "tier_id": ("tier_id", "draft tier"),
    "tiers.id": ("tier_id", "draft tier"),
    "booking_id": ("booking_id",),
    "hold_id": ("hold_id",),
    "after_hold": ("hold_id",),
    "entry_id": ("entry_id",),
    "offer_id": ("offer_id",),
    "ticket_id": ("ticket_id",),
    "ticket_ids": ("ticket_id",),
    "code": ("code",),
    "organizer_id": ("organizer_id",),
    "user_id": ("user_id",),
    "owner_id": ("user_id",),
    "invitation_id": ("invitation_id",),
    "session_id": ("session_id",),
    "gift_id": ("gift_id",),
    "key_id": ("key_id",),
    "device_id": ("device_id",),
    "identity_id": ("identity_id",),
    "passkey_id": ("passkey_id",),
    "notification_id": ("notification_id",),
    "webhook_id": ("webhook_id",),
    "message_id": ("message_id",),
    "push_id": ("push_id",),
}
#: Names that lead to nothing of anybody's: what people write, choose among, or made for themselves.
PLAIN = {
    *("name", "description", "category", "venue", "timezone", "email", "password", "currency"),
    *("special_requests", "metadata", "promo_code", "label", "gate", "scan_id"),
    *("waitlist_policy", "transfers", "role", "q", "from", "to", "limit", "after", "since"),
    *("language", "token", "refresh_token", "current_password", "new_password"),
    "seat_ids",  # Seats are numbered within their event.
    "tier",  # Of a new event's section: one of its own tiers, by name.
    "tiers",  # The same, of a new promo code.
    *("scopes", "only", "status", "format", "text"),
    *("slug", "summary", "image", "image_alt", "address", "place", "access_notes", "languages"),
    *("url", "kinds"),  # Of a webhook.
    *("reason", "note"),  # Why the box office does something.
    *("actor", "subject", "act"),  # Of the log of acts, which is an admin's.
    "up_to",  # A place in the list of one's own messages.
    "bookings",  # What becomes of one's own.
    "code of a new promo",
    "code of a device",
    # Of signing in by others: names, words of a flow, and what a device has signed.
    *("provider", "flow", "state", "iss", "error", "code of a provider"),
    *("credential.id", "rawId", "type", "clientDataJSON", "attestationObject", "transports"),
    *("authenticatorData", "signature", "userHandle"),
    *("endpoint", "p256dh", "auth", "key of ours"),  # Of a browser that wants to be told.
}
#: Where a name means another thing than elsewhere.
MEANT = {
    ("GET /problems/{code}", "code"): "name",
    ("DELETE /v1/me/sessions/{id}", "id"): "session_id",
    ("POST /v1/events", "code"): "code of a new promo",
    ("POST /v1/me/push", "key_id"): "key of ours",
    ("POST /v1/devices/enroll", "code"): "code of a device",
    ("POST /v1/auth/openid/{provider}/finish", "code"): "code of a provider",
    ("POST /v1/me/identities/{provider}/finish", "code"): "code of a provider",
    ("POST /v1/organizers/{organizer_id}/events", "code"): "code of a new promo",
    ("PATCH /v1/events/{event_id}", "code"): "code of a new promo",
}
#: Ids of others that may be named, and why.
MAY_BE_ANOTHERS = {
    ("POST /v1/tickets/{ticket_id}/transfer", "user_id"): "whom one gives one's ticket to",
    ("POST /v1/events/{event_id}/orders", "user_id"): "whom one sells to",
    ("POST /v1/events/{event_id}/orders/{booking_id}/move", "user_id"): "who gets the tickets",
    ("POST /v1/events/{event_id}/waitlist", "after_hold"): "the script looks among one's own",
}
#: What must be done before a route can succeed.
FIRST = {
    "GET /v1/events/{event_id}/cancel": ("POST", "/v1/events/{event_id}/cancel"),
    "POST /v1/events/{event_id}/reopen": ("POST", "/v1/events/{event_id}/close"),
}


#: What one does with what another gave: of one's own things it is invalid.
NOT_OF_ONES_OWN = {"POST /v1/tickets/{ticket_id}/return"}


class Slot(NamedTuple):
    """A place of a request where an id stands."""

    #: `path`, `query` or `body`.
    where: str
    name: str


def strings(kind: inspect.Type, name: str = "") -> Iterator[str]:
    """Yield the name of each text that a type of a body has, with its list's where that tells."""
    match kind:
        case inspect.StructType(fields=fields):
            for field in fields:
                is_id = field.encode_name == "id"
                own = f"{name}.{field.encode_name}" if is_id else field.encode_name
                yield from strings(field.type, own)
        case inspect.ListType(item_type=inner) | inspect.Metadata(type=inner):
            yield from strings(inner, name)
        case inspect.UnionType(types=types):
            for one in types:
                yield from strings(one, name)
        case inspect.StrType() | inspect.LiteralType() | inspect.DictType():
            yield name


def names(route: Route) -> Iterator[Slot]:
    """Yield each name of a text in a route's path, query and body."""
    for name in re.findall(r"\{([a-z_]+)\}", route.path):
        yield Slot("path", name)
    for name in route.query:
        yield Slot("query", name)
    if route.body is not None:
        for name in dict.fromkeys(strings(inspect.type_info(route.body))):
            yield Slot("body", name)


def meaning(route: Route, slot: Slot) -> str:
    """Return what a name means at a route."""
    return MEANT.get((named(route), slot.name), slot.name) if slot.where != "query" else slot.name


def slots(route: Route) -> list[Slot]:
    """Return where ids stand in a request for a route."""
    return [slot for slot in names(route) if meaning(route, slot) in KINDS]


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_s8_every_name_is_an_id_of_a_kind_or_plain(route: Route) -> None:
    """S8: no route has an id that the matrix does not know, and no kind lacks a maker."""
    known = KINDS.keys() | PLAIN
    assert [] == [slot for slot in names(route) if meaning(route, slot) not in known]
    assert set() == {kind for kinds in KINDS.values() for kind in kinds} - MAKERS.keys()
    if route.body is not None:
        assert route.body in BODIES, "the matrix needs an example of the body"


Values = dict[Slot, str]


def _value(values: Values, name: str) -> str:
    return values[Slot("body", name)]


def _credential(name: str) -> dict[str, Any]:
    response = dict.fromkeys(("clientDataJSON", "authenticatorData", "userHandle", name), "x")
    return {"id": "x", "rawId": "x", "type": "public-key", "response": response}


#: A body that succeeds, of the ids in it.
BODIES: dict[type, Callable[[Values], Any]] = {
    asked.Order: lambda v: {"items": [{"tier_id": _value(v, "tier_id"), "quantity": 1}]},
    asked.SeatIds: lambda _: {"seat_ids": ["s1-1"]},
    asked.Register: lambda _: {
        "email": f"{secrets.token_hex(8)}@example.org",
        "password": "correct horse",
        "name": "N",
    },
    asked.Login: lambda _: {"email": "a@example.org", "password": "correct horse"},
    asked.Refresh: lambda _: {"refresh_token": "evr_x"},
    asked.Logout: lambda _: {},
    asked.Address: lambda _: {"email": "a@example.org"},
    asked.NewPassword: lambda _: {"token": "x", "password": "correct horse"},
    asked.MeChange: lambda _: {"language": "de"},
    asked.PreferencesChange: lambda _: {"reminders": {"mail": False}},
    asked.SeenMessages: lambda v: {"notification_id": _value(v, "notification_id")},
    asked.PasswordChange: lambda _: {"current_password": "x", "new_password": "correct horse"},
    asked.Erase: lambda _: {"password": "x", "bookings": "keep"},
    asked.NewEmail: lambda _: {"email": "new@example.org", "password": "correct horse"},
    asked.LetterToken: lambda _: {"token": "x"},
    asked.OpenIdReturn: lambda _: {"flow": "x", "state": "x", "code": "x"},
    asked.PasskeySignIn: lambda _: {"flow": "x", "credential": _credential("signature")},
    asked.NewPasskey: lambda _: {
        "flow": "x",
        "name": "n",
        "credential": _credential("attestationObject"),
    },
    asked.PasskeyName: lambda _: {"name": "Other"},
    asked.NewPush: lambda _: subscription("x"),
    asked.NewApiKey: lambda v: {
        "name": "n",
        "scopes": ["sell"],
        "organizer_id": _value(v, "organizer_id"),
    },
    asked.NewDevice: lambda _: {"gate": "a"},
    asked.NewWebhook: lambda _: {"url": "https://hooks.example/", "kinds": ["event.closed"]},
    asked.WebhookChange: lambda _: {"kinds": ["event.closed"]},
    asked.Redelivery: lambda _: {"from": "2026-01-01T00:00:00Z", "to": soon()},
    asked.Enrolment: lambda _: {"code": "AAAAA-AAAAA"},
    asked.NewEvent: lambda _: event_asked("New"),
    asked.Copy: lambda _: {},
    asked.Series: lambda _: {"starts": [soon()]},
    asked.EventImport: lambda v: {
        "organizer_id": _value(v, "organizer_id"),
        "format": "csv",
        "text": f"name,starts_at,price,currency,capacity\nNew,{soon()},1,EUR,5",
    },
    asked.Join: lambda v: {"tier_id": _value(v, "tier_id"), "quantity": 1},
    asked.CancelBooking: lambda v: {"ticket_ids": [_value(v, "ticket_ids")], "version": 1},
    asked.OrderFor: lambda v: {
        "items": [{"tier_id": _value(v, "tier_id"), "quantity": 1}],
        "user_id": _value(v, "user_id"),
        "reason": "by telephone",
    },
    asked.CancelOrder: lambda v: {
        "ticket_ids": [_value(v, "ticket_ids")],
        "version": 1,
        "reason": "by telephone",
    },
    asked.MoveOrder: lambda v: {
        "ticket_ids": [_value(v, "ticket_ids")],
        "user_id": _value(v, "user_id"),
        "reason": "by telephone",
    },
    asked.NewOrderNote: lambda _: {"text": "n"},
    asked.SettledRefund: lambda _: {"state": "done", "version": 1, "note": "n"},
    asked.Scan: lambda v: {"event_id": _value(v, "event_id")},
    asked.PastScans: lambda v: {
        "scans": [
            {
                "code": _value(v, "code"),
                "scan_id": "scan-0001",
                "scanned_at": dt.datetime.now(dt.UTC).isoformat(),
            }
        ]
    },
    asked.Transfer: lambda v: {"user_id": _value(v, "user_id")},
    asked.EventChange: lambda v: {"tiers": [{"id": _value(v, "tiers.id"), "capacity": 60}]},
    asked.Postponement: lambda _: {"starts_at": "2900-01-01T00:00:00Z"},
    asked.Reopening: lambda _: {"sale_closes_at": soon()},
    asked.TeamPlace: lambda v: {"role": "gate", "event_ids": [_value(v, "event_ids")]},
    asked.Invite: lambda v: {
        "email": "new@example.org",
        "role": "gate",
        "event_ids": [_value(v, "event_ids")],
    },
    asked.OrganizerName: lambda _: {"name": "Other"},
    asked.NewOrganizer: lambda v: {"name": "Other", "owner_id": _value(v, "owner_id")},
    asked.AccountChange: lambda v: {"role": "staff", "organizer_id": _value(v, "organizer_id")},
}
#: Bodies whose every id stands for a case of its own, since they exclude each other.
ALSO: dict[type, dict[str, Callable[[Values], Any]]] = {
    asked.CancelOrder: {
        "tier_id": lambda v: {
            "items": [{"tier_id": _value(v, "tier_id"), "quantity": 1}],
            "version": 1,
            "reason": "by telephone",
        }
    },
    asked.CancelBooking: {
        "tier_id": lambda v: {
            "items": [{"tier_id": _value(v, "tier_id"), "quantity": 1}],
            "version": 1,
        }
    },
    asked.Join: {
        "after_hold": lambda v: {
            "tier_id": _value(v, "tier_id"),
            "quantity": 1,
            "after_hold": _value(v, "after_hold"),
        }
    },
}


async def send(
    world: World, route: Route, values: Values, token: str | None, about: str = ""
) -> Answer:
    """Send a request for a route with ids in their places."""
    path = re.sub(r"\{([a-z_]+)\}", lambda m: values.get(Slot("path", m[1]), "x"), route.path)
    asks = [f"{slot.name}={value}" for slot, value in values.items() if slot.where == "query"]
    path += f"?{'&'.join(asks)}" if asks else ""
    body = None
    if route.body is not None:
        make = ALSO.get(route.body, {}).get(about, BODIES[route.body])
        body = make(values)
    return await world.call(
        route.method,
        path,
        token=token,
        key=secrets.token_hex(8) if route.needs_key else None,
        json=body,
        headers={"If-Match": "*"},
    )


async def own_values(shop: Shop, route: Route) -> Values:
    """Return an id of the shop's own for each place of a request that succeeds."""
    found = {}
    for slot in slots(route):
        found[slot] = await shop.get(usual(route, slot))
    return found


def usual(route: Route, slot: Slot) -> str:
    """Return the kind of thing that an id of a good request leads to."""
    kinds = KINDS[meaning(route, slot)]
    return "on sale" if "on sale" in kinds else kinds[0]


def caller_of(route: Route, shop: Shop) -> str:
    """Return the token of who may call a route of the shop's own."""
    if route.policy is Policy.ADMIN:
        return shop.world.token(role="admin")
    is_team = route.policy in OF_STANDING or "organizer_id" in route.path
    return shop.tokens["owner" if is_team else "buyer"]


GUARDED = [route for route in ROUTES if slots(route) and route.policy is not Policy.OPS]


@pytest.mark.parametrize("route", GUARDED, ids=named)
async def test_own_ids_lead_somewhere(world: World, route: Route) -> None:
    """The matrix' requests are good ones: with one's own ids none is not found, nor invalid."""
    shop = await Shop(world, secrets.token_hex(6)).open()
    values, token = await own_values(shop, route), caller_of(route, shop)
    first = FIRST.get(named(route))
    if first is not None:
        await shop.ask(first[0], first[1].format(event_id=await shop.get("on sale")), "owner")
    answer = await send(world, route, values, token)
    if named(route) in NOT_OF_ONES_OWN:
        assert 422 == answer.status
        return
    assert answer.status not in {400, 401, 403, 404, 422}, f"{named(route)}: {answer.text}"


class Case(NamedTuple):
    """A request in which some ids are another's."""

    route: Route
    about: str
    values: Values


def is_public(route: Route, slot: Slot, kind: str) -> bool:
    """Tell whether a thing of a kind is everybody's at a route: what is on sale is."""
    if (named(route), slot.name) in MAY_BE_ANOTHERS:
        return True
    return kind in {"on sale", "tier_id"} and route.policy not in OF_STANDING


async def cases(theirs: Shop, own: Shop) -> list[Case]:
    """Return a request for each id of each route that is another's, and one where all are."""
    found = []
    for route in GUARDED:
        values = await own_values(own, route)
        places = slots(route)
        for slot in places:
            for kind in KINDS[meaning(route, slot)]:
                if not is_public(route, slot, kind):
                    foreign = values | {slot: await theirs.get(kind)}
                    found.append(Case(route, slot.name, foreign))
        if len(places) > 1 and not all(
            is_public(route, place, usual(route, place)) for place in places
        ):
            found.append(Case(route, "all of them", await own_values(theirs, route)))
    return found


def strangers(route: Route, theirs: Shop, own: Shop) -> dict[str, str]:
    """Return who has no business with what is another's at a route."""
    people = {"another's buyer": own.tokens["buyer"], "another owner": own.tokens["owner"]}
    people["another's gate"] = own.tokens["gate"]
    if route.policy is Policy.USER and "organizer_id" not in route.path:
        # A buyer's own things are not the organizer's either.
        people["its own owner"] = theirs.tokens["owner"]
    if route.policy is Policy.ADMIN:
        people["its own owner"] = theirs.tokens["owner"]
    return people


async def test_s8_matrix(world: World) -> None:
    """S8: each caller is refused each id of another's, learns nothing, and changes nothing."""
    theirs = await Shop(world, f"theirs{secrets.token_hex(6)}").open()
    own = await Shop(world, f"own{secrets.token_hex(6)}").open()
    for shop in (theirs, own):
        for kind in MAKERS:
            await shop.get(kind)
    found = await cases(theirs, own)
    wrong, count = [], 0
    before = await world.state()
    for case in found:
        for who, token in strangers(case.route, theirs, own).items():
            if who == "its own owner" and is_its_owners(case):
                continue
            answer = await send(world, case.route, case.values, token, case.about)
            count += 1
            is_refused = 400 <= answer.status < 500 or is_refusal_of_scans(answer)
            if not is_refused or theirs.mark in answer.text:
                wrong.append(f"{named(case.route)} {case.about} {who}: {answer.text[:200]}")
        no_token = await send(world, case.route, case.values, None, case.about)
        if case.route.policy is not Policy.PUBLIC and no_token.status != 401:
            wrong.append(f"{named(case.route)} {case.about} nobody: {no_token.text[:200]}")
    assert [] == wrong
    assert before == await world.state()
    assert count > 2 * len(GUARDED)


def is_its_owners(case: Case) -> bool:
    """Tell whether what a case names is the owner's as well: drafts, and the team's things."""
    own = case.about in {"event_id", "tier_id"}
    return own and case.route.policy is not Policy.ADMIN


def is_refusal_of_scans(answer: Answer) -> bool:
    """Tell whether an upload of scans was refused scan by scan."""
    rows = answer.body.get("data", []) if isinstance(answer.body, dict) else []
    return bool(rows) and all(row.get("problem") for row in rows)


async def test_s8_confined_member_stays_with_their_events(world: World) -> None:
    """S8: who is on a team for one event reaches no other of the organizer's by any route."""
    shop = await Shop(world, secrets.token_hex(6)).open()
    event_id, draft_id = await shop.get("on sale"), await shop.get("draft")
    token = await shop.confined(event_id, "manager")
    routes = [
        route
        for route in GUARDED
        if route.policy in OF_STANDING - {Policy.ADMIN} and "{event_id}" in route.path
    ]
    assert len(routes) > 5
    for route in routes:
        values = await own_values(shop, route) | {Slot("path", "event_id"): draft_id}
        answer = await send(world, route, values, token)
        assert 404 == answer.status, f"{named(route)}: {answer.text}"
    listed = await world.call("GET", f"/v1/organizers/{shop.organizer_id}/events", token=token)
    assert [event_id] == [one["id"] for one in listed.body["data"]]


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method == "GET" and not slots(route)], ids=named
)
async def test_s8_lists_show_nothing_of_others(world: World, route: Route) -> None:
    """S8: what a route without an id tells a stranger has nothing that is another's."""
    theirs = await Shop(world, f"theirs{secrets.token_hex(6)}").open()
    own = await Shop(world, f"own{secrets.token_hex(6)}").open()
    for kind in MAKERS:
        await theirs.get(kind)
    await world.settle()
    for token in own.tokens.values():
        answer = await world.call(route.method, route.path, token=token)
        assert theirs.mark not in answer.text


def test_exceptions_are_needed() -> None:
    """What is excepted is there: a list of exceptions that nothing needs hides things."""
    there = {(named(route), slot.name) for route in ROUTES for slot in names(route)}
    assert set() == (MAY_BE_ANOTHERS.keys() | MEANT.keys()) - there
    assert set() == (FIRST.keys() | NOT_OF_ONES_OWN) - {named(route) for route in ROUTES}
    used = {meaning(route, slot) for route in ROUTES for slot in names(route)}
    assert set() == (KINDS.keys() | PLAIN) - used
