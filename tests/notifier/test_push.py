"""Push, against a service that opens what it takes as a browser does, and believes no signature."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from engine.ids import new_id, ticket_id
from engine.outward import Outside, networks
from engine.records import Booked, Cancelled, Expired, Item, Joined, Offered, Transferred
from engine.tasks import end
from evently.settings import Settings
from notifier import push as pushes
from notifier import vapid
from notifier.__main__ import app
from notifier.composer import Composer
from notifier.follower import Teller
from notifier.poster import Poster
from notifier.render import Brief
from notifier.worker import Workers
from store import deliveries
from store import push as devices
from tests.conftest import TIMEOUT_MS
from tests.notifier import push_service
from tests.notifier.conftest import POST, PUBLIC_URL, SIGNING_KEY, House
from tests.store.records import AT_MS, booked, cancelled

KEY, OLD_KEY = vapid.read([vapid.make(), vapid.make()])
OWN = Outside(hosts=(push_service.HOST,), also=networks("127.0.0.0/8"))


@dataclass
class Pushes:
    """A house that pushes, and the service that it pushes to."""

    house: House
    service: push_service.Process
    pushing: pushes.Pushing

    async def device(
        self, user_id: str, key: vapid.VapidKey = KEY, *, endpoint: str = ""
    ) -> devices.Subscription:
        """Have a device of an account subscribe."""
        browser = self.service.subscribe(key.public.public_key)
        made = await devices.put(
            self.house.pool,
            own_id=new_id("psh"),
            user_id=user_id,
            endpoint=endpoint or browser.endpoint,
            host=push_service.HOST,
            p256dh=browser.p256dh,
            auth=browser.auth,
            key_id=key.id,
            name="Phone",
            browsers_max=9,
        )
        assert made is not None
        return made

    async def test(self, device: devices.Subscription) -> None:
        """Ask for a test of a device, and make its delivery."""
        await self.house.tell("account.push_test", device.user_id, to=device.id)
        await self.house.follow()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run workers."""
        composer = Composer(self.house.pool, POST, public_url=PUBLIC_URL)
        pushing = self.pushing
        async with Poster(
            pushing.outside, timeout_s=5, at_once_max=4, tls=self.service.made.believed
        ) as poster:
            made = pushes.channel(self.house.pool, composer, poster, pushing)
            workers = Workers(self.house.pool, made)
            task = asyncio.create_task(workers.run(self.house.follower.news))
            try:
                yield
            finally:
                await end(task)
                await workers.drain(timeout_s=5)

    async def send(self, **states: int) -> list[dict[str, Any]]:
        """Work until the pushes are in these states; return what was taken."""
        async with self.working():
            await self.until(**states)
        return self.service.taken()

    async def until(self, **states: int) -> None:
        """Wait until the pushes are in these states."""
        async with asyncio.timeout(30):
            while await self.states() != states:  # noqa: ASYNC110 - rows have no event
                await asyncio.sleep(0.02)

    async def states(self) -> dict[str, int]:
        """Return how many pushes are in each state."""
        rows = await self.house.pool.fetch(
            "SELECT state::text, count(*) FROM deliveries WHERE channel = 'push' GROUP BY state"
        )
        return dict(map(tuple, rows))

    async def reasons(self) -> list[str]:
        """Return what is said of the pushes."""
        rows = await self.house.pool.fetch(
            "SELECT reason FROM deliveries WHERE channel = 'push' ORDER BY id"
        )
        return [row["reason"] for row in rows]


@pytest.fixture(scope="module")
def push_process() -> Iterator[push_service.Process]:
    """Run a push service."""
    with tempfile.TemporaryDirectory() as folder, push_service.running(Path(folder)) as process:
        yield process


@pytest.fixture
async def pushed(house: House, push_process: push_service.Process) -> Pushes:
    """Return a house that pushes; no device has subscribed yet."""
    push_process.clear()
    await house.pool.execute("TRUNCATE push_subscriptions")
    house.follower = Teller("", timeout_ms=TIMEOUT_MS, fans=[pushes.fan])
    pushing = pushes.Pushing(
        keys=[KEY, OLD_KEY], subject="mailto:push@example.org", outside=OWN, workers=4
    )
    return Pushes(house, push_process, pushing)


