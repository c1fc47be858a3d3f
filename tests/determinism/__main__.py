"""Many histories: `python -m tests.determinism --seed N --seeds M`; `make simulate` does it."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console

from tests.determinism import histories
from tests.determinism.faults import draw

#: Histories of one piece of work.
PIECE = 100


def main() -> None:
    """Run histories on all cores; the first that fail are told, and the exit code is 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.determinism", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--jobs", type=int, default=None, help="processes; all cores by default")
    arguments = parser.parse_args()
    last = arguments.seed + arguments.seeds
    pieces = [range(at, min(at + PIECE, last)) for at in range(arguments.seed, last, PIECE)]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    began_s = time.monotonic()
    ends: Counter[str] = Counter()
    failed: list[int] = []
    cpu_s = 0.0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for its_failed, its_ends, its_cpu_s in pool.map(work, pieces):
            failed += its_failed
            ends += its_ends
            cpu_s += its_cpu_s
    minutes = (time.monotonic() - began_s) / 60
    for seed in failed[:3]:
        console.print(histories.tell(draw(seed)))
    console.print(
        f"R5 seeds={arguments.seed}..{last - 1} per_minute={arguments.seeds / minutes:.0f} "
        f"per_cpu_minute={60 * arguments.seeds / cpu_s:.0f} "
        f"{' '.join(f'{name}={count}' for name, count in sorted(ends.items()))} "
        f"failed={len(failed)} {failed[:20] if failed else ''}"
    )
    sys.exit(1 if failed else 0)


def work(seeds: range) -> tuple[list[int], Counter[str], float]:
    """Run some histories; return those that failed, sums over all, and the CPU's seconds."""
    began_s = time.process_time()
    failed: list[int] = []
    sums: Counter[str] = Counter()
    for seed in seeds:
        result = histories.run(draw(seed))
        sums += Counter(
            acks=result.acks,
            calls=result.effects,
            faults=result.faults,
            frozen=int(result.end.startswith("frozen")),
        )
        if result.violations:
            failed.append(seed)
    return failed, sums, time.process_time() - began_s


if __name__ == "__main__":
    main()
