"""Every script that the model has, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.determinism.holding import confirm, hold, release
from tests.determinism.redis_server import Script
from tests.determinism.scripts import (
    availability,
    book,
    cancel,
    claim,
    persisted,
    publish,
    waitmark,
)
from tests.determinism.waiting import join, leave

SCRIPTS: Mapping[str, Script] = {
    "publish": publish,
    "book": book,
    "cancel": cancel,
    "hold": hold,
    "confirm": confirm,
    "release": release,
    "join": join,
    "leave": leave,
    "availability": availability,
    "persisted": persisted,
    "waitmark": waitmark,
    "claim": claim,
}