def joined(event_id: str, entry_id: str, user_id: str) -> Joined:
    """Make the record of somebody who waits for two places."""
    return Joined(
        version=1,
        at_ms=AT_MS,
        event_id=event_id,
        entry_id=entry_id,
        user_id=user_id,
        fingerprint="f",
        tier_no=1,
        quantity=2,
        join_no="000000000001",
        policy="strict",
        patience_ms=0,
        offer_ttl_ms=0,
        after_hold="",
    )


def gave(record: Booked, own_id: str, holder_id: str) -> Transferred:
    """Make the record of a ticket that a booking's person gives away."""
    return Transferred(
        version=1,
        at_ms=AT_MS,
        event_id=record.event_id,
        ticket_id=own_id,
        booking_id=record.booking_id,
        number=1,
        ticket_version=2,
        holder_id=holder_id,
        gate="-",
        by=record.user_id,
    )


def called_off(record: Booked) -> Cancelled:
    """Make the record of a booking that ends with its event."""
    return msgspec.structs.replace(cancelled(record), reason="event_cancelled")


async def test_an_offer_reaches_each_device(pushed: Pushes) -> None:
    """An offer is pushed to each device of its person, pressing, for as long as it is one."""
    house = pushed.house
    event, person, other = await house.event(), await house.person(), await house.person()
    mine = [await pushed.device(person), await pushed.device(person, OLD_KEY)]
    await pushed.device(other)
    entry = new_id("wl")
    offer = Offered(
        version=1,
        at_ms=AT_MS,
        event_id=event,
        entry_id=entry,
        hold_id=entry.replace("wl_", "offer_"),
        user_id=person,
        fingerprint="f",
        items=[Item(1, 2, 4550)],
        expires_at_ms=round(1000 * (time.time() + 100_000)),
        join_no="000000000001",
        cause_seq=0,
        reason="turn",
        passed=[],
    )
    await house.write(joined(event, entry, person), offer)
    await house.follow()
    # What reminds of it half-way waits for its time.
    taken = await pushed.send(sent=2, waiting=2)
    assert {one.endpoint for one in mine} == {one["endpoint"] for one in taken}
    said = taken[0]["message"]
    assert 8030 == said["web_push"]
    shown = said["notification"]
    assert "Places for Summer Night are kept for you" == shown["title"]
    assert "It is your turn" in shown["body"]
    assert f"{PUBLIC_URL}/wait/{entry}" == shown["navigate"]
    assert ("en", "ltr") == (shown["lang"], shown["dir"])
    headers = taken[0]["headers"]
    assert "high" == headers["Urgency"]
    assert shown["tag"] == headers["Topic"] == taken[1]["headers"]["Topic"]
    assert int(headers["TTL"]) > 86_400
    rows = await devices.of_user(house.pool, person)
    assert all(row.last_delivered_at and not row.failures for row in rows)
    # The offer's end takes its place where it was not fetched.
    pushed.service.clear()
    over = Expired(
        version=1,
        at_ms=AT_MS + 2,
        event_id=event,
        hold_id=offer.hold_id,
        user_id=person,
        items=offer.items,
    )
    await house.write(over)
    await house.follow()
    taken = await pushed.send(sent=4, waiting=2)
    assert {shown["tag"]} == {one["headers"]["Topic"] for one in taken}
    assert {"normal"} == {one["headers"]["Urgency"] for one in taken}


async def test_what_is_pushed_and_what_is_not(pushed: Pushes) -> None:
    """By the table: a confirmation comes by mail alone, a ticket that was given by both."""
    house = pushed.house
    event, giver, holder = await house.event(), await house.person(), await house.person()
    for person in (giver, holder):
        await pushed.device(person)
    record = booked(event, user_id=giver)
    ticket = ticket_id(record.booking_id, 1)
    await house.write(record, gave(record, ticket, holder))
    await house.follow()
    taken = await pushed.send(sent=2)
    titles = {one["message"]["notification"]["title"] for one in taken}
    said = {"You gave a ticket for Summer Night away", "You have a ticket for Summer Night"}
    assert said == titles
    mails = await house.pool.fetchval("SELECT count(*) FROM deliveries WHERE channel = 'mail'")
    assert 3 == mails
    # And an event that is called off, to whom had booked it.
    await house.write(called_off(record))
    await house.follow()
    pushed.service.clear()
    [one] = await pushed.send(sent=3)
    assert "Summer Night is cancelled" == one["message"]["notification"]["title"]


