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
from evently.settings import (
    ENV_FILE,
    ENV_PREFIX,
    RUNNING_FILE,
    SECRETS_OF,
    Settings,
    SettingsError,
    read_env_file,
)

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s" * 32
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
    """The example has exactly the settings, in their order, with their defaults; then Compose's."""
    given = {name: value for name, (_, value) in example().items()}

    assert list((DEFAULTS | {"POSTGRES_PASSWORD": ""}).items()) == list(given.items())


def test_example_explains_as_the_source_does() -> None:
    """Every setting has a `#:` comment, and the example file repeats it."""
    expected = documented()

    assert set(DEFAULTS) == set(expected)
    said = {name: comment for name, (comment, _) in example().items()}
    assert expected == {name: comment for name, comment in said.items() if name in expected}


def test_example_is_readable_as_settings() -> None:
    """The example file, taken as it is, gives the defaults."""
    assert Settings() == Settings.from_env(read_env_file(str(ROOT / ".env.example")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of one's own, where `.env` counts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENV_FILE)
    return tmp_path


def test_env_file_is_read_and_the_environment_wins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.env` fills what the environment leaves open, with the quotes and comments of such files."""
    (folder / ".env").write_text(
        "# ours\n\nexport EVENTLY_SHARDS=3\nEVENTLY_HTTP_PORT=1 # told\nEVENTLY_REPLICAS_MIN=\n"
        f"EVENTLY_JWT_SECRET='{SECRET}'\nPOSTGRES_PASSWORD=x\nEVENTLY_HTTP_HOST=lost\n"
    )
    monkeypatch.setenv("EVENTLY_HTTP_PORT", "2")
    monkeypatch.setenv("EVENTLY_HTTP_HOST", "")

    assert Settings(shards=3, http_port=2, jwt_secret=SECRET) == Settings.load()


def test_env_file_of_another_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EVENTLY_ENV_FILE names the file; one that is not there is told."""
    (folder / "other").write_text("EVENTLY_SHARDS=3\n")
    monkeypatch.setenv(ENV_FILE, "other")
    assert 3 == Settings.load().shards
    monkeypatch.setenv(ENV_FILE, "nowhere")
    with pytest.raises(SettingsError, match="EVENTLY_ENV_FILE: there is no nowhere"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nEVENTLY_SHARD=1\n", "line 2: EVENTLY_SHARD is not a setting"),
        ("EVENTLY_SHARDS=0\n", "EVENTLY_SHARDS"),
        ("EVENTLY_SHARDS\n", "line 1: not of the form"),
        ("EVENTLY_HTTP_HOST='open\n", "line 1: not of the form"),
    ],
)
def test_bad_env_file_is_told(folder: Path, text: str, told: str) -> None:
    """What is misspelt in `.env` is an error that says where, not a setting ignored."""
    (folder / ".env").write_text(text)
    with pytest.raises(SettingsError, match=told):
        Settings.load()


def test_env_file_is_private() -> None:
    """Neither git nor an image takes the file with the secrets."""
    for ignoring in (".gitignore", ".dockerignore"):
        assert ".env" in (ROOT / ignoring).read_text().splitlines()


def test_empty_secrets_are_named(folder: Path) -> None:
    """What a command needs and has not is named, each by its variable."""
    needed = Settings(data_dir=str(folder), redis_url="redis://a")
    with pytest.raises(SettingsError, match=r"^EVENTLY_DATABASE_URL, EVENTLY_JWT_SECRET: empty"):
        needed.require("redis_url", "database_url", "jwt_secret")


def test_round_trip_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is given `to_env()` has the same settings, and looks at no file."""
    settings = Settings(shards=3, redis_url="a=redis://a,b=redis://b", jwt_secret=SECRET)

    assert settings == Settings.from_env(settings.to_env())
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    assert settings == Settings.load()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EVENTLY_SHARDS", "0"),
        ("EVENTLY_HTTP_PORT", "http"),
        ("EVENTLY_ENVIRONMENT", "staging"),
        ("EVENTLY_JWT_SECRET", "short"),
        ("EVENTLY_SHARD", "1"),
        ("EVENTLY_REDIS_URL", "redis://a,redis://b"),
        ("EVENTLY_REDIS_URL", ","),
        ("EVENTLY_DURABILITY", "replicated"),
        ("EVENTLY_RECEIPTS", "maybe"),
        ("EVENTLY_CORS_ORIGINS", "*"),
        ("EVENTLY_CORS_ORIGINS", "https://a.example/"),
        ("EVENTLY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("EVENTLY_OPENID_ISSUERS", "https://a.example"),
        ("EVENTLY_OPENID_ISSUERS", "a=http://a.example"),
        ("EVENTLY_OPENID_ISSUERS", "a=https://a.example?x=1"),
        ("EVENTLY_OPENID_ISSUERS", "a=https://me@a.example"),
        ("EVENTLY_OPENID_ISSUERS", "a=https://a.example,a=https://b.example"),
        ("EVENTLY_OPENID_ISSUERS", "a=https://a.example,b=https://a.example"),
        ("EVENTLY_OPENID_CLIENT_IDS", "a=x"),
        ("EVENTLY_OPENID_CLIENT_SECRETS", "a=x"),
        ("EVENTLY_OPENID_HOSTS", "https://a.example"),
        ("EVENTLY_PASSKEY_RP_ID", "a.example"),
        ("EVENTLY_PASSKEY_ORIGINS", "https://a.example"),
        ("EVENTLY_ADMIN_PASSKEYS", "required"),
        ("EVENTLY_ADMIN_PASSKEYS", "maybe"),
    ],
)
def test_bad_value_names_its_variable(variable: str, value: str) -> None:
    """A bad or misspelt setting is refused with the name of its variable."""
    with pytest.raises(SettingsError, match=variable):
        Settings.from_env({variable: value})


OPENID = {
    "openid_issuers": "a=https://a.example,b=http://127.0.0.1:9/realms/x",
    "openid_client_ids": "b=two,a=one",
    "openid_client_secrets": "a=hidden=",
    "openid_redirect_url": "https://tickets.example/sign-in",
}


def test_providers_are_read_by_name() -> None:
    """Each provider has its issuer, our name there, and a secret if there is one."""
    settings = Settings(**OPENID)  # type: ignore[arg-type]
    assert {
        "a": ("https://a.example", "one", "hidden="),
        "b": ("http://127.0.0.1:9/realms/x", "two", ""),
    } == settings.openid_providers
    assert "hidden" not in repr(settings)
    assert {} == Settings().openid_providers


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"openid_client_ids": "a=one"}, "EVENTLY_OPENID_CLIENT_IDS"),
        ({"openid_client_secrets": "c=hidden"}, "EVENTLY_OPENID_CLIENT_SECRETS"),
        ({"openid_client_secrets": "hidden"}, "EVENTLY_OPENID_CLIENT_SECRETS"),
        ({"openid_redirect_url": ""}, "EVENTLY_OPENID_REDIRECT_URL"),
        ({"openid_redirect_url": "javascript:x"}, "EVENTLY_OPENID_REDIRECT_URL"),
    ],
)
def test_providers_that_do_not_fit(change: dict[str, str], told: str) -> None:
    """What is set for a provider by halves is named, and no secret told."""
    with pytest.raises(ValueError, match=told) as caught:
        Settings(**OPENID | change)  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("rp_id", "origin", "is_good"),
    [
        ("a.example", "https://a.example", True),
        ("a.example", "https://shop.a.example:8443", True),
        ("localhost", "http://localhost:8080", True),
        ("a.example", "http://a.example", False),
        ("a.example", "https://b.example", False),
        ("a.example", "https://evila.example", False),
        ("a.example", "https://a.example/", False),
    ],
)
def test_passkeys_are_of_their_site(rp_id: str, origin: str, is_good: bool) -> None:
    """S39: pages that use passkeys are on their domain or below it, and over TLS."""
    if not is_good:
        with pytest.raises(ValueError, match="EVENTLY_PASSKEY_ORIGINS"):
            Settings(passkey_rp_id=rp_id, passkey_origins=origin)
        return
    settings = Settings(passkey_rp_id=rp_id, passkey_origins=origin)
    assert (origin,) == settings.passkey_sites


def test_s36_the_api_alone_has_the_secrets_of_providers() -> None:
    """S25: no other part is given what proves us to a provider."""
    settings = Settings(**OPENID)  # type: ignore[arg-type]
    for kind in SECRETS_OF:
        own = settings.of_part(kind).openid_client_secrets
        assert bool(own) == (kind == "api")


def test_s28_secrets_are_masked() -> None:
    """Neither `repr` nor `masked` shows a key or a password."""
    settings = Settings(
        jwt_secret="top-secret-" * 4,
        redis_url="redis://me:hidden@host/0",
        database_url="postgresql://me:hidden@host/db",
    )

    assert "redis://me:********@host/0" == settings.masked()["redis_url"]

    in_query = Settings(
        redis_url="a=unix:///r.sock?db=1&password=hidden,b=redis://h?username=me&PassWord=hidden",
        shards=2,
        database_url="postgresql:///db?host=/run&password=hidden&sslpassword=hidden",
    )
    assert (
        "a=unix:///r.sock?db=1&password=********,b=redis://h?username=me&PassWord=********"
        == (in_query.masked()["redis_url"])
    )
    assert "host=/run&password=********&sslpassword=********" in in_query.masked()["database_url"]
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
