"""
What a recovery did, for people and logs, and how far one under way is.

On a terminal a rebuild shows a bar; elsewhere it says a line now and then.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from reconciler.recover.decide import Path
from reconciler.recover.rebuild import Rebuilt
from store.redo import Merged

log = structlog.get_logger()

#: Seconds between two lines where there is no terminal.
SAY_INTERVAL_S = 5.0


@dataclass(slots=True)
class Recovered:
    """One recovery that ended with an open shard."""

    shard: int
    epoch: int
    path: Path
    #: Records that Redis had lost and PostgreSQL has; empty if there were none.
    lost_range: str
    merged: Merged
    rebuilt: Rebuilt | None = None
    #: Events of a shard that was kept which had lost keys, and were rebuilt.
    mended: list[str] = field(default_factory=list)
    #: From the claim to the open door.
    seconds: float = 0.0
    #: What of it loading and verifying took.
    load_seconds: float = 0.0
    verify_seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return it as fields of a log line."""
        figures: dict[str, Any] = {
            "path": self.path.name,
            "reason": self.path.reason,
            "lost": self.lost_range,
            "redo_found": self.merged.found,
            "redo_conflicts": self.merged.conflicts,
            "redo_lost": self.merged.lost,
            "seconds": round(self.seconds, 3),
        }
        if self.mended:
            figures["mended"] = len(self.mended)
        if self.rebuilt is not None:
            figures |= {
                "events": len(self.rebuilt.events),
                "bookings": self.rebuilt.bookings,
                "holds": self.rebuilt.holds,
                "holds_dropped": self.rebuilt.dropped_holds,
                "load_seconds": round(self.load_seconds, 3),
                "verify_seconds": round(self.verify_seconds, 3),
            }
        return figures

    def lines(self) -> list[str]:
        """Return it for people."""
        lines = [
            f"shard {self.shard}: open under epoch {self.epoch} after {self.seconds:.1f} s; "
            f"{self.path.name}: {self.path.reason}"
        ]
        if self.lost_range:
            lines.append(f"  Redis had lost ({self.lost_range}); PostgreSQL had it")
        if self.mended:
            lines.append(f"  had lost keys, and was rebuilt: {', '.join(self.mended)}")
        merged = self.merged
        if merged.found or merged.conflicts or merged.lost:
            late = f" ({merged.late} of them late, as new records)" if merged.late else ""
            lines.append(
                f"  of workers' memory: {merged.found} found{late}, {merged.lost} places of "
                f"which nobody knows, {merged.conflicts} in conflict"
            )
        if self.rebuilt is not None:
            lines.append(
                f"  rebuilt {len(self.rebuilt.events)} events, {self.rebuilt.bookings} bookings, "
                f"{self.rebuilt.holds} holds ({self.rebuilt.dropped_holds} dropped): "
                f"{self.load_seconds:.1f} s to load, {self.verify_seconds:.1f} s to verify"
            )
        return lines


class Progress:
    """Shows how far a rebuild is; a context."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._said_s = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(f"shard {shard}: loading", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def loaded(self, done: int, total: int) -> None:
        """Take how many bookings are loaded."""
        self._bar.update(self._task, completed=done, total=total)
        self._say(f"{done} of {total} bookings loaded")

    def said(self, text: str) -> None:
        """Take a word on how far the proof is."""
        self._bar.update(self._task, description=text)
        self._say(text)

    def _say(self, text: str) -> None:
        now_s = time.monotonic()
        if self._bar.disable and now_s - self._said_s >= SAY_INTERVAL_S:
            self._said_s = now_s
            log.info("rebuilding", action="rebuild_progress", shard=self._shard, progress=text)
