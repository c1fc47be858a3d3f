"""The door alone: shut at the first sign, open only under a higher epoch (I17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine import door as door_module
from engine.door import Door, Reign
from engine.errors import ShardRecovering


class Reigns:
    """Stands for the row in PostgreSQL; counts who looks."""

    def __init__(self) -> None:
        self.reign: Reign | None = None
        self.error: Exception | None = None
        self.looks = 0

    async def __call__(self, shard: int) -> Reign | None:
        """Read the row."""
        assert shard == 3
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.reign


def reign(epoch: int) -> Reign:
    """Make a reign."""
    return Reign(shard=3, epoch=epoch, script_shas={})


@pytest.fixture
def reigns(monkeypatch: pytest.MonkeyPatch) -> Reigns:
    """Return a row that says nothing, and make the door look at it without pause."""
    monkeypatch.setattr(door_module, "LOOK_INTERVAL_S", 0)
    return Reigns()


@pytest.fixture
async def door(reigns: Reigns) -> AsyncIterator[Door]:
    """Make a door; stop its looking at the end."""
    door = Door(3, reigns)
    yield door
    await door.close()


async def looks(door: Door, reigns: Reigns, count: int = 5) -> None:
    """Wait until the door has looked *count* times more, or has opened and looks no more."""
    seen = reigns.looks
    while not door.is_open and reigns.looks < seen + count:  # noqa: ASYNC110  It tells nobody.
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def opened(door: Door) -> None:
    """Wait until the door is open, however many looks it takes."""
    while not door.is_open:  # noqa: ASYNC110  A door tells nobody that it opened.
        await asyncio.sleep(0)


async def test_shut_at_first(door: Door) -> None:
    """A new door is shut until it has seen a reign."""
    with pytest.raises(ShardRecovering):
        door.reign()
    assert not door.is_open


async def test_opens_when_a_reign_is_published(door: Door, reigns: Reigns) -> None:
    """The door keeps looking, and opens under the reign that appears."""
    door.look()
    await looks(door, reigns)
    assert not door.is_open
    reigns.reign = reign(1)
    await opened(door)
    assert reigns.reign is door.reign()


async def test_looks_on_when_the_reading_fails(door: Door, reigns: Reigns) -> None:
    """PostgreSQL being away neither opens the door nor ends the looking."""
    reigns.error = OSError("away")
    door.look()
    await looks(door, reigns)
    assert not door.is_open
    reigns.error, reigns.reign = None, reign(1)
    await opened(door)


async def test_i17_only_a_higher_epoch_reopens(door: Door, reigns: Reigns) -> None:
    """I17: shut for a reason, the door ignores the same and older epochs for good."""
    reigns.reign = reign(5)
    door.look()
    await opened(door)
    door.shut(door.reign(), "test")
    for epoch in (5, 4, 1):
        reigns.reign = reign(epoch)
        await looks(door, reigns)
        assert not door.is_open
    reigns.reign = reign(6)
    await opened(door)
    assert 6 == door.reign().epoch


async def test_a_passing_cause_reopens_the_same_reign(door: Door, reigns: Reigns) -> None:
    """A door shut for a cause that passes opens under the same epoch once the probe says so."""
    reigns.reign = reign(5)
    door.look()
    await opened(door)
    has_passed = False

    async def probe(probed: Reign) -> bool:
        assert 5 == probed.epoch
        return has_passed

    door.shut(door.reign(), "MISCONF", probe=probe)
    await looks(door, reigns)
    assert not door.is_open
    has_passed = True
    await opened(door)
    assert 5 == door.reign().epoch


@pytest.mark.parametrize("order", ["cause first", "reason first", "during the probe"])
async def test_i17_a_passing_cause_does_not_outweigh_a_final_one(
    door: Door, reigns: Reigns, order: str
) -> None:
    """I17: fenced as well, in whatever order it was noticed, the door waits for a higher epoch."""
    old = reigns.reign = reign(5)
    door.look()
    await opened(door)

    async def probe(_: Reign) -> bool:
        if order == "during the probe":
            door.shut(old, "FENCED")
        return True

    reasons = [("MISCONF", probe), ("FENCED", None)]
    for reason, its_probe in reversed(reasons) if order == "reason first" else reasons:
        if order != "during the probe" or its_probe:
            door.shut(old, reason, probe=its_probe)
    await looks(door, reigns)
    assert not door.is_open
    reigns.reign = reign(6)
    await opened(door)


async def test_a_loss_is_reported_until_heard(reigns: Reigns) -> None:
    """What a fenced door has seen is told until it is taken down, and then no more."""
    told: list[tuple[int, int, int, bool]] = []

    async def report(shard: int, epoch: int, seen_seq: int, has_lost: bool) -> None:
        told.append((shard, epoch, seen_seq, has_lost))
        if len(told) < 3:
            raise OSError("away")

    door = Door(3, reigns, report_seen=report)
    reigns.reign = reign(5)
    door.look()
    await opened(door)
    door.shut(door.reign(), "FENCED 5 lost", seen_seq=41, has_lost=True)
    await looks(door, reigns)
    await door.close()
    assert [(3, 5, 41, True)] * 3 == told


async def test_late_error_of_an_old_reign_leaves_the_new_one_open(
    door: Door, reigns: Reigns
) -> None:
    """An error of a call made under the last reign does not shut the door of this one."""
    reigns.reign = reign(1)
    door.look()
    await opened(door)
    old = door.reign()
    door.shut(old, "test")
    reigns.reign = reign(2)
    await opened(door)
    door.shut(old, "late")
    assert 2 == door.reign().epoch


async def test_looking_once(door: Door, reigns: Reigns) -> None:
    """However often it is told to look, the door has one look under way."""
    before = asyncio.all_tasks()
    for _ in range(5):
        door.look()
    assert 1 == len(asyncio.all_tasks() - before)
    reigns.reign = reign(1)
    await opened(door)


async def test_close_ends_the_looking(door: Door, reigns: Reigns) -> None:
    """A closed door looks no more; closing twice is harmless."""
    door.look()
    await looks(door, reigns)
    await door.close()
    await door.close()
    count = reigns.looks
    await asyncio.sleep(0)
    assert count == reigns.looks
