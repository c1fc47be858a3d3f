"""
The decision: keep what Redis has, rebuild it from PostgreSQL, or leave the shard shut.

A function of values, read after Redis was fenced, its journal drained and redo merged, so that it
can be tested with every combination. Fails closed: what is not plainly one of the first two is
`Drift`, and a human looks (I13, I17).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine import keys

#: What the reason of a frozen shard says where only Redis has what PostgreSQL once had.
REPAIR_HINT = "PostgreSQL has gone back in time; see `reconciler repair --repair-pg`"

#: The same where it is Redis's journal that is not whole: this loses nothing that Redis has.
REFILL_HINT = "keep copies, then `reconciler repair --pg --apply`; `--rebuild` would lose it"


class Drift(Exception):
    """Neither store can be taken as it is: frozen until a human has looked."""


class CannotOpen(Exception):
    """The shard stays shut; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meta:
    """A shard's `meta` hash, as far as recovery judges it."""

    epoch: int
    seq: int
    layout: int
    trimmed_seq: int = 0
    state: str = ""

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> Meta | None:
        """
        Read the hash; None if it is not there.

        Raises:
            Drift: it is there, but not whole: no program of ours leaves it so.
        """
        if not fields:
            return None
        try:
            return cls(
                epoch=int(fields[b"epoch"]),
                seq=int(fields[b"seq"]),
                layout=int(fields[b"layout"]),
                trimmed_seq=int(fields.get(b"trimmed_seq", b"0")),
                state=fields.get(b"state", b"").decode(errors="replace"),
            )
        except (KeyError, ValueError) as error:
            raise Drift(f"the shard's meta is damaged: {dict(fields)!r}") from error


class Path(NamedTuple):
    """What recovery does, and why."""

    name: Literal["keep", "rebuild"]
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What both stores have, once nothing can change any more."""

    #: Redis as it was found; None if it is empty.
    meta: Meta | None
    #: The last record that PostgreSQL has, by epoch.
    checkpoints: Mapping[int, int]
    #: Whether PostgreSQL was moved past Redis's journal since that was opened, by this recovery or
    #: by one before it that came to no end: it has records that Redis lacks, or has given up some
    #: that a Redis brought back from its log may have.
    has_merged: bool
    #: The last record that a fenced worker had seen acknowledged; 0 if none has said.
    seen_seq: int = 0

    @property
    def newest_epoch(self) -> int:
        """The last epoch that PostgreSQL has records of; 0 for none."""
        return max((epoch for epoch, seq in self.checkpoints.items() if seq), default=0)

    @property
    def lost_range(self) -> str:
        """The records that Redis lost and PostgreSQL has, for people; empty if there are none."""
        if self.meta is None:
            return "all" if self.newest_epoch else ""
        last_seq = self.checkpoints.get(self.meta.epoch, 0)
        parts = []
        if self.meta.state != "rebuilding" and last_seq > self.meta.seq:
            parts.append(f"epoch {self.meta.epoch}: {self.meta.seq + 1}..{last_seq}")
        parts += [
            f"epoch {epoch}: 1..{seq}"
            for epoch, seq in sorted(self.checkpoints.items())
            if epoch > self.meta.epoch and seq
        ]
        return ", ".join(parts)


def require_past(meta: Meta | None, epoch: int, checkpoints: Mapping[int, int]) -> None:
    """
    Make sure that PostgreSQL has not gone back in time; before anything is drained (F31).

    Args:
        epoch: The claim.

    Raises:
        Drift: it has, or it is not the PostgreSQL that this Redis belongs to.
    """
    if meta is None:
        return
    if meta.layout != keys.LAYOUT_VERSION:
        raise Drift(f"keys have layout {meta.layout}, this version needs {keys.LAYOUT_VERSION}")
    if meta.epoch >= epoch or meta.epoch not in checkpoints:
        # A new epoch would reuse the name of a journal, and its ids with it (F33).
        raise Drift(
            f"Redis is in epoch {meta.epoch}, which PostgreSQL does not know (it had "
            f"reached {max(checkpoints, default=0)}): {REPAIR_HINT}"
        )
    last_seq = checkpoints[meta.epoch]
    if last_seq < meta.trimmed_seq:
        raise Drift(
            f"Redis has dropped its records up to {meta.trimmed_seq} of epoch "
            f"{meta.epoch} since PostgreSQL had them, and PostgreSQL has only "
            f"{last_seq}: {REPAIR_HINT}"
        )


def may_have_lost(
    meta: Meta | None, known: Mapping[int, int], seen_seq: int, *, has_other_server: bool
) -> bool:
    """
    Tell whether Redis may have lost acknowledged records, which workers then still know.

    Args:
        known: The last record that PostgreSQL had, by epoch, before the drain.

        seen_seq: The last record that a fenced worker had seen acknowledged.

        has_other_server: It is another process, or has another history, than the one opened.
    """
    return meta is None or has_other_server or meta.seq < max(seen_seq, known.get(meta.epoch, 0))


def decide(evidence: Evidence) -> Path:
    """
    Choose the path; the first that applies.

    Raises:
        Drift: Redis counts records that its journal does not have; or somebody was told of
            records of which there is nothing anywhere.
    """
    meta = evidence.meta
    found_seq = 0 if meta is None else meta.seq
    if evidence.seen_seq > found_seq and not evidence.newest_epoch:
        raise Drift(
            f"a worker saw record {evidence.seen_seq} acknowledged, and neither store has "
            f"any of its records: a shard that was sold from is not new"
        )
    if meta is None:
        if evidence.newest_epoch:
            return Path("rebuild", "Redis has lost the shard, PostgreSQL has it")
        return Path("keep", "neither store knows the shard")
    if meta.state == "rebuilding":
        return Path("rebuild", "an earlier rebuild did not come to its end")
    if evidence.newest_epoch > meta.epoch:
        return Path(
            "rebuild",
            f"Redis is of epoch {meta.epoch}, PostgreSQL has records of {evidence.newest_epoch}",
        )
    last_seq = evidence.checkpoints.get(meta.epoch, 0)
    if last_seq > meta.seq:
        return Path(
            "rebuild",
            f"epoch {meta.epoch} ends at record {meta.seq} in Redis and at "
            f"{last_seq} in PostgreSQL",
        )
    if last_seq < meta.seq:
        raise Drift(
            f"epoch {meta.epoch} ends at record {meta.seq} in Redis and at {last_seq} in "
            f"its journal: records are lost that Redis acted upon; {REFILL_HINT}"
        )
    if evidence.seen_seq > meta.seq:
        return Path(
            "rebuild",
            f"a worker saw record {evidence.seen_seq} of epoch {meta.epoch} "
            f"acknowledged, Redis ends at {meta.seq}",
        )
    if evidence.has_merged:
        return Path("rebuild", "PostgreSQL was moved past what Redis has, by what workers knew")
    return Path("keep", "both stores end at the same record")
