"""
Signed receipts: proof that a booking was acknowledged, for anyone with the published key.

A signature costs more than all else that a booking costs a worker, so the bookings of one batch
share one: they are the leaves of a hash tree (RFC 9162 section 2.1, SHA-256, leaves and nodes
hashed apart), whose root is signed with Ed25519. A receipt is the leaf and the path from it to
the root; it verifies alone and tells nothing of the others. docs/RECEIPTS.md has the format and a
verifier of twenty lines.

This module holds no key: who signs is handed in, and who verifies brings public keys.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.batches import Batch, Told
from engine.commands import Order
from engine.records import Item

VERSION = 1
KEY_ID_BYTES = 4
HASH_BYTES = 32
SEED_BYTES = 32
#: Longest text that is looked at; a receipt of ten seats has about 1200 characters.
RECEIPT_CHARS_MAX = 8_192
#: Before what is signed, so that no other signature of any key can be taken for it.
CONTEXT = b"evently receipt v1\0"
#: Version, key id, index, size, signature; the path follows.
_PROOF = struct.Struct(">B4sHH64s")
_SIZE = struct.Struct(">H")

Sign = Callable[[bytes], bytes]


class InvalidReceipt(Exception):
    """The text is no receipt, or none that the keys have signed."""


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a receipt says: the leaf of the tree."""

    v: Literal[1]
    booking_id: str
    event_id: str
    user_id: str
    #: Hash of the request, and with a promo code `~CODE`, as in the journal.
    fingerprint: str
    items: tuple[Item, ...]
    shard: int
    #: Place of the booking in the shard's journal.
    epoch: int
    seq: int
    #: Redis time of the booking, Unix ms.
    at_ms: int


_DECODER = msgspec.json.Decoder(Receipt)


class Signed(NamedTuple):
    """A tree whose root is signed."""

    leaves: list[bytes]
    #: The way of each leaf to the root.
    paths: list[bytes]
    signature: bytes
    #: What names the key that signed.
    key_id: bytes
    #: Where the booking of an id stands.
    index_of: dict[str, int]


class Sealer:
    """Makes receipts with one key."""

    def __init__(self, sign: Sign, public_key: bytes) -> None:
        """
        Args:
            sign: Returns the Ed25519 signature of a message.

            public_key: 32 bytes that verify it.
        """
        self._sign = sign
        self._key_id = key_id(public_key)

    def receipt(self, batch: Batch, booking_id: str) -> str:
        """
        Return the receipt of one booking of *batch*.

        Cost: one signature for the whole batch, at the first call; then a path each.
        """
        signed: Signed | None = batch.sealed
        if signed is None:
            signed = batch.sealed = self._seal(batch)
        index = signed.index_of[booking_id]
        # Of the key that signed: another may sign by now.
        proof = _PROOF.pack(VERSION, signed.key_id, index, len(signed.leaves), signed.signature)
        return f"{_text(signed.leaves[index])}.{_text(proof + signed.paths[index])}"

    def _seal(self, batch: Batch) -> Signed:
        leaves: list[bytes] = []
        index_of: dict[str, int] = {}
        for told in batch.told:
            own = booked_id(told)
            if own not in index_of:  # The same request may stand in a batch many times.
                index_of[own] = len(leaves)
                leaves.append(_leaf(batch.shard, own, told))
        levels = _tree([leaf_hash(leaf) for leaf in leaves])
        signature = self._sign(_message(len(leaves), levels[-1][0]))
        return Signed(leaves, _paths(levels), signature, self._key_id, index_of)


def booked_id(told: Told) -> str:
    """Return the id of the booking told of: a hold's or an offer's but for the prefix."""
    own: str = told.command.id
    return own if isinstance(told.command, Order) else "bk_" + own.partition("_")[2]


def fingerprint_of(told: Told) -> str:
    """Return the fingerprint of the booking that a reply tells of."""
    return told.command.fingerprint if isinstance(told.command, Order) else told.fingerprint


