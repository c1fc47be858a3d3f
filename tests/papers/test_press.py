"""The press: bounded, timed, remembered, and back after whatever ended it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from papers.press import Press, PressBusy, PressFailed
from papers.values import CodeImage
from tests.papers.looks import sheets


@pytest.fixture
async def press() -> AsyncIterator[Press]:
    """Make a press."""
    made = Press()
    yield made
    await made.close()


def process_of(press: Press) -> asyncio.subprocess.Process:
    """Return the process that draws."""
    assert press._process is not None
    return press._process


def environment_of(pid: int) -> bytes:
    """Return what a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_draws_and_remembers(press: Press) -> None:
    """What was drawn is not drawn again; the process gives way to others and knows nothing."""
    first = await press.draw(sheets())
    assert first.startswith(b"%PDF-")
    pid = process_of(press).pid
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert min(19, own + 5) == os.getpriority(os.PRIO_PROCESS, pid)
    assert b"" == environment_of(pid)
    os.kill(pid, signal.SIGKILL)
    await process_of(press).wait()
    assert first == await press.draw(sheets())


async def test_comes_back(press: Press) -> None:
    """Who asks while the process dies is told to come again; the next one is served."""
    await press.draw(CodeImage(text="a"))
    process = process_of(press)
    process.kill()
    await process.wait()
    with pytest.raises(PressBusy):
        await press.draw(CodeImage(text="b"))
    assert (await press.draw(CodeImage(text="b"))).startswith(b"<svg")


async def test_takes_no_longer_than_it_may(press: Press) -> None:
    """One that takes too long is given up with its process, and keeps nobody waiting after it."""
    await press.draw(CodeImage(text="a"))
    process = process_of(press)
    process.send_signal(signal.SIGSTOP)
    press._timeout_s = 0.05
    with pytest.raises(PressBusy):
        await press.draw(CodeImage(text="b"))
    press._timeout_s = 15
    assert (await press.draw(CodeImage(text="b"))).startswith(b"<svg")
    assert -signal.SIGKILL == await process.wait()


async def test_no_more_wait_than_may() -> None:
    """Beyond those that may wait, who asks is told so at once."""
    press = Press(waiting_max=1)
    try:
        asked = [press.draw(CodeImage(text=str(number))) for number in range(4)]
        drawn = await asyncio.gather(*asked, return_exceptions=True)
        assert [bytes, bytes, PressBusy, PressBusy] == [type(one) for one in drawn]
    finally:
        await press.close()


async def test_what_cannot_be_drawn_says_why(press: Press) -> None:
    """A paper that cannot be drawn is no other one's trouble."""
    with pytest.raises(PressFailed, match="No/Where"):
        await press.draw(sheets(timezone="No/Where"))
    assert (await press.draw(CodeImage(text="b"))).startswith(b"<svg")


async def test_forgets_and_begins_anew() -> None:
    """It remembers so many bytes, and a process draws so many papers."""
    press = Press(memory_bytes_max=10_000, papers_max=2)
    try:
        await press.draw(CodeImage(text="a"))
        first = process_of(press)
        await press.draw(CodeImage(text="b" * 300))
        await press.draw(CodeImage(text="c" * 300))
        assert first is not process_of(press)
        assert press._memory_bytes == sum(map(len, press._memory.values())) <= 10_000
        assert len(press._memory) < 3
    finally:
        await press.close()


async def test_ends_when_nobody_asks() -> None:
    """A process that nobody needs ends by itself, and a new one comes when somebody asks."""
    press = Press(idle_s=0.01)
    try:
        await press.draw(CodeImage(text="a"))
        process = process_of(press)
        assert 0 == await process.wait()
        assert press._process is None
        await press.draw(CodeImage(text="b"))
    finally:
        await press.close()
