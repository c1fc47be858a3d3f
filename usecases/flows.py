"""
Sign-ins under way: what is known at their begin, signed, in the hands of who signs in.

Nothing is kept here between begin and end, so that any API process may see the end, and nobody
fills a table by beginning. The token of a flow stays with the browser or program that began it:
whoever brings a state, a code or a challenge of another's flow cannot end it (RFC 9700, 4.7). What
must be hard to guess (state, nonce, verifier, challenge) is derived from the flow's id with our
secret. A flow ends once: `spend` is asked when all else has been proved.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
import time
from enum import StrEnum
from typing import NamedTuple

import jwt

from store import ways_in
from store.pool import Database
from usecases.denials import Denied, Why

ALGORITHM = "HS256"
#: How long one may take from begin to end, in seconds: a password elsewhere, a second factor.
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


class Flows:
    """Begins flows and reads their tokens."""

    def __init__(self, secret: str) -> None:
        """
        Args:
            secret: The service's key; what is derived from it here signs nothing else.
        """
        self._key = hmac.digest(secret.encode(), b"evently sign-in flows", "sha256")

    def begin(self, kind: FlowKind, *, provider: str = "", user_id: str = "") -> tuple[Flow, str]:
        """Begin a flow; return it with its token."""
        flow = Flow(
            secrets.token_bytes(ID_BYTES), kind, provider, user_id, int(time.time()) + TTL_S
        )
        claims = {
            "jti": flow.id.hex(),
            "aud": f"flow:{kind}",
            "sub": user_id,
            "provider": provider,
            "exp": flow.expires_s,
        }
        return flow, jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def read(self, token: str, kind: FlowKind) -> Flow | None:
        """Return the flow of a token; None if it is not ours, of another kind, or too old."""
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return None
        try:
            claims = jwt.decode(
                token,
                self._key,
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
        )

    def secret_of(self, flow: Flow, purpose: str) -> bytes:
        """Derive 32 bytes that only we can know of a flow, other ones for each purpose."""
        return hmac.digest(self._key, purpose.encode() + b":" + flow.id, hashlib.sha256)

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
