"""
The key ring: which keys sign and which verify, and how a process comes to know it.

The settings hold one key for tokens and one for tickets; every other key is a row of PostgreSQL,
sealed with the setting of its purpose. So a process needs no new setting to learn of a key, a
database that is stolen opens nothing, and a setting that is stolen alone does not sign what later
keys do. Receipts' keys are derived from those of tickets.

A new key verifies everywhere before it signs anywhere (S3): it is told with the moment from which
it signs, `LEAD_S` ahead, and each process looks once a second. One that has not been able to look
for `FRESH_S` says of a key that it does not know that nobody can tell (503), and never that the
token is forged; it signs no tokens either, since its key may have been retired.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import structlog

from engine.tasks import end
from store import keys
from store.keys import SigningKey
from store.pool import UNANSWERED, Pool
from store.sealed import unseal
from usecases.flows import Flows
from usecases.receipts import Receipts
from usecases.ticket_codes import TicketCodes, ticket_key_id
from usecases.tokens import Tokens, setting_key_id

log = structlog.get_logger()

Purpose = Literal["tokens", "tickets"]
PURPOSES: tuple[Purpose, ...] = ("tokens", "tickets")
#: Time from a key's making to its first signature, in seconds. Of tickets it is longer than caches
#: may keep the published list, which gates verify by.
LEAD_S: Mapping[Purpose, float] = {"tokens": 10.0, "tickets": 600.0}
#: How long a look at the keys is good for, in seconds: half of the shortest lead, so that the time
#: that a new key's transaction takes is in it.
FRESH_S = 5.0
#: Pause between two looks, in seconds: a look that fails is made again before the last is stale.
LOOK_INTERVAL_S = 2.0
_NAMES: Mapping[Purpose, Callable[[str], str]] = {
    "tokens": setting_key_id,
    "tickets": ticket_key_id,
}


class Settled:
    """Which keys count now, as rows and settings together say."""

    def __init__(self, settings: Mapping[Purpose, str]) -> None:
        """
        Args:
            settings: The setting of each purpose that it will be asked for.
        """
        self._settings = settings
        #: What names the settings' own keys.
        self.setting_kids: Mapping[Purpose, str] = {
            purpose: _NAMES[purpose](setting) for purpose, setting in settings.items()
        }
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


def use_for_tokens(tokens: Tokens, jwt_secret: str, rows: Sequence[SigningKey]) -> None:
    """Have *tokens* sign and check by these keys for good: a command's, which is soon over."""
    settled = Settled({"tokens": jwt_secret})
    there, signing = settled.secrets_of(rows, "tokens"), settled.signing(rows, "tokens")
    tokens.use(there, signing, fresh_until_s=math.inf)


class Keyring:
    """Keeps a process's keys as PostgreSQL tells them."""

    def __init__(
        self,
        database: Pool,
        *,
        jwt_secret: str,
        ticket_signing_key: str,
        token_ttl_s: int,
        makes_receipts: bool,
        passkey_roles: Collection[str] = frozenset(),
    ) -> None:
        """
        Args:
            jwt_secret, ticket_signing_key: The settings.

            token_ttl_s: Life of an access token, in seconds.

            makes_receipts: Whether bookings are answered with receipts.

            passkey_roles: Roles whose rights come by a passkey alone.

        Raises:
            ValueError: the setting for tickets is no key.
        """
        self.look_interval_s = LOOK_INTERVAL_S
        self._database = database
        self._settled = Settled({"tokens": jwt_secret, "tickets": ticket_signing_key})
        self.tokens = Tokens(jwt_secret, ttl_s=token_ttl_s, passkey_roles=passkey_roles)
        #: Sign-ins under way go by the keys of tokens.
        self.flows = Flows(jwt_secret)
        self.ticket_codes = TicketCodes(ticket_signing_key)
        self.receipts = Receipts(ticket_signing_key) if makes_receipts else None
        self._look: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        #: Keys of tickets as they were told last, the one that signs first.
        self._told: list[str] = []

    async def start(self) -> None:
        """Look, then keep looking; PostgreSQL may be away, and then the settings' keys count."""
        with contextlib.suppress(*UNANSWERED):
            await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def close(self) -> None:
        """Stop looking."""
        await end(self._task, self._look)

    async def refresh(self) -> None:
        """
        Look now; all who ask meanwhile share one look.

        Raises:
            UNANSWERED: PostgreSQL does not tell.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._take())
        await asyncio.shield(self._look)

    async def _keep_looking(self) -> None:
        failure = ""
        while True:
            await asyncio.sleep(self.look_interval_s)
            try:
                await self.refresh()
                failure = ""
            except UNANSWERED as error:
                if repr(error) != failure:  # Said once, however long it takes.
                    failure = repr(error)
                    log.warning("keys are not told", action="keys_not_told", error=failure)

    async def _take(self) -> None:
        fresh_until_s = time.monotonic() + FRESH_S
        rows = await keys.read(self._database)
        settled = self._settled
        there, signing = settled.secrets_of(rows, "tokens"), settled.signing(rows, "tokens")
        self.tokens.use(there, signing, fresh_until_s=fresh_until_s)
        self.flows.use(there, signing, fresh_until_s=fresh_until_s)
        texts = {kid: raw.decode() for kid, raw in settled.secrets_of(rows, "tickets").items()}
        kid = settled.signing(rows, "tickets")
        told = [texts.pop(kid)] if kid is not None else []
        told += texts.values()
        self.ticket_codes.fresh_until_s = fresh_until_s
        if not told:
            log.error("no key of tickets is left", action="no_ticket_key")
        elif told != self._told:
            self.ticket_codes.use(told)
            if self.receipts is not None:
                self.receipts.use(told)
            self._told = told
