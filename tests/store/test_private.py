"""S28. What errors quote of people and secrets is left out of logs and of reasons that are kept."""

from __future__ import annotations

import asyncpg
import pytest

from engine.errors import CorruptRecord
from engine.records import Booked, Detail, Item, decode, encode
from store import quarantine, users
from store.private import scrubbed
from usecases.passwords import hash_now

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no account ann.b+c@mail.example.org here", "no account <address> here"),
        ("Key (lower(email))=(ann@example.org) already", "Key (lower(email))=(<address>) already"),
        ("jürgen@bücher.example, x", "<address>, x"),
        ("postgresql://me:secret@db.example.org/x", "postgresql://me:<address>/x"),
        (f"token {TOKEN}.", "token <left out>."),
        (f"key evk_0123456789ab_{'x' * 43}.", "key evk_0123456789ab_<left out>."),
        (f"device evd_0123456789ab_{'x' * 43}", "device evd_0123456789ab_<left out>"),
        (f'"evr_{"x" * 43}"', '"evr_<left out>"'),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer <left out>"),
        ('x {"a":1,"detail":{"special_requests":"wheels"}}', 'x {"a":1,"detail":<left out>'),
        ('{"detail":{},"b":1}', '{"detail":{},"b":1}'),
        ("lock wait of 5 s at evt_123, 100 % @ 3", "lock wait of 5 s at evt_123, 100 % @ 3"),
    ],
)
def test_s28_scrubbed(text: str, left: str) -> None:
    """S28: addresses, secrets and words of people go, and what operators need stays."""
    assert left == scrubbed(text)


async def test_s28_a_row_that_is_refused(database: asyncpg.Pool) -> None:
    """S28: what PostgreSQL says of a row that it refuses has the row; what is left has not."""
    secret = hash_now("x")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await users.add(
            database, email="ann@example.org", name="A" * 201, password_hash=secret, role="user"
        )
    said = str(caught.value)
    assert "ann@example.org" in said
    left = scrubbed(said)
    assert "users_name_check" in left
    for text in ("ann@", secret, "AAAA"):
        assert text not in left


def test_s28_a_damaged_record() -> None:
    """S28: a record that fails its check is quoted without what its buyer wrote."""
    record = Booked(
        version=2,
        at_ms=1,
        event_id="evt_1",
        booking_id="bk_1",
        user_id="usr_1",
        fingerprint="f",
        items=[Item(1, 1, 1)],
        detail=Detail(special_requests="wheels", metadata={"meal": "gluten"}),
    )
    raw = encode(record)
    with pytest.raises(CorruptRecord):
        decode(b"00000000" + raw[8:])
    reason = f"record fails its check by one flipped bit; it was {raw!r}"
    kept = quarantine.said(reason)
    assert "bk_1" in kept
    assert not [word for word in ("wheels", "gluten") if word in kept]
