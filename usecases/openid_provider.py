"""
One OpenID provider: what it says of itself, its keys, and what its word for a person is worth.

What OpenID Connect Core 1.0, 3.1.3.7 asks to be checked of an ID token is checked: signature by a
key that the provider publishes now, by an algorithm that we fixed and never one that shares a
secret; issuer, audience, authorized party, times with `LEEWAY_S`, and the nonce of this very
sign-in. Keys rotate: a token that none of the keys known verifies makes us look once more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

import msgspec
import structlog
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, import_key
from joserfc.jws import JWSRegistry

from engine.errors import Overloaded
from usecases.denials import Denied, Why
from usecases.outside import Fetch, Fetched, Unreachable

log = structlog.get_logger()

#: Clocks of others may be wrong by so much, in seconds.
LEEWAY_S = 30
#: Public-key signatures alone: one that shares a secret could be made of the public key.
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "RS384", "RS512", "ES384", "ES512"]
#: How old what a provider says of itself, and its keys, may be, in seconds.
METADATA_AGE_S = 3_600.0
KEYS_AGE_S = 300.0
#: How long it is not asked again after it did not answer, in seconds.
REST_S = 2.0
KEYS_MAX = 50
#: Who may wait at once for what a provider says of itself; one more is told to come back, so that
#: who signs in otherwise finds room.
WAITING_MAX = 64
SCOPE = "openid email profile"

#: At most 255 characters of ASCII (Core, 2).
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")
_ERROR = re.compile(r"[a-z_]{1,64}")
#: Errors of a token endpoint (RFC 6749, 5.2) that are no sign-in's but of what was agreed with it.
_OF_THE_REGISTRATION = {"invalid_client", "unauthorized_client", "unsupported_grant_type"}


class Registration(NamedTuple):
    """What was agreed with a provider."""

    name: str
    issuer: str
    client_id: str
    #: Empty for a client without one: then PKCE alone proves who begins and ends.
    client_secret: str


class Word(NamedTuple):
    """What a provider says of a person, proved."""

    issuer: str
    #: Never given to another person by this issuer.
    subject: str
    claims: Mapping[str, Any]
    access_token: str


class _Metadata(NamedTuple):
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    #: `client_secret_post`, `client_secret_basic`, ...
    auth_methods: tuple[str, ...]
    #: Whether answers must name the issuer (RFC 9207).
    names_issuer: bool


class Provider:
    """Speaks with one provider, by what it publishes."""

    def __init__(self, registration: Registration, *, redirect_url: str, fetch: Fetch) -> None:
        """
        Args:
            redirect_url: Where the provider sends people back to, as registered there.

            fetch: Asks servers outside.
        """
        self.name = registration.name
        self.issuer = registration.issuer
        self._registration = registration
        self._redirect_url = redirect_url
        self._fetch = fetch
        self._metadata: tuple[_Metadata, float] | None = None
        self._keys: tuple[KeySet, float] | None = None
        #: One asks, the others wait for the same; after a failure all are told it for a while.
        self._asking = asyncio.Lock()
        self._waiting = 0
        self._failed: tuple[str, float] = ("", 0.0)

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """
        Return where to send a person who signs in.

        Raises:
            Denied: the provider does not answer.
        """
        metadata = await self._known()
        asked = [
            ("response_type", "code"),
            ("client_id", self._registration.client_id),
            ("redirect_uri", self._redirect_url),
            ("scope", SCOPE),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", create_s256_code_challenge(verifier)),
            ("code_challenge_method", "S256"),
        ]
        return str(add_params_to_uri(metadata.authorization_endpoint, asked))

    async def word(self, code: str, *, issuer: str, nonce: str, verifier: str) -> Word:
        """
        Exchange a code for the provider's word, and prove it.

        Args:
            issuer: Whom the answer says it is of; empty if it does not (RFC 9207).

        Raises:
            Denied: the word is not proved, or the provider does not answer.
        """
        metadata = await self._known()
        if issuer != self.issuer and (issuer or metadata.names_issuer):
            raise self._refused("issuer of the answer")
        answer = await self._ask_for_tokens(metadata, code, verifier)
        id_token, access_token = answer.get("id_token"), answer.get("access_token", "")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise self._refused("no ID token")
        claims = await self._verified(metadata, id_token, nonce, access_token)
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise self._refused("sub")
        return Word(self.issuer, subject, claims, access_token)

    async def profile(self, word: Word) -> Mapping[str, Any]:
        """
        Return what the provider says besides: of the ID token, or else of its endpoint for that.

        Raises:
            Denied: it does not answer, or speaks of somebody else.
        """
        metadata = await self._known()
        if "email" in word.claims or not metadata.userinfo_endpoint or not word.access_token:
            return word.claims
        headers = {"Authorization": f"Bearer {word.access_token}"}
        answer = await self._asked(metadata.userinfo_endpoint, headers=headers)
        told = self._object(answer)
        if told is None or told.get("sub") != word.subject:
            raise self._refused("userinfo of somebody else")
        return told

    async def _known(self) -> _Metadata:
        """Return what the provider says of itself (OpenID Connect Discovery 1.0)."""
        if (known := self._remembered()) is not None:
            return known
        async with self._turn():
            if (known := self._remembered()) is not None:
                return known
            url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            told = self._object(await self._asked(url))
            metadata = None if told is None else self._read(told)
            if metadata is None:
                raise self._away("its description is not good")
            self._metadata = metadata, time.monotonic()
            return metadata

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING_MAX:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._asking:
                yield
        finally:
            self._waiting -= 1

    def _remembered(self) -> _Metadata | None:
        known = self._metadata
        is_good = known is not None and time.monotonic() < known[1] + METADATA_AGE_S
        return known[0] if known is not None and is_good else None

    def _read(self, told: dict[str, Any]) -> _Metadata | None:
        """Read the description; None if it is of another issuer, or lacks what is needed."""
        secure = ("https",) if self.issuer.startswith("https:") else ("https", "http")
        needed = [
            told.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        ]
        userinfo = told.get("userinfo_endpoint", "")
        urls = [url for url in (*needed, userinfo or needed[0]) if isinstance(url, str)]
        if told.get("issuer") != self.issuer or len(urls) < 4:
            return None
        if any(_scheme(url) not in secure for url in urls):
            return None
        methods = told.get("token_endpoint_auth_methods_supported")
        return _Metadata(
            authorization_endpoint=urls[0],
            token_endpoint=urls[1],
            jwks_uri=urls[2],
            userinfo_endpoint=urls[3] if userinfo else "",
            auth_methods=tuple(methods) if isinstance(methods, list) else ("client_secret_basic",),
            names_issuer=told.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _ask_for_tokens(
        self, metadata: _Metadata, code: str, verifier: str
    ) -> dict[str, Any]:
        own = self._registration
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_url,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        if not own.client_secret:
            form["client_id"] = own.client_id
        elif "client_secret_post" in metadata.auth_methods:
            form |= {"client_id": own.client_id, "client_secret": own.client_secret}
        else:
            pair = f"{quote_plus(own.client_id)}:{quote_plus(own.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = await self._asked(metadata.token_endpoint, form=form, headers=headers)
        told = self._object(answer)
        if told is not None:
            return told
        error = _error_of(answer)
        if answer.status in {400, 403} and error not in _OF_THE_REGISTRATION:
            # Quietly: anybody may bring a code that is none.
            log.debug("code refused", action="openid_code_refused", provider=self.name)
            raise Denied(Why.SIGN_IN_REFUSED)
        log.error(
            "provider takes no codes of ours",
            action="openid_misregistered",
            provider=self.name,
            status=answer.status,
            error=error,
        )
        raise Denied(Why.PROVIDER_AWAY)

    async def _verified(
        self, metadata: _Metadata, id_token: str, nonce: str, access_token: str
    ) -> dict[str, Any]:
        """Return an ID token's claims, once all is proved; raises `Denied`."""
        known = self._keys
        is_fresh = known is None or time.monotonic() >= known[1] + KEYS_AGE_S
        keys = await self._fetch_keys(metadata) if is_fresh or known is None else known[0]
        try:
            try:
                token = _decoded(id_token, keys)
            except (InvalidKeyIdError, BadSignatureError):
                if is_fresh:
                    raise
                # The provider may have other keys by now.
                token = _decoded(id_token, await self._fetch_keys(metadata))
            if not isinstance(token.claims, dict):
                raise self._refused("claims")
            self._check(token, nonce, access_token)
        except JoseError as error:
            claim = str(getattr(error, "claim", ""))
            raise self._refused(type(error).__name__, claim) from None
        except (ValueError, TypeError, KeyError) as error:
            raise self._refused(type(error).__name__) from None
        return token.claims

    def _check(self, token: jwt.Token, nonce: str, access_token: str) -> None:
        """Check issuer, audience, authorized party, times, nonce and hash of the access token."""
        client_id = self._registration.client_id
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": client_id},
                "sub": {"essential": True},
            },
            params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        claims.validate(leeway=LEEWAY_S)

    async def _fetch_keys(self, metadata: _Metadata) -> KeySet:
        async with self._turn():
            told = self._object(await self._asked(metadata.jwks_uri))
            rows = told.get("keys") if told is not None else None
            if not isinstance(rows, list):
                raise self._away("its keys are not good")
            keys = []
            for row in rows[:KEYS_MAX]:
                # Keys of kinds that we do not know are others' to use.
                try:
                    if row.get("kty") != "oct" and row.get("use", "sig") == "sig":
                        keys.append(import_key(row))
                except (JoseError, ValueError, TypeError, AttributeError, KeyError):
                    continue
            found = KeySet(keys)
            self._keys = found, time.monotonic()
            return found

    async def _asked(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """Ask the provider; whoever asks while it is away is told so at once."""
        reason, failed_s = self._failed
        if reason and time.monotonic() < failed_s + REST_S:
            raise Denied(Why.PROVIDER_AWAY)
        try:
            answer = await self._fetch(url, form=form, headers=headers)
        except Unreachable as error:
            raise self._away(str(error)) from None
        if answer.status >= 500:
            raise self._away(f"answers {answer.status}")
        self._failed = "", 0.0
        return answer

    @staticmethod
    def _object(answer: Fetched) -> dict[str, Any] | None:
        """Return the JSON object of a good answer; None if it is none."""
        if answer.status != 200:
            return None
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _away(self, reason: str) -> Denied:
        self._failed = reason, time.monotonic()
        log.warning("provider away", action="openid_away", provider=self.name, reason=reason)
        return Denied(Why.PROVIDER_AWAY)

    def _refused(self, *reasons: str) -> Denied:
        """Log why a word is not taken, without anything of it."""
        reason = " ".join(reasons)
        log.warning("sign-in refused", action="openid_refused", provider=self.name, reason=reason)
        return Denied(Why.SIGN_IN_REFUSED)


def _decoded(id_token: str, keys: KeySet) -> jwt.Token:
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    return jwt.decode(id_token, keys, algorithms=ALGORITHMS, registry=registry)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _error_of(answer: Fetched) -> str:
    """Return the name of an error that a token endpoint tells, if it is a plain one."""
    try:
        told = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = told.get("error")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""