def verify(text: str, public_keys: Mapping[bytes, bytes]) -> Receipt:
    """
    Verify and read a receipt.

    Args:
        public_keys: Keys that may have signed it, 32 bytes each, by `key_id`.

    Raises:
        InvalidReceipt: the message says what is wrong with it.
    """
    if len(text) > RECEIPT_CHARS_MAX:
        raise InvalidReceipt("too long")
    one, _, other = text.partition(".")
    leaf, proof = _bytes(one), _bytes(other)
    path = proof[_PROOF.size :]
    if len(proof) < _PROOF.size or len(path) % HASH_BYTES:
        raise InvalidReceipt("its proof has another length")
    version, its_key_id, index, size, signature = _PROOF.unpack(proof[: _PROOF.size])
    if version != VERSION:
        raise InvalidReceipt(f"version {version} is not known")
    public_key = public_keys.get(its_key_id)
    if public_key is None:
        raise InvalidReceipt(f"no key {its_key_id.hex()} is known")
    hashes = [path[n : n + HASH_BYTES] for n in range(0, len(path), HASH_BYTES)]
    root = _root(leaf_hash(leaf), index, size, hashes)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _message(size, root))
    except InvalidSignature as error:
        raise InvalidReceipt("the signature is not of this booking") from error
    try:
        return _DECODER.decode(leaf)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidReceipt(f"signed, but not a booking: {error}") from error


def signing_seed(text: str) -> bytes:
    """
    Read a key that signs tickets: 32 bytes in base64url, the seed of an Ed25519 key.

    Raises:
        ValueError: it is not that.
    """
    try:
        seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a ticket signing key has {SEED_BYTES} bytes, not {len(seed)}")
    return seed


def derive_key(ticket_signing_key: str) -> Ed25519PrivateKey:
    """
    Derive the receipts' key from the one that signs tickets, so that neither can sign the other's.

    Raises:
        ValueError: the text is no such key.
    """
    seed = hmac.digest(signing_seed(ticket_signing_key), b"evently receipt key", "sha256")
    return Ed25519PrivateKey.from_private_bytes(seed)


def key_id(public_key: bytes) -> bytes:
    """Return what names a public key in a receipt."""
    return sha256(public_key).digest()[:KEY_ID_BYTES]


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf; the byte in front keeps it from being taken for a node."""
    return sha256(b"\0" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _leaf(shard: int, own_id: str, told: Told) -> bytes:
    """
    Write what a receipt says, as JSON.

    Put together by hand as the scripts do it: ids and fingerprints have no character to escape.
    """
    command = told.command
    return (
        f'{{"v":1,"booking_id":"{own_id}","event_id":"{command.event_id}",'
        f'"user_id":"{command.user_id}","fingerprint":"{fingerprint_of(told)}",'
        f'"items":{told.item_rows},"shard":{shard},"epoch":{told.epoch},'
        f'"seq":{told.seq},"at_ms":{told.at_ms}}}'
    ).encode()


def _tree(hashes: list[bytes]) -> list[list[bytes]]:
    """Return all levels of the tree; a node without a neighbour moves up as it is."""
    levels = [hashes]
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        above = [sha256(b"\1" + left + right).digest() for left, right in pairs]
        if len(hashes) % 2:
            above.append(hashes[-1])
        levels.append(above)
        hashes = above
    return levels


def _paths(levels: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return for each leaf the neighbours on its way to the root; made from the root down."""
    paths = [b""]
    for level in reversed(levels[:-1]):
        paths = [
            level[n ^ 1] + paths[n >> 1] if n ^ 1 < len(level) else paths[n >> 1]
            for n in range(len(level))
        ]
    return paths


def _root(node: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a leaf and its path lead to (RFC 9162 section 2.1.3.2)."""
    last = size - 1
    if index > last:
        raise InvalidReceipt("its place is outside the tree")
    for neighbour in path:
        if last == 0:
            raise InvalidReceipt("its path is too long")
        if index & 1 or index == last:
            node = _node_hash(neighbour, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = _node_hash(node, neighbour)
        index, last = index >> 1, last >> 1
    if last:
        raise InvalidReceipt("its path is too short")
    return node


def _message(size: int, root: bytes) -> bytes:
    return CONTEXT + _SIZE.pack(size) + root


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _text(raw: bytes) -> str:
    # As `base64.urlsafe_b64encode` without padding, in one step less per byte.
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def _bytes(text: str) -> bytes:
    """Read base64url; the very spelling, so that one receipt has one text."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidReceipt("not base64url") from error
    if _text(raw) != text:
        raise InvalidReceipt("another spelling")
    return raw
