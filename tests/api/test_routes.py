"""The table of routes: complete, with a policy each, described, and deaf to strangers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import quickjs
from jsonschema import Draft202012Validator
from msgspec import inspect
from openapi_spec_validator import validate

from api import examples
from api.openapi import describe
from api.policy import Policy
from api.routes import ROUTES, Route
from engine.ids import new_id
from tests.api.world import Event, World, check_problem
from usecases.text import tidy

#: Routes on one booking: whoever adds a parameter `booking_id` is tested here.
#: Of one's own; those of box offices are another's, and in the matrix (`test_matrix.py`).
BOOKING_ROUTES = [route for route in ROUTES if "/bookings/{booking_id}" in route.path]
#: Bodies of requests, each once.
BODIES = list(dict.fromkeys(route.body for route in ROUTES if route.body is not None))
#: Names of fields that say what somebody is, what something costs, or whose it is.
SAYS_WHO = {"role", "status", "organizer_id", "owner_id", "user_id", "price", "total"}
#: Where they stand on purpose: acts of owners and admins that are about just that, an organizer's
#: own prices, whom one gives a ticket to, whom the box office serves. A new one is added here.
MAY_SAY_WHO = {
    ("TeamPlace", "role"),
    ("Invite", "role"),
    ("AccountChange", "role"),
    ("AccountChange", "organizer_id"),
    ("NewOrganizer", "owner_id"),
    ("NewApiKey", "organizer_id"),
    ("EventImport", "organizer_id"),
    ("NewTier", "price"),
    ("TierChange", "price"),
    ("Transfer", "user_id"),
    ("OrderFor", "user_id"),
    ("MoveOrder", "user_id"),
}
#: What browsers make: they may add to it, and what they add is not looked at.
LOOSE = {"NewCredential", "UsedCredential", "Attestation", "Assertion", "PushEndpoint", "PushKeys"}
#: What anybody may call without a token, in full: a new one has to be added here on purpose.
PUBLIC = {
    ("POST", "/v1/auth/register"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/logout"),
    ("POST", "/v1/auth/password/forgot"),
    ("POST", "/v1/auth/password/reset"),
    ("GET", "/v1/auth/openid"),
    ("POST", "/v1/auth/openid/{provider}/begin"),
    ("POST", "/v1/auth/openid/{provider}/finish"),
    ("POST", "/v1/auth/passkeys/begin"),
    ("GET", "/v1/push/key"),
    ("POST", "/v1/auth/passkeys/finish"),
    ("POST", "/v1/devices/enroll"),
    ("GET", "/v1/unsubscribe"),
    ("POST", "/v1/unsubscribe"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/{event_id}"),
    ("GET", "/v1/events/{event_id}/availability"),
    ("GET", "/v1/events/{event_id}/seats"),
    ("GET", "/v1/events/{event_id}/stream"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/ticket-key"),
    ("GET", "/v1/receipt-key"),
    ("GET", "/v1/wallets"),
    ("GET", "/problems"),
    ("GET", "/problems/{code}"),
}


def named(route: Route) -> str:
    """Name a route for the test report."""
    return f"{route.method} {route.path}"


async def test_s9_router_is_the_table(world: World) -> None:
    """S9: every route that is served stands in the table, and the other way round."""
    served = {
        (route.method, route.resource.canonical)
        for route in world.client.app.router.routes()
        if route.resource is not None
    }
    gets = {("HEAD", route.path) for route in ROUTES if route.method == "GET"}
    assert {(route.method, route.path) for route in ROUTES} | gets == served


def test_s9_every_route_has_a_policy() -> None:
    """S9: deny by default: what is open to all is listed above, name by name."""
    assert {Policy} == {type(route.policy) for route in ROUTES}
    open_to_all = {Policy.PUBLIC, Policy.OPS}
    found = {(route.method, route.path) for route in ROUTES if route.policy in open_to_all}
    assert found == PUBLIC


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if (route.method, route.path) not in PUBLIC], ids=named
)
async def test_s9_closed_route_needs_a_token(world: World, route: Route) -> None:
    """S9: every other route answers 401 to whoever brings none, before it looks at anything."""
    path = re.sub(r"\{[a-z_]+\}", "x", route.path)
    check_problem(await world.call(route.method, path), 401, "unauthorized")


@pytest.mark.parametrize("route", BOOKING_ROUTES, ids=named)
async def test_s8_booking_of_another(world: World, event: Event, user: str, route: Route) -> None:
    """S8: user B on every route of A's booking gets 404, as does any role, and nothing changes."""
    own_id = (await world.book(event, user)).body["id"]
    path = route.path.replace("{booking_id}", own_id)
    before = await world.state()
    for token in (
        world.token(),
        world.token(role="staff", organizer_id=new_id("org")),
        world.token(role="organizer", organizer_id=new_id("org")),
        world.token(role="admin"),
    ):
        check_problem(await world.call(route.method, path, token=token), 404, "not_found")
    assert before == await world.state()
    assert 200 == (await world.call(route.method, path, token=user)).status


def test_there_are_booking_routes() -> None:
    """The matrix above is not empty."""
    assert {"GET", "POST"} <= {route.method for route in BOOKING_ROUTES}


