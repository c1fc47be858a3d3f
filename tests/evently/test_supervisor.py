"""
The supervisor and `evently up`, with dummy parts and real servers.

The parts are one-line Python programs. Nothing is judged by how long it takes; waits are bounded
only so that a failure ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from evently import up
from evently.embedded import DataLock, ServerError, ValkeyServer
from evently.embedded.process import children_of, is_alive
from evently.patience import BACKOFF_FIRST_S, BACKOFF_MAX_S, WELL_AFTER_S, Backoff
from evently.ports import free_port
from evently.settings import SECRET_FIELDS, SECRETS_OF, Settings, SettingsError
from evently.supervisor import Part, Supervisor
from tests.checks import eventually

WAIT_MAX_S = 30.0
#: So often a supervisor looks at a server before it must have seen what is wrong with it.
LOOKS_MAX = 20
SLEEPER = "import time; time.sleep(600)"
#: Says that it is ready only when its handler is in place, and writes its name when it stops.
STOPPER = """
import pathlib, signal, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def stop(*_):
    with (folder / "stopped").open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(folder / (name + ".ready")).touch()
time.sleep(600)
"""
#: Settings that are secret for the passwords in them.
SERVERS = {"redis_url", "database_url"}
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(pathlib.Path(sys.argv[2]) / (sys.argv[1] + ".ready")).touch()
time.sleep(600)
"""
#: `evently up` with a stand-in for the API and without an admin account.
UP = """
import os, sys, types
from evently import cli, up
from evently.supervisor import Part
async def ensure_admin(settings):
    return "made-up-password"
sys.modules["evently.admin"] = types.SimpleNamespace(ensure_admin=ensure_admin)
API = '''
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists(os.environ.get("READY_FILE", "/")) else 503)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["EVENTLY_HTTP_PORT"])), Ready).serve_forever()
'''
real_parts = up.parts
def parts(*args, **kwargs):
    programs = {"api": API}
    for part in real_parts(*args, **kwargs):
        program = programs.get(part.stage, "import time; time.sleep(600)")
        yield Part(name=part.name, argv=(sys.executable, "-c", program), env=part.env)
up.parts = parts
up.READY_TIMEOUT_S = float(os.environ.get("TOLD_AFTER_S", up.READY_TIMEOUT_S))
sys.argv = ["evently", "up"]
cli.main()
"""


def part(name: str, program: str, *words: str) -> Part:
    """Describe a part that runs one Python program."""
    return Part(name=name, argv=(sys.executable, "-c", program, name, *words), env={})


async def test_part_that_dies_is_restarted() -> None:
    """A killed part comes back under another process id, and its death is told."""
    deaths: list[int] = []
    supervisor = Supervisor(drain_timeout_s=5, on_part_death=deaths.append)

    async def start() -> None:
        supervisor.start_part(part("api-0", SLEEPER))

    running = asyncio.create_task(supervisor.run(start))
    assert await eventually(lambda: supervisor.pid_of("api-0") is not None)
    first = supervisor.pid_of("api-0")
    assert first is not None
    os.kill(first, signal.SIGKILL)

    assert await eventually(lambda: supervisor.pid_of("api-0") not in {None, first})
    second = supervisor.pid_of("api-0")
    supervisor.request_stop()

    assert 0 == await running
    assert [first, second] == deaths
    assert [False, False] == [pid is not None and is_alive(pid) for pid in deaths]


async def test_parts_stop_in_order(folder: Path) -> None:
    """SIGTERM stops stage by stage, the last started first, and the exit code is 0."""
    names = ["coordinator", "persister-0", "api-0"]
    supervisor = Supervisor(drain_timeout_s=WAIT_MAX_S)

    async def start() -> None:
        for name in names:
            supervisor.start_part(part(name, STOPPER, str(folder)))

    running = asyncio.create_task(supervisor.run(start))
    assert await eventually(lambda: all((folder / f"{name}.ready").exists() for name in names))
    os.kill(os.getpid(), signal.SIGTERM)

    assert 0 == await running
    assert ["api-0", "persister-0", "coordinator"] == (folder / "stopped").read_text().split()


@pytest.mark.parametrize("stops", [1, 2])
async def test_stubborn_part_is_killed(folder: Path, stops: int) -> None:
    """A part that ignores SIGTERM is killed when its time is over, or at the second Ctrl-C."""
    supervisor = Supervisor(drain_timeout_s=0.2 if stops == 1 else 3600)

    async def start() -> None:
        supervisor.start_part(part("api-0", STUBBORN, str(folder)))

    running = asyncio.create_task(supervisor.run(start))
    assert await eventually((folder / "api-0.ready").exists)
    pid = supervisor.pid_of("api-0")
    assert pid is not None
    for _ in range(stops):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)

    assert 0 == await running
    assert not is_alive(pid)


