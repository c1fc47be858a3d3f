"""
The scene of a walk: an Evently that sells, the hand that does what the runbook says, and the judge.

Owns buyers and their history, the shell in which commands run as an operator types them, and the
verdict: both stores agree, nothing acknowledged is lost, sales are on. Leaves the faults to
`walks.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine.redis_client import connect as connect_redis
from evently.embedded import ValkeyServer
from loadtests.backstage import Backstage
from loadtests.chaos import history
from loadtests.chaos.history import Recorder
from loadtests.crowd import Crowd
from loadtests.events import make_event
from loadtests.person import Person
from loadtests.runbooks.document import Block
from loadtests.server import Server
from store import reigns
from store.pool import UNANSWERED

CAPACITY = 2_000
PEOPLE = 400
#: Time in which a sale must come about, or a shard be as it must be.
PATIENCE_S = 60.0
POLL_S = 0.1
COMMAND_TIMEOUT_S = 180.0
#: A handful of people at one address try all the time.
UNLIMITED = {"booking_limit_attempts": 0, "holds_per_person_max": 0, "holds_per_address_max": 0}


class WalkFailed(Exception):
    """The runbook did not bring what it promises; the message says what came of it."""


class Scene:
    """One walk's Evently, and all that is done to it."""

    def __init__(self, folder: Path, blocks: Sequence[Block], **settings: Any) -> None:
        """
        Args:
            folder: Empty, for data and logs.

            blocks: What the document says, in its order.

            settings: Of the Evently, beside the usual.
        """
        self.folder = folder
        self.server = Server(folder / "data", **(UNLIMITED | settings))
        #: What the runbook leaves to the operator to fill in.
        self.values: dict[str, str] = {"SHARD": "0", "DATA": str(folder / "data"), "WHO": "ada"}
        #: What was done, for who looks into a walk that failed.
        self.story: list[str] = []
        #: `a` and `b`, of a walk that has its own.
        self.own_servers: tuple[ValkeyServer, ...] = ()
        self._blocks = list(blocks)
        self._recorder = Recorder(folder / "history")
        self._people: list[Person] = []
        self._sales = 0
        self._bin = _programs(folder / "bin", self.server.python)

    async def open(self) -> None:
        """Start it, put an event on sale, and sell some."""
        await self.server.start()
        async with Backstage(self.server.settings) as backstage:
            self._people = await backstage.people(PEOPLE)
            token = await backstage.admin_token()
        self.event = await make_event(self.server.base_url, token, capacity=CAPACITY)
        self.values["EVENT"] = self.event["id"]
        await self.sell(20)
        await self.drain()

    # What an operator does.

    async def do_next(self) -> None:
        """
        Do what the next block of the document says.

        Raises:
            WalkFailed: a command ended with another code than stands there.
        """
        block = self._blocks.pop(0)
        for deed in block.deeds:
            if block.language == "sql":
                async with self.database() as database:
                    await database.execute(deed.filled(self.values))
                self.story.append(f"sql: {deed.filled(self.values)}")
                continue
            code, output = await self.run(deed.text)
            if code != deed.code:
                raise WalkFailed(f"`{deed.text}` ended with {code}, not {deed.code}:\n{output}")

    async def do_all(self) -> None:
        """Do what is left of the document's blocks."""
        while self._blocks:
            await self.do_next()

    async def run(self, text: str) -> tuple[int, str]:
        """Run a command in a shell, as an operator does; return its code and what it said."""
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            text,
            cwd=self.folder,
            env=self.server.environ | self.values | {"PATH": f"{self._bin}:{os.environ['PATH']}"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            raise WalkFailed(f"`{text}` did not end within {COMMAND_TIMEOUT_S:g} s") from None
        said = output.decode(errors="replace")
        self.story.append(f"$ {text}\n{said}-> {process.returncode}")
        if "Traceback (most recent call last)" in said:
            raise WalkFailed(f"`{text}` shows a traceback:\n{said}")
        return process.returncode or 0, said

    def skip(self, why: str) -> None:
        """Leave out what the document says next: there is nothing to cure."""
        self.story.append(f"left out: {why}")
        self._blocks.clear()

    # What buyers do.

    async def sell(self, count: int, *, patience_s: float = PATIENCE_S) -> None:
        """
        Let *count* people buy; each repeats until there is an answer.

        Raises:
            WalkFailed: one of them got none in time, or a no.
        """
        self._sales += 1
        crowd = Crowd(
            self.server.base_url,
            self.event,
            self._recorder,
            seed=self._sales,
            deadline_s=patience_s,
        )
        people, self._people = self._people[:count], self._people[count:]
        tally = await crowd.rush(people)
        self.story.append(f"sold {len(tally.bought)} of {count}, refused {dict(tally.refused)}")
        if tally.unanswered or len(tally.bought) < count:
            raise WalkFailed(f"sales are off: {self.story[-1]}, {tally.unanswered} unanswered")

    # What is looked at.

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect to PostgreSQL as its owner."""
        connection = await asyncpg.connect(self.server.settings.database_url)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    @contextlib.asynccontextmanager
    async def redis(self, name: str = "") -> AsyncIterator[Redis]:
        """Connect to Redis as the role that may do everything; to the first server unless named."""
        servers = self.server.settings.redis_servers_as("coordinator")
        client = connect_redis(servers[name or next(iter(servers))], timeout_ms=5_000)
        try:
            yield client
        finally:
            await client.aclose()

    async def reign(self) -> reigns.ReignRow:
        """Return the row of the shard."""
        async with self.database() as database:
            row = await reigns.read(database, int(self.values["SHARD"]))
        assert row is not None, "it was opened"
        return row

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds; servers may be away meanwhile."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(*UNANSWERED):
                if await holds():
                    self.story.append(what)
                    return
            await asyncio.sleep(POLL_S)
        raise WalkFailed(f"not within {PATIENCE_S:g} s: {what}")

    async def until_said(self, words: str) -> None:
        """Wait until the log of the running Evently has these words."""

        async def is_said() -> bool:
            return words in self.server.log_text()

        await self.until(f"the log says: {words}", is_said)

    async def until_frozen(self) -> None:
        """Wait until the shard waits for a human."""

        async def is_frozen() -> bool:
            return (await self.reign()).state == "frozen"

        await self.until("the shard is frozen", is_frozen)

    async def settles(self, before: int) -> bool:
        """
        Wait until the shard is frozen, or open again by itself; tell whether it is frozen.

        Args:
            before: Its epoch when the fault was made.
        """

        async def has_settled() -> bool:
            row = await self.reign()
            return row.state == "frozen" or (row.state == "open" and row.epoch > before)

        await self.until("the shard is frozen, or open again", has_settled)
        return (await self.reign()).state == "frozen"

    async def drain(self) -> None:
        """Wait until all shards are open and PostgreSQL, which may be away, has every record."""

        async def has_all() -> bool:
            async with Backstage(self.server.settings) as backstage:
                await backstage.drain(timeout_s=PATIENCE_S)
            return True

        await self.until("PostgreSQL has every record", has_all)

    async def judge(self, *, may_lose: bool = False) -> None:
        """
        See that all is well again: sales are on, and both stores have what buyers were told.

        Args:
            may_lose: The runbook gives up what only Redis had, and says so.

        Raises:
            WalkFailed: something is not.
        """
        await self.do_all()
        await self.sell(10)
        await self.drain()
        async with Backstage(self.server.settings) as backstage:
            try:
                calls = history.calls(history.read(self.folder / "history"))
                verdict = await backstage.judge(calls, [self.event["id"]])
            except (TimeoutError, RuntimeError) as error:
                raise WalkFailed(str(error)) from error
        is_lost = verdict.lost and not may_lose
        if verdict.oversold or verdict.duplicates or verdict.drift or is_lost:
            raise WalkFailed(f"{verdict.words()}: {verdict.texts}")
        code, output = await self.run("reconciler check --all")
        if code:
            raise WalkFailed(f"`reconciler check` ends with {code}:\n{output}")


def _programs(folder: Path, python: str) -> Path:
    """Make the commands that the document names, for the code that runs."""
    folder.mkdir()
    for name in ("evently", "reconciler"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {python} -m {name} "$@"\n')
        program.chmod(0o755)
    return folder


def say(line: str) -> None:
    """Print a line of the report at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
