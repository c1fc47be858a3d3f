"""The fonts of papers: Noto's, from packages that are pinned, and none of the machine's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import manimgx_fonts
import noto_cjk_sans_jp_regular
import typst

#: In the order in which they are asked for a character; Latin, Greek and Cyrillic are the first's.
FAMILIES: Final = (
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans CJK JP",
    "Noto Emoji",
    "Noto Sans Symbols",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
    "Noto Sans Kannada",
    "Noto Sans Malayalam",
    "Noto Sans Gujarati",
    "Noto Sans Gurmukhi",
    "Noto Sans Oriya",
    "Noto Sans Sinhala",
    "Noto Sans Thai",
    "Noto Sans Lao",
    "Noto Sans Khmer",
    "Noto Sans Myanmar",
    "Noto Sans Georgian",
    "Noto Sans Armenian",
    "Noto Sans Ethiopic",
)


@cache
def loaded() -> typst.Fonts:
    """Return the fonts, read once: reading them anew for each paper would take most of its time."""
    folders = [
        str(Path(package.__file__ or "").parent)
        for package in (manimgx_fonts, noto_cjk_sans_jp_regular)
    ]
    return typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[*folders]
    )
