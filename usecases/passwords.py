"""
Passwords: Argon2id in a few threads, so that a hundred logins at once do not slow one booking.

Parameters are OWASP's (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. An unknown
account costs the same time as a wrong password (S6, S7).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
#: Hash of no password: compared against when there is no account.
_NOBODY = _HASHER.hash("there is no such account")


def hash_now(password: str) -> str:
    """Hash in this thread: for commands, never for the API."""
    return _HASHER.hash(password)


class Passwords:
    """Hashes and verifies in its own bounded threads."""

    def __init__(self, *, at_once_max: int) -> None:
        """
        Args:
            at_once_max: Hashes computed at the same time; more wait in order.
        """
        self._threads = ThreadPoolExecutor(at_once_max, thread_name_prefix="password")

    async def hash(self, password: str) -> str:
        """Hash a new password; about 25 ms of one thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _HASHER.hash, password
        )

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; with no hash to compare to, take the same time and say no."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _verify, password, password_hash
        )

    def close(self) -> None:
        """Give the threads back; what is under way is finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _verify(password: str, password_hash: str | None) -> bool:
    try:
        _HASHER.verify(password_hash or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None
