"""F44 under `make chaos`: what letters are held against, and that a wrong one is seen."""

from __future__ import annotations

import pytest

from loadtests.chaos.letters import Facts, Row, told_wrong
from notifier.letter import tag_of

ROW = Row("booking.confirmed/bk_1/usr_1/", "usr_1", "booking.confirmed", "bk_1", "sent", 0)
OVER = Row("booking.cancelled/bk_2/usr_1/", "usr_1", "booking.cancelled", "bk_2", "sent", 0)
FACTS = Facts([ROW, OVER], {"bk_1"})


def ids(*rows: Row) -> list[str]:
    """Return the Message-IDs of rows' letters."""
    return [f"<{tag_of(row.fact, row.target)}@example.org>" for row in rows]


def test_f44_letters_of_facts_hold() -> None:
    """F44: a letter for each fact is right, and one that came twice with a doubt as well."""
    assert [] == told_wrong(ids(ROW, OVER), FACTS)
    doubted = Facts([ROW._replace(doubts=1), OVER], {"bk_1"})
    assert [] == told_wrong(ids(ROW, ROW, OVER), doubted)


@pytest.mark.parametrize(
    ("came", "facts", "text"),
    [
        ([*ids(ROW), "<0@example.org>"], FACTS, "a letter is of no fact: 0"),
        (ids(OVER), FACTS, "bk_1 has no confirmation"),
        (ids(ROW), FACTS._replace(confirmed={"bk_1", "bk_3"}), "bk_3 has no confirmation"),
        (ids(ROW), Facts([ROW._replace(state="dead")], {"bk_1"}), "bk_1 has no confirmation"),
        (ids(ROW, ROW), FACTS, "booking.confirmed/bk_1/usr_1/ came 2 times, with 0 doubts"),
    ],
)
def test_f44_wrong_letters_are_seen(came: list[str], facts: Facts, text: str) -> None:
    """F44: a letter of nothing, a booking without one, and an uncounted double are violations."""
    assert [text] == [one.text for one in told_wrong(came, facts)]
