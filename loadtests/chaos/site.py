"""
One Evently under fault: its processes found, its sockets replaced by fault proxies, its door seen.

Owns the folder, the proxies and what is read directly, past them. `evently up` runs as it is: each
server's socket is moved aside and a proxy listens in its place, again after every restart of the
server, and whoever had connected directly is thrown out. The proxy knows a client by the process
behind its socket. Guarantees: after `heal` nothing of ours stands in the way. Judges I18.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import aiohttp
import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import keys, scripts
from engine.redis_client import connect as connect_redis
from evently.settings import Settings
from loadtests.chaos.checkers import Shut
from loadtests.chaos.proxy import Proxy
from loadtests.server import Server, send
from store.pool import UNANSWERED

#: A handful of people at one address try all the time, which these limits are there to stop.
UNLIMITED = {"booking_limit_attempts": 0, "holds_per_person_max": 0, "holds_per_address_max": 0}
#: How a shard that waits for a human is told: nobody else opens it again.
FROZEN = "frozen for good"
LOOK_INTERVAL_S = 0.02
WATCH_INTERVAL_S = 0.05
#: Time that one direct question may take.
DIRECT_TIMEOUT_MS = 2_000


class Site:
    """An Evently with everything that is needed to hurt it and to look at it."""

    def __init__(self, data_path: Path, **settings: Any) -> None:
        self.server = Server(data_path, **(UNLIMITED | settings))
        self.shut: list[Shut] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped: set[int] = set()
        self._redis: Redis | None = None
        self._is_stopped = False

    async def start(self) -> None:
        """Start Evently and put the proxies in place."""
        await self.server.start()
        settings = self.server.settings
        redis_path = Path(unquote(urlsplit(settings.redis_url).path))
        folder, port = _postgres_socket(settings.database_url)
        self.redis_proxy = Proxy(redis_path, redis_path.with_name("aside.sock"))
        self.postgres_proxy = Proxy(folder / f".s.PGSQL.{port}", folder / f".s.PGSQL.{port + 1}")
        self._direct = _past_proxies(settings, self.redis_proxy, folder, port)
        self._redis = connect_redis(self._redis_url, timeout_ms=DIRECT_TIMEOUT_MS)
        self._placed = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._keep_in_place()),
            asyncio.create_task(self._watch_door()),
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
            await self.server.stop()
        finally:
            if self._redis is not None:
                await self._redis.aclose()
                await self.redis_proxy.stop()
                await self.postgres_proxy.stop()

    @property
    def redis(self) -> Redis:
        """Redis itself, past the proxy."""
        assert self._redis is not None, "not started"
        return self._redis

    @property
    def settings(self) -> Settings:
        """Settings that lead past the proxies."""
        return self._direct

    @property
    def _redis_url(self) -> str:
        """Redis itself, as the role that may do everything."""
        return self._direct.redis_urls_as("coordinator")[0]

    async def database(self) -> asyncpg.Connection:
        """Connect to PostgreSQL itself, past the proxy."""
        return await asyncpg.connect(self._direct.database_url, timeout=DIRECT_TIMEOUT_MS / 1000)

    def send(self, process: str, number: signal.Signals, *, index: int | None = None) -> list[int]:
        """Send a signal to all processes of a kind, or to one of them; return which."""
        pids = self.server.pids(process)
        if index is not None and pids:
            pids = [pids[index % len(pids)]]
        send(pids, number)
        if number == signal.SIGSTOP:
            self._stopped |= set(pids)
        return pids

    async def heal(self) -> None:
        """Take every fault back that is still there."""
        self.redis_proxy.heal()
        self.postgres_proxy.heal()
        self._continue()

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

    async def _backlog_records(self) -> str:
        """Say what keeps PostgreSQL from having all; empty if it has."""
        database = await self.database()
        try:
            for shard in range(self._direct.shards):
                row = await database.fetchrow(
                    "SELECT epoch, state::text, reason, nonce, redis_run_id FROM shard_epoch "
                    "WHERE shard = $1",
                    shard,
                )
                if row and row["state"] == "frozen":
                    return f"{FROZEN}: shard {shard}, {row['reason']}"
                if row is None or row["state"] != "open":
                    return f"shard {shard} is {dict(row) if row else None}"
                epoch, seq = await self.redis.hmget(keys.meta(shard), ["epoch", "seq"])
                if epoch is None or int(epoch) != row["epoch"]:
                    return f"shard {shard} is open under {row['epoch']}, Redis has {epoch!r}"
                # It may look open because nobody has asked since Redis became another.
                server = await self.redis.info("server")
                if server["run_id"] != row["redis_run_id"]:
                    return f"shard {shard} was opened on another run of Redis"
                if not all(await self.redis.script_exists(*scripts.shas(row["nonce"]).values())):
                    return f"Redis does not know the scripts of shard {shard}"
                last_seq = await database.fetchval(
                    "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2",
                    shard,
                    row["epoch"],
                )
                if int(seq or 0) != (last_seq or 0):
                    return f"shard {shard}: PostgreSQL has {last_seq} of {seq!r} records"
        finally:
            await database.close(timeout=5)
        return ""

    def _continue(self) -> None:
        send(self._stopped, signal.SIGCONT)
        self._stopped.clear()

    async def _keep_in_place(self) -> None:
        """Put a proxy before each socket that a server has bound, and throw direct clients out."""
        inodes = {self.redis_proxy: 0, self.postgres_proxy: 0}
        to_kick: set[Proxy] = set()
        while not self._is_stopped:
            for proxy, own in list(inodes.items()):
                inode = _inode(proxy.listen)
                if inode and inode != own:
                    await _take_place(proxy)
                    inodes[proxy] = _inode(proxy.listen)
                    to_kick.add(proxy)
            with contextlib.suppress(RedisError, *UNANSWERED):
                if self.redis_proxy in to_kick:
                    await self.redis.client_kill_filter(_type="normal", skipme=True)
                    to_kick.discard(self.redis_proxy)
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

    async def _watch_door(self) -> None:
        """Note the times during which Redis was seen shut: the same epoch, never open (I17)."""
        redis = connect_redis(self._redis_url, timeout_ms=500)
        since: tuple[object, float] | None = None
        seen_s = 0.0
        try:
            while not self._is_stopped:
                asked_s = time.monotonic()
                try:
                    door: object = tuple(await redis.hmget(keys.meta(0), ["epoch", "state"]))
                except (RedisError, OSError, TimeoutError):
                    door = None
                is_shut = isinstance(door, tuple) and door[1] != b"open"
                if since is not None and (not is_shut or since[0] != door):
                    self.shut.append(Shut(since[1], seen_s, f"Redis was {since[0]!r}"))
                    since = None
                if is_shut:
                    seen_s = asked_s
                    since = since or (door, time.monotonic())
                await asyncio.sleep(WATCH_INTERVAL_S)
        finally:
            await redis.aclose()


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


def _past_proxies(settings: Settings, redis_proxy: Proxy, folder: Path, port: int) -> Settings:
    """Return settings whose URLs lead to the sockets that were moved aside."""
    # `urlunsplit` would drop the slashes of a scheme that it does not know.
    old = urlsplit(settings.redis_url)
    redis_url = f"unix://{old.netloc}{quote(str(redis_proxy.target))}"
    if old.query:
        redis_url += f"?{old.query}"
    database_url = urlsplit(settings.database_url)._replace(
        query=f"host={quote(str(folder), safe='/')}&port={port + 1}"
    )
    return msgspec.structs.replace(
        settings, redis_url=redis_url, database_url=database_url.geturl()
    )
