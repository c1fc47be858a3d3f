"""
Bounded memories: dictionaries that let go of their oldest entry.

A plain dictionary is no such memory: it keeps the places of what was deleted at its front, and
looks at all of them to find its oldest entry, some 40 us at 50 000 entries (`next(iter(...))`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(memory: OrderedDict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Put an entry into *memory*, at the cost of its oldest if it has *most* already."""
    if key not in memory and len(memory) >= most:
        memory.popitem(last=False)
    memory[key] = value
