"""A database and a mail server of the package's own, and a house whose events are told of."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path

import asyncpg
import pytest

from engine.ids import new_id
from engine.records import Record
from engine.spans import Span
from engine.tasks import end
from evently.embedded import PostgresServer
from notifier.composer import Composer
from notifier.enclosures import Encloser
from notifier.follower import Teller
from notifier.letter import Post
from notifier.mail import Options, channel
from notifier.smtp import Server
from notifier.worker import Workers
from papers.press import Press
from store import ledger, outbox, users
from store.pool import Pool, connect, create_pool
from tests.conftest import TIMEOUT_MS
from tests.notifier import server
from tests.store.databases import migrated_database
from tests.store.records import entries

SIGNING_KEY = "t" * 43
POST = Post("tickets@example.org", "bounces@example.org")
PUBLIC_URL = "https://tickets.example.org"


@pytest.fixture(scope="package")
def database_url(postgres: PostgresServer) -> str:
    """Make the package's database."""
    return migrated_database(postgres.url)


@pytest.fixture(scope="package")
def mail_server() -> Iterator[server.Process]:
    """Run a mail server."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder)) as process:
        yield process


@pytest.fixture
def mail(mail_server: server.Process) -> server.Process:
    """Return the mail server, which has taken nothing yet."""
    mail_server.clear()
    return mail_server


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Pool]:
    """Connect as the owner; nothing is to be told yet."""
    pool = await create_pool(database_url, connections_max=4, timeout_ms=TIMEOUT_MS)
    await pool.execute("TRUNCATE deliveries, outbox, suppressions, told")
    await pool.execute(
        "INSERT INTO told (shard, epoch, last_seq) SELECT shard, epoch, last_seq"
        " FROM shard_checkpoint"
    )
    yield pool
    await pool.close()


@dataclass
class House:
    """Events, accounts and what is told of them, with the notifier's parts in hand."""

    pool: Pool
    connection: asyncpg.Connection
    mail: server.Process
    options: Options
    shard: int
    #: Makes what letters enclose; None: they enclose nothing.
    encloser: Encloser | None = None
    seq: int = 0
    spans: list[Span] = field(default_factory=list)
    follower: Teller = field(default_factory=lambda: Teller("", timeout_ms=TIMEOUT_MS))

    async def person(
        self, name: str = "Ada", *, language: str | None = None, domain: str = "example.org"
    ) -> str:
        """Make an account; return its id."""
        email = f"{new_id('usr')}@{domain}"
        user_id = await users.add(self.pool, email=email, name=name, password_hash="x")
        assert user_id is not None
        await self.pool.execute("UPDATE users SET language = $2 WHERE id = $1", user_id, language)
        return user_id

    async def address_of(self, user_id: str) -> str:
        """Return the address of an account."""
        email: str = await self.pool.fetchval("SELECT email FROM users WHERE id = $1", user_id)
        return email

    async def event(self, name: str = "Summer Night", organizer: str = "Park Stage") -> str:
        """Make an event that is to come; return its id."""
        event_id, house = new_id("evt"), new_id("org")
        now = dt.datetime.now(dt.UTC)
        await self.pool.execute(
            "INSERT INTO organizers (id, name) VALUES ($1, $2)", house, organizer
        )
        await self.pool.execute(
            "INSERT INTO events (id, organizer_id, shard, name, venue, timezone, currency,"
            " starts_at, ends_at, sale_opens_at, sale_closes_at, person_max)"
            " VALUES ($1, $2, $3, $4, 'Park', 'Europe/Berlin', 'EUR', $6, $6, $5, $6, 10)",
            *(event_id, house, self.shard, name, now, now + dt.timedelta(days=9)),
        )
        await self.pool.execute(
            "INSERT INTO tiers VALUES ($1, 1, $2, 'Floor', 4550, 5, 10)", event_id, new_id("tier")
        )
        return event_id

    async def write(self, *records: Record, epoch: int = 1, last_seq: int | None = None) -> None:
        """Write records as the persister does."""
        after = self.seq if last_seq is None else last_seq
        await ledger.read_checkpoint(self.connection, shard=self.shard, epoch=epoch)
        batch = entries(*records, first_seq=after + 1)
        self.seq = await ledger.write(
            self.connection, shard=self.shard, epoch=epoch, last_seq=after, entries=batch
        )

    async def tell(self, kind: str, user_id: str, **payload: str) -> None:
        """Write what an account is to be told."""
        async with self.pool.acquire() as connection, connection.transaction():
            await outbox.account_message(connection, kind, user_id, payload)

    async def follow(self) -> int:
        """Make deliveries of what there is to tell."""
        return await self.follower.step(self.connection)

    @contextlib.asynccontextmanager
    async def working(self, **changes: object) -> AsyncIterator[Workers]:
        """Run workers."""
        options = replace(self.options, **changes)  # type: ignore[arg-type]
        composer = Composer(self.pool, options.post, public_url=PUBLIC_URL, encloser=self.encloser)
        made = channel(self.pool, composer, options)
        workers = Workers(self.pool, made, self.spans.append)
        task = asyncio.create_task(workers.run(self.follower.news))
        try:
            yield workers
        finally:
            await end(task)
            await workers.drain(timeout_s=5)

    async def states(self) -> dict[str, int]:
        """Return how many deliveries are in each state."""
        rows = await self.pool.fetch("SELECT state::text, count(*) FROM deliveries GROUP BY state")
        return dict(map(tuple, rows))

    async def until(self, **states: int) -> None:
        """Wait until the deliveries are in these states."""
        async with asyncio.timeout(30):
            while await self.states() != states:  # noqa: ASYNC110 - rows have no event
                await asyncio.sleep(0.02)

    async def send(self, **states: int) -> list[EmailMessage]:
        """Follow, work until the deliveries are in these states, and return what was taken."""
        await self.follow()
        async with self.working():
            await self.until(**states)
        return self.mail.letters()

    async def hurry(self) -> None:
        """Let all that waits for its time be due, leases as well."""
        await self.pool.execute("UPDATE deliveries SET due_at = now() WHERE ended_at IS NULL")


@pytest.fixture
async def house(
    database: Pool, database_url: str, mail: server.Process, shard: int
) -> AsyncIterator[House]:
    """Return a house whose shard is open."""
    connection = await connect(database_url, timeout_ms=TIMEOUT_MS)
    mail_at = Server(
        host="127.0.0.1", port=mail.port, security="plain", step_timeout_s=0.5, text_timeout_s=0.5
    )
    await connection.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home)"
        " VALUES ($1, 1, 'open', 'test', now() + interval '1 hour', 'n', '0')",
        shard,
    )
    yield House(
        pool=database,
        connection=connection,
        mail=mail,
        options=Options(workers=8, server=mail_at, post=POST),
        shard=shard,
    )
    await connection.close()


@pytest.fixture
async def enclosing(house: House) -> AsyncIterator[House]:
    """Return the house, whose letters enclose tickets."""
    press = Press()
    house.encloser = Encloser(house.pool, press, SIGNING_KEY)
    yield house
    await press.close()