async def test_a_test_reaches_one_device(pushed: Pushes) -> None:
    """A test goes to the device that it is of, in its person's language, and by no mail."""
    person = await pushed.house.person(language="ar")
    device, _other = await pushed.device(person), await pushed.device(person)
    await pushed.test(device)
    [one] = await pushed.send(sent=1)
    shown = one["message"]["notification"]
    assert (device.endpoint, "ar", "rtl") == (one["endpoint"], shown["lang"], shown["dir"])
    assert f"{PUBLIC_URL}/me" == shown["navigate"]
    assert {"sent": 1} == await pushed.house.states()


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_over(pushed: Pushes, status: int) -> None:
    """A service that knows a subscription no more has us forget it, and no other."""
    person = await pushed.house.person()
    device, other = await pushed.device(person), await pushed.device(person)
    await pushed.test(device)
    pushed.service.orders.give(push=[str(status)])
    await pushed.send(suppressed=1)
    assert [other.id] == [one.id for one in await devices.of_user(pushed.house.pool, person)]
    assert [f"HTTP {status}"] == await pushed.reasons()
    # What was on its way to it is told to nobody.
    await pushed.test(device)
    assert {"suppressed": 1} == await pushed.states()


@pytest.mark.parametrize("status", [400, 401, 403, 302, 422])
async def test_a_refusal_is_our_fault(pushed: Pushes, status: int) -> None:
    """What a service refuses waits for a human; no subscription is forgotten for it."""
    person = await pushed.house.person()
    device = await pushed.device(person)
    await pushed.test(device)
    pushed.service.orders.give(push=[str(status)])
    await pushed.send(dead=1)
    [kept] = await devices.of_user(pushed.house.pool, person)
    assert (1, None) == (kept.failures, kept.last_delivered_at)
    [dead] = await deliveries.dead(pushed.house.pool, 9)
    assert ("push", f"HTTP {status}") == (dead.channel, dead.reason)
    # A human has mended it.
    assert 1 == await deliveries.retry(pushed.house.pool, [dead.id])
    assert 1 == len(await pushed.send(sent=1))
    [kept] = await devices.of_user(pushed.house.pool, person)
    assert 0 == kept.failures


async def test_a_key_that_we_have_not(pushed: Pushes) -> None:
    """A device that knows us by a key that is gone is not pushed to, and not forgotten."""
    person = await pushed.house.person()
    [gone] = vapid.read([vapid.make()])
    await pushed.test(await pushed.device(person, gone))
    assert [] == await pushed.send(dead=1)
    assert ["the key of its subscription is not here"] == await pushed.reasons()
    assert 1 == len(await devices.of_user(pushed.house.pool, person))


async def test_a_message_that_is_too_large(pushed: Pushes) -> None:
    """A service that wants less gets less, once."""
    event = await pushed.house.event(name="Nacht " * 30)
    person = await pushed.house.person()
    await pushed.device(person)
    record = booked(event, user_id=person)
    await pushed.house.write(record, called_off(record))
    await pushed.house.follow()
    pushed.service.orders.give(push=["413"])
    [one] = await pushed.send(sent=1)
    assert one["bytes"] <= pushes.SHORT_BYTES_MAX
    assert one["message"]["notification"]["title"].startswith("Nacht")
    await pushed.test(*await devices.of_user(pushed.house.pool, person))
    pushed.service.orders.give(push=["413", "413"])
    await pushed.send(sent=1, dead=1)
    assert ["", "HTTP 413"] == await pushed.reasons()


async def test_a_service_that_asks_us_to_wait(pushed: Pushes) -> None:
    """A push waits as long as it is asked to; where nothing is said, three attempts are made."""
    device = await pushed.device(await pushed.house.person())
    await pushed.test(device)
    pushed.service.orders.give(push=["429 1000", "503", "500"])
    await pushed.send(delayed=1)
    wait_s = "SELECT extract(epoch FROM due_at - now()) FROM deliveries"
    assert 900 < await pushed.house.pool.fetchval(wait_s) <= 1000
    for attempts in (2, 3):
        await pushed.house.hurry()
        async with pushed.working(), asyncio.timeout(30):
            count = "SELECT attempts FROM deliveries WHERE state <> 'sending'"
            while await pushed.house.pool.fetchval(count) != attempts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        if attempts == 2:
            assert {"delayed": 1} == await pushed.states()
            assert await pushed.house.pool.fetchval(wait_s) <= 4
    assert ({"dead": 1}, ["HTTP 500"]) == (await pushed.states(), await pushed.reasons())


