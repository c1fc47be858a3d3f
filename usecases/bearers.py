"""
What integrations and devices bring instead of an access token: opaque secrets, asked for by prefix.

A secret is `evk_` (an API key) or `evd_` (a device), a prefix of 12 characters that names its row,
and 43 characters that are kept nowhere: the row has the SHA-256 of it all. 256 random bits need no
slow hash. What a row says is believed for `AGE_MAX_S`, so that who is revoked, demoted or expired
is out within a second in every process, and a row costs PostgreSQL one look a second at most,
however often its bearer comes. While PostgreSQL does not answer, who was good goes on for
`GRACE_S`; then nobody can tell, and the answer is 503. Nobody can be revoked meanwhile either.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable
from hashlib import sha256
from typing import Literal, NamedTuple

import structlog

from engine.errors import Overloaded
from engine.ids import key_name
from engine.tasks import end
from store import api_keys, devices
from store.pool import UNANSWERED, Pool
from usecases.memory import remember
from usecases.moments import over_at
from usecases.tokens import Principal

log = structlog.get_logger()

Bearer = Literal["api_key", "device"]
_WORD_OF: dict[Bearer, str] = {"api_key": "evk", "device": "evd"}
_KIND_OF: dict[str, Bearer] = {word: kind for kind, word in _WORD_OF.items()}
#: How every secret of these kinds begins.
BEGINNINGS = tuple(f"{word}_" for word in _KIND_OF)
PREFIX_CHARS = 12
_SECRET = re.compile(r"(evk|evd)_([0-9a-v]{12})_[A-Za-z0-9_-]{43}")

#: How long what PostgreSQL said of a bearer is believed, in seconds.
AGE_MAX_S = 1.0
#: How long who was good goes on while PostgreSQL does not answer, in seconds. At a gate people
#: wait, and a device may let in and nothing else.
GRACE_S: dict[Bearer, float] = {"api_key": 10.0, "device": 300.0}
#: Bearers that are remembered, and looks at strange ones that may be under way.
REMEMBERED_MAX = 4_096
STRANGE_LOOKS_MAX = 64
#: How long after its event a device is let in.
DEVICE_AFTER = dt.timedelta(hours=24)
#: What devices may do, in the words of scopes.
DEVICE_SCOPES = frozenset({"gate"})


class NewSecret(NamedTuple):
    """A new secret: what is given away, and what is kept."""

    text: str
    prefix: str
    digest: bytes


class _Seen(NamedTuple):
    """What a look at a bearer's row said."""

    digest: bytes
    #: None: not good now.
    principal: Principal | None
    looked_at_s: float


def make(kind: Bearer) -> NewSecret:
    """Make a secret of a kind."""
    prefix = key_name(secrets.token_bytes(PREFIX_CHARS), chars=PREFIX_CHARS)
    text = f"{_WORD_OF[kind]}_{prefix}_{secrets.token_urlsafe(32)}"
    return NewSecret(text, prefix, digest_of(text))


def shown_prefix(kind: Bearer, prefix: str) -> str:
    """Return the beginning of a secret, by which people know it again."""
    return f"{_WORD_OF[kind]}_{prefix}"


def digest_of(text: str) -> bytes:
    """Return what is kept of a secret."""
    return sha256(text.encode()).digest()


class Bearers:
    """Knows who brings a secret, by a bounded memory and PostgreSQL."""

    def __init__(self, database: Pool) -> None:
        self._database = database
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._looks: dict[str, asyncio.Task[_Seen | None]] = {}
        #: While PostgreSQL does not answer: when it is worth asking again.
        self._ask_at_s = 0.0
        self._notes: set[asyncio.Task[None]] = set()

    async def find(self, text: str) -> Principal | None:
        """
        Return who brings a secret; None if it is none of ours, or no longer good.

        Cost: a hash and a dictionary look-up; once a second, a look at the row.

        Raises:
            UNANSWERED: PostgreSQL does not tell, and has not for too long.

            Overloaded: too many strange secrets are being looked for.
        """
        match = _SECRET.fullmatch(text)
        if match is None:
            return None
        kind, prefix = _KIND_OF[match[1]], match[2]
        now_s = time.monotonic()
        seen = self._seen.get(prefix)
        if seen is None or now_s - seen.looked_at_s >= AGE_MAX_S:
            seen = await self._look_again(kind, prefix, seen)
        if seen is None or not hmac.compare_digest(seen.digest, digest_of(text)):
            return None
        return seen.principal

    def forget(self, prefix: str) -> None:
        """Look at the row again at the next request: it was changed here."""
        self._seen.pop(prefix, None)

    async def close(self) -> None:
        """Stop looking and noting."""
        await end(*self._looks.values(), *self._notes)

    async def _look_again(self, kind: Bearer, prefix: str, before: _Seen | None) -> _Seen | None:
        """Look at a row; all who bring its secret meanwhile share the look."""
        now_s = time.monotonic()
        is_graced = before is not None and now_s - before.looked_at_s <= GRACE_S[kind]
        if is_graced and now_s < self._ask_at_s:
            return before
        look = self._looks.get(prefix)
        if look is None:
            if before is None and len(self._looks) >= STRANGE_LOOKS_MAX:
                raise Overloaded
            look = asyncio.get_running_loop().create_task(self._look(kind, prefix))
            self._looks[prefix] = look
            look.add_done_callback(lambda _: self._looks.pop(prefix, None))
        try:
            return await asyncio.shield(look)
        except UNANSWERED:
            self._ask_at_s = time.monotonic() + AGE_MAX_S
            if not is_graced:
                raise
            return before

    async def _look(self, kind: Bearer, prefix: str) -> _Seen | None:
        looked_at_s = time.monotonic()
        read = self._api_key if kind == "api_key" else self._device
        found = await read(prefix)
        if found is None:
            self.forget(prefix)
            return None
        seen = _Seen(*found, looked_at_s)
        remember(self._seen, prefix, seen, most=REMEMBERED_MAX)
        return seen

    async def _api_key(self, prefix: str) -> tuple[bytes, Principal | None] | None:
        row = await api_keys.shown(self._database, prefix)
        if row is None:
            return None
        if not row.is_good:
            return row.hash, None
        if row.is_due:
            self._note(api_keys.touch(self._database, row.id))
        # Never more than an organizer, whatever its maker is: it acts for this one alone.
        principal = Principal(
            row.id, "organizer", row.organizer_id, kind="api_key", scopes=frozenset(row.scopes)
        )
        return row.hash, principal

    async def _device(self, prefix: str) -> tuple[bytes, Principal | None] | None:
        row = await devices.brought(self._database, prefix)
        if row is None:
            return None
        ends_at = over_at(row.starts_at, row.ends_at) + DEVICE_AFTER
        if not row.is_good or dt.datetime.now(dt.UTC) >= ends_at:
            return row.hash, None
        if row.is_due:
            self._note(devices.touch(self._database, row.id))
        principal = Principal(
            row.id,
            "staff",
            row.organizer_id,
            kind="device",
            scopes=DEVICE_SCOPES,
            event_id=row.event_id,
            gate=row.gate,
        )
        return row.hash, principal

    def _note(self, noting: Awaitable[None]) -> None:
        """Note a use beside the request: whether that works changes nothing for its bearer."""

        async def note() -> None:
            with contextlib.suppress(*UNANSWERED):
                await noting

        task = asyncio.get_running_loop().create_task(note())
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
