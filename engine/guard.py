"""
The config guard for Redis: what a server must be told for an acknowledged booking to stay.

Pure: takes what the server says of itself (`Facts`) and returns what is wrong with it, each with
the reason and the remedy (docs/RELIABILITY.md; F7, F16 to F20). A finding that `refuses` keeps a
process from serving; the others are for `evently doctor`. Reading the facts is `engine.porter`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.durability import Durability

Version = tuple[int, ...]

#: Oldest servers that forget their scripts at a restart and never replicate them (F4, F15).
VERSION_MIN: Mapping[str, Version] = {"redis": (7, 0, 0), "valkey": (8, 0, 0)}
#: First versions of which a default user without rights is known to do no harm at replay (F7).
REPLAY_SAFE: Mapping[str, Version] = {"redis": (8, 6, 0), "valkey": (9, 1, 2)}
#: By release series, the first version with a patched Lua (CVE-2025-49844, -46817, -46818; the
#: older CVE-2024-46981 and -31449 with it). Series not named have it from their first release.
LUA_PATCHED: Mapping[str, Mapping[Version, Version | None]] = {
    "redis": {
        (7, 0): None,
        (7, 2): (7, 2, 11),
        (7, 4): (7, 4, 6),
        (8, 0): (8, 0, 4),
        (8, 2): (8, 2, 2),
    },
    "valkey": {(8, 0): (8, 0, 6), (8, 1): (8, 1, 4)},
}
#: Versions whose WAITAOF answers too early where the log is synced once a second.
WAITAOF_EARLY = ((7, 4, 0), (7, 4, 3))

#: Setting -> (values that will do, why); the first value is the remedy.
_NEEDED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "appendonly": (("yes",), "without its log Redis comes back empty (F6)"),
    "appendfsync": (("always",), "else a power cut or a full disk takes acknowledged bookings"),
    "no-appendfsync-on-rewrite": (("no",), "else nothing is synced while the log is rewritten"),
    "aof-load-truncated": (("yes",), "a torn last write was never acknowledged; start without it"),
    "maxmemory-policy": (("noeviction",), "any other policy deletes keys, and what was sold"),
    "propagation-error-behavior": (
        ("panic",),
        "a record that does not replay must stop the start, not be skipped (F7)",
    ),
    "enable-debug-command": (("no",), "DEBUG can reload, stop and lose"),
}
#: At level `replicated`: setting -> (least, most, why).
_REPLICATED: Mapping[str, tuple[int, int, str]] = {
    "min-replicas-to-write": (1, 1_000, "a master without a replica must not take bookings (F11)"),
    "min-replicas-max-lag": (1, 2, "a replica that hangs must count as gone within 2 s (F11)"),
}
#: Every setting to ask for; all that the judgement needs, in one call.
SETTINGS = (*_NEEDED, "maxmemory", *_REPLICATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A user of the server's ACL, as ACL GETUSER tells of it."""

    flags: tuple[str, ...] = ()
    commands: str = ""
    keys: str = ""
    channels: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a server says of itself."""

    #: `redis` or `valkey`.
    product: str
    version: Version
    role: str
    run_id: str
    replid: str
    #: CONFIG GET of `SETTINGS`; a name that the server does not know is absent.
    config: Mapping[str, str] = field(default_factory=dict)
    #: The default user; None if it was not asked for.
    default_user: User | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    setting: str
    value: str
    must_be: str
    why: str
    fix: str
    #: Whether a process must not serve like this; if not, it is advice.
    refuses: bool = True

    def __str__(self) -> str:
        return f"{self.setting} is {self.value!r}, must be {self.must_be} ({self.fix})"


def read_info(text: str) -> dict[str, str]:
    """Read the reply of INFO: `name:value` lines."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in lines if name}


def facts(
    info: Mapping[str, str], config: Mapping[str, str], default_user: User | None = None
) -> Facts:
    """Make facts of INFO's sections `server` and `replication`, and CONFIG GET."""
    is_valkey = info.get("server_name") == "valkey"
    number = info.get("valkey_version" if is_valkey else "redis_version", "")
    return Facts(
        product="valkey" if is_valkey else "redis",
        version=tuple(int(part) for part in re.findall(r"\d+", number)[:3]),
        role=info.get("role", ""),
        run_id=info.get("run_id", ""),
        replid=info.get("master_replid", ""),
        config=config,
        default_user=default_user,
    )


