"""Journal records: what scripts write is decoded exactly, and anything else is refused."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine import framing
from engine.commands import Own
from engine.engine import Engine
from engine.errors import CorruptRecord
from engine.ids import new_id
from engine.outcomes import Booked as BookedReply
from engine.records import (
    CHECK_CHARS,
    VERSIONS,
    Booked,
    Cancelled,
    Damaged,
    Detail,
    Entry,
    Item,
    Published,
    Record,
    decode,
    frame,
    read_call,
    read_entries,
)
from tests.checks import journal
from tests.engine.conftest import order, publish

#: Sealed records, a line each.
KEPT = Path(__file__).parents[1] / "kept" / "records.txt"
BOOKED = {
    "kind": "booked",
    "version": 1,
    "at_ms": 1,
    "event_id": "evt_a",
    "booking_id": "bk_a",
    "user_id": "usr_a",
    "fingerprint": "f",
    "items": [[1, 2, 300]],
    "detail": {},
}


def sealed(body: bytes) -> bytes:
    """Put the check before *body*."""
    return sha1(body, usedforsecurity=False).hexdigest()[:8].encode() + body


def encode(record: dict[str, Any]) -> bytes:
    """Write a record as a script would."""
    return sealed(msgspec.json.encode(record))


def test_decode() -> None:
    """A record as scripts write it decodes to its type."""
    expected = Booked(
        version=1,
        at_ms=1,
        event_id="evt_a",
        booking_id="bk_a",
        user_id="usr_a",
        fingerprint="f",
        items=[Item(1, 2, 300)],
        detail=Detail(),
    )
    assert expected == decode(encode(BOOKED))


def test_f9_every_flipped_bit_is_found() -> None:
    """F9: no single bit of a record can flip unnoticed."""
    raw = encode(BOOKED)
    for position in range(8 * len(raw)):
        bad = bytearray(raw)
        bad[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptRecord):
            decode(bytes(bad))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 50])
def test_f9_torn_record(size: int) -> None:
    """F9: a record that was cut short is corrupt."""
    with pytest.raises(CorruptRecord):
        decode(encode(BOOKED)[:size])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "unheard_of"},
        {"kind": None},
        {"detail": None},
        {"items": [[1, 2]]},
        {"items": [[1, 2, 3.5]]},
        {"at_ms": "1"},
        {"version": None},
        {"version": 0},
        {"version": VERSIONS[-1] + 1},
    ],
    ids=str,
)
def test_other_content_is_corrupt(change: dict[str, Any]) -> None:
    """An unknown kind or version or a wrong type is no record, check or not."""
    with pytest.raises(CorruptRecord):
        decode(encode(BOOKED | change))


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_of_later_code_are_left_out(version: int) -> None:
    """What is added without a new version is optional: it is as if it were not there."""
    plain = BOOKED | {"version": version}
    later = plain | {"later": [1], "detail": {"later": 1}, "items": [[1, 2, 300, [], "later"]]}
    assert decode(encode(plain)) == decode(encode(later))


@pytest.mark.parametrize("version", VERSIONS)
def test_kept_records_decode_for_ever(version: int) -> None:
    """One record of each kind and shape, as it was written once: all that it says is still read."""
    lines = KEPT.read_bytes().splitlines()
    kept = [line for line in lines if b'"version":%d,' % version in line]
    kinds = {one.__struct_config__.tag for one in Record.__args__}
    assert kinds == {msgspec.json.decode(line[CHECK_CHARS:])["kind"] for line in kept}
    for line in kept:
        read = msgspec.json.decode(msgspec.json.encode(decode(line)))
        assert says(read, msgspec.json.decode(line[CHECK_CHARS:])), line


def says(read: Any, said: Any) -> bool:
    """Tell whether what was read has all that was said; it may have defaults besides."""
    if isinstance(said, dict):
        return all(name in read and says(read[name], said[name]) for name in said)
    if isinstance(said, list):
        return len(read) >= len(said) and all(map(says, read, said))
    return bool(read == said)


@pytest.mark.parametrize("name", [name for name in BOOKED if name != "detail"])
def test_missing_field_is_corrupt(name: str) -> None:
    """A record without one of its fields is corrupt."""
    with pytest.raises(CorruptRecord):
        decode(encode({key: value for key, value in BOOKED.items() if key != name}))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"{}x", b"\xff\xfe", b"{} {}"])
def test_other_json_is_corrupt(body: bytes) -> None:
    """What is not one JSON object is corrupt, though its check agrees."""
    with pytest.raises(CorruptRecord):
        decode(sealed(body))


def test_read_entries() -> None:
    """A stream entry has the records of one call; its id is the last one's seq."""
    first, last = encode(BOOKED), encode(BOOKED | {"at_ms": 7})
    entries = read_entries(b"42-1", {b"records": frame([first, last])})
    assert [(41, first, decode(first)), (42, last, decode(last))] == [
        (entry.seq, entry.raw, entry.record) for entry in entries
    ]