async def test_a_service_that_is_away(pushed: Pushes) -> None:
    """A service that is killed, or takes a message and says nothing, gets it again."""
    device = await pushed.device(await pushed.house.person())
    pushed.service.kill()
    await pushed.test(device)
    await pushed.send(delayed=1)
    assert ["no connection"] == await pushed.reasons()
    pushed.service.start()
    pushed.service.orders.give(push=["keep, drop"])
    await pushed.house.hurry()
    first = await pushed.send(unknown=1)
    await pushed.house.hurry()
    taken = await pushed.send(sent=1)
    assert (1, 2) == (len(first), len(taken))
    # The same topic: whoever has not seen the first sees one.
    assert 1 == len({one["headers"]["Topic"] for one in taken})


async def test_a_device_has_one_account(pushed: Pushes) -> None:
    """What is on its way to a device whose account is another's by now is not shown there."""
    person, other = await pushed.house.person(), await pushed.house.person()
    device = await pushed.device(person)
    await pushed.test(device)
    moved = await pushed.device(other, endpoint=device.endpoint)
    assert (device.id, other, None) == (moved.id, moved.user_id, moved.last_delivered_at)
    assert [] == await pushed.send(skipped=1)


async def test_s16_an_endpoint_that_leads_inside(pushed: Pushes) -> None:
    """S16: an endpoint that leads inside is not connected to, even if its row is there."""
    pushed.pushing = replace(pushed.pushing, outside=Outside(hosts=(push_service.HOST,)))
    for endpoint in ("", "https://localhost/push/x", "http://127.0.0.1:6379/"):
        await pushed.test(await pushed.device(await pushed.house.person(), endpoint=endpoint))
    assert [] == await pushed.send(dead=3)
    assert ["inside"] * 3 == await pushed.reasons()


async def test_s26_a_push_opens_nothing(pushed: Pushes) -> None:
    """S26: a ticket that is pushed has no code in it: whoever reads the screen gets in nowhere."""
    house = pushed.house
    event, giver, holder = await house.event(), await house.person(), await house.person()
    await pushed.device(holder)
    record = booked(event, user_id=giver)
    ticket = ticket_id(record.booking_id, 1)
    await house.write(record, gave(record, ticket, holder))
    await house.follow()
    [one] = await pushed.send(sent=1)
    shown = one["message"]["notification"]
    assert {"title", "body", "navigate", "lang", "dir", "tag"} == set(shown)
    assert f"{PUBLIC_URL}/t/{ticket}" == shown["navigate"]
    assert "token" not in json.dumps(one["message"])


async def test_push_that_is_off(pushed: Pushes) -> None:
    """Without keys nothing is pushed, nothing waits for it, and mail goes on."""
    pool = pushed.house.pool
    await devices.put_keys(pool, [KEY.public, OLD_KEY.public])
    assert KEY.public == await devices.first_key(pool)
    await devices.put_keys(pool, [OLD_KEY.public])
    assert OLD_KEY.public == await devices.first_key(pool)
    assert not await devices.has_key(pool, KEY.id)
    await pushed.test(await pushed.device(await pushed.house.person()))
    assert {"waiting": 1} == await pushed.states()
    await devices.put_keys(pool, [])
    assert (None, {"skipped": 1}) == (await devices.first_key(pool), await pushed.states())


def test_payloads_are_short() -> None:
    """A message has at most 3 kB in any script, and says what is left of it."""
    delivery = deliveries.Delivery(
        **dict.fromkeys(deliveries.Delivery._fields, None)  # type: ignore[arg-type]
        | {"kind": "waitlist.offered", "subject_id": "wl_1"}
    )
    for letter in ("x", "ä", "夜", "😀", '"', "\x01"):
        brief = Brief(letter * 200, letter * 5_000, "https://example.org/x", "en", "ltr")
        for bytes_max in (pushes.PAYLOAD_BYTES_MAX, pushes.SHORT_BYTES_MAX):
            text = pushes.payload(brief, delivery, bytes_max=bytes_max)
            assert len(text) <= bytes_max
            shown = json.loads(text)["notification"]
            assert shown["title"].startswith(letter)
    brief = Brief("Title", "Body", "https://example.org/x", "en", "ltr")
    assert "Body" == json.loads(pushes.payload(brief, delivery))["notification"]["body"]
    assert pushes.TOPIC_CHARS == len(pushes.topic(delivery))


