"""Whose wallets tickets can be put into: certificates and keys, read from where settings say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import structlog

from evently.settings import ENV_PREFIX, Settings, SettingsError
from papers.wallet import AppleSigner, GoogleSigner, WalletError, Wallets

log = structlog.get_logger()

#: Before a certificate ends, an operator is told when a process starts.
WARNED_BEFORE = dt.timedelta(days=30)
#: How the text itself begins, where a setting does not name a file: PEM, JSON.
_TEXTS = ("-----BEGIN", "{")


def read_wallets(settings: Settings) -> Wallets:
    """
    Return the wallets that the settings have certificates and keys for.

    Raises:
        SettingsError: a file cannot be read, or what is in it is not what it should be.
    """
    settings = settings.require(
        *(("apple_pass_key",) if settings.apple_pass_certificate else ()),
        *(("google_wallet_account",) if settings.google_wallet_issuer_id else ()),
    )
    return Wallets(_apple(settings), _google(settings))


def _apple(settings: Settings) -> AppleSigner | None:
    if not settings.apple_pass_certificate:
        return None
    try:
        signer = AppleSigner(
            certificate=_text(settings, "apple_pass_certificate"),
            key=_text(settings, "apple_pass_key"),
            authority=_text(settings, "apple_pass_authority"),
        )
    except WalletError as error:
        raise SettingsError(f"EVENTLY_APPLE_PASS_*: {error}") from error
    if signer.good_until < dt.datetime.now(dt.UTC) + WARNED_BEFORE:
        log.warning(
            "apple certificate ends",
            action="apple_certificate_ends",
            good_until=signer.good_until.isoformat(),
        )
    return signer


def _google(settings: Settings) -> GoogleSigner | None:
    if not settings.google_wallet_issuer_id:
        return None
    try:
        return GoogleSigner(
            issuer_id=settings.google_wallet_issuer_id,
            account=_text(settings, "google_wallet_account"),
        )
    except WalletError as error:
        raise SettingsError(f"EVENTLY_GOOGLE_WALLET_*: {error}") from error


def _text(settings: Settings, field: str) -> str:
    """Return what a setting says, or the file that it names."""
    said = str(getattr(settings, field))
    if said.lstrip().startswith(_TEXTS):
        return said
    try:
        return Path(said).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        # Not what was said: it may be a key, cut short.
        reason = error.strerror if isinstance(error, OSError) else "not a text of PEM or JSON"
        raise SettingsError(f"{ENV_PREFIX}{field.upper()} names no file: {reason}") from error
