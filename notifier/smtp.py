"""
One conversation with the mail server: a client of a worker's own, with a deadline round each step.

aiosmtplib has no pool and one conversation per client, and a connection that the server has closed
may hang; so a client is made anew after any trouble, after so many messages and when it was idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException

#: Messages of one connection, and how long it may be idle, in seconds.
MESSAGES_MAX = 100
IDLE_S_MAX = 60.0
#: After which time one step has failed, in seconds; taking the text may last longer (RFC 5321).
STEP_TIMEOUT_S = 30.0
TEXT_TIMEOUT_S = 120.0

#: How the server is reached, by the scheme of its URL.
SCHEMES = {"smtp": "starttls", "smtps": "tls", "smtp+plain": "plain"}
_PORTS = {"starttls": 587, "tls": 465, "plain": 25}
#: The server, or the way to it, cannot now; nothing is wrong with the message.
_BUSY = {421, 432, 451, 452}
#: Enhanced codes of an address that is not there (RFC 3463).
_NO_SUCH_ADDRESS = {"5.1.1", "5.1.6", "5.1.10"}
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b")

Verdict = Literal["sent", "trouble", "later", "refused", "gone", "unknown"]


class Ending(NamedTuple):
    """
    How an attempt ended.

    `trouble`: the server or the way to it; `later`: it refuses this recipient for now; `refused`:
    for good; `gone`: there is no such address; `unknown`: the text was on its way, and nothing came
    back.
    """

    verdict: Verdict
    #: Step and codes; no text of the server, which may name people.
    reason: str = ""


class Envelope(NamedTuple):
    """A message as it goes to the server."""

    sender: str
    recipient: str
    content: bytes
    #: The recipient's address is not ASCII.
    needs_utf8: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where mail is handed in."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = field(default="", repr=False)
    step_timeout_s: float = STEP_TIMEOUT_S
    text_timeout_s: float = TEXT_TIMEOUT_S

    @property
    def attempt_s_max(self) -> float:
        """How long an attempt may take with all its steps, in seconds: connecting, ending the old
        connection, and the message."""
        return 8 * self.step_timeout_s + self.text_timeout_s


def server_of(url: str) -> Server:
    """
    Read `smtp://user:password@host:port`: with STARTTLS, which is then demanded.

    `smtps://` has TLS from the begin; `smtp+plain://` none, for a server on the same machine.

    Raises:
        ValueError: it is no such URL; the text tells no password.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"not of the form {'://, '.join(SCHEMES)}://host:port")
    security = SCHEMES[parts.scheme]
    return Server(
        host=parts.hostname,
        port=parts.port or _PORTS[security],
        security=security,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


class Client:
    """One worker's way to the server."""

    def __init__(self, server: Server, *, local_hostname: str) -> None:
        self._server = server
        self._local_hostname = local_hostname
        self._smtp: aiosmtplib.SMTP | None = None
        self._messages = 0
        self._used_at_s = 0.0

    async def send(self, envelope: Envelope) -> Ending:
        """Hand a message in; whatever happens is an outcome."""
        step = "connect"
        try:
            smtp = await self._ready()
            options = ["SMTPUTF8"] if envelope.needs_utf8 else []
            if options and not smtp.supports_extension("smtputf8"):
                return Ending("refused", "the server has no SMTPUTF8")
            step = "sender"
            async with asyncio.timeout(self._server.step_timeout_s):
                await smtp.mail(envelope.sender, options=options)
            step = "recipient"
            async with asyncio.timeout(self._server.step_timeout_s):
                await smtp.rcpt(envelope.recipient)
            step = "text"
            async with asyncio.timeout(self._server.text_timeout_s):
                await smtp.data(envelope.content)
        except SMTPResponseException as error:
            await self._after_refusal(error.code)
            return _refusal(step, error.code, error.message)
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            self.drop()
            verdict: Verdict = "unknown" if step == "text" else "trouble"
            return Ending(verdict, f"{step}: {type(error).__name__}")
        except BaseException:  # Cancelled in the middle.
            self.drop()
            raise
        self._messages += 1
        self._used_at_s = time.monotonic()
        return Ending("sent")

    def drop(self) -> None:
        """Let the connection go, without a word."""
        if self._smtp is not None:
            with contextlib.suppress(Exception):
                self._smtp.close()
        self._smtp = None

    async def close(self) -> None:
        """Say good-bye."""
        if self._smtp is not None:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(self._server.step_timeout_s):
                    await self._smtp.quit()
        self.drop()

    async def _ready(self) -> aiosmtplib.SMTP:
        is_old = time.monotonic() - self._used_at_s > IDLE_S_MAX or self._messages >= MESSAGES_MAX
        if self._smtp is not None and (is_old or not self._smtp.is_connected):
            await self.close()
        if self._smtp is None:
            self._smtp = await self._connected()
            self._messages = 0
            self._used_at_s = time.monotonic()
        return self._smtp

    async def _connected(self) -> aiosmtplib.SMTP:
        server = self._server
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=self._local_hostname,
            timeout=server.step_timeout_s,
            use_tls=server.security == "tls",
            start_tls=False,
        )
        try:
            async with asyncio.timeout(2 * server.step_timeout_s):
                await smtp.connect()
            async with asyncio.timeout(2 * server.step_timeout_s):
                if server.security == "starttls":
                    await smtp.starttls()
                if server.username:
                    await smtp.login(server.username, server.password)
        except BaseException:
            with contextlib.suppress(Exception):
                smtp.close()
            raise
        return smtp

    async def _after_refusal(self, code: int) -> None:
        """Begin the next message anew on this connection, if the server goes on talking."""
        smtp = self._smtp
        if smtp is None or code == 421 or not smtp.is_connected:
            self.drop()
            return
        try:
            async with asyncio.timeout(self._server.step_timeout_s):
                await smtp.rset()
        except (SMTPException, OSError, TimeoutError):
            self.drop()


def _refusal(step: str, code: int, text: str) -> Ending:
    """Judge what the server said: by its code, and by the step at which it said it."""
    found = _ENHANCED.match(text.strip())
    enhanced = found[1] if found else ""
    reason = f"{step}: {code} {enhanced}".strip()
    # To connect and to log in is about us: no message is given up for it.
    if step == "connect" or code in _BUSY or not 400 <= code < 600:
        return Ending("trouble", reason)
    if code < 500:
        return Ending("later", reason)
    if step == "recipient" and (enhanced in _NO_SUCH_ADDRESS or (code == 550 and not enhanced)):
        return Ending("gone", reason)
    return Ending("refused", reason)
