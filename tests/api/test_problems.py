"""Problems: every refusal has its answer, and every answer has the one form."""

from __future__ import annotations

import msgspec
import pytest

from api.http import SERVICES
from api.problems import REFUSALS, from_validation, refusal
from api.routes import ROUTES
from engine.outcomes import REFUSAL_FIELDS, Refused
from engine.status import Status
from tests.api.world import World, check_problem

#: What stands in a reply for each field of a refusal.
FIELD_VALUES: dict[str, int | str] = {
    "scope": "person",
    "opens_at_ms": 1_800_000_000_000,
    "closes_at_ms": 1_800_000_000_000,
    "line": 2,
}


def test_table_covers_every_refusal() -> None:
    """A status that refuses has a row, and no other has."""
    assert set(REFUSAL_FIELDS) == set(REFUSALS)


@pytest.mark.parametrize("status", REFUSALS)
def test_every_refusal_becomes_a_problem(status: Status) -> None:
    """Each row is a client error or 503, with a code, and carries the figures it came with."""
    row = REFUSALS[status]
    fields = {name: FIELD_VALUES.get(name, 7) for name in REFUSAL_FIELDS[status]}
    problem = refusal(Refused(status, fields))
    assert (row.http_status, row.code) == (problem.status, problem.code)
    assert problem.status in {404, 409, 410, 422, 429, 503}
    can_tell = problem.status == 503 or "retry_after_ms" in fields
    assert can_tell == ("Retry-After" in problem.headers)
    if "line" in fields:
        assert [("/items/1", row.title)] == problem.errors
        assert 1 == problem.members["line"]
    assert not [name for name in problem.members if name.endswith("_at_ms")]


def test_codes_mean_one_status() -> None:
    """A code stands for the same HTTP status wherever it occurs."""
    seen: dict[str, set[int]] = {}
    for status, code in [
        *(problem for route in ROUTES for problem in route.problems),
        *((row.http_status, row.code) for row in REFUSALS.values()),
    ]:
        seen.setdefault(code, set()).add(status)
    assert {} == {code: found for code, found in seen.items() if len(found) > 1}


@pytest.mark.parametrize(
    ("message", "pointer", "detail"),
    [
        ("Object contains unknown field `a`", "/a", "Object contains unknown field a"),
        (
            "Expected `int`, got `str` - at `$.items[3].quantity`",
            "/items/3/quantity",
            "Expected int, got str",
        ),
        (
            "Object missing required field `x` - at `$.tiers[0].price`",
            "/tiers/0/price/x",
            "Object missing required field x",
        ),
        ("Expected `str`, got `int` - at `$`", "", "Expected str, got int"),
        (
            "Object contains unknown field `a/b~c`",
            "/a~1b~0c",
            "Object contains unknown field a/b~c",
        ),
    ],
)
def test_validation_names_the_field(message: str, pointer: str, detail: str) -> None:
    """The decoder's message becomes a JSON pointer (RFC 6901) and a sentence."""
    assert [(pointer, detail)] == from_validation(msgspec.ValidationError(message)).errors


async def test_unknown_path_and_method(world: World) -> None:
    """Refusals of the router have the same form as all others."""
    check_problem(await world.call("GET", "/nope"), 404, "not_found")
    answer = await world.call("DELETE", "/v1/events")
    check_problem(answer, 405, "method_not_allowed")
    assert "GET,POST" == answer.headers["Allow"]


async def test_unforeseen_error_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: a bug is answered as 500 without a word about the inside."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("store.events.published", broken)
    answer = await world.call("GET", "/v1/events")
    check_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Error" not in answer.text


async def test_database_away(world: World, user: str) -> None:
    """While PostgreSQL is away reads are 503 with a time to come back, and bookings are sold."""
    event = await world.event(5)
    assert 201 == (await world.book(event, user)).status
    await world.client.app[SERVICES].pool.close()
    answer = await world.call("GET", "/v1/events")
    check_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert 201 == (await world.book(event, user, key="k-2")).status
    ready = await world.call("GET", "/readyz")
    assert (503, "ok") == (ready.status, ready.body["checks"]["shards"])
    assert "ok" != ready.body["checks"]["database"]
