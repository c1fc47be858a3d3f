"""Rig R2: Redis's log cut at borders of transactions and within them (`make proofs`: at all)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from evently.embedded import PostgresServer
from loadtests.chaos.aof_cut import Sweep

SEED = 20_261_123
#: Cuts anywhere, besides the borders.
ANYWHERE = 5

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
async def test_f5_aof_cut_sweep(server_dir: Path, postgres: PostgresServer, every: int) -> None:
    """F5, I8: a script's effect survives whole or not at all; only what both have is opened."""
    sweep = Sweep(Path(tempfile.mkdtemp(dir=server_dir)), postgres.url, seed=SEED)
    await sweep.prepare()
    wrong = []
    for log_bytes in [*sweep.borders()[::every], *sweep.offsets()[:ANYWHERE]]:
        wrong += await sweep.cut(log_bytes)

    assert [] == wrong
