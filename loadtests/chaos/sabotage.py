"""
`make sabotage` (rig R6): each safeguard is taken out of a copy of the code, and a rig must miss it.

Owns running the table of safeguards (`sabotage.toml`): the edits that remove each, and the test or
chaos round that has to fail then. Guarantees: a rig is believed only if it passes on the code as
it is; an edit that does not fit the code any more is an error, and so is a rig that broke down, or
waited until its time was over, instead of failing. `docs/SABOTAGE.md` is this table as text.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from rich.console import Console

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "SABOTAGE.md"
#: Longest time for one rig, with its servers to start on a loaded machine, and for a test of it.
RIG_TIMEOUT_S, TEST_TIMEOUT_S = 300.0, 60.0
#: Rigs wait for their servers most of the time, so two cores carry several.
AT_ONCE = 2
#: What may come of a rig. One that was still waiting when its time was over has seen nothing.
CAUGHT, PASSED, SURVIVED, HUNG, BROKE = "caught", "passed", "survived", "hung", "broke"
#: What a copy does without.
LEFT_OUT = (
    ".git",
    ".venv",
    ".evently",
    "__pycache__",
    "*_cache",
    ".hypothesis",
    "build",
    "*.egg-info",
)
PYTEST_FAILED = 1
CHAOS = "chaos "


class Edit(NamedTuple):
    """Text of one file that stands there exactly once, and what replaces it."""

    file: str
    old: str
    new: str


class Safeguard(NamedTuple):
    """Something that must not be missing."""

    name: str
    #: Faults and invariants that it stands against.
    against: str
    edits: tuple[Edit, ...]
    #: Tests, or `chaos` and its arguments: what has to fail.
    rig: str


def _read(path: Path) -> tuple[Safeguard, ...]:
    """Return the table."""
    rows = tomllib.loads(path.read_text())["safeguard"]
    return tuple(
        Safeguard(
            row["name"], row["against"], tuple(Edit(**edit) for edit in row["edit"]), row["rig"]
        )
        for row in rows
    )


SAFEGUARDS = _read(Path(__file__).with_suffix(".toml"))


class DoesNotFit(Exception):
    """An edit's text is not in its file, or more than once: the table must follow the code."""


def main() -> None:
    """Read the arguments and run the table, or write the document."""
    parser = argparse.ArgumentParser(prog="sabotage", description=__doc__)
    parser.add_argument("--only", default="", help="safeguards whose name has this in it")
    parser.add_argument("--write", action="store_true", help="write docs/SABOTAGE.md and end")
    arguments = parser.parse_args()
    if arguments.write:
        DOCUMENT.write_text(document())
        return
    chosen = [one for one in SAFEGUARDS if arguments.only in one.name]
    started_s = time.monotonic()
    words = sabotage(chosen, Console())
    print(line(words, minutes=(time.monotonic() - started_s) / 60))
    sys.exit(0 if set(words) == {CAUGHT} else 1)


def sabotage(safeguards: list[Safeguard], console: Console) -> list[str]:
    """Take each out and run its rig; print the table; return a word for each, maybe of `CAUGHT`."""
    with tempfile.TemporaryDirectory(prefix="evt-sab-") as name:
        Path(name).chmod(0o755)
        # A copy to come back to as well: the code may be edited while this runs.
        clean, *trees = (Path(name) / str(number) for number in range(AT_ONCE + 1))
        free: SimpleQueue[Path] = SimpleQueue()
        for copy in (clean, *trees):
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        for tree in trees:
            free.put(tree)
        for safeguard in safeguards:
            edited(clean, safeguard)

        def in_a_tree(what: str, rig: str, texts: dict[str, str]) -> str:
            tree, started_s = free.get(), time.monotonic()
            for file, text in texts.items():
                (tree / file).write_text(text)
            word, output = _run(tree, rig)
            word = SURVIVED if texts and word == PASSED else word
            for file in texts:
                shutil.copyfile(clean / file, tree / file)
            free.put(tree)
            told = f"{word:<8} {time.monotonic() - started_s:5.1f} s  {what:<50} {rig}"
            if not texts and word != PASSED:
                told += f"\n{output[-3000:]}"
            console.print(told, highlight=False, markup=False, soft_wrap=True)
            return word

        with ThreadPoolExecutor(AT_ONCE) as pool:
            # A rig that fails on the code as it is would prove nothing.
            rigs = dict.fromkeys(one.rig for one in safeguards)
            if set(pool.map(lambda rig: in_a_tree("", rig, {}), rigs)) != {PASSED}:
                return []
            return list(
                pool.map(lambda one: in_a_tree(one.name, one.rig, edited(clean, one)), safeguards)
            )


def line(words: list[str], *, minutes: float) -> str:
    """Return the one line that a run ends with."""
    if not words:
        return "SABOTAGE FAILED: a rig does not pass on the code as it is"
    others = [word for word in words if word != CAUGHT]
    return f"SABOTAGE safeguards={len(words)} caught={len(words) - len(others)} " + (
        f"minutes={minutes:.1f}" + "".join(f" {word}={others.count(word)}" for word in set(others))
    )


def document() -> str:
    """Return the table as text for people."""
    rows = "".join(
        f"| {one.name} | {one.against} | {', '.join(sorted({e.file for e in one.edits}))} "
        f"| `{one.rig}` |\n"
        for one in SAFEGUARDS
    )
    return (
        "# Sabotage: what is missed when it is gone\n"
        "`make sabotage` takes each safeguard out of a copy of the code, one at a time, and runs "
        "the rig\nnamed beside it, which has to fail. Written by "
        "`python -m loadtests.chaos.sabotage --write`.\n\n"
        "| safeguard | against | taken out of | caught by |\n|---|---|---|---|\n" + rows
    )


def edited(root: Path, safeguard: Safeguard) -> dict[str, str]:
    """
    Return the text of each file below *root* without the safeguard.

    Raises:
        DoesNotFit: the code has changed.
    """
    texts: dict[str, str] = {}
    for edit in safeguard.edits:
        text = texts.get(edit.file) or (root / edit.file).read_text()
        if text.count(edit.old) != 1:
            raise DoesNotFit(
                f"{safeguard.name}: {edit.file} has {text.count(edit.old)} times {edit.old!r}"
            )
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def _run(tree: Path, rig: str) -> tuple[str, str]:
    """Run a rig in a copy of the code; return what came of it, and what it said."""
    is_chaos = rig.startswith(CHAOS)
    if is_chaos:
        words = f"-m loadtests.chaos {rig.removeprefix(CHAOS)}"
    else:
        words = f"-m pytest -x -q -p no:cacheprovider --timeout {TEST_TIMEOUT_S:g} {rig}"
    environ = {name: text for name, text in os.environ.items() if not name.startswith("EVENTLY_")}
    environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *shlex.split(words)],
            cwd=tree,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RIG_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return HUNG, str(error)
    return verdict(done.returncode, output := done.stdout + done.stderr, is_chaos), output


def verdict(code: int, output: str, is_chaos: bool) -> str:
    """Say what a rig's end means: only a fault that it saw, and told, counts as caught."""
    if code == 0:
        return PASSED
    if not is_chaos and "Failed: Timeout" in output:
        return HUNG
    # A chaos round that fails says so in its last line; pytest has a code for failed tests alone.
    has_failed = "CHAOS " in output if is_chaos else code == PYTEST_FAILED
    return CAUGHT if has_failed else BROKE


if __name__ == "__main__":
    main()
