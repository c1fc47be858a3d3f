"""Whatever code and documents refer to is there: numbers, decisions, links, sections, files."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_tidy import ROOT, docstring_nodes, files, name_of, tree

#: Where the numbers of a letter are defined, and how.
DEFINED = {
    "F": ("docs/RELIABILITY.md", r"^\| F(\d+) \||\bF(39|44) (?:comes )?with the "),
    "I": ("docs/INVARIANTS.md", r"^\| I(\d+) \||^I(\d+) \(|and I(\d+) \(|\bI(19) comes with"),
    "P": ("loadtests/README.md", r"^\| P(\d+) \|"),
    "R": ("docs/RELIABILITY.md", r"^\| R(\d+) \|"),
    "S": ("SECURITY.md", r"^\| S(\d+) \|"),
}
#: Files that are named and not kept: made by a run, or served.
MADE = {"running.json", "secrets.json", "openapi.json", "partial.json"}
#: Files that tell of the past, or are made by others.
SPARED = {
    "CHANGELOG.md",
    "loadtests/results/latest.html",
    "loadtests/results/latest.json",
    "store/migrations/0005_gate.sql",  # Applied migrations never change, comments included.
}

_NUMBER = re.compile(r"(?<![\w-])([FIPRS])(\d{1,2})(?![\w-])")
_NOWHERE = re.compile(r"\bPEERS\b|\b(?:[Ff]act|[Nn]ote) \d")
_DECISIONS = re.compile(r"[Dd]ecisions? ((?:\d{4}(?:,? and |, )?)+)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SECTION = re.compile(r'\b([A-Z]{4,})(?:\.md)?(?:\]\([\w./]+\))?, "([^"]+)"')
_SUFFIX = r"\.(?:py|lua|md|sql|toml|conf|json|html)"
_FILE = re.compile(
    rf"(?<![\w/.<*{{}}$~-])((?:[\w-]+/)+[\w.-]+{_SUFFIX}|(?<=`)[\w.-]+{_SUFFIX}(?=`))(?!\w)"
)


def readable() -> list[Path]:
    """Return the files with words for people."""
    kinds = (".py", ".lua", ".sql", ".md", ".toml", ".conf", ".yml", ".example", "")
    return [path for path in files(*kinds) if name_of(path) not in SPARED]


@cache
def words(path: Path) -> str:
    """Return what a file says to people: of Python, comments and docstrings alone."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    wanted = docstring_nodes(tree(path))
    docstrings = [
        str(node.value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) in wanted
    ]
    return "\n".join(comments + docstrings)


@cache
def numbers(letter: str) -> set[str]:
    """Return the numbers that are defined for a letter."""
    name, pattern = DEFINED[letter]
    found = re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)
    return {part for one in found for part in (one if isinstance(one, tuple) else (one,)) if part}


@cache
def headings(path: Path) -> list[str]:
    """Return the headings of a Markdown file, without those inside of code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def names_of_files() -> dict[str, list[Path]]:
    """Return all files by their last name."""
    found: dict[str, list[Path]] = {}
    for path in files():
        found.setdefault(path.name, []).append(path)
    return found


def is_there(name: str) -> bool:
    """Whether a file of this name, or one whose path ends so, exists."""
    last = name.rpartition("/")[2]
    return last in MADE or any(
        f"/{name_of(path)}".endswith(f"/{name}") for path in names_of_files().get(last, [])
    )


def wrong(path: Path) -> Iterator[str]:
    """Yield the references of a file that lead nowhere."""
    text = words(path)
    yield from _NOWHERE.findall(text)
    for letter, number in _NUMBER.findall(text):
        if number not in numbers(letter):
            yield letter + number
    for group in _DECISIONS.findall(text):
        for number in re.findall(r"\d{4}", group):
            if not list((ROOT / "docs" / "decisions").glob(f"{number}-*.md")):
                yield f"decision {number}"
    for document, section in _SECTION.findall(text):
        for found in names_of_files().get(f"{document}.md", []):
            known = [heading.strip("*`") for heading in headings(found)]
            if section not in known and f"**{section}" not in found.read_text():
                yield f"{document}, {section}"
    yield from (name for name in _FILE.findall(text) if not is_there(name))
    if path.suffix == ".md":
        yield from _broken_links(path, text)


def _broken_links(path: Path, text: str) -> Iterator[str]:
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, section = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        is_found = target.exists() and (not section or section in map(anchor, headings(target)))
        if not is_found:
            yield link


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("S8 and F2, I1, R5, P1; (decision 0012), [a](README.md#rooms)", []),
        ("R99, F0 and I77", ["R99", "F0", "I77"]),
        ("s<n>-S77 and XP77", []),
        ("see decisions 0001, 9999", ["decision 9999"]),
        ("(PEERS, note 2)", ["PEERS", "note 2"]),
        ('docs/ARCHITECTURE.md, "No such thing"', ["ARCHITECTURE, No such thing"]),
        ("`nowhere.py` and engine/nowhere.py, `keys.py`", ["nowhere.py", "engine/nowhere.py"]),
        ("[a](nowhere/) [b](docs/DATA.md#nothing)", ["nowhere/", "docs/DATA.md#nothing"]),
    ],
)
def test_references_are_judged(
    text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge of references knows right from wrong."""
    monkeypatch.setattr(f"{__name__}.words", lambda _: text)
    monkeypatch.setattr(f"{__name__}.anchor", lambda heading: heading.lower().split()[-1])
    assert expected == list(wrong(ROOT / "README.md"))


def test_references_lead_somewhere() -> None:
    """Every number, decision, link, section and file that is named is there."""
    assert [] == [f"{name_of(path)}: {text}" for path in readable() for text in wrong(path)]


def test_every_security_promise_has_a_test() -> None:
    """A promise of SECURITY.md is one that some test quotes, or bears in its name."""
    paths = [path for path in files(".py") if name_of(path).startswith("tests/")]
    quoted = {
        number
        for path in paths
        if path != Path(__file__)
        for letter, number in _NUMBER.findall(words(path))
        if letter == "S"
    }
    names = [name for path in paths for name in re.findall(r"def (test_\w+)", path.read_text())]
    assert numbers("S") == quoted | {
        number for name in names for number in re.findall(r"_s(\d+)(?=_)", name)
    }


def test_every_decision_is_told_of() -> None:
    """The table of ARCHITECTURE.md has each decision once."""
    told = re.findall(r"\]\(decisions/([\w-]+\.md)\)", (ROOT / "docs/ARCHITECTURE.md").read_text())
    assert sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md")) == sorted(told)


def test_every_table_is_described_once() -> None:
    """The tables of DATA.md are those that migrations make, each in one row."""
    made = {
        name
        for path in (ROOT / "store/migrations").glob("*.sql")
        for name in re.findall(
            r"^CREATE (?:UNLOGGED )?TABLE (\w+)(?! PARTITION OF)\b", path.read_text(), re.MULTILINE
        )
        if not name.endswith("_rest")
    }
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", section(ROOT / "docs/DATA.md", "PostgreSQL"), re.MULTILINE
    )
    told = [name for row in rows for name in re.findall(r"\w+", row)]
    assert sorted(made | {"migrations"}) == sorted(told)


def section(path: Path, heading: str) -> str:
    """Return a section of a Markdown file, from its heading to the next of its kind."""
    return path.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
