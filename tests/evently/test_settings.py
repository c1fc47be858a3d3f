"""
The settings: reading, bounds, relations, masking, and the example file.

`.env.example` must say the same as `Settings`, in both directions.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from evently import settings as settings_module
from evently.settings import ENV_PREFIX, RUNNING_FILE, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {
    ENV_PREFIX + field.name.upper(): str(field.default)
    for field in msgspec.structs.fields(Settings)
}


def documented() -> dict[str, str]:
    """Return the `#:` comment of every field, read from the source."""
    source = Path(settings_module.__file__).read_text()
    found = re.findall(r"((?:    #: .*\n)+)    (\w+):", source)
    return {
        ENV_PREFIX + field.upper(): re.sub(r" *#: ", " ", comment).strip().replace("\n ", "\n")
        for comment, field in found
        if field.islower()
    }


def example() -> dict[str, tuple[str, str]]:
    """Return comment and value of every variable in `.env.example`."""
    text = (ROOT / ".env.example").read_text()
    found = re.findall(r"((?:# .*\n)+)([A-Z_]+)=(.*)\n", text)
    return {
        name: ("\n".join(line.removeprefix("# ") for line in comment.splitlines()), value)
        for comment, name, value in found
    }


def test_example_names_every_setting_and_no_other() -> None:
    """The example file has exactly the settings, in their order, with their defaults."""
    lines = [
        line.partition("=")
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert list(DEFAULTS.items()) == [(name, value) for name, _, value in lines]


def test_example_explains_as_the_source_does() -> None:
    """Every setting has a `#:` comment, and the example file repeats it."""
    expected = documented()

    assert set(DEFAULTS) == set(expected)
    assert expected == {name: comment for name, (comment, _) in example().items()}


def test_example_is_readable_as_settings() -> None:
    """The example file, taken as it is, gives the defaults."""
    assert Settings() == Settings.from_env({name: value for name, (_, value) in example().items()})


def test_round_trip_through_the_environment() -> None:
    """A child that is given `to_env()` has the same settings."""
    settings = Settings(shards=3, redis_url="redis://a,redis://b", jwt_secret="s" * 32)

    assert settings == Settings.from_env(settings.to_env())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EVENTLY_SHARDS", "0"),
        ("EVENTLY_HTTP_PORT", "http"),
        ("EVENTLY_ENVIRONMENT", "staging"),
        ("EVENTLY_JWT_SECRET", "short"),
        ("EVENTLY_SHARD", "1"),
        ("EVENTLY_REDIS_URL", "redis://a,redis://b"),
        ("EVENTLY_DURABILITY", "replicated"),
        ("EVENTLY_RECEIPTS", "maybe"),
    ],
)
def test_bad_value_names_its_variable(variable: str, value: str) -> None:
    """A bad or misspelt setting is refused with the name of its variable."""
    with pytest.raises(SettingsError, match=variable):
        Settings.from_env({variable: value})


def test_secrets_are_masked() -> None:
    """Neither `repr` nor `masked` shows a key or a password."""
    settings = Settings(
        jwt_secret="top-secret-" * 4,
        redis_url="redis://me:hidden@host/0",
        database_url="postgresql://me:hidden@host/db",
    )

    assert "redis://me:********@host/0" == settings.masked()["redis_url"]
    assert [False, False] == [word in repr(settings) for word in ("top-secret", "hidden")]


def test_running_service_fills_what_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command in another terminal finds the servers; its own settings go first."""
    noted = {"redis_url": "unix:///r", "database_url": "postgresql:///d", "jwt_secret": "n" * 32}
    (tmp_path / RUNNING_FILE).write_bytes(msgspec.json.encode({**noted, "pid": 1}))
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVENTLY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EVENTLY_REDIS_URL", "redis://own")

    settings = Settings.load()

    assert ("redis://own", "postgresql:///d", "n" * 32) == (
        settings.redis_url,
        settings.database_url,
        settings.jwt_secret,
    )
