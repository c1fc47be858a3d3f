"""MadeUp-up events with words as languages have them: few are common, and most are rare."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from typing import NamedTuple

WORDS = 30_000
PLACES = 300
CATEGORIES = 40
#: Words of a name and of a description: as many as are searched of it.
NAME_WORDS, DESCRIPTION_WORDS = 4, 28
#: What half of the events of even days, and of odd ones, has in its name: asked together, nothing.
EVEN, ODD = "evenly", "oddly"
#: What every event of the last weeks has, and no other: a walk from the begin meets none for long.
LATE = "lately"
LATE_SHARE = 0.05
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"


class MadeUp(NamedTuple):
    """One event as it is filled in."""

    name: str
    description: str
    category: str
    place: str
    starts_at: dt.datetime


class Author:
    """Makes events, the same ones for the same seed."""

    def __init__(self, *, seed: int, first_at: dt.datetime, days: int) -> None:
        """
        Args:
            first_at, days: When the events are: any second of so many days.
        """
        self._random = random.Random(seed)
        pairs = [c + v for c in _CONSONANTS for v in _VOWELS]
        words = ("".join(parts) for parts in itertools.product(pairs, repeat=3))
        self.words = list(itertools.islice(words, 0, len(pairs) ** 3))
        self._random.shuffle(self.words)
        del self.words[WORDS:]
        self._weights = list(itertools.accumulate(1 / (rank + 8) for rank in range(WORDS)))
        self._places = list(itertools.accumulate(1 / (rank + 2) for rank in range(PLACES)))
        self._kinds = list(itertools.accumulate(1 / (rank + 2) for rank in range(CATEGORIES)))
        self._first_at, self._seconds = first_at, days * 86_400

    def event(self) -> MadeUp:
        """Make the next event."""
        draw = self._random
        words = draw.choices(
            self.words, cum_weights=self._weights, k=NAME_WORDS + DESCRIPTION_WORDS
        )
        second = draw.randrange(self._seconds)
        name = words[:NAME_WORDS]
        if draw.random() < 0.5:
            name.append(EVEN if second // 86_400 % 2 == 0 else ODD)
        if second > self._seconds * (1 - LATE_SHARE):
            name.append(LATE)
        return MadeUp(
            " ".join(name),
            " ".join(words[NAME_WORDS:]),
            self.category(),
            self.place(),
            self._first_at + dt.timedelta(seconds=second),
        )

    def category(self) -> str:
        """Draw a category, the first ones more often."""
        return f"Kind {self._random.choices(range(CATEGORIES), cum_weights=self._kinds)[0]}"

    def place(self) -> str:
        """Draw a place, the first ones more often."""
        return f"Town {self._random.choices(range(PLACES), cum_weights=self._places)[0]}"

    def word(self, first: int, last: int) -> str:
        """Draw a word whose rank among the common ones lies between two, from 0."""
        return self.words[self._random.randrange(first, last)]
