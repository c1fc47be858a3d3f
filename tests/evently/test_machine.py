"""
What the machine refuses: the supervisor stays, says it once, and all is well again by itself (F50).

Real servers, a real small disk where a test may mount one, real limits. Nothing is judged by how
long it takes; waits are bounded only so that a failure ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from structlog.testing import capture_logs

from engine import acl
from evently.embedded import DataLock, ServerError, ValkeyServer, place
from evently.embedded.process import children_of
from evently.patience import BACKOFF_FIRST_S, is_refusal
from evently.supervisor import Part, Supervisor
from tests.checks import eventually
from tests.evently.supervising import actions, is_back, pid_of, supervised

DISK_BYTES = 8 * 1024 * 1024
#: Restarts that fail before the machine has room again.
REFUSALS = 3
#: Keeps a Valkey and a part running until SIGTERM; says what it does.
KEEPER = """
import asyncio, sys
from pathlib import Path
from evently import logs
from evently.embedded import ValkeyServer
from evently.supervisor import Part, Supervisor
logs.configure("info", "supervisor")
supervisor = Supervisor(drain_timeout_s=5)
async def start():
    await supervisor.start_server(ValkeyServer(Path(sys.argv[1])))
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    supervisor.start_part(Part(name="api-0", argv=sleeper, env={}))
sys.exit(asyncio.run(supervisor.run(start)))
"""
LOGGER = """
import structlog, sys
from evently import logs
logs.configure("info", "api")
for number in range(1000):
    structlog.get_logger().info("it works", action="tried", number=number)
print("it went on", file=sys.stderr)
"""


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """Mount a small disk of the test's own."""
    path = folder / "disk"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "evently", str(path)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Leave no byte free."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_f50_full_disk(disk: Path) -> None:
    """F50: a Valkey whose disk is full dies and cannot be started, until there is room again."""
    server = ValkeyServer(disk / "redis", passwords=dict.fromkeys(acl.ROLES, "secret"))
    with capture_logs() as lines:
        async with supervised(server):
            first = pid_of(server)
            client = redis.Redis.from_url(server.url, username="coordinator", password="secret")
            client.set("key", "kept")
            fill(disk / "filler")
            with contextlib.suppress(redis.RedisError):
                client.set("more", bytes(100_000))
            assert await eventually(lambda: server.pid is None)
            await asyncio.sleep(REFUSALS * 10 * BACKOFF_FIRST_S)
            assert server.pid is None
            (disk / "filler").unlink()

            assert await is_back(server, before=first)
            assert b"kept" == client.get("key")
            assert await eventually(lambda: "trouble_over" in actions(lines))
    said = [line for line in lines if line["action"] == "trouble"]
    assert 1 == len(said)
    assert "No space left" in said[0]["error"]


@pytest.mark.processes
async def test_f50_no_descriptors(folder: Path) -> None:
    """F50: a supervisor that may open nothing stays, and starts what died when it may again."""
    log = folder / "log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
            [sys.executable, "-c", KEEPER, str(folder / "redis")], stdout=output, stderr=output
        )
    try:
        assert await eventually(lambda: log.read_text().count("_started") == 2), log.read_text()
        before = set(children_of(supervisor.pid))
        assert 2 == len(before)
        old = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (3, old[1]))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert await eventually(lambda: log.read_text().count('"trouble"') == 2), log.read_text()
        await asyncio.sleep(REFUSALS * 10 * BACKOFF_FIRST_S)
        assert supervisor.poll() is None, log.read_text()
        assert 2 == log.read_text().count('"trouble"')
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, old)

        assert await eventually(lambda: log.read_text().count("trouble_over") == 2), log.read_text()
        assert 2 == len(set(children_of(supervisor.pid)) - before)
        supervisor.terminate()
        assert await eventually(lambda: supervisor.poll() is not None)
        assert 0 == supervisor.returncode, log.read_text()
    finally:
        supervisor.kill()
        supervisor.wait()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), MemoryError(), RuntimeError("can't start new thread")],
    ids=repr,
)
async def test_f50_whatever_a_watcher_meets(error: Exception) -> None:
    """F50: an error beside the parts is said once, done again, and does not end the run."""
    supervisor = Supervisor(drain_timeout_s=5)
    looks: list[int] = []

    async def look() -> None:
        looks.append(len(looks))
        if len(looks) <= REFUSALS:
            raise error
        await asyncio.sleep(0.01)
        supervisor.request_stop()

    async def start() -> None:
        supervisor.watch("look", look)

    with capture_logs() as lines:
        async with asyncio.timeout(20):
            assert 0 == await supervisor.run(start)
    assert len(looks) > REFUSALS
    assert 1 == actions(lines).count("trouble")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
