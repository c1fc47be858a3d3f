"""A trouble that lasts is told once, and once when it is over."""

from __future__ import annotations

from engine.lasting import LINES_MAX, TOLD_MAX, WHILE_S, Lasting, Seldom


def test_told_once_and_once_when_it_is_over() -> None:
    """The same again is no news, nor is one that comes and goes; after its end it is."""
    trouble = Lasting()
    assert not trouble.end()
    told = [trouble.is_news(text) for text in ("refused", "refused", "starting up", "refused")]
    assert [True, False, True, False] == told
    assert (True, False) == (trouble.end(), trouble.end())
    assert trouble.is_news("refused")


def test_numbers_make_no_other_trouble() -> None:
    """A port, an epoch or a time that changes with each try is the same trouble."""
    trouble = Lasting()
    assert trouble.is_news("epoch 7: no answer after 1.003 s")
    assert not trouble.is_news("epoch 18: no answer after 0.998 s")


def test_bounded() -> None:
    """However many troubles take turns, only so many lines are written."""
    trouble = Lasting()
    words = [f"trouble {chr(97 + number)}" for number in range(TOLD_MAX + 5)]
    assert TOLD_MAX == sum(trouble.is_news(word) for word in words)


def test_lines_that_requests_cause_are_few() -> None:
    """A thousand requests that fail alike are some lines, and the next while says how many."""
    now_s = [100.0]
    seldom = Seldom(monotonic_s=lambda: now_s[0])
    told = [seldom.left_out() for _ in range(1_000)]
    assert [0] * LINES_MAX == [count for count in told if count is not None]
    now_s[0] += WHILE_S
    assert [1_000 - LINES_MAX, 0] == [seldom.left_out(), seldom.left_out()]
