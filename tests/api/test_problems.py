"""Problems: every refusal has its answer, and every answer has the one form."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from html import escape

import msgspec
import pytest

from api.codes import CODES
from api.http import SERVICES
from api.openapi import OF_KEPT
from api.problems import REFUSALS, TYPE_PREFIX, from_validation, refusal
from api.routes import ROUTES
from engine.outcomes import REFUSAL_FIELDS, Refused
from engine.status import Status
from tests.api.world import World, check_problem
from tests.test_tidy import ROOT
from usecases.services import Pools

#: What stands in a reply for each field of a refusal.
FIELD_VALUES: dict[str, int | str] = {
    "scope": "person",
    "opens_at_ms": 1_800_000_000_000,
    "closes_at_ms": 1_800_000_000_000,
    "line": 2,
}


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


def raised() -> set[tuple[object, object]]:
    """Return status and code of every problem that the code of `api` and `web` spells out."""
    found = set[tuple[object, object]]()
    for path in (path for face in ("api", "web") for path in (ROOT / face).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
            if node.func.id == "Problem" and len(texts) > 1:
                found.add((texts[0], texts[1]))
            elif node.func.id == "unavailable" and texts:
                found.add((503, texts[0]))
            elif node.func.id == "warned":
                found.add((503, texts[-1]))
    return found


def test_every_code_is_in_the_table() -> None:
    """What is raised or described has its row, with the HTTP status that it has everywhere."""
    used: set[tuple[object, object]] = raised() | {
        problem for route in ROUTES for problem in route.problems
    }
    used |= set(OF_KEPT)
    used.add((400, "http_error"))  # The one whose status varies, as aiohttp's refusals do.
    assert [] == sorted(used - {(row.http_status, row.code) for row in CODES.values()})
    assert CODES.keys() == {code for _, code in used} | {row.code for row in REFUSALS.values()}


async def test_every_code_has_its_page(world: World) -> None:
    """`type` leads to a page, and to JSON for who asks for that."""
    for code, row in CODES.items():
        html = await world.call("GET", TYPE_PREFIX + code, headers={"Accept": "text/html,*/*"})
        json = await world.call("GET", TYPE_PREFIX + code, headers={"Accept": "application/json"})
        assert (200, "text/html; charset=utf-8") == (html.status, html.headers["Content-Type"])
        assert msgspec.to_builtins(row) == json.body
        assert f"<h1>{escape(row.title)}</h1>" in html.text
        assert row.meaning[0].isupper()
        assert row.meaning[-1] == row.next_step[-1] == "."


async def test_index_of_codes(world: World) -> None:
    """All codes stand on one page, each with its link."""
    page = await world.call("GET", "/problems")
    assert list(CODES) == re.findall(f'href="{TYPE_PREFIX}([a-z_]+)"', page.text)
    listed = await world.call("GET", "/problems", headers={"Accept": "application/json"})
    assert list(CODES) == [row["code"] for row in listed.body["data"]]


async def test_pages_are_closed(world: World) -> None:
    """A page runs no script and loads nothing; its own style is the one that its policy names."""
    for path in ("/problems", "/problems/sold_out"):
        page = await world.call("GET", path)
        policy = page.headers["Content-Security-Policy"]
        [style] = re.findall("<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'" in policy
        assert not re.search(r"<script|<img|<link|\bsrc=|\bstyle=|https?:|//", page.text)
        assert "nosniff" == page.headers["X-Content-Type-Options"]


async def test_unknown_code_has_no_page(world: World) -> None:
    """What is no code is not found, and is not told back."""
    answer = await world.call("GET", "/problems/%3Cscript%3E", headers={"Accept": "text/html"})
    check_problem(answer, 404, "not_found")


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
    assert "GET, HEAD, OPTIONS, POST" == answer.headers["Allow"]


async def test_s28_unforeseen_error_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: a bug is answered as 500 without a word about the inside."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("store.search.find", broken)
    answer = await world.call("GET", "/v1/events")
    check_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Error" not in answer.text


async def test_database_away(world: World, user: str) -> None:
    """While PostgreSQL is away reads are 503 with a time to come back, and bookings are sold."""
    event = await world.event(5)
    assert 201 == (await world.book(event, user)).status
    pools = world.client.app[SERVICES].pools
    for name in Pools.__slots__:
        await getattr(pools, name).close()
    answer = await world.call("GET", "/v1/events")
    check_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert 201 == (await world.book(event, user, key="k-2")).status
    ready = await world.call("GET", "/readyz")
    assert (503, "ok") == (ready.status, ready.body["checks"]["shards"])
    assert "ok" != ready.body["checks"]["database"]


async def test_only_the_database_fails_as_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a file or of time that did not come from PostgreSQL is not told as such."""
    for error in (OSError("no such file"), TimeoutError(), ConnectionResetError()):

        def broken(error: Exception = error) -> bytes:
            raise error

        monkeypatch.setattr("api.metrics.exposition", broken)
        check_problem(await world.call("GET", "/metrics"), 500, "internal")
