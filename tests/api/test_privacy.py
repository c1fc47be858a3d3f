"""S43. One's own data: told in full, and forgotten so that no table, key or log has it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest
import structlog

from engine import keys
from engine.ids import new_id
from engine.records import Booked, Detail, Item, encode
from engine.shard import Shard
from engine.sweeper import Sweeper
from evently import logs
from evently.embedded import ValkeyServer
from evently.retention import run
from evently.settings import Settings
from reconciler.judge.check import check
from store import redaction, users, ways_in
from store.personal import HOLDINGS
from tests.api.world import SHARD, Event, World, check_problem
from tests.checks import ask, servers_of
from tests.conftest import role_url

PASSWORD = "correct horse battery"
TABLES = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition
"""


class Person(NamedTuple):
    """Somebody whose words are found wherever they are."""

    id: str
    token: str
    email: str
    name: str
    #: What they wrote beside orders.
    words: tuple[str, str]


async def somebody(world: World) -> Person:
    """Register a person."""
    mark = secrets.token_hex(6)
    email, name = f"zelda-{mark}@example.org", f"Zelda {mark} Quux"
    asked = {"email": email, "password": PASSWORD, "name": name}
    token = (await world.call("POST", "/v1/auth/register", json=asked)).body["access_token"]
    own_id = (await world.call("GET", "/v1/me", token=token)).body["id"]
    return Person(own_id, token, email, name, (f"wheels {mark}", f"gluten {mark}"))


@pytest.fixture
async def zelda(world: World) -> Person:
    """Register a person."""
    return await somebody(world)


def said(person: Person) -> dict[str, Any]:
    """Return what a person writes beside an order."""
    return {"special_requests": person.words[0], "metadata": {"meal": person.words[1]}}


async def live(world: World, event: Event, boss: str, one: Person) -> dict[str, str]:
    """Do all that a person can do and that leaves something; return the ids of what is left."""
    made = await world.book(event, one.token, (1, 2), key="k1", **said(one))
    assert 201 == made.status, made.text
    held = await world.hold(event, one.token, (2, 1), key="k2", **said(one))
    confirmed = await world.call("POST", f"/v1/holds/{held.body['id']}/confirm", token=one.token)
    dropped = await world.hold(event, one.token, (2, 1), key="k3", **said(one))
    await world.call("DELETE", f"/v1/holds/{dropped.body['id']}", token=one.token)
    path = f"/v1/bookings/{made.body['id']}"
    tickets = (await world.call("GET", path, token=one.token)).body["tickets"]
    friend = await somebody(world)
    to = {"user_id": friend.id}
    given = f"/v1/tickets/{tickets[0]['id']}/transfer"
    assert 200 == (await world.call("POST", given, token=one.token, json=to)).status
    scan = {"event_id": event["id"], "gate": "North"}
    scanned = f"/v1/tickets/{tickets[1]['code']}/check-in"
    assert 200 == (await world.call("POST", scanned, token=boss, json=scan)).status
    await have_ways_in(world, one)
    await world.settle()
    return {
        "booking": made.body["id"],
        "confirmed": confirmed.body["id"],
        "dropped": dropped.body["id"],
        "ticket": tickets[1]["id"],
        "given": tickets[0]["id"],
        "friend": friend.id,
    }


async def have_ways_in(world: World, one: Person) -> None:
    """Sign in otherwise than by a password as well."""
    who: dict[str, Any] = {
        "issuer": "https://id.example",
        "subject": f"of {one.email}",
        "email": one.email,
    }
    assert await ways_in.add_identity(world.database, user_id=one.id, **who)
    assert await ways_in.add_passkey(
        world.database,
        user_id=one.id,
        credential_id=secrets.token_bytes(16),
        public_key=b"k",
        sign_count=0,
        transports=["usb"],
        is_synced=False,
        name=f"Key of {one.name}",
    )


