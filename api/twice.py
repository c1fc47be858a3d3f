"""
Members that stand twice in a JSON object: refused, since readers differ in which one counts.

The decoder takes the last without a word, so bodies are looked at a second time. That costs some
microseconds per body, and hot bodies are looked at once each, like all else about them.
"""

from __future__ import annotations

import json
from typing import Any

from api.problems import Problem, invalid


class _Twice(Exception):
    """Some object has a member twice."""


class _Object(list[tuple[str, Any]]):
    """An object with all its members."""


def twice(raw: bytes) -> Problem | None:
    """
    Return the answer to JSON in which a member stands twice in an object; None if none does.

    Args:
        raw: JSON that was decoded before, so that it is known to be well-formed and not too deep.
    """
    try:
        _SCAN.decode(raw.decode())
    except _Twice:
        path = _find(_KEEP.decode(raw.decode())) or []
        pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)
        return invalid(pointer, "stands twice in the same object")
    return None


def _check(members: list[tuple[str, Any]]) -> None:
    if len(members) > 1 and len({name for name, _ in members}) < len(members):
        raise _Twice


def _find(value: Any) -> list[str] | None:
    """Return the path to a member that stands twice."""
    steps: list[tuple[str, Any]] = []
    if isinstance(value, _Object):
        seen: set[str] = set()
        for name, _ in value:
            if name in seen:
                return [name]
            seen.add(name)
        steps = value
    elif isinstance(value, list):
        steps = [(str(index), one) for index, one in enumerate(value)]
    for name, one in steps:
        below = _find(one)
        if below is not None:
            return [name, *below]
    return None


#: Numbers stay text: long ones would cost more than all the rest.
_SCAN = json.JSONDecoder(object_pairs_hook=_check, parse_int=str, parse_float=str)
_KEEP = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str)
