"""Names as people read them: two that look the same are one name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from usecases.denials import invalid


def as_read(text: str) -> str:
    """Return what tells a name from another: its letters, without case, width or outer blanks."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join(seen.split())


def require_distinct(labels: Iterable[tuple[str, str]], seen: set[str] | None = None) -> None:
    """
    Deny the second of two names that read the same.

    Args:
        labels: Pairs of JSON pointer and name.

        seen: Names, as they read, that are taken already; those of *labels* are added.
    """
    taken = set() if seen is None else seen
    for pointer, text in labels:
        name = as_read(text)
        if name in taken:
            raise invalid(pointer, "reads like one that is there already")
        taken.add(name)
