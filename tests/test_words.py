"""
One word, one thing: no two modules define a class or an alias of one name, or one helper twice.

A thing may be written down in four forms, in which it keeps its name: in memory, as a record of the
journal (`engine.records`), as a row of PostgreSQL (`store`), and as people are told it, over HTTP
for one (`usecases.asked`, `usecases.told`, `api.schemas`).
Within a form, and among the load tests, which see the service from outside, a name stands once.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.test_tidy import name_of, sources, tree

#: Names that stand twice in a form, and why they may.
TWICE = {"memory Options": "each service has its own, made of the settings by its `__main__`"}
#: Names that stand twice and shall not; a name that stands once again is taken out here.
NOT_YET = {
    "memory Known",
    "memory Line",
    "memory Part",
    "memory Progress",
    "memory Reader",
    "memory Report",
    "memory Row",
    "memory Server",
    "memory TierStock",
    "memory Why",
    "loadtests Order",
    "loadtests Answer",
    "loadtests Line",
    "loadtests Side",
    "loadtests Run",
    "loadtests Site",
    "loadtests Stage",
    "loadtests State",
    "loadtests Verdict",
}
#: The same of private functions with one body.
COPIES_YET: set[str] = set()


def form_of(path: Path) -> str:
    """Return in which form a module writes things down."""
    name = name_of(path)
    shown = ("api/schemas.py", "usecases/asked.py", "usecases/told.py")
    forms = {"engine/records.py": "journal"} | dict.fromkeys(shown, "shown")
    room = name.partition("/")[0]
    return forms.get(name) or {"store": "rows", "loadtests": "loadtests"}.get(room, "memory")


def names_of(module: ast.Module) -> Iterator[str]:
    """Yield the public classes and aliases of types that a module defines; no type variables."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            is_variable = isinstance(node.value, ast.Call) and "TypeVar" in ast.dump(
                node.value.func
            )
            if is_variable or name.isupper():
                continue
        else:
            continue
        if name[0].isupper():
            yield name


def bodies_of(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and body of each private function outside classes, but for its docstring."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("_"):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, ast.dump(ast.Module(body, []))


def test_a_name_stands_for_one_thing() -> None:
    """Two modules of one form do not give one name to two types."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for name in names_of(tree(path)):
            places[f"{form_of(path)} {name}"].append(name_of(path))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {} == {name: twice[name] for name in twice if name not in NOT_YET | set(TWICE)}
    assert set() == (NOT_YET | set(TWICE)) - set(twice), "once again: take it out of the list"


def test_a_helper_stands_once() -> None:
    """No two modules have a private function of one name that does the same."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sources():
        for key in bodies_of(tree(path)):
            places[key].append(name_of(path))
    copies = {name: found for (name, _), found in places.items() if len(found) > 1}
    assert {} == {name: copies[name] for name in copies if name not in COPIES_YET}
    assert set() == COPIES_YET - set(copies), "once again: take it out of the list"
