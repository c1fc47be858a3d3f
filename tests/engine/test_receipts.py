"""Receipts: each booking of a batch proves itself, and nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import receipts
from engine.batches import Batch
from engine.calls import call_of
from engine.commands import Order, Own
from engine.ids import booking_of_hold, hold_id, new_id
from engine.outcomes import Booked, Refused
from engine.receipts import InvalidReceipt, Receipt, Sealer, verify
from engine.records import Item
from engine.status import Status
from engine.verbs import BOOK, CONFIRM
from tests.checks import make_booking_id

DOCUMENT = Path(__file__).parents[2] / "docs" / "RECEIPTS.md"
EVENT = new_id("evt")
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
KEYS = {receipts.key_id(PUBLIC): PUBLIC}
AT_MS = 1_800_000_000_000

Verifier = Callable[[str, str], dict[str, Any]]


def sealer() -> Sealer:
    """Make what signs."""
    return Sealer(KEY.sign, PUBLIC)


def landed(size: int, *, shard: int = 3, first_seq: int = 1) -> tuple[list[str], Batch]:
    """Let a batch of *size* bookings land; return their ids, too."""
    orders = []
    for number in range(size):
        user_id = f"usr_{number:026}"
        own_id = make_booking_id(EVENT, user_id, "k")
        orders.append(Order(EVENT, own_id, user_id, f"f{number}", b"{}", ((1, 1),)))
    replies = [
        b"BOOKED 7 %d %d 1:2:4500,2:1:100:s1-4" % (seq, AT_MS)
        for seq in range(first_seq, first_seq + size)
    ]
    batch = call_of(BOOK, shard, 7, orders).read(b"\n".join(replies)).batch
    assert batch is not None
    return [order.id for order in orders], batch


def parts(receipt: str) -> tuple[bytes, bytes]:
    """Return statement and proof."""
    leaf, proof = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in receipt.split(".")
    )
    return leaf, proof


def joined(leaf: bytes, proof: bytes) -> str:
    """Make a receipt of statement and proof."""
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (leaf, proof))


def rfc_root(hashes: list[bytes]) -> bytes:
    """Return the root as RFC 9162 section 2.1.1 defines it, which is not how we compute it."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = rfc_root(hashes[:split]), rfc_root(hashes[split:])
    return sha256(b"\1" + left + right).digest()


def documented() -> Verifier:
    """Return the verifier of docs/RECEIPTS.md, as it is written there."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  Our own document.
    verifier: Verifier = names["verify"]
    return verifier


def test_says_what_was_booked() -> None:
    """A receipt says who booked what, at what price, which seats, and where it stands."""
    [own_id], batch = landed(1, first_seq=12)
    assert Receipt(
        v=1,
        booking_id=own_id,
        event_id=EVENT,
        user_id=f"usr_{0:026}",
        fingerprint="f0",
        items=(Item(1, 2, 4500), Item(2, 1, 100, ("s1-4",))),
        shard=3,
        epoch=7,
        seq=12,
        at_ms=AT_MS,
    ) == verify(sealer().receipt(batch, own_id), KEYS)


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 128))
def test_every_booking_of_a_batch_verifies(size: int) -> None:
    """Whatever the size of the batch, each receipt verifies, by us and by the documented code."""
    ids, batch = landed(size)
    signs: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signs.append(message)
        return KEY.sign(message)

    shared = Sealer(sign, PUBLIC)
    public_text = base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")
    check = documented()
    leaves = []
    for own_id in ids:
        receipt = shared.receipt(batch, own_id)
        assert own_id == verify(receipt, KEYS).booking_id
        assert own_id == check(receipt, public_text)["booking_id"]
        leaves.append(sha256(b"\0" + parts(receipt)[0]).digest())
    root = rfc_root(leaves)
    assert [b"evently receipt v1\0" + size.to_bytes(2, "big") + root] == signs


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 128), data=st.data())
def test_a_path_fits_its_own_booking_alone(size: int, data: st.DataObject) -> None:
    """A statement with the proof of another booking, of its batch or another's, is refused."""
    ids, batch = landed(size)
    others, other_batch = landed(size, first_seq=1_000)
    one = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    leaf, proof = parts(sealer().receipt(batch, ids[one]))
    _, strange = parts(sealer().receipt(other_batch, others[other]))
    with pytest.raises(InvalidReceipt):
        verify(joined(leaf, strange), KEYS)
    if one != other:
        _, neighbour = parts(sealer().receipt(batch, ids[other]))
        with pytest.raises(InvalidReceipt):
            verify(joined(leaf, neighbour), KEYS)
    assert verify(joined(leaf, proof), KEYS)


