"""`lua/persisted.lua`: the note of the checkpoint, the trim behind it, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from tests.checks import ask, journal, snapshot, users
from tests.lua.world import Command, Till


async def persisted(till: Till, *args: Any, size: Any = 0, verdict: str = "open") -> Any:
    """Call the script."""
    words = [till.epoch, *args, size, verdict]
    return await till.call("persisted", [till.meta, till.journal], *words)


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


async def sizes(till: Till) -> list[int]:
    """Return the bytes of each record as PostgreSQL keeps it, and one more for its end."""
    return [len(entry.raw) + 1 for entry in await journal(till.redis, till.shard)]


async def test_f24_backlog_in_bytes(five: Till) -> None:
    """F24: sales stop when the records that wait have as many bytes as they may, and go on then."""
    records = await sizes(five)
    assert sum(records) == int(await ask(five.redis, "HGET", five.meta, "bytes"))
    await five.set_meta(backlog_bytes_max=sum(records), bytes_end=sum(records))
    command = Command(users(1)[0], (1, 1))
    assert [["BACKPRESSURE"]] == await five.book(command)
    await persisted(five, 1, 0, size=records[0])
    assert "BOOKED" == (await five.book(command))[0][0]
    more = Command(users(1)[0], (1, 1))
    await persisted(five, 1, 0, size=records[0])
    assert "BACKPRESSURE" == (await five.book(more))[0][0]
    await persisted(five, 6, 0, size=sum(await sizes(five)))
    assert "BOOKED" == (await five.book(more))[0][0]


async def test_f24_backlog_in_age(five: Till) -> None:
    """F24: sales stop when the oldest record that waits is as old as may be, and go on then."""
    moments = [entry.record.at_ms for entry in await journal(five.redis, five.shard)]

    async def oldest() -> int:
        return int(await ask(five.redis, "HGET", five.meta, "oldest_at_ms"))

    assert moments[0] == await oldest()
    await persisted(five, 2, 0)
    assert moments[2] == await oldest()
    # As if the records had waited for an hour.
    await five.set_meta(oldest_at_ms=moments[2] - 3_600_000, backlog_age_ms_max=3_600_000)
    command = Command(users(1)[0], (1, 1))
    assert [["BACKPRESSURE"]] == await five.book(command)
    await persisted(five, 5, 0)
    replies = await five.book(command)
    assert "BOOKED" == replies[0][0]
    assert int(replies[0][3]) == await oldest()


async def test_f58_backlog_of_a_clock_set_back(five: Till) -> None:
    """F58: what waits since a time that is to come ages from now on; its limit stands."""
    hour_ms = 3_600_000
    moment = (await journal(five.redis, five.shard))[0].record.at_ms + hour_ms
    await five.set_meta(oldest_at_ms=moment, backlog_age_ms_max=hour_ms)
    [[status, _, _, at_ms, _]] = await five.book(Command(users(1)[0], (1, 1)))
    assert "BOOKED" == status
    assert at_ms == int(await ask(five.redis, "HGET", five.meta, "oldest_at_ms"))
    await five.set_meta(oldest_at_ms=at_ms - hour_ms)
    assert [["BACKPRESSURE"]] == await five.book(Command(users(1)[0], (1, 1)))


@pytest.mark.parametrize("verdict", ["frozen", "lost"])
async def test_f28_f32_stops_sales(five: Till, verdict: str) -> None:
    """F28, F32: told why, it shuts the shard; what was sold is noted on, and nothing reopens it."""
    await persisted(five, 2, 0, verdict=verdict)
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError, match=f"^FENCED 1 {verdict}$"):
        await five.book(Command(users(1)[0], (1, 1)))
    assert before == await snapshot(five.redis, five.shard)
    assert ["PERSISTED", "5"] == await persisted(five, 4, 2, verdict="open")
    assert (4, 2, [3, 4, 5]) == await notes(five)
    assert verdict.encode() == await ask(five.redis, "HGET", five.meta, "state")


@pytest.mark.parametrize(
    "options", [{"size": -1}, {"size": "x"}, {"size": "1.5"}, {"verdict": "shut"}, {"verdict": ""}]
)
async def test_bad_note_is_refused(five: Till, options: dict[str, Any]) -> None:
    """A size or a verdict that is none changes nothing."""
    before = await snapshot(five.redis, five.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await persisted(five, 1, 0, **options)
    assert before == await snapshot(five.redis, five.shard)


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
