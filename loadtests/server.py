"""
An Evently of one's own: `evently up` in a fresh folder on a free port, to be loaded or hurt.

Owns its start and stop, and its processes: who they are, and what signals they get. The process
group dies with its user: a supervisor that loses its parent stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

from evently.embedded.process import spawn
from evently.ports import free_port
from evently.ready import wait_until_ready
from evently.settings import RUNNING_FILE, Settings

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
LOOPBACK = "127.0.0.1"
#: A crowd's connections are opened before the first of them says something.
PATIENT = {"head_timeout_s": 60, "idle_timeout_s": 75}
#: Who loads or hurts a server stands for many: requests are counted as always, and never refused.
UNREACHED = 1_000_000_000
UNREFUSED = {"request_limit_attempts": UNREACHED, "request_limit_staff_attempts": UNREACHED}
#: How each kind of process is found among the supervisor's descendants.
PROCESSES = {
    "api": "-m api",
    "persister": "-m persister",
    "sweeper": "evently sweeper",
    "notifier": "-m notifier",
    "coordinator": "reconciler recover",
    "redis": "-server ",
    "postgres": "postgres",
}


class Server:
    """One supervisor and all it starts."""

    def __init__(self, data_path: Path, *, tree: Path | None = None, **settings: Any) -> None:
        """
        Args:
            data_path: Folder for data and logs; kept, so that a second start finds it.

            tree: Another checkout of this project whose code runs; with a `.venv` of its own if
                it has one, else on ours.

            settings: Further settings by field name.
        """
        self.data_path = data_path
        self.port = free_port()
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.log_path = data_path.with_name(data_path.name + ".log")
        # No mail, unless it is what is looked at.
        settings = {"environment": "test"} | _known(PATIENT | UNREFUSED, tree) | settings
        self._settings = {name: str(value) for name, value in settings.items()}
        self._tree = tree
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings that commands need to reach the running servers."""
        environ = self.environ
        fields = {name: environ[name] for name in environ if name.startswith("EVENTLY_")}
        return Settings.from_env(fields).with_running()

    async def start(self) -> None:
        """
        Start and wait until it is ready.

        Raises:
            RuntimeError: it ended or was not ready in time; the message has its last words.
        """
        self.data_path.mkdir(parents=True, exist_ok=True)
        self.process = spawn(
            [self.python, "-m", "evently", "up"],
            death_signal=signal.SIGTERM,
            env=self.environ,
            log_path=self.log_path,
            cwd=self._tree,
        )
        await self.wait_until_ready()

    async def wait_until_ready(self) -> None:
        """Wait for `/readyz`; raises as `start` does."""
        if (
            await wait_until_ready(
                self.base_url,
                processes=int(self.environ.get("EVENTLY_API_PROCESSES", "1")),
                timeout_s=READY_TIMEOUT_S,
                goes_on=lambda: self.process is None or self.process.poll() is None,
            )
            and (self.data_path / RUNNING_FILE).exists()
        ):
            return
        raise RuntimeError(f"evently did not come up:\n{self.last_words()}")

    async def stop(self) -> int:
        """Stop as Ctrl-C does; return the exit code. Kill what does not stop in time."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return await asyncio.to_thread(self.process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """Kill the supervisor without a word (SIGKILL)."""
        assert self.process is not None, "not started"
        self.process.kill()
        self.process.wait()

    def log_text(self) -> str:
        """Return what the supervisor and its parts have logged."""
        return self.log_path.read_text(errors="replace")

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log_text()[-4000:]

    def pids(self, process: str) -> list[int]:
        """Return the running processes of one kind, in the order of their numbers; maybe none."""
        if self.process is None or self.process.poll() is not None:
            return []
        found = descendants(self.process.pid)
        return sorted(pid for pid, command in found.items() if PROCESSES[process] in command)

    @contextlib.contextmanager
    def supervisor_stopped(self) -> Iterator[None]:
        """Keep the supervisor from restarting anything meanwhile."""
        assert self.process is not None, "not started"
        send([self.process.pid], signal.SIGSTOP)
        try:
            yield
        finally:
            send([self.process.pid], signal.SIGCONT)

    @property
    def python(self) -> str:
        """The interpreter that runs the code."""
        own = self._tree and self._tree / ".venv" / "bin" / "python"
        return str(own) if own and own.exists() else sys.executable

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of the supervisor: ours, and this server's settings."""
        plain = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name}
        if self._tree:
            plain["PYTHONPATH"] = str(self._tree)
        own = {"data_dir": str(self.data_path), "http_port": str(self.port)} | self._settings
        if self._tree is None:  # Another checkout may not know it.
            own["env_file"] = os.devnull
        return plain | {f"EVENTLY_{name.upper()}": value for name, value in own.items()}


def _known(settings: dict[str, int], tree: Path | None) -> dict[str, int]:
    """Return those settings that a checkout has: an older one may not have them all."""
    if tree is None:
        return settings
    text = (tree / ".env.example").read_text()
    return {name: value for name, value in settings.items() if f"EVENTLY_{name.upper()}=" in text}


@contextlib.contextmanager
def open_folder(parent: Path | None = None) -> Iterator[Path]:
    """
    Yield a temporary folder that the user may enter whom PostgreSQL becomes under root.

    Args:
        parent: Where it is made; None: where the system has temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="evt-", dir=parent) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """Run an Evently with its data below *folder* for as long as the block lasts."""
    server = Server(folder / "data", **settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> dict[int, str]:
    """Return all living processes below *pid*, with their command lines."""
    table = _processes()
    found: dict[int, str] = {}
    wanted = {pid}
    while wanted:
        wanted = {child for child, (parent, _) in table.items() if parent in wanted}
        found |= {child: table[child][1] for child in wanted}
    return found


def living() -> set[int]:
    """Return all processes of this machine that are not zombies."""
    return set(_processes())


def _processes() -> dict[int, tuple[int, str]]:
    """Return parent and command line of every living process."""
    found: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # It may end while we look.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = (int(parent), command.decode(errors="replace").strip())
    return found