async def test_failed_start_leaves_nothing_running() -> None:
    """When a step of the start fails, what was started before is stopped and the error is told."""
    supervisor = Supervisor(drain_timeout_s=5)
    pids: list[int | None] = []

    async def start() -> None:
        supervisor.start_part(part("coordinator", SLEEPER))
        pids.append(supervisor.pid_of("coordinator"))
        raise ServerError("no luck")

    with pytest.raises(ServerError, match="no luck"):
        await supervisor.run(start)

    assert [False] == [pid is not None and is_alive(pid) for pid in pids]


async def test_stop_during_start(folder: Path) -> None:
    """A stop that comes while the start still waits ends the start, without an error."""
    supervisor = Supervisor(drain_timeout_s=5)

    async def start() -> None:
        supervisor.start_part(part("coordinator", STOPPER, str(folder)))
        await eventually((folder / "coordinator.ready").exists)
        supervisor.request_stop()
        await asyncio.Event().wait()

    assert 0 == await supervisor.run(start)
    assert ["coordinator"] == (folder / "stopped").read_text().split()


@contextlib.asynccontextmanager
async def supervised(server: ValkeyServer) -> AsyncIterator[None]:
    """Keep a server running by a supervisor."""
    supervisor = Supervisor(drain_timeout_s=5)
    has_started = asyncio.Event()

    async def start() -> None:
        await supervisor.start_server(server)
        has_started.set()

    running = asyncio.create_task(supervisor.run(start))
    await has_started.wait()
    yield
    supervisor.request_stop()
    assert 0 == await running


async def test_server_that_dies_is_restarted(folder: Path) -> None:
    """A killed Valkey comes back with its data."""
    server = ValkeyServer(folder / "redis")
    async with supervised(server):
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "kept")
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)

        assert await eventually(lambda: server.pid not in {None, first} and server.is_ready())
        with redis.Redis.from_url(server.url) as client:
            assert b"kept" == client.get("key")
    assert not server.is_running


class Watched(ValkeyServer):
    """A Valkey that counts how often it is looked at."""

    looks = 0

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        self.looks += 1
        return super().is_running


async def test_f6_server_whose_log_is_deleted_is_restarted(folder: Path) -> None:
    """F6: a Valkey whose folder is deleted under it does not go on: it comes back, empty."""
    server = Watched(folder / "redis")
    async with supervised(server):
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "gone")
        assert server.has_data
        first = server.pid
        shutil.rmtree(server.directory)
        seen = server.looks
        assert await eventually(lambda: server.pid != first or server.looks > seen + LOOKS_MAX)
        assert server.pid != first

        assert await eventually(lambda: server.pid not in {None, first} and server.is_ready())
        with redis.Redis.from_url(server.url) as client:
            assert 0 == client.dbsize()
        assert server.has_data


def test_backoff() -> None:
    """Waits double up to a bound and begin anew after a child that was well."""
    backoff = Backoff()

    waits = [backoff.after(alive_s=1) for _ in range(8)]

    assert [BACKOFF_FIRST_S * 2**number for number in range(7)] == waits[:7]
    assert [BACKOFF_MAX_S] == waits[7:]
    assert BACKOFF_FIRST_S == backoff.after(alive_s=WELL_AFTER_S)


def test_parts_of_the_service(folder: Path) -> None:
    """One persister per shard and the asked number of API processes, with clean settings."""
    settings = Settings(shards=2, api_processes=2, data_dir=str(folder), reconciler_watch_s=0)
    environ = {"HOME": "/home/me", "EVENTLY_SHARDS": "9"}

    parts = up.parts(settings, environ, metrics_path=folder, shards=[0, 1])

    assert ["coordinator", "persister-0", "persister-1", "sweeper", "api-0", "api-1"] == [
        one.name for one in parts
    ]
    assert ("-m", "persister", "--shard", "1") == parts[2].argv[1:]
    assert settings == Settings.from_env(parts[0].env)
    assert ("/home/me", str(folder)) == (
        parts[0].env["HOME"],
        parts[0].env["PROMETHEUS_MULTIPROC_DIR"],
    )
    assert "EVENTLY" not in repr(parts[0])


