"""`lua/persisted.lua`: the note of the checkpoint, the trim behind it, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from tests.checks import ask, snapshot, users
from tests.lua.conftest import Command, Till


async def persisted(till: Till, *args: Any) -> Any:
    """Call the script."""
    return await till.call("persisted", [till.meta, till.journal], till.epoch, *args)


async def notes(till: Till) -> tuple[int, int, list[int]]:
    """Return persisted_seq, trimmed_seq and the seqs that the journal still has."""
    noted, trimmed = await ask(till.redis, "HMGET", till.meta, "persisted_seq", "trimmed_seq")
    rows = await ask(till.redis, "XRANGE", till.journal, "-", "+")
    return int(noted), int(trimmed or 0), [int(key.partition(b"-")[0]) for key, _ in rows]


@pytest.fixture
async def five(till: Till) -> Till:
    """Leave a journal of five records."""
    await till.publish()
    for user in users(4):
        await till.book(Command(user, (1, 1)))
    return till


async def test_noted_and_trimmed(five: Till) -> None:
    """I7: the checkpoint is noted, and only records up to trim_seq are gone."""
    assert ["PERSISTED", "5"] == await persisted(five, 4, 2)
    assert (4, 2, [3, 4, 5]) == await notes(five)


async def test_never_goes_back(five: Till) -> None:
    """I7: an older checkpoint changes nothing."""
    await persisted(five, 4, 2)
    before = await snapshot(five.redis, five.shard)
    assert ["PERSISTED", "5"] == await persisted(five, 3, 1)
    assert before == await snapshot(five.redis, five.shard)


async def test_f24_makes_room(five: Till) -> None:
    """F24: sales that had no room in the backlog go on once PostgreSQL has caught up."""
    await five.set_meta(backlog_max=5)
    command = Command(users(1)[0], (1, 1))
    assert [["BACKPRESSURE"]] == await five.book(command)
    await persisted(five, 1, 0)
    assert "BOOKED" == (await five.book(command))[0][0]


@pytest.mark.parametrize("args", [(6, 0), (3, 4), ("x", 0), (3, "x"), (-1, -1), ("1.5", 0)])
async def test_f30_badarg(five: Till, args: tuple[Any, ...]) -> None:
    """F30: a checkpoint that does not exist, or a trim beyond it, changes nothing."""
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await persisted(five, *args)
    assert before == await snapshot(five.redis, five.shard)


@pytest.mark.parametrize("number", range(2))
async def test_f22_wrong_type_keys_leave_state_unchanged(five: Till, number: int) -> None:
    """F22: a key of the wrong type is an error, and nothing is changed."""
    key = (five.meta, five.journal)[number]
    await ask(five.redis, "DEL", key)
    await ask(five.redis, "SET", key, "planted")
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await persisted(five, 4, 2)
    assert before == await snapshot(five.redis, five.shard)


async def test_f22_bad_meta_leaves_state_unchanged(five: Till) -> None:
    """F22: a garbled figure of the door is an error before anything is trimmed."""
    await five.set_meta(trimmed_seq="x")
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError):
        await persisted(five, 4, 2)
    assert before == await snapshot(five.redis, five.shard)


@pytest.mark.parametrize(
    ("epoch", "meta", "message"),
    [
        (2, {}, "FENCED 1 open"),
        (1, {"epoch": 2}, "FENCED 2 open"),
        (1, {"state": "recovering"}, "FENCED 1 recovering"),
        (1, None, "FENCED false false"),
    ],
)
async def test_i17_fenced(
    five: Till, epoch: int, meta: dict[str, Any] | None, message: str
) -> None:
    """I17: a persister of another epoch neither notes nor trims."""
    if meta is None:
        await ask(five.redis, "DEL", five.meta)
    elif meta:
        await five.set_meta(**meta)
    five.epoch = epoch
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError, match=f"^{message}$"):
        await persisted(five, 4, 2)
    assert before == await snapshot(five.redis, five.shard)
