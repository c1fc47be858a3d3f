"""
What must not stand where many read: in logs, and in reasons that are kept for operators.

Errors quote: PostgreSQL the row that it refuses, a damaged record itself. What they say of people,
and of their secrets, is left out here, wherever it comes from (S28).
"""

from __future__ import annotations

import re

LEFT_OUT = "<left out>"

#: What is looked for, and what stands for it. The order counts: a row may have all of the others.
_PATTERNS = (
    (re.compile(r"Failing row contains \(.*\)", re.DOTALL), f"Failing row contains {LEFT_OUT}"),
    # What somebody wrote beside an order, and all behind it.
    (re.compile(r'\\?"detail\\?":\s*\{\\?".*', re.DOTALL), f'"detail":{LEFT_OUT}'),
    (re.compile(r"\$argon2[a-z]{1,2}\$[A-Za-z0-9+/=$,.]+"), LEFT_OUT),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"), LEFT_OUT),
    # API keys and tokens of devices, behind the part that names their rows; refresh tokens.
    (re.compile(r"\b(ev[kd]_[0-9a-v]{12}|evr)_[\w-]{16,}"), rf"\1_{LEFT_OUT}"),
    (re.compile(r"(?i)\bbearer\s+[\w.~+/-]{8,}=*"), f"Bearer {LEFT_OUT}"),
    (
        re.compile(r"[^\s@<>()\[\]{}\"',;:=/\\]{1,64}@[^\W_][\w.-]{0,253}\.[^\W\d_]{2,63}"),
        "<address>",
    ),
)


def scrubbed(text: str) -> str:
    """Return *text* without addresses, secrets, rows, and what people wrote."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