async def test_s8_listing_shows_own_bookings_only(world: World, event: Event, user: str) -> None:
    """S8: B's list does not show what A has."""
    assert 201 == (await world.book(event, user)).status
    answer = await world.call("GET", "/v1/bookings", token=world.token())
    assert [] == answer.body["data"]


async def test_openapi_is_valid_and_complete(world: World) -> None:
    """The description is valid OpenAPI 3.1 and tells of every route, its body and its problems."""
    answer = await world.call("GET", "/openapi.json")
    assert 200 == answer.status
    document = answer.body
    validate(document)
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert str(route.status) in operation["responses"]
        assert operation["summary"], named(route)
        assert (route.body is not None) == ("requestBody" in operation)
        for status, code in route.problems:
            assert f"`{code}`" in operation["responses"][str(status)]["description"]
    assert len(ROUTES) == sum(len(methods) for methods in document["paths"].values())
    ids = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))


def structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """Yield a body's types, and those within."""
    match kind:
        case inspect.StructType(fields=fields):
            yield kind
            for field in fields:
                yield from structs(field.type)
        case inspect.ListType(item_type=inner) | inspect.Metadata(type=inner):
            yield from structs(inner)
        case inspect.UnionType(types=types):
            for one in types:
                yield from structs(one)


@pytest.mark.parametrize("body", BODIES, ids=lambda one: one.__name__)
def test_s10_bodies_have_their_own_fields_alone(body: type) -> None:
    """S10: no body takes a field that is not its own; who one is stands in few of them."""
    found = list(structs(inspect.type_info(body)))
    assert found
    loose = {one.cls.__name__ for one in found if not one.forbid_unknown_fields}
    assert loose <= LOOSE
    names = {(one.cls.__name__, field.encode_name) for one in found for field in one.fields}
    assert {(owner, name) for owner, name in names if name in SAYS_WHO} <= MAY_SAY_WHO


def test_openapi_needs_no_server() -> None:
    """The description is made from the table alone."""
    assert describe(ROUTES) == describe(list(ROUTES))


def documents() -> dict[str, Any]:
    """Return the description."""
    return dict(msgspec.json.decode(describe(ROUTES)))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every operation with its name."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def shown(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each kind of content of a body and of answers, with where it stands."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {kind}", content
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield f"{status} {kind}", content


def test_openapi_examples_fit() -> None:
    """Every JSON body and answer has an example, which its schema and our own types take."""
    document = documents()
    rest = {"components": document["components"]}
    whole = document["components"]["examples"]
    wrong, seen = [], 0
    for name, operation in operations(document):
        for where, content in shown(operation):
            if "json" not in where or "$ref" not in content["schema"]:
                continue
            listed = content.get("examples", {"": {"value": content.get("example")}})
            values = [
                whole[code]["value"] if code else one["value"] for code, one in listed.items()
            ]
            judge = Draft202012Validator(
                rest | content["schema"], format_checker=Draft202012Validator.FORMAT_CHECKER
            )
            wrong += [
                f"{name} {where}: {error.message}"
                for value in values
                for error in judge.iter_errors(value)
            ]
            seen += len(values)
    assert [] == wrong
    assert seen > len(ROUTES)
    for body in BODIES:
        tidy(msgspec.convert(examples.of_body(body), body))


def parts_of(value: object) -> Iterator[object]:
    """Yield a document and all that is in it."""
    yield value
    inner: list[object] = []
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, list):
        inner = value
    for one in inner:
        yield from parts_of(one)


def test_openapi_patterns_are_read_by_every_engine() -> None:
    """
    Each pattern of the whole document is read by an engine of JavaScript, and says the same there.

    What that may lack is left alone as well: ends of Python's, named groups, flags, what stands
    behind.
    """
    document = documents()
    found = {
        value["pattern"]
        for value in parts_of(document)
        if isinstance(value, dict) and isinstance(value.get("pattern"), str)
    }
    assert len(found) > 5
    assert [] == [text for text in found if re.search(r"\\[AZzGK]|\(\?(P|[a-z]|<)", text)]
    patterns = sorted(found)
    texts = sorted({value for value in parts_of(document) if isinstance(value, str)} | {"", " "})
    browser = quickjs.Context()
    judge = browser.eval(
        """(texts, patterns) => {
            const all = JSON.parse(texts);
            return JSON.stringify(JSON.parse(patterns).map((one) => {
                const pattern = new RegExp(one, "u");
                return all.map((text) => pattern.test(text));
            }));
        }"""
    )
    told = json.loads(judge(json.dumps(texts), json.dumps(patterns)))
    for pattern, verdicts in zip(patterns, told, strict=True):
        own = [re.search(pattern, text) is not None for text in texts]
        assert own == verdicts, pattern
        assert any(own), pattern


def test_openapi_tells_of_headers() -> None:
    """What an answer's headers say stands in the description, and what a request's may."""
    for name, operation in operations(documents()):
        sent = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        answers = operation["responses"]
        told = {status: set(one["headers"]) for status, one in answers.items()}
        assert all("X-Request-Id" in headers for headers in told.values()), name
        assert all("Retry-After" in told[one] for one in ("429", "503") if one in told), name
        assert "RateLimit" in told.get("429", {"RateLimit"}), name
        assert ("304" in told) == ("If-None-Match" in sent), name
        assert ("412" in told) == ("If-Match" in sent), name
