"""The list of pages, their states and the tests that see them."""

from __future__ import annotations

from tests.web import page_states


def test_the_list_is_of_the_code() -> None:
    """docs/PAGES_STATES.md is what `make docs` writes, and marks are of states that there are."""
    assert [] == page_states.foreign()
    document = page_states.ROOT / "docs" / "PAGES_STATES.md"
    assert page_states.written() == document.read_text(), "make docs"
