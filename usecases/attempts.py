"""
Attempts of strangers: passwords that they miss, and accounts that they make.

Counted in PostgreSQL, over all processes, since neither can be done without it: where nothing can
be counted, nothing is done. Who has missed too often is refused whatever password they bring, so
that it tells them nothing; but who brings the right one from a place where the person of the
account has signed in before is let in: strangers cannot lock anybody out of where they live.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from store import limits
from store.limits import Counted
from store.pool import Pool
from usecases.buckets import Rate
from usecases.memory import remember
from usecases.metrics import count_limited
from usecases.text import email_forms

#: Buckets that are known to be empty; at about 150 bytes each.
EMPTY_MAX = 10_000
#: How long a process believes that a bucket is empty, in seconds: an operator may lift limits.
BELIEVED_S = 1.0
#: Share that the last work has in what work usually takes.
_NEWEST = 0.1


#: What is limited, as callers are told it and buckets are named.
SIGN_IN = "sign-in"
REGISTRATIONS = "registrations"
LETTERS = "letters"
REQUESTS = "requests"
EXPORTS = "exports"


def buckets_of(*, account: str = "", origin: str = "") -> list[str]:
    """Return the names of all buckets of an account or a network address, each by its word."""
    found = [f"{SIGN_IN}:account:{account}", f"{SIGN_IN}:home:{account}"] if account else []
    if origin:
        found += [f"{SIGN_IN}:origin:{origin}"]
        found += [f"{name}:{origin}" for name in (REGISTRATIONS, LETTERS, REQUESTS)]
    return found


class Try(NamedTuple):
    """Somebody tries to sign in."""

    #: A word for the address of the account, whether there is one or not; empty until it is known.
    account: str
    #: A word for the network address; empty if nobody can tell.
    origin: str
    began_s: float


class Attempts:
    """Counts what strangers try."""

    def __init__(
        self,
        pool: Pool,
        *,
        sign_in: Rate,
        sign_in_of_all: Rate,
        registrations: Rate,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            sign_in: Passwords missed of one account, and from one network address.

            sign_in_of_all: Passwords missed of all accounts together.

            registrations: Accounts made from one network address.

            now_s: Tells the time, in seconds from anywhere.
        """
        self._pool = pool
        self._sign_in = sign_in
        self._of_all = sign_in_of_all
        #: What is told to who has missed too often, whichever bucket it was.
        self._told = sign_in if sign_in.attempts_max else sign_in_of_all
        self._registrations = registrations
        self._now_s = now_s
        #: Until when buckets are empty, and until when that is believed: knocking on costs little.
        self._empty_until_s: OrderedDict[str, tuple[float, float]] = OrderedDict()
        #: How long it takes to compare a password, in s; 0 while none was.
        self._usual_s = 0.0

    async def register(self, origin: str) -> None:
        """
        Count an account that is to be made from an origin.

        Raises:
            Denied: too many were made from there.
        """
        await self.take(self._registrations, origin)

    async def write(self, origin: str) -> None:
        """
        Count a letter that somebody asks for from an origin, as often as accounts may be made.

        Raises:
            Denied: too many were asked for from there.
        """
        await self.take(self._registrations._replace(name=LETTERS), origin)

    async def take(self, rate: Rate, *whose: str) -> None:
        """
        Count something that is to be done once, for each of *whose*; empty words count nothing.

        Raises:
            Denied: one of them has done it too often; then it is counted for none.
        """
        buckets = [
            Counted(f"{rate.name}:{who}", rate.attempts_max, rate.window_ms)
            for who in dict.fromkeys(whose)
            if who and rate.attempts_max
        ]
        if buckets:
            self._deny(rate, self._known_wait_ms(buckets))
            waits_ms = await limits.take(self._pool, buckets, wholly=True)
            self._deny(rate, self._note_waits(buckets, waits_ms))

    async def begin(self, email: str, origin: str) -> Try:
        """
        Begin a sign-in to the account of *email*, before any work is spent on it.

        What is known to be refused takes as long as a password that is compared, and no work: how
        long it took tells nobody whether the place is familiar.

        Raises:
            Denied: too many passwords were missed.
        """
        began_s = self._now_s()
        if not self._told.attempts_max:
            return Try("", origin, began_s)
        account = await limits.account_word(self._pool, email_forms(email)[0])
        tried = Try(account, origin, began_s)
        wait_ms = await self._wait_ms(self._buckets(tried))
        if wait_ms and not await self._is_at_home(tried):
            await asyncio.sleep(self._usual_s)
            self._deny(self._told, wait_ms)
        return tried

    async def begin_proof(self, origin: str, email: str = "") -> Try:
        """
        Begin a sign-in by what nobody can guess: a provider's word, a passkey.

        The network address alone binds it, for the work that it makes: however often strangers
        miss the password of an account, they keep nobody out who has such a proof.

        Args:
            email: The address of the account, if it is known before anything is proved.

        Raises:
            Denied: too much was missed from there, and the account is not at home there.
        """
        tried = Try("", origin, self._now_s())
        wait_ms = await self._wait_ms(self._of_origin(tried))
        if wait_ms and not (email and await self._is_at_home(await self._named(tried, email))):
            self._deny(self._sign_in, wait_ms)
        return tried

    async def end_proof(self, tried: Try, email: str | None) -> None:
        """
        End such a sign-in: count it if nothing was proved, and refuse what is to be refused.

        Args:
            email: The address of the account; None if nothing was proved.

        Raises:
            Denied: too much was missed from there, and the account is not at home there.
        """
        buckets = self._of_origin(tried)
        if not buckets:
            return
        if email is None:
            waits_ms = await limits.take(self._pool, buckets, wholly=False)
            self._deny(self._sign_in, self._note_waits(buckets, waits_ms))
            return
        tried = await self._named(tried, email)
        await self._let_in(tried, buckets, self._sign_in)
        await limits.note(self._pool, tried.account, tried.origin)

    async def _named(self, tried: Try, email: str) -> Try:
        return tried._replace(account=await limits.account_word(self._pool, email_forms(email)[0]))

    async def end(self, tried: Try, *, is_right: bool) -> None:
        """
        End a sign-in: count it if the password was wrong, and refuse what is to be refused.

        Atomicity: exact; of any number at once no more than the limit learn that they were wrong.

        Raises:
            Denied: too many passwords were missed, also if this one is right.
        """
        took_s = self._now_s() - tried.began_s
        self._usual_s += (took_s - self._usual_s) * (_NEWEST if self._usual_s else 1)
        if not tried.account:
            return
        buckets = self._buckets(tried)
        if not is_right:
            # The place counts for itself as well; it binds where the others are lifted.
            at_home = self._at_home(tried)
            waits_ms = await limits.take(self._pool, [*buckets, *at_home], wholly=False)
            self._note_waits(at_home, waits_ms[len(buckets) :])
            self._deny(self._told, self._note_waits(buckets, waits_ms[: len(buckets)]))
            return
        await self._let_in(tried, buckets, self._told)
        if tried.origin:
            await limits.note(self._pool, tried.account, tried.origin)

    def _buckets(self, tried: Try) -> list[Counted]:
        """Return what binds all who try: the account, the network address, and all together."""
        rate, of_all = self._sign_in, self._of_all
        found = []
        if rate.attempts_max:
            name = f"{rate.name}:account:{tried.account}"
            found.append(Counted(name, rate.attempts_max, rate.window_ms))
        found += self._of_origin(tried)
        if of_all.attempts_max:
            found.append(Counted(f"{rate.name}:all", of_all.attempts_max, of_all.window_ms))
        return found

    def _of_origin(self, tried: Try) -> list[Counted]:
        """Return what binds all who try from a network address."""
        rate = self._sign_in
        if not (rate.attempts_max and tried.origin):
            return []
        return [Counted(f"{rate.name}:origin:{tried.origin}", rate.attempts_max, rate.window_ms)]

    def _at_home(self, tried: Try) -> list[Counted]:
        """Return what binds who is where the person has signed in before."""
        rate = self._sign_in
        if not (rate.attempts_max and tried.origin):
            return []
        name = f"{rate.name}:home:{tried.account}:{tried.origin}"
        return [Counted(name, rate.attempts_max, rate.window_ms)]

    async def _let_in(self, tried: Try, buckets: Sequence[Counted], rate: Rate) -> None:
        """Refuse who is right where too much was missed, unless they are at home there."""
        wait_ms = self._note_waits(buckets, await limits.look(self._pool, buckets))
        if wait_ms and not await self._is_at_home(tried):
            self._deny(rate, wait_ms)

    async def _is_at_home(self, tried: Try) -> bool:
        """Whether who tries is where the person has signed in before, and has attempts there."""
        if not tried.origin:
            return False
        is_familiar = await limits.knows(self._pool, tried.account, tried.origin)
        at_home = self._at_home(tried)
        waits_ms = await limits.look(self._pool, at_home) if at_home else []
        return is_familiar and not any(waits_ms)

    def _known_wait_ms(self, buckets: Sequence[Counted]) -> int:
        """Return how long buckets are believed to be empty, in ms; 0 if none is."""
        now_s = self._now_s()
        known = (self._empty_until_s.get(one.name, (0.0, 0.0)) for one in buckets)
        until_s = max((until_s for until_s, believed_s in known if now_s < believed_s), default=0)
        return max(0, round((until_s - now_s) * 1000))

    async def _wait_ms(self, buckets: Sequence[Counted]) -> int:
        """Return the same; where what is known is old it is looked up, which costs no hash."""
        wait_ms = self._known_wait_ms(buckets)
        if wait_ms or not any(one.name in self._empty_until_s for one in buckets):
            return wait_ms
        return self._note_waits(buckets, await limits.look(self._pool, buckets))

    def _note_waits(self, buckets: Sequence[Counted], waits_ms: Sequence[int]) -> int:
        """Note which buckets are empty, and until when; return the longest wait, in ms."""
        now_s = self._now_s()
        for one, wait_ms in zip(buckets, waits_ms, strict=True):
            if wait_ms:
                until = now_s + wait_ms / 1000, now_s + BELIEVED_S
                remember(self._empty_until_s, one.name, until, most=EMPTY_MAX)
            else:
                self._empty_until_s.pop(one.name, None)
        return max(waits_ms, default=0)

    def _deny(self, rate: Rate, wait_ms: int) -> None:
        if wait_ms:
            count_limited(rate.name)
            raise rate.denial(wait_ms)
