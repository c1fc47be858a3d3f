"""
One Evently under fault: its processes found, its sockets replaced by fault proxies, its door seen.

Owns the folder, the proxies and what is read directly, past them. `evently up` runs as it is: each
server's socket is moved aside and a proxy listens in its place, again after every restart of the
server, and whoever had connected directly is thrown out. The proxy knows a client by the process
behind its socket. A wide site has two servers of Redis beside it (`pair.py`), another one a disk of
its own (`volume.py`). Guarantees: after `heal` nothing of ours stands in the way. Judges I18.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import aiohttp
import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import keys, scripts
from engine.homes import ONLY_SERVER
from engine.redis_client import connect as connect_redis
from evently.settings import Settings
from loadtests.chaos.checkers import Shut
from loadtests.chaos.pair import Pair
from loadtests.chaos.proxy import Proxy
from loadtests.chaos.volume import Volume
from loadtests.mail import Catcher
from loadtests.server import Server, descendants, send
from store import reigns
from store.pool import UNANSWERED

#: A handful of people at one address try all the time, which these limits are there to stop. The
#: one of attempts is out of their reach: whom it stops is stopped by mistake.
UNLIMITED = {
    "booking_limit_attempts": 1_000,
    "booking_limit_window_ms": 1_000,
    "holds_per_person_max": 0,
    "holds_per_address_max": 0,
}
#: How a shard that waits for a human is told: nobody else opens it again.
FROZEN = "frozen for good"
LOOK_INTERVAL_S = 0.02
WATCH_INTERVAL_S = 0.05
#: Time that a process takes to be gone after SIGKILL.
DEATH_S = 0.05
#: Time that one direct question may take.
DIRECT_TIMEOUT_MS = 2_000


class Site:
    """An Evently with everything that is needed to hurt it and to look at it."""

    def __init__(
        self,
        data_path: Path,
        *,
        is_wide: bool = False,
        has_volume: bool = False,
        has_mail: bool = False,
        **settings: Any,
    ) -> None:
        """
        Args:
            data_path: Of Evently; what else is needed stands beside it.

            is_wide: Whether Redis is two servers, started here and not by Evently.

            has_volume: Whether the data has a disk of its own, which can be full.

            has_mail: Whether a notifier runs, and a mail server that takes all.

            settings: Further settings by field name.
        """
        self.pair = Pair(data_path.with_name("pair")) if is_wide else None
        self.volume = Volume(data_path) if has_volume else None
        own = self.pair.settings if self.pair else {}
        self.mail = Catcher(data_path.with_name("mail")) if has_mail else None
        if self.mail:
            own = own | {"smtp_url": self.mail.url, "mail_tickets": "off"}
        self.server = Server(data_path, **(UNLIMITED | own | settings))
        self.shut: list[Shut] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped: set[int] = set()
        self._clients: dict[str, Redis] = {}
        self._is_stopped = False

    async def start(self) -> None:
        """Start Evently and put the proxies in place."""
        if self.volume:
            self.volume.mount()
        if self.pair:
            self.pair.start()
        if self.mail:
            self.mail.folder.mkdir()
            await self.mail.start()
        await self.server.start()
        settings = self.server.settings
        paths = {
            name: Path(unquote(urlsplit(url).path)) for name, url in settings.redis_servers.items()
        }
        folder, port = _postgres_socket(settings.database_url)
        self.redis_proxies = {
            name: Proxy(path, path.with_name("aside.sock")) for name, path in paths.items()
        }
        self.postgres_proxy = Proxy(folder / f".s.PGSQL.{port}", folder / f".s.PGSQL.{port + 1}")
        self._direct = _past_proxies(settings, self.redis_proxies, folder, port)
        self._clients = {
            name: connect_redis(url, timeout_ms=DIRECT_TIMEOUT_MS)
            for name, url in self._redis_urls.items()
        }
        self._placed = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._keep_in_place()),
            asyncio.create_task(self._watch_doors()),
        ]
        await asyncio.wait_for(self._placed.wait(), 30)

    async def stop(self) -> None:
        """Stop Evently, whatever state it is in."""
        self._continue()
        # Cancelling is not enough: redis-py may swallow it while it connects.
        self._is_stopped = True
        try:
            await asyncio.gather(*self._tasks)
        finally:
            await self._stop_server()

    async def _stop_server(self) -> None:
        try:
            if self.volume:
                self.volume.free()
            await self.server.stop()
        finally:
            if self.mail:
                await self.mail.kill()
            if self.pair:
                await self.pair.stop()
            for client in self._clients.values():
                await client.aclose()
            if self._clients:
                for proxy in self._proxies:
                    await proxy.stop()
            if self.volume:
                self.volume.unmount()

    @property
    def names(self) -> list[str]:
        """Names of the servers of Redis; one that is alone is `ONLY_SERVER`."""
        return list(self._clients)

    @property
    def redis(self) -> Redis:
        """Redis itself, past the proxy; the first of two."""
        return self.redis_of(ONLY_SERVER)

    def redis_of(self, name: str) -> Redis:
        """Return a server of Redis itself, past the proxy."""
        return self._clients[name]

    def redis_folder(self, name: str) -> Path:
        """Return the folder of its data."""
        if self.pair:
            return self.pair.servers[name].directory
        return self.server.data_path / "redis"

    def redis_pids(self, name: str) -> list[int]:
        """Return its process; none while it is down."""
        return self.pair.pids(name) if self.pair else self.server.pids("redis")

    @contextlib.contextmanager
    def redis_down(self, name: str) -> Iterator[Path]:
        """Kill it, let nobody start it meanwhile, and yield its folder."""
        down = self.pair.left_down(name) if self.pair else self.server.supervisor_stopped()
        with down:
            send(self.redis_pids(name), signal.SIGKILL)
            time.sleep(DEATH_S)
            yield self.redis_folder(name)

    @property
    def redis_proxy(self) -> Proxy:
        """The proxy before Redis; before the first of two."""
        return self.redis_proxies[ONLY_SERVER]

    @property
    def _proxies(self) -> list[Proxy]:
        return [*self.redis_proxies.values(), self.postgres_proxy]

    @property
    def settings(self) -> Settings:
        """Settings that lead past the proxies."""
        return self._direct

    @property
    def _redis_urls(self) -> dict[str, str]:
        """Redis itself, as the role that may do everything."""
        return self._direct.redis_servers_as("coordinator")

    async def database(self) -> asyncpg.Connection:
        """Connect to PostgreSQL itself, past the proxy."""
        return await asyncpg.connect(self._direct.database_url, timeout=DIRECT_TIMEOUT_MS / 1000)

    def pids(self, process: str) -> list[int]:
        """Return the running processes of one kind, in the order of their numbers; maybe none."""
        if process == "redis" and self.pair:
            return self.pair.pids()
        return self.server.pids(process)

    def send(self, process: str, number: signal.Signals, *, index: int | None = None) -> list[int]:
        """Send a signal to all processes of a kind, or to one of them; return which."""
        pids = self.pids(process)
        if index is not None and pids:
            pids = [pids[index % len(pids)]]
        send(pids, number)
        if number == signal.SIGSTOP:
            self._stopped |= set(pids)
        return pids

    async def heal(self) -> None:
        """Take every fault back that is still there."""
        for proxy in self._proxies:
            proxy.heal()
        if self.volume:
            self.volume.free(self.everybody())
        self._continue()

    def everybody(self) -> list[int]:
        """Return the supervisor and all it has started."""
        supervisor = self.server.process
        if supervisor is None or supervisor.poll() is not None:
            return []
        return [supervisor.pid, *descendants(supervisor.pid)]

    async def wait_until_well(self, timeout_s: float) -> str:
        """
        Wait until it sells again and PostgreSQL has everything (I18).

        Returns:
            What is still wrong after *timeout_s*; empty if all is well.
        """
        deadline_s = time.monotonic() + timeout_s
        wrong = "it was never asked"
        while time.monotonic() < deadline_s:
            wrong = await self._wrong()
            if not wrong or wrong.startswith(FROZEN):
                return wrong
            await asyncio.sleep(0.1)
        return wrong

    async def _wrong(self) -> str:
        try:
            # First, since it says why the API is not ready.
            if backlog := await self._backlog_records():
                return backlog
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(f"{self.server.base_url}/readyz") as response,
            ):
                if response.status != 200:
                    return f"/readyz is {response.status}: {(await response.text())[:200]}"
        except (aiohttp.ClientError, RedisError, *UNANSWERED) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    async def homes(self) -> dict[int, str]:
        """Return the server of each shard that has one."""
        database = await self.database()
        try:
            found = await reigns.shards(database)
        finally:
            await database.close(timeout=5)
        return {one.shard: one.home or ONLY_SERVER for one in found}

    async def shut_shards(self) -> str:
        """Say which shard is not open on the Redis that runs now; empty if all are."""
        database = await self.database()
        try:
            for shard in await reigns.shards(database):
                if wrong := (await self._door_of(database, shard.shard))[0]:
                    return wrong
        finally:
            await database.close(timeout=5)
        return ""

    async def _backlog_records(self) -> str:
        """Say what keeps PostgreSQL from having all; empty if it has."""
        database = await self.database()
        try:
            for one in await reigns.shards(database):
                shard = one.shard
                wrong, epoch, seq = await self._door_of(database, shard)
                if wrong:
                    return wrong
                last_seq = await database.fetchval(
                    "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2",
                    shard,
                    epoch,
                )
                if seq != (last_seq or 0):
                    return f"shard {shard}: PostgreSQL has {last_seq} of {seq} records"
        finally:
            await database.close(timeout=5)
        return ""

    async def _door_of(self, database: asyncpg.Connection, shard: int) -> tuple[str, int, int]:
        """Return why a shard is not open, empty if it is; its epoch, and Redis's last record."""
        row = await database.fetchrow(
            "SELECT epoch, state::text, reason, nonce, redis_run_id, home FROM shard_epoch "
            "WHERE shard = $1",
            shard,
        )
        if row and row["state"] == "frozen":
            return f"{FROZEN}: shard {shard}, {row['reason']}", 0, 0
        if row is None or row["state"] != "open":
            return f"shard {shard} is {dict(row) if row else None}", 0, 0
        redis = self.redis_of(row["home"] or ONLY_SERVER)
        epoch, seq = await redis.hmget(keys.meta(shard), ["epoch", "seq"])
        if epoch is None or int(epoch) != row["epoch"]:
            return f"shard {shard} is open under {row['epoch']}, Redis has {epoch!r}", 0, 0
        # It may look open because nobody has asked since Redis became another.
        server = await redis.info("server")
        if server["run_id"] != row["redis_run_id"]:
            return f"shard {shard} was opened on another run of Redis", 0, 0
        if not all(await redis.script_exists(*scripts.shas(row["nonce"]).values())):
            return f"Redis does not know the scripts of shard {shard}", 0, 0
        return "", row["epoch"], int(seq or 0)

    def _continue(self) -> None:
        send(self._stopped, signal.SIGCONT)
        self._stopped.clear()

    async def _keep_in_place(self) -> None:
        """Put a proxy before each socket that a server has bound, and throw direct clients out."""
        inodes = dict.fromkeys(self._proxies, 0)
        to_kick: set[Proxy] = set()
        while not self._is_stopped:
            for proxy, own in list(inodes.items()):
                inode = _inode(proxy.listen)
                if inode and inode != own:
                    await _take_place(proxy)
                    inodes[proxy] = _inode(proxy.listen)
                    to_kick.add(proxy)
            for name, proxy in self.redis_proxies.items():
                with contextlib.suppress(RedisError, *UNANSWERED):
                    if proxy in to_kick:
                        await self.redis_of(name).client_kill_filter(_type="normal", skipme=True)
                        to_kick.discard(proxy)
            with contextlib.suppress(*UNANSWERED):
                if self.postgres_proxy in to_kick:
                    await self.cut_database()
                    to_kick.discard(self.postgres_proxy)
            if not to_kick and all(inodes.values()):
                self._placed.set()
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def cut_database(self) -> None:
        """Let PostgreSQL throw out all its clients."""
        database = await self.database()
        try:
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        finally:
            await database.close(timeout=5)

    async def _watch_doors(self) -> None:
        """Note the times during which a shard was seen shut: the same epochs, never open (I17)."""
        clients = [connect_redis(url, timeout_ms=500) for url in self._redis_urls.values()]
        watched: list[int] = []
        try:
            while not watched and not self._is_stopped:
                await asyncio.sleep(LOOK_INTERVAL_S)
                if self._placed.is_set():
                    watched = await self._shards_there()
            await asyncio.gather(*(self._watch_door(clients, shard) for shard in watched))
        finally:
            for client in clients:
                await client.aclose()

    async def _shards_there(self) -> list[int]:
        """Return the numbers of all shards; none while PostgreSQL is away."""
        with contextlib.suppress(*UNANSWERED):
            database = await self.database()
            try:
                return [one.shard for one in await reigns.shards(database)]
            finally:
                await database.close(timeout=5)
        return []

    async def _watch_door(self, clients: Sequence[Redis], shard: int) -> None:
        since: tuple[object, float] | None = None
        seen_s = 0.0
        while not self._is_stopped:
            asked_s = time.monotonic()
            doors = await _doors(clients, shard)
            # It may be open at a server that does not answer now.
            is_shut = doors is not None and all(state != b"open" for _, state in doors)
            if since is not None and (not is_shut or since[0] != doors):
                self.shut.append(
                    Shut(since[1], seen_s, f"shard {shard} of Redis was {since[0]!r}", shard)
                )
                since = None
            if is_shut:
                seen_s = asked_s
                since = since or (doors, time.monotonic())
            await asyncio.sleep(WATCH_INTERVAL_S)


