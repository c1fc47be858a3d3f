"""Bounded memories: dictionaries that let go of their oldest entry."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(memory: dict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Put an entry into *memory*, at the cost of its oldest if it has *most* already."""
    if key not in memory and len(memory) >= most:
        # Oldest first: dictionaries keep the order of insertion.
        del memory[next(iter(memory))]
    memory[key] = value
