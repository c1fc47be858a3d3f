"""Who may do what on Redis: exactly what each role needs (S24, F23)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from engine import acl, keys, reads
from engine.ids import new_id
from engine.linker import source
from engine.redis_client import connect
from engine.values import WaitEntry, member
from engine.verbs import VERBS
from engine.waitlist import Position, placed
from evently.embedded import ValkeyServer
from tests.checks import ask
from tests.conftest import PASSWORDS, TIMEOUT_MS, role_url

#: Over a unix socket redis-py makes a failed login a failed connection, so its words must do.
REFUSED = "Authentication required|invalid username-password"


#: Calls that no role but the coordinator may make.
FORBIDDEN = (
    "eval x 0|eval_ro x 0|script load x|script flush|function load x|flushall|flushdb|"
    "config set appendonly no|config rewrite|replicaof no one|debug sleep 0|shutdown|"
    "acl setuser x|client kill 1|keys *|scan 0|del {s0}:meta|unlink {s0}:meta|"
    "rename {s0}:meta {s0}:x|swapdb 0 1|save|restore {s0}:x 0 y|migrate h 1 k 0 1|failover|"
    "module load x|monitor"
)


@pytest.fixture(scope="module")
def guarded(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey with users."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), passwords=PASSWORDS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def coordinator(guarded: ValkeyServer) -> AsyncIterator[Redis]:
    """Log in as the coordinator."""
    client = log_in(guarded, "coordinator")
    yield client
    await client.aclose()


def log_in(server: ValkeyServer, role: str) -> Redis:
    """Make a client of a role."""
    return connect(role_url(server, role), timeout_ms=TIMEOUT_MS)


def called(*names: str) -> set[str]:
    """Return the commands that scripts call, their parts included."""
    found: set[str] = set()
    for name in names:
        text = source(name)
        calls = re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text)
        # Whatever else a script may call must be seen here too.
        others = len(re.findall(r"redis\.p?call\(", text)) - len(calls)
        assert others == text.count("local function write_rows(")
        found |= {*calls, *re.findall(r"write_rows\(\s*'([A-Z]+)'", text)}
    return {name.lower() for name in found}


def test_roles_may_run_their_scripts() -> None:
    """The rights of each role cover the scripts that it calls, and the list names no other."""
    commands = {
        role: called(*(verb.name for verb in VERBS.values() if role in verb.roles.split()))
        for role in acl.COMMANDS
    }
    assert [] == [role for role in commands if not commands[role] <= set(acl.COMMANDS[role])]
    assert commands["api"] | commands["sweeper"] == set(acl.SCRIPTS)


async def test_each_role_may_do_what_it_needs(coordinator: Redis) -> None:
    """A server with the generated file lacks nothing."""
    assert [] == await acl.drift(coordinator)


async def test_f23_api_reads_waitlists_as_its_user(
    guarded: ValkeyServer, coordinator: Redis
) -> None:
    """F23: what the API reads beside the scripts, it may read: where each entry stands."""
    names, ids = keys.event(0, new_id("evt")), [new_id("wl") for _ in range(2)]
    for number, own_id in enumerate(ids, start=1):
        entry = WaitEntry("waiting", 1, 1, number, 1, "usr", "f", 1, 3, f"{number:012}", 0, 1, 1, 1)
        await coordinator.hset(names.entries, own_id, " ".join(map(str, entry)))
        await coordinator.zadd(names.waitlist, {member(own_id, entry): 0})
    api = log_in(guarded, "api")
    rows = dict(zip(ids, await ask(api, "HMGET", names.entries, *ids), strict=True))
    found = await placed(partial(reads.ask, api), names, rows)
    assert [Position(1, 0), Position(2, 3)] == [found[own_id][1] for own_id in ids]
    await api.aclose()


async def test_server_without_users_has_no_drift(redis: Redis) -> None:
    """A Redis of one's own without these users is left alone."""
    assert [] == await acl.drift(redis)


@pytest.mark.parametrize("role", acl.COMMANDS)
async def test_s24_each_role_may_do_nothing_else(coordinator: Redis, role: str) -> None:
    """S24: of all commands of the server, a role may send its own; no EVAL, SCRIPT, FLUSHALL."""
    user = await ask(coordinator, "ACL GETUSER", role)
    granted = {*user["commands"], *user["categories"]}
    expected = {f"+{command}" for command in (*acl.CONNECTION, *acl.COMMANDS[role])}
    assert {"-@all", *expected} == granted
    for words in FORBIDDEN.split("|"):
        answer = await ask(coordinator, "ACL DRYRUN", role, *words.split())
        assert b"no permissions" in answer, words
    outside = await ask(coordinator, "ACL DRYRUN", role, "hmget", "secrets", "f")
    assert b"no permissions" in outside


async def test_s24_nobody_gets_in_without_a_password(guarded: ValkeyServer) -> None:
    """The default user is off, and a wrong password is no password."""
    stranger = connect(guarded.url, timeout_ms=TIMEOUT_MS)
    with pytest.raises(RedisConnectionError, match=REFUSED):
        await stranger.ping()
    await stranger.aclose()
    scheme, _, path = guarded.url.partition("://")
    liar = connect(f"{scheme}://api:wrong@{path}", timeout_ms=TIMEOUT_MS)
    with pytest.raises(RedisConnectionError, match=REFUSED):
        await liar.ping()
    await liar.aclose()


async def test_f23_drift_is_named(coordinator: Redis) -> None:
    """F23: a right that a role has lost is named with the role."""
    await ask(coordinator, "ACL SETUSER", "sweeper", "-zrem", "resetkeys", "~other:*")
    found = await acl.drift(coordinator)
    await ask(coordinator, "ACL LOAD")
    assert {"user sweeper"} == {finding.setting for finding in found}
    assert any("zrem" in finding.value for finding in found)
    assert any("access the" in finding.value for finding in found)
    assert [] == await acl.drift(coordinator)
