"""The fonts of papers: Noto's, from packages that are pinned, and none of the machine's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import manimgx_fonts
import noto_cjk_sans_jp_regular
import typst

#: Those that are asked for a character, in order: Latin, Greek and Cyrillic are the first's. What
#: none of them has, typst finds among all that are loaded.
FAMILIES: Final = ("Noto Sans", "Noto Sans Arabic", "Noto Sans CJK JP", "Noto Emoji")


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
