"""
Sign-ins under way: what is known at their begin, signed, in the hands of who signs in.

Nothing is kept here between begin and end, so that any API process may see the end, and nobody
fills a table by beginning. The token of a flow stays with the browser or program that began it:
whoever brings a state, a code or a challenge of another's flow cannot end it (RFC 9700, 4.7). What
must be hard to guess (state, nonce, verifier, challenge) is derived from the flow's id with the key
that signs its token: that of access tokens when it began (`usecases.keyring`). If that key is
retired on the way, the flow is none of ours any more, and is begun anew. A flow ends once: `spend`
is asked when all else has been proved.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import jwt

from engine.errors import KeysUnknown
from store import ways_in
from store.pool import Database
from usecases.denials import Denied, Why
from usecases.tokens import setting_key_id

ALGORITHM = "HS256"
#: How long one may take from begin to end, in seconds: a password elsewhere, a second factor. For
#: so long a key verifies at least when another signs.
TTL_S = 600
ID_BYTES = 16
#: Longer is no token of ours.
TOKEN_CHARS_MAX = 1_024


class FlowKind(StrEnum):
    """What a flow is to end in; one of another kind ends nothing."""

    #: A session, by a provider's word.
    OPENID = "openid"
    #: An identity of a signed-in person.
    LINK = "link"
    #: A session, by a passkey.
    PASSKEY = "passkey"
    #: A passkey of a signed-in person.
    ENROL = "enrol"


class Flow(NamedTuple):
    """One sign-in under way."""

    id: bytes
    kind: FlowKind
    #: Name of the provider; empty for passkeys.
    provider: str
    #: Who has begun it; empty if nobody was signed in.
    user_id: str
    #: Unix time in seconds.
    expires_s: int
    #: Signs its token; what must be hard to guess is derived from it.
    key: bytes


class Flows:
    """Begins flows and reads their tokens."""

    def __init__(self, secret: str) -> None:
        """
        Args:
            secret: The setting's key for access tokens; the only one until `use` tells others.
        """
        self._of_setting = setting_key_id(secret)
        self.use({self._of_setting: secret.encode()}, self._of_setting, fresh_until_s=math.inf)

    def use(
        self, secrets: Mapping[str, bytes], signing: str | None, *, fresh_until_s: float
    ) -> None:
        """Go on with these keys of access tokens; arguments as of `usecases.tokens.Tokens.use`."""
        # What is derived here signs nothing else.
        self._keys = {
            kid: hmac.digest(secret, b"evently sign-in flows", "sha256")
            for kid, secret in secrets.items()
        }
        self._signing = signing
        self._fresh_until_s = fresh_until_s

    def begin(self, kind: FlowKind, *, provider: str = "", user_id: str = "") -> tuple[Flow, str]:
        """
        Begin a flow; return it with its token.

        Raises:
            KeysUnknown: no key is left that signs.
        """
        kid = self._signing
        if kid is None:
            raise KeysUnknown
        flow_id, expires_s = secrets.token_bytes(ID_BYTES), int(time.time()) + TTL_S
        flow = Flow(flow_id, kind, provider, user_id, expires_s, self._keys[kid])
        claims = {
            "jti": flow.id.hex(),
            "aud": f"flow:{kind}",
            "sub": user_id,
            "provider": provider,
            "exp": flow.expires_s,
        }
        return flow, jwt.encode(claims, flow.key, algorithm=ALGORITHM, headers={"kid": kid})

    def read(self, token: str, kind: FlowKind) -> Flow | None:
        """
        Return the flow of a token; None if it is not ours, of another kind, or too old.

        Raises:
            KeysUnknown: its key is none that we know, and there may be others.
        """
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return None
        try:
            # Tokens without a key id are of older code, and of the setting's key.
            kid = jwt.get_unverified_header(token).get("kid", self._of_setting)
            key = self._keys.get(kid)
            if key is None:
                if time.monotonic() > self._fresh_until_s:
                    raise KeysUnknown
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=f"flow:{kind}",
                options={"require": ["jti", "aud", "sub", "exp"]},
            )
        except jwt.PyJWTError:
            return None
        return Flow(
            bytes.fromhex(claims["jti"]),
            kind,
            claims["provider"],
            claims["sub"],
            int(claims["exp"]),
            key,
        )

    def secret_of(self, flow: Flow, purpose: str) -> bytes:
        """Derive 32 bytes that only we can know of a flow, other ones for each purpose."""
        return hmac.digest(flow.key, purpose.encode() + b":" + flow.id, hashlib.sha256)

    def word_of(self, flow: Flow, purpose: str) -> str:
        """Return the same as 43 characters that may stand in an address."""
        return base64.urlsafe_b64encode(self.secret_of(flow, purpose)).decode().rstrip("=")

    def is_word_of(self, flow: Flow, purpose: str, word: str) -> bool:
        """Compare a word with that of a flow; how long it takes says nothing."""
        return hmac.compare_digest(word.encode(), self.word_of(flow, purpose).encode())


async def spend(database: Database, flow: Flow) -> None:
    """
    Note that a flow came to its end, for all processes.

    Raises:
        Denied: it had before.
    """
    ends_at = dt.datetime.fromtimestamp(flow.expires_s, dt.UTC)
    if not await ways_in.spend(database, flow.id, ends_at):
        raise Denied(Why.SIGN_IN_OVER)
