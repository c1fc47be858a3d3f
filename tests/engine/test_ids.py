"""Ids: form, order, derivation, and the range that a booking's id gives for its event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import booking_id, event_id_range, first_id, is_id, new_id, ticket_id

MOMENTS_MS = st.integers(min_value=0, max_value=2**48 - 1)
USER = "usr_" + 26 * "0"


@pytest.mark.parametrize("prefix", ["evt", "tier", "usr", "org"])
def test_form(prefix: str) -> None:
    """A drawn id has its prefix and passes as an id of that prefix only."""
    drawn = new_id(prefix)
    assert is_id(prefix, drawn)
    assert not is_id("bk", drawn)
    assert len(prefix) + 27 == len(drawn)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt_",
        "evt_" + 25 * "0",
        "evt_" + 27 * "0",
        "evt_" + 26 * "w",
        "evt_" + 26 * "V",
        "evt_" + 26 * "0" + "\n",
        "evt_" + 25 * "0" + "}",
        "evt_" + 26 * "٣",
        " evt_" + 26 * "0",
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    """What may become a key has the exact form: no braces, spaces or other digits."""
    assert not is_id("evt", text)


@given(MOMENTS_MS, MOMENTS_MS)
def test_ids_sort_by_time(first_ms: int, second_ms: int) -> None:
    """Ids of different moments compare as the moments do."""
    if first_ms != second_ms:
        first, second = new_id("evt", at_ms=first_ms), new_id("evt", at_ms=second_ms)
        assert (first_ms < second_ms) == (first < second)


@given(MOMENTS_MS)
def test_first_id_is_the_bound(at_ms: int) -> None:
    """No id of a moment is below its first id, and none of the moment before is above."""
    assert is_id("evt", first_id("evt", at_ms=at_ms))
    assert first_id("evt", at_ms=at_ms) <= new_id("evt", at_ms=at_ms)
    if at_ms:
        assert new_id("evt", at_ms=at_ms - 1) < first_id("evt", at_ms=at_ms)


def test_drawn_ids_differ() -> None:
    """Ids drawn for one moment differ."""
    assert 1000 == len({new_id("usr", at_ms=1) for _ in range(1000)})


@given(MOMENTS_MS, st.text(st.characters(exclude_categories=["Cs"]), max_size=255))
def test_i6_booking_id_is_derived(at_ms: int, key: str) -> None:
    """I6: user, event and key give one id, of the booking's form."""
    event = new_id("evt", at_ms=at_ms)
    first = booking_id(event_id=event, user_id=USER, idempotency_key=key)
    assert first == booking_id(event_id=event, user_id=USER, idempotency_key=key)
    assert is_id("bk", first)


def test_i6_booking_id_depends_on_all_three() -> None:
    """I6: another user, event or key gives another id, also where texts run together."""
    event, other = new_id("evt"), new_id("evt")
    ids = {
        booking_id(event_id=event, user_id="usr_a", idempotency_key="k"),
        booking_id(event_id=event, user_id="usr_b", idempotency_key="k"),
        booking_id(event_id=other, user_id="usr_a", idempotency_key="k"),
        booking_id(event_id=event, user_id="usr_a", idempotency_key="K"),
        booking_id(event_id=event, user_id="usr_a", idempotency_key=""),
        booking_id(event_id=event, user_id="usr_ak", idempotency_key=""),
    }
    assert 6 == len(ids)


@given(MOMENTS_MS)
def test_event_lies_in_the_range_of_its_bookings(at_ms: int) -> None:
    """The event of a booking lies in the range that the booking's id gives."""
    event = new_id("evt", at_ms=at_ms)
    low, high = event_id_range(booking_id(event_id=event, user_id=USER, idempotency_key="k"))
    assert low <= event <= high
    assert is_id("evt", low)
    assert is_id("evt", high)


@given(st.integers(min_value=1, max_value=2**48 - 2))
def test_range_excludes_other_moments(at_ms: int) -> None:
    """Events of the ms before and after lie outside the range."""
    event = new_id("evt", at_ms=at_ms)
    low, high = event_id_range(booking_id(event_id=event, user_id=USER, idempotency_key="k"))
    assert new_id("evt", at_ms=at_ms - 1) < low
    assert high < new_id("evt", at_ms=at_ms + 1)


def test_booking_sorts_with_its_event() -> None:
    """Bookings of a later event sort after those of an earlier one: partitions stay apart."""
    early, late = new_id("evt", at_ms=1_000), new_id("evt", at_ms=1_001)
    first = booking_id(event_id=early, user_id=USER, idempotency_key="k")
    assert first < booking_id(event_id=late, user_id=USER, idempotency_key="k")


def test_ticket_id_is_derived() -> None:
    """A ticket's id is its booking's with the ticket's number."""
    assert "tkt_abc_2" == ticket_id("bk_abc", 2)
