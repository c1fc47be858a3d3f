"""
Text of others on a terminal: what would steer it, or turn the order of letters, is spelled out.

Names come in without such characters (`usecases.text`), but rows of older code, records that are
damaged, and what somebody wrote into a store by hand may have them.
"""

from __future__ import annotations

import re

#: Control characters, ends of lines of any kind, marks that change the direction of writing.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return *text* as one line that can do nothing to a terminal, such as `\\x1b[2J`."""
    return _STEERING.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