def test_entry_that_begins_before_the_first_seq_is_corrupt() -> None:
    """More records than the id has room for cannot be ours."""
    with pytest.raises(CorruptRecord):
        read_entries(b"1-1", {b"records": frame([encode(BOOKED)] * 2)})


@pytest.mark.parametrize("entry_id", [b"42-0", b"42-2", b"42", b"-1", b"x-1", b"1-1-1", b" 1-1"])
def test_f33_other_ids_are_corrupt(entry_id: bytes) -> None:
    """F33: an id that is not our own sequence, such as the clock's, is corrupt."""
    with pytest.raises(CorruptRecord):
        read_entries(entry_id, {b"records": frame([encode(BOOKED)])})


def test_entry_without_the_field_is_corrupt() -> None:
    """An entry without the field `records` is corrupt."""
    with pytest.raises(CorruptRecord):
        read_entries(b"1-1", {b"other": frame([encode(BOOKED)])})


#: Two templates, one with a detail of one's own, and a record by itself: seqs 5..9.
CALL = b"""={"kind":"booked","version":1,"at_ms":1,"event_id":"evt_%a","booking_id":"\t",\
"user_id":"\t","fingerprint":"\t","items":[[1,2,300]],"detail":{}}
0\tbk_a\tusr_a\tf
0\tbk_b\tusr_b\tg
={"kind":"booked","version":1,"at_ms":1,"event_id":"evt_%a","booking_id":"\t",\
"user_id":"\t","fingerprint":"\t","items":[[2,1,100]],"detail":\t}
1\tbk_c\tusr_c\th\t{"special_requests":"%s"}
{"kind":"cancelled","version":1,"at_ms":1,"event_id":"evt_b","booking_id":"bk_b","user_id":"usr_b",\
"items":[[1,2,300]]}
0\tbk_d\tusr_d\ti"""
CALL_ID = b"9-1"


def call_of(text: bytes) -> list[Entry | Damaged]:
    """Read an entry that has *text*."""
    return read_call(CALL_ID, {b"records": text})


def test_templates() -> None:
    """Records of a template are what their values make of it, in the order of the lines."""
    entries = read_entries(CALL_ID, {b"records": framing.add_check(CALL)})
    assert ["bk_a", "bk_b", "bk_c", "bk_b", "bk_d"] == [
        entry.record.booking_id  # type: ignore[union-attr]
        for entry in entries
    ]
    assert [5, 6, 7, 8, 9] == [entry.seq for entry in entries]
    assert entries == call_of(framing.add_check(CALL))
    assert entries[2].raw == encode(
        BOOKED
        | {
            "event_id": "evt_%a",
            "booking_id": "bk_c",
            "user_id": "usr_c",
            "fingerprint": "h",
            "items": [[2, 1, 100]],
            "detail": {"special_requests": "%s"},
        }
    )
    assert [decode(entry.raw) for entry in entries] == [entry.record for entry in entries]