@pytest.mark.parametrize("field", Receipt.__struct_fields__)
def test_no_field_can_be_changed(field: str) -> None:
    """A receipt of which any field says something else is refused, by the documented code too."""
    ids, batch = landed(5)
    leaf, proof = parts(sealer().receipt(batch, ids[2]))
    told = msgspec.json.decode(leaf)
    other: Any = told[field] + 1 if isinstance(told[field], int) else f"{told[field]}x"
    if field == "items":
        other = [[1, 3, 4500], *told["items"][1:]]
    forged = joined(msgspec.json.encode(told | {field: other}), proof)
    assert leaf == msgspec.json.encode(told)
    with pytest.raises(InvalidReceipt):
        verify(forged, KEYS)
    with pytest.raises((InvalidSignature, AssertionError)):
        documented()(forged, base64.urlsafe_b64encode(PUBLIC).decode())


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_no_bit_can_be_changed(size: int) -> None:
    """A receipt with any bit of statement or proof flipped is refused."""
    ids, batch = landed(size)
    receipt = sealer().receipt(batch, ids[-1])
    leaf, proof = parts(receipt)
    for at in range(8 * len(proof)):
        flipped = bytearray(proof)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(InvalidReceipt):
            verify(joined(leaf, bytes(flipped)), KEYS)
    for at in range(0, 8 * len(leaf), 7):
        flipped = bytearray(leaf)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(InvalidReceipt):
            verify(joined(bytes(flipped), proof), KEYS)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: ".",
        lambda text: text.replace(".", ""),
        lambda text: text + ".",
        lambda text: text + "A",
        lambda text: text + "=",
        lambda text: " " + text,
        lambda text: text[:-40],
        lambda text: text.partition(".")[0] + ".",
        lambda text: "." + text.partition(".")[2],
        lambda text: "\u00e9" + text,
        lambda text: text + "A" * receipts.RECEIPT_CHARS_MAX,
        lambda text: joined(parts(text)[0], parts(text)[1] + bytes(32)),
        lambda text: joined(parts(text)[0], parts(text)[1][:-32]),
    ],
)
def test_what_is_no_receipt_is_refused(change: Callable[[str], str]) -> None:
    """Garbage, cut and lengthened receipts are refused and never an error of another kind."""
    ids, batch = landed(5)
    with pytest.raises(InvalidReceipt):
        verify(change(sealer().receipt(batch, ids[1])), KEYS)


def test_another_key_is_refused() -> None:
    """A receipt signed by a key that nobody published is refused, even under the right key's id."""
    [own_id], batch = landed(1)
    stranger = Ed25519PrivateKey.generate()
    forged = Sealer(stranger.sign, PUBLIC).receipt(batch, own_id)
    with pytest.raises(InvalidReceipt, match="signature"):
        verify(forged, KEYS)
    with pytest.raises(InvalidReceipt, match="no key"):
        verify(forged, {})


def test_node_is_no_leaf() -> None:
    """Inner hashes cannot be passed off as a booking: leaves and nodes are hashed apart."""
    ids, batch = landed(2)
    leaf, proof = parts(sealer().receipt(batch, ids[0]))
    node = sha256(b"\0" + leaf).digest() + proof[-32:]
    shorter = proof[:5] + bytes(2) + (1).to_bytes(2, "big") + proof[9:73]
    with pytest.raises(InvalidReceipt):
        verify(joined(node, shorter), KEYS)


def test_repeated_requests_of_a_batch_share_a_leaf() -> None:
    """A booking that stands in its batch many times has one leaf, and one receipt."""
    [own_id], batch = landed(1)
    again = batch.told[0]._replace(is_made=False)
    both = Batch(batch.shard, batch.epoch, [*batch.told, again])
    assert sealer().receipt(batch, own_id) == sealer().receipt(both, own_id)


def test_confirmed_hold_has_the_receipt_of_its_booking() -> None:
    """A confirmation is told by the hold's id, and its receipt by the booking's."""
    user_id = new_id("usr")
    hold = hold_id(event_id=EVENT, user_id=user_id, idempotency_key="k")
    replies: list[list[Any]] = [[b"REPLAYED", b"6", b"4", b"9", b"1:1:100", b"f~CODE"]]
    batch = call_of(CONFIRM, 3, 7, [Own(EVENT, hold, user_id)]).read(replies).batch
    assert batch is not None
    receipt = verify(sealer().receipt(batch, booking_of_hold(hold)), KEYS)
    assert (booking_of_hold(hold), "f~CODE", 6, 4) == (
        receipt.booking_id,
        receipt.fingerprint,
        receipt.epoch,
        receipt.seq,
    )


def test_refused_commands_are_no_part_of_a_batch() -> None:
    """Who was refused gets no receipt, and a batch of refusals alone is none."""
    ids, _ = landed(2)
    orders = [Order(EVENT, own_id, "usr", "f", b"{}", ((1, 1),)) for own_id in ids]
    refusal, made = b"SOLD_OUT 1 0", b"BOOKED 7 1 %d 1:1:100" % AT_MS
    sold_out = Refused(Status.SOLD_OUT, {"line": 1, "available": 0})
    call = call_of(BOOK, 3, 7, orders)
    outcomes, last_seq, batch = call.read(b"\n".join([refusal, made]))
    assert batch is not None
    booked = Booked(7, 1, AT_MS, is_replay=False, items=(Item(1, 1, 100),), batch=batch)
    assert ([sold_out, booked], 1) == (outcomes, last_seq)
    assert [orders[1]] == [told.command for told in batch.told]
    assert ([sold_out] * 2, 0, None) == call.read(b"\n".join([refusal] * 2))


@pytest.mark.parametrize("text", ["", "short", "t" * 42, "!" * 43])
def test_bad_signing_key_is_refused(text: str) -> None:
    """A receipts' key is derived from a whole ticket key or not at all."""
    with pytest.raises(ValueError, match="32 bytes"):
        receipts.derive_key(text)


def test_derived_key_is_another_key() -> None:
    """The receipts' key is not the tickets' key, and always the same."""
    text = base64.urlsafe_b64encode(b"s" * 32).decode()
    derived = receipts.derive_key(text).private_bytes_raw()
    assert derived == receipts.derive_key(text.rstrip("=")).private_bytes_raw()
    assert derived != b"s" * 32
