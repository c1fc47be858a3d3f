"""
The container files: valid, of one mind with the embedded servers, and with real settings only.

There is no engine here to run them; what can be read is checked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import acl
from evently.embedded.config import POSTGRES_CONFIG, VALKEY_CONFIG
from evently.settings import DATABASE_PASSWORDS, ENV_PREFIX, REDIS_PASSWORDS, Settings
from tests.test_tidy import ROOMS

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {
    *("redis", "postgres", "migrate", "coordinator", "persister", "sweeper", "notifier", "api")
}


@pytest.fixture
def compose() -> dict[str, Any]:
    """Read docker-compose.yml."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_no_key_stands_twice() -> None:
    """Compose refuses a mapping with a key twice, where PyYAML takes the last one in silence."""
    waiting = [yaml.compose((ROOT / "docker-compose.yml").read_text(), Loader=yaml.SafeLoader)]
    for node in waiting:
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            assert len(set(names)) == len(names), f"twice, near line {node.start_mark.line + 1}"
            waiting += [value for _, value in node.value]


def test_services(compose: dict[str, Any]) -> None:
    """All services are there and every named volume is declared."""
    used = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }

    assert SERVICES == set(compose["services"])
    assert used == set(compose["volumes"])


@pytest.mark.parametrize(
    ("service", "config"), [("redis", VALKEY_CONFIG), ("postgres", POSTGRES_CONFIG)]
)
def test_servers_take_the_shared_settings(
    compose: dict[str, Any], service: str, config: Path
) -> None:
    """The file that the embedded server reads is mounted and named in the command."""
    mounts = dict(
        volume.split(":")[:2]
        for volume in compose["services"][service]["volumes"]
        if volume.startswith("./")
    )

    inside = mounts["./" + str(config.relative_to(ROOT))]
    assert config.is_file()
    assert any(word.endswith(inside) for word in compose["services"][service]["command"])


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_command_line_weakens_no_promise(compose: dict[str, Any], service: str) -> None:
    """What a container adds on its command line is about paths and access alone."""
    command = " ".join(compose["services"][service]["command"])
    added = set(re.findall(r"--([a-z-]+)|-c ([a-z_]+)=", command))

    allowed = {"dir", "port", "aclfile", "protected-mode", "config_file", "listen_addresses"}
    assert set() == {one or other for one, other in added} - allowed


@pytest.mark.parametrize(
    ("config", "promises"),
    [
        (
            VALKEY_CONFIG,
            [
                "appendonly yes",
                "appendfsync always",
                "no-appendfsync-on-rewrite no",
                "aof-load-truncated yes",
                "maxmemory-policy noeviction",
                "propagation-error-behavior panic",
            ],
        ),
        (
            POSTGRES_CONFIG,
            [
                "fsync = on",
                "full_page_writes = on",
                "synchronous_commit = on",
                "data_sync_retry = off",
            ],
        ),
    ],
)
def test_promises(config: Path, promises: list[str]) -> None:
    """Each durable setting stands in its shared file, once."""
    lines = config.read_text().splitlines()

    assert [1] * len(promises) == [lines.count(promise) for promise in promises]


def test_redis_users(compose: dict[str, Any]) -> None:
    """The users of the container are those of `engine.acl`, with the passwords of the roles."""
    words = {role: f">${{EVENTLY_REDIS_{role.upper()}_PASSWORD:?set it}}" for role in acl.ROLES}

    assert acl.file(words) == compose["configs"]["redis_users"]["content"].replace("$$", "$")
    mount = {"source": "redis_users", "target": "/etc/valkey/users.acl"}
    assert [mount] == compose["services"]["redis"]["configs"]
    assert mount["target"] in compose["services"]["redis"]["command"]


