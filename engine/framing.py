"""
How the records of one script call are written as one text, and read back.

A check, 40 hex digits of SHA-1, and lines. A line is a record's JSON; or a template: `=` and JSON
with a tab for each value that differs; or a record made of one: the template's number, from 0, and
the values, with tabs between. A rush is many records of one template, which makes them short; and
a check costs Redis by the byte (docs/decisions/0011-one-check-per-entry.md).

Guarantees that no flipped bit passes unnoticed (F9): an AOF has no checksum of its own, so it would
load as truth. The check is made in the script from the very bytes it appends. Where one bit is all
that flipped, it is found by trying, so that one damaged record does not cost those beside it.
"""

from __future__ import annotations

from hashlib import sha1

CHECK_CHARS = 40
#: Texts up to this size are searched for a flipped bit; that takes a second or two.
SEARCHED_BYTES_MAX = 16_384


def digest(text: bytes) -> bytes:
    """Return the SHA-1 of *text* in hex."""
    return sha1(text, usedforsecurity=False).hexdigest().encode()


def add_check(lines: bytes) -> bytes:
    """Put the check before the lines of an entry."""
    return digest(lines) + lines


def take_check(text: bytes) -> bytes | None:
    """Return the lines of an entry, or None if they fail its check."""
    lines = text[CHECK_CHARS:]
    return lines if digest(lines) == text[:CHECK_CHARS] else None


def unfold(lines: bytes) -> list[bytes]:
    """Return the JSON of each record of an entry's lines; one that makes none, as it stands."""
    bodies: list[bytes] = []
    templates: dict[bytes, bytes] = {}
    for line in lines.split(b"\n"):
        kind = line[:1]
        if kind == b"{":
            bodies.append(line)
        elif kind == b"=":
            template = line[1:].replace(b"%", b"%%").replace(b"\t", b"%b")
            # It takes its own number as well, and writes none of it.
            templates[b"%d" % len(templates)] = b"%.0b" + template
        else:
            words = line.split(b"\t")
            try:
                bodies.append(templates[words[0]] % tuple(words))
            except (KeyError, TypeError):
                bodies.append(line)
    return bodies


def mend(text: bytes) -> bytes | None:
    """Return the lines of an entry as they were before one bit flipped; None if it is not that."""
    check, lines = text[:CHECK_CHARS].decode(errors="replace"), text[CHECK_CHARS:]
    if len(lines) > SEARCHED_BYTES_MAX:
        return None
    before = sha1(usedforsecurity=False)
    for at, byte in enumerate(lines):
        rest = lines[at + 1 :]
        for bit in range(8):
            right = bytes([byte ^ 1 << bit]) + rest
            tried = before.copy()
            tried.update(right)
            if tried.hexdigest() == check:
                return lines[:at] + right
        before.update(lines[at : at + 1])
    return None
