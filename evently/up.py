"""
`evently up`: the whole service on one machine with one command.

Owns the order of a start (lock, secrets, servers, schema, admin, parts, readiness), the files
`secrets.json` and `running.json`, and what is said to the operator. Guarantees: what is started is
stopped again when a later step fails; a step that the machine has no room for is not failed, it
waits. Leaves keeping processes running to `supervisor.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog
from prometheus_client import multiprocess
from rich.console import Console
from rich.markup import escape

from evently.embedded import DataLock, PostgresServer, ServerError, ValkeyServer
from evently.embedded.mailbox import FOLDER as MAILBOX_FOLDER
from evently.embedded.place import make_private, write_atomically
from evently.newcomer import OPENS_IN_S, SIGN_INS_FILE, SignIns, add_beside, prepare
from evently.ports import free_port
from evently.ready import wait_until_ready
from evently.retention import every_day
from evently.settings import (
    DATABASE_PASSWORDS,
    ENV_PREFIX,
    PART,
    REDIS_PASSWORDS,
    REDIS_ROLES,
    RUNNING_FILE,
    Settings,
    SettingsError,
)
from evently.supervisor import Part, Supervisor

log = structlog.get_logger()

SECRETS_FILE = "secrets.json"
#: Where the first admin's password is found if nobody reads it on a terminal.
ADMIN_FILE = "admin.password"
#: What is in the same environment for Compose, and is none of a part's.
FOREIGN_SECRETS = frozenset({"POSTGRES_PASSWORD"})
JWT_SECRET_BYTES = 48
TICKET_KEY_BYTES = 32
REDIS_PASSWORD_BYTES = 32
#: Time after which it is said that the API is not ready yet, and what is said.
READY_TIMEOUT_S = 60.0
READY_HINT = "`evently shards list`, and the log lines above, say why"
PORT_POLL_S = 0.1
#: Pause between two looks for shards that were added, in seconds.
SHARDS_INTERVAL_S = 2.0
WATCH = "watch"
#: This machine, by whatever name.
OWN_HOST = "127.0.0.1"
OWN_HOSTS = frozenset({OWN_HOST, "::1", "localhost"})
#: The continuous check comes when all others have started: its start is their delay, on two cores.
WATCH_DELAY_S = 10.0
#: Where metrics of several processes meet: memory if there is any to be had.
MEMORY_PATH = Path("/dev/shm")  # noqa: S108 - a private folder is made in it


def up(settings: Settings, environ: Mapping[str, str]) -> int:
    """
    Run the service until SIGTERM or Ctrl-C.

    Args:
        settings: From the environment alone: what it leaves open is started here.

        environ: What the parts inherit besides the settings.

    Returns:
        The exit code, 0 after an orderly stop.

    Raises:
        ServerError: something could not be started; nothing is left running.
        SettingsError: a setting is missing.
    """
    settings = msgspec.structs.replace(settings, data_dir=str(settings.data_path))
    with DataLock(settings.data_path) as lock:
        try:
            return asyncio.run(_Run(settings, environ, lock).run())
        except OSError as error:
            raise ServerError(f"cannot start: {error}") from error


class _Run:
    """One run of the service, from lock to stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], lock: DataLock) -> None:
        self._settings = settings
        self._environ = environ
        self._lock = lock
        self._metrics_path: Path | None = None
        self._supervisor = Supervisor(
            drain_timeout_s=settings.drain_notice_s + settings.drain_timeout_s,
            on_part_death=self._forget_gauges,
        )
        self._console = Console(stderr=True)
        self._valkey: ValkeyServer | None = None
        self._postgres: PostgresServer | None = None
        self._password: str | None = None
        #: How one signs in to the sample; None if there is none.
        self._sign_ins: SignIns | None = None
        #: Names of the parts that have been started.
        self._started: set[str] = set()
        #: From when on the watch may start, by the monotonic clock; 0 until the others have.
        self._watch_from_s = 0.0

    async def run(self) -> int:
        """Bring everything up, wait for the stop, clean up."""
        try:
            return await self._supervisor.run(self._start)
        finally:
            if self._password is not None:  # The start failed before the banner could tell it.
                with contextlib.suppress(OSError):
                    self._say(self._admin_line())
            with contextlib.suppress(OSError):
                (self._settings.data_path / RUNNING_FILE).unlink(missing_ok=True)
            if self._metrics_path is not None:
                shutil.rmtree(self._metrics_path, ignore_errors=True)

    async def _start(self) -> None:
        insist = self._supervisor.insist
        await insist("look at the port", self._wait_for_port)
        await insist("keep the secrets", self._keep_secrets)
        await insist("make the mailbox", self._make_mailbox)
        await self._start_servers()
        await insist("note what runs", self._note_running)
        await insist("make the database ready", self._prepare_database)
        await insist("start the parts", self._start_parts)
        self._supervisor.watch("look for added shards", self._look_for_shards)
        retain = partial(every_day, self._settings, self._environ)
        self._supervisor.watch("take what was kept long enough", retain)
        await insist("wait for the API", self._wait_until_ready)
        await insist("say where it is", self._print_banner)
        if self._sign_ins is not None and not self._sign_ins.is_whole:
            self._supervisor.watch("add the sample", self._add_sample)

    async def _add_sample(self) -> None:
        await add_beside(self._settings, self._environ)

    async def _keep_secrets(self) -> None:
        self._settings = keep_secrets(self._settings)
        self._metrics_path = metrics_folder(self._settings.data_path)

    async def _make_mailbox(self) -> None:
        """In development mail goes to a folder that the API shows, unless it may leave."""
        settings = self._settings
        if settings.smtp_url or settings.environment != "development":
            return
        # Whoever reaches the API would read all letters, those that open accounts as well.
        if settings.http_host not in OWN_HOSTS:
            log.warning("no mail is sent: EVENTLY_SMTP_URL is empty", action="no_mail")
            return
        folder = settings.data_path / MAILBOX_FOLDER
        make_private(folder, None)
        self._settings = msgspec.structs.replace(
            settings,
            smtp_url=f"smtp+plain://{OWN_HOST}:{free_port(OWN_HOST)}",
            mailbox_dir=str(folder),
        )

    async def _start_parts(self) -> None:
        """Start the parts that are not started: all but the watch, which is late; what is new."""
        assert self._metrics_path is not None, "it was made before"
        now_s = time.monotonic()
        self._watch_from_s = self._watch_from_s or now_s + WATCH_DELAY_S
        shards = await self._shards()
        for part in parts(
            self._settings, self._environ, metrics_path=self._metrics_path, shards=shards
        ):
            is_due = part.name != WATCH or now_s > self._watch_from_s
            if is_due and part.name not in self._started:
                self._supervisor.start_part(part)
                self._started.add(part.name)

    async def _look_for_shards(self) -> None:
        await asyncio.sleep(SHARDS_INTERVAL_S)
        await self._start_parts()

    async def _shards(self) -> list[int]:
        """Return the shards that there are; a new deployment gets its first ones here."""
        from store import reigns  # noqa: PLC0415 - needed here alone
        from store.pool import UNANSWERED, connect  # noqa: PLC0415 - needed here alone

        settings = self._settings
        timeout_ms = settings.database_timeout_ms
        try:
            database = await connect(settings.database_url_as("coordinator"), timeout_ms=timeout_ms)
            try:
                await reigns.begin(database, settings.shards, list(settings.redis_servers))
                return [row.shard for row in await reigns.shards(database)]
            finally:
                await database.close(timeout=timeout_ms / 1000)
        except UNANSWERED as error:
            raise ServerError(f"the database does not tell the shards: {error}") from error

    async def _start_servers(self) -> None:
        data_path = self._settings.data_path
        logs_path = data_path / "logs"
        if not self._settings.redis_url:
            self._valkey = ValkeyServer(
                data_path / "redis",
                lock_fd=self._lock.fd,
                log_path=logs_path / "valkey.log",
                passwords={
                    role: getattr(self._settings, field)
                    for role, field in zip(REDIS_ROLES, REDIS_PASSWORDS, strict=True)
                },
            )
            await self._supervisor.start_server(self._valkey)
            self._settings = msgspec.structs.replace(self._settings, redis_url=self._valkey.url)
        if not self._settings.database_url:
            self._postgres = PostgresServer(
                data_path,
                lock_fd=self._lock.fd,
                log_path=logs_path / "postgres.log",
                password=self._settings.database_owner_password,
            )
            await self._supervisor.start_server(self._postgres)
            self._settings = msgspec.structs.replace(
                self._settings, database_url=self._postgres.url
            )

    async def _note_running(self) -> None:
        """Tell commands in other terminals where the servers are; see `Settings.load`."""
        noted = {
            "redis_url": self._settings.redis_url,
            "database_url": self._settings.database_url,
            "jwt_secret": self._settings.jwt_secret,
            "ticket_signing_key": self._settings.ticket_signing_key,
            "smtp_url": self._settings.smtp_url,
            "webhook_key": self._settings.webhook_key,
            "vapid_keys": self._settings.vapid_keys,
            "pid": os.getpid(),
        } | {
            field: getattr(self._settings, field)
            for field in (*REDIS_PASSWORDS, *DATABASE_PASSWORDS)
        }
        write_atomically(self._settings.data_path / RUNNING_FILE, msgspec.json.encode(noted))

    async def _prepare_database(self) -> None:
        from evently.admin import ensure_admin  # noqa: PLC0415 - needed here alone
        from store.migrate import MigrationError, migrate  # noqa: PLC0415 - needed here alone
        from store.pool import UNANSWERED  # noqa: PLC0415 - needed here alone

        try:
            applied = await migrate(
                self._settings.database_url, passwords=self._settings.database_passwords
            )
            log.info("schema is current", action="migrated", applied=applied)
            self._password = await ensure_admin(self._settings)
            self._sign_ins = await prepare(self._settings, self._password)
        except (MigrationError, *UNANSWERED) as error:
            raise ServerError(f"the database cannot be made ready: {error}") from error

    async def _wait_for_port(self) -> None:
        """
        Wait until nobody listens on our port: the parts of a killed run may still be draining.

        The API processes share the port by SO_REUSEPORT. Without this check they would share it
        with another run of ours as well, and customers would be told of two different stocks.
        """
        settings = self._settings
        host, port = settings.http_host, settings.http_port
        drain_s = settings.drain_notice_s + settings.drain_timeout_s
        deadline_s = time.monotonic() + drain_s + 1
        while not port_is_free(host, port):
            if time.monotonic() >= deadline_s:
                raise ServerError(
                    f"{host}:{port} is taken; stop who has it or set {ENV_PREFIX}HTTP_PORT"
                )
            await asyncio.sleep(PORT_POLL_S)

    async def _wait_until_ready(self) -> None:
        """
        Wait until every API process is ready, however long that takes.

        A shard may have to be rebuilt first, or wait for a human, who needs the servers running.
        """
        is_told = False
        while not await wait_until_ready(
            public_url(self._settings),
            processes=self._settings.api_processes,
            timeout_s=READY_TIMEOUT_S,
        ):
            if not is_told:
                self._say(f"[bold]Evently[/bold] runs and is not ready yet: {READY_HINT}")
                log.warning("not ready yet", action="not_ready", waited_s=READY_TIMEOUT_S)
            is_told = True

    def _forget_gauges(self, pid: int) -> None:
        """Drop the live gauges of a process that has ended; its counters stay."""
        with contextlib.suppress(OSError):
            forget = multiprocess.mark_process_dead
            forget(pid, str(self._metrics_path))  # type: ignore[no-untyped-call]

    async def _print_banner(self) -> None:
        lines = [f"[bold]Evently[/bold] is open: {public_url(self._settings)}"]
        if self._valkey is not None:
            lines.append(f"  Redis       {escape(str(self._valkey.data_path))}")
        if self._postgres is not None:
            lines.append(f"  PostgreSQL  {escape(str(self._postgres.data_path))}")
        if self._settings.mailbox_dir:
            lines.append(f"  Mail        {public_url(self._settings)}/dev/mailbox")
        lines += [self._admin_line(), *self._sample_lines(), "  Ctrl-C stops"]
        self._say(*lines)
        self._password = None

    def _say(self, *lines: str) -> None:
        with contextlib.suppress(OSError):  # Nobody reads it, or there is no room for it.
            self._console.print("\n".join(lines), highlight=False, soft_wrap=True)

    def _admin_line(self) -> str:
        line = f"  Admin       {self._settings.admin_email}"
        if self._password is not None:
            line += f"  password {self._told_password(self._password)}"
        return line

    def _sample_lines(self) -> list[str]:
        """Return where a newcomer looks around, and how to sign in there."""
        found = self._sign_ins
        if found is None:
            return []
        url, path = public_url(self._settings), self._settings.data_path / SIGN_INS_FILE
        password = f"in {escape(str(path))}"
        if sys.stderr.isatty():
            password = f"[bold]{escape(found.organizer_password)}[/bold], kept {password}"
        lines = [
            f"  Site        {url}/",
            f"  Organizer   {url}/manage  {found.organizer_email}  password {password}",
            f"  Operator    {url}/admin  {self._settings.admin_email}, as above",
        ]
        if not found.is_whole:
            lines.append(
                f"  A sample of events is being added; one opens to a crowd in {OPENS_IN_S} s; "
                "`evently sample remove` takes it away"
            )
        return lines

    def _told_password(self, password: str) -> str:
        """Show it on a terminal, once; elsewhere it would stay in a log that many may read."""
        if sys.stderr.isatty():
            return f"[bold]{password}[/bold] (shown this once)"
        path = self._settings.data_path / ADMIN_FILE
        write_atomically(path, f"{password}\n".encode())
        return f"in {escape(str(path))}; remove the file when you have read it"


