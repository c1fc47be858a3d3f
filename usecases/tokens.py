"""
Access tokens: JWT, HS256, one audience, one type; checked once and remembered.

Rules from RFC 8725: the algorithm is fixed by us and never read from the token, every claim is
required, and a token of another type or audience is refused (S1, S2).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

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
    #: How they signed in: `password`, `openid`, `passkey`; empty where it is not known.
    method: str = ""
    #: When they did, as Unix time in seconds; no renewed token is newer than that.
    signed_in_s: int = 0
    #: Whether they have another role, and not the rights of it: they must sign in by a passkey.
    lacks_passkey: bool = False


class Tokens:
    """Makes and checks access tokens."""

    def __init__(
        self, secret: str, *, ttl_s: int, passkey_roles: Collection[str] = frozenset()
    ) -> None:
        """
        Args:
            secret: Signing key, at least 32 bytes.

            ttl_s: Life of a token, in seconds.

            passkey_roles: Roles whose rights come by a passkey alone.
        """
        self._passkey_roles = frozenset(passkey_roles)
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
        if principal.method:
            claims |= {"amr": [principal.method], "auth_time": principal.signed_in_s}
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
        if claims.get("typ") != TYPE or not isinstance(claims.get("role"), str):
            raise InvalidToken("not an access token")
        return self._principal(claims), float(claims["exp"])

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return who is meant, with the rights that how they signed in gives them."""
        method = str(next(iter(claims.get("amr", ())), ""))
        person = Principal(
            claims["sub"], claims["role"], claims.get("org"), method, claims.get("auth_time", 0)
        )
        if self.wants_passkey(person.role) and method != "passkey":
            return person._replace(role="user", organizer_id=None, lacks_passkey=True)
        return person

    def wants_passkey(self, role: str) -> bool:
        """Tell whether a role's rights come by a passkey alone."""
        return role in self._passkey_roles
