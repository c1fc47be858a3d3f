"""
Schemathesis against the served application, with ids that exist: what both sizes share.

The description is filled before it is loaded: a path's parameters and the ids in bodies are those
of things that were made before, so that valid calls reach what they are about, and all that is
drawn from the rest of the description is the one that is published.
"""

from __future__ import annotations

import asyncio
import copy
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import ChecksConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

from api.routes import ROUTES
from tests.api.world import World

TIMEOUT_S = 20
PASSWORD = "correct horse"
Operation = tuple[str, str]
BOOK: Operation = ("POST", "/v1/events/{event_id}/bookings")

#: Checks that judge a chain of calls, which single calls are not: each with who proves the same.
UNFIT_CHECKS = {
    "use_after_free": "needs a chain; what ends stays ended: test_holds, test_sessions",
    "ensure_resource_availability": "needs a chain; Location is followed: test_every_route",
    "object_level_authorization": "needs a chain of two people; tenants: test_matrix",
}
#: Never called: they end the accounts that the calls are made with, or never end themselves.
UNFIT_ROUTES: dict[Operation, str] = {
    ("DELETE", "/v1/me"): "ends the account",
    ("DELETE", "/v1/me/sessions"): "ends all sessions of the account",
    ("DELETE", "/v1/me/sessions/{id}"): "ends a session of the account",
    ("POST", "/v1/auth/logout"): "ends a session of the account",
    ("GET", "/v1/events/{event_id}/stream"): "does not end: test_live",
}
#: Also paths of a route with a parameter, whose methods are answered and told by `Allow` as well.
OVERLAPPED = {
    row.path
    for row in ROUTES
    if any(
        re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", other.path), row.path)
        for other in ROUTES
        if other.path != row.path
    )
}
#: What judges methods, and does not fit there.
METHOD_CHECKS = ("allow_header_conformance", "unsupported_method")
#: Statuses that a valid request may meet for what it is about: a description cannot say which
#: seats are taken. Not 400, 405, 408, 413 or 415, which say that it was not understood.
MET = ["2xx", "304", "401", "403", "404", "409", "410", "412", "422", "428", "429", "503"]

#: Of an invalid one: schemathesis's own, and what is said before the rest is looked at.
REFUSED = [
    "400",
    "401",
    "403",
    "404",
    "405",
    "406",
    "408",
    "409",
    "410",
    "412",
    "413",
    "415",
    "422",
    "428",
    "429",
    "503",
]


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What was made before: who calls, and the ids that are known."""

    #: Tokens by role; an anonymous one has none.
    tokens: Mapping[str, str | None]
    #: Values of path parameters, by name; of one path alone by method and path.
    ids: Mapping[str, Sequence[str]]
    ids_of: Mapping[Operation, Sequence[str]]
    tier_ids: Sequence[str]


@dataclass
class Found:
    """What was seen: answers by operation and status, and what was wrong, once for each kind."""

    statuses: Counter[tuple[Operation, int]] = field(default_factory=Counter)
    failures: dict[tuple[Operation, str], str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Say it in one line."""
        routes = len({operation for operation, _ in self.statuses})
        calls = self.statuses.total()
        return f"FUZZ routes={routes} calls={calls} failures={len(self.failures)}"

    def line(self, operation: Operation) -> str:
        """Say of an operation what it has answered, and what was wrong."""
        own = sorted((status, n) for (one, status), n in self.statuses.items() if one == operation)
        wrong = [text for (one, _), text in self.failures.items() if one == operation]
        answers = " ".join(f"{status}x{number}" for status, number in own)
        return "\n".join([f"{' '.join(operation)}: {answers}", *wrong])

    def seen(self, operation: Operation) -> set[int]:
        """Return the statuses that an operation has answered with."""
        return {status for own, status in self.statuses if own == operation}