async def _doors(clients: Sequence[Redis], shard: int) -> tuple[Any, ...] | None:
    """Return epoch and state of a shard at each server; None if one of them does not tell."""
    try:
        return tuple(
            [tuple(await client.hmget(keys.meta(shard), ["epoch", "state"])) for client in clients]
        )
    except (RedisError, OSError, TimeoutError):
        return None


def _inode(path: object) -> int:
    assert isinstance(path, Path), "the servers of a site listen on unix sockets"
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


async def _take_place(proxy: Proxy) -> None:
    assert isinstance(proxy.listen, Path), "see _inode"
    assert isinstance(proxy.target, Path), "see _inode"
    with contextlib.suppress(FileNotFoundError):  # The server died again meanwhile.
        proxy.listen.rename(proxy.target)
        await proxy.start()


def _postgres_socket(url: str) -> tuple[Path, int]:
    words = parse_qs(urlsplit(url).query)
    return Path(words["host"][0]), int(words["port"][0])


def _past_proxies(
    settings: Settings, redis_proxies: Mapping[str, Proxy], folder: Path, port: int
) -> Settings:
    """Return settings whose URLs lead to the sockets that were moved aside."""
    words = []
    for name, url in settings.redis_servers.items():
        # `urlunsplit` would drop the slashes of a scheme that it does not know.
        old = urlsplit(url)
        moved = f"unix://{old.netloc}{quote(str(redis_proxies[name].target))}"
        words.append(f"{name}={moved}" + (f"?{old.query}" if old.query else ""))
    database_url = urlsplit(settings.database_url)._replace(
        query=f"host={quote(str(folder), safe='/')}&port={port + 1}"
    )
    return msgspec.structs.replace(
        settings, redis_url=",".join(words), database_url=database_url.geturl()
    )