def test_times_to_live() -> None:
    """A message is kept for a device that is away until its deadline, and none for ever."""
    delivery = deliveries.Delivery(
        **dict.fromkeys(deliveries.Delivery._fields, None)  # type: ignore[arg-type]
    )
    assert pushes.TTL_S == pushes.ttl_s(delivery)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    assert 90 <= pushes.ttl_s(delivery._replace(until=soon)) <= 100
    assert 0 == pushes.ttl_s(delivery._replace(until=soon - dt.timedelta(seconds=200)))


def test_keys_have_names() -> None:
    """A key is known by its public half; each signature names the service that it goes to."""
    text = vapid.make()
    [key] = vapid.read([text])
    assert key.public == vapid.read([text])[0].public
    assert (10, 65) == (len(key.id), len(urlsafe_b64decode(key.public.public_key + "=")))
    for origin in ("https://a.example", "https://b.example:444"):
        header = key.authorization(f"{origin}/push/x", "mailto:push@example.org")
        claims = header.split(".")[1]
        said = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert origin == said["aud"]


def test_keys_are_made_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`notifier keys make` prints the setting: a new key, and the first of those before it."""
    monkeypatch.setenv("EVENTLY_ENV_FILE", os.devnull)
    monkeypatch.setenv("EVENTLY_DATA_DIR", str(tmp_path))
    made: list[str] = []
    for number in (1, 2, 2):
        if made:
            monkeypatch.setenv("EVENTLY_VAPID_KEYS", ",".join(made))
        result = CliRunner().invoke(app, ["keys", "make"])
        assert 0 == result.exit_code, result.output
        [line] = result.stdout.splitlines()
        found = Settings.from_env(dict([line.split("=", 1)])).vapid_private_keys
        assert (number, list(made[:1])) == (len(found), list(found[1:]))
        assert vapid.read(found)[0].id in result.stderr
        made = list(found)
    monkeypatch.setenv("EVENTLY_VAPID_KEYS", "short")
    assert 0 != CliRunner().invoke(app, ["keys", "make"]).exit_code


def start(settings: Settings, service: push_service.Process) -> subprocess.Popen[bytes]:
    """Start a notifier that believes the authority of a service."""
    env = dict(os.environ) | settings.to_env() | {"EVENTLY_PART": "notifier"}
    env["SSL_CERT_FILE"] = str(service.made.certificate)
    return subprocess.Popen([sys.executable, "-m", "notifier"], env=env)


@pytest.mark.processes
async def test_a_killed_notifier_pushes_all(
    pushed: Pushes, database_url: str, tmp_path: Path
) -> None:
    """Whatever is killed when, each device gets its messages; doubles are counted."""
    house, count = pushed.house, 12
    made = [await pushed.device(await house.person()) for _ in range(count)]
    keys = ",".join(vapid.make() for _ in range(2))
    [key, _] = vapid.read(keys.split(","))
    for device in made:
        await house.pool.execute(
            "UPDATE push_subscriptions SET key_id = $2 WHERE id = $1", device.id, key.id
        )
        browser = pushed.service.folder / f"{device.endpoint.rpartition('/')[2]}.browser"
        kept = json.loads(browser.read_text()) | {"key": key.public.public_key}
        browser.write_text(json.dumps(kept))
        await house.tell("account.push_test", device.user_id, to=device.id)
    settings = Settings(
        database_url=database_url,
        smtp_url=f"smtp+plain://127.0.0.1:{house.mail.port}",
        data_dir=str(tmp_path),
        notifier_workers=2,
        vapid_keys=keys,
        mail_from="tickets@example.org",
        ticket_signing_key=SIGNING_KEY,
        push_hosts=push_service.HOST,
        outward_networks="127.0.0.0/8",
    )
    pushed.service.orders.give(push=["", "", "", "stall", "stall"])
    process = start(settings, pushed.service)
    try:
        async with asyncio.timeout(60):
            while len(pushed.service.taken()) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            process.kill()
            process.wait()
            pushed.service.kill()
            pushed.service.start()
            pushed.service.orders.give()
            process = start(settings, pushed.service)
            while await pushed.states() != {"sent": count}:
                await house.hurry()
                await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.to_thread(process.wait, 20)
    finally:
        process.kill()
        process.wait()
    taken = pushed.service.taken()
    assert {one.endpoint for one in made} == {one["endpoint"] for one in taken}
    doubts = await house.pool.fetchval("SELECT sum(doubts) FROM deliveries")
    assert len(taken) - count <= doubts
    assert key.public == await devices.first_key(house.pool)