def test_s36_each_part_has_its_own_secrets(folder: Path) -> None:
    """S36: beside `evently up` no part's environment has another part's secret, nor the owner's."""
    given = {field: f"{field}-of-this-run-and-no-other" for field in SECRET_FIELDS - SERVERS}
    given["ticket_signing_key"] = "k" * 43
    given["vapid_keys"] = "v" * 43
    given["openid_client_secrets"] = "mock=between-the-two-of-us"
    given["smtp_url"] = "smtp://us:of-this-run-and-no-other@mail.example:587"
    settings = Settings(
        **given,  # type: ignore[arg-type]  # All of these are texts.
        apple_pass_certificate="certificate.pem",
        apple_pass_authority="authority.pem",
        google_wallet_issuer_id="1",
        openid_issuers="mock=https://id.example",
        openid_client_ids="mock=evently",
        openid_redirect_url="https://tickets.example/sign-in",
        redis_url="unix:///redis",
        database_url=f"postgresql://evently:{given['database_owner_password']}@/evently",
        data_dir=str(folder),
    )
    environ = {
        "HOME": "/home/me",
        "POSTGRES_PASSWORD": "foreign",
        "EVENTLY_JWT_SECRET": "left lying",
    }
    found = {
        one.name: {field for field, text in given.items() if text in str(sorted(one.env.items()))}
        for one in up.parts(settings, environ, metrics_path=folder, shards=[0])
    }
    assert {
        "coordinator": {"redis_coordinator_password", "database_coordinator_password"},
        "persister-0": {"redis_persister_password", "database_persister_password"},
        "sweeper": {"redis_sweeper_password", "database_sweeper_password"},
        "api-0": {
            *("redis_api_password", "database_api_password", "openid_client_secrets"),
            *("jwt_secret", "ticket_signing_key", "webhook_key", "database_read_url"),
            *("apple_pass_key", "google_wallet_account"),
        },
        "notifier": {
            *("database_notifier_password", "smtp_url", "ticket_signing_key", "webhook_key"),
            "vapid_keys",
        },
        "watch": {"redis_coordinator_password", "database_coordinator_password"},
    } == found
    for one in up.parts(settings, environ, metrics_path=folder, shards=[0]):
        assert not {"foreign", "left lying"} & set(one.env.values())


def test_watch_is_a_part_where_it_is_asked_for(folder: Path) -> None:
    """The continuous check runs at the interval that is set."""
    settings = Settings(reconciler_watch_s=7, data_dir=str(folder))

    parts = up.parts(settings, {}, metrics_path=folder, shards=[0])
    [one] = [one for one in parts if one.name == "watch"]

    assert ("watch", "--port", "0", "--interval", "7") == one.argv[3:]


async def test_the_watch_starts_behind_all_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps nobody from starting, comes when its time has come, and comes once."""
    started: list[str] = []

    async def shards(_: Any) -> list[int]:
        return [0]

    monkeypatch.setattr(up._Run, "_shards", shards)
    with DataLock(folder) as lock:
        run = up._Run(Settings(data_dir=str(folder), api_processes=1), {}, lock)
        run._metrics_path = folder
        monkeypatch.setattr(run._supervisor, "start_part", lambda part: started.append(part.name))
        monkeypatch.setattr(up, "WATCH_DELAY_S", 3_600.0)
        await run._start_parts()
        await run._start_parts()
        assert ["coordinator", "persister-0", "sweeper", "api-0"] == started
        run._watch_from_s = 1e-9
        await run._start_parts()
        await run._start_parts()
    assert "watch" == started[-1]
    assert 5 == len(started)


def test_secrets_are_made_once(folder: Path) -> None:
    """The token key is made at the first start, kept for the next, and readable by us alone."""
    settings = Settings(data_dir=str(folder))

    first = up.keep_secrets(settings)

    assert first == up.keep_secrets(settings)
    assert 0o600 == stat.S_IMODE((folder / up.SECRETS_FILE).stat().st_mode)
    assert len(first.jwt_secret) >= up.JWT_SECRET_BYTES
    given = Settings(
        data_dir=str(folder),
        jwt_secret="g" * 32,
        ticket_signing_key="t" * 43,
        webhook_key="w" * 43,
        vapid_keys="v" * 43,
        redis_url="redis://own",
        database_url="postgresql://own",
    )
    assert given == up.keep_secrets(given)


def test_secrets_are_asked_for_in_production(folder: Path) -> None:
    """Production takes no made-up key."""
    with pytest.raises(SettingsError, match="EVENTLY_JWT_SECRET"):
        up.keep_secrets(Settings(data_dir=str(folder), environment="production"))


def test_port_that_somebody_shares() -> None:
    """A port counts as taken even if its holder would let others share it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert not up.port_is_free("127.0.0.1", port)

    assert up.port_is_free("127.0.0.1", port)


