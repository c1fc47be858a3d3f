"""
OpenID providers for tests: a real one as a process of its own, and one that says what it is told.

The real one is `oidc-provider-mock`: it keeps accounts, shows a form and signs with a key that it
makes at its start. The other one signs what a test wants to be wrong.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jws
from joserfc.jwk import RSAKey
from yarl import URL

from evently.ports import free_port
from tests.api.world import Answer, World

CLIENT_ID = "evently"
CLIENT_SECRET = "between the two of us"
REDIRECT_URL = "https://tickets.example/sign-in"
START_TIMEOUT_S = 60


class MockProvider:
    """The real provider; started anew, it has another key and nobody's account."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.issuer}/jwks", timeout=5):  # noqa: S310
                    return
            except OSError:
                assert self._process.poll() is None, "it has ended"
                assert time.monotonic() < deadline_s, "it does not answer"
                time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def restart(self) -> None:
        """Let it have another key."""
        self.stop()
        self.start()

    def options(self) -> dict[str, Any]:
        """Return the options of an application that knows it as `mock`."""
        return {
            "openid_providers": {"mock": (self.issuer, CLIENT_ID, CLIENT_SECRET)},
            "openid_redirect_url": REDIRECT_URL,
        }

    async def knows(self, subject: str, **claims: Any) -> None:
        """Give it an account."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self.issuer}/users/{quote(subject, safe='')}", json=claims) as answer,
        ):
            assert answer.status == 204, await answer.text()


async def consent(url: str, subject: str, *, action: str = "", **changes: str) -> dict[str, str]:
    """
    Do what a person does at the real provider; return what it sends them back with.

    Args:
        action: `deny` if they do not want to.

        changes: Parts of the address that somebody changes on the way.
    """
    where = URL(url).update_query(changes)
    form = {"sub": subject} | ({"action": action} if action else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(where, data=form, allow_redirects=False) as answer,
    ):
        assert answer.status == 302, await answer.text()
        back = answer.headers["Location"]
    assert back.startswith(REDIRECT_URL)
    return dict(parse_qsl(urlsplit(back).query))


async def begun(world: World, path: str = "/v1/auth/openid/mock", **call: Any) -> dict[str, Any]:
    """Begin a sign-in, or the joining of an identity."""
    answer = await world.call("POST", f"{path}/begin", **call)
    assert 200 == answer.status, answer.text
    return dict(answer.body)


async def ended(
    world: World, flow: str, back: dict[str, str], path: str = "/v1/auth/openid/mock", **call: Any
) -> Answer:
    """End it with what came back."""
    known = {name: back[name] for name in ("state", "code", "error", "iss") if name in back}
    return await world.call("POST", f"{path}/finish", json={"flow": flow} | known, **call)


async def signed_in(
    world: World, subject: str, *, headers: Mapping[str, str] | None = None, **changes: str
) -> Answer:
    """Sign in by the real provider."""
    begin = await begun(world)
    back = await consent(begin["authorization_url"], subject, **changes)
    return await ended(world, begin["flow"], back, headers=headers)


def encoded(raw: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def compact(header: dict[str, Any], claims: Any, sign: Callable[[bytes], bytes]) -> str:
    """Write a token by hand."""
    parts = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{parts}.{encoded(sign(parts.encode()))}"


class TwistedProvider:
    """Answers as a provider does, but for what a test has twisted."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        #: The keys that it publishes.
        self.published = [self.key]
        #: What is changed in its description, the ID token's claims and header; None takes it out.
        self.description: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        #: What the ID token is instead, made of its header and claims.
        self.token: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None
        self.userinfo: dict[str, Any] = {}
        #: What a path answers instead.
        self.instead: dict[str, Callable[[], web.StreamResponse]] = {}
        #: Paths that never answer.
        self.silent: set[str] = set()
        self.asked: list[str] = []
        #: How the client of the last code has shown who it is.
        self.credentials = ""
        self._challenges: dict[str, tuple[str, str]] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    async def start(self) -> None:
        """Listen."""
        await self._server.start_server()

    async def stop(self) -> None:
        """Listen no more."""
        await self._server.close()

    @property
    def issuer(self) -> str:
        """Return its address."""
        return str(self._server.make_url("/")).rstrip("/")

    def options(self, secret: str = CLIENT_SECRET) -> dict[str, Any]:
        """Return the options of an application that knows it as `mock`."""
        return {
            "openid_providers": {"mock": (self.issuer, CLIENT_ID, secret)},
            "openid_redirect_url": REDIRECT_URL,
        }

    def consent(self, url: str) -> dict[str, str]:
        """Let a person in who was sent to *url*; return what they come back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert ("code", "S256", CLIENT_ID, REDIRECT_URL) == (
            asked["response_type"],
            asked["code_challenge_method"],
            asked["client_id"],
            asked["redirect_uri"],
        )
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self._challenges)}"
        self._challenges[code] = asked["code_challenge"], asked["nonce"]
        return {"state": asked["state"], "code": code}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path in self.silent:
            await asyncio.Event().wait()
        if path in self.instead:
            return self.instead[path]()
        match path:
            case "/.well-known/openid-configuration":
                return web.json_response(self._described())
            case "/keys":
                keys = [key.as_dict(private=False) for key in self.published]
                return web.json_response({"keys": keys})
            case "/token":
                return await self._tokens(request)
            case "/userinfo":
                assert request.headers["Authorization"] == "Bearer opaque"
                return web.json_response(self.userinfo)
        return web.Response(status=404)

    def _described(self) -> dict[str, Any]:
        described = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
        }
        return _without_none(described | self.description)

    async def _tokens(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        code, verifier = str(form["code"]), str(form["code_verifier"])
        challenge, nonce = self._challenges.get(code, ("", ""))
        proved = encoded(hashlib.sha256(verifier.encode()).digest())
        if challenge != proved or form["redirect_uri"] != REDIRECT_URL:
            return web.json_response({"error": "invalid_grant"}, status=400)
        basic = request.headers.get("Authorization", "")
        self.credentials = basic or " ".join(
            str(form.get(name)) for name in ("client_id", "client_secret")
        )
        now_s = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "somebody",
            "nonce": nonce,
            "iat": now_s,
            "exp": now_s + 300,
        }
        claims = _without_none(claims | self.claims)
        header = _without_none({"alg": "RS256", "kid": "one"} | self.header)
        token = (self.token or self.signed)(header, claims)
        return web.json_response({"access_token": "opaque", "id_token": token})

    def signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Sign with its own key, whatever the header says of it."""
        return compact(header, claims, self.sign)

    def sign(self, data: bytes) -> bytes:
        """Sign as RS256 does."""
        return sign_with(self.key, data)


def sign_with(key: RSAKey, data: bytes) -> bytes:
    """Sign with any key as RS256 does."""
    registry = jws.JWSRegistry(algorithms=["RS256"])
    return registry.get_alg("RS256").sign(data, key)


def hmac_with(secret: bytes) -> Callable[[bytes], bytes]:
    """Return what signs with a shared secret."""
    return lambda data: hmac.digest(secret, data, "sha256")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
