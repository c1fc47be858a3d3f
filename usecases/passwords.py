"""
Passwords: Argon2id in a few threads, so that a hundred logins at once do not slow one booking.

More wait, up to a bound; who comes then is told to come back, and nobody waits for ever.

Parameters are OWASP's (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. An unknown
account costs the same time as a wrong password (S6, S7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar, TypeVarTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.errors import Overloaded

Given = TypeVarTuple("Given")
Result = TypeVar("Result")

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
#: Hash of no password: compared against when there is no account.
_NOBODY = _HASHER.hash("there is no such account")


class Match(NamedTuple):
    """Which of some hashes a password is of."""

    #: Its place among them.
    number: int
    #: Whether it is of older parameters, or of the password as it was typed: to be made anew.
    is_stale: bool


def hash_now(password: str) -> str:
    """Hash in this thread: for commands, never for the API."""
    return _HASHER.hash(password)


class Passwords:
    """Hashes and verifies in its own bounded threads."""

    def __init__(self, *, at_once_max: int, waiting_max: int) -> None:
        """
        Args:
            at_once_max: Hashes computed at the same time; more wait in order.

            waiting_max: How many may wait besides; the next is refused.
        """
        self._threads = ThreadPoolExecutor(at_once_max, thread_name_prefix="password")
        self._asked = 0
        self._asked_max = at_once_max + waiting_max

    async def hash(self, password: str) -> str:
        """Hash a new password; about 25 ms of one thread. Raises `Overloaded`."""
        return await self._in_thread(_HASHER.hash, password)

    async def verify(self, forms: Sequence[str], *hashes: str | None) -> Match | None:
        """
        Tell which of *hashes* a password is of, the first if of several; None if of none.

        What is no hash takes the same time as one that does not fit.

        Args:
            forms: The password as it is hashed now, then as older code did.

        Raises:
            Overloaded: too many wait already.
        """
        return await self._in_thread(_verify, forms, hashes)

    def close(self) -> None:
        """Give the threads back; what is under way is finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[*Given], Result], *given: *Given) -> Result:
        if self._asked >= self._asked_max:
            raise Overloaded("too many passwords wait to be hashed")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        finally:
            self._asked -= 1


def _verify(forms: Sequence[str], hashes: Sequence[str | None]) -> Match | None:
    for number, text in enumerate(hashes):
        for form in forms:
            if _is_of(form, text or _NOBODY) and text is not None:
                return Match(number, form != forms[0] or _HASHER.check_needs_rehash(text))
    return None


def _is_of(password: str, password_hash: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
