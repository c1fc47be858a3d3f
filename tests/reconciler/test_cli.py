"""The command: exit codes, the table for people, the document for machines."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from engine import keys
from engine.commands import Order
from engine.ids import new_id
from engine.outcomes import Booked
from reconciler.__main__ import app
from reconciler.judge import report
from store import reigns
from tests.checks import ask, make_booking_id
from tests.reconciler.conftest import BoxOffice, Sold
from tests.reconciler.killed.test_lost_redis import receipts_of
from tests.reconciler.test_receipts import SIGNING_KEY

DOCUMENT_KEYS = ["verdict", "exit_code", "checked", "violations", "errors"]
CHECKED_KEYS = ["events", "bookings", "records", "shards"]
SHARD_KEYS = ["shard", "epoch", "watermark_seq", "checkpoint_seq"]
VIOLATION_KEYS = [
    "invariant",
    "code",
    "shard",
    "event_id",
    "tier_no",
    "tier_id",
    "booking_id",
    "seq",
    "expected",
    "found",
    "message",
]


def environment(office: BoxOffice) -> dict[str, str]:
    """Return the settings that lead to the office's servers."""
    return {
        "EVENTLY_REDIS_URL": office.redis_url,
        "EVENTLY_DATABASE_URL": office.database_url,
        "EVENTLY_SHARDS": str(office.shard + 1),
    }


async def run(office: BoxOffice, *words: str, **env: str) -> tuple[int, str]:
    """Run the command in this process, in a thread since it has a loop of its own."""
    result = await asyncio.to_thread(
        CliRunner().invoke, app, list(words), env={**environment(office), **env}
    )
    return result.exit_code, result.stdout


async def run_json(office: BoxOffice, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
    """Run a check and return its document."""
    code, text = await run(office, "check", *words, "--json", **env)
    document: dict[str, Any] = json.loads(text)
    assert code == document["exit_code"]
    assert DOCUMENT_KEYS == list(document)
    assert CHECKED_KEYS == list(document["checked"])
    return code, document


async def test_clean_for_people(sold: Sold) -> None:
    """A clean shard: exit code 0 and one line."""
    code, text = await run(sold.office, "check", "--shard", str(sold.office.shard))
    assert 0 == code
    assert "clean: 1 events, 5 bookings, 8 records checked up to seq 8; lag 3" == " ".join(
        text.split()
    )


async def test_clean_document(sold: Sold) -> None:
    """A clean shard as JSON, key by key."""
    code, document = await run_json(sold.office, "--shard", str(sold.office.shard))
    assert (0, "clean", [], []) == (
        code,
        document["verdict"],
        document["violations"],
        document["errors"],
    )
    [shard] = document["checked"]["shards"]
    assert dict(zip(SHARD_KEYS, [sold.office.shard, 1, 8, 5], strict=True)) == shard


async def test_records_version(office: BoxOffice) -> None:
    """The version is noted for the next reign; one that nobody reads, or no shard, is refused."""
    number = str(office.shard)
    code, _ = await run(office, "records-version", "2", "--shard", number)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert (0, 2) == (code, row.records_version)
    assert 2 == (await run(office, "records-version", "3", "--shard", number))[0]
    assert 2 == (await run(office, "records-version", "2", "--shard", "9999"))[0]


async def test_drift_document(sold: Sold) -> None:
    """Drift: exit code 1, and each violation has all keys."""
    office = sold.office
    stock = keys.event(office.shard, sold.event.event_id).stock
    await ask(office.redis, "HINCRBY", stock, "1.available", 1)
    code, document = await run_json(office, "--event", sold.event.event_id)
    assert (1, "drift") == (code, document["verdict"])
    assert [VIOLATION_KEYS] * 2 == [list(violation) for violation in document["violations"]]
    first = document["violations"][0]
    assert (sold.event.event_id, 1, sold.event.tier_ids[0]) == (
        first["event_id"],
        first["tier_no"],
        first["tier_id"],
    )


async def test_drift_for_people(sold: Sold) -> None:
    """Drift for people: a table with the event's id, and the verdict."""
    office = sold.office
    stock = keys.event(office.shard, sold.event.event_id).stock
    await ask(office.redis, "HINCRBY", stock, "1.available", 1)
    code, text = await run(
        office, "check", "--shard", str(office.shard), COLUMNS="300", TERM="dumb"
    )
    assert 1 == code
    assert sold.event.event_id in text
    assert "I1 places_not_conserved" in text
    assert "drift: 1 events" in text


async def test_ids_are_whole(sold: Sold) -> None:
    """In a pipe and in the narrowest terminal, what is found is named to be copied."""
    office = sold.office
    stock = keys.event(office.shard, sold.event.event_id).stock
    await ask(office.redis, "HINCRBY", stock, "1.available", 1)
    _, text = await run(office, "check", "--shard", str(office.shard))
    assert sold.event.event_id in text
    result = await office.check()
    for width in (20, 80, 400):
        shown = io.StringIO()
        report.show(result, Console(file=shown, force_terminal=True, width=width), Console())
        assert {sold.event.event_id, sold.event.tier_ids[0]} <= set(shown.getvalue().split())


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--event", new_id("evt")], {}),
        (["--shard", "4999"], {}),
        (["--shard", "own"], {"EVENTLY_REDIS_URL": "redis://127.0.0.1:1"}),
        ([], {"EVENTLY_DATABASE_URL": "postgresql://127.0.0.1:1/evently"}),
        ([], {"EVENTLY_REDIS_URL": "", "EVENTLY_DATA_DIR": "/nonexistent"}),
        ([], {"EVENTLY_SHARDS": "none"}),
    ],
)
async def test_unchecked(office: BoxOffice, words: list[str], env: dict[str, str]) -> None:
    """What cannot be checked: exit code 2, with a reason."""
    words = [str(office.shard) if word == "own" else word for word in words]
    code, document = await run_json(office, *words, **env)
    assert (2, "unchecked") == (code, document["verdict"])
    assert document["errors"]


