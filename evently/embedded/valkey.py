"""
The embedded Valkey (or Redis) of one folder.

Owns its instance settings on top of `deploy/redis/valkey.conf` and its readiness. Guarantees: every
acknowledged write is on disk (`appendonly yes`, `appendfsync always`) and is found again after
`stop()`, `kill()` or a power cut; clients reach it by a unix socket that only its owner may open,
and with passwords, each role as its own user (`engine.acl`).
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from engine import acl
from evently.embedded import place
from evently.embedded.binaries import find_valkey
from evently.embedded.config import VALKEY_CONFIG, read_config
from evently.embedded.errors import ServerError
from evently.embedded.lock import DataLock
from evently.embedded.server import ANSWER_BYTES_MAX, Hears, Server, unheard

SOCKET_NAME = "valkey.sock"
USERS_FILE = "users.acl"
LOG_FOLDER = "appendonlydir"
PROBE_TIMEOUT_S = 0.5
#: Errors that pass: it reads its log, runs a script, or has as many clients as it may.
BUSY_WORDS = (b"-LOADING", b"-BUSY", b"-ERR max number of clients")


class ValkeyServer(Server):
    """
    One Valkey process.

    Args:
        directory: Folder of its data, socket and generated settings; made if missing.

        lock_fd: Descriptor of a lock that the server shall hold too (`DataLock.fd`).

        settings: Directives that go before the shared file's, such as `maxmemory`.

        port: TCP port on 127.0.0.1 besides the socket; 0 for none.

        log_path: Where its output goes; `<directory>/server.log` if left out.

        passwords: Of each role of `engine.acl`; None for a server that asks for none.

        users: ACL file to use in place of the one made of *passwords*; the coordinator's must fit.
    """

    title: ClassVar[str] = "Valkey"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self,
        directory: Path,
        *,
        lock_fd: int | None = None,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        log_path: Path | None = None,
        passwords: Mapping[str, str] | None = None,
        users: str | None = None,
    ) -> None:
        self.directory = directory.absolute()
        super().__init__(lock_fd=lock_fd, log_path=log_path or self.directory / "server.log")
        self.port = port
        self._settings = dict(settings or {})
        self._passwords = passwords
        self._users = users
        self._socket_folder: Path | None = None

    @property
    def data_path(self) -> Path:
        """Folder that holds the append-only file."""
        return self.directory

    @property
    def has_data(self) -> bool:
        """Whether its log is there: one that is deleted under it takes every write, for nobody."""
        try:
            return any(".incr." in path.name for path in (self.directory / LOG_FOLDER).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # The machine does not let us look, and says nothing of the log.
            return True

    @property
    def socket_path(self) -> Path:
        """The unix socket; in a short folder elsewhere if the data folder's path is too long."""
        if self._socket_folder is None:
            self._socket_folder = place.socket_folder(
                self.directory, file_name=SOCKET_NAME, account=None
            )
        return self._socket_folder / SOCKET_NAME

    @property
    def url(self) -> str:
        """The URL that redis-py understands; it names no user."""
        return f"unix://{quote(str(self.socket_path))}"

    def _lock_data(self) -> None:
        with contextlib.suppress(FileExistsError):
            self.directory.mkdir(mode=0o700, parents=True)
        self._hold(DataLock(self.directory))

    def _prepare(self) -> list[str]:
        binary = find_valkey()
        self.socket_path.unlink(missing_ok=True)  # We hold the lock: nobody listens on it.
        lines = [
            "# Written at every start. Change deploy/redis/valkey.conf instead.",
            read_config(VALKEY_CONFIG),
            f"dir {_quoted(self.directory)}",
            f"unixsocket {_quoted(self.socket_path)}",
        ]
        if self.port:
            lines += ["bind 127.0.0.1", f"port {self.port}"]
        if self._passwords is not None:
            users = self._users or acl.file(
                {role: acl.credential(self._passwords[role]) for role in acl.ROLES}
            )
            path = self.directory / USERS_FILE
            place.write_atomically(path, users.encode())
            lines.append(f"aclfile {_quoted(path)}")
        lines += [f"{name} {value or _quoted('')}" for name, value in self._settings.items()]
        config = self.directory / "valkey.conf"
        place.write_atomically(config, ("\n".join(lines) + "\n").encode())
        return [str(binary), str(config)]

    def _probe(self) -> Hears:
        """Ask PING: while the append-only file is read, the answer is an error."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(PROBE_TIMEOUT_S)
                client.connect(str(self.socket_path))
                client.sendall(self._question())
                while not self._is_whole(answer) and (part := client.recv(ANSWER_BYTES_MAX)):
                    answer += part
        except OSError as error:
            return unheard(error)
        if b"-NOAUTH" in answer:
            raise ServerError("the embedded Valkey asks for a password that it was not given")
        if b"-WRONGPASS" in answer:
            raise ServerError("the embedded Valkey refuses its own coordinator")
        return self._hear(answer)

    def _address(self) -> Path:
        return self.socket_path

    def _question(self) -> bytes:
        if self._passwords is None:
            return _command("PING")
        password = self._passwords[acl.COORDINATOR]
        return _command("AUTH", acl.COORDINATOR, password) + _command("PING")

    def _is_whole(self, answer: bytes) -> bool:
        return answer.count(b"\r\n") >= (1 if self._passwords is None else 2)

    def _hear(self, answer: bytes) -> Hears:
        if any(word in answer for word in BUSY_WORDS):
            return "busy"
        return "takes" if self._is_whole(answer) else "silent"


def _command(*words: str) -> bytes:
    """Return a command as it is sent."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def _quoted(value: object) -> str:
    """Return *value* as one word of a Redis configuration line."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