async def make_grounds(world: World) -> Grounds:
    """Make an event that is sold, one that may be ended, and one of each thing that has an id."""
    boss, admin = await world.organizer(), world.token(role="admin")
    user = await _account(world)
    event = await world.event(100_000, 2, token=boss)
    spare = await world.draft(boss, 5)
    booked = await world.book(event, user, (1, 2), (2, 2), key="fuzz-1")
    held = await world.hold(event, user, (1, 1), key="fuzz-2")
    assert (201, 201) == (booked.status, held.status), booked.text + held.text
    wish = {"tier_id": event["tiers"][1]["id"], "quantity": 1}
    path = f"/v1/events/{event['id']}/waitlist"
    waits = await world.call("POST", path, token=user, key="fuzz-3", json=wish)
    assert 201 == waits.status, waits.text
    path = f"/v1/bookings/{booked.body['id']}"
    ticket = (await world.call("GET", path, token=user)).body["tickets"][0]
    bystander = (await world.call("GET", "/v1/me", token=await _account(world))).body["id"]
    ids = {
        "event_id": [event["id"]],
        "booking_id": [booked.body["id"]],
        "hold_id": [held.body["id"]],
        "entry_id": [waits.body["id"]],
        "ticket_id": [ticket["id"]],
        "organizer_id": [event["organizer_id"]],
        "user_id": [bystander],
        "provider": ["mock"],
    }
    ids_of = {own: [spare["id"]] for own in _ENDING}
    ids_of |= {("POST", f"/v1/tickets/{{code}}/{verb}"): [ticket["code"]] for verb in _AT_GATE}
    ids_of["GET", "/problems/{code}"] = ["sold_out"]
    return Grounds(
        tokens={"anonymous": None, "user": user, "organizer": boss, "admin": admin},
        ids=ids,
        ids_of=ids_of,
        tier_ids=[tier["id"] for tier in event["tiers"]],
    )


#: What would end the event that the other calls are about.
_ENDING: tuple[Operation, ...] = (
    ("DELETE", "/v1/events/{event_id}"),
    ("PATCH", "/v1/events/{event_id}"),
    ("POST", "/v1/events/{event_id}/close"),
    ("POST", "/v1/events/{event_id}/cancel"),
    ("POST", "/v1/events/{event_id}/publish"),
)
_AT_GATE = ("check-in", "undo")


async def _account(world: World) -> str:
    """Register; return the token."""
    number = await world.database.fetchval("SELECT count(*) FROM users")
    person = {"email": f"fuzz-{number}@example.org", "password": PASSWORD, "name": "Ann"}
    made = await world.call("POST", "/v1/auth/register", json=person)
    assert 201 == made.status, made.text
    return str(made.body["access_token"])


def filled(description: Mapping[str, Any], grounds: Grounds) -> dict[str, Any]:
    """Return the description with the ids that exist where an id stands."""
    whole = copy.deepcopy(dict(description))
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                if parameter["in"] != "path":
                    continue
                known = grounds.ids_of.get((method.upper(), path), ())
                known = known or grounds.ids.get(parameter["name"], ())
                if known:
                    parameter["schema"] = {"type": "string", "enum": list(known)}
    schemas = whole["components"]["schemas"]
    for name in ("OrderItem", "Join"):
        schemas[name]["properties"]["tier_id"] = {"type": "string", "enum": list(grounds.tier_ids)}
    # A line without a tier has seats, and these events have none.
    item = schemas["OrderItem"]
    item["required"] = ["tier_id", "quantity"]
    item["properties"]["quantity"] = {"type": "integer", "minimum": 1, "maximum": 10}
    for name in ("seat_ids", "best_available", "split", "accessible"):
        del item["properties"][name]
    # No event has codes.
    del schemas["Order"]["properties"]["promo_code"]
    _show_orders(whole["paths"][BOOK[1]]["post"], grounds)
    return whole


