"""What is over is heard of by every process; one that is cut off changes nothing (F71)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg
import pytest
import structlog

from api.http import SERVICES
from engine.ids import new_id
from evently.embedded import PostgresServer
from store import revocations as rows
from store.revocations import GONE, Over
from tests.api.world import Event, Serve, World, check_problem
from usecases import revocations as module
from usecases.revocations import Revocations
from usecases.tokens import Principal

USER, SESSION = "usr_a", "ses_a"


def person(**more: Any) -> Principal:
    """Make somebody with a session."""
    return Principal(USER, "user", None, **({"session_id": SESSION} | more))


class Source:
    """What is read, in the place of PostgreSQL and Redis."""

    def __init__(self) -> None:
        self.found: list[tuple[int, Sequence[Over]]] = []
        self.asked: list[int] = []
        self.error: Exception | None = None
        self.marks = {0: 1}
        self.tidied = 0

    async def read(self, xmin: int, _: int) -> tuple[int, Sequence[Over]]:
        """Return what is there to be found."""
        self.asked.append(xmin)
        if self.error is not None:
            raise self.error
        return self.found.pop(0) if self.found else (xmin, [])

    async def read_marks(self) -> dict[int, int]:
        """Return what the persisters have noted."""
        return dict(self.marks)

    async def tidy(self, _: int) -> None:
        """Count."""
        self.tidied += 1

    def revocations(self, ttl_s: int = 3_600) -> Revocations:
        """Make what reads from here."""
        return Revocations(self.read, self.read_marks, self.tidy, ttl_s=ttl_s)


async def test_s4_what_is_over() -> None:
    """S4: tokens of lower versions, of a session that ended, or of an account that is gone."""
    known = Source().revocations()
    assert not known.is_over(person())
    known.note("usr_b", 5)
    known.note(USER, 2)
    assert [True, True, False, False] == [
        known.is_over(person(token_version=version)) for version in range(4)
    ]
    known.note(USER, 1)
    assert not known.is_over(person(token_version=2)), "a version does not go back"
    assert known.is_over(person(token_version=1))
    machine = person(kind="api_key", session_id="key_a")
    assert not known.is_over(machine)
    known.note(SESSION)
    assert known.is_over(person(token_version=9))
    assert not known.is_over(person(token_version=9, session_id=None))
    known.note("key_a")
    assert known.is_over(machine)
    known.note(USER, GONE)
    assert known.is_over(person(token_version=9, session_id=None))
    assert known.is_over(person(kind="api_key", session_id=None))


async def test_looks_go_on_where_the_last_ended() -> None:
    """Each look asks for what came since; of another PostgreSQL than before for all."""
    source = Source()
    known = source.revocations()
    source.found = [(7, [Over(USER, 1)]), (9, []), (3, []), (3, [Over(SESSION, GONE)]), (4, [])]
    for _ in range(4):
        await known.look()
    assert [0, 7, 9, 0, 3] == source.asked
    assert known.is_over(person(token_version=5))


async def test_nothing_is_known_before_the_first_look() -> None:
    """A process that has never looked changes nothing; once it has, it does."""
    source = Source()
    known = source.revocations()
    source.error = OSError("away")
    await known.start()
    shut = [known.is_shut]
    source.error = None
    known.wake()
    await until(lambda: not known.is_shut)
    await known.close()
    assert [True] == shut


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks follow each other at once."""
    monkeypatch.setattr(module, "LOOK_INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "BLIND_AFTER_S", 0.05)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("hasty")
async def test_f71_cut_off_alone() -> None:
    """F71: where others reach PostgreSQL and this process does not, it shuts, and opens again."""
    source = Source()
    known = source.revocations()
    with structlog.testing.capture_logs() as logs:
        await known.start()
        source.error = TimeoutError()
        looks = len(source.asked)
        await until(lambda: len(source.asked) > looks + 20)
        assert not known.is_shut, "nobody reaches it: nobody can be let go, and sales go on"
        source.marks = {0: 2}
        await until(lambda: known.is_shut)
        source.error = None
        await until(lambda: not known.is_shut)
        await known.close()
    assert ["read_revocations", "revocations_unknown", "read_revocations_again"] == [
        line["action"] for line in logs
    ]


@pytest.mark.usefixtures("hasty")
async def test_f71_back_for_all_at_once() -> None:
    """F71: a persister that has PostgreSQL back a moment earlier shuts nobody."""
    source = Source()
    known = source.revocations()
    with structlog.testing.capture_logs() as logs:
        await known.start()
        source.error = OSError("away")
        looks = len(source.asked)
        await until(lambda: len(source.asked) > looks + 20)
        source.marks, source.error = {0: 2}, None
        looks = len(source.asked)
        await until(lambda: len(source.asked) > looks + 2)
        await known.close()
    assert "revocations_unknown" not in [line["action"] for line in logs]


@pytest.mark.usefixtures("hasty")
async def test_what_no_token_can_be_of_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is bounded by the life of tokens; PostgreSQL is tidied too."""
    monkeypatch.setattr(module, "TIDY_INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "MARGIN_S", 0)
    monkeypatch.setattr(module, "LEEWAY_S", 0)
    source = Source()
    known = source.revocations(ttl_s=0)
    source.found = [(1, [Over(USER, 1), Over(SESSION, GONE)])]
    await known.start()
    await until(lambda: not known._over and source.tidied > 1)
    assert {} == known._heard_at
    await known.close()


@pytest.fixture
async def connection(world: World) -> AsyncIterator[asyncpg.Connection]:
    """Connect for a transaction that stays open."""
    made = await asyncpg.connect(world.database_url)
    yield made
    await made.close()


async def test_none_is_missed_that_commits_late(
    world: World, connection: asyncpg.Connection
) -> None:
    """A revocation of a transaction that began before a look, and ended behind it, is found."""
    made = [await users_row(world) for _ in range(2)]
    update = "UPDATE users SET token_version = token_version + 1 WHERE id = $1"
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(update, made[0])
    await world.database.execute(update, made[1])  # Begun later, committed earlier.
    xmin, found = await rows.since(world.database, 0, age_s=3_600)
    assert {made[1]} == {over.subject for over in found} & set(made)
    await transaction.commit()
    _, found = await rows.since(world.database, xmin, age_s=3_600)
    assert Over(made[0], 1) in found


async def users_row(world: World) -> str:
    """Make an account; return its id."""
    own = new_id("usr")
    await world.database.execute(
        "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $1 || '@x.yz', 'N', 'x')",
        own,
    )
    return own


async def test_s4_every_hand_ends_tokens(world: World, connection: asyncpg.Connection) -> None:
    """S4: roles, organizers, versions, accounts, sessions: whoever changes them ends tokens."""
    own = await users_row(world)
    organizer = new_id("org")
    await connection.execute("INSERT INTO organizers (id, name) VALUES ($1, 'O')", organizer)
    session = new_id("ses")
    await connection.execute(
        "INSERT INTO sessions (id, user_id, method, family_hash, token_hash, salt, expires_at) "
        "VALUES ($1, $2, 'password', convert_to($1::text, 'UTF8'), '', '', 'infinity')",
        session,
        own,
    )
    of = "SELECT subject, version FROM revocations WHERE subject = ANY ($1) ORDER BY id"

    async def noted() -> list[tuple[str, int]]:
        return [tuple(row) for row in await connection.fetch(of, [own, session])]

    expected: list[tuple[str, int]] = []
    # Who is made more needs no new token.
    for change, version in (
        ("role = 'staff', organizer_id = '" + organizer + "'", 0),
        ("role = 'organizer'", 0),
        ("role = 'staff'", 1),
        ("role = 'user', organizer_id = NULL", 2),
        ("token_version = 9", 9),
    ):
        await connection.execute(f"UPDATE users SET {change} WHERE id = $1", own)  # noqa: S608
        expected += [(own, version)] if version else []
        assert expected == await noted(), change
    for change in ("name = 'Other'", "password_hash = 'y'", "language = 'de'", "role = 'user'"):
        await connection.execute(f"UPDATE users SET {change} WHERE id = $1", own)  # noqa: S608
    assert expected == await noted()
    await connection.execute("DELETE FROM users WHERE id = $1", own)
    assert {(own, GONE), (session, GONE)} == set(await noted()) - set(expected)
    assert 0 == await connection.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", own)


async def test_s4_all_accounts_at_once(world: World, connection: asyncpg.Connection) -> None:
    """S4: so does emptying the table."""
    own = await users_row(world)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("TRUNCATE users CASCADE")
    found = await connection.fetchval("SELECT version FROM revocations WHERE subject = $1", own)
    await transaction.rollback()
    assert found == GONE


async def test_f71_a_process_that_is_shut(world: World, serve: Serve, event: Event) -> None:
    """F71, S4: a process that does not know who was let go reads, and changes nothing."""
    async with serve() as other:
        token = other.token()
        known = other.client.app[SERVICES].revocations
        await known.close()
        known.is_shut = True
        for answer in (
            await other.book(event, token),
            await other.call("PATCH", "/v1/me", token=token, json={"name": "N"}),
            await other.call("POST", "/v1/tickets/x/transfer", token=token, json={}),
        ):
            check_problem(answer, 503, "database_unavailable")
            assert "1" == answer.headers["Retry-After"]
        assert 200 == (await other.call("GET", "/v1/bookings", token=token)).status
        assert 200 == (await other.call("GET", f"/v1/events/{event['id']}")).status
        assert 201 == (await world.book(event, token)).status


async def test_f24_f71_sales_go_on_without_postgresql(
    serve: Serve, event: Event, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24, F71: while PostgreSQL is away for all, nobody is shut, however long it takes."""
    monkeypatch.setattr(module, "LOOK_INTERVAL_S", 0.05)
    monkeypatch.setattr(module, "BLIND_AFTER_S", 0.1)
    async with serve() as other:
        token = other.token()
        assert 201 == (await other.book(event, token, key="before")).status
        await other.settle()
        known = other.client.app[SERVICES].revocations
        looks: list[float] = []
        ask_around = known._ask_around

        async def counted() -> None:
            await ask_around()
            looks.append(known._looked_at)

        monkeypatch.setattr(known, "_ask_around", counted)
        postgres.stop()
        try:
            await until(lambda: len(looks) > 10)
            assert 201 == (await other.book(event, token, key="meanwhile")).status
            assert not known.is_shut
        finally:
            postgres.start()
        await until(lambda: known._looked_at > looks[-1])
