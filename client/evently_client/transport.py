"""How a request is sent: one attempt, and attempts until somebody has decided."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 * 1024 * 1024
_encode = msgspec.json.Encoder().encode
#: Whoever answers so has decided nothing, or nobody knows what.
_UNDECIDED = frozenset({0, 500, 502, 503, 504})


class Request(NamedTuple):
    """What is asked, the same in each attempt."""

    path: str
    #: Anything that has a JSON form; None sends no body.
    body: Any = None
    #: Idempotency-Key; what has none is sent again only if its method may be.
    key: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = {}

    @property
    def is_repeatable(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return bool(self.key) or self.method in {"GET", "HEAD", "PUT", "DELETE"}


class Answer(NamedTuple):
    """What came of one attempt."""

    #: HTTP status; 0 if nothing was answered.
    status: int
    #: The answer's bytes; of no answer, the name of what went wrong.
    content: bytes
    headers: Mapping[str, str] = {}
    #: Whether it is certain that the service never had the request.
    is_unsent: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def is_decided(self) -> bool:
        """Whether the service has said yes or no."""
        return self.status not in _UNDECIDED

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that `Retry-After` asks for; None if it does not."""
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isascii() and text.isdigit() else None

    @property
    def body(self) -> dict[str, Any]:
        """The answer's object; empty if it has none, `code` alone if nothing was answered."""
        if not self.status:
            return {"code": self.content.decode()}
        try:
            found = msgspec.json.decode(self.content)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


class Unanswered(Exception):
    """Nobody has decided in time. With the same key the same may be asked later."""

    def __init__(self, request: Request, last: Answer) -> None:
        said = f"{last.status}" if last.status else last.content.decode()
        super().__init__(f"{request.method} {request.path}: undecided, last {said}")
        self.request = request
        self.last = last


class Patience(NamedTuple):
    """How long, and how often, one asks."""

    #: In all, in seconds; a pause that would pass it is not begun.
    total_s: float = 30.0
    #: The longest first pause, in seconds; it doubles with each.
    first_s: float = 0.05
    longest_s: float = 5.0

    def pause_s(self, number: int, answer: Answer) -> float:
        """Return the pause behind attempt *number* (from 0): scattered, not below Retry-After."""
        most_s = min(self.longest_s, self.first_s * 2 ** min(number, 20))
        return (answer.retry_after_s or 0.0) + random.uniform(0, most_s)  # noqa: S311


async def attempt(
    session: aiohttp.ClientSession,
    request: Request,
    *,
    token: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """
    Send a request once; whatever happens is an answer.

    Args:
        session: Of the service's base URL.

        token: Who asks; empty: nobody.

        timeout_s: After which it is given up, whatever the service does.
    """
    headers = dict(request.headers)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if request.key:
        headers["Idempotency-Key"] = request.key
    data = None
    if request.body is not None:
        data, headers["Content-Type"] = _encode(request.body), "application/json"
    try:
        async with session.request(
            request.method,
            request.path,
            data=data,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            allow_redirects=False,
        ) as response:
            content = bytearray()
            async for part in response.content.iter_any():
                content += part
                if len(content) > BODY_BYTES_MAX:
                    return Answer(0, b"TooLarge")
            return Answer(response.status, bytes(content), response.headers)
    except aiohttp.ClientConnectorError as error:
        return Answer(0, type(error).__name__.encode(), is_unsent=True)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(0, type(error).__name__.encode())


async def until_decided(
    session: aiohttp.ClientSession,
    request: Request,
    patience: Patience,
    *,
    token: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """
    Send a request until the service has decided.

    429 counts as decided if it would end behind the patience.

    Raises:
        Unanswered: the time is up, or it must not be asked twice and may have been done.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience.total_s
    number = 0
    while True:
        left_s = max(0.001, deadline_s - loop.time())
        answer = await attempt(session, request, token=token, timeout_s=min(timeout_s, left_s))
        is_late = answer.status == 429 and answer.retry_after_s is not None
        if answer.is_decided and not is_late:
            return answer
        pause_s = patience.pause_s(number, answer)
        if loop.time() + pause_s >= deadline_s:
            if is_late:
                return answer
            raise Unanswered(request, answer)
        if not (request.is_repeatable or answer.is_unsent or is_late):
            raise Unanswered(request, answer)
        await asyncio.sleep(pause_s)
        number += 1
