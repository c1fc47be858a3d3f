"""A streaming standby of a test's PostgreSQL: it follows over the primary's socket."""

from __future__ import annotations

import subprocess
from pathlib import Path

import asyncpg

from evently.embedded import PostgresServer, place
from evently.embedded.binaries import find_postgres
from evently.embedded.postgres import PORT, USER
from evently.embedded.server import SERVER_ENV

BACKUP_TIMEOUT_S = 120.0


async def make_standby(primary: PostgresServer, folder: Path) -> PostgresServer:
    """Copy a running primary, and let the copy follow it; the caller ends it."""
    hba = primary.data_path.parent / "pg_hba.conf"
    if "replication" not in hba.read_text():
        with hba.open("a") as stream:
            stream.write("local replication all trust\n")
    connection = await asyncpg.connect(primary.url)
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    conninfo = f"host={primary.socket_path} port={PORT} user={USER}"
    standby = PostgresServer(folder, settings={"primary_conninfo": conninfo})
    home = place.postgres_home(standby.data_dir)
    account = place.account_for(home)
    bin_path = place.reachable_binaries(find_postgres(), account)
    copy = [str(bin_path / "pg_basebackup"), "-d", conninfo, "-D", str(home / "data")]
    subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        [*copy, "-c", "fast", "-R", "--no-sync"],
        check=True,
        env=SERVER_ENV,
        cwd="/",
        timeout=BACKUP_TIMEOUT_S,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    standby.start()
    return standby