async def plant(world: World, one: Person, event: Event) -> bytes:
    """Put a record of a person where faults leave some; return it."""
    record = Booked(
        version=2,
        at_ms=1_700_000_000_000,
        event_id=event["id"],
        booking_id=new_id("bk"),
        user_id=one.id,
        fingerprint="f",
        items=[Item(1, 1, 1000)],
        detail=Detail(special_requests=one.words[0], metadata={"meal": one.words[1]}),
    )
    raw = encode(record)
    place = (77, 1, secrets.randbelow(1 << 40) + 1)
    await world.database.execute(
        "INSERT INTO redo VALUES ($1, $2, $3, $4, 'worker')", *place, raw.decode()
    )
    await world.database.execute(
        "INSERT INTO conflicts (shard, epoch, seq, record, reason) VALUES ($1, $2, $3, $4, 'two')",
        *place,
        raw.decode(),
    )
    await world.database.execute(
        "INSERT INTO quarantine (shard, epoch, seq, record, reason, state, changed_by)"
        " VALUES ($1, $2, $3, $4, $5, 'discarded', 'ann')",
        *place,
        b"spoilt" + raw,
        f"no record: {one.words[0]}",
    )
    await world.database.execute(
        "INSERT INTO outbox (kind, event_id, user_id, subject_id, shard, epoch, seq, sent_at)"
        " VALUES ('booking.confirmed', $1, $2, $3, $4, $5, $6, now())",
        event["id"],
        one.id,
        record.booking_id,
        *place,
    )
    return raw


async def found_in_tables(world: World, *texts: str) -> dict[str, list[str]]:
    """Search every table of the catalogue, each row as text and its bytes as text as well."""
    found: dict[str, list[str]] = {}
    for row in await world.database.fetch(TABLES):
        table = row["relname"]
        rows = await world.database.fetch(f"SELECT t.* FROM {table} t")  # noqa: S608
        for values in rows:
            text = " ".join(
                value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                for value in values.values()
            )
            if any(one in text for one in texts):
                found.setdefault(table, []).append(text[:200])
    return found


