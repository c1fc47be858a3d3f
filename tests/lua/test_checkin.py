"""`checkin`: a ticket passes once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import pytest

from engine import keys, scripts
from engine.ids import new_id, ticket_id
from engine.records import CheckedIn, CheckInUndone, ScanRefused
from engine.values import parse_scans
from tests.checks import ask, journal, rows_of
from tests.lua.world import Command, Till, dump


async def test_checked_in_once(till: Till, booking: Command) -> None:
    """The first scan passes; the second says when and where the first was."""
    status, epoch, seq, at_ms, _ = await till.checkin(booking, 3)
    assert ("CHECKED_IN", "1", "3") == (status, epoch, seq)
    assert ["ALREADY_CHECKED_IN", str(at_ms), "north"] == await till.checkin(
        booking, 3, gate="south"
    )
    record = (await journal(till.redis, till.shard))[-1].record
    assert isinstance(record, CheckedIn)
    assert (ticket_id(till.booking(booking), 3), "north", "usr_s") == (
        record.ticket_id,
        record.gate,
        record.by,
    )


async def test_race_at_the_gates(till: Till, booking: Command) -> None:
    """Of 50 scans of one ticket at the same time exactly one passes."""
    replies = await asyncio.gather(*(till.checkin(booking) for _ in range(50)))
    counts = Counter(reply[0] for reply in replies)
    assert Counter({"CHECKED_IN": 1, "ALREADY_CHECKED_IN": 49}) == counts


async def test_the_same_scan_again(till: Till, booking: Command) -> None:
    """A scan sent again gets its first answer, whatever came since; another one's id is refused."""
    _, *place, _ = await till.checkin(booking, scan_id="scan-a", scanned_at_ms=5)
    again = ["REPLAYED", *map(str, place)]
    before = await dump(till.redis, till.shard)
    assert again == await till.checkin(booking, scan_id="scan-a", scanned_at_ms=5)
    for other in ({"gate": "south"}, {"scanned_at_ms": 6}):
        words: dict[str, Any] = {"scanned_at_ms": 5} | other
        reply = await till.checkin(booking, scan_id="scan-a", **words)
        assert ["IDEMPOTENCY_KEY_REUSED"] == reply
    assert ["IDEMPOTENCY_KEY_REUSED"] == await till.undo(booking, scan_id="scan-a")
    assert before == await dump(till.redis, till.shard)
    await till.undo(booking, scan_id="scan-b")
    assert again == await till.checkin(booking, scan_id="scan-a", scanned_at_ms=5)
    assert "CHECKED_IN" == (await till.checkin(booking, scan_id="scan-c"))[0]
    assert "REPLAYED" == (await till.undo(booking, scan_id="scan-b"))[0]
    await till.cancel(booking)
    assert again == await till.checkin(booking, scan_id="scan-a", scanned_at_ms=5)


async def test_both_gates_scans_are_on_record(till: Till, booking: Command) -> None:
    """Who comes too late is refused, on record, and told so again; the ticket stays as it was."""
    _, _, seq, at_ms, _ = await till.checkin(booking, scan_id="scan-a")
    late = await till.checkin(booking, gate="south", scan_id="scan-b", scanned_at_ms=7)
    assert ["SCAN_REFUSED", "1", str(int(seq) + 1)] == late[:3]
    assert [str(at_ms), "north"] == late[4:-1]
    await till.undo(booking, scan_id="scan-c")
    before = await dump(till.redis, till.shard)
    again = await till.checkin(booking, gate="south", scan_id="scan-b", scanned_at_ms=7)
    assert ["ALREADY_CHECKED_IN", str(at_ms), "north", 1] == again
    assert before == await dump(till.redis, till.shard)
    records: list[Any] = [one.record for one in await journal(till.redis, till.shard)][-3:]
    assert [CheckedIn, ScanRefused, CheckInUndone] == [type(record) for record in records]
    assert ("scan-b", 7, "south") == (records[1].scan_id, records[1].scanned_at_ms, records[1].gate)
    past = [scan.scan_id for scan in parse_scans(records[2].scans)]
    assert ["scan-a", "scan-b", "scan-c"] == past


async def test_what_a_ticket_remembers_is_bounded(till: Till, booking: Command) -> None:
    """The first sixteen scans stay known; later ones are answered all the same."""
    statuses = [(await till.checkin(booking, scan_id=f"scan-{n}"))[0] for n in range(16)]
    assert ["CHECKED_IN", *["SCAN_REFUSED"] * 15] == statuses
    before = await dump(till.redis, till.shard)
    reply = await till.checkin(booking, scan_id="scan-16")
    assert ("ALREADY_CHECKED_IN", 3) == (reply[0], len(reply))
    assert "REPLAYED" == (await till.checkin(booking, scan_id="scan-0"))[0]
    assert before == await dump(till.redis, till.shard)
    assert "CHECK_IN_UNDONE" == (await till.undo(booking, scan_id="scan-17"))[0]
    assert "REPLAYED" == (await till.checkin(booking, scan_id="scan-0"))[0]


async def test_version_1_knows_no_scans(till: Till, booking: Command) -> None:
    """In a reign of version 1 a scan is known by what it does, and the row is as it was."""
    text = scripts.render("checkin", "version-1", 1)
    sha = (await ask(till.redis, "SCRIPT", "LOAD", text)).decode()
    shas = {**till.reign.script_shas, "checkin": sha}
    till.reign = dataclasses.replace(till.reign, script_shas=shas)
    assert "CHECKED_IN" == (await till.checkin(booking, scan_id="scan-a"))[0]
    assert "ALREADY_CHECKED_IN" == (await till.checkin(booking, scan_id="scan-a"))[0]
    [row] = (await rows_of(till.redis, keys.event(till.shard, till.event).tickets)).values()
    assert 8 == len(row.split())
    record = (await journal(till.redis, till.shard))[-1]
    assert b"scan" not in record.raw
    assert 1 == record.record.version


@pytest.mark.parametrize("number", [0, 4, -1, 11])
async def test_no_such_ticket(till: Till, booking: Command, number: int) -> None:
    """A number outside the booking's places is NOT_FOUND, as is an unknown booking."""
    assert ["NOT_FOUND"] == await till.checkin(booking, number)
    assert ["NOT_FOUND"] == await till.checkin(Command(new_id("usr")), 1)
    assert ["NOT_FOUND"] == await till.transfer(booking, new_id("usr"), number)


async def test_cancelled_booking_does_not_pass(till: Till, booking: Command) -> None:
    """No ticket of a cancelled booking passes."""
    await till.cancel(booking)
    assert ["TICKET_CANCELLED"] == await till.checkin(booking)
    assert ["TICKET_CANCELLED"] == await till.undo(booking)
    assert ["TICKET_CANCELLED"] == await till.transfer(booking, new_id("usr"))


async def test_f24_backpressure(till: Till, booking: Command) -> None:
    """F24: with no room in the backlog every verb is refused and changes nothing."""
    await till.set_meta(backlog_max=1)
    before = await dump(till.redis, till.shard)
    assert ["BACKPRESSURE"] == await till.checkin(booking)
    assert ["BACKPRESSURE"] == await till.transfer(booking, new_id("usr"))
    assert ["BACKPRESSURE"] == await till.cut(booking, "1:1")
    assert ["BACKPRESSURE"] == await till.one("close")
    assert ["BACKPRESSURE"] == await till.one("reopen", 8_000_000_000_000)
    assert ["BACKPRESSURE"] == await till.one("set_capacity", "1:20")
    assert ["BACKPRESSURE"] == await till.alone("cancel_event")
    assert before == await dump(till.redis, till.shard)
