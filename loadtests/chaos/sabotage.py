"""
`make sabotage` (rig R6): each safeguard is taken out of a copy of the code, and a rig must miss it.

Owns the table of safeguards: the edit that removes each, and the test or chaos round that has to
fail then. Guarantees: a rig is believed only if it passes on the code as it is; an edit that does
not fit the code any more is an error, and so is a rig that broke down instead of failing.
`docs/SABOTAGE.md` is this table as text.
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
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "SABOTAGE.md"
#: Longest time for one rig, with its servers to start on a loaded machine.
RIG_TIMEOUT_S = 300.0
#: What a copy does without.
LEFT_OUT = (".git", ".venv", ".evently", "__pycache__", "*_cache", ".hypothesis", "build",
            "*.egg-info")  # fmt: skip
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


class DoesNotFit(Exception):
    """An edit's text is not in its file, or more than once: the table must follow the code."""


SAFEGUARDS = (
    Safeguard(
        "epoch check in every script",
        "F13, I13",
        (Edit("lua/lib/enter.lua", "if door[1] ~= epoch or door[2]", "if door[2]"),),
        "tests/lua/test_book.py -k fenced",
    ),
    Safeguard(
        "state check in every script",
        "I17",
        (Edit("lua/lib/enter.lua", "or door[2] ~= 'open' then", "then"),),
        "tests/lua/test_book.py -k fenced",
    ),
    Safeguard(
        "nonce in the scripts' text",
        "F10, F12",
        (Edit("engine/scripts.py", "-- nonce {nonce}{newline}", "-- nonce{newline}"),),
        "tests/engine/test_nonce.py",
    ),
    Safeguard(
        "door opens under a higher epoch alone",
        "I17",
        (Edit("engine/door.py", "self._epoch_min = reign.epoch + 1", "self._epoch_min = 0"),),
        "tests/engine/test_door.py -k i17",
    ),
    Safeguard(
        "missing scripts shut the door",
        "F4, F15",
        (Edit("engine/shard.py", "    redis_errors.NoScriptError,\n", ""),),
        "tests/engine/test_engine.py -k f15",
    ),
    Safeguard(
        "the driver never repeats a command",
        "F2",
        (Edit("engine/redis_client.py", "Retry(NoBackoff(), 0)", "Retry(NoBackoff(), 3)"),),
        "tests/engine/test_engine.py -k f2",
    ),
    Safeguard(
        "journal ids of our own",
        "F33",
        (Edit("lua/lib/apply.lua", "string.format('%.0f-1', shard.seq), 'records'",
              "'*', 'records'"),),
        "tests/lua/test_book.py -k state_left_behind",
    ),
    Safeguard(
        "journal is written first",
        "F22, F33",
        (
            Edit("lua/lib/apply.lua",
                 "  redis.call('XADD', shard.journal, string.format('%.0f-1', shard.seq), "
                 "'records',\n    table.concat(records, '\\n'))\n"
                 "  redis.call('HSET', shard.meta, 'seq', string.format('%.0f', shard.seq))\n",
                 "  redis.call('HSET', shard.meta, 'seq', string.format('%.0f', shard.seq))\n"
                 "  redis.call('XADD', shard.journal, string.format('%.0f-1', shard.seq), "
                 "'records',\n    table.concat(records, '\\n'))\n"),
        ),
        "tests/lua/test_book.py -k 'f22 or f33'",
    ),
    Safeguard(
        "what will be written is read first",
        "F22",
        (
            Edit("lua/lib/apply.lua",
                 "      redis.call('HEXISTS', event.holds, '')\n"
                 "      redis.call('ZCARD', event.deadlines)\n"
                 "      redis.call('ZCARD', event.ended)\n", ""),
        ),
        "tests/lua/test_holds.py -k f22",
    ),
    Safeguard(
        "idempotency: a known booking is replayed",
        "F1, F2, I6",
        (Edit("lua/book.lua", "    if row then\n", "    if false then\n"),
         Edit("lua/book.lua", "local function take_plain(event, a, number)\n",
              "local function take_plain(event, a, number)\n  if true then return nil end\n")),
        "chaos --seed 1 --rounds 1 --only 'network swallow api redis'",
    ),
    Safeguard(
        "fingerprint of the request",
        "F37, I6",
        (Edit("lua/book.lua", "fingerprint == order.fingerprint and", "true and"),),
        "tests/lua/test_book.py -k 'i6 or refusal'",
    ),
    Safeguard(
        "only the owner confirms a hold",
        "I11",
        (Edit("lua/confirm.lua", "not hold or hold.user_id ~= command.user_id", "not hold"),),
        "tests/lua/test_holds.py -k i11",
    ),
    Safeguard(
        "only the owner cancels a booking",
        "I10",
        (Edit("lua/cancel.lua", "if user_id ~= command[2] then", "if not user_id then"),),
        "tests/lua/test_cancel.py -k not_found",
    ),
    Safeguard(
        "a seat that is not free is refused",
        "I3, I16",
        (Edit("lua/lib/check_seats.lua", "if letter ~= 'f' then", "if letter == 'h' then"),
         Edit("lua/lib/move_seats.lua", "if string.sub(status, at, at) ~= letters[from] then",
              "if false then")),
        "chaos --seed 2 --rounds 1 --only 'kill sweeper'",
    ),
    Safeguard(
        "back-pressure while PostgreSQL is away",
        "F24",
        (Edit("lua/lib/enter.lua", "room = tonumber(door[5]) - seq + tonumber(door[4])",
              "room = 1000000"),),
        "tests/lua/test_book.py -k f24",
    ),
    Safeguard(
        "checkpoint's compare-and-set",
        "F25, F27",
        (Edit("store/ledger.py", "        if stored != last_seq:\n", "        if False:\n"),
         Edit("store/queries/shards.sql",
              "WHERE shard = $1 AND epoch = $2 AND last_seq = $3;",
              "WHERE shard = $1 AND epoch = $2 AND $3::bigint IS NOT NULL;")),
        "tests/store/test_ledger.py",
    ),
    Safeguard(
        "checkpoint moves within the batch's transaction",
        "F25, F26",
        (Edit("store/ledger.py", "    async with connection.transaction():\n", "    if True:\n"),),
        "tests/persister/test_persister.py -k 'every_point or around_commit'",
    ),
    Safeguard(
        "epoch row is checked by every batch",
        "F27, I13",
        (Edit("store/ledger.py", "    if not allowed:\n", "    if False:\n"),),
        "tests/store/test_ledger.py",
    ),
    Safeguard(
        "epoch row is held FOR SHARE",
        "F27, I13",
        (Edit("store/queries/shards.sql", "WHERE shard = $1 FOR SHARE;", "WHERE shard = $1;"),),
        "tests/store/test_ledger.py -k claim_waits",
    ),
    Safeguard(
        "Redis is told after the commit",
        "F25, F30",
        (
            Edit("persister/persister.py",
                 "        with metrics.BATCH_SECONDS.labels(self._label).time():\n",
                 "        written, self._last_seq = self._last_seq, entries[-1].seq\n"
                 "        await self._note()\n"
                 "        self._last_seq = written\n"
                 "        with metrics.BATCH_SECONDS.labels(self._label).time():\n"),
        ),
        "tests/persister/test_order.py",
    ),
    Safeguard(
        "trimming stays behind the checkpoint",
        "F30, I7",
        (Edit("lua/persisted.lua", " or trim_seq > persisted_seq\n", "\n"),),
        "tests/lua/test_persisted.py -k f30",
    ),
    Safeguard(
        "records are kept for their retention",
        "F31",
        (Edit("persister/persister.py", "- self._options.retention_s", "+ 0"),),
        "tests/persister/test_persister.py -k retention",
    ),
    Safeguard(
        "a gap in the journal stops the ledger",
        "F30, F32, I7",
        (Edit("store/ledger.py", "        if entry.seq != expected:\n", "        if False:\n"),),
        "tests/store/test_ledger.py",
    ),
    Safeguard(
        "each record's check is verified",
        "F9",
        (Edit("engine/records.py",
              "    if sha1(body, usedforsecurity=False).hexdigest()[:CHECK_CHARS].encode() != "
              "check:\n", "    if False:\n"),),
        "tests/engine/test_records.py",
    ),
    Safeguard(
        "conflict target of the tickets",
        "F29, I3",
        (Edit("store/queries/ledger.sql",
              "                     $6::boolean[])\nON CONFLICT (event_id, id) DO NOTHING;",
              "                     $6::boolean[])\nON CONFLICT DO NOTHING;"),),
        "tests/store/test_seats.py -k f29",
    ),
    Safeguard(
        "Redis must be configured to keep a booking",
        "F17",
        (Edit("reconciler/recovery.py", "        if wrong:\n", "        if False:\n"),),
        "tests/reconciler/test_recovery.py -k f17",
    ),
    Safeguard(
        "a lost record is never passed over",
        "F5, F30",
        (Edit("reconciler/recovery.py", "        if last_seq != meta.seq:\n",
              "        if False:\n"),),
        "tests/reconciler/test_recovery.py -k lost_record",
    ),
    Safeguard(
        "claim of a shard is compare-and-set",
        "F41",
        (Edit("store/queries/shards.sql",
              "WHERE shard = $1 AND epoch = $2 AND (state <> 'recovering' OR lease_until < now())",
              "WHERE shard = $1 AND $2::bigint IS NOT NULL"),),
        "tests/store/test_ledger.py tests/reconciler/test_recovery.py",
    ),
)  # fmt: skip


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
        tree = Path(name) / "tree"
        _copy(tree)
        for safeguard in safeguards:
            edited(safeguard)
        if not _rigs_pass(tree, safeguards, console):
            return False
        all_caught = True
        for safeguard in safeguards:
            started_s = time.monotonic()
            word = _run_without(tree, safeguard)
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


