"""
The embedded PostgreSQL of one data folder.

Owns making the cluster once, its instance settings on top of `deploy/postgres/postgresql.conf`, and
its readiness. Guarantees: a committed transaction survives `stop()`, `kill()` or a power cut; a
half-made cluster is never used; only a private unix socket leads to it. As root it runs as another
user (see `place.py`). Leaves the schema to `store/migrate.py`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from evently.embedded import place
from evently.embedded.binaries import find_postgres
from evently.embedded.config import POSTGRES_CONFIG, read_config
from evently.embedded.errors import ServerError
from evently.embedded.lock import DataLock
from evently.embedded.process import Account
from evently.embedded.server import SERVER_ENV, Hears, Server, unheard

USER = "evently"
DATABASE = "evently"
CREATE_DATABASE = "CREATE DATABASE evently OWNER evently\n"
#: In single-user mode, which takes no parameters; the password follows, quoted.
SET_PASSWORD = "ALTER ROLE evently PASSWORD "  # noqa: S105 - a statement
#: File that tells which password the owner was given last, as a hash.
OWNER_NOTE = "owner.sha256"
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
INITDB_TIMEOUT_S = 120.0
#: From this version on the collation C.UTF-8 is PostgreSQL's own and the same on every system.
BUILTIN_LOCALE_VERSION = 17
#: Line of postmaster.pid that says how far the start has come; `pg_ctl` reads the same.
STATUS_LINE = 7
#: Version 3.0 of the protocol, as a client's first message has it.
PROTOCOL = 196_608
#: What a server that is ending tells a new connection; `lc_messages` is C.
ENDING_WORDS = b"the database system is shutting down"


class PostgresServer(Server):
    """
    One PostgreSQL cluster with the database `evently`.

    Args:
        data_dir: The run's data folder; the cluster is in `<data_dir>/postgres`, or where
            `<data_dir>/postgres.place` says, if the user it runs as cannot get there.

        lock_fd: Descriptor of a lock that the server shall hold too (`DataLock.fd`).

        settings: Parameters that go before the shared file's, such as `max_connections`.

        log_path: Where its output goes; `<data_dir>/postgres.log` if left out.

        password: Of the owner; all then log in with one. Empty: who gets to the socket is in.
    """

    title: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "Fast": ends connections, saves all.

    def __init__(
        self,
        data_dir: Path,
        *,
        lock_fd: int | None = None,
        settings: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        password: str = "",
    ) -> None:
        self.data_dir = data_dir.absolute()
        super().__init__(lock_fd=lock_fd, log_path=log_path or self.data_dir / "postgres.log")
        self._settings = dict(settings or {})
        self._password = password
        self._home: Path | None = None
        self._socket_folder: Path | None = None

    @property
    def data_path(self) -> Path:
        """The cluster's folder. Known from the first start on."""
        return self._known(self._home) / "data"

    @property
    def socket_path(self) -> Path:
        """Folder of the unix socket. Known from the first start on."""
        return self._known(self._socket_folder)

    @property
    def url(self) -> str:
        """The URL that asyncpg understands. Known from the first start on."""
        # The port stands there because clients would otherwise take PGPORT from the environment.
        host = quote(str(self.socket_path), safe="/")
        user = f"{USER}:{quote(self._password, safe='')}" if self._password else USER
        return f"postgresql://{user}@/{DATABASE}?host={host}&port={PORT}"

    def _lock_data(self) -> None:
        self._hold(DataLock(self.data_dir, name="postgres.lock"))
        self._home = place.postgres_home(self.data_dir)
        # The folder may be elsewhere, and a copied data folder may point to it as well.
        self._hold(DataLock(self._home))

    def _prepare(self) -> list[str]:
        home = self._known(self._home)
        account = place.account_for(home)
        bin_path = place.reachable_binaries(find_postgres(), account)
        self._socket_folder = place.socket_folder(
            home / "run", file_name=SOCKET_NAME, account=account
        )
        place.make_private(self._socket_folder, account)
        if not self.data_path.exists():
            self._make_cluster(bin_path, account)
        # We hold the locks that every process of an earlier run has inherited, so there is none.
        # Left in place, these would block the start when their process id is in use again.
        (self.data_path / "postmaster.pid").unlink(missing_ok=True)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self._socket_folder / name).unlink(missing_ok=True)
        config = home / "postgresql.conf"
        config_text = (
            "# Written at every start. Change deploy/postgres/postgresql.conf instead.\n"
            + read_config(POSTGRES_CONFIG)
        )
        place.write_atomically(config, config_text.encode(), mode=0o644)
        hba = home / "pg_hba.conf"
        method = "scram-sha-256" if self._password else "trust"
        hba_text = f"# Written at every start.\nlocal all all {method}\n"
        place.write_atomically(hba, hba_text.encode(), mode=0o644)
        if self._password:
            self._set_password(bin_path, account)
        fixed = {"config_file": str(config), "hba_file": str(hba), "port": str(PORT)}
        fixed["unix_socket_directories"] = _quoted(self._socket_folder)
        words = [f"--{name}={value}" for name, value in (self._settings | fixed).items()]
        return [str(bin_path / "postgres"), "-D", str(self.data_path), *words]

    def _probe(self) -> Hears:
        try:
            lines = (self.data_path / "postmaster.pid").read_text().splitlines()
        except OSError as error:
            return unheard(error)
        if not lines or lines[0] != str(self.pid) or len(lines) <= STATUS_LINE:
            return "silent"
        # Until it is ready it replays its log, or has just begun.
        return "takes" if lines[STATUS_LINE].strip() == "ready" else "busy"

    def _address(self) -> Path:
        return self.socket_path / SOCKET_NAME

    def _question(self) -> bytes:
        """Begin to log in; being asked for the password is to be let in as far as it matters."""
        words = b"\0".join((b"user", USER.encode(), b"database", DATABASE.encode(), b"", b""))
        return struct.pack("!ii", len(words) + 8, PROTOCOL) + words

    def _is_whole(self, answer: bytes) -> bool:
        """Whether its first message is there: a letter, its length, and what it says."""
        return len(answer) >= 5 and len(answer) > struct.unpack_from("!i", answer, 1)[0]

    def _hear(self, answer: bytes) -> Hears:
        if not answer:
            return "silent"
        if ENDING_WORDS in answer:
            return "ending"
        # Another error says that it recovers, is full, or cannot fork; they pass.
        return "busy" if answer.startswith(b"E") else "takes"

    def _account(self) -> Account | None:
        return place.account_for(self._known(self._home))

    def _make_cluster(self, bin_path: Path, account: Account | None) -> None:
        """Make cluster and database under another name first: a killed attempt is repeated."""
        new = self.data_path.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        locale = ["--locale=C.UTF-8"]
        if _major_version(bin_path) >= BUILTIN_LOCALE_VERSION:
            locale.insert(0, "--locale-provider=builtin")
        initdb = [str(bin_path / "initdb"), "-U", USER, "--auth=trust", "-E", "UTF8", *locale]
        _run([*initdb, "-D", str(new)], account)
        # Single-user mode needs no connection: the database exists before anybody can look.
        single = [str(bin_path / "postgres"), "--single", "-D", str(new), "postgres"]
        _run(single, account, stdin=CREATE_DATABASE)
        new.rename(self.data_path)
        place.sync_folder(self.data_path.parent)

    def _set_password(self, bin_path: Path, account: Account | None) -> None:
        """Give the owner its password, unless it is known to have it: older code gave it none."""
        note = self._known(self._home) / OWNER_NOTE
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        if note.exists() and note.read_text() == digest:
            return
        quoted = self._password.replace("'", "''")
        single = [str(bin_path / "postgres"), "--single", "-D", str(self.data_path), "postgres"]
        _run(single, account, stdin="'".join((SET_PASSWORD, quoted, "\n")))
        place.write_atomically(note, digest.encode())

    def _known(self, path: Path | None) -> Path:
        if path is None:
            raise ServerError("PostgreSQL has not been started yet")
        return path


def _run(argv: Sequence[str], account: Account | None, *, stdin: str = "") -> None:
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=SERVER_ENV,
            cwd="/",
            timeout=INITDB_TIMEOUT_S,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"{argv[0]}: {error}") from error
    # Single-user mode reports a failed statement in words only.
    if done.returncode != 0 or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
        raise ServerError(f"{argv[0]} failed:\n{done.stdout[-2_000:]}")


def _major_version(bin_path: Path) -> int:
    """Read the version from the programs themselves: `postgres (PostgreSQL) 18.6`."""
    try:
        done = subprocess.run(
            [str(bin_path / "postgres"), "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"{bin_path}/postgres: {error}") from error
    match = re.search(r"\)\s+(\d+)", done.stdout)
    if match is None:
        raise ServerError(f"cannot tell the version of {bin_path}/postgres: {done.stdout!r}")
    return int(match.group(1))


def _quoted(path: Path) -> str:
    """Return *path* as one element of a list parameter."""
    escaped = str(path).replace('"', '""')
    return f'"{escaped}"'
