"""
Folders and programs that a server can reach, whoever it has to run as.

PostgreSQL refuses to run as root, so root runs it as `nobody`. Owns the choice of a data folder
and of programs that this user can reach. Guarantees: no account is made, no folder above our own is
changed, the choice is noted in the data folder and kept. Leaves locking to the server.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from evently.embedded.binaries import PostgresBinaries
from evently.embedded.errors import ServerError
from evently.embedded.process import Account

UNPRIVILEGED_USER = "nobody"
#: Where root keeps what `nobody` must reach, best first.
SHARED_PATHS = (Path("/var/lib/evently"), Path("/var/tmp/evently"))  # noqa: S108 - checked below
#: File in the data folder that names a PostgreSQL folder elsewhere.
PLACE_FILE = "postgres.place"
CHECK_TIMEOUT_S = 20.0
#: `sun_path` of a unix socket is 108 bytes with the closing zero.
SOCKET_PATH_BYTES_MAX = 107


def account_for(data_path: Path) -> Account | None:
    """Return who PostgreSQL runs as: ourselves, or for root the data's owner or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data_path.exists() and (status := data_path.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise ServerError(
            "PostgreSQL does not run as root and there is no user 'nobody': start Evently as "
            "another user or set EVENTLY_DATABASE_URL"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def postgres_home(data_dir: Path) -> Path:
    """
    Return the folder of PostgreSQL's data for *data_dir*, made and owned by who will use it.

    It is `<data_dir>/postgres` wherever possible. If that cannot be reached, it is a new folder
    elsewhere; its path is noted in `<data_dir>/postgres.place` before it is used, so that the
    next start, or a start after the folder was moved, finds the same data.
    """
    note = data_dir / PLACE_FILE
    inside = data_dir / "postgres"
    if note.exists():
        noted = Path(note.read_text().strip())
        if not noted.is_dir():
            raise ServerError(
                f"{note} says that the PostgreSQL data is in {noted}, which is gone; bring it "
                f"back, or remove {note} to begin with an empty database"
            )
        return noted
    account = account_for(inside)
    was_there = inside.exists()
    make_private(inside, account)
    if account is None or _can_use(inside, account):
        return inside
    if was_there and any(inside.iterdir()):
        raise ServerError(f"{inside} holds data, but its owner (uid {account.uid}) cannot enter it")
    inside.rmdir()
    token = hashlib.sha256(f"{data_dir}:{secrets.token_hex(8)}".encode()).hexdigest()[:16]
    home = _shared_path(account) / token / "postgres"
    home.parent.mkdir(mode=0o755)
    make_private(home, account)
    write_atomically(note, f"{home}\n".encode())
    return home


def reachable_binaries(found: PostgresBinaries, account: Account | None) -> Path:
    """Return a folder of PostgreSQL programs that *account* can run; a copy if need be."""
    if account is None or _runs(found.bin_path, account):
        return found.bin_path
    if not found.parts:
        raise ServerError(f"uid {account.uid} cannot run {found.bin_path}/postgres")
    digest = hashlib.sha256((found.bin_path / "postgres").read_bytes()).hexdigest()[:16]
    cache = _shared_path(account) / "binaries" / f"{found.parts[0].parts[0]}-{digest}"
    if not cache.exists():
        _copy(found, cache)
    bin_path = cache / found.bin_path.relative_to(found.base_path)
    if not _runs(bin_path, account):
        raise ServerError(f"uid {account.uid} cannot run {bin_path}/postgres; remove {cache}")
    return bin_path


def socket_folder(preferred: Path, *, file_name: str, account: Account | None) -> Path:
    """Return *preferred*, or a short private folder if a socket's path in it is too long."""
    if len(os.fsencode(preferred / file_name)) <= SOCKET_PATH_BYTES_MAX:
        return preferred
    owner = os.geteuid() if account is None else account.uid
    digest = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    # "/tmp" for a TMPDIR that is itself too long, or that the server's user cannot enter.
    for folder in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - made private
        short = folder / f"evently-{owner}-{digest}"
        if len(os.fsencode(short / file_name)) > SOCKET_PATH_BYTES_MAX:
            continue
        make_private(short, account)
        if account is None or _can_use(short, account):
            return short
    raise ServerError(f"no folder short enough for a unix socket; {preferred} is too long")


def make_private(folder: Path, account: Account | None) -> None:
    """
    Make *folder* for its owner alone; check one that is there.

    Raises:
        ServerError: it belongs to somebody else, who could put anything in it.
    """
    owner = os.geteuid() if account is None else account.uid
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
            raise ServerError(f"{folder} is not a folder of uid {owner}") from None
        if status.st_uid == owner and stat.S_IMODE(status.st_mode) & 0o077 == 0:
            return
        folder.chmod(0o700)
    except OSError as error:
        raise ServerError(f"cannot make {folder}: {error.strerror}") from error
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a small file so that a reader, or the next start, sees all of it or none of it."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _shared_path(account: Account) -> Path:
    """Return a folder of root's that *account* can pass through."""
    for folder in SHARED_PATHS:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            status = folder.lstat()
        except OSError:
            continue
        # /var/tmp is everybody's: a folder of the same name may be a trap.
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == 0
        if is_ours and status.st_mode & 0o022 == 0 and _can_pass(folder, account):
            return folder
    places = " nor ".join(str(folder) for folder in SHARED_PATHS)
    raise ServerError(f"PostgreSQL does not run as root, and uid {account.uid} reaches no {places}")


def _copy(found: PostgresBinaries, cache: Path) -> None:
    """Copy the programs under a temporary name, then rename: concurrent starts do no harm."""
    cache.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".new-") as folder:
        new = Path(folder) / "tree"
        for part in found.parts:
            shutil.copytree(
                found.base_path / part,
                new / part,
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"),
            )
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                is_program = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if is_program else 0o644)
        os.sync()  # Before the name: half a copy under the final name would be used for ever.
        try:
            new.rename(cache)
        except OSError:
            if not cache.is_dir():  # Else another start was faster.
                raise


def _runs(bin_path: Path, account: Account) -> bool:
    return _succeeds([str(bin_path / "postgres"), "--version"], account)


def _can_use(folder: Path, account: Account) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd "$1" && [ -w . ]', "sh", str(folder)], account)


def _can_pass(folder: Path, account: Account) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], account)


def _succeeds(argv: list[str], account: Account) -> bool:
    """Really try, as that user: modes alone say nothing of ACLs, mounts and missing libraries."""
    try:
        done = subprocess.run(
            argv,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