def _show_orders(operation: dict[str, Any], grounds: Grounds) -> None:
    """Have an order of each tier among the examples, each with a key of its own: 201 and 409."""
    content = operation["requestBody"]["content"]["application/json"]
    del content["example"]
    content["examples"] = {
        own: {"value": {"items": [{"tier_id": own, "quantity": 1}]}} for own in grounds.tier_ids
    }
    [key] = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
    del key["example"]
    key["examples"] = {own: {"value": f"example-{own}"} for own in grounds.tier_ids}


async def fuzz(
    world: World, grounds: Grounds, *, only: Sequence[Operation] = (), examples: int, large: bool
) -> Found:
    """
    Call routes as each role, with valid and invalid requests, and judge every answer.

    Args:
        only: The routes; all that are fit if there are none.

        examples: How many requests are drawn for each route; each is sent as each role.

        large: Also the borders of each value that the description names, and at random; else the
            same requests every time.
    """
    described = await world.call("GET", "/openapi.json")
    run = _Run(
        base_url=str(world.client.make_url("/")).rstrip("/"),
        description=filled(described.body, grounds),
        tokens=grounds.tokens,
        examples=examples,
        is_large=large,
    )
    # In a thread: the application is served by this one.
    return await asyncio.to_thread(run.all, set(only))


@dataclass(frozen=True, kw_only=True)
class _Run:
    base_url: str
    description: dict[str, Any]
    tokens: Mapping[str, str | None]
    examples: int
    is_large: bool
    found: Found = field(default_factory=Found)

    def all(self, only: set[Operation]) -> Found:
        """Call each route as each role."""
        load_all_checks()
        schema = schemathesis.openapi.from_dict(self.description)
        # The tokens are ours, and are sent with each request: none is invalid for want of one.
        schema.config.generation.update(with_security_parameters=False)
        schema.config.checks = ChecksConfig.from_dict(
            {
                "positive_data_acceptance": {"expected-statuses": MET},
                "negative_data_rejection": {"expected-statuses": REFUSED},
            }
        )
        with requests.Session() as session:
            for result in schema.get_all_operations():
                operation = result.ok()  # type: ignore[union-attr]
                own = (operation.method.upper(), operation.path)
                if own in UNFIT_ROUTES or (only and own not in only):
                    continue
                self._one(operation, own, session)
                if self.is_large:  # It lasts.
                    print(self.found.line(own), file=sys.stderr, flush=True)  # noqa: T201
        return self.found

    def _one(self, operation: Any, own: Operation, session: requests.Session) -> None:
        """Call one route: each request as each role, since to make one takes longer."""

        def call(case: schemathesis.Case[Any]) -> None:
            for role, token in self.tokens.items():
                self._judge(case, own, role, token, session)

        modes = [HypothesisTestMode.EXAMPLES, HypothesisTestMode.FUZZING]
        if self.is_large:
            modes.append(HypothesisTestMode.COVERAGE)
        settings = hypothesis.settings(
            max_examples=self.examples,
            derandomize=not self.is_large,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        test = create_test(
            operation=operation,
            test_func=hypothesis.settings(settings)(call),
            config=HypothesisTestConfig(project=operation.schema.config, modes=modes),
        )
        test()

    def _judge(
        self,
        case: schemathesis.Case[Any],
        own: Operation,
        role: str,
        token: str | None,
        session: requests.Session,
    ) -> None:
        """Send one request as one role and note what is wrong with the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = case.call(
            self.base_url, session, headers, timeout=TIMEOUT_S, allow_redirects=False
        )
        self.found.statuses[own, response.status_code] += 1
        unfit: list[Any] = [CHECKS.get_one(name) for name in UNFIT_CHECKS]
        if own[1] in OVERLAPPED:
            unfit += [CHECKS.get_one(name) for name in METHOD_CHECKS]
        sent = {"base_url": self.base_url, "session": session, "headers": dict(headers)}
        try:
            case.validate_response(
                response, excluded_checks=unfit, headers=headers, transport_kwargs=sent
            )
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{type(failure).__name__} {response.status_code}"
                self.found.failures.setdefault((own, kind), f"{role}: {group}")
