"""`waitmark`: one small write more each time, at the caller's epoch alone."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.lua.world import Till, dump


async def test_marks_are_counted(till: Till) -> None:
    """Each call is one more mark, and nothing of the sale changes."""
    names = [till.meta, till.journal]
    replies = [await till.call("waitmark", names, till.epoch) for _ in range(2)]
    assert [["MARKED", 1], ["MARKED", 2]] == replies


async def test_i17_fenced(till: Till) -> None:
    """I17: another epoch marks nothing."""
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="FENCED 1 open"):
        await till.call("waitmark", [till.meta, till.journal], 2)
    assert before == await dump(till.redis, till.shard)