@pytest.mark.parametrize("role", acl.ROLES)
def test_s36_each_part_has_its_own_secrets(compose: dict[str, Any], role: str) -> None:
    """A container is given the password of its role and of no other."""
    given = compose["services"][role]["environment"]

    own = {name for name in given if "PASSWORD" in name and not name.endswith(("_MAX", "_MS"))}
    assert {f"EVENTLY_{one}_{role.upper()}_PASSWORD" for one in ("REDIS", "DATABASE")} == own
    keys = {name for name in given if name.endswith(("_SECRET", "_KEY"))}
    of_api = {"EVENTLY_JWT_SECRET", "EVENTLY_TICKET_SIGNING_KEY", "EVENTLY_WEBHOOK_KEY"}
    of_api |= {"EVENTLY_APPLE_PASS_KEY"}
    expected = of_api if role == "api" else set()
    assert expected == keys
    assert "@" not in given["EVENTLY_DATABASE_URL"], "that of the owner"


def test_commands_need_no_installed_package(compose: dict[str, Any]) -> None:
    """The image has the sources and the libraries alone: no script, no version to look up."""
    for service in SERVICES - {"redis", "postgres"}:
        python, flag, module = compose["services"][service]["command"][:3]
        assert ("python", "-m", True) == (python, flag, (ROOT / module / "__main__.py").exists())
    asking = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert [] == [path for path in asking if "importlib.metadata" in path.read_text()]


def test_environment_names_are_settings(compose: dict[str, Any]) -> None:
    """Every EVENTLY_ variable of a container, and every one it is filled from, is a setting."""
    text = (ROOT / "docker-compose.yml").read_text()
    known = {ENV_PREFIX + field.upper() for field in Settings.__struct_fields__}

    named = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith(ENV_PREFIX)
    }
    assert named
    assert set() == (named | set(re.findall(r"\bEVENTLY_[A-Z_]+", text))) - known


def test_containers_get_valid_settings(compose: dict[str, Any]) -> None:
    """With its placeholders filled, the API's environment is a valid configuration."""
    given = {
        name: re.sub(r"\$\{[^}]*\}", "x" * 43, str(value or ""))
        for name, value in compose["services"]["api"]["environment"].items()
    }

    settings = Settings.from_env(given)

    assert ("production", 1) == (settings.environment, settings.shards)


def test_env_file_reaches_the_containers(compose: dict[str, Any]) -> None:
    """A setting in `.env` counts in containers too, unless a container settles it."""
    own = "environment data_dir redis_url database_url http_host http_port shards api_processes"
    own += " mailbox_dir sample"  # Of a development machine.
    secrets = "jwt_secret ticket_signing_key openid_client_secrets smtp_url admin_email"
    secrets += " webhook_key vapid_keys apple_pass_key google_wallet_account"
    passed = set(Settings.__struct_fields__) - {
        *own.split(),
        *secrets.split(),
        *REDIS_PASSWORDS,
        *DATABASE_PASSWORDS,
    }

    for service in ("migrate", "coordinator", "persister", "sweeper", "notifier", "api"):
        given = compose["services"][service]["environment"]
        named = {name for name, value in given.items() if value is None}
        of = {
            "api": {
                *("openid_client_secrets", "webhook_key"),
                *("apple_pass_key", "google_wallet_account"),
            },
            "notifier": {"smtp_url", "webhook_key", "vapid_keys"},
        }
        secret = of.get(service, set())
        assert {ENV_PREFIX + field.upper() for field in passed | secret} == named
    assert ["${EVENTLY_HTTP_PORT:-8080}:8080"] == compose["services"]["api"]["ports"]


def test_one_persister_per_shard(compose: dict[str, Any]) -> None:
    """The shards of the settings and the persisters' command lines agree."""
    shards = {
        int(service["command"][service["command"].index("--shard") + 1])
        for service in compose["services"].values()
        if "persister" in service.get("command", [])
    }

    count = int(compose["services"]["api"]["environment"]["EVENTLY_SHARDS"])
    assert set(range(count)) == shards


def test_parts_wait_for_what_they_need(compose: dict[str, Any]) -> None:
    """Nothing that sells starts before the servers are healthy and the schema is current."""
    expected = {
        "redis": {"condition": "service_healthy"},
        "postgres": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }

    for name in ("coordinator", "persister", "api"):
        assert expected == compose["services"][name]["depends_on"]
    for name in ("redis", "postgres", "api"):
        assert "healthcheck" in compose["services"][name]


def test_image() -> None:
    """The image installs by hash and does not run as root."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert "RUN pip install --require-hashes -r requirements/runtime.txt" in lines
    assert "USER evently" in lines
