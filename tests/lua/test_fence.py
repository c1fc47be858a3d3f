"""The first argument of every script: the epoch, and what the caller has seen (`read_epoch`)."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.linker import source
from engine.scripts import NAMES
from tests.checks import ask, snapshot
from tests.lua.world import Command, Till


@pytest.mark.parametrize("name", NAMES)
def test_every_script_hands_on_what_was_seen(name: str) -> None:
    """No script forgets to hand what the caller has seen to the door."""
    text = source(name)
    assert "local epoch, seen_seq = read_epoch(ARGV[1])" in text
    body = text.partition("\n]]\n")[2]
    assert "epoch, seen_seq)" in body.rpartition("enter(")[2] or "if seq < seen_seq then" in body


async def test_epoch_with_what_was_seen(till: Till, user: str) -> None:
    """Who has seen no more than there is gets in, and records keep the bare epoch."""
    await till.publish()
    epoch = till.reign.epoch
    for n, seen in enumerate((f"{epoch}", f"{epoch}:0", f"{epoch}:1", f"{epoch}:4")):
        till.epoch = seen  # type: ignore[assignment]
        [[status, its_epoch, seq, *_]] = await till.book(Command(user, (1, 1), key=str(n)))
        assert ("BOOKED", str(epoch), str(n + 2)) == (status, its_epoch, seq)


async def test_f5_f10_f12_lost_records_are_noticed(till: Till, user: str) -> None:
    """F5, F10, F12: Redis with fewer records than the caller has seen refuses."""
    await till.publish()
    before = await snapshot(till.redis, till.shard)
    till.epoch = f"{till.reign.epoch}:2"  # type: ignore[assignment]
    with pytest.raises(ResponseError, match=r"^FENCED 1 lost: it ends at 1$"):
        await till.book(Command(user, (1, 1)))
    with pytest.raises(ResponseError, match=r"^FENCED 1 lost"):
        await till.availability()
    assert before == await snapshot(till.redis, till.shard)


@pytest.mark.parametrize("text", ["", "1:", ":1", "1:-1", "1:1:1", "1:x", "2:1", " 1", "1.0", "01"])
async def test_what_is_no_epoch_is_fenced(till: Till, user: str, text: str) -> None:
    """Anything but the shard's epoch, alone or with a number behind it, is fenced."""
    await till.publish()
    till.epoch = text  # type: ignore[assignment]
    with pytest.raises(ResponseError, match=r"^FENCED 1 open$"):
        await till.book(Command(user, (1, 1)))


async def test_a_shut_shard_says_so_first(till: Till, user: str) -> None:
    """A shard under recovery is fenced as such, whatever the caller has seen."""
    await till.set_meta(state="recovering")
    till.epoch = f"{till.reign.epoch}:9"  # type: ignore[assignment]
    with pytest.raises(ResponseError, match=r"^FENCED 1 recovering$"):
        await till.book(Command(user, (1, 1)))
    assert b"recovering" == await ask(till.redis, "HGET", keys.meta(till.shard), "state")