async def test_f50_a_first_start_waits_for_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """F50: no start lies outside: also the first one is tried again until the machine has room."""
    tries = failing(monkeypatch, place, "write_atomically", number)
    server = ValkeyServer(folder / "redis")

    async with supervised(server):
        assert server.is_ready()
    assert len(tries) > REFUSALS


async def test_f50_a_part_that_cannot_be_started_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F50: a part for which there is no process, at first or later, is started when there is."""
    tries = failing(monkeypatch, subprocess, "Popen", errno.EAGAIN)
    supervisor = Supervisor(drain_timeout_s=5)
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")

    async def start() -> None:
        supervisor.start_part(Part(name="api-0", argv=sleeper, env={}))

    running = asyncio.create_task(supervisor.run(start))
    assert await eventually(lambda: supervisor.pid_of("api-0") is not None)
    first = supervisor.pid_of("api-0")
    assert first is not None
    assert len(tries) > REFUSALS
    tries.clear()
    os.kill(first, signal.SIGKILL)
    assert await eventually(lambda: supervisor.pid_of("api-0") not in {None, first})
    assert len(tries) > REFUSALS
    supervisor.request_stop()
    assert 0 == await running


def failing(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int
) -> list[tuple[Any, ...]]:
    """Let a call fail some times in a row, again whenever the list of its calls is cleared."""
    calls: list[tuple[Any, ...]] = []
    real = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) <= REFUSALS:
            raise OSError(number, os.strerror(number), f"file {len(calls)}")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


async def test_f50_what_is_wrong_ends_the_start(folder: Path) -> None:
    """F50: a first start that fails for another cause than the machine's ends the run, as ever."""
    server = ValkeyServer(folder / "redis", settings={"no-such-directive": "1"})
    supervisor = Supervisor(drain_timeout_s=5)
    with pytest.raises(ServerError, match="ended while starting"):
        await supervisor.run(lambda: supervisor.start_server(server))


def test_f50_refusals_are_told_apart() -> None:
    """F50: a full machine is seen through what an error was turned into; a wrong one is not."""

    def caused(error: Exception) -> Exception:
        wrapped = ServerError("cannot start")
        wrapped.__cause__ = error
        return wrapped

    passing = [OSError(errno.EMFILE, "too many"), MemoryError(), asyncpg.DiskFullError("full")]
    passing += [ServerError("valkey ended: write: No space left on device")]
    lasting = [FileNotFoundError(2, "no"), PermissionError(13, "no"), ServerError("wrong")]
    assert [True] * 4 == [is_refusal(one) for one in passing]
    assert [True] * 3 == [is_refusal(caused(one)) for one in passing[:3]]
    assert [False] * 6 == [is_refusal(one) for one in (*lasting, *map(caused, lasting))]


def test_f50_a_lock_holds_on_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F50: a lock whose owner cannot be noted is a lock; one that is refused leaks nothing."""
    failing(monkeypatch, os, "pwrite", errno.ENOSPC)
    lock = DataLock(folder)
    with lock:
        assert lock.is_held
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(ServerError, match="in use"):
            DataLock(folder).acquire(timeout_s=0.0)
        assert descriptors == len(list(Path("/proc/self/fd").iterdir()))


def test_f50_a_log_that_cannot_be_written() -> None:
    """F50: nobody fails because a log line has no room, and an orderly end is one."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOGGER], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (0, b"it went on\n") == (done.returncode, done.stderr)
