"""A record that could not be persisted: reported by the check, and mended by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.ids import new_id
from store import quarantine, reigns
from store.pool import connect
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.test_cli import run
from tests.store.records import booked, entry


@pytest.fixture
async def parked(office: BoxOffice) -> str:
    """Sell three bookings of which PostgreSQL refuses the second; return its id."""
    show = await office.add_event()
    users = [new_id("usr") for _ in range(3)]
    ids = [await office.book(show.event_id, user, "k", (1, 2)) for user in users]
    await office.database.execute(
        f"ALTER TABLE bookings ADD CONSTRAINT poison CHECK (user_id <> '{users[1]}') NOT VALID"
    )
    try:
        await office.drain()
    finally:
        await office.database.execute("ALTER TABLE bookings DROP CONSTRAINT poison")
    return ids[1]


async def run_quarantine(office: BoxOffice, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command of `quarantine`; return its code and its document."""
    code, text = await run(office, "quarantine", *words, "--json")
    document: dict[str, Any] = json.loads(text)
    assert code == document["exit_code"]
    return code, document


async def test_f28_reported_mended_and_thawed(
    office: BoxOffice, parked: str, tmp_path: Path
) -> None:
    """F28: from the alarm to a clean check: list, try, replay, thaw."""
    shard = str(office.shard)
    result = await office.check()
    codes = {(v.invariant, v.code, v.booking_id) for v in result.violations}
    assert 1 == result.exit_code
    assert ("I4", "record_quarantined", parked) in codes
    code, document = await run_quarantine(office, "list", "--shard", shard)
    assert 1 == code
    (row,) = document["quarantine"]
    assert (3, "held") == (row["seq"], row["state"])
    assert 1 == (await run_quarantine(office, "thaw", shard, "--apply"))[0]
    file = tmp_path / "mended.json"
    file.write_text(row["record"][8:])
    words = ("replay", shard, "1", "3", str(file), "--by", "ada")
    code, document = await run_quarantine(office, *words)
    assert (0, False) == (code, document["applied"])
    assert 1 == await quarantine.held(office.database, office.shard)
    code, document = await run_quarantine(office, *words, "--apply")
    assert (0, True) == (code, document["applied"])
    assert set() == await office.codes()
    assert 0 == (await run_quarantine(office, "list", "--shard", shard))[0]
    assert (0, False) == _outcome(await run_quarantine(office, "thaw", shard))
    assert (0, True) == _outcome(await run_quarantine(office, "thaw", shard, "--apply"))
    seen = await reigns.read(office.database, office.shard)
    assert seen is not None
    assert 2 == await reigns.claim(
        office.database, office.shard, seen=seen, holder="coordinator", nonce="n"
    )


def _outcome(answer: tuple[int, dict[str, Any]]) -> tuple[int, bool]:
    return answer[0], answer[1]["applied"]


async def test_discarded_is_still_drift(office: BoxOffice, parked: str) -> None:
    """What was given up is no longer an alarm of its own, but Redis has what the ledger lacks."""
    shard = str(office.shard)
    code, document = await run_quarantine(
        office, "discard", shard, "1", "3", "--by", "ada", "--why", "test", "--apply"
    )
    assert (0, "discarded") == (code, document["state"])
    codes = {v.code for v in (await office.check()).violations}
    assert "record_quarantined" not in codes
    assert "booking_lost" in codes
    code, document = await run_quarantine(office, "list", "--shard", shard, "--all")
    assert (0, "ada") == (code, document["quarantine"][0]["changed_by"])
    assert parked in document["quarantine"][0]["record"]


async def test_mark_without_a_row_is_reported(office: BoxOffice, parked: str) -> None:
    """I7: a mark in the archive whose record is in no table is a loss of its own."""
    await office.database.execute("DELETE FROM quarantine WHERE shard = $1", office.shard)
    found = [v for v in (await office.check()).violations if v.code == "quarantine_lost"]
    assert [3] == [violation.seq for violation in found]
    assert parked


async def test_f29_conflict_is_reported(office: BoxOffice) -> None:
    """F29: a conflict is drift until a human has made it good."""
    record = booked((await office.add_event()).event_id)
    await office.drain()
    assert set() == await office.codes()
    rival = quarantine.Parked(9, entry(9, record).raw, "seat taken", is_conflict=True)
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    await quarantine.park(connection, office.shard, 1, [rival])
    await connection.close()
    result = await office.check()
    (violation,) = result.violations
    assert 1 == result.exit_code
    assert ("I3", "record_in_conflict") == (violation.invariant, violation.code)
    assert record.booking_id == violation.booking_id
    code, document = await run_quarantine(office, "list")
    assert 1 == code
    assert office.shard in {row["shard"] for row in document["conflicts"]}
    code, text = await run(office, "quarantine", "list", "--shard", str(office.shard))
    assert 1 == code
    assert "conflict  seat taken" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["discard", "SHARD", "1", "99", "--by", "a", "--why", "b"], "no such record"),
        (["replay", "SHARD", "1", "3", "FILE", "--by", "a"], "record does not decode"),
        (["thaw", "SHARD"], "in quarantine still"),
    ],
)
async def test_refused(
    office: BoxOffice, parked: str, tmp_path: Path, words: list[str], expected: str
) -> None:
    """A change that cannot be is refused with its reason and exit code 1."""
    file = tmp_path / "mended.json"
    file.write_text("{}")
    given = {"SHARD": str(office.shard), "FILE": str(file)}
    code, text = await run(office, "quarantine", *(given.get(word, word) for word in words))
    assert 1 == code
    assert expected in text
    assert parked


async def test_postgresql_away(office: BoxOffice) -> None:
    """Without PostgreSQL the answer is exit code 2."""
    code, text = await run(
        office, "quarantine", "list", "--json", EVENTLY_DATABASE_URL="postgresql://127.0.0.1:1/none"
    )
    assert 2 == code
    assert "PostgreSQL" in json.loads(text)["error"]
