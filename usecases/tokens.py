"""
Access tokens: JWT, HS256, one audience, one type, the id of their key; checked once and remembered.

Rules from RFC 8725: the algorithm is fixed by us and never read from the token, every claim is
required, and a token of another type or audience is refused (S1, S2). Of a header nothing counts
but its key id, which has few characters and is only looked up; a header that says more than ours
do is not ours. HS256, since only we check tokens: a check costs 26 µs, and with a public key
three times that. Which keys there are, `usecases.keyring` knows (S3).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

import jwt
import msgspec

from engine.errors import KeysUnknown
from engine.ids import key_name
from usecases.memory import remember

ALGORITHM = "HS256"
ISSUER = "evently"
AUDIENCE = "evently-api"
TYPE = "access"
#: How somebody signs in by a passkey, in the claim `amr`.
BY_PASSKEY = "passkey"
LEEWAY_S = 10
#: Checked tokens kept in memory; at about 0.5 KiB each.
REMEMBERED_MAX = 65_536
#: Spellings of headers that are remembered with their keys: each key has one.
HEADS_MAX = 64
HEAD_CHARS_MAX = 512

#: What a key's id may be made of.
KEY_ID = re.compile("[0-9a-v]{8,16}")


class InvalidToken(Exception):
    """The token is not one of ours, or no longer."""


class Principal(NamedTuple):
    """Who is calling; `role` is user, staff, organizer or admin."""

    user_id: str
    role: str
    organizer_id: str | None
    #: The session that the token is of; None of tokens that have none.
    session_id: str | None = None
    #: A machine's, if it is not a person's.
    kind: Literal["user", "api_key", "device"] = "user"
    #: What an API key or a device may do; of people, their place says it.
    scopes: frozenset[str] = frozenset()
    #: The one event that a device is bound to, and the gate.
    event_id: str | None = None
    #: Of the account when the token was made; a lower one than the account's is over.
    token_version: int = 0
    gate: str | None = None
    #: How they signed in: `password`, `openid`, `passkey`; empty where it is not known.
    method: str = ""
    #: When they did, as Unix time in seconds; no renewed token is newer than that.
    signed_in_s: int = 0
    #: Whether they have another role, and not the rights of it: they must sign in by a passkey.
    lacks_passkey: bool = False


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a token's header may say."""

    alg: Literal["HS256"]
    typ: Literal["JWT"] = "JWT"
    kid: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


