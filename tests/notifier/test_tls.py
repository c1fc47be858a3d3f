"""
The way to a mail server over TLS, with a password: the right one, and what is no such thing.

Fails closed: a server that offers no TLS, or has another's certificate, learns neither a letter nor
a password; the letter waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evently.ports import free_port
from notifier.smtp import Client, Ending, Envelope, Server
from tests.notifier.conftest import House
from tests.store.records import booked

HOST = "127.0.0.1"
PASSWORD = "a password of the server's"
LETTER = Envelope("tickets@example.org", "ada@example.org", b"Subject: x\r\n\r\nsecret body\r\n")


def certificate(folder: Path, address: str) -> ssl.SSLContext:
    """Make a certificate of a server, which vouches for itself, as `cert`; return its use."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = serialization.PrivateFormat.PKCS8
    folder.mkdir()
    (folder / "cert").write_bytes(made.public_bytes(pem))
    (folder / "key").write_bytes(key.private_bytes(pem, own, serialization.NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


class Seen:
    """What a server was told."""

    def __init__(self) -> None:
        self.raw = b""
        self.letters: list[bytes] = []

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        """Take a letter."""
        self.letters.append(envelope.original_content)
        return "250 2.0.0 taken"


class Overheard(SMTP):
    """A server that notes whatever comes in clear."""

    def data_received(self, data: bytes) -> None:
        """Note what comes, unless it came through TLS."""
        if self.transport is not None and not self.transport.get_extra_info("sslcontext"):
            self.event_handler.raw += data
        super().data_received(data)


def _is_right(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
    is_right = (b"me", PASSWORD.encode()) == (data.login, data.password)
    return AuthResult(success=is_right, handled=False)


@contextlib.asynccontextmanager
async def serving(
    context: ssl.SSLContext | None, *, is_implicit: bool = False
) -> AsyncIterator[tuple[int, Seen]]:
    """Run a server that wants a password, with TLS if there is a context for it."""
    needs_starttls = context is not None and not is_implicit
    seen, port, loop = Seen(), free_port(HOST), asyncio.get_running_loop()

    def protocol() -> SMTP:
        return Overheard(
            seen,
            hostname="mail",
            loop=loop,
            tls_context=None if is_implicit else context,
            require_starttls=needs_starttls,
            authenticator=_is_right,
            auth_required=needs_starttls,
            auth_require_tls=needs_starttls,
        )

    over = context if is_implicit else None
    server = await loop.create_server(protocol, HOST, port, ssl=over)
    try:
        yield port, seen
    finally:
        server.close()


def way_to(port: int, security: str, password: str = PASSWORD) -> Server:
    """Return how the server is reached."""
    return Server(
        host=HOST,
        port=port,
        security=security,
        username="me",
        password=password,
        step_timeout_s=2,
        text_timeout_s=2,
    )


async def sent(server: Server) -> Ending:
    """Hand a letter in."""
    client = Client(server, local_hostname="example.org")
    outcome = await client.send(LETTER)
    await client.close()
    return outcome


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return the TLS of a server whose certificate is known here, as an operator makes it so."""
    made = certificate(tmp_path / "mail", HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail" / "cert"))
    return made


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_over_tls_with_a_password(context: ssl.SSLContext, security: str) -> None:
    """A server whose certificate is right takes the letter; nothing of it was in clear."""
    async with serving(context, is_implicit=security == "tls") as (port, seen):
        assert Ending("sent") == await sent(way_to(port, security))
    assert 1 == len(seen.letters)
    assert b"secret" not in seen.raw
    assert b"AUTH" not in seen.raw


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("fault", ["unknown", "of_another"])
async def test_another_certificate_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str, fault: str
) -> None:
    """A certificate that nobody vouches for, or another host's, ends it before the password."""
    other = certificate(tmp_path / "other", HOST if fault == "unknown" else "192.0.2.1")
    certificate(tmp_path / "mail", HOST)
    known = "mail" if fault == "unknown" else "other"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / known / "cert"))
    async with serving(other, is_implicit=security == "tls") as (port, seen):
        outcome = await sent(way_to(port, security))
    assert "trouble" == outcome.verdict, outcome
    assert outcome.reason.startswith("connect: ")
    assert [] == seen.letters
    assert b"AUTH" not in seen.raw


async def test_without_starttls_nothing_is_said() -> None:
    """A server that offers no TLS, as somebody in between may have it look, gets no password."""
    async with serving(None) as (port, seen):
        outcome = await sent(way_to(port, "starttls"))
    assert "trouble" == outcome.verdict, outcome
    assert [] == seen.letters
    assert b"EHLO" in seen.raw
    assert b"AUTH" not in seen.raw
    assert b"MAIL" not in seen.raw


async def test_a_wrong_password_kills_no_letter(context: ssl.SSLContext, house: House) -> None:
    """A refused password is our trouble: the letter waits, and leaves with the right one."""
    await house.write(booked(await house.event(), user_id=await house.person()))
    await house.follow()
    async with serving(context) as (port, seen):
        house.options = replace(house.options, server=way_to(port, "starttls", "wrong"))
        async with house.working():
            await house.until(delayed=1)
        reason = await house.pool.fetchval("SELECT reason FROM deliveries")
        assert reason.startswith("connect: 535")
        assert [] == seen.letters
        await house.hurry()
        house.options = replace(house.options, server=way_to(port, "starttls"))
        async with house.working():
            await house.until(sent=1)
        assert 1 == len(seen.letters)
