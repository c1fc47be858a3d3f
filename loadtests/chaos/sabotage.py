"""
`make sabotage` (rig R6): each safeguard is taken out of a copy of the code, and a rig must miss it.

Owns running the table of safeguards (`sabotage.toml`): the edits that remove each, and the test or
chaos round that has to fail then. Guarantees: a rig is believed only if it passes on the code as
it is; an edit that does not fit the code any more is an error, and so is a rig that broke down
instead of failing. `docs/SABOTAGE.md` is this table as text.
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
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "SABOTAGE.md"
#: Longest time for one rig, with its servers to start on a loaded machine.
RIG_TIMEOUT_S = 300.0
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
    sys.exit(0 if sabotage(chosen, Console()) else 1)


def sabotage(safeguards: list[Safeguard], console: Console) -> bool:
    """Take each out and run its rig; print the table; tell whether every one was missed."""
    with tempfile.TemporaryDirectory(prefix="evt-sab-") as name:
        Path(name).chmod(0o755)
        # A copy to come back to as well: the code may be edited while this runs.
        clean, tree = Path(name) / "clean", Path(name) / "tree"
        for copy in (clean, tree):
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        for safeguard in safeguards:
            edited(clean, safeguard)
        if not _rigs_pass(tree, safeguards, console):
            return False
        all_caught = True
        for safeguard in safeguards:
            started_s = time.monotonic()
            word = _run_without(clean, tree, safeguard)
            all_caught &= word == "caught"
            console.print(
                f"{word:<8} {time.monotonic() - started_s:5.1f} s  {safeguard.name:<50} "
                f"{safeguard.rig}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    return all_caught


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


def _rigs_pass(tree: Path, safeguards: list[Safeguard], console: Console) -> bool:
    """Tell whether every rig passes on the code as it is: else its failure would prove nothing."""
    for rig in dict.fromkeys(one.rig for one in safeguards):
        code, output = _run(tree, rig)
        if code != 0:
            console.print(f"{rig} fails on the code as it is:\n{output[-3000:]}", markup=False)
            return False
    return True


def _run_without(clean: Path, tree: Path, safeguard: Safeguard) -> str:
    texts = edited(clean, safeguard)
    for file, text in texts.items():
        (tree / file).write_text(text)
    code, output = _run(tree, safeguard.rig)
    for file in texts:
        shutil.copyfile(clean / file, tree / file)
    if code == 0:
        return "SURVIVED"
    # A chaos round that fails says so in its last line; pytest has a code for failed tests alone.
    has_failed = "CHAOS " in output if safeguard.rig.startswith(CHAOS) else code == PYTEST_FAILED
    return "caught" if has_failed else f"BROKE ({code})"


def _run(tree: Path, rig: str) -> tuple[int, str]:
    """Run a rig in a copy of the code; return its exit code and what it said."""
    if rig.startswith(CHAOS):
        words = f"-m loadtests.chaos {rig.removeprefix(CHAOS)}"
    else:
        words = f"-m pytest -x -q -p no:cacheprovider --timeout 60 {rig}"
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
        return 124, str(error)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    main()
