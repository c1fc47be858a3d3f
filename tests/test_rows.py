"""Faults in docs/RELIABILITY.md and promises in SECURITY.md, held against the tests there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: F39 comes with the cluster.
NUMBERS = (*range(1, 48), *range(50, 80))
FAULTS = [f"F{number}" for number in NUMBERS if number != 39]

_ROW = re.compile(r"^\| (F\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(test_\w+)`")
_PROMISE = re.compile(r"^\| S(\d+) \| (.+) \|$", re.MULTILINE)
_PROMISED = re.compile(r"_s(\d+)(?=_)")
_NUMBER = re.compile(r"_f(\d+)(?=_)")


@cache
def rows() -> list[tuple[str, str, str, str]]:
    """Return the table's rows."""
    found: list[tuple[str, str, str, str]] = _ROW.findall(
        (ROOT / "docs" / "RELIABILITY.md").read_text()
    )
    return found


@cache
def names_of_tests() -> set[str]:
    """Return the names of all tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_every_fault_has_its_row() -> None:
    """One row each, in order, with a safeguard."""
    assert FAULTS == [fault for fault, _, _, _ in rows()]
    assert all(what.strip() and safeguard.strip() for _, what, safeguard, _ in rows())


def test_every_row_has_tests_that_exist() -> None:
    """Each row names at least one test of its own number, and nothing but tests that there are."""
    wrong = []
    for fault, _, _, named in rows():
        names = _TEST.findall(named)
        wrong += [] if names else [f"{fault}: names no test"]
        wrong += [f"{fault}: no {name}" for name in names if name not in names_of_tests()]
        wrong += [
            f"{fault}: {name} bears another number"
            for name in names
            if fault[1:] not in _NUMBER.findall(name)
        ]
    assert [] == wrong


def test_tests_bear_numbers_of_rows() -> None:
    """No test is named after a fault that the table does not have."""
    known = {fault[1:] for fault, _, _, _ in rows()}
    assert [] == sorted(name for name in names_of_tests() if set(_NUMBER.findall(name)) - known)


def test_every_promise_has_tests() -> None:
    """Each promise of SECURITY.md is borne by some test's name, and no test bears another."""
    promised = [number for number, _ in _PROMISE.findall((ROOT / "SECURITY.md").read_text())]
    assert promised == sorted(set(promised), key=int)
    borne = {number for name in names_of_tests() for number in _PROMISED.findall(name)}
    assert borne == set(promised)
