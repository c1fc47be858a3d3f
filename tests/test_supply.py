"""S32: what is installed is what was chosen, and what is read names nothing that is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_tidy import INDEX_HOSTS, ROOMS, ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
#: What makes objects, or runs code, of what it is given.
RUNS_WHAT_IT_READS = {
    *("pickle", "cPickle", "dill", "shelve", "marshal", "jsonpickle"),
    *("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"),
}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_s32_pinned_with_hashes(lock: Path) -> None:
    """Every line of a lock is one version of one thing, with its hashes, found at no one's host."""
    text = lock.read_text()
    things = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(things) > 10
    loose = [
        thing.split("\n")[0]
        for thing in things
        if not re.match(r"[a-z0-9.-]+(\[[a-z0-9,-]+\])?==[^ ]+", thing)
        or "--hash=sha256:" not in thing
    ]
    assert [] == loose
    assert "://" not in text
    assert not INDEX_HOSTS.search(text)


def test_s32_nothing_else_is_installed() -> None:
    """Whoever installs, by make or in the image, takes the locks alone, and checks them.

    But for the resolver that makes them, which installs nothing.
    """
    makefile, image = (ROOT / "Makefile").read_text(), (ROOT / "Dockerfile").read_text()
    for line in [*makefile.splitlines(), *image.splitlines()]:
        if re.search(r"pip install\b", line) and not line.endswith(("-e .", " uv")):
            assert "--require-hashes" in line, line


def test_s32_what_is_read_runs_nothing() -> None:
    """No room unpacks objects or runs text."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, name in _used(ast.parse(path.read_text()))
        if name in RUNS_WHAT_IT_READS
    ]
    assert [] == found


def test_s32_is_seen() -> None:
    """The rule above sees each way."""
    code = "import pickle\nfrom marshal import loads\nyaml.load(x)\neval(x)\nos.system(x)"
    assert ["pickle", "marshal", "yaml.load", "eval", "os.system"] == [
        name for _, name in _used(ast.parse(code)) if name in RUNS_WHAT_IT_READS
    ]


def _used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what a module imports and calls, with its lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name.partition(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
