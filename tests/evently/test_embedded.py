"""
The embedded servers, tried for real: durability, locks, orphans, root, long paths.

Every test starts real processes in folders of its own. Nothing is judged by how long it takes;
waits are bounded only so that a failure ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from evently.embedded import DataLock, PostgresServer, ServerError, ValkeyServer, binaries, place
from evently.embedded.process import Account, children_of, is_alive, spawn
from evently.embedded.server import Server
from tests.checks import eventually

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as someone else")
HOLDER = """
import sys, time
from pathlib import Path
from evently.embedded import DataLock, PostgresServer, ValkeyServer
folder = Path(sys.argv[1])
lock = DataLock(folder)
lock.acquire()
servers = [
    ValkeyServer(folder / "redis", lock_fd=lock.fd), PostgresServer(folder, lock_fd=lock.fd)
]
for server in servers:
    server.start()
print(*(server.pid for server in servers), flush=True)
time.sleep(600)
"""


@pytest.fixture
def stopped() -> Iterator[Callable[[Server], Server]]:
    """Stop the servers of a test, passed or failed."""
    servers: list[Server] = []

    def keep(server: Server) -> Server:
        servers.append(server)
        return server

    yield keep
    for server in servers:
        server.stop()  # Not `kill`: a PostgreSQL that never starts again would leave shared memory.


def client_of(server: ValkeyServer) -> redis.Redis:
    """Connect to *server* as redis-py reads its URL."""
    return redis.Redis.from_url(server.url, decode_responses=True)


async def fetchval(server: PostgresServer, query: str) -> Any:
    """Run one query on a connection of its own."""
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_valkey_keeps_data(folder: Path, end: str, stopped: Callable[[Server], Server]) -> None:
    """What Valkey acknowledged is there after a stop and after a crash."""
    server = ValkeyServer(folder / "redis")
    stopped(server)
    server.start()
    with client_of(server) as client:
        client.set("key", "kept")
    getattr(server, end)()
    assert (False, None) == (server.is_running, server.pid)

    server.start()

    with client_of(server) as client:
        assert "kept" == client.get("key")


def test_valkey_settings(folder: Path, stopped: Callable[[Server], Server]) -> None:
    """The shared file is in force, and a server's own settings go before it."""
    server = ValkeyServer(folder / "redis", settings={"maxmemory": "100mb"})
    stopped(server)
    server.start()

    expected = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "save": "",
        "maxmemory": str(100 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    with client_of(server) as client:
        actual = {name: str(client.config_get(name)[name]) for name in expected}
        with pytest.raises(redis.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")

    assert expected == actual
    assert 0o700 == stat.S_IMODE(server.socket_path.stat().st_mode)


def test_valkey_that_does_not_come_up(folder: Path) -> None:
    """A server that ends at once raises with the end of its log."""
    server = ValkeyServer(folder / "redis", settings={"no-such-directive": "1"})

    with pytest.raises(ServerError, match=r"(?s)ended while starting.*no-such-directive"):
        server.start()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_postgres_keeps_data(
    folder: Path, end: str, stopped: Callable[[Server], Server]
) -> None:
    """What PostgreSQL committed is there after a stop and after a crash."""
    server = PostgresServer(folder)
    stopped(server)
    server.start()
    assert folder / "postgres" / "data" == server.data_path
    await fetchval(server, "CREATE TABLE kept AS SELECT 7 AS number")
    pid = server.pid
    assert pid is not None
    backends = children_of(pid)
    getattr(server, end)()
    assert [] == [child for child in backends if is_alive(child)]

    server.start()

    assert 7 == await fetchval(server, "SELECT number FROM kept")


async def test_postgres_settings(folder: Path, stopped: Callable[[Server], Server]) -> None:
    """Everything that durability rests on is on, and no TCP port is open."""
    server = PostgresServer(folder, settings={"max_connections": "37"})
    stopped(server)
    server.start()

    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_sync_retry": "off",
        "listen_addresses": "",
        "max_connections": "37",
        "shared_buffers": "256MB",
        "server_encoding": "UTF8",
    }
    actual = {name: await fetchval(server, f"SHOW {name}") for name in expected}

    assert expected == actual


async def test_postgres_asks_for_passwords(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """A cluster that older code made without passwords goes on with them, and with new ones."""
    old = PostgresServer(folder)
    stopped(old)
    old.start()
    await fetchval(old, "SELECT 1")
    old.stop()
    for password in ("first'\\ %/@ one", "second"):
        server = PostgresServer(folder, password=password)
        stopped(server)
        server.start()
        assert 1 == await fetchval(server, "SELECT 1")
        for wrong in (None, "wrong"):
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await asyncpg.connect(old.url, password=wrong)
        server.kill()


async def test_postgres_after_killed_initdb(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """A cluster that was never finished is thrown away and made anew."""
    half_made = folder / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    server = PostgresServer(folder)
    stopped(server)

    server.start()

    assert "evently" == await fetchval(server, "SELECT current_database()")
    assert not half_made.exists()


async def test_postgres_with_stale_pid_file(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """A pid file whose process id now belongs to a stranger does not block the start."""
    server = PostgresServer(folder)
    stopped(server)
    server.start()
    pid_file = server.data_path / "postmaster.pid"
    content = pid_file.read_text().splitlines()
    server.kill()
    pid_file.write_text("\n".join(["1", *content[1:]]) + "\n")

    server.start()

    assert 1 == await fetchval(server, "SELECT 1")


@pytest.mark.parametrize("make", [ValkeyServer, PostgresServer])
def test_second_server_is_refused(
    make: Callable[[Path], Server],
    folder: Path,
    stopped: Callable[[Server], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two servers never share a data folder, even if nobody locked it for them."""
    monkeypatch.setattr(DataLock.acquire, "__kwdefaults__", {"timeout_s": 0.1})
    first, second = stopped(make(folder)), make(folder)
    first.start()

    with pytest.raises(ServerError, match=f"in use by process {os.getpid()} "):
        second.start()

    assert first.is_running


def test_second_run_is_refused(folder: Path) -> None:
    """The lock of a data folder names the process that holds it."""
    with DataLock(folder), pytest.raises(ServerError, match=f"in use by process {os.getpid()} "):
        DataLock(folder).acquire(timeout_s=0.1)

    again = DataLock(folder)
    again.acquire(timeout_s=0.1)
    again.release()


def test_lock_is_held_until_last_server_is_gone(folder: Path) -> None:
    """A child that inherited the lock holds it after its parent has let go."""
    lock = DataLock(folder)
    lock.acquire()
    child = spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        death_signal=signal.SIGKILL,
        env={},
        pass_fds=[lock.fd],
    )
    lock.release()
    with pytest.raises(ServerError):
        DataLock(folder).acquire(timeout_s=0.1)
    child.kill()
    child.wait()

    with DataLock(folder) as again:
        assert again.is_held


@pytest.mark.processes
async def test_killed_parent_leaves_no_orphans(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """After `kill -9` of the parent both servers end by themselves and the next start works."""
    with subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert [True, True] == [is_alive(pid) for pid in pids]
        pids += children_of(pids[1])
        parent.kill()

    assert await eventually(lambda: not any(is_alive(pid) for pid in pids))
    with DataLock(folder) as lock:
        valkey = ValkeyServer(folder / "redis", lock_fd=lock.fd)
        postgres = PostgresServer(folder, lock_fd=lock.fd)
        for server in (valkey, postgres):
            stopped(server)
            server.start()
        with client_of(valkey) as client:
            assert client.ping()
        assert 1 == await fetchval(postgres, "SELECT 1")
        valkey.stop()
        postgres.stop()


@as_root
async def test_folder_that_only_root_may_enter(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """PostgreSQL's data goes where it can be reached, stays there, and no folder is opened up."""
    private = folder / "private"
    private.mkdir(mode=0o700)
    data_dir = private / "data"
    watched = [private, *private.parents, Path("/var"), Path("/var/lib"), Path("/root")]
    before = {path: path.stat().st_mode for path in watched}
    server = PostgresServer(data_dir)
    stopped(server)
    home: Path | None = None
    try:
        server.start()
        home = server.data_path.parent
        assert not home.is_relative_to(folder)
        assert NOBODY == server.data_path.stat().st_uid
        await fetchval(server, "CREATE TABLE kept AS SELECT 7 AS number")
        server.stop()

        again = PostgresServer(data_dir)
        stopped(again)
        again.start()
        assert home == again.data_path.parent
        assert 7 == await fetchval(again, "SELECT number FROM kept")
        again.stop()
        assert before == {path: path.stat().st_mode for path in watched}

        shutil.rmtree(home.parent)
        with pytest.raises(ServerError, match="is gone"):
            again.start()
    finally:
        if home is not None:
            shutil.rmtree(home.parent, ignore_errors=True)
            with contextlib.suppress(OSError):  # Not empty: somebody else's.
                home.parent.parent.rmdir()


@as_root
def test_binaries_that_only_root_may_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in a private folder are copied once to where the server's user can run them."""
    found = binaries.find_postgres()
    if not found.parts:
        pytest.skip("a system installation can always be reached")
    private = folder / "private"
    private.mkdir(mode=0o700)
    for part in found.parts:
        (private / part).parent.mkdir(parents=True, exist_ok=True)
        (private / part).symlink_to(found.base_path / part)
    hidden = binaries.PostgresBinaries(
        private / found.bin_path.relative_to(found.base_path), private, found.parts
    )
    monkeypatch.setattr(place, "SHARED_PATHS", (folder / "shared",))
    account = Account(NOBODY, NOBODY)

    copied = place.reachable_binaries(hidden, account)

    assert copied.is_relative_to(folder / "shared")
    assert copied == place.reachable_binaries(hidden, account)
    done = subprocess.run([copied / "initdb", "--version"], user=NOBODY, check=False, cwd="/")
    assert 0 == done.returncode
    assert found.bin_path == place.reachable_binaries(found, None)


@as_root
def test_trap_in_shared_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that somebody else could have filled is not used by root."""
    trap = folder / "trap"
    trap.mkdir()
    os.chown(trap, NOBODY, NOBODY)
    monkeypatch.setattr(place, "SHARED_PATHS", (trap,))

    with pytest.raises(ServerError, match="does not run as root"):
        place._shared_path(Account(NOBODY, NOBODY))


async def test_long_path(folder: Path, stopped: Callable[[Server], Server]) -> None:
    """A data folder too deep for a unix socket gets short private folders for its sockets."""
    deep = folder / ("d" * 60) / ("e" * 60)
    valkey, postgres = ValkeyServer(deep / "redis"), PostgresServer(deep)
    for server in (valkey, postgres):
        stopped(server)
        server.start()
    folders = [valkey.socket_path.parent, postgres.socket_path]
    try:
        with client_of(valkey) as client:
            assert client.ping()
        assert 1 == await fetchval(postgres, "SELECT 1")
        assert [0o700, 0o700] == [stat.S_IMODE(path.stat().st_mode) for path in folders]
        assert not any(path.is_relative_to(folder) for path in folders)
        valkey.stop()
        postgres.stop()
    finally:
        for path in folders:
            shutil.rmtree(path)


def test_path_with_odd_characters(folder: Path, stopped: Callable[[Server], Server]) -> None:
    """Spaces, quotes and percent signs in a path reach the server and the URL unharmed."""
    server = ValkeyServer(folder / 'a "b" 100% #c')
    stopped(server)
    server.start()

    with client_of(server) as client:
        assert client.ping()


async def test_postgres_path_with_odd_characters(
    folder: Path, stopped: Callable[[Server], Server]
) -> None:
    """PostgreSQL's socket is found in a path with spaces, quotes and percent signs."""
    server = PostgresServer(folder / 'a "b" 100% #c')
    stopped(server)
    server.start()

    assert 1 == await fetchval(server, "SELECT 1")


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any program the error names what to install and the setting that avoids it."""

    def find_nothing(_: str) -> None:
        return None

    monkeypatch.setattr(binaries, "_package_path", find_nothing)
    monkeypatch.setattr(shutil, "which", find_nothing)
    monkeypatch.setattr(binaries, "POSTGRES_SYSTEM", Path("/nonexistent"))

    with pytest.raises(ServerError, match=r"valkey-server .*EVENTLY_REDIS_URL"):
        binaries.find_valkey()
    with pytest.raises(ServerError, match=r"postgresql, .*EVENTLY_DATABASE_URL"):
        binaries.find_postgres()


async def test_system_postgres(
    folder: Path, stopped: Callable[[Server], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's PostgreSQL, which may be older, takes the same settings file."""
    monkeypatch.setattr(binaries, "POSTGRES_WHEELS", ())
    try:
        binaries.find_postgres()
    except ServerError:
        pytest.skip("no PostgreSQL in the system")
    server = PostgresServer(folder)
    stopped(server)

    server.start()

    assert "on" == await fetchval(server, "SHOW fsync")


def test_children_are_started_from_the_main_thread() -> None:
    """The death signal belongs to the forking thread, so any other thread is refused."""
    errors: list[BaseException] = []

    def start() -> None:
        try:
            spawn([sys.executable, "-c", ""], death_signal=signal.SIGTERM, env={})
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert 1 == len(errors)
