"""What use cases ask of servers that are not ours; a face brings what speaks HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Fetched(NamedTuple):
    """An answer from outside."""

    status: int
    body: bytes


class Unreachable(Exception):
    """No answer came that could be used; the message is for the log."""


class Fetch(Protocol):
    """Asks a server outside: in bounded time, for a bounded answer, and never another's."""

    async def __call__(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """
        Send one request; follow no redirect.

        Args:
            form: Sent by POST if it is given.

        Raises:
            Unreachable: the server is none that may be asked, or gave no whole answer in time.
        """


async def nobody(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    """Stand in where nothing outside is asked."""
    raise Unreachable(f"nothing outside is asked here, nor {url}")
