"""
Style, scripts and pictures: served from memory, compressed, for ever at one address.

The address has a digest of all of them in it, so that a browser never asks for one twice and never
mixes two releases; a script names another beside it without knowing the digest.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "png": "image/png",
    "txt": "text/plain",
}
PREFIX = "/static/"


class Asset(NamedTuple):
    """A file as it is served."""

    kind: str
    body: bytes
    gzipped: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return all files by name."""
    return dict(_read())


def _read() -> Iterator[tuple[str, Asset]]:
    files: list[Traversable] = sorted(
        resources.files("web.static").iterdir(), key=lambda one: one.name
    )
    for file in files:
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind is not None:
            body = file.read_bytes()
            yield file.name, Asset(kind, body, gzip.compress(body, mtime=0))


@cache
def edition() -> str:
    """Return the digest of all files."""
    whole = blake2b(digest_size=8)
    for name, asset in assets().items():
        whole.update(name.encode() + b"\0" + asset.body + b"\0")
    return whole.hexdigest()


def address(name: str) -> str:
    """Return where a file is served; a name that there is not is a mistake of ours."""
    if name not in assets():
        raise KeyError(name)
    return f"{PREFIX}{edition()}/{name}"
