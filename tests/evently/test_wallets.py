"""Certificates and keys for wallets, from files and from the settings themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from evently.settings import Settings, SettingsError
from evently.wallets import read_wallets
from papers.wallet import Wallets
from tests.evently.test_cli import run
from tests.papers import made_up


def given() -> dict[str, str]:
    """Return the texts of all that wallets need."""
    made = made_up.pem()
    return {
        "apple_pass_certificate": made.certificate,
        "apple_pass_key": made.key,
        "apple_pass_authority": made.authority,
        "google_wallet_issuer_id": made_up.ISSUER_ID,
        "google_wallet_account": made_up.account(),
    }


def test_texts_and_files(tmp_path: Path) -> None:
    """A setting has the text, or names the file that has it; with none there are no wallets."""
    texts = given()
    paths = {}
    for field, text in texts.items():
        (tmp_path / field).write_text(text)
        paths[field] = text if field.endswith("_id") else str(tmp_path / field)
    for fields in (texts, paths):
        found = read_wallets(Settings(**fields))  # type: ignore[arg-type]  # All are texts.
        assert None not in found
    assert Wallets() == read_wallets(Settings())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("apple_pass_key", "", "EVENTLY_APPLE_PASS_KEY: empty"),
        ("google_wallet_account", "", "EVENTLY_GOOGLE_WALLET_ACCOUNT: empty"),
        ("apple_pass_authority", "/nowhere", "EVENTLY_APPLE_PASS_AUTHORITY names no file"),
        ("apple_pass_key", "-----BEGIN", r"EVENTLY_APPLE_PASS_\*: the key is no"),
        ("google_wallet_account", "{}", r"EVENTLY_GOOGLE_WALLET_\*: the account is not"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: str, said: str) -> None:
    """What is missing or does not belong together is told by the name of its setting."""
    fields = given() | {field: value}
    with pytest.raises(SettingsError, match=said):
        read_wallets(Settings(**fields))  # type: ignore[arg-type]  # All are texts.


@pytest.mark.parametrize(
    "fields",
    [
        {"apple_pass_certificate": "a.pem"},
        {"apple_pass_key": "a.pem"},
        {"google_wallet_issuer_id": "a1"},
        {"google_wallet_account": "a.json"},
    ],
)
def test_halves_are_refused(fields: dict[str, str]) -> None:
    """A key without its certificate, and a number that is none, are no settings."""
    variables = {f"EVENTLY_{field.upper()}": value for field, value in fields.items()}
    with pytest.raises(SettingsError, match=r"EVENTLY_(APPLE_PASS|GOOGLE_WALLET)"):
        Settings.from_env(variables)


async def test_process_names_what_is_wrong(tmp_path: Path) -> None:
    """An API process that cannot read a certificate says so in a line, and tells no secret."""
    env = {
        "EVENTLY_DATA_DIR": str(tmp_path),
        "EVENTLY_REDIS_URL": "redis://127.0.0.1:1",
        "EVENTLY_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "EVENTLY_JWT_SECRET": "s" * 32,
        "EVENTLY_TICKET_SIGNING_KEY": "k" * 43,
        "EVENTLY_APPLE_PASS_CERTIFICATE": str(tmp_path / "none.pem"),
        "EVENTLY_APPLE_PASS_AUTHORITY": str(tmp_path / "none.pem"),
        "EVENTLY_APPLE_PASS_KEY": "a-secret-that-is-no-file",
    }
    code, _, complaint = await run("api", env=env)
    assert (2, 1) == (code, len(complaint.splitlines())), complaint
    assert "EVENTLY_APPLE_PASS_CERTIFICATE names no file" in complaint
    assert env["EVENTLY_APPLE_PASS_KEY"] not in complaint
