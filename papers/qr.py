"""A text as a QR code."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import Final

import segno

#: Modules of white around it; readers want four (ISO 18004).
QUIET_ZONE: Final = 4
#: Which of the eight patterns is laid over the code. A signature is as good as random, so one is as
#: good as another, and to weigh all eight takes four fifths of the time.
MASK: Final = 2
#: Pixels of a module: a code is about as large as a phone shows it.
SCALE: Final = 6
_DARK = re.compile(rb"\x01+")


def svg(text: str, *, quiet_zone: int = QUIET_ZONE) -> bytes:
    """
    Return a QR code as an SVG image, black on white, that is as large as it is shown.

    Level M: a crease or a reflection may hide about 15 % of it.
    """
    code = _code(text)
    side = len(code.matrix) + 2 * quiet_zone
    # A stroke for each run of dark modules, which is read faster than an area of four corners.
    runs = [
        f"M{run.start() + quiet_zone} {y}.5h{len(run[0])}"
        for y, row in enumerate(code.matrix, start=quiet_zone)
        for run in _DARK.finditer(row)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/>'
        f'<path stroke="#000" d="{"".join(runs)}"/></svg>'
    ).encode()


def png(text: str) -> bytes:
    """Return a QR code as a PNG image, black on white, with its quiet zone."""
    file = io.BytesIO()
    _code(text).save(file, kind="png", scale=SCALE, border=QUIET_ZONE)
    return file.getvalue()


@lru_cache(maxsize=2)
def _code(text: str) -> segno.QRCode:
    """Lay a code out once for a letter, which shows it as a picture and in its PDF."""
    return segno.make_qr(text, error="m", boost_error=False, mask=MASK)
