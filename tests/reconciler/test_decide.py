"""The decision over every kind of evidence: kept, rebuilt, or frozen."""

from __future__ import annotations

import pytest

from engine import keys
from reconciler.recover.decide import Drift, Evidence, Meta, decide, require_past


def meta(epoch: int, seq: int, **other: int | str) -> Meta:
    """Make what Redis says of itself."""
    return Meta.of(
        {  # type: ignore[return-value]
            b"epoch": b"%d" % epoch,
            b"seq": b"%d" % seq,
            b"layout": b"%d" % keys.LAYOUT_VERSION,
            **{name.encode(): str(value).encode() for name, value in other.items()},
        }
    )


@pytest.mark.parametrize(
    ("found", "checkpoints", "has_merged", "expected"),
    [
        (None, {}, False, ("keep", "")),
        (None, {1: 0}, False, ("keep", "")),
        (None, {1: 5, 2: 0}, False, ("rebuild", "all")),
        (meta(1, 5), {1: 5}, False, ("keep", "")),
        (meta(2, 0), {1: 5, 2: 0}, False, ("keep", "")),
        # A later claim crashed before it opened: its epoch is known and empty.
        (meta(1, 5), {1: 5, 2: 0}, False, ("keep", "")),
        (meta(1, 4), {1: 5}, False, ("rebuild", "epoch 1: 5..5")),
        (meta(1, 5), {1: 5, 2: 3}, False, ("rebuild", "epoch 2: 1..3")),
        (meta(1, 2), {1: 5, 2: 3}, False, ("rebuild", "epoch 1: 3..5, epoch 2: 1..3")),
        (meta(1, 5), {1: 5}, True, ("rebuild", "")),
        (meta(3, 0, state="rebuilding"), {1: 5, 3: 0}, False, ("rebuild", "")),
        (meta(1, 6), {1: 5}, False, None),
        (meta(1, 6), {}, False, None),
    ],
)
def test_decide(
    found: Meta | None,
    checkpoints: dict[int, int],
    has_merged: bool,
    expected: tuple[str, str] | None,
) -> None:
    """Redis is kept only where both end alike, and rebuilt only where PostgreSQL has more."""
    evidence = Evidence(found, checkpoints, has_merged)
    if expected is None:
        with pytest.raises(Drift, match="records are lost"):
            decide(evidence)
    else:
        assert expected == (decide(evidence).name, evidence.lost_range)


@pytest.mark.parametrize("found", [None, meta(1, 0), meta(1, 0, state="rebuilding"), meta(1, 1)])
def test_sold_from_and_gone(found: Meta | None) -> None:
    """F5, F6: of what a worker saw acknowledged there must be something, or a human looks."""
    with pytest.raises(Drift, match="saw record 2 acknowledged, and neither store has any"):
        decide(Evidence(found, {1: 0}, has_merged=False, seen_seq=2))
    # A place that redo has filled, or given up for lost, is something.
    assert "rebuild" == decide(Evidence(found, {1: 2}, has_merged=True, seen_seq=2)).name


@pytest.mark.parametrize(
    ("found", "epoch", "checkpoints", "reason"),
    [
        (meta(3, 1), 3, {3: 1}, "in epoch 3, which PostgreSQL does not know"),
        (meta(2, 1), 4, {1: 1, 3: 0}, "in epoch 2, which PostgreSQL does not know"),
        (meta(2, 9, trimmed_seq=4), 3, {2: 3}, "PostgreSQL has only 3"),
    ],
)
def test_f31_time_travel(found: Meta, epoch: int, checkpoints: dict[int, int], reason: str) -> None:
    """F31: a PostgreSQL that has less than Redis was told is found out, and the way is named."""
    with pytest.raises(Drift, match=reason) as caught:
        require_past(found, epoch, checkpoints)
    assert "--repair-pg" in str(caught.value)


def test_what_is_well_passes() -> None:
    """Nothing is wrong with an empty Redis, or with one that PostgreSQL has followed."""
    require_past(None, 1, {})
    require_past(meta(2, 9, trimmed_seq=3), 3, {2: 3})


@pytest.mark.parametrize("lost", [b"epoch", b"seq", b"layout"])
def test_damaged_meta(lost: bytes) -> None:
    """A door that is not whole is nobody's work: a human looks."""
    fields = {b"epoch": b"1", b"seq": b"1", b"layout": b"1"}
    del fields[lost]
    with pytest.raises(Drift, match="damaged"):
        Meta.of(fields)
    with pytest.raises(Drift, match="layout 99"):
        require_past(Meta(epoch=1, seq=1, layout=99), 2, {1: 1})