async def test_options_exclude_each_other(office: BoxOffice) -> None:
    """One scope at a time."""
    code, _ = await run(office, "check", "--all", "--shard", "0")
    assert 2 == code


@pytest.mark.parametrize(
    "words",
    [["--thaw", "0", "--watch"], ["--rebuild"], ["--thaw", "0", "--shard", "0"], ["--thaw", "999"]],
)
async def test_thaw_names_one_shard(office: BoxOffice, words: list[str]) -> None:
    """What a human allows is said of one shard, and of nothing else."""
    code, _ = await run(office, "recover", *words)
    assert 2 == code


@pytest.mark.processes
async def test_recover_says_what_it_did(office: BoxOffice) -> None:
    """A frozen shard is thawed by its number, once; the path taken is told."""
    event = await office.add_event()
    await office.drain()
    await ask(office.redis, "UNLINK", keys.meta(office.shard))
    freeze = "UPDATE shard_epoch SET state = 'frozen', reason = 'x' WHERE shard = $1"
    await office.database.execute(freeze, office.shard)
    words = ("recover", "--thaw", str(office.shard))

    code, text = await run_process(office, *words)
    again, _ = await run_process(office, *words)

    assert (0, 2) == (code, again)
    assert "rebuild: Redis has lost the shard, PostgreSQL has it" in text
    assert "rebuilt 1 events, 0 bookings" in text
    assert {event.event_id.encode()} == await ask(
        office.redis, "SMEMBERS", keys.events(office.shard)
    )


async def run_process(office: BoxOffice, *words: str, **env: str) -> tuple[int | None, str]:
    """Run the command in a process of its own, and return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        *words,
        env={**os.environ, **environment(office), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    stdout, _ = await process.communicate()
    return process.returncode, stdout.decode()


@pytest.mark.processes
async def test_as_a_process(sold: Sold) -> None:
    """The same from outside: `python -m reconciler check`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        "check",
        "--event",
        sold.event.event_id,
        "--json",
        env={**os.environ, **environment(sold.office)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert (0, b"") == (process.returncode, stderr)
    assert "clean" == json.loads(stdout)["verdict"]


@pytest.mark.processes
async def test_f63_recover_says_what_became_of_receipts(sold: Sold, tmp_path: Path) -> None:
    """F63: of a shard that is open, and of one that is not; never nothing."""
    office, path = sold.office, tmp_path / "receipts"
    user = new_id("usr")
    own = make_booking_id(sold.event.event_id, user, "k")
    order = Order(sold.event.event_id, own, user, "print", b"{}", ((1, 1),))
    outcome = await office.engine.book(office.shard, order)
    assert isinstance(outcome, Booked)
    receipts_of({own: outcome}, path)
    words = ("recover", "--shard", str(office.shard), "--receipts", str(path))
    key = {"EVENTLY_TICKET_SIGNING_KEY": SIGNING_KEY}
    for _ in range(2):
        code, text = await run_process(office, *words, **key)
        assert 0 == code
        assert f"line 1: {own}: already there" in text
        assert "1 receipts: 1 already there" in text
    code, text = await run(office, "receipts", "redeem", str(path), "--json", **key)
    assert (0, "there") == (code, json.loads(text)["what"])
    path.write_text("garbage\n")
    code, text = await run(office, "receipts", "redeem", str(path), **key)
    assert 1 == code
    assert "line 1: not a receipt of ours" in text
    path.write_text("# nothing\n")
    code, text = await run(office, "receipts", "redeem", str(path), **key)
    assert (0, "0 receipts: none in the file") == (code, text.strip())


@pytest.mark.processes
async def test_f63_receipts_of_a_shard_that_is_not_frozen(sold: Sold, tmp_path: Path) -> None:
    """F63: with receipts, `--thaw` of an open shard redeems them; without, it is a mistake."""
    office = sold.office
    await run_process(office, "recover", "--shard", str(office.shard))
    (tmp_path / "receipts").write_text("garbage\n")
    words = ("recover", "--thaw", str(office.shard))
    code, _ = await run_process(office, *words)
    assert 2 == code
    code, text = await run_process(
        office,
        *words,
        "--receipts",
        str(tmp_path / "receipts"),
        EVENTLY_TICKET_SIGNING_KEY=SIGNING_KEY,
    )
    assert 1 == code, text
    assert "line 1: not a receipt of ours" in text
