"""
A push service with its browsers: `python -m tests.notifier.push_service PORT FOLDER`.

It believes nobody: who pushes signs by the key that the browser named (VAPID), for this very
origin; and each message is opened as the browser does it. `{"push": ["429 7", ...]}` in the file of
orders says what to do with the next ones: a status, with seconds for `Retry-After`; `stall`;
`keep, drop`: it takes the message and says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import ssl
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import http_ece
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.ids import new_id
from evently.ports import free_port
from tests.notifier import authority
from tests.notifier.server import STALL_S, START_TIMEOUT_S, Orders

HOST = "127.0.0.1"
#: What services take at least, once it is sealed.
BODY_BYTES_MAX = 4_096
SIGNED_FOR_S_MAX = 24 * 3_600


class Browser(NamedTuple):
    """A browser that has subscribed: what its page sends to us."""

    endpoint: str
    p256dh: str
    auth: str

    def asked(self, key_id: str, name: str = "Phone") -> dict[str, Any]:
        """Return the body of a subscription."""
        keys = {"p256dh": self.p256dh, "auth": self.auth}
        subscription = {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}
        return {"subscription": subscription, "key_id": key_id, "name": name}


class Process:
    """The service as a process, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(HOST)
        self.orders = Orders(folder)
        self.made = authority.make(folder, HOST)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        module = "tests.notifier.push_service"
        argv = [sys.executable, "-m", module, str(self.port), str(self.folder)]
        self._child = subprocess.Popen(argv)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (self.folder / "listens").exists():
            assert time.monotonic() < deadline_s, "it does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, whatever it does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        (self.folder / "listens").unlink(missing_ok=True)

    def subscribe(self, public_key: str) -> Browser:
        """Have a browser subscribe with one of our keys."""
        own_id, private = new_id("dev"), ec.generate_private_key(ec.SECP256R1())
        auth = secrets.token_bytes(16)
        number = private.private_numbers().private_value
        kept = {"private": number, "auth": _text(auth), "key": public_key}
        (self.folder / f"{own_id}.browser").write_text(json.dumps(kept))
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Browser(f"https://{HOST}:{self.port}/push/{own_id}", _text(point), _text(auth))

    def taken(self) -> list[dict[str, Any]]:
        """Return what it has taken, in order: endpoint, headers and message of each."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.push"))]

    def clear(self) -> None:
        """Forget what it has taken and what it was told."""
        for path in self.folder.glob("*.push"):
            path.unlink()
        self.orders.give()


class Service:
    """What the process does."""

    def __init__(self, port: int, folder: Path) -> None:
        self._origin = f"https://{HOST}:{port}"
        self._folder = folder
        self._orders = Orders(folder)

    async def push(self, request: web.Request) -> web.StreamResponse:
        """Take a message for a browser."""
        word = self._orders.take("push")
        kept = self._folder / f"{request.match_info['id']}.browser"
        if not kept.exists():
            return web.Response(status=404)
        status, _, wait_s = word.partition(" ")
        if status.isdigit():
            headers = {"Retry-After": wait_s} if wait_s else {}
            if status == "302":
                headers["Location"] = f"{self._origin}/push/elsewhere"
            return web.Response(status=int(status), headers=headers, text="words of a server")
        if word == "stall":
            await asyncio.sleep(STALL_S)
        body, browser = await request.read(), json.loads(kept.read_text())
        if len(body) > BODY_BYTES_MAX:
            return web.Response(status=413)
        if wrong := self._wrong(request, browser):
            return web.Response(status=403, text=wrong)
        private = ec.derive_private_key(browser["private"], ec.SECP256R1())
        text = http_ece.decrypt(
            body, private_key=private, auth_secret=_bytes(browser["auth"]), version="aes128gcm"
        )
        self._keep(request, text)
        if word == "keep, drop":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=201, headers={"Location": f"{self._origin}/m/1"})

    def _wrong(self, request: web.Request, browser: dict[str, str]) -> str:
        """Return what is wrong with who pushes, and how; empty: nothing."""
        said = re.fullmatch(r"vapid t=([\w.-]+),k=([\w-]+)", request.headers["Authorization"])
        if said is None or said[2] != browser["key"]:
            return "VapidPkHashMismatch"
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(said[2]))
        try:
            claims = jwt.decode(said[1], public, algorithms=["ES256"], audience=self._origin)
        except jwt.InvalidTokenError as error:
            return str(error)
        if claims["exp"] > time.time() + SIGNED_FOR_S_MAX or "@" not in claims["sub"]:
            return "claims"
        forms = {"TTL": r"\d+", "Topic": r"[\w-]{1,32}", "Urgency": "very-low|low|normal|high"}
        forms["Content-Encoding"] = "aes128gcm"
        headers = request.headers
        return next((n for n in forms if not re.fullmatch(forms[n], headers.get(n, ""))), "")

    def _keep(self, request: web.Request, text: bytes) -> None:
        taken = {
            "endpoint": self._origin + request.path,
            "headers": dict(request.headers),
            "bytes": len(text),
            "message": json.loads(text),
        }
        path = self._folder / f"{time.time_ns()}.part"
        path.write_text(json.dumps(taken))
        path.rename(path.with_suffix(".push"))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Process]:
    """Run a service."""
    process = Process(folder)
    process.start()
    try:
        yield process
    finally:
        process.kill()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _serve(port: int, folder: Path) -> None:
    app = web.Application()
    app.router.add_post("/push/{id}", Service(port, folder).push)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, ssl_context=tls).start()
    (folder / "listens").touch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
