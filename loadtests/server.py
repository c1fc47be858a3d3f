"""
An Evently of one's own: `evently up` in a fresh folder on a free port, for demos and tests.

The process group dies with its user: a supervisor that loses its parent stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from evently.embedded.process import spawn
from evently.ready import wait_until_ready
from evently.settings import RUNNING_FILE, Settings

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
LOOPBACK = "127.0.0.1"


class Server:
    """One supervisor and all it starts."""

    def __init__(self, data_path: Path, **settings: str) -> None:
        """
        Args:
            data_path: Folder for data and logs; kept, so that a second start finds it.

            settings: Further settings by field name, as text.
        """
        self.data_path = data_path
        self.port = free_port()
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.log_path = data_path.with_name(data_path.name + ".log")
        self._settings = settings
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
            [sys.executable, "-m", "evently", "up"],
            death_signal=signal.SIGTERM,
            env=self.environ,
            log_path=self.log_path,
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

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log_path.read_text(errors="replace")[-4000:]

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of the supervisor: ours, and this server's settings."""
        plain = {name: value for name, value in os.environ.items() if "EVENTLY_" not in name}
        own = {"env_file": os.devnull, "data_dir": str(self.data_path)}
        own |= {"http_port": str(self.port)} | self._settings
        return plain | {f"EVENTLY_{name.upper()}": value for name, value in own.items()}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


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