async def found_in_redis(world: World, *texts: str) -> list[str]:
    """Search every key of Redis, names and values, as they are kept."""
    found = []
    for key in await ask(world.redis, "KEYS", "*"):
        kind = (await ask(world.redis, "TYPE", key)).decode()
        read = {
            "hash": ("HGETALL", key),
            "set": ("SMEMBERS", key),
            "string": ("GET", key),
            "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            "stream": ("XRANGE", key, "-", "+"),
        }[kind]
        text = f"{key!r} {await ask(world.redis, *read)!r}"
        if any(one in text for one in texts):
            found.append(f"{key!r}: {text[:200]}")
    return found


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Log as in production; the list has all that was written once the test reads it."""
    lines: list[str] = []

    class Kept(list[str]):
        def __iter__(self) -> Iterator[str]:
            lines.extend("".join(capsys.readouterr()).splitlines())
            return iter(lines)

    structlog.configure(
        processors=[*logs.SHARED, *logs.PLAIN, structlog.processors.JSONRenderer(default=str)],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield Kept()
    structlog.reset_defaults()


async def test_s43_export_has_every_table(world: World, event: Event, boss: str) -> None:
    """S43: a person gets what each table has of them, their own words too, and no id of others."""
    one = await somebody(world)
    left = await live(world, event, boss, one)
    await plant(world, one, event)
    kept = await world.call("PATCH", "/v1/me", token=one.token, key="k", json={})
    assert 200 == kept.status, kept.text
    answer = await world.call("GET", "/v1/me/export", token=one.token)
    assert 200 == answer.status, answer.text
    assert "private, no-store" == answer.headers["Cache-Control"]
    assert answer.headers["X-Request-Id"]
    told = answer.body
    assert ("evently-export-1", one.id) == (told["format"], told["person_id"])
    tables = told["tables"]
    assert {table for table, holding in HOLDINGS.items() if holding.export} == set(tables)
    empty = {table for table, rows in tables.items() if not rows}
    assert {
        *("waitlist_entries", "erasures", "acts", "gifts", "familiar_origins"),
        *("team_members", "team_invitations", "api_keys", "devices", "order_notes"),
        *("deliveries", "suppressions", "muted_messages", "sale_reminders", "webhook_endpoints"),
        "push_subscriptions",
    } == empty
    [session] = tables["sessions"]
    assert "password" == session["method"]
    [identity], [passkey] = tables["identities"], tables["passkeys"]
    assert (one.email, f"Key of {one.name}") == (identity["email"], passkey["name"])
    [letter] = tables["account_tokens"]
    assert ("verify", one.email) == (letter["purpose"], letter["email"])
    assert {"token_hash", "salt", "family_hash"}.isdisjoint(session.keys() | letter.keys())
    letters = [row for row in tables["outbox"] if row["kind"] == "account.verify"]
    assert {one.email} == {row["payload"]["to"] for row in letters}
    assert not any("token" in row["payload"] for row in letters)
    [account] = tables["users"]
    assert (one.email, one.name) == (account["email"], account["name"])
    assert "password_hash" not in account
    bookings = {row["id"]: row for row in tables["bookings"]}
    assert {left["booking"], left["confirmed"]} == set(bookings)
    assert {one.words[0]} == {row["special_requests"] for row in bookings.values()}
    assert {left["ticket"], left["given"]} <= {row["id"] for row in tables["tickets"]}
    kinds = {row["kind"] for row in tables["journal"]}
    assert {"booked", "held", "confirmed", "released", "transferred", "checked_in"} <= kinds
    assert left["dropped"] in {row.get("hold_id") for row in tables["journal"]}
    assert one.words[0] in answer.text
    assert left["friend"] not in answer.text
    assert "usr_" not in answer.text.replace(one.id, "")


async def test_s43_export_of_much(world: World, zelda: Person, monkeypatch: Any) -> None:
    """S43: an export is read in bounded pieces, and has each row once however many there are."""
    monkeypatch.setattr("store.privacy.ROWS_PER_READ", 2)
    monkeypatch.setattr("store.privacy.BATCHES_PER_READ", 1)
    event = await world.event(100, max_per_user=100)
    for number in range(7):
        booked = await world.book(event, zelda.token, (1, 2), key=f"k{number}")
        assert 201 == booked.status, booked.text
        await world.settle()
    tables = (await world.call("GET", "/v1/me/export", token=zelda.token)).body["tables"]
    assert 7 == len({row["id"] for row in tables["bookings"]}) == len(tables["bookings"])
    assert 7 == len(tables["items"]) == len(tables["journal"])
    assert 14 == len({row["id"] for row in tables["tickets"]}) == len(tables["tickets"])


async def test_s43_exports_are_bounded(world: World, zelda: Person) -> None:
    """S43: a person gets some exports in an hour, and is told when there is the next."""
    answers = [await world.call("GET", "/v1/me/export", token=zelda.token) for _ in range(6)]
    assert [200] * 5 + [429] == [answer.status for answer in answers]
    assert '"exports";q=5;w=3600' == answers[-1].headers["RateLimit-Policy"]
    assert answers[-1].headers["Retry-After"]
    stranger = await world.call("GET", "/v1/me/export", token=world.token())
    check_problem(stranger, 404, "not_found")


async def test_s43_erasure_needs_the_password(world: World, zelda: Person) -> None:
    """S43: a token alone does not erase; a wrong password changes nothing."""
    before = await world.state()
    wrong = {"password": "another horse"}
    answer = await world.call("DELETE", "/v1/me", token=zelda.token, json=wrong)
    check_problem(answer, 401, "wrong_credentials")
    bare = await world.call("DELETE", "/v1/me", token=zelda.token)
    assert bare.status in {400, 422}
    assert before == await world.state()


async def test_s43_open_bookings_at_erasure(world: World, event: Event) -> None:
    """S43: live bookings of events to come are kept or given back as is said, or all stays."""
    one, other = await somebody(world), await somebody(world)
    for person in (one, other):
        assert 201 == (await world.book(event, person.token, (1, 2))).status
    await world.settle()
    sent: dict[str, Any] = {"password": PASSWORD}
    unsaid = await world.call("DELETE", "/v1/me", token=one.token, json=sent)
    check_problem(unsaid, 409, "bookings_open", "/bookings")
    assert 1 == unsaid.body["bookings"]
    assert 200 == (await world.call("GET", "/v1/me", token=one.token)).status
    kept = await world.call("DELETE", "/v1/me", token=one.token, json=sent | {"bookings": "keep"})
    assert {"id": one.id, "bookings_kept": 1} == kept.body
    gone = await world.call(
        "DELETE", "/v1/me", token=other.token, json=sent | {"bookings": "cancel"}
    )
    assert {"id": other.id, "bookings_kept": 0} == gone.body
    rows = await world.database.fetch(
        "SELECT user_id, status::text FROM bookings WHERE user_id = ANY ($1)", [one.id, other.id]
    )
    assert {(one.id, "confirmed"), (other.id, "cancelled")} == {tuple(row) for row in rows}


async def test_s43_given_tickets_go_back(world: World, event: Event) -> None:
    """S43: tickets that others gave go back to them, if that is what becomes of bookings."""
    giver, one = await somebody(world), await somebody(world)
    booked = await world.book(event, giver.token)
    path = f"/v1/bookings/{booked.body['id']}"
    [ticket] = (await world.call("GET", path, token=giver.token)).body["tickets"]
    given = f"/v1/tickets/{ticket['id']}/transfer"
    done = await world.call("POST", given, token=giver.token, json={"user_id": one.id})
    assert 200 == done.status
    sent: dict[str, Any] = {"password": PASSWORD}
    unsaid = await world.call("DELETE", "/v1/me", token=one.token, json=sent)
    check_problem(unsaid, 409, "bookings_open")
    assert (0, 1) == (unsaid.body["bookings"], unsaid.body["tickets"])
    sent["bookings"] = "cancel"
    assert 200 == (await world.call("DELETE", "/v1/me", token=one.token, json=sent)).status
    [ticket] = (await world.call("GET", path, token=giver.token)).body["tickets"]
    assert ("valid", False) == (ticket["status"], ticket["is_transferred"])
    assert ticket["code"]


async def test_s43_a_used_ticket_is_not_given_back(world: World, event: Event, boss: str) -> None:
    """S43: what cannot be given back keeps the account until its owner says that it stays good."""
    one = await somebody(world)
    booked = await world.book(event, one.token)
    seen = await world.call("GET", f"/v1/bookings/{booked.body['id']}", token=one.token)
    code, scan = seen.body["tickets"][0]["code"], {"event_id": event["id"]}
    await world.call("POST", f"/v1/tickets/{code}/check-in", token=boss, json=scan)
    await world.settle()
    sent = {"password": PASSWORD, "bookings": "cancel"}
    answer = await world.call("DELETE", "/v1/me", token=one.token, json=sent)
    check_problem(answer, 409, "bookings_open", "/bookings")
    assert "already_checked_in" in answer.body["errors"][0]["detail"].lower()
    done = await world.call("DELETE", "/v1/me", token=one.token, json=sent | {"bookings": "keep"})
    assert 200 == done.status


async def test_s43_address_is_free_and_account_nobodys(world: World, zelda: Person) -> None:
    """S43: the address can be registered anew; the old account neither logs in nor is found."""
    version = "SELECT token_version FROM users WHERE id = $1"
    before = await world.database.fetchval(version, zelda.id)
    done = await world.call("DELETE", "/v1/me", token=zelda.token, json={"password": PASSWORD})
    assert 200 == done.status
    login = {"email": zelda.email, "password": PASSWORD}
    check_problem(await world.call("POST", "/v1/auth/login", json=login), 401, "wrong_credentials")
    stone = {"email": f"{zelda.id}@erased.invalid", "password": PASSWORD}
    check_problem(await world.call("POST", "/v1/auth/login", json=stone), 401, "wrong_credentials")
    async with asyncio.timeout(5):
        # Within a second.
        path = "/v1/me"
        while 401 != (await world.call("GET", path, token=zelda.token)).status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    again = await world.call("DELETE", "/v1/me", token=zelda.token, json={"password": PASSWORD})
    check_problem(again, 401, "unauthorized")
    assert before + 1 == await world.database.fetchval(version, zelda.id)
    anew = await world.call("POST", "/v1/auth/register", json=login | {"name": "Somebody"})
    assert 201 == anew.status
    new_id_of = (await world.call("GET", "/v1/me", token=anew.body["access_token"])).body["id"]
    assert zelda.id != new_id_of


async def test_s43_waiting_ends(world: World, zelda: Person) -> None:
    """S43: who is erased waits no longer, and no places are kept for them."""
    event = await world.event(1)
    assert 201 == (await world.book(event, None)).status
    wish = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    path = f"/v1/events/{event['id']}/waitlist"
    joined = await world.call("POST", path, token=zelda.token, key="w", json=wish)
    assert 201 == joined.status
    await world.settle()
    done = await world.call("DELETE", "/v1/me", token=zelda.token, json={"password": PASSWORD})
    assert 200 == done.status
    await world.settle()
    status = "SELECT status::text FROM waitlist_entries WHERE id = $1"
    assert "left" == await world.database.fetchval(status, joined.body["id"])


async def test_s43_the_last_admin_stays(world: World) -> None:
    """S43: the last admin's account is not erased, nor a team's last owner; others are."""
    one = await somebody(world)
    await world.database.execute("UPDATE users SET role = 'user' WHERE role = 'admin'")
    await world.database.execute("UPDATE users SET role = 'admin' WHERE id = $1", one.id)
    sent = {"password": PASSWORD}
    answer = await world.call("DELETE", "/v1/me", token=one.token, json=sent)
    check_problem(answer, 409, "last_admin")
    other = await somebody(world)
    await world.database.execute("UPDATE users SET role = 'admin' WHERE id = $1", other.id)
    house = await users.add_organizer(world.database, "House")
    owner = "INSERT INTO team_members (organizer_id, user_id, role) VALUES ($1, $2, 'owner')"
    await world.database.execute(owner, house, one.id)
    token = world.token(one.id, version=99)
    check_problem(await world.call("DELETE", "/v1/me", token=token, json=sent), 409, "last_owner")
    await world.database.execute(owner, house, other.id)
    assert 200 == (await world.call("DELETE", "/v1/me", token=token, json=sent)).status
    assert "user" == await world.database.fetchval("SELECT role FROM users WHERE id = $1", one.id)
    assert [other.id] == [
        row["user_id"]
        for row in await world.database.fetch(
            "SELECT user_id FROM team_members WHERE organizer_id = $1", house
        )
    ]


@contextlib.contextmanager
def settings_of(world: World) -> Iterator[Settings]:
    """Return the settings of an operator."""
    yield Settings(database_url=world.database_url, environment="test")


async def forget_in_redis(world: World, event: Event, shard: Shard) -> None:
    """Let the time pass after which Redis forgets what was persisted and holds that ended."""
    await world.settle()
    meta = keys.meta(SHARD)
    epoch, seq = map(int, await ask(world.redis, "HMGET", meta, "epoch", "persisted_seq"))
    await ask(world.redis, "XTRIM", keys.journal(SHARD, epoch), "MINID", f"{seq + 1}-0")
    await ask(world.redis, "HSET", meta, "trimmed_seq", seq)
    names = keys.event(SHARD, event["id"])
    for member in await ask(world.redis, "ZRANGE", names.ended, 0, -1):
        if member != keys.MARK.encode():
            await ask(world.redis, "ZADD", names.ended, 1, member)
    await ask(world.redis, "ZADD", keys.due(SHARD), 1, event["id"])
    while await ask(world.redis, "ZCARD", names.ended) > 1:
        await ask(world.redis, "ZADD", keys.due(SHARD), 1, event["id"])
        await Sweeper(shard).sweep()


async def test_s43_nothing_is_left(
    world: World, event: Event, boss: str, swept: Shard, log_lines: list[str], valkey: ValkeyServer
) -> None:
    """
    S43: after erasure and retention no table, no key of Redis and no log has the person's words.

    What remains is told of an id that leads to nobody, and the ledger is as true as before.
    """
    one, other = await somebody(world), await somebody(world)
    for person in (one, other):
        await live(world, event, boss, person)
        await plant(world, person, event)
    texts = (one.email, one.name, one.email.partition("@")[0], *one.words)
    has_words = await found_in_tables(world, *texts)
    of_names = {"users", "account_tokens", "outbox", "identities", "passkeys"}
    of_words = {"bookings", "journal", "redo", "conflicts", "quarantine"}
    assert of_names | of_words == set(has_words)
    ledger = "SELECT id, user_id, status::text, total_minor, version, seq FROM bookings ORDER BY id"
    before = await world.database.fetch(ledger)
    sent = {"password": PASSWORD, "bookings": "keep"}
    assert 200 == (await world.call("DELETE", "/v1/me", token=one.token, json=sent)).status
    names = (one.email, one.name, one.email.partition("@")[0])
    assert {} == await found_in_tables(world, *names)
    assert [] == await found_in_redis(world, *names)

    await forget_in_redis(world, event, swept)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    with settings_of(world) as settings:
        tried = await run(settings, applies=False, now=later)
        assert of_words == (await found_in_tables(world, *texts)).keys()
        gone = await run(settings, applies=True, now=later)
        again = await run(settings, applies=True, now=later)
    assert {} == await found_in_tables(world, *texts)
    assert [] == await found_in_redis(world, *texts)
    assert tried["words"] == gone["words"] > 4
    done = "SELECT done_at IS NOT NULL FROM erasures WHERE user_id = $1"
    assert await world.database.fetchval(done, one.id)
    assert (0, 0, 0) == (again["words"], again["erasures"], again["quarantine"])
    assert before == await world.database.fetch(ledger)
    assert other.words[0] in str(await world.database.fetch("SELECT * FROM bookings"))
    assert not [line for line in log_lines if any(text in line for text in texts)]
    assert any(one.id in line and "person_erased" in line for line in log_lines)
    result = await check(
        servers_of(role_url(valkey, "coordinator"), world.database_url),
        shard=None,
        event_id=event["id"],
        progress=lambda _: None,
    )
    assert [] == [v for v in result.violations if v.event_id == event["id"]]
    # Others look at whole journals: the next begins at its first record.
    await world.recover()


async def test_s43_nothing_is_left_of_a_team_member(world: World, zelda: Person) -> None:
    """S43: invitations and gifts to a proved address go, and API keys, sessions and places end."""
    await world.prove(zelda.email)
    house, other_house = [await users.add_organizer(world.database, "House") for _ in range(2)]
    boss = world.token(role="organizer", organizer_id=house)
    event = await world.event(5, token=boss)
    await world.database.execute(
        "INSERT INTO team_members (organizer_id, user_id, role) VALUES ($1, $2, 'manager')",
        house,
        zelda.id,
    )
    login = {"email": zelda.email, "password": PASSWORD}
    token = (await world.call("POST", "/v1/auth/login", json=login)).body["access_token"]
    wish = {"name": "n", "scopes": ["events:read"], "organizer_id": house}
    key = (await world.call("POST", "/v1/api-keys", token=token, json=wish)).body["key"]
    rival = world.token(role="organizer", organizer_id=other_house)
    path, invite = f"/v1/organizers/{other_house}", {"email": zelda.email, "role": "gate"}
    invited = await world.call("POST", f"{path}/invitations", token=rival, json=invite)
    assert 201 == invited.status, invited.text
    giver = await somebody(world)
    booked = await world.book(event, giver.token)
    seen = await world.call("GET", f"/v1/bookings/{booked.body['id']}", token=giver.token)
    given = f"/v1/tickets/{seen.body['tickets'][0]['id']}/transfer"
    offered = await world.call("POST", given, token=giver.token, json={"email": zelda.email})
    assert 200 == offered.status, offered.text
    told = (await world.call("GET", "/v1/me/export", token=token)).body["tables"]
    had = ("sessions", "team_members", "team_invitations", "gifts", "api_keys", "familiar_origins")
    assert not [table for table in had if not told[table]]
    kinds = {row["kind"] for row in told["outbox"]}
    assert {"team.invited", "ticket.offered", "account.verify"} <= kinds
    assert giver.id not in str(told)
    done = await world.call("DELETE", "/v1/me", token=token, json={"password": PASSWORD})
    assert 200 == done.status, done.text
    assert {} == await found_in_tables(world, zelda.email, zelda.name)
    assert [] == await found_in_redis(world, zelda.email, zelda.name)
    for table, column in (
        ("sessions", "user_id"),
        ("account_tokens", "user_id"),
        ("team_members", "user_id"),
        ("familiar_origins", "account"),
    ):
        own = f"{column} IN ($1, account_word($2))"
        mine = f"SELECT count(*) FROM {table} WHERE {own}"  # noqa: S608
        assert 0 == await world.database.fetchval(mine, zelda.id, zelda.email), table
    async with asyncio.timeout(5):
        path = f"/v1/events/{event['id']}/cancel"
        while 401 != (await world.call("GET", path, token=key)).status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # The giver has the ticket still, and may offer it to somebody else.
    again = await world.call("POST", given, token=giver.token, json={"email": "b@example.org"})
    assert 200 == again.status, again.text


async def test_s43_a_claim_takes_nothing_of_the_owner(world: World, zelda: Person) -> None:
    """S43: who only claims an address is forgotten without what belongs to who has proved it."""
    await world.prove(zelda.email)
    login = {"email": zelda.email, "password": PASSWORD}
    token = (await world.call("POST", "/v1/auth/login", json=login)).body["access_token"]
    claim = login | {"password": "battery staple", "name": "Mallory"}
    stranger = (await world.call("POST", "/v1/auth/register", json=claim)).body["access_token"]
    house = await users.add_organizer(world.database, "House")
    boss = world.token(role="organizer", organizer_id=house)
    wish = {"email": zelda.email, "role": "gate"}
    path = f"/v1/organizers/{house}/invitations"
    assert 201 == (await world.call("POST", path, token=boss, json=wish)).status
    told = (await world.call("GET", "/v1/me/export", token=stranger)).body["tables"]
    assert not [told[table] for table in ("team_invitations", "familiar_origins") if told[table]]
    sent = {"password": "battery staple"}
    assert 200 == (await world.call("DELETE", "/v1/me", token=stranger, json=sent)).status
    told = (await world.call("GET", "/v1/me/export", token=token)).body["tables"]
    assert 1 == len(told["team_invitations"]) == len(told["familiar_origins"])
    assert "team.invited" in {row["kind"] for row in told["outbox"] if row["payload"]}
    assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status


async def test_s43_texts_go_after_their_period(world: World, swept: Shard) -> None:
    """S43: what buyers wrote goes some days after the event's end, of that event alone."""
    one = await somebody(world)
    old, new = await world.event(10), await world.event(10)
    for number, event in enumerate((old, new)):
        booked = await world.book(event, one.token, key=f"k{number}", **said(one))
        assert 201 == booked.status
        await world.database.execute(
            "INSERT INTO order_notes (id, organizer_id, event_id, booking_id, user_id, written_by,"
            " text) VALUES ($1, $2, $3, $4, $5, $5, $6)",
            new_id("note"),
            event["organizer_id"],
            event["id"],
            booked.body["id"],
            one.id,
            f"note {one.name}",
        )
    await world.settle()
    now = dt.datetime.now(dt.UTC)
    await world.database.execute(
        "UPDATE events SET starts_at = now() - interval '80 days',"
        " ends_at = now() - interval '80 days' WHERE id = $1",
        old["id"],
    )
    with settings_of(world) as settings:
        await run(settings, applies=True, now=now + dt.timedelta(days=5))
        noted = await found_in_tables(world, f"note {one.name}")
        assert 2 == len(noted["order_notes"])
        assert 2 == len((await found_in_tables(world, one.words[0]))["bookings"])
        gone = await run(settings, applies=True, now=now + dt.timedelta(days=12))
    assert 1 <= gone["order notes"]
    [noted_still] = (await found_in_tables(world, f"note {one.name}"))["order_notes"]
    assert new["id"] in noted_still
    rows = await world.database.fetch(
        "SELECT event_id, special_requests, metadata FROM bookings WHERE user_id = $1", one.id
    )
    kept = {row["event_id"]: (row["special_requests"], row["metadata"]) for row in rows}
    assert {old["id"]: (None, None), new["id"]: (one.words[0], kept[new["id"]][1])} == kept
    assert {"meal": one.words[1]} == json.loads(kept[new["id"]][1])
    [lines] = [
        row["records"]
        for row in await world.database.fetch(
            "SELECT string_agg(records, E'\\n') AS records FROM journal"
        )
    ]
    own = [orjson.loads(line[8:]) for line in lines.split("\n") if one.id in line]
    assert {
        old["id"]: {},
        new["id"]: {"special_requests": one.words[0], "metadata": {"meal": one.words[1]}},
    } == {record["event_id"]: record["detail"] for record in own}


