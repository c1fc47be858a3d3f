"""
An operator's day, in each deployment: accounts, keys, people's data, and who did what, each by the
one command that docs/OPERATIONS.md names for it, where it says that it runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shlex
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest

from evently import operators
from tests.api.world import new_event
from tests.evently.deployments import ROOT, Deployment, under_compose, under_up

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

BOSS, ANN, BOB = (f"{name}@example.org" for name in ("boss", "ann", "bob"))
PASSWORD = "correct horse battery"
LOGIN = {"email": BOB, "password": PASSWORD}
WHY = "letter of 3 May"
WAIT_MAX_S = 90.0
_HEAD = "| to | command | container |\n"
_ROW = re.compile(r"^\| ([^|]+) \| `evently ([^`|]+)`[^|]*\| `(\w+)` \|$", re.MULTILINE)


class Way(NamedTuple):
    """How a thing is done, as it is documented."""

    words: list[str]
    container: str


def documented() -> dict[str, Way]:
    """Read the table of docs/OPERATIONS.md."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    table = text.partition(_HEAD)[2].partition("\n\n")[0]
    return {what: Way(shlex.split(words), where) for what, words, where in _ROW.findall(table)}


class Operator:
    """Does what the table says, and looks at what has come of it as people see it."""

    def __init__(
        self, deployment: Deployment, web: aiohttp.ClientSession, owner: asyncpg.Connection
    ) -> None:
        self._deployment, self._web, self._owner = deployment, web, owner
        self._ways = documented()
        self.left = set(self._ways)

    async def do(self, what: str, **values: str) -> str:
        """Do a thing by its command; return what it prints."""
        way = self._ways[what]
        self.left.discard(what)
        words = [values.get(word, word) for word in way.words]
        code, text, log = await self._deployment.command(way.container, "evently", *words)
        assert 0 == code, f"{words}: {text}{log}"
        return text

    async def call(
        self, method: str, path: str, token: str = "", body: Any = None
    ) -> tuple[int, Any]:
        """Call the API; return status and body. Who is told to come back (503) does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self._deployment.base_url + path
        deadline_s = time.monotonic() + WAIT_MAX_S
        while True:
            async with self._web.request(method, url, json=body, headers=headers) as answer:
                text = await answer.text()
            if answer.status != 503 or time.monotonic() > deadline_s:
                return answer.status, json.loads(text) if text else None
            await asyncio.sleep(0.5)

    async def log_in(self, email: str, password: str = PASSWORD) -> str:
        """Log in; return the access token."""
        asked = {"email": email, "password": password}
        status, body = await self.call("POST", "/v1/auth/login", body=asked)
        assert 200 == status, body
        return str(body["access_token"])

    async def register(self, email: str) -> str:
        """Register as a person does, and open the letter; return the access token."""
        asked = {"email": email, "password": PASSWORD, "name": email.partition("@")[0].title()}
        status, body = await self.call("POST", "/v1/auth/register", body=asked)
        assert 201 == status, body
        letter = await self._owner.fetchval(
            "SELECT payload ->> 'token' FROM outbox WHERE payload ->> 'to' = $1", email
        )
        token = str(body["access_token"])
        status, body = await self.call("POST", "/v1/me/email/verify", token, {"token": letter})
        assert 200 == status, body
        return token

    def password(self) -> str:
        """Return the password that a command has left where nobody looks on."""
        return (self._deployment.data_path / "admin.password").read_text().strip()

    async def let_sign(self, kid: str) -> None:
        """Let the time pass until a key signs."""
        await self._owner.execute("UPDATE signing_keys SET signs_at = now() WHERE kid = $1", kid)

    async def until_out(self, token: str) -> None:
        """Wait until a token lets nobody in."""

        async def is_over() -> bool:
            return not await self.is_let_in(token)

        await self.until(is_over)

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait for what every process learns within a second; bounded, so that a failure ends."""
        deadline_s = time.monotonic() + WAIT_MAX_S
        while not await is_so():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.1)

    async def is_let_in(self, token: str) -> bool:
        """Tell whether a token is good."""
        status, body = await self.call("GET", "/v1/me", token)
        assert status in {200, 401}, body
        return status == 200

    async def count(self, text: str) -> int:
        """Return how many accounts have a text in their address or name."""
        statement = "SELECT count(*) FROM users WHERE email ILIKE $1 OR name ILIKE $1"
        return int(await self._owner.fetchval(statement, f"%{text}%"))


def key_of(token: str) -> str:
    """Return the id of the key that has signed a token."""
    head = token.partition(".")[0]
    kid = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return str(kid)


def test_the_table_is_read() -> None:
    """The table of the documentation has a row for each thing, by commands that there are."""
    ways = documented()
    assert len(ways) >= 10
    for way in ways.values():
        name = operators.command_of("evently", way.words)
        assert name in operators.COMMANDS, way.words


