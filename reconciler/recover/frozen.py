"""
What to do about a frozen shard, by its reason; OPERATIONS, "Frozen shard", has the same rows.

Shown wherever a shard is shown as frozen, so that nobody has to look for it at night.
"""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """What helps where the reason of a freeze has these words in it."""

    words: tuple[str, ...]
    #: With the shard's number to be filled in.
    do: str


#: The first that fits.
REMEDIES = (
    Remedy(
        ("violations are left",),
        "`reconciler check --shard {number}` names them: put them right by hand, then "
        "`reconciler repair --apply --shard {number}` opens the shard",
    ),
    Remedy(
        ("--repair-pg",),
        "bring PostgreSQL forward and `reconciler recover --thaw {number}`, or "
        "`reconciler repair --pg --apply --shard {number}`",
    ),
    Remedy(
        (
            "the journal was shortened",
            "records are lost that Redis acted upon",
            "is missing",
            "use --pg",
        ),
        "`reconciler repair --pg --apply --shard {number}`, which loses nothing that is left",
    ),
    Remedy(
        ("neither store has any of its records",),
        "`reconciler recover --thaw {number} --receipts FILE`, or put Redis's data back and "
        "`reconciler recover --thaw {number}`",
    ),
    Remedy(
        ("quarantine", "cannot be persisted", "fails its check"),
        "`reconciler quarantine list --shard {number}`, and mend what it shows",
    ),
    Remedy(
        ("what was rebuilt is not what PostgreSQL has",),
        "`reconciler check --shard {number}` names the rows: mend them, then "
        "`reconciler recover --thaw {number}`",
    ),
    Remedy(("keys have layout",), "start the version of Evently that wrote the keys"),
)
ELSE = "`reconciler check --shard {number}`, and docs/OPERATIONS.md"


def remedy(shard: int, reason: str) -> str:
    """Say what to do about a shard that is frozen for *reason*."""
    for one in REMEDIES:
        if any(words in reason for words in one.words):
            return one.do.format(number=shard)
    return ELSE.format(number=shard)
