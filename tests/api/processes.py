"""A real process of the API with nothing below it, and raw sockets to it."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from evently.ports import free_port
from evently.settings import ENV_FILE
from tests.api.world import JWT_SECRET, TICKET_SIGNING_KEY

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
#: Nobody listens there: hot routes answer what they know without a store.
NOWHERE = "127.0.0.1:1"
RUN = "import runpy; runpy.run_module('api', run_name='__main__', alter_sys=True)"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of the API."""

    child: subprocess.Popen[bytes]
    port: int
    log_path: Path

    def connect(self, *, receive_buffer_bytes: int = 0) -> socket.socket:
        """Open a connection."""
        made = socket.socket()
        if receive_buffer_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        made.settimeout(ANSWER_TIMEOUT_S)
        try:
            made.connect(("127.0.0.1", self.port))
        except OSError:
            made.close()
            raise
        return made

    def ask(self, request: bytes) -> Heard:
        """Send bytes on a new connection and read until it is closed or one answer is whole."""
        with self.connect() as made:
            made.sendall(request)
            return read(made)

    def cpu_s(self) -> float:
        """Return the processor time that the process has used."""
        times = psutil.Process(self.child.pid).cpu_times()
        return float(times.user + times.system)

    def log(self) -> str:
        """Return what the process has said."""
        return self.log_path.read_text()


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came back."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def code(self) -> str:
        """Return the code of a problem, which must be one in every respect."""
        assert self.headers["content-type"] == "application/problem+json", self.raw
        problem = orjson.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        assert problem["title"]
        return str(problem["code"])


def read(made: socket.socket) -> Heard:
    """Read one answer."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _some(made, raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(made, raw)
    version, status = first.split(" ")[:2]
    return Heard(status=int(status), version=version, headers=headers, body=body, raw=head + body)


def _some(made: socket.socket, before: bytes) -> bytes:
    data = made.recv(65_536)
    assert data, f"closed after {before!r}"
    return data


def post(path: str, body: bytes = b"", *lines: str, method: str = "POST") -> bytes:
    """Write a request."""
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@contextmanager
def running(
    folder: Path, *, files_max: int = 0, before: str = "", **settings: object
) -> Iterator[Process]:
    """Run `python -m api` with nothing below it; *before* it runs a line of Python."""
    port, log_path = free_port(), folder / "api.log"
    given = {
        "http_port": port,
        "redis_url": f"redis://{NOWHERE}/0",
        "database_url": f"postgresql://nobody@{NOWHERE}/nothing",
        "jwt_secret": JWT_SECRET,
        "ticket_signing_key": TICKET_SIGNING_KEY,
        "request_limit_attempts": 1_000_000,
    } | settings
    environ = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name}
    environ |= {f"EVENTLY_{name.upper()}": str(value) for name, value in given.items()}

    def limit() -> None:
        if files_max:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files_max // 2, files_max))

    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{RUN}"],
            env=environ | {ENV_FILE: os.devnull},
            stdout=log,
            stderr=log,
            preexec_fn=limit,  # noqa: PLW1509
        )
    process = Process(child=child, port=port, log_path=log_path)
    try:
        _wait(process)
        yield process
    finally:
        child.terminate()
        child.wait(START_TIMEOUT_S)


def _wait(process: Process) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            assert 200 == process.ask(post("/healthz", method="GET")).status
        except ConnectionRefusedError:
            assert process.child.poll() is None, process.log()
            assert time.monotonic() < end_s, process.log()
            time.sleep(0.05)
        else:
            return


def counts(process: Process) -> dict[tuple[str, str], int]:
    """Return how many requests were counted, by route and status: all that are over by now."""
    seen, mark = _counted(process), ("/problems", "200")
    process.ask(post(mark[0], method="GET"))
    end_s = time.monotonic() + START_TIMEOUT_S
    # They are counted once a second, all at once.
    while (now := _counted(process)).get(mark, 0) == seen.get(mark, 0):
        assert time.monotonic() < end_s, "it counts"
        time.sleep(0.05)
    return now


def _counted(process: Process) -> dict[tuple[str, str], int]:
    text = process.ask(post("/metrics", method="GET")).body.decode()
    rows = re.findall(
        r'^evently_http_requests_total\{route="([^"]*)",status="(\d+)"\} ([0-9.]+)',
        text,
        re.MULTILINE,
    )
    return {(route, status): int(float(number)) for route, status, number in rows}