@pytest.mark.parametrize("line", [b"2\tbk_a\tusr_a\tf", b"0\tbk_a", b"0\ta\tb\tc\td", b"", b"="])
def test_f28_line_that_no_template_fits_is_parked_alone(line: bytes) -> None:
    """F28: a line that makes no record, though the check agrees, costs no other one."""
    found = call_of(framing.add_check(CALL.replace(b"0\tbk_d\tusr_d\ti", line + b"\n0\ta\tb\tc")))
    kinds = [isinstance(one, Damaged) for one in found]
    assert kinds == ([False] * 5 if line == b"=" else [*[False] * 4, True, False])
    assert found[-1].seq == 9


def test_f9_every_flipped_bit_of_an_entry_is_found() -> None:
    """F9: no single bit of an entry can flip unnoticed."""
    text = framing.add_check(CALL)
    for position in range(8 * len(text)):
        bad = bytearray(text)
        bad[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptRecord):
            read_entries(CALL_ID, {b"records": bytes(bad)})


def test_f9_flipped_bit_costs_the_records_it_is_in() -> None:
    """F9: a flipped bit in a record damages it alone; in a template, those that are made of it."""
    text = framing.add_check(CALL)
    whole = call_of(text)
    first = text.index(b"0\tbk_b")
    for at in range(len(text)):
        bad = bytearray(text)
        bad[at] ^= 1 << at % 8
        found = call_of(bytes(bad))
        damaged = [one.seq for one in found if isinstance(one, Damaged)]
        assert damaged
        assert [5, 6, 7, 8, 9] == [one.seq for one in found]
        assert all(one in whole for one in found if one.seq not in damaged)
        for one in found:
            if isinstance(one, Damaged) and at >= framing.CHECK_CHARS:
                assert "fails its check" in one.reason
                with pytest.raises(CorruptRecord):
                    decode(one.raw)
        if first <= at < first + len(b"0\tbk_b\tusr_b\tg"):
            assert [6] == damaged


@pytest.mark.parametrize("at", [0, 45, 200, -1])
def test_f9_more_than_a_bit_costs_the_entry(at: int) -> None:
    """F9: where no flipped bit explains it, no record of the entry is trusted; all are kept."""
    bad = bytearray(framing.add_check(CALL))
    bad[at] ^= 3
    found = call_of(bytes(bad))
    assert [5, 6, 7, 8, 9] == [one.seq for one in found if isinstance(one, Damaged)]


def test_f9_large_entries_are_not_searched() -> None:
    """F9: an entry too large to be searched is damaged as a whole."""
    detail = b'{"special_requests":"%b"}' % (b"x" * framing.SEARCHED_BYTES_MAX)
    bad = bytearray(framing.add_check(CALL.replace(b'{"special_requests":"%s"}', detail)))
    bad[-1] ^= 1
    assert 5 == len([one for one in call_of(bytes(bad)) if isinstance(one, Damaged)])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
METADATA = st.dictionaries(TEXT, TEXT | NUMBERS | st.booleans() | st.none(), max_size=4)
DETAILS = st.builds(Detail, special_requests=TEXT, metadata=METADATA)
LINES = st.dictionaries(st.integers(1, 3), st.integers(1, 3), min_size=1, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(detail=DETAILS, lines=LINES)
async def test_i8_round_trip_through_the_scripts(
    engine: Engine, redis: Redis, shard: int, detail: Detail, lines: dict[int, int]
) -> None:
    """I8: what scripts write of an order, whatever its text, decodes to that order."""
    event, user = new_id("evt"), new_id("usr")
    await publish(engine, shard, event, 9, 9, 9)
    items = tuple(lines.items())
    command = order(event, user, *items, detail=msgspec.json.encode(detail))
    reply = await engine.book(shard, command)
    assert isinstance(reply, BookedReply)
    await engine.cancel(shard, Own(event, command.id, user))
    published, booked, cancelled = (e.record for e in (await journal(redis, shard))[-3:])
    assert isinstance(published, Published)
    assert isinstance(cancelled, Cancelled)
    assert list(reply.items) == cancelled.items
    assert booked == Booked(
        version=2,
        at_ms=reply.at_ms,
        event_id=event,
        booking_id=command.id,
        user_id=user,
        fingerprint="f1",
        items=[Item(tier_no, quantity, 100) for tier_no, quantity in items],
        detail=detail,
    )