def judge(facts: Facts, level: Durability) -> list[Finding]:
    """Return what is wrong with a server on which answers promise *level*, worst first."""
    found = [*_version(facts), *_role(facts), *_settings(facts, level)]
    found += _default_user(facts)
    return sorted(found, key=lambda finding: not finding.refuses)


def version_text(facts: Facts) -> str:
    """Return the server's name and version, such as `valkey 9.1.2`."""
    return f"{facts.product} {'.'.join(str(part) for part in facts.version)}"


def _version(facts: Facts) -> list[Finding]:
    found = []
    least = VERSION_MIN[facts.product]
    if facts.version < least:
        found.append(
            Finding(
                setting="version",
                value=version_text(facts),
                must_be=f"{_dotted(least)} or later",
                why="older servers hand scripts on, so that a restart would go unnoticed",
                fix="upgrade the server",
            )
        )
    patched = LUA_PATCHED[facts.product].get(facts.version[:2], facts.version)
    if patched is None or facts.version < patched:
        found.append(
            Finding(
                setting="version",
                value=version_text(facts),
                must_be="a release with patched Lua" if patched is None else _dotted(patched),
                why="CVE-2025-49844, -46817, -46818: whoever may send scripts may take the server",
                fix="upgrade, or make sure that your distribution has patched this version",
                refuses=False,
            )
        )
    first, fixed = WAITAOF_EARLY
    if facts.product == "redis" and first <= facts.version < fixed:
        found.append(
            Finding(
                setting="version",
                value=version_text(facts),
                must_be=f"{_dotted(fixed)} or later",
                why="its WAITAOF answers too early unless appendfsync is always",
                fix="upgrade the server",
                refuses=False,
            )
        )
    return found


def _role(facts: Facts) -> list[Finding]:
    if facts.role == "master":
        return []
    return [
        Finding(
            setting="role",
            value=facts.role,
            must_be="master",
            why="a replica takes no bookings, and what it has may be old (F10, F12)",
            fix="point EVENTLY_REDIS_URL at the master",
        )
    ]


def _settings(facts: Facts, level: Durability) -> list[Finding]:
    found = []
    for name, (values, why) in _NEEDED.items():
        if level == "memory" and name == "appendfsync":
            values = ("everysec", "always")  # noqa: PLW2901  What this level promises less.
        value = facts.config.get(name)
        if value not in values:
            found.append(_setting(name, value, " or ".join(map(repr, values)), values[0], why))
    if not int(facts.config.get("maxmemory") or 0):
        why = "without a bound the kernel ends Redis instead of Redis refusing a write (F16)"
        found.append(_setting("maxmemory", facts.config.get("maxmemory"), "above 0", "2gb", why))
    for name, (least, most, why) in _REPLICATED.items() if level == "replicated" else ():
        value = facts.config.get(name)
        if not least <= int(value or 0) <= most:
            found.append(_setting(name, value, f"{least}..{most}", str(least), why))
    return found


def _setting(name: str, value: str | None, must_be: str, remedy: str, why: str) -> Finding:
    return Finding(
        setting=name,
        value="unknown to this server" if value is None else value,
        must_be=must_be,
        why=why,
        fix=f"set `{name} {remedy}` in the server's configuration file",
    )


def _default_user(facts: Facts) -> list[Finding]:
    user = facts.default_user
    if user is None:
        return []
    found = []
    if (
        "+@all" not in user.commands.split()
        or user.commands.split()[-1] != "+@all"
        or ("~*" not in user.keys or "&*" not in user.channels)
    ):
        found.append(
            Finding(
                setting="user default",
                value=f"{' '.join(user.flags)} {user.keys} {user.channels} {user.commands}",
                must_be="~* &* +@all, though off",
                why="the log is replayed as this user: without rights every script is lost (F7)",
                fix="ACL line: user default off >RANDOM ~* &* +@all",
                refuses=facts.version < REPLAY_SAFE[facts.product],
            )
        )
    if "on" in user.flags and "nopass" in user.flags:
        found.append(
            Finding(
                setting="user default",
                value="on nopass",
                must_be="off",
                why="whoever reaches the port may do anything",
                fix="use the users of `evently acl`, or a unix socket that only its owner may open",
                refuses=False,
            )
        )
    return found


def _dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)