def parts(
    settings: Settings, environ: Mapping[str, str], *, metrics_path: Path, shards: Sequence[int]
) -> list[Part]:
    """Return the parts of the service in the order of their start, each with its own secrets."""
    common = {
        name: value
        for name, value in environ.items()
        if not name.startswith(ENV_PREFIX) and name not in FOREIGN_SECRETS
    } | {"PROMETHEUS_MULTIPROC_DIR": str(metrics_path)}
    python = sys.executable

    def part(name: str, *words: str) -> Part:
        kind = name.partition("-")[0]
        env = common | settings.of_part(kind).to_env() | {PART: kind}
        return Part(name=name, argv=(python, "-m", *words), env=env)

    watch_s = settings.reconciler_watch_s
    # Without a port of its own: its metrics meet the others' in the common folder.
    watch = part(WATCH, "reconciler", "watch", "--port", "0", "--interval", str(watch_s))
    return [
        part("coordinator", "reconciler", "recover", "--watch"),
        *(part(f"persister-{shard}", "persister", "--shard", str(shard)) for shard in shards),
        part("sweeper", "evently", "sweeper"),
        *(part(f"api-{number}", "api") for number in range(settings.api_processes)),
        *_parts_of_mail(settings, part),
        *([watch] if watch_s else []),
    ]


