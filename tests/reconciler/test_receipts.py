"""Receipts as evidence: the command that verifies them, and the records they become."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.calls import call_of
from engine.commands import Order
from engine.ids import new_id
from engine.receipts import Sealer, derive_key, key_id
from engine.records import Booked, Item, decode
from engine.verbs import BOOK
from reconciler.__main__ import app
from reconciler.recover.receipts import read_receipts
from tests.checks import make_booking_id

SIGNING_KEY = "s" * 43
AT_MS = 1_800_000_000_000
_KEY = derive_key(SIGNING_KEY)
PUBLIC = _KEY.public_key().public_bytes_raw()
PUBLIC_TEXT = base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")


def receipts(count: int, *, signing_key: str = SIGNING_KEY) -> tuple[list[Order], list[str]]:
    """Make bookings of one batch and their receipts; seq 1, 2, 3, ... of shard 2, epoch 4."""
    event_id = new_id("evt")
    orders = []
    for _ in range(count):
        user_id = new_id("usr")
        own_id = make_booking_id(event_id, user_id, "k")
        orders.append(Order(event_id, own_id, user_id, "f~CODE", b"{}", ((1, 1),)))
    replies = [
        b"BOOKED 4 %d %d 1:2:4500:s1-1+s1-2,2:1:9" % (seq, AT_MS) for seq in range(1, count + 1)
    ]
    batch = call_of(BOOK, 2, 4, orders).read(b"\n".join(replies)).batch
    assert batch is not None
    key = derive_key(signing_key)
    sealer = Sealer(key.sign, key.public_key().public_bytes_raw())
    return orders, [sealer.receipt(batch, order.id) for order in orders]


async def run(*words: str, given: str = "", key: str = SIGNING_KEY) -> tuple[int, str]:
    """Run the command with *given* on stdin."""
    result = await asyncio.to_thread(
        CliRunner().invoke,
        app,
        ["verify-receipt", *words],
        input=given,
        env={"EVENTLY_TICKET_SIGNING_KEY": key},
    )
    return result.exit_code, result.stdout


async def test_one_receipt() -> None:
    """A valid receipt: exit code 0, and a line that says what it proves."""
    [order], [text] = receipts(1)
    code, said = await run(text)
    assert 0 == code
    assert said.startswith(f"valid: booking {order.id} of {order.user_id}, event {order.event_id}")
    assert "2 of tier 1 (s1-1, s1-2), 1 of tier 2; shard 2, epoch 4, record 1" in said


async def test_many_from_stdin_as_json() -> None:
    """One object a line, and exit code 1 as soon as one is not valid."""
    orders, texts = receipts(3)
    code, said = await run("-", "--json", given="\n".join([*texts, ""]))
    assert 0 == code
    lines = [json.loads(line) for line in said.splitlines()]
    assert [order.id for order in orders] == [line["booking_id"] for line in lines]
    code, said = await run("-", "--json", given="\n".join([texts[0], texts[1][:-1], texts[2]]))
    assert 1 == code
    assert [True, False, True] == [json.loads(line)["valid"] for line in said.splitlines()]


@pytest.mark.parametrize("given", ["", "\n\n"])
async def test_nothing_is_not_valid(given: str) -> None:
    """No receipt at all is not a success."""
    assert (1, "") == await run("-", given=given)


async def test_keys() -> None:
    """The key may be named; one that did not sign makes it invalid; none at all is exit code 2."""
    _, [text] = receipts(1)
    assert 0 == (await run(text, "--key", PUBLIC_TEXT, key=""))[0]
    other = base64.urlsafe_b64encode(bytes(32)).decode()
    code, said = await run(text, "--key", other)
    assert 1 == code
    assert said.startswith("NOT VALID: no key ")
    assert 0 == (await run(text, "--key", other, "--key", PUBLIC_TEXT))[0]
    assert 2 == (await run(text, "--key", "short"))[0]
    assert 2 == (await run(text, key=""))[0]


def test_file_becomes_records(tmp_path: Path) -> None:
    """Verified receipts of a file become records, each once; each other line is reported."""
    orders, texts = receipts(3)
    _, [strange] = receipts(1, signing_key="x" * 43)
    path = tmp_path / "receipts"
    lines = [
        "# from the ticket office",
        texts[0],
        "",
        texts[1],
        texts[0],
        strange,
        "garbage",
        texts[2].replace(".", "A.", 1),
    ]
    path.write_text("\n".join(lines))
    reported: dict[int, str] = {}
    found = read_receipts(path, {key_id(PUBLIC): PUBLIC}, reported.__setitem__)
    assert {6, 7, 8} == set(reported)
    assert "no key" in reported[6]
    assert [(2, 4, 1), (2, 4, 2)] == [(one.shard, *one.row[:2]) for one in found]
    for order, proven in zip(orders, found, strict=False):
        record = decode(proven.row.record.encode())
        assert (
            Booked(
                version=1,
                at_ms=AT_MS,
                event_id=order.event_id,
                booking_id=order.id,
                user_id=order.user_id,
                fingerprint="f~CODE",
                items=[Item(1, 2, 4500, ("s1-1", "s1-2")), Item(2, 1, 9)],
            )
            == record
        )