class Tokens:
    """Makes and checks access tokens."""

    def __init__(
        self, secret: str, *, ttl_s: int, passkey_roles: Collection[str] = frozenset()
    ) -> None:
        """
        Args:
            secret: The setting's key, at least 32 bytes; the only one until `use` tells others.

            ttl_s: Life of a token, in seconds.

            passkey_roles: Roles whose rights come by a passkey alone.
        """
        self.ttl_s = ttl_s
        self._passkey_roles = frozenset(passkey_roles)
        self._of_setting = setting_key_id(secret)
        self._secrets: Mapping[str, bytes] = {self._of_setting: secret.encode()}
        self._signing: str | None = self._of_setting
        #: Until when, by the monotonic clock, an unknown key is known not to be ours.
        self._fresh_until_s = math.inf
        #: token -> (principal, expiry); a token is checked once, since checking costs 26 µs.
        self._remembered: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        #: header, as it is spelt -> key id
        self._heads: OrderedDict[str, str] = OrderedDict()

    def use(
        self, secrets: Mapping[str, bytes], signing: str | None, *, fresh_until_s: float
    ) -> None:
        """
        Check with these keys from now on, and sign with one of them.

        A key that is left out ends what it signed, also what was checked before.

        Args:
            secrets: By key id; the setting's key under `setting_key_id`.

            signing: The one that signs; None if none may.

            fresh_until_s: Until when they are surely all, by the monotonic clock, in seconds.
        """
        if self._secrets.keys() - secrets.keys():
            self._remembered.clear()
            self._heads.clear()
        self._secrets, self._signing = secrets, signing
        self._fresh_until_s = fresh_until_s

    def issue(self, principal: Principal) -> str:
        """
        Make a token that says its bearer is *principal*: a person.

        Raises:
            KeysUnknown: the key that signs may have been retired since.
        """
        assert principal.kind == "user", "keys and devices bring secrets of their own"
        kid = self._signing
        if kid is None or time.monotonic() > self._fresh_until_s:
            raise KeysUnknown
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
        optional = {
            "org": principal.organizer_id,
            "sid": principal.session_id,
            "ver": principal.token_version or None,
            "amr": [principal.method] if principal.method else None,
            "auth_time": principal.signed_in_s or None,
        }
        claims |= {name: value for name, value in optional.items() if value is not None}
        return jwt.encode(claims, self._secrets[kid], algorithm=ALGORITHM, headers={"kid": kid})

    def known(self, token: str) -> Principal | None:
        """Return who bears a token that was checked before and has not expired; None for others."""
        found = self._remembered.get(token)
        return found[0] if found is not None and time.time() < found[1] else None

    def check(self, token: str) -> Principal:
        """
        Return who bears *token*.

        Cost: a dictionary look-up, except the first time.

        Raises:
            InvalidToken: malformed, forged, expired, or meant for something else.

            KeysUnknown: its key is none that we know, and there may be others.
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
        secret = self._secret_of(token.partition(".")[0])
        try:
            claims = jwt.decode(
                token,
                secret,
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
        # No token lives longer than tokens may now: so long is it known which ones are over.
        expires_s = min(float(claims["exp"]), int(claims["iat"]) + self.ttl_s + LEEWAY_S)
        if expires_s + LEEWAY_S < time.time():
            raise InvalidToken("expired")
        return self._principal(claims), expires_s

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return who is meant, with the rights that how they signed in gives them."""
        session_id, version = claims.get("sid"), claims.get("ver", 0)
        if not isinstance(session_id, str | None) or type(version) is not int:
            raise InvalidToken("of no session or version")
        methods, signed_in_s = claims.get("amr", [""]), claims.get("auth_time", 0)
        if not isinstance(methods, list) or not methods or type(signed_in_s) is not int:
            raise InvalidToken("of no sign-in")
        person = Principal(
            claims["sub"],
            claims["role"],
            claims.get("org"),
            session_id=session_id,
            token_version=version,
            method=str(methods[0]),
            signed_in_s=signed_in_s,
        )
        return self.confined(person)

    def confined(self, person: Principal) -> Principal:
        """Return a person with the rights that how they signed in gives them."""
        if self.wants_passkey(person.role) and person.method != BY_PASSKEY:
            return person._replace(role="user", organizer_id=None, lacks_passkey=True)
        return person

    def wants_passkey(self, role: str) -> bool:
        """Tell whether a role's rights come by a passkey alone."""
        return role in self._passkey_roles

    def _secret_of(self, head: str) -> bytes:
        """Return the secret of the key that a header names; what is spelt as before is not read."""
        kid = self._heads.get(head)
        if kid is None:
            kid = _key_id(head) or self._of_setting
        secret = self._secrets.get(kid)
        if secret is None:
            if time.monotonic() > self._fresh_until_s:
                raise KeysUnknown
            raise InvalidToken("of no key of ours")
        if head not in self._heads:
            remember(self._heads, head, kid, most=HEADS_MAX)
        return secret


def setting_key_id(secret: str) -> str:
    """Return what names the key that is a setting itself; tokens without a name are of it."""
    return key_name(hmac.digest(secret.encode(), b"evently key id", "sha256"))


def _key_id(head: str) -> str | None:
    """Return the key id that a header names; None if it names none."""
    if len(head) > HEAD_CHARS_MAX:
        raise InvalidToken("its header is too long")
    try:
        raw = base64.b64decode(head + "=" * (-len(head) % 4), altchars=b"-_", validate=True)
        kid = _HEAD.decode(raw).kid
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidToken("its header is not one of ours") from error
    if kid is not None and KEY_ID.fullmatch(kid) is None:
        raise InvalidToken("its key id is none")
    return kid
