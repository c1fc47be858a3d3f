"""The config guard alone: what a server says of itself, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from engine import guard, porter
from engine.durability import Durability
from engine.guard import Facts, User, facts, judge, read_info
from evently.embedded import ValkeyServer
from evently.embedded.config import VALKEY_CONFIG

GOOD = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "yes",
    "maxmemory": "1000",
    "maxmemory-policy": "noeviction",
    "propagation-error-behavior": "panic",
    "enable-debug-command": "no",
    "min-replicas-to-write": "0",
    "min-replicas-max-lag": "10",
}
SAFE_USER = User(flags=("off",), commands="+@all", keys="~*", channels="&*")


def server(
    product: str = "valkey",
    version: guard.Version = (9, 1, 2),
    default_user: User | None = None,
    **config: str,
) -> Facts:
    """Describe a good server, but for what is given."""
    merged = GOOD | {name.replace("_", "-"): value for name, value in config.items()}
    return Facts(
        product=product,
        version=version,
        role="master",
        run_id="r",
        replid="h",
        config=merged,
        default_user=default_user,
    )


def names(found: list[guard.Finding]) -> list[str]:
    """Return the settings of those findings that refuse."""
    return [finding.setting for finding in found if finding.refuses]


@pytest.mark.parametrize("level", ["memory", "fsync", "database"])
def test_good_server(level: Durability) -> None:
    """A server that is configured as it must be has nothing against it."""
    assert [] == judge(server(default_user=SAFE_USER), level)


async def test_shared_settings_pass(redis: Redis) -> None:
    """The server that runs with deploy/redis/valkey.conf passes, and knows every setting."""
    found = await porter.examine_server(redis, users=True)
    assert set(guard.SETTINGS) == set(found.config), VALKEY_CONFIG
    assert [] == names(judge(found, "fsync"))
    assert ("master", 40, 40) == (found.role, len(found.run_id), len(found.replid))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("no_appendfsync_on_rewrite", "yes"),
        ("aof_load_truncated", "no"),
        ("maxmemory", "0"),
        ("maxmemory_policy", "allkeys-lru"),
        ("propagation_error_behavior", "ignore"),
        ("propagation_error_behavior", None),
        ("enable_debug_command", "local"),
    ],
)
def test_each_setting_refuses(setting: str, value: str | None) -> None:
    """Each setting that is wrong, or unknown, refuses alone and names itself and the remedy."""
    config = {name: text for name, text in GOOD.items() if name != setting.replace("_", "-")}
    if value is not None:
        config[setting.replace("_", "-")] = value
    [finding] = judge(replace(server(), config=config), "fsync")
    name = setting.replace("_", "-")
    assert (name, True) == (finding.setting, finding.refuses)
    assert f"set `{name} " in finding.fix
    assert finding.why


def test_level_memory_takes_everysec() -> None:
    """Who promises memory alone may sync once a second, but not never."""
    assert [] == judge(server(appendfsync="everysec"), "memory")
    assert ["appendfsync"] == names(judge(server(appendfsync="no"), "memory"))


def test_f11_level_replicated_needs_replicas() -> None:
    """F11: who promises a replica needs a server that refuses without one."""
    wanted = ["min-replicas-to-write", "min-replicas-max-lag"]
    assert wanted == names(judge(server(), "replicated"))
    good = server(min_replicas_to_write="1", min_replicas_max_lag="2")
    assert [] == judge(good, "replicated")


@pytest.mark.parametrize(
    ("product", "version", "refuses"),
    [
        ("redis", (6, 2, 20), True),
        ("redis", (7, 0, 15), False),
        ("redis", (7, 4, 5), False),
        ("redis", (7, 4, 6), None),
        ("redis", (8, 6, 0), None),
        ("valkey", (7, 2, 11), True),
        ("valkey", (8, 0, 5), False),
        ("valkey", (8, 1, 4), None),
        ("valkey", (9, 0, 0), None),
    ],
)
def test_s24_versions_with_known_bugs(
    product: str, version: guard.Version, refuses: bool | None
) -> None:
    """Too old a server refuses; one with unpatched Lua is advised against; the rest pass."""
    found = judge(server(product, version), "fsync")
    assert refuses == (found[0].refuses if found else None)


@pytest.mark.parametrize("version", [(7, 4, 0), (7, 4, 2)])
def test_early_waitaof_is_told(version: guard.Version) -> None:
    """Versions whose WAITAOF answers too early are named."""
    assert any("WAITAOF" in finding.why for finding in judge(server("redis", version), "fsync"))


@pytest.mark.parametrize(
    "user",
    [
        User(flags=("off",), commands="-@all", keys="", channels=""),
        User(flags=("on", "nopass"), commands="-@all +auth", keys="~*", channels="&*"),
        User(flags=("off",), commands="+@all", keys="~app:*", channels="&*"),
        User(flags=("off",), commands="+@all -debug", keys="~*", channels="&*"),
    ],
)
def test_f7_default_user_without_rights(user: User) -> None:
    """F7: a default user that may not do all refuses, but where replay is known to be safe."""
    [finding, *_] = judge(server("redis", (7, 4, 6), default_user=user), "fsync")
    assert ("user default", True) == (finding.setting, finding.refuses)
    assert "user default off >RANDOM ~* &* +@all" in finding.fix
    assert [] == names(judge(server(default_user=user), "fsync"))


def test_f10_f12_replica_refuses() -> None:
    """F10, F12: a replica is no place to sell from."""
    assert ["role"] == names(judge(replace(server(), role="slave"), "fsync"))


def test_info_is_read() -> None:
    """Product and version are those of Valkey, not the Redis version that it claims to be like."""
    info = read_info(
        "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"
        "run_id:abc\r\n\r\n# Replication\r\nrole:master\r\nmaster_replid:def\r\n"
    )
    told = facts(info, {})
    assert ("valkey", (9, 1, 2), "master", "abc", "def") == (
        told.product,
        told.version,
        told.role,
        told.run_id,
        told.replid,
    )
    assert ("redis", (7, 0, 15)) == (
        (old := facts({"redis_version": "7.0.15"}, {})).product,
        old.version,
    )


async def test_unreadable_configuration_refuses(valkey: ValkeyServer, redis: Redis) -> None:
    """Who may not read the configuration cannot vouch for it."""
    await redis.execute_command(  # type: ignore[no-untyped-call]
        "ACL SETUSER", "blind", "on", ">x", "~*", "+@all", "-config"
    )
    blind = Redis.from_url(valkey.url, username="blind", password="x")
    with pytest.raises(porter.UnsafeServer, match="CONFIG GET"):
        await porter.examine_server(blind)
    await blind.aclose()