def _parts_of_mail(settings: Settings, part: Callable[..., Part]) -> list[Part]:
    """Return who sends, if there is where to; and the mailbox of a development machine."""
    if not settings.smtp_url:
        return []
    server = urlsplit(settings.smtp_url)
    folder = settings.mailbox_dir
    if not folder or server.hostname != OWN_HOST:
        return [part("notifier", "notifier")]
    mailbox = part("mailbox", "evently.embedded.mailbox", str(server.port), folder)
    return [mailbox, part("notifier", "notifier")]


def keep_secrets(settings: Settings) -> Settings:
    """Fill in the keys that are not given: from `secrets.json`, each made when first needed."""
    makers = {"jwt_secret": JWT_SECRET_BYTES, "ticket_signing_key": TICKET_KEY_BYTES}
    own = [field for field in makers if not getattr(settings, field)]
    if own and settings.environment == "production":
        raise SettingsError(f"EVENTLY_{own[0].upper()} is needed in production")
    if settings.environment != "production":
        makers |= {"webhook_key": JWT_SECRET_BYTES}
    if settings.environment == "development":  # Elsewhere whoever wants to push makes one.
        makers["vapid_keys"] = TICKET_KEY_BYTES
    if not settings.redis_url:  # The embedded Redis is ours alone: so are its users.
        makers |= dict.fromkeys(REDIS_PASSWORDS, REDIS_PASSWORD_BYTES)
    if not settings.database_url:
        makers |= dict.fromkeys(DATABASE_PASSWORDS, REDIS_PASSWORD_BYTES)
    missing = [field for field in makers if not getattr(settings, field)]
    if not missing:
        return settings
    path = settings.data_path / SECRETS_FILE
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        kept = {}
    except (msgspec.DecodeError, OSError) as error:
        raise ServerError(f"cannot read {path}: {error}; remove it to get new secrets") from error
    made = {field: secrets.token_urlsafe(makers[field]) for field in missing if field not in kept}
    if made:
        kept |= made
        write_atomically(path, msgspec.json.encode(kept))
    return msgspec.structs.replace(settings, **{field: kept[field] for field in missing})


def metrics_folder(data_path: Path) -> Path:
    """Return an empty private folder for the metrics of all processes, in memory if possible."""
    digest = hashlib.sha256(os.fsencode(data_path)).hexdigest()[:16]
    folder = MEMORY_PATH / f"evently-{os.geteuid()}-{digest}"
    if not (MEMORY_PATH.is_dir() and os.access(MEMORY_PATH, os.W_OK)):
        folder = data_path / "metrics"
    make_private(folder, None)
    for file in folder.iterdir():
        file.unlink()
    return folder


def port_is_free(host: str, port: int) -> bool:
    """Whether nobody listens on *port*, not even somebody who would share it."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                return False
    return True


def public_url(settings: Settings) -> str:
    """Return where a browser on this machine finds the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - told apart, not bound
        settings.http_host, settings.http_host
    )
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.http_port}"