def test_metrics_folder_is_wiped(folder: Path) -> None:
    """Counters of an earlier run are not counted again."""
    metrics_path = up.metrics_folder(folder)
    try:
        (metrics_path / "counter_1.db").touch()
        assert metrics_path == up.metrics_folder(folder)
        assert [] == list(metrics_path.iterdir())
    finally:
        shutil.rmtree(metrics_path)


def assert_own_secrets_alone(settings: Settings, supervisor_pid: int) -> None:
    """
    Look into `/proc/PID/environ` of each part: its own secrets are there, those of others are not.

    Raises:
        AssertionError: a part has a secret that is another's, or none of its own.
    """
    secret = {
        name: value
        for name, value in msgspec.structs.asdict(settings).items()
        if name in SECRET_FIELDS and not name.endswith("_url") and value
    }
    seen = set()
    for pid in children_of(supervisor_pid):
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode()
        match = re.search(r"(?:^|\0)EVENTLY_PART=([a-z]+)", environ)
        if match is None:
            assert not any(value in environ for value in secret.values())  # A server.
            continue
        seen.add(match[1])
        found = {name for name, value in secret.items() if value in environ}
        role = "coordinator" if match[1] == "watch" else match[1]  # It logs in as that.
        own = SECRETS_OF[match[1]] - {"smtp_url", "apple_pass_key", "google_wallet_account"}
        own |= set() if role == "mailbox" else {f"database_{role}_password"}
        assert own == found
    assert {"api", "persister", "coordinator", "sweeper", "notifier", "mailbox"} <= seen


@pytest.mark.processes
async def test_up(folder: Path) -> None:
    """`evently up` starts real servers, refuses a second run, and leaves nothing behind."""
    settings = Settings(
        data_dir=str(folder / "data"),
        http_port=free_port(),
        sample="off",
        openid_issuers="a=http://127.0.0.1:9",
        openid_client_ids="a=one",
        openid_client_secrets="a=hidden-from-others",
        openid_redirect_url="http://127.0.0.1:9/sign-in",
    )
    command = [sys.executable, "-c", UP]
    env = dict(os.environ) | settings.to_env()
    running = folder / "data" / "running.json"
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
            command, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        assert await eventually(lambda: "Ctrl-C stops" in log.read_text()), log.read_text()
        noted = json.loads(running.read_bytes())
        assert process.pid == noted["pid"]
        assert 0o600 == stat.S_IMODE(running.stat().st_mode)
        assert "made-up-password" not in log.read_text()
        told = folder / "data" / "admin.password"
        assert str(told) in log.read_text()
        assert "made-up-password\n" == told.read_text()
        assert 0o600 == stat.S_IMODE(told.stat().st_mode)
        assert_own_secrets_alone(settings.with_running(), process.pid)
        url = settings.with_running().redis_servers_as("api")["0"]
        stranger = redis.Redis.from_url(noted["redis_url"])
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(url) as client:
            assert client.ping()

        second = await asyncio.create_subprocess_exec(
            *command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, said = await second.communicate()
        assert 2 == second.returncode
        assert f"in use by process {process.pid} " in said.decode()
        assert 1 == len(said.decode().splitlines())

        process.terminate()
        assert await eventually(lambda: process.poll() is not None)
        assert 0 == process.returncode, log.read_text()
        assert not running.exists()
        assert not (folder / "data" / "redis" / "valkey.sock").exists()
        assert [] == _processes_with(str(folder))
    finally:
        process.kill()
        process.wait()


@pytest.mark.processes
async def test_f54_up_goes_on_while_the_api_is_not_ready(folder: Path) -> None:
    """F54: a shard that takes long to open, or is frozen, does not end the run: people need it."""
    settings = Settings(data_dir=str(folder / "data"), http_port=free_port(), sample="off")
    ready = folder / "ready"
    env = dict(os.environ) | settings.to_env() | {"READY_FILE": str(ready), "TOLD_AFTER_S": "0.2"}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
            [sys.executable, "-c", UP], env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        assert await eventually(lambda: "is not ready yet" in log.read_text()), log.read_text()
        await asyncio.sleep(1.0)
        assert process.poll() is None
        assert 1 == log.read_text().count("is not ready yet")
        assert (folder / "data" / "running.json").exists()
        ready.touch()
        assert await eventually(lambda: "Ctrl-C stops" in log.read_text()), log.read_text()
        process.terminate()
        assert await eventually(lambda: process.poll() is not None)
        assert 0 == process.returncode, log.read_text()
    finally:
        process.kill()
        process.wait()


def _processes_with(text: str) -> list[int]:
    """Return live processes whose command line holds *text*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in command and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found
