"""
Every route names the problems that it can give, in the description that clients read.

What they are is derived: from the handler and all functions of `api` and `usecases` that it leads
to, the verbs that these ask the engine for, and the refusals in the headers of those scripts.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from types import FunctionType, ModuleType

import msgspec
import pytest

from api.answers import DENIALS
from api.openapi import describe
from api.policy import OF_STANDING, Policy
from api.problems import REFUSALS
from api.routes import ROUTES, Route
from engine import verbs
from engine.outcomes import REFUSAL_FIELDS
from engine.script_docs import read_header
from engine.status import Status
from tests.api.test_routes import named
from usecases import present
from usecases.denials import Why

Codes = frozenset[tuple[int, str]]

DOCUMENT = msgspec.json.decode(describe(ROUTES))
VERBS = {verb.name for verb in vars(verbs).values() if isinstance(verb, verbs.Verb)}
OF_SCRIPTS = {(row.http_status, row.code) for row in REFUSALS.values()}
AWAY: Codes = frozenset({(503, "database_busy"), (503, "database_unavailable")})
SHUT: Codes = frozenset({(503, "shard_recovering"), (503, "event_recovering")})
#: Of scripts: too many commands may wait, and an answer may be late.
ASKED: Codes = SHUT | {(503, "backpressure"), (503, "outcome_unknown")}
#: Of plain reads.
READ: Codes = SHUT | {(503, "redis_unavailable")}
#: Of all that is counted, and let in while there is room.
EVERYWHERE: Codes = frozenset({(429, "rate_limited"), (503, "backpressure")})
#: These look whether something is on sale, and tell no refusal.
LOOKS: set[object] = {present.as_sold, present.is_loaded}
#: What a script that is asked may say, and the route never: for another verb or another command.
NEVER = {
    # An offer that is over is not taken anew, by the rules of today, as a hold may be.
    "POST /v1/offers/{offer_id}/accept": "limit_reached not_on_sale price_changed promo_exhausted "
    "sale_closed sale_not_open invalid",
    "POST /v1/tickets/{code}/check-in": "not_checked_in",
    # Each scan's problem is in the answer.
    "POST /v1/events/{event_id}/scans": "already_checked_in event_cancelled idempotency_key_reused "
    "not_checked_in ticket_cancelled ticket_superseded wrong_event",
    # Loaded with other content: then that is shown.
    "POST /v1/events/{event_id}/publish": "idempotency_key_reused",
    # A draft that was made just now is there, and Redis is not asked for it.
    "POST /v1/events": "not_found shard_recovering event_recovering outcome_unknown backpressure",
    # With a token that is not good one is anybody.
    "GET /v1/events/{event_id}/stream": "unauthorized",
    # Of what nobody can tell whether it is on sale, lists say nothing.
    "GET /v1/events": "shard_recovering event_recovering outcome_unknown backpressure",
    # The events of one's own bookings are there.
    "GET /v1/bookings": "not_found",
    # What cannot be given back is named in `bookings_open`, or has ended by itself.
    "DELETE /v1/me": "already_checked_in event_cancelled hold_confirmed no_transfers "
    "ticket_cancelled ticket_transferred",
    # Whoever is let in again was not the last.
    "POST /v1/admin/users/{user_id}/enable": "last_admin",
    # What Redis cannot tell, PostgreSQL does; a draft that was made just now is there.
    "GET /v1/organizers/{organizer_id}/events": "shard_recovering event_recovering outcome_unknown "
    "backpressure",
    "POST /v1/organizers/{organizer_id}/events": "event_recovering outcome_unknown backpressure",
    # Of a shard that is shut, the page shows what PostgreSQL has.
    "GET /v1/waitlist": "not_found shard_recovering event_recovering redis_unavailable",
}


def steps(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Return all that a function names, with what stands there: `name`, or `owner.name`."""
    known = function.__globals__
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Name):
            yield node.id, known.get(node.id)
        elif isinstance(node, ast.Attribute):
            owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
            room = known.get(owner) if isinstance(node.value, ast.Name) else None
            is_room = isinstance(room, ModuleType)
            yield f"{owner}.{node.attr}", getattr(room, node.attr, None) if is_room else None
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
            texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
            yield "Problem", tuple(texts[:2])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Denied":
            yield "Denied", getattr(node.args[0], "attr", "")


def reached(handler: FunctionType) -> set[FunctionType]:
    """Return a handler and all functions of the two rooms that it leads to."""
    found: set[FunctionType] = set()
    left: list[object] = [handler]
    while left:
        one = left.pop()
        one = inspect.unwrap(one) if callable(one) else one
        if not isinstance(one, FunctionType) or one in found:
            continue
        if one.__module__.partition(".")[0] in {"api", "usecases"}:
            found.add(one)
            left += [what for _, what in steps(one)]
    return found


@cache
def refusals(verb: str) -> Codes:
    """Return the codes of what the header of a script says that it refuses."""
    found = {Status(status) for status in read_header(verb).replies()} & REFUSAL_FIELDS.keys()
    return frozenset((REFUSALS[status].http_status, REFUSALS[status].code) for status in found)


@cache
def given_by(function: FunctionType) -> Codes:
    """Return the codes that one function may bring about, but for those that it calls."""
    found: set[tuple[int, str]] = set()
    for name, what in steps(function):
        owner, _, last = name.rpartition(".")
        if owner == "engine" and last in VERBS:
            found |= ASKED | (frozenset() if function in LOOKS else refusals(last))
        elif owner == "engine" and last.startswith("read_"):
            found |= READ
        elif owner == "passwords" and last in {"hash", "verify"}:
            found.add((503, "backpressure"))
        elif owner == "provider" and last in {"authorization_url", "word", "profile"}:
            found |= {(503, "backpressure"), (503, "provider_unavailable")}
        elif owner == "attempts":
            found |= AWAY
        elif owner == "Why":
            row = DENIALS[Why[last]]
            found.add((row.http_status, row.code))
        elif name == "Problem" and isinstance(what, tuple) and len(what) == 2:
            found.add(what)
        elif owner in {"catalog", "standings"} or getattr(what, "__module__", "").startswith(
            "store."
        ):
            found |= AWAY
        elif name == "Denied" and what in Status.__members__:
            row = REFUSALS[Status[str(what)]]
            found.add((row.http_status, row.code))
        if name in {"catalog.need", "not_found"}:
            found.add((404, "not_found"))
    return frozenset(found)


def possible(route: Route) -> set[tuple[int, str]]:
    """Return the codes that a route can give."""
    assert isinstance(route.handler, FunctionType)
    found = {code for function in reached(route.handler) for code in given_by(function)}
    if route.policy not in {Policy.PUBLIC, Policy.OPS}:
        found.add((401, "unauthorized"))
    if route.policy in OF_STANDING:
        found |= AWAY | {(403, "forbidden")}
    never = NEVER.get(named(route), "").split()
    assert set(never) <= {code for _, code in found}, "no exception that nothing needs"
    return {(status, code) for status, code in found if code not in never} | EVERYWHERE


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.policy is not Policy.OPS], ids=named
)
def test_every_route_names_its_problems(route: Route) -> None:
    """All that a route can answer stands in its description, and no refusal that it cannot give."""
    responses = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
    told = {
        (int(status), code)
        for status, row in responses.items()
        if int(status) >= 400
        for code in re.findall("`([a-z_]+)`", row["description"])
    }
    can = possible(route)
    assert [] == sorted(can - told)
    assert [] == sorted((told & OF_SCRIPTS) - can)
