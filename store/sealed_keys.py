"""
Keys that sign, as rows and settings together have them.

The settings hold one key for tokens and one for tickets; every other key is a row, sealed with the
setting of its purpose (`usecases.keyring`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import structlog

from store.keys import SigningKey
from store.sealed import unseal

log = structlog.get_logger()

Purpose = Literal["tokens", "tickets"]


class Settled:
    """Which keys count now, as rows and settings together say."""

    def __init__(self, settings: Mapping[Purpose, str], kids: Mapping[Purpose, str]) -> None:
        """
        Args:
            settings: The setting of each purpose that it will be asked for.

            kids: What names the settings' own keys.
        """
        self._settings = settings
        self.setting_kids = kids
        #: Secrets that are open; None of those that these settings do not open.
        self._opened: dict[tuple[str, str], bytes | None] = {}

    def secrets_of(self, rows: Sequence[SigningKey], purpose: Purpose) -> dict[str, bytes]:
        """Return the secrets that verify, by key id; empty if there is none that is open."""
        setting = self._settings[purpose]
        found = {self.setting_kids[purpose]: setting.encode()}
        for row in rows:
            if row.purpose != purpose:
                continue
            if row.is_over:
                found.pop(row.kid, None)
            elif not row.is_setting and (secret := self._open(row, setting)) is not None:
                found[row.kid] = secret
        return found

    def signing(self, rows: Sequence[SigningKey], purpose: Purpose) -> str | None:
        """Return the key that signs: the last that has begun; None if none is left."""
        there = self.secrets_of(rows, purpose)
        begun = [row.kid for row in rows if row.purpose == purpose and row.has_begun]
        own = self.setting_kids[purpose]
        order = begun if own in begun else [own, *begun]
        return next((kid for kid in reversed(order) if kid in there), None)

    def _open(self, row: SigningKey, setting: str) -> bytes | None:
        if row.sealed is None:
            return None
        name = (row.purpose, row.kid)
        if name not in self._opened:
            self._opened[name] = unseal(setting, row.purpose, row.kid, row.sealed)
            if self._opened[name] is None:
                log.error(
                    "a key was sealed with another setting: what it signed is refused here",
                    action="key_not_opened",
                    purpose=row.purpose,
                    kid=row.kid,
                )
        return self._opened[name]
