"""The ticket that came by mail: what a mail server received opens the door, once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.tasks import end
from notifier.composer import Composer
from notifier.enclosures import Encloser
from notifier.follower import Teller
from notifier.letter import Post
from notifier.mail import Options, channel
from notifier.smtp import Server
from notifier.worker import Workers
from papers.press import Press
from store.pool import connect
from tests.api.test_gate import account, scan
from tests.api.test_papers import codes_of
from tests.api.world import TICKET_SIGNING_KEY, Event, World, check_problem
from tests.conftest import TIMEOUT_MS
from tests.notifier import server
from tests.notifier.test_enclosures import enclosed


@pytest.fixture
async def mail(world: World) -> AsyncIterator[server.Process]:
    """Run a notifier of the world's database, and the mail server that it hands letters to."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder)) as process:
        press = Press()
        post = Post("tickets@example.org")
        options = Options(
            workers=4,
            server=Server(host="127.0.0.1", port=process.port, security="plain"),
            post=post,
        )
        encloser = Encloser(world.database, press, TICKET_SIGNING_KEY)
        composer = Composer(
            world.database, post, public_url="https://t.example.org", encloser=encloser
        )
        follower = Teller("", timeout_ms=TIMEOUT_MS)
        connection = await connect(world.database_url, timeout_ms=TIMEOUT_MS)
        # What others left here is not to be told.
        await connection.execute(
            "INSERT INTO told (shard, epoch, last_seq) SELECT shard, epoch, last_seq"
            " FROM shard_checkpoint ON CONFLICT (shard, epoch)"
            " DO UPDATE SET last_seq = excluded.last_seq"
        )
        await connection.execute("UPDATE outbox SET taken_at = now() WHERE taken_at IS NULL")
        workers = Workers(world.database, channel(world.database, composer, options))

        async def follow() -> None:
            while True:
                await follower.step(connection)
                await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(follow()), asyncio.create_task(workers.run(follower.news))]
        yield process
        await end(*tasks)
        await workers.drain(timeout_s=5)
        await press.close()
        await connection.close()


async def test_what_was_mailed_lets_in_once(
    world: World, event: Event, mail: server.Process
) -> None:
    """The code read from the PDF in a letter that a mail server took lets in once, not twice."""
    email = f"{event['id']}@example.org"
    buyer = world.token(await account(world, email))
    booking = await world.book(event, buyer, (1, 2))
    assert 201 == booking.status
    async with asyncio.timeout(30):
        while not mail.letters():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    [letter] = mail.letters()
    assert email == letter["X-Recipient"]
    codes = codes_of(enclosed(letter)["tickets.pdf"])
    assert 2 == len(set(codes))
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    for code in codes:
        assert 200 == (await scan(world, event, code, staff)).status
        check_problem(await scan(world, event, code, staff), 409, "already_checked_in")