@pytest.mark.parametrize(
    "deployed", [pytest.param(under_compose, marks=pytest.mark.slow), under_up]
)
async def test_s36_s42_s43_an_operator_s_day(
    folder: Path, deployed: Callable[[Path], AbstractAsyncContextManager[Deployment]]
) -> None:
    """
    S36, S42, S43: with the rights that each part has, an operator makes an organizer, rotates keys,
    keeps somebody out, tells and erases a person, and reads who did what.
    """
    async with deployed(folder) as deployment, aiohttp.ClientSession() as web:
        owner = await asyncpg.connect(deployment.owner_url)
        try:
            await walk(Operator(deployment, web, owner))
        finally:
            await owner.close()


async def walk(operator: Operator) -> None:
    """Do all that the table names, one after the other."""
    before = await make_accounts(operator)
    await change_keys(operator, before)
    await keep_out(operator)
    person_id = await let_go(operator)
    await look_at_the_log(operator, person_id)
    assert set() == operator.left, "documented, and not tried"


async def make_accounts(operator: Operator) -> str:
    """Make an admin, and an organizer who sells; return the admin's token."""
    await operator.do("make an admin", E=BOSS)
    admin = await operator.log_in(BOSS, operator.password())
    assert 200 == (await operator.call("GET", "/v1/admin/users", admin))[0]
    await operator.register(ANN)
    house = (await operator.do("make an organizer", NAME="New House", E=ANN)).strip()
    organizer = await operator.log_in(ANN)
    status, made = await operator.call("POST", "/v1/events", organizer, new_event())
    assert (201, house) == (status, made["organizer_id"])
    listed = await operator.do("find an account", TEXT="ann@")
    assert (True, True) == (ANN in listed, house in listed)
    return admin


async def change_keys(operator: Operator, token: str) -> None:
    """Let nobody go by a new key, and by the end of the old one all."""
    before = key_of(token)
    assert before in await operator.do("list keys")
    new = (await operator.do("rotate keys")).partition(":")[0]
    await operator.let_sign(new)

    async def signs() -> bool:
        return key_of(await operator.log_in(ANN)) == new

    await operator.until(signs)
    assert await operator.is_let_in(token)
    await operator.do("end a key", KEY=before)
    await operator.until_out(token)


async def keep_out(operator: Operator) -> None:
    """Keep somebody out and let them in again; give back what they have missed."""
    token = await operator.register(BOB)
    await operator.do("revoke a user", E=BOB)
    await operator.until_out(token)
    assert 403 == (await operator.call("POST", "/v1/auth/login", body=LOGIN))[0]
    await operator.do("let a user in again", E=BOB)
    await operator.log_in(BOB)
    wrong = LOGIN | {"password": "wrong password"}
    tried = [(await operator.call("POST", "/v1/auth/login", body=wrong))[0] for _ in range(8)]
    assert (401, 429) == (tried[0], tried[-1]), tried
    await operator.do("lift somebody's limits", E=BOB, A="127.0.0.1")
    await operator.log_in(BOB)


async def let_go(operator: Operator) -> str:
    """Tell what is kept of somebody, and forget them; return their id."""
    told = json.loads(await operator.do("export a person", E=BOB))
    assert [BOB] == [row["email"] for row in told["tables"]["users"]]
    await operator.do("erase a person", E=BOB, WHY=WHY)
    assert 0 == await operator.count("bob")
    assert 401 == (await operator.call("POST", "/v1/auth/login", body=LOGIN))[0]
    await operator.do("take what was kept long enough")
    return str(told["person_id"])


async def look_at_the_log(operator: Operator, person_id: str) -> None:
    """Find all that was done, with who and from where, as an admin does over HTTP."""
    acts = [json.loads(line) for line in (await operator.do("read who did what")).splitlines()]
    own = [row for row in acts if row["actor"] == f"operator:{operators.own_name()}"]
    assert {
        *("account.create", "account.role", "organizer.create", "key.rotate", "key.retire"),
        *("account.disable", "account.enable", "limits.lift", "person.export", "person.erase"),
        "retention.run",
    } <= {row["act"] for row in own}
    assert [(person_id, WHY)] == [
        (row["subject"], row["why"]) for row in own if row["act"] == "person.erase"
    ]
    assert all(row["origin"].startswith("host ") for row in own)
    assert not any(email in str(acts) for email in (ANN, BOB, BOSS))
    assert "0 faults" in await operator.do("prove that log")
    admin = await operator.log_in(BOSS, operator.password())
    status, page = await operator.call("GET", "/v1/admin/audit?limit=50", admin)
    assert 200 == status
    assert [row["id"] for row in acts] == [row["id"] for row in page["data"]]
