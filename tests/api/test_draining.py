"""S15. A process that is to stop: not ready at once, and nobody who has asked is left without."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import orjson
import pytest

from tests.api.processes import Process, post, read, running
from tests.api.test_lane import Site, answer, connected
from tests.api.test_lane import post as to_lane
from tests.api.test_listener import connect, served
from tests.conftest import TIMEOUT_MS

TIMEOUT_S = TIMEOUT_MS / 1000
LOGIN = "/v1/auth/login"
BODY = b'{"email": "a@example.org", "password": "correct horse"}'


def stop(process: Process) -> None:
    """Ask the process to stop."""
    process.child.send_signal(signal.SIGTERM)


def ask_readiness(process: Process) -> dict[str, str]:
    """Return the checks that the process tells of."""
    heard = process.ask(post("/readyz", method="GET"))
    assert 503 == heard.status
    return dict(orjson.loads(heard.body)["checks"])


def wait_until_stopping(process: Process) -> None:
    """Wait until the process says that it is to stop."""
    end_s = time.monotonic() + TIMEOUT_S
    while "process" not in ask_readiness(process):
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.processes
def test_f76_stop_under_way(tmp_path: Path) -> None:
    """First it is not ready, and serves; what is under way is finished; then it ends with 0."""
    with running(tmp_path, drain_notice_s=2, drain_timeout_s=20, body_timeout_s=20) as process:
        assert "process" not in ask_readiness(process)
        with process.connect() as slow, process.connect() as idle:
            idle.sendall(post("/healthz", method="GET"))
            assert "connection" not in read(idle).headers
            slow.sendall(post(LOGIN, BODY)[:-10])
            stop(process)
            wait_until_stopping(process)
            # Not ready, and serving: on new connections, and once more on those that are kept.
            assert "close" == process.ask(post("/healthz", method="GET")).headers["connection"]
            idle.sendall(post("/healthz", method="GET"))
            heard = read(idle)
            assert (200, "close") == (heard.status, heard.headers["connection"])
            assert b"" == idle.recv(1)
            wait_until_nobody_listens(process)
            # It stops, and still waits for what is under way.
            slow.sendall(BODY[-10:])
            heard = read(slow)
            assert (503, "database_unavailable") == (heard.status, heard.code)
            assert "close" == heard.headers["connection"]
        assert 0 == process.child.wait(TIMEOUT_S)
        assert '"level":"error"' not in process.log()


def wait_until_nobody_listens(process: Process) -> None:
    """Wait until no connection is taken any more."""
    end_s = time.monotonic() + TIMEOUT_S
    while True:
        assert time.monotonic() < end_s
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", process.port)):
                return
        time.sleep(0.02)


@pytest.mark.processes
def test_f76_nobody_under_way_keeps_it_for_ever(tmp_path: Path) -> None:
    """What does not come to an end is given up when the time is over."""
    with (
        running(tmp_path, drain_timeout_s=1, body_timeout_s=300) as process,
        process.connect() as slow,
    ):
        slow.sendall(post(LOGIN, BODY)[:-10])
        process.ask(post("/healthz", method="GET"))
        stop(process)
        assert 0 == process.child.wait(TIMEOUT_S)


async def test_f76_last_answer_on_the_lane() -> None:
    """A hot request that is under way is answered, and told that it was the connection's last."""
    site = Site()
    async with connected(site) as (reader, writer, runner):
        site.may_answer.clear()
        writer.write(to_lane("/hot/a") + to_lane("/hot/b"))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        runner.begin_to_drain()
        site.may_answer.set()
        _, head, body = await answer(reader)
        assert b'{"a":"x"}' == body
        assert "connection: close" in head.lower()
        assert b"" == await asyncio.wait_for(reader.read(), TIMEOUT_S)


@pytest.mark.parametrize("path", ["/hot/a", "/cold/a"])
async def test_f76_kept_connections_say_their_last(path: str) -> None:
    """On a connection that was kept one more request is answered, on either way."""
    site = Site()
    async with connected(site) as (reader, writer, runner):
        writer.write(to_lane(path))
        _, head, _ = await answer(reader)
        assert "connection: close" not in head.lower()
        runner.begin_to_drain()
        writer.write(to_lane(path))
        _, head, _ = await answer(reader)
        assert "connection: close" in head.lower()
        assert b"" == await asyncio.wait_for(reader.read(), TIMEOUT_S)


async def test_f76_who_has_just_connected_is_served() -> None:
    """Connections that the kernel has taken for us are heard before the door closes."""
    async with served(connections_max=1_000) as (listener, pairs):
        for one in listener.sockets:  # As if the loop were busy: nobody is taken.
            listener._loop.remove_reader(one)
        for _ in range(50):
            _, writer = await connect(listener, pairs)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        stopping = asyncio.create_task(listener._runner.cleanup())
        async with asyncio.timeout(TIMEOUT_S):
            said = [await reader.read() for reader, _ in pairs]
        await stopping
        assert [b"HTTP/1.1 200 OK"] * 50 == [one.partition(b"\r\n")[0] for one in said]
