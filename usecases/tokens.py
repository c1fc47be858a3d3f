"""
Access tokens: JWT, HS256, one audience, one type; checked once and remembered.

Rules from RFC 8725: the algorithm is fixed by us and never read from the token, every claim is
required, and a token of another type or audience is refused (S1, S2).
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

import jwt

from usecases.memory import remember

ALGORITHM = "HS256"
ISSUER = "evently"
AUDIENCE = "evently-api"
TYPE = "access"
LEEWAY_S = 10
#: Checked tokens kept in memory; at about 0.5 KiB each.
REMEMBERED_MAX = 65_536


class InvalidToken(Exception):
    """The token is not one of ours, or no longer."""


class Principal(NamedTuple):
    """Who is calling; `role` is user, staff, organizer or admin."""

    user_id: str
    role: str
    organizer_id: str | None
    #: The session that the token is of; None of tokens that have none.
    session_id: str | None = None
    #: A machine's, if it is not a person's; and the one event that it is bound to.
    kind: Literal["user", "api_key", "device"] = "user"
    event_id: str | None = None
    #: Of the account when the token was made; a lower one than the account's is over.
    token_version: int = 0


class Tokens:
    """Makes and checks access tokens."""

    def __init__(self, secret: str, *, ttl_s: int) -> None:
        """
        Args:
            secret: Signing key, at least 32 bytes.

            ttl_s: Life of a token, in seconds.
        """
        self._secret = secret
        self.ttl_s = ttl_s
        #: token -> (principal, expiry); a token is checked once, since checking costs 26 µs.
        self._remembered: dict[str, tuple[Principal, float]] = {}

    def issue(self, principal: Principal) -> str:
        """Make a token that says its bearer is *principal*."""
        now_s = int(time.time())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": TYPE,
            "sub": principal.user_id,
            "role": principal.role,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + self.ttl_s,
        }
        if principal.organizer_id is not None:
            claims["org"] = principal.organizer_id
        if principal.session_id is not None:
            claims["sid"] = principal.session_id
        if principal.token_version:
            claims["ver"] = principal.token_version
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def check(self, token: str) -> Principal:
        """
        Return who bears *token*.

        Cost: a dictionary look-up, except the first time.

        Raises:
            InvalidToken: malformed, forged, expired, or meant for something else.
        """
        known = self._remembered.get(token)
        if known is not None:
            principal, expires_s = known
            if time.time() < expires_s:
                return principal
            del self._remembered[token]
            raise InvalidToken("expired")
        principal, expires_s = self._verify(token)
        remember(self._remembered, token, (principal, expires_s), most=REMEMBERED_MAX)
        return principal

    def _verify(self, token: str) -> tuple[Principal, float]:
        if not token.isascii():
            raise InvalidToken("not ASCII")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "nbf", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from error
        session_id, version = claims.get("sid"), claims.get("ver", 0)
        if claims.get("typ") != TYPE or not isinstance(claims.get("role"), str):
            raise InvalidToken("not an access token")
        if not isinstance(session_id, str | None) or type(version) is not int:
            raise InvalidToken("of no session or version")
        # No token lives longer than tokens may now: so long is it known which ones are over.
        expires_s = min(float(claims["exp"]), int(claims["iat"]) + self.ttl_s + LEEWAY_S)
        if expires_s + LEEWAY_S < time.time():
            raise InvalidToken("expired")
        principal = Principal(
            claims["sub"],
            claims["role"],
            claims.get("org"),
            session_id=session_id,
            token_version=version,
        )
        return principal, expires_s
