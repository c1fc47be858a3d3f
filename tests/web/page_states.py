"""
`make docs`: which test shows which state of which page, as docs/PAGES_STATES.md has it.

Pages and their states are the rows of docs/PAGES.md; a test says by `@pytest.mark.page(page,
*states)` which of them it has seen over HTTP or in a browser. Addresses are those of `web.app`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from web.app import ROUTES

ROOT = Path(__file__).parents[2]
_SPLIT = re.compile(r"[,;] ")
HEAD = """# Pages, states and tests
Written by `make docs` from the rows of [PAGES.md](PAGES.md) and the tests' marks `page`; "none" is
a state that no test is marked for: it may be seen by one all the same, or by nobody.

| page | state | tests |
|---|---|---|
"""


class Mark(NamedTuple):
    """What a test says that it has seen."""

    test: str
    page: str
    state: str


def pages() -> dict[str, tuple[str, list[str]]]:
    """Return the addresses of each page, as PAGES.md writes them, and its states."""
    table = (ROOT / "docs" / "PAGES.md").read_text().partition("## Pages that there are\n")[2]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    return {
        name.strip(): (addresses, _SPLIT.split(states.strip()) if states.strip() else [])
        for name, addresses, states in rows
    }


def marks() -> Iterator[Mark]:
    """Read the marks of all tests of pages, by file and line."""
    for path in sorted((ROOT / "tests" / "web").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for one in node.decorator_list:
                if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.page":
                    page, *states = [ast.literal_eval(value) for value in one.args]
                    yield from (Mark(f"{path.stem}::{node.name}", page, each) for each in states)


def foreign() -> list[Mark]:
    """Return the marks of pages or states that PAGES.md does not have."""
    known = pages()
    return [one for one in marks() if one.state not in known.get(one.page, ("", []))[1]]


def missing() -> list[str]:
    """Return the addresses of pages that no row of PAGES.md has."""
    told = [
        re.sub(r"<[^/]*>", "*", address.partition("?")[0].partition("#")[0].removeprefix("POST "))
        for addresses, _ in pages().values()
        for address in re.findall(r"`([^`]*)`", addresses)
    ]
    shown = {route.path for route in ROUTES if route.method == "GET"}
    return sorted(path for path in shown if re.sub(r"{[^/]*}", "*", path) not in told)


def written() -> str:
    """Return the document."""
    tests: dict[tuple[str, str], list[str]] = {}
    for one in marks():
        tests.setdefault((one.page, one.state), []).append(f"`{one.test}`")
    rows = [
        f"| {page} | {state} | {'<br>'.join(tests.get((page, state), ['none']))} |\n"
        for page, (_, states) in pages().items()
        for state in states
    ]
    parts = "".join(f"- `{path}`\n" for path in missing())
    return (
        f"{HEAD}{''.join(rows)}\n## Addresses without a row\nParts of the pages above.\n\n{parts}"
    )


if __name__ == "__main__":
    sys.stdout.write(written())