def edited(safeguard: Safeguard) -> dict[str, str]:
    """
    Return the text of each file that lacks the safeguard.

    Raises:
        DoesNotFit: the code has changed.
    """
    texts: dict[str, str] = {}
    for edit in safeguard.edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text()
        if text.count(edit.old) != 1:
            raise DoesNotFit(
                f"{safeguard.name}: {edit.file} has {text.count(edit.old)} times {edit.old!r}"
            )
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def _restore(tree: Path, safeguard: Safeguard) -> None:
    for edit in safeguard.edits:
        shutil.copyfile(ROOT / edit.file, tree / edit.file)


def _copy(tree: Path) -> None:
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)


def _rigs_pass(tree: Path, safeguards: list[Safeguard], console: Console) -> bool:
    """Tell whether every rig passes on the code as it is: else its failure would prove nothing."""
    for rig in dict.fromkeys(one.rig for one in safeguards):
        code, output = _run(tree, rig)
        if code != 0:
            console.print(f"{rig} fails on the code as it is:\n{output[-3000:]}", markup=False)
            return False
    return True


def _run_without(tree: Path, safeguard: Safeguard) -> str:
    for file, text in edited(safeguard).items():
        (tree / file).write_text(text)
    try:
        code, output = _run(tree, safeguard.rig)
    finally:
        _restore(tree, safeguard)
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