async def test_s43_other_periods(world: World) -> None:
    """S43: messages, invitations and resolved records go when their time is over, and no sooner."""
    one = await somebody(world)
    event = await world.event(5)
    await plant(world, one, event)
    boss = await world.organizer()
    mine = (await world.call("GET", "/v1/organizers", token=boss)).body["data"][0]["id"]
    asked = {"email": f"{secrets.token_hex(6)}@example.org", "role": "gate"}
    path = f"/v1/organizers/{mine}/invitations"
    assert 201 == (await world.call("POST", path, token=boss, json=asked)).status
    invited = "SELECT count(*) FROM team_invitations WHERE organizer_id = $1"
    # The letters to a new account wait to be sent, and nobody sends them.
    letters = (
        "SELECT count(*) FROM outbox WHERE user_id = $1 AND sent_at IS NULL AND payload ? 'to'"
    )
    count = "SELECT count(*) FROM outbox WHERE user_id = $1 AND kind = 'booking.confirmed'"
    bytes_of = "SELECT octet_length(record) FROM quarantine ORDER BY changed_at DESC LIMIT 1"
    now = dt.datetime.now(dt.UTC)
    await world.database.execute(
        "INSERT INTO sale_reminders (event_id, user_id) VALUES ($1, $2)", event["id"], one.id
    )
    await world.database.execute(
        "INSERT INTO reminder_plans (event_id, kind, planned_for) VALUES ($1, 'k', now())",
        event["id"],
    )
    with settings_of(world) as settings:
        await run(settings, applies=True, now=now + dt.timedelta(days=13))
        assert 1 == await world.database.fetchval(invited, mine)
        would_go = await run(settings, applies=False, now=now + dt.timedelta(days=29))
        gone = await run(settings, applies=True, now=now + dt.timedelta(days=29))
        assert 1 <= would_go["invitations"] == gone["invitations"]
        assert 0 == await world.database.fetchval(invited, mine)
        assert 0 == gone["reminders"]
        assert 1 == await world.database.fetchval(count, one.id)
        assert 1 <= await world.database.fetchval(letters, one.id)
        would_go = await run(settings, applies=False, now=now + dt.timedelta(days=31))
        gone = await run(settings, applies=True, now=now + dt.timedelta(days=31))
        assert 2 <= would_go["outbox"] == gone["outbox"]
        assert 2 <= would_go["reminders"] == gone["reminders"]
        assert 0 == await world.database.fetchval(count, one.id)
        assert 0 == await world.database.fetchval(letters, one.id)
        assert await world.database.fetchval(bytes_of) > 0
        await run(settings, applies=True, now=now + dt.timedelta(days=366))
        assert 0 == await world.database.fetchval(bytes_of)


async def test_s43_redaction_may_be_cut_off(
    world: World, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S43: retention that is cut off leaves ledger and archive of one mind, and can begin anew."""
    one = await somebody(world)
    for number in range(3):
        await world.book(event, one.token, key=f"k{number}", **said(one))
        await world.settle()
    sent = {"password": PASSWORD, "bookings": "keep"}
    assert 200 == (await world.call("DELETE", "/v1/me", token=one.token, json=sent)).status
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    seen = []

    class Cut(Exception):
        pass

    real = redaction._redact_batch

    async def cut(*args: Any, **kwargs: Any) -> int:
        seen.append(args)
        if len(seen) > 1:
            raise Cut
        return await real(*args, **kwargs)

    with settings_of(world) as settings:
        with monkeypatch.context() as patch:
            patch.setattr("store.redaction._redact_batch", cut)
            with pytest.raises(Cut):
                await run(settings, applies=True, now=later)
        open_ones = "SELECT done_at FROM erasures WHERE user_id = $1"
        assert await world.database.fetchval(open_ones, one.id) is None
        await run(settings, applies=True, now=later)
        assert await world.database.fetchval(open_ones, one.id) is not None
    assert {} == await found_in_tables(world, *one.words)
