"""The pictures of the pages that the documents show."""

from __future__ import annotations

import re

from tests.web.screens import PRODUCT, Shop, shots

BYTES_MAX, ALL_BYTES_MAX = 60_000, 600_000


def test_the_documents_show_six_small_pictures() -> None:
    """Those that `make screens PRODUCT=1` writes, no other, each in its place and small."""
    taken = [f"{one.name}.webp" for one in shots(Shop(*Shop._fields)) if one.is_product]
    text = (PRODUCT.parent / "PRODUCT.md").read_text()
    assert taken == re.findall(r"\]\(product/([\w.-]+)\)", text)
    sizes = {path.name: path.stat().st_size for path in PRODUCT.iterdir()}
    assert (sorted(taken), 6) == (sorted(sizes), len(taken))
    assert max(sizes.values()) <= BYTES_MAX
    assert sum(sizes.values()) <= ALL_BYTES_MAX


def test_twelve_states_are_photographed() -> None:
    """Phones and desks, light and dark, from right to left and without scripts, under one name."""
    looks = [one.look for one in shots(Shop(*Shop._fields))]
    assert 12 == len({one.name for one in shots(Shop(*Shop._fields))}) == len(looks)
    assert {(one.width > 400, one.is_dark) for one in looks} == {
        (is_desk, is_dark) for is_desk in (False, True) for is_dark in (False, True)
    }
    assert {"en", "de", "ar"} == {one.language for one in looks}
    assert not all(one.has_scripts for one in looks)
